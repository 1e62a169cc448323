import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesion.formats.arrays import INDEX, RowFile, array_path, load_arrays, load_index, load_split
from lesion.pipeline.errors import InputError


@pytest.fixture
def folder(tmp_path) -> Path:
    save(tmp_path)
    return tmp_path


def save(folder: Path, images: tuple = (3, 8, 8, 3), masks: tuple = (3, 8, 8), dtype=np.uint8):
    rng = np.random.default_rng(0)
    np.save(array_path(folder, "train", "images"), rng.integers(0, 256, images).astype(dtype))
    np.save(array_path(folder, "train", "masks"), rng.integers(0, 2, masks).astype(np.uint8))


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        load_arrays(folder, "train")
    return str(error.value)


def test_arrays_come_back_mapped_and_read_only(folder):
    images, masks = load_arrays(folder, "train")
    assert isinstance(images, np.memmap) and isinstance(masks, np.memmap)
    assert not images.flags.writeable and not masks.flags.writeable
    assert np.array_equal(images, np.load(folder / "train_images.npy"))
    assert np.array_equal(masks, np.load(folder / "train_masks.npy"))


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_missing_file_is_refused_by_name(folder, kind):
    array_path(folder, "train", kind).unlink()
    assert f"train_{kind}.npy: not found" in refusal(folder)


@pytest.mark.parametrize(
    "shapes",
    [
        {"images": (2, 8, 8, 3)},
        {"images": (3, 8, 9, 3)},
        {"masks": (3, 4, 4)},
        {"images": (8, 8, 3)},
        {"images": (3, 8, 8)},
        {"masks": (3, 8, 8, 1)},
        {"images": (3, 8, 8, 1)},
        {"images": (3, 8, 8, 4)},
        {"dtype": np.float32},
        {"dtype": np.int8},
        {"dtype": bool},
    ],
    ids=str,
)
def test_arrays_of_another_shape_or_type_are_refused(folder, shapes):
    save(folder, **shapes)
    assert str(folder) in refusal(folder)


@pytest.mark.parametrize("kept", [0, 5, 9, 60, 128, -1])
@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_cut_file_is_refused_by_name(folder, kind, kept):
    path = array_path(folder, "train", kind)
    path.write_bytes(path.read_bytes()[:kept])
    assert str(path) in refusal(folder)


def archive_of_arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, np.zeros((3, 8, 8, 3), np.uint8))
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"text", b"PK\x03\x04", archive_of_arrays()])
def test_a_file_that_is_no_array_is_refused_by_name(folder, content):
    path = array_path(folder, "train", "images")
    path.write_bytes(content)
    assert str(path) in refusal(folder)


def test_objects_are_refused_and_not_unpickled(folder):
    path = array_path(folder, "train", "images")
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert str(path) in refusal(folder)


def test_index_gives_the_rows_of_a_split_in_order_with_ids_as_text(tmp_path):
    ids = ["0010", "002", "NA", "null", "1e5", "x"]
    splits = ["train", "test", "train", "train", "train", "test"]
    table = pd.DataFrame({"id": ids, "split": splits, "height": range(6), "synthetic": True})
    table.to_csv(tmp_path / INDEX, index=False)
    index = load_index(tmp_path, "train")
    assert index["id"].tolist() == ["0010", "NA", "null", "1e5"]
    assert index["height"].tolist() == [0, 2, 3, 4]
    assert index["synthetic"].all() and index.index.tolist() == [0, 1, 2, 3]
    assert load_index(tmp_path, "validation").empty


def test_a_missing_index_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=INDEX):
        load_index(tmp_path, "train")


@pytest.mark.parametrize("shape", [(4, 4, 3), (5, 7), (1,), ()])
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1], [2, 2, 0], [3], []])
def test_saved_rows_are_the_bytes_that_numpy_saves_of_those_rows_in_that_order(
    tmp_path, shape, order
):
    rows = np.random.default_rng(0).integers(0, 256, (4, *shape)).astype(np.uint8)
    np.save(tmp_path / "expected.npy", rows[order])
    with RowFile(tmp_path) as file:
        for row in rows:
            file.append(row)
        for _ in range(2):
            file.save(tmp_path / "saved.npy", pd.Series(order, index=range(7, 7 + len(order))))
            saved = (tmp_path / "saved.npy").read_bytes()
            assert saved == (tmp_path / "expected.npy").read_bytes()


def test_a_row_that_does_not_lie_in_one_piece_is_saved_as_it_looks(tmp_path):
    turned = np.arange(12, dtype=np.uint8).reshape(3, 4).T
    with RowFile(tmp_path) as file:
        file.append(turned[:, ::-1])
        file.save(tmp_path / "saved.npy", [0])
    assert np.array_equal(np.load(tmp_path / "saved.npy")[0], turned[:, ::-1])


def test_rows_that_wait_leave_no_file_behind(tmp_path):
    with pytest.raises(KeyError), RowFile(tmp_path) as file:
        file.append(np.zeros(3, np.uint8))
        assert list(tmp_path.iterdir()) == []
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_saved_rows_are_loaded_as_a_splits_arrays(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    masks = rng.integers(0, 2, (3, 8, 8)).astype(np.uint8)
    for kind, rows in (("images", images), ("masks", masks)):
        with RowFile(tmp_path) as file:
            for row in rows:
                file.append(row)
            file.save(array_path(tmp_path, "test", kind), [2, 0])
    loaded = load_arrays(tmp_path, "test")
    assert np.array_equal(loaded[0], images[[2, 0]]) and np.array_equal(loaded[1], masks[[2, 0]])


def test_a_split_is_its_index_and_as_many_images_and_masks(folder):
    table = pd.DataFrame({"id": ["a", "b", "c", "d"], "split": ["train", "test", "train", "train"]})
    table.to_csv(folder / INDEX, index=False)
    index, images, masks = load_split(folder, "train")
    assert index["id"].tolist() == ["a", "c", "d"]
    assert np.array_equal(images, load_arrays(folder, "train")[0])
    assert np.array_equal(masks, load_arrays(folder, "train")[1])


@pytest.mark.parametrize("rows", [0, 2, 4])
def test_an_index_of_another_length_than_the_arrays_is_refused(folder, rows):
    pd.DataFrame({"id": range(rows), "split": "train"}).to_csv(folder / INDEX, index=False)
    with pytest.raises(InputError, match=rf"{INDEX}: {rows} train rows; expected 3, one an image"):
        load_split(folder, "train")
