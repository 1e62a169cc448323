"""datasets.yaml: what may stand in it, and what stands in the project's own."""

from pathlib import Path

import pytest

from lesion.fetching.datasets import Archive, Dataset, Folder, SplitSources, load_datasets
from lesion.photos.archives import find_archives
from lesion.photos.names import Layout
from lesion.pipeline.errors import InputError

SHA = "0123456789abcdef" * 4
ENTRY = f"""
small:
  title: "Small"
  licence: CC0-1.0
  cite: ["Somebody"]
  overlaps: ["large"]
  base_url: https://example.org/files/
  mirrors: [https://example.net/]
  mask_suffix: _lesion
  train:
    images: {{archive: a.zip, files: 3, bytes: 10, sha256: {SHA}}}
    masks: {{folder: masks}}
"""


@pytest.fixture(scope="module")
def known(root: Path) -> dict[str, Dataset]:
    return load_datasets(root / "datasets.yaml")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "datasets.yaml"
    path.write_text(text)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load_datasets(path)
    assert str(error.value).startswith((f"{path}: ", f"{path}, line "))
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("isic2018", {"train": 2594, "validation": 100, "test": 1000}),
        ("isic2017", {"train": 2000, "validation": 150, "test": 600}),
        ("isic2016", {"train": 900, "test": 379}),
    ],
)
def test_challenges_have_the_official_numbers_of_images_and_masks(
    known: dict[str, Dataset], name: str, counts: dict[str, int]
) -> None:
    assert known[name].counts == counts
    for split in known[name].splits.values():
        assert [source.files for source in split.images] == [source.files for source in split.masks]


CHALLENGES = ("isic2018", "isic2017", "isic2016")


def test_challenges_of_the_project_are_told_apart_by_their_archives_names(
    known: dict[str, Dataset], tmp_path: Path
) -> None:
    for name in CHALLENGES:
        dataset = known[name]
        (tmp_path / name).mkdir()
        for archive in dataset.archives:
            (tmp_path / name / archive.archive).touch()
        found = find_archives(tmp_path / name)
        assert {
            split: [path.name for path in (*archives.images, *archives.masks)]
            for split, archives in found.items()
        } == {
            split: [source.archive for source in (*entry.images, *entry.masks)]
            for split, entry in dataset.splits.items()
        }


def test_addresses_of_the_project_are_encrypted(known: dict[str, Dataset]) -> None:
    for name in CHALLENGES:
        assert known[name].base_url.scheme == "https"
        assert known[name].mirrors
        assert all(mirror.scheme == "https" for mirror in known[name].mirrors)


def test_what_has_no_address_is_to_be_obtained_by_hand(known: dict[str, Dataset]) -> None:
    for name, dataset in known.items():
        assert bool(dataset.base_url) != bool(dataset.obtain)
        for source in dataset.sources:
            if isinstance(source, Folder):
                assert source.folder == "."
                assert f"train, with data=data/{name}" in dataset.obtain
                assert f"with external=[{name}]" in dataset.obtain
            elif not dataset.base_url:
                assert source.archive in dataset.obtain
        assert "https://" in (dataset.obtain or "https://"), name


def test_masks_of_ham10000_are_those_that_were_published_for_all_its_images(
    known: dict[str, Dataset],
) -> None:
    train = known["ham10000"].train
    assert known["ham10000"].counts == {"train": 10015}
    (masks,) = train.masks
    assert (masks.bytes, masks.files) == (10_808_743, 10_015)
    assert masks.hash == ("md5", "6e8d252e09cfdb0189199f15985a5b84")
    assert [source.files for source in train.images] == [5000, 5015]


@pytest.mark.parametrize("field", ["archive", "sha256", "md5", "bytes"])
def test_no_archive_of_the_project_has_the_name_size_or_hash_of_another(
    known: dict[str, Dataset], field: str
) -> None:
    archives = [archive for dataset in known.values() for archive in dataset.archives]
    values = [value for archive in archives if (value := getattr(archive, field)) is not None]
    assert len(archives) == 19 and len(set(values)) == len(values) > 0


def test_the_project_says_what_it_knows_of_each_challenge(known: dict[str, Dataset]) -> None:
    for archive in known["isic2018"].archives:
        assert archive.bytes and archive.hash == ("sha256", archive.sha256)
    for archive in known["isic2017"].archives:
        assert archive.hash == ("md5", archive.md5) and archive.md5
    assert [archive.hash for archive in known["isic2016"].archives] == [None] * 4


def test_the_project_says_which_test_images_are_training_images_elsewhere(
    known: dict[str, Dataset],
) -> None:
    for name, count in (("isic2016", "339"), ("isic2017", "529")):
        assert any("isic2018" in line and count in line for line in known[name].overlaps)
        assert any(name in line and count in line for line in known["isic2018"].overlaps)


def test_an_entry_is_read_as_it_is_written(tmp_path: Path) -> None:
    (dataset,) = load_datasets(write(tmp_path, ENTRY)).values()
    (images,), (masks,) = dataset.train.images, dataset.train.masks
    assert images == Archive(archive="a.zip", files=3, bytes=10, sha256=SHA)
    assert masks == Folder(folder="masks")
    assert (dataset.title, dataset.layout) == ("Small", Layout(mask_suffix="_lesion"))
    assert str(dataset.base_url) == "https://example.org/files/"
    assert list(dataset.splits) == ["train"] and dataset.counts == {"train": 3}
    assert dataset.archives == [images]


def test_all_but_title_licence_and_train_may_be_left_out(tmp_path: Path) -> None:
    text = """
mine:
  title: Mine
  licence: internal
  train: {images: {folder: a}, masks: {folder: b}}
  test: {images: {archive: c.zip}, masks: {archive: d.zip}}
"""
    (dataset,) = load_datasets(write(tmp_path, text)).values()
    assert dataset.base_url is None and dataset.obtain is None
    assert dataset.layout == Layout("", "_segmentation", ())
    assert list(dataset.splits) == ["train", "test"] and dataset.counts == {}
    assert [archive.hash for archive in dataset.archives] == [None, None]


LISTS = f"""
several:
  title: Several
  licence: internal
  obtain: "ask for it"
  image_suffix: _orig
  mask_suffix: _contour
  ignore: ["*_roi/*", "old/*"]
  train:
    images: [{{archive: a.zip, files: 3}}, {{archive: b.zip, files: 4, bytes: 10, sha256: {SHA}}}]
    masks: [{{folder: data/one}}, {{folder: data/two}}]
"""


def test_images_and_masks_may_lie_in_several_places(tmp_path: Path) -> None:
    (dataset,) = load_datasets(write(tmp_path, LISTS)).values()
    assert [source.archive for source in dataset.train.images] == ["a.zip", "b.zip"]
    assert dataset.train.masks == (Folder(folder="data/one"), Folder(folder="data/two"))
    assert dataset.sources == [*dataset.train.images, *dataset.train.masks]
    assert dataset.counts == {"train": 7} and dataset.obtain == "ask for it"
    assert dataset.layout == Layout("_orig", "_contour", ("*_roi/*", "old/*"))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("bytes: 10", "bytes: 0", "several.train.images.1.bytes: found 0"),
        ("archive: b.zip, files: 4", "files: 4", "several.train.images.1.archive: "),
        ("[{folder: data/one}, {folder: data/two}]", "[]", "several.train.masks: found"),
        ("{folder: data/two}", "data/two", "several.train.masks.1: found 'data/two'"),
        ('["*_roi/*", "old/*"]', '"*_roi/*"', "several.ignore: found"),
    ],
)
def test_a_wrong_list_is_refused_with_file_and_place(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    assert old in LISTS
    assert f": {named}" in refusal(write(tmp_path, LISTS.replace(old, new, 1)))


def test_sha256_goes_before_md5() -> None:
    archive = Archive(archive="a.zip", sha256=SHA, md5=SHA[:32])
    assert archive.hash == ("sha256", SHA)


def test_an_archive_that_holds_images_and_masks_is_one_archive() -> None:
    both = Archive(archive="a.zip")
    dataset = Dataset(title="x", licence="x", train=SplitSources(images=both, masks=both))
    assert dataset.archives == [both]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("licence:", "license:", "small.licence: "),
        ("title:", "note: x\n  title:", "small.note: "),
        ("title:", "version: 1\n  title:", "small.version: "),
        ("train:", "training:", "small.train: "),
        ("files: 3", "images: 3", "small.train.images.images: "),
        ("files: 3", "files: -1", "small.train.images.files: found -1"),
        ("bytes: 10", "bytes: 0", "small.train.images.bytes: found 0"),
        ("bytes: 10", "bytes: many", "small.train.images.bytes: found 'many'"),
        ("0123456789abcdef", "0123456789ABCDEF", "small.train.images.sha256: "),
        ("0123456789abcdef", "0123456789abcde", "small.train.images.sha256: "),
        ("0123456789abcdef", "0123456789abcdeg", "small.train.images.sha256: "),
        ("sha256", "md5", "small.train.images.md5: "),
        ("archive: a.zip", "archive: ../a.zip", "small.train.images.archive: "),
        ("archive: a.zip", "archive: /a.zip", "small.train.images.archive: "),
        ("archive: a.zip", "archive: .a.zip", "small.train.images.archive: "),
        ("archive: a.zip", 'archive: "a.zip\\n"', "small.train.images.archive: "),
        ("archive: a.zip", "archive: a.tar", "small.train.images.archive: "),
        ("folder: masks", 'folder: ""', "small.train.masks.folder: "),
        ("folder: masks", "folder: x, files: 3", "small.train.masks.files: "),
        ("{folder: masks}", "masks", "small.train.masks: found 'masks'"),
        ("    masks: {folder: masks}\n", "", "small.train.masks: "),
        ("https://example.org/files/", "example", "small.base_url: "),
        ("https://example.org", "file://example.org", "small.base_url: "),
        ("[https://example.net/]", "[example]", "small.mirrors.0: "),
        ('["Somebody"]', "Somebody", "small.cite: "),
        ("train:", "lesion_values: 1\n  train:", "small.lesion_values: found 1"),
        ("train:", "lesion_values: [-1]\n  train:", "small.lesion_values.0: found -1"),
        ("train:", "lesion_values: [red]\n  train:", "small.lesion_values.0: found 'red'"),
    ],
)
def test_a_wrong_entry_is_refused_with_file_and_place(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    assert old in ENTRY
    assert f": {named}" in refusal(write(tmp_path, ENTRY.replace(old, new, 1)))


def test_a_wrong_entry_is_refused_with_the_name_of_its_data_set(tmp_path: Path) -> None:
    second = ENTRY.replace("small:", "large:").replace("bytes: 10", "bytes: 0")
    assert "large.train.images.bytes: found 0" in refusal(write(tmp_path, ENTRY + second))


def test_images_and_masks_in_one_place_must_have_names_that_differ(tmp_path: Path) -> None:
    train = "{images: {folder: a}, masks: {folder: a}}"
    text = f"x: {{title: x, licence: x, mask_suffix: '', train: {train}}}"
    assert "images and masks of train lie in one place" in refusal(
        write(tmp_path, text.replace("''", "_M, image_suffix: _m"))
    )
    load_datasets(write(tmp_path, text.replace("''", "'', image_suffix: _m")))
    assert "images and masks of train lie in one place" in refusal(write(tmp_path, text))
    load_datasets(write(tmp_path, text.replace("''", "_m")))
    load_datasets(write(tmp_path, text.replace("masks: {folder: a}", "masks: {folder: b}")))


def test_two_archives_of_one_name_must_be_one(tmp_path: Path) -> None:
    second = ENTRY.replace("small:", "large:")
    assert len(load_datasets(write(tmp_path, ENTRY + second))) == 2
    message = refusal(write(tmp_path, ENTRY + second.replace("bytes: 10", "bytes: 11")))
    assert "large: a.zip is described twice, and differently" in message
    inside = ENTRY.replace("{folder: masks}", "{archive: a.zip, bytes: 11}")
    assert "small: a.zip is described twice" in refusal(write(tmp_path, inside))


@pytest.mark.parametrize(
    "content",
    [b"", b"- 1", b"small:", b"small: 3", b"a: [", b"a: 1\na: 2", b"\xe9: 1", b"a: 2021-13-45"],
)
def test_what_is_no_mapping_of_data_sets_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "datasets.yaml"
    path.write_bytes(content)
    refusal(path)


def test_a_missing_registry_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path / "datasets.yaml")
    assert "No such file" in message and "expected in the project" in message
