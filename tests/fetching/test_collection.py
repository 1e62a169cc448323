"""Data sets that no entry describes, and lists of pairs that stay where they are."""

import shutil
from pathlib import Path

import pytest

from lesion.fetching.collection import COLUMNS, by_names, collect, in_place
from lesion.photos.members import PlacesReader
from lesion.pipeline.errors import InputError
from public_data import drawn, encoded, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images and masks in one folder each, and a table of patients beside them."""
    place = tmp_path / "mine"
    for number in range(3):
        image, mask = drawn(number)
        write(place / "images", {f"X{number}.jpg": image})
        write(place / "masks", {f"X{number}_segmentation.png": encoded(mask, "PNG")})
    (place / "metadata.csv").write_text("isic_id,patient_id\nX0,a\nX1,a\nX2,b\n")
    return place


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_pairs_are_listed_and_read_where_they_lie_and_nothing_is_written(folder, kind):
    place = folder
    if kind == "zip":
        place = Path(shutil.make_archive(str(folder.parent / "packed"), "zip", folder))
        (folder / "metadata.csv").rename(folder.parent / "metadata.csv")
    before = sorted(folder.parent.rglob("*"))
    found = by_names(place)
    table = in_place(found)
    assert table["id"].tolist() == ["X0", "X1", "X2"] and list(table) == COLUMNS
    assert table["group"].nunique() == 2
    reader = PlacesReader(found.places)
    for row in table.itertuples():
        assert reader.read(row.image_archive, row.image) == drawn(int(row.id[1:]))[0]
        assert reader.read(row.mask_archive, row.mask).startswith(b"\x89PNG")
    assert sorted(folder.parent.rglob("*")) == before


def test_archives_of_a_test_split_alone_are_a_data_set_too(sample, tmp_path):
    for path in sample.glob("*Test*.zip"):
        shutil.copy(path, tmp_path)
    listed = in_place(by_names(tmp_path))
    (tmp_path / "raw").mkdir()
    collected = collect(by_names(tmp_path), tmp_path / "raw", 0)
    assert listed["split"].tolist() == ["test", "test"]
    assert listed["synthetic"].all()
    elsewhere = ["image_archive", "mask_archive"]
    assert collected.drop(columns=elsewhere).equals(listed.drop(columns=elsewhere))


@pytest.mark.parametrize(
    ("name", "said"),
    [("nowhere", "nowhere: not found; expected a folder or a zip"), ("empty", "no image in it")],
)
def test_a_place_without_pairs_is_refused(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=said):
        in_place(by_names(tmp_path / name))
