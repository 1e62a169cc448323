import shutil
import tracemalloc
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from lesion.photos import archives
from lesion.photos.archives import (
    SYNTHETIC,
    ArchiveReader,
    Pair,
    SplitArchives,
    damage,
    find_archives,
    find_pairs,
    member_names,
)
from lesion.photos.names import Layout
from lesion.pipeline.errors import ImageError, InputError
from project import without_utf8_flag

IMAGES = "ISIC2018_Task1-2_{}_Input"
MASKS = "ISIC2018_Task1_{}_GroundTruth"


def write_zip(path: Path, members: dict[str, bytes] | list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in members:
            archive.writestr(name, members[name] if isinstance(members, dict) else b"content")
    return path


def write_pair(
    folder: Path, images: list[str], masks: list[str], split: str = "Training"
) -> tuple[Path, Path]:
    """The two archives of a split with these members."""
    return (
        write_zip(folder / f"{IMAGES.format(split)}.zip", images),
        write_zip(folder / f"{MASKS.format(split)}.zip", masks),
    )


def pairs_in(folder: Path, **layout: str) -> list[Pair]:
    return find_pairs(find_archives(folder), Layout(**layout))


def refusal(folder: Path, **layout: str) -> str:
    with pytest.raises(InputError) as error:
        pairs_in(folder, **layout)
    return str(error.value)


@pytest.fixture
def copy(sample, tmp_path) -> Path:
    return Path(shutil.copytree(sample, tmp_path / "copy"))


def test_sample_gives_every_pair_in_order_of_split_and_id(sample):
    pairs = pairs_in(sample)
    assert [pair.split for pair in pairs] == ["train"] * 3 + ["validation"] * 2 + ["test"] * 2
    assert [pair.id for pair in pairs] == sorted(pair.id for pair in pairs)
    for pair in pairs:
        name = {"train": "Training", "validation": "Validation", "test": "Test"}[pair.split]
        assert pair.image_archive == f"{IMAGES.format(name)}.zip"
        assert pair.image == f"{IMAGES.format(name)}/{pair.id}.jpg"
        assert pair.mask_archive == f"{MASKS.format(name)}.zip"
        assert pair.mask == f"{MASKS.format(name)}/{pair.id}_segmentation.png"
        assert pair.synthetic


def test_pairs_are_joined_by_id_and_not_by_order(tmp_path):
    write_pair(
        tmp_path,
        ["in/B.jpg", "in/A.jpg", "in/C.jpg"],
        ["out/C_segmentation.png", "out/A_segmentation.png", "out/B_segmentation.png"],
    )
    joined = [(pair.id, pair.image, pair.mask) for pair in pairs_in(tmp_path)]
    assert joined == [(x, f"in/{x}.jpg", f"out/{x}_segmentation.png") for x in "ABC"]


def test_texts_folders_and_superpixels_of_the_official_layout_are_passed_over(tmp_path):
    top, masks = IMAGES.format("Training"), MASKS.format("Training")
    write_pair(
        tmp_path,
        [
            f"{top}/",
            f"{top}/ATTRIBUTION.txt",
            f"{top}/A.jpg",
            f"{top}/A_superpixels.png",
            f"{top}/LICENSE.txt",
        ],
        [f"{masks}/ATTRIBUTION.txt", f"{masks}/A_segmentation.png", f"{masks}/LICENSE.txt"],
    )
    (pair,) = pairs_in(tmp_path)
    assert (pair.id, pair.image, pair.synthetic) == ("A", f"{top}/A.jpg", False)


@pytest.mark.parametrize("folder", ["", "top/", "top/sub/", "top\\"])
def test_the_attribution_of_the_projects_drawings_marks_the_pairs(tmp_path, folder):
    images, _ = write_pair(tmp_path, [], [f"{folder}A_segmentation.png"])
    write_zip(images, {f"{folder}ATTRIBUTION.txt": SYNTHETIC.encode(), f"{folder}A.jpg": b""})
    assert pairs_in(tmp_path)[0].synthetic


@pytest.mark.parametrize(
    "attribution",
    [
        "This data set has no synthetic images.",
        "Synthetic drawings",
        f"Beside photographs it has drawings:\n{SYNTHETIC}",
        f"{SYNTHETIC}And photographs of our clinic.\n",
        SYNTHETIC[:-1],
        "",
    ],
)
def test_no_other_attribution_makes_drawings_of_photographs(tmp_path, attribution):
    images, _ = write_pair(tmp_path, [], ["A_segmentation.png"])
    write_zip(images, {"ATTRIBUTION.txt": attribution.encode(), "A.jpg": b""})
    assert not pairs_in(tmp_path)[0].synthetic


def test_the_projects_own_sample_is_of_drawings(root):
    assert all(pair.synthetic for pair in pairs_in(root / "sample"))


def test_splits_come_in_order_whatever_their_archives_are_called(tmp_path):
    for split in ("Test", "Training", "Validation"):
        write_pair(tmp_path, [], [], split)
    assert list(find_archives(tmp_path)) == ["train", "validation", "test"]


@pytest.mark.parametrize(
    "suffix", [".jpg", ".JPG", ".jpeg", ".png", ".bmp", ".tif", ".TIFF", ".gif", ".webp"]
)
def test_images_may_be_of_any_usual_type(tmp_path, suffix):
    write_pair(tmp_path, [f"A{suffix}"], ["A_segmentation.png"])
    assert pairs_in(tmp_path)[0].image == f"A{suffix}"


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"),
        ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"),
        ("ISBI2016_ISIC_Part1_Training_Data", "ISBI2016_ISIC_Part1_Training_GroundTruth"),
    ],
)
def test_archives_of_every_year_are_recognised_by_name(tmp_path, images, masks):
    paths = tuple(write_zip(tmp_path / f"{name}.zip", []) for name in (images, masks))
    assert find_archives(tmp_path) == {"train": SplitArchives((paths[0],), (paths[1],))}


@pytest.mark.parametrize(
    "mask", ["A_Segmentation.png", "x/A_SEGMENTATION.PNG", "A_segmentation.bmp"]
)
def test_a_masks_name_may_be_written_in_capitals_and_its_type_be_another(tmp_path, mask):
    write_pair(tmp_path, ["A.jpg"], [mask])
    (pair,) = pairs_in(tmp_path)
    assert (pair.id, pair.mask) == ("A", mask)


def test_a_mask_suffix_may_be_another(tmp_path):
    write_pair(tmp_path, ["A.jpg", "A_segmentation.jpg"], ["A_x.png", "A_segmentation_x.png"])
    assert [pair.id for pair in pairs_in(tmp_path, mask_suffix="_x")] == ["A", "A_segmentation"]
    assert "found A_segmentation.jpg" in refusal(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["ages.csv", "x/.DS_Store", "._A.jpg", ".git/B.jpg", "__MACOSX/x/B.jpg", "x/Thumbs.db"],
)
@pytest.mark.parametrize("kind", ["images", "masks"])
def test_what_is_known_to_lie_beside_images_is_passed_over(tmp_path, name, kind):
    members = {"images": ["A.jpg"], "masks": ["A_segmentation.png"]}
    members[kind].append(name)
    write_pair(tmp_path, **members)
    assert [pair.id for pair in pairs_in(tmp_path)] == ["A"]


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_name_that_leads_out_of_an_archive_is_refused_with_the_archive(tmp_path, kind):
    members = {"images": ["A.jpg"], "masks": ["A_segmentation.png"]}
    members[kind].append("../A.jpg")
    paths = dict(zip(("images", "masks"), write_pair(tmp_path, **members), strict=True))
    assert f"{paths[kind]}: found '../A.jpg', which leads out of it" in refusal(tmp_path)


def test_an_archive_tells_its_members(tmp_path):
    path = write_zip(tmp_path / "a.zip", ["b", "a/c"])
    assert member_names(path) == ["b", "a/c"]


@pytest.mark.parametrize("name", ["Läsion/각막.jpg", "La\u0308sion.jpg"])
def test_names_that_a_mac_packed_are_read_as_utf_8(tmp_path, name):
    path = write_zip(tmp_path / "a.zip", {name: b"image", "B.jpg": b"other"})
    path.write_bytes(without_utf8_flag(path.read_bytes()))
    with zipfile.ZipFile(path) as archive:
        assert name not in archive.namelist()
    assert member_names(path) == [name, "B.jpg"]
    with ArchiveReader(tmp_path) as reader:
        assert reader.read("a.zip", name) == b"image" and reader.read("a.zip", "B.jpg") == b"other"


def test_names_in_a_code_page_are_read_as_the_format_has_it(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"ä.jpg": b"image"})
    content = path.read_bytes().replace("ä".encode(), b"\x84e")  # "äe" in code page 437
    path.write_bytes(without_utf8_flag(content))
    assert member_names(path) == ["äe.jpg"]
    with ArchiveReader(tmp_path) as reader:
        assert reader.read("a.zip", "äe.jpg") == b"image"


def test_a_name_that_is_no_utf_8_though_the_archive_says_so_is_refused_with_a_remedy(tmp_path):
    images, _ = write_pair(tmp_path, ["ä.jpg"], ["A_segmentation.png"])
    content = images.read_bytes()
    images.write_bytes(content.replace("ä".encode(), b"\xff\xff"))
    assert f"{images}: the name of a member is said to be UTF-8 and is b'\\xff" in refusal(tmp_path)
    assert "names in UTF-8 (7-Zip" in refusal(tmp_path) and "is said to be" in damage(images)
    images.write_bytes(content.replace("ä".encode(), b"\xff\xff", 1))  # in its own header alone
    with ArchiveReader(tmp_path) as reader, pytest.raises(ImageError, match=images.name):
        reader.read(images.name, "ä.jpg")


def test_damage_is_told_by_the_checksums_of_all_members(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"A.jpg": b"first" * 9, "B.jpg": b"second" * 9})
    whole = path.read_bytes()
    assert damage(path) is None
    path.write_bytes(whole.replace(b"secondsecond", b"secondSecond", 1))
    assert damage(path) == "found member B.jpg damaged"
    for content in (whole[:-1], whole[:-30], b"", b"<html>"):
        path.write_bytes(content)
        assert damage(path).startswith("found no whole zip archive (")


def test_other_files_are_passed_over(copy):
    (copy / "notes.txt").write_text("x")
    (copy / "other.zip").write_text("x")
    assert len(pairs_in(copy)) == 7


@pytest.mark.parametrize("present", [[], ["notes.txt"], ["a.zip", "b.zip"]])
def test_a_folder_without_training_images_is_refused_with_what_is_there(tmp_path, present):
    for name in present:
        (tmp_path / name).touch()
    message = refusal(tmp_path)
    assert str(tmp_path) in message and "_Training_Input.zip" in message
    assert (", ".join(present) or "nothing") in message


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    assert "none" in refusal(tmp_path / "none")


@pytest.mark.parametrize("split", ["Training", "Validation", "Test"])
@pytest.mark.parametrize("kind", [IMAGES, MASKS])
def test_a_split_with_only_images_or_only_masks_is_refused(copy, split, kind):
    (copy / f"{kind.format(split)}.zip").unlink()
    other = MASKS if kind == IMAGES else IMAGES
    if (split, kind) == ("Training", IMAGES):
        assert MASKS.format(split) in refusal(copy)
    else:
        assert f"{other.format(split)}.zip: no archive with its" in refusal(copy)


def test_two_archives_of_one_kind_and_split_are_refused_by_name(copy):
    shutil.copy(copy / f"{IMAGES.format('Test')}.zip", copy / "ISIC-2017_Test_v2_Data.zip")
    message = refusal(copy)
    assert "ISIC-2017_Test_v2_Data.zip" in message and f"{IMAGES.format('Test')}.zip" in message


@pytest.mark.parametrize(
    ("images", "masks", "archive", "named"),
    [
        (["A.jpg", "B.jpg"], ["A_segmentation.png"], MASKS, "B"),
        (["A.jpg"], ["A_segmentation.png", "C_segmentation.png"], IMAGES, "C"),
        (["x/A.jpg", "y/A.jpg"], ["A_segmentation.png"], IMAGES, "y/A.jpg"),
        (["A.jpg", "A.png"], ["A_segmentation.png"], IMAGES, "A.png"),
        (["A.jpg"], ["x/A_segmentation.png", "A_segmentation.png"], MASKS, "A"),
        (["A.jpg", "A_segmentation.png"], ["A_segmentation.png"], IMAGES, "A_segmentation.png"),
        (["A.jpg"], ["A_segmentation.png", "A.jpg"], MASKS, "A.jpg"),
        (["A.jpg"], ["A_segmentation.npy"], MASKS, "A_segmentation.npy"),
        (["A.jpg", "film.mp4"], ["A_segmentation.png"], IMAGES, "film.mp4"),
        ([], ["A_segmentation.png"], IMAGES, "A"),
        (["A.jpg"], [], MASKS, "A.jpg"),
        ([], [], IMAGES, "no image"),
    ],
)
def test_a_fault_in_the_members_is_refused_with_archive_and_id(
    tmp_path, images, masks, archive, named
):
    write_pair(tmp_path, images, masks)
    message = refusal(tmp_path)
    assert f"{archive.format('Training')}.zip: " in message and named in message


def test_a_member_that_is_there_twice_is_refused(tmp_path):
    images, _ = write_pair(tmp_path, ["A.jpg"], ["A_segmentation.png"])
    with (
        zipfile.ZipFile(images, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("A.jpg", b"other")
    message = refusal(tmp_path)
    assert images.name in message and "A occurs twice" in message


def test_an_id_in_two_splits_is_refused(tmp_path):
    write_pair(tmp_path, ["A.jpg", "B.jpg"], ["A_segmentation.png", "B_segmentation.png"])
    write_pair(tmp_path, ["B.jpg"], ["B_segmentation.png"], "Test")
    message = refusal(tmp_path)
    assert f"{IMAGES.format('Test')}.zip: B is in the train split too" in message


@pytest.mark.parametrize("kept", [0, 100, -1, -30])
@pytest.mark.parametrize("kind", [IMAGES, MASKS])
def test_a_cut_archive_is_refused_by_name(copy, kind, kept):
    path = copy / f"{kind.format('Test')}.zip"
    path.write_bytes(path.read_bytes()[:kept])
    message = refusal(copy)
    assert f"{path}: not a whole zip archive" in message and "replace it" in message


def test_a_link_to_nothing_is_refused(copy):
    path = copy / f"{IMAGES.format('Test')}.zip"
    path.unlink()
    path.symlink_to(copy / "gone.zip")
    assert f"{path}: not found" in refusal(copy)


def test_a_damaged_attribution_is_refused_by_name(copy):
    path = copy / f"{IMAGES.format('Training')}.zip"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"dermoscopy images", b"dermoscopy IMAGES", 1))
    assert str(path) in refusal(copy)


def test_reader_gives_every_member_whole(sample):
    with ArchiveReader(sample) as reader:
        for pair in pairs_in(sample):
            for archive, member in (
                (pair.image_archive, pair.image),
                (pair.mask_archive, pair.mask),
            ):
                with zipfile.ZipFile(sample / archive) as file:
                    assert reader.read(archive, member) == file.read(member)


def test_a_member_that_is_far_too_large_is_an_image_error(tmp_path, monkeypatch):
    write_zip(tmp_path / "a.zip", {"A.jpg": bytes(1000), "B.jpg": bytes(1001)})
    monkeypatch.setattr(archives, "LARGEST", 1000)
    with ArchiveReader(tmp_path) as reader:
        assert reader.read("a.zip", "A.jpg") == bytes(1000)
        with pytest.raises(ImageError, match=r"a\.zip: B\.jpg has 1001 bytes; expected at"):
            reader.read("a.zip", "B.jpg")


SAID, TRUE = 1000, 64 * 2**20  # bytes of a member that says less than it holds
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
every_method = pytest.mark.parametrize(
    "method", METHODS, ids=["stored", "deflated", "bzip2", "lzma"]
)


def write_liar(path: Path, name: str, method: int) -> Path:
    """An archive whose member has zeros without measure."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, bytes(TRUE))
    content = path.read_bytes()
    truth, said = TRUE.to_bytes(4, "little"), SAID.to_bytes(4, "little")
    end = content.rindex(b"PK\1\2") + 24  # where the directory tells the size
    assert content[end : end + 4] == truth
    path.write_bytes(content[:end] + said + content[end + 4 :])
    return path


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < TRUE / 16
    finally:
        tracemalloc.stop()


@pytest.mark.long
@every_method
def test_a_member_that_says_too_little_takes_no_more_memory_than_it_says(tmp_path, method):
    path = write_liar(tmp_path / "a.zip", "A.jpg", method)
    with little_memory(), ArchiveReader(tmp_path) as reader:
        with pytest.raises(ImageError, match=r"a\.zip: .*A\.jpg"):
            reader.read("a.zip", "A.jpg")
        assert "A.jpg" in damage(path)


@pytest.mark.long
@every_method
def test_an_attribution_that_says_too_little_takes_no_memory(tmp_path, method):
    write_pair(tmp_path, ["A.jpg"], ["A_segmentation.png"])
    path = write_liar(tmp_path / "liar.zip", "ATTRIBUTION.txt", method)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("A.jpg", b"")
    path.replace(tmp_path / f"{IMAGES.format('Training')}.zip")
    with little_memory():
        assert "ATTRIBUTION.txt" in refusal(tmp_path)


@pytest.mark.parametrize("method", [12, 14, 93, 98, 99])
def test_a_method_of_packing_without_measure_is_named_with_a_remedy(tmp_path, method):
    path = write_zip(tmp_path / "a.zip", {"A.jpg": b"content"})
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\1\2") + 10] = method
    path.write_bytes(content)
    with (
        ArchiveReader(tmp_path) as reader,
        pytest.raises(ImageError, match=rf"A\.jpg is packed by method {method} .*pack .*anew"),
    ):
        reader.read("a.zip", "A.jpg")
    assert f"A.jpg is packed by method {method}" in damage(path)


def test_an_encrypted_member_is_an_image_error(tmp_path):
    path = write_zip(tmp_path / "a.zip", ["A.jpg"])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\3\4") + 6] |= 1  # the flag, here and in the directory
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with ArchiveReader(tmp_path) as reader, pytest.raises(ImageError, match=r"A\.jpg.* encrypted"):
        reader.read("a.zip", "A.jpg")


def test_threads_that_share_a_reader_get_what_one_gets(sample):
    pairs = pairs_in(sample) * 30
    with ArchiveReader(sample) as archives:
        alone = [archives.read(pair.image_archive, pair.image) for pair in pairs]
    with ArchiveReader(sample) as archives, ThreadPoolExecutor(8) as pool:
        read = pool.map(lambda pair: archives.read(pair.image_archive, pair.image), pairs)
        assert list(read) == alone


def test_reading_from_an_archive_that_is_not_there_is_refused(tmp_path):
    with ArchiveReader(tmp_path) as archives, pytest.raises(InputError, match=r"none\.zip"):
        archives.read("none.zip", "A.jpg")


def test_a_member_that_is_not_there_is_an_image_error(sample):
    name = f"{IMAGES.format('Test')}.zip"
    with ArchiveReader(sample) as archives, pytest.raises(ImageError, match=r"none\.jpg"):
        archives.read(name, "none.jpg")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_anywhere_in_an_archive_is_refused_or_harmless_and_never_crashes(
    tmp_path, sample, compression
):
    masks = MASKS.format("Training")
    shutil.copy(sample / f"{masks}.zip", tmp_path)
    path = tmp_path / f"{IMAGES.format('Training')}.zip"
    with zipfile.ZipFile(sample / path.name) as old, zipfile.ZipFile(path, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for round_ in range(300):
        damaged = bytearray(content)
        # The directory at the end is where a changed byte misleads most.
        start = 0 if round_ % 2 else len(content) - 400
        for place in rng.integers(start, len(content), size=2):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            with ArchiveReader(tmp_path) as archives:
                for pair in pairs_in(tmp_path):
                    archives.read(pair.image_archive, pair.image)
        except (InputError, ImageError):
            refused += 1
    assert refused > 100
