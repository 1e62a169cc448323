"""Images and masks in archives and folders, and how they come into raw/."""

import os
import shutil
import socket
import zipfile
from pathlib import Path

import pytest

from lesion.formats.splits import sample_of
from lesion.photos import members
from lesion.photos.archives import LARGEST, Pair, find_pairs
from lesion.photos.members import (
    ArchiveMembers,
    FolderMembers,
    Members,
    link,
    pack,
    put,
    remarks,
    sample_names,
)
from lesion.photos.names import Layout
from lesion.pipeline.errors import ImageError, InputError

IMAGES = "ISIC2018_Task1-2_Training_Input"
MASKS = "ISIC2018_Task1_Training_GroundTruth"


def write(folder: Path, *names: str) -> Path:
    """A folder with files of these names, each of which holds its own name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def content(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def opened(*paths: Path) -> list[Members]:
    return [ArchiveMembers(p) if p.suffix == ".zip" else FolderMembers(p) for p in paths]


def put_into(
    folder: Path,
    images: Path | list[Path],
    masks: Path | list[Path],
    limit: int = 0,
    suffix: str = "_segmentation",
) -> list[Pair]:
    """The pairs in `folder` after images and masks, archives or folders, were put there."""
    folder.mkdir()
    sources = [opened(*(x if isinstance(x, list) else [x])) for x in (images, masks)]
    layout = Layout(mask_suffix=suffix)
    archives = put("train", *sources, folder, limit=limit, layout=layout)
    assert {*archives.images, *archives.masks} == set(folder.iterdir())
    return find_pairs({"train": archives}, layout)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


@pytest.fixture
def unpacked(sample: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The sample's training images and masks, each in a folder."""
    folders = tmp_path / "images", tmp_path / "masks"
    for name, folder in zip((IMAGES, MASKS), folders, strict=True):
        with zipfile.ZipFile(sample / f"{name}.zip") as archive:
            archive.extractall(folder)
    return folders


def test_members_of_an_archive_have_names_and_content(sample: Path) -> None:
    path = sample / f"{IMAGES}.zip"
    archive = ArchiveMembers(path)
    assert {name: archive.read(name) for name in archive.names()} == content(path)


def test_files_of_a_folder_are_named_by_their_way_from_it(tmp_path: Path) -> None:
    folder = FolderMembers(write(tmp_path / "x", "b.jpg", "a/c.jpg", "a/b/d.png"))
    assert folder.names() == ["a/b/d.png", "a/c.jpg", "b.jpg"]
    assert folder.read("a/c.jpg") == b"a/c.jpg"


@pytest.mark.parametrize("what", ["nothing", "file"])
def test_a_folder_that_is_none_is_refused(tmp_path: Path, what: str) -> None:
    if what == "file":
        (tmp_path / "x").touch()
    with pytest.raises(InputError, match=r"x: not found; expected the folder that datasets.yaml"):
        FolderMembers(tmp_path / "x")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = FolderMembers(write(tmp_path / "x", "a.jpg"))
    with pytest.raises(ImageError, match=r"x/b\.jpg: No such file"):
        folder.read("b.jpg")


@pytest.fixture
def protected(sample: Path, tmp_path: Path) -> Path:
    """Archives as DVC leaves those that it tracks."""
    folder = Path(shutil.copytree(sample, tmp_path / "protected"))
    for path in folder.iterdir():
        path.chmod(0o444)
    return folder


def test_whole_archives_that_dvc_tracks_are_linked_and_not_copied(
    protected: Path, raw: Path
) -> None:
    pairs = put_into(raw, protected / f"{IMAGES}.zip", protected / f"{MASKS}.zip")
    assert len(pairs) == 3
    for name in (f"{IMAGES}.zip", f"{MASKS}.zip"):
        assert (raw / name).samefile(protected / name)


def test_whole_archives_that_were_downloaded_are_linked(
    sample: Path, tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    downloads = Path(shutil.copytree(sample, tmp_path / "downloads"))
    put_into(raw, downloads / f"{IMAGES}.zip", downloads / f"{MASKS}.zip")
    assert (raw / f"{IMAGES}.zip").samefile(downloads / f"{IMAGES}.zip")


def test_an_archive_that_its_owner_may_write_to_is_copied(sample: Path, raw: Path) -> None:
    put_into(raw, sample / f"{IMAGES}.zip", sample / f"{MASKS}.zip")
    for name in (f"{IMAGES}.zip", f"{MASKS}.zip"):
        assert not (raw / name).samefile(sample / name)
        assert (raw / name).read_bytes() == (sample / name).read_bytes()


def test_a_link_in_a_folder_that_leads_to_no_file_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "x", "a.jpg")
    write(tmp_path / "elsewhere", "b.jpg")
    assert FolderMembers(folder).names() == ["a.jpg"]
    for target in ("elsewhere", "nowhere"):
        (folder / "more").symlink_to(tmp_path / target)
        with pytest.raises(InputError, match="x/more: a link to a folder, or to nothing"):
            FolderMembers(folder).names()
        (folder / "more").unlink()


def test_a_link_that_leaves_the_folder_is_refused_unless_allowed(tmp_path: Path) -> None:
    folder = write(tmp_path / "x", "images/a.jpg").joinpath("images")
    (tmp_path / "secret").write_text("secret")
    (folder / "b.jpg").symlink_to(tmp_path / "secret")
    (folder / "c.jpg").symlink_to("../../secret")
    (folder / "d.jpg").symlink_to("b.jpg")
    (folder / "e.jpg").symlink_to("a.jpg")
    message = rf"[bcd]\.jpg: a link to {tmp_path}/secret, outside {tmp_path}/x; .* links: true"
    with pytest.raises(InputError, match=message):
        FolderMembers(folder, root=tmp_path / "x").names()
    allowed = FolderMembers(folder, root=tmp_path / "x", links=True)
    assert allowed.names() == [f"{letter}.jpg" for letter in "abcde"]
    assert allowed.read("d.jpg") == b"secret"


def test_links_that_stay_inside_or_lead_to_dvcs_cache_are_followed(tmp_path: Path) -> None:
    root = write(tmp_path / "mine", "images/a.jpg", "originals/b.jpg")
    kept = tmp_path / "shared/cache/files/md5" / "0a" / ("b" * 30)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"kept")
    (root / "images/b.jpg").symlink_to("../originals/b.jpg")
    (root / "images/c.jpg").symlink_to(kept)
    (tmp_path / "link").symlink_to(root)  # the folder of the parameter may be one
    for data in (root, tmp_path / "link"):
        members = FolderMembers(data / "images", root=data)
        assert members.names() == ["a.jpg", "b.jpg", "c.jpg"]
        assert members.read("c.jpg") == b"kept"


def test_a_folder_behind_a_link_in_the_data_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", "images/a.jpg")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/x").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="mine/x: a link to a folder"):
        FolderMembers(tmp_path / "mine/x/images", root=tmp_path / "mine")


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("kind", ["FIFO", "socket", "device", "loop"])
def test_what_is_no_file_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, linked: bool
) -> None:
    folder = write(tmp_path / "x", "a.jpg")
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    path = (tmp_path if linked else folder) / "b.jpg"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.relpath(path))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(path)
    if linked:
        (folder / "b.jpg").symlink_to(path)
    for links in (False, True):
        with pytest.raises(InputError, match=rf"x/b\.jpg: .*({kind}|to nothing)"):
            FolderMembers(folder, links=links).names()


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "x", "a.jpg", "below/b.jpg")
    members = FolderMembers(tmp_path / "x")
    scandir = os.scandir

    def refuse(path: Path) -> object:  # who is root may read all
        if Path(path).name == "below":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="x/below: Permission denied"):
        members.names()


def test_a_file_that_is_far_too_large_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "x", "a.jpg")
    with (folder / "a.jpg").open("r+b") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(ImageError, match=rf"a\.jpg: has {LARGEST + 1} bytes; expected at most"):
        FolderMembers(folder).read("a.jpg")


def test_archives_are_copied_where_links_cannot_be(
    protected: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    put_into(raw, protected / f"{IMAGES}.zip", protected / f"{MASKS}.zip")
    for name in (f"{IMAGES}.zip", f"{MASKS}.zip"):
        assert not (raw / name).samefile(protected / name)
        assert (raw / name).read_bytes() == (protected / name).read_bytes()


def test_a_link_to_an_archive_is_followed(protected: Path, tmp_path: Path, raw: Path) -> None:
    (tmp_path / "link.zip").symlink_to(protected / f"{IMAGES}.zip")
    raw.mkdir()
    link(tmp_path / "link.zip", raw)
    assert not (raw / "link.zip").is_symlink()
    assert (raw / "link.zip").samefile(protected / f"{IMAGES}.zip")


def test_a_limit_takes_a_sample_of_pairs_with_their_licences(sample: Path, raw: Path) -> None:
    pairs = put_into(raw, sample / f"{IMAGES}.zip", sample / f"{MASKS}.zip", limit=2)
    ids = ["ISIC_9000000", "ISIC_9000001", "ISIC_9000002"]
    assert [pair.id for pair in pairs] == sample_of(ids, 2)
    for kind, stem in (("images", IMAGES), ("masks", MASKS)):
        packed, whole = content(raw / f"train_{kind}.zip"), content(sample / f"{stem}.zip")
        assert packed.items() <= whole.items()
        assert sorted(Path(name).suffix for name in packed) == sorted(
            [".txt"] * 2 + [".jpg" if kind == "images" else ".png"] * 2
        )


def test_a_limit_takes_pairs_from_all_over_and_the_same_ones_again(tmp_path: Path) -> None:
    names = [f"clinic{i}_{j:03}" for i in range(4) for j in range(100)]
    folder = FolderMembers(
        write(tmp_path / "x", *(f"{n}.jpg" for n in names), *(f"{n}_m.png" for n in names))
    )
    samples = [
        sample_names([folder], [folder], limit, Layout(mask_suffix="_m")) for limit in (40, 80)
    ]
    for clinic in range(4):
        taken = [name for name in samples[0][0][0] if name.startswith(f"clinic{clinic}")]
        assert 4 <= len(taken) <= 16
    for side in (0, 1):
        assert set(samples[0][side][0]) < set(samples[1][side][0])


@pytest.mark.parametrize("limit", [3, 4, 1000])
def test_a_limit_above_the_number_of_pairs_takes_all(sample: Path, raw: Path, limit: int) -> None:
    pairs = put_into(raw, sample / f"{IMAGES}.zip", sample / f"{MASKS}.zip", limit=limit)
    assert len(pairs) == 3


def test_the_sample_does_not_depend_on_where_pairs_lie(tmp_path: Path) -> None:
    images = FolderMembers(write(tmp_path / "i", "z/A.jpg", "a/C.jpg", "B.png"))
    masks = FolderMembers(write(tmp_path / "m", "C_x.png", "q/B_x.png", "A_x.png"))
    image, mask = {
        "A": ("z/A.jpg", "A_x.png"),
        "B": ("B.png", "q/B_x.png"),
        "C": ("a/C.jpg", "C_x.png"),
    }[sample_of("ABC", 1)[0]]
    chosen = sample_names([images], [masks], 1, Layout(mask_suffix="_x"))
    assert chosen == ([[image]], [[mask]])


def test_drawings_stay_known_as_drawings_when_they_are_packed(
    sample: Path, unpacked: tuple[Path, Path], tmp_path: Path
) -> None:
    archives = sample / f"{IMAGES}.zip", sample / f"{MASKS}.zip"
    assert all(pair.synthetic for pair in put_into(tmp_path / "first", *archives, limit=1))
    assert all(pair.synthetic for pair in put_into(tmp_path / "second", *unpacked))


def test_equal_content_is_packed_into_equal_bytes(
    sample: Path, unpacked: tuple[Path, Path], tmp_path: Path
) -> None:
    put_into(tmp_path / "once", *unpacked)
    for path in unpacked[0].rglob("*"):
        os.utime(path, (10**9, 10**9))
        path.chmod(0o700)
    put_into(tmp_path / "twice", *unpacked)
    put_into(tmp_path / "packed", sample / f"{IMAGES}.zip", sample / f"{MASKS}.zip", limit=1000)
    for name in ("train_images.zip", "train_masks.zip"):
        once, twice, packed = (
            (tmp_path / folder / name).read_bytes() for folder in ("once", "twice", "packed")
        )
        assert once == twice == packed


def test_a_pack_holds_what_it_is_given_in_order(tmp_path: Path) -> None:
    pack(tmp_path / "a.zip", [("b", b"1"), ("a/c", b"")])
    assert list(content(tmp_path / "a.zip").items()) == [("b", b"1"), ("a/c", b"")]


def test_a_damaged_member_that_is_to_be_packed_is_named(
    sample: Path, tmp_path: Path, raw: Path
) -> None:
    path = Path(shutil.copy(sample / f"{IMAGES}.zip", tmp_path))
    ids = ["ISIC_9000000", "ISIC_9000001", "ISIC_9000002"]
    (second,) = set(sample_of(ids, 2)) - set(sample_of(ids, 1))
    member = content(path)[f"{IMAGES}/{second}.jpg"]
    path.write_bytes(path.read_bytes().replace(member, member[::-1]))
    masks = sample / f"{MASKS}.zip"
    with pytest.raises(ImageError, match=rf"{IMAGES}\.zip: Bad CRC-32 .*{second}\.jpg"):
        put_into(raw, path, masks, limit=2)
    assert len(put_into(tmp_path / "one", path, masks, limit=1)) == 1


def test_an_archive_and_a_folder_make_pairs_too(
    sample: Path, unpacked: tuple[Path, Path], raw: Path
) -> None:
    assert len(put_into(raw, sample / f"{IMAGES}.zip", unpacked[1])) == 3


BESIDE = (".DS_Store", "._A.jpg", ".hidden/X.jpg", "__MACOSX/A.jpg", "Thumbs.db", "ages.csv")


@pytest.mark.parametrize(
    ("images", "masks", "suffix"),
    [
        (["A.jpg", "B.jpg"], ["A_lesion.png", "B_lesion.png"], "_lesion"),
        (["x/A.jpg", "y/z/B.jpg"], ["A_mask.png", "other/B_mask.png"], "_mask"),
        (["A.JPG", "B.tif"], ["A_Segmentation.png", "B_SEGMENTATION.PNG"], "_segmentation"),
        (["A.jpeg", "B.webp"], ["A-m.bmp", "B-m.gif"], "-m"),
        (["A.jpg", "B.png"], ["A.png", "B.png"], ""),
        (["A.jpg", "B.jpg", *BESIDE], ["A_m.png", "B_m.png", *BESIDE], "_m"),
        (["A.jpg", "B.jpg", "A_superpixels.png"], ["A_m.png", "B_m.png"], "_m"),
        (["A.b.c.jpg", "B x.jpg"], ["A.b.c_m.png", "B x_m.png"], "_m"),
    ],
    ids=["suffix", "sub-folders", "case", "types", "no suffix", "beside", "2017", "odd names"],
)
def test_folders_make_a_data_set(
    tmp_path: Path, raw: Path, images: list[str], masks: list[str], suffix: str
) -> None:
    folders = write(tmp_path / "images", *images), write(tmp_path / "masks", *masks)
    pairs = put_into(raw, *folders, suffix=suffix)
    assert [pair.id for pair in pairs] == [Path(name).stem for name in images[:2]]
    for pair in pairs:
        assert content(raw / pair.image_archive)[pair.image] == pair.image.encode()
        assert content(raw / pair.mask_archive)[pair.mask] == pair.mask.encode()
        assert pair.image in images and pair.mask in masks
    assert len(content(raw / pairs[0].image_archive)) == 2  # nothing that lay beside them


@pytest.mark.parametrize("names", [["A.jpg", "A_m.png"], ["in/A.png", "out/A_M.png", "A_x.csv"]])
def test_images_and_masks_may_lie_in_one_folder(
    tmp_path: Path, raw: Path, names: list[str]
) -> None:
    folder = write(tmp_path / "both", *names)
    (pair,) = put_into(raw, folder, folder, suffix="_m")
    assert (pair.id, pair.image, pair.mask) == ("A", *names[:2])
    assert list(content(raw / pair.image_archive)) == [names[0]]
    assert list(content(raw / pair.mask_archive)) == [names[1]]


def test_images_and_masks_may_lie_in_one_archive(tmp_path: Path, raw: Path) -> None:
    path = tmp_path / "both.zip"
    pack(path, [("A.jpg", b"image"), ("A_m.png", b"mask"), ("B.jpg", b""), ("B_m.png", b"")])
    raw.mkdir()
    layout = Layout(mask_suffix="_m")
    archives = put("train", opened(path), opened(path), raw, layout=layout)
    assert archives.images == archives.masks == (raw / "both.zip",)
    assert [pair.id for pair in find_pairs({"train": archives}, layout)] == ["A", "B"]
    pairs = put_into(tmp_path / "one", path, path, limit=1, suffix="_m")
    (name,) = sample_of("AB", 1)
    assert [(pair.image, pair.mask) for pair in pairs] == [(f"{name}.jpg", f"{name}_m.png")]


@pytest.mark.parametrize("limit", [0, 3])
def test_images_may_lie_in_several_archives(tmp_path: Path, limit: int) -> None:
    for name, some in (("a", "12"), ("b", "345")):
        beside = [("LICENSE.txt", name.encode())]
        pack(tmp_path / f"{name}.zip", [(f"{i}.jpg", f"{i}{name}".encode()) for i in some] + beside)
    pack(tmp_path / "masks.zip", [(f"{i}_m.png", b"") for i in "12345"])
    images = [tmp_path / "a.zip", tmp_path / "b.zip"]
    raw = tmp_path / "raw"
    pairs = put_into(raw, images, tmp_path / "masks.zip", limit, suffix="_m")
    assert [pair.id for pair in pairs] == sample_of("12345", limit or 5)
    packed = {"a": "train_images.zip", "b": "train_images_2.zip"}
    for pair in pairs:
        source = "a" if pair.id in "12" else "b"
        assert pair.image_archive == (packed[source] if limit else f"{source}.zip")
        assert content(raw / pair.image_archive)[pair.image] == f"{pair.id}{source}".encode()
    for source, name in packed.items():
        path = raw / (name if limit else f"{source}.zip")
        assert content(path)["LICENSE.txt"] == source.encode()


@pytest.mark.parametrize("first", ["archive", "folder"])
def test_an_archive_called_like_one_that_is_packed_is_refused_and_left_alone(
    tmp_path: Path, raw: Path, first: str
) -> None:
    archive = tmp_path / "test_images.zip"
    pack(archive, [("A.jpg", b"image"), ("A_m.png", b"mask")])
    before = archive.read_bytes()
    folder = write(tmp_path / "folder", "B.jpg", "B_m.png")
    raw.mkdir()
    layout = Layout(mask_suffix="_m")
    puts = [("train", archive), ("test", folder)]
    with pytest.raises(InputError, match=r"test_images\.zip: there are two archives of that name"):
        for split, path in puts if first == "archive" else puts[::-1]:
            put(split, opened(path), opened(path), raw, layout=layout)
    assert archive.read_bytes() == before


def test_members_packed_by_windows_are_found_and_packed_for_all(tmp_path: Path, raw: Path) -> None:
    path = tmp_path / "a.zip"
    pack(path, [("x\\", b""), ("x\\A.jpg", b"image"), ("x\\A_m.png", b"mask")])
    (pair,) = put_into(raw, path, path, suffix="_m")
    assert ArchiveMembers(raw / pair.image_archive).read(pair.image) == b"image"
    (pair,) = put_into(tmp_path / "one", path, path, limit=1, suffix="_m")
    assert (pair.image, pair.mask) == ("x/A.jpg", "x/A_m.png")
    assert content(tmp_path / "one" / pair.mask_archive)[pair.mask] == b"mask"


def test_a_file_whose_name_is_no_utf_8_is_refused_with_a_remedy(tmp_path: Path, raw: Path) -> None:
    folder = write(tmp_path / "x", "A.jpg", "A_m.png")
    (folder / os.fsdecode(b"L\xe4sion.jpg")).touch()
    with pytest.raises(InputError, match=r"x: found b'L\\xe4sion\.jpg', a name that is no UTF-8"):
        put_into(raw, folder, folder, suffix="_m")


def test_what_is_passed_over_is_counted_once_a_place_and_can_be_printed(tmp_path: Path) -> None:
    texts = ["a.csv", "b.json", "c.txt", "x/d.md", "LICENSE.txt", ".DS_Store"]
    folder = FolderMembers(write(tmp_path / "x", "A.jpg", "A_m.png", *texts))
    (remark,) = remarks([folder, folder], Layout(mask_suffix="_m"))
    assert remark == f"{tmp_path / 'x'}: 4 × passed over beside the images: a.csv, b.json, c.txt, …"
    bare = FolderMembers(write(tmp_path / "y", "A.jpg", "LICENSE.txt"))
    (tmp_path / "y" / os.fsdecode(b"\xe4.bin")).touch()
    assert remarks([bare], Layout()) == []
    (remark,) = remarks([bare], Layout(ignore=("*.bin",)))
    assert remark.endswith("1 × passed over beside the images: \\udce4.bin") and remark.encode()


@pytest.mark.parametrize(
    ("images", "masks", "place", "named"),
    [
        (["A.jpg", "B.jpg"], ["A_m.png"], "masks", "no mask of image B.jpg, one of 1 without"),
        (["A.jpg"], ["A_m.png", "B_m.png"], "images", "no image of mask B_m.png, one of 1 without"),
        (["A.jpg", "x/A.png"], ["A_m.png"], "images", "A occurs twice, as A.jpg and x/A.png"),
        (["A.jpg", "film.mp4"], ["A_m.png"], "images", "found film.mp4; expected only X.jpg"),
        (["A.jpg"], ["A_m.png", "A.jpg"], "masks", "found A.jpg; expected only X_m.png"),
        (["A.jpg", "A_m.png"], ["A_m.png"], "images", "found A_m.png; expected only X.jpg"),
        (["x.csv"], ["y.csv"], "images", "no image in it"),
    ],
)
def test_a_fault_in_a_folder_is_refused_with_folder_and_file(
    tmp_path: Path, raw: Path, images: list[str], masks: list[str], place: str, named: str
) -> None:
    folders = write(tmp_path / "images", *images), write(tmp_path / "masks", *masks)
    with pytest.raises(InputError) as error:
        put_into(raw, *folders, suffix="_m")
    assert str(error.value).startswith(f"{tmp_path / place}: ") and named in str(error.value)


def test_a_member_has_nothing_of_the_time_or_the_system_in_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        members.add_member(archive, "x", b"1")
        (info,) = archive.infolist()
    assert info.date_time == (1980, 1, 1, 0, 0, 0)
    assert (info.create_system, info.external_attr) == (3, 0o100644 << 16)
