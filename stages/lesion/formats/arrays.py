"""The arrays that preprocessing leaves for training: one pair of .npy files a split, and an index.

`<split>_images.npy` is uint8 N×H×W×3 RGB, `<split>_masks.npy` uint8 N×H×W of 0 and 1; the rows
of index.csv are in the same order.
"""

import math
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pandas as pd

from lesion.pipeline.errors import InputError

INDEX = "index.csv"


def array_path(folder: Path, split: str, kind: str) -> Path:
    """Where the `kind` ("images" or "masks") of a split lie."""
    return folder / f"{split}_{kind}.npy"


def training_arrays(folder: Path) -> list[Path]:
    """What a training learns from and is validated on."""
    return [
        array_path(folder, split, kind)
        for split in ("train", "validation")
        for kind in ("images", "masks")
    ]


class RowFile:
    """uint8 arrays of one shape, in a nameless file in `folder` until their order is known."""

    def __init__(self, folder: Path) -> None:
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)
        self._shape: tuple[int, ...] = ()
        self._length = 0

    def append(self, row: np.ndarray) -> int:
        """Takes an array; returns its position, 0 being that of the first."""
        self._shape = row.shape
        self._file.write(row.tobytes())
        self._length += 1
        return self._length - 1

    def save(self, path: Path, positions: Collection[int]) -> None:
        """Writes a .npy file of the arrays at `positions`.

        None but the one that is being copied is in memory.
        """
        size = math.prod(self._shape)
        shape = (len(positions), *self._shape)
        with path.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for position in positions:
                self._file.seek(position * size)
                file.write(self._file.read(size))

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):  # what is not on a full disk yet is of no use any more
            self._file.close()


def load_arrays(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and masks of a split, mapped from disk.

    Raises:
        InputError: a file is missing, or is no such array.
    """
    images = _load(array_path(folder, split, "images"), dimensions=4)
    masks = _load(array_path(folder, split, "masks"), dimensions=3)
    if images.shape != (*masks.shape, 3):
        raise InputError(
            f"{folder}: {split} images are {images.shape}, masks {masks.shape}; "
            "run `dvc repro preprocess`"
        )
    return images, masks


def load_split(folder: Path, split: str) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The index of a split (`load_index`), and its images and masks (`load_arrays`).

    Raises:
        InputError: a file is missing or of another kind, or they differ in length.
    """
    index = load_index(folder, split)
    images, masks = load_arrays(folder, split)
    if len(index) != len(images):
        raise InputError(
            f"{folder / INDEX}: {len(index)} {split} rows; expected {len(images)}, one an image; "
            "run `dvc repro preprocess`"
        )
    return index, images, masks


def load_index(folder: Path, split: str) -> pd.DataFrame:
    """Id, original height and width, archives and members of each row of a split's arrays."""
    table = load_indices(folder)
    return table[table["split"] == split].reset_index(drop=True)


def load_indices(folder: Path) -> pd.DataFrame:
    """The same of all splits.

    Raises:
        InputError: it is not there.
    """
    try:
        return pd.read_csv(folder / INDEX, dtype={"id": str, "group": str}, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{folder / INDEX}: not found; run `dvc repro`, which makes it") from None


def _load(path: Path, dimensions: int) -> np.ndarray:
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `dvc repro`, which makes it") from None
    except ValueError as error:
        raise InputError(
            f"{path}: not a whole array ({error}); run `dvc repro preprocess`"
        ) from None
    if array.dtype != np.uint8 or array.ndim != dimensions:
        raise InputError(
            f"{path}: found {array.dtype} of {array.ndim} dimensions; "
            f"expected uint8 of {dimensions}"
        )
    return array
