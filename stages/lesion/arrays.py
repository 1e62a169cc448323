"""The arrays that preprocessing leaves for training: one pair of .npy files a split, and an index.

`<split>_images.npy` is uint8 N×H×W×3 RGB, `<split>_masks.npy` uint8 N×H×W of 0 and 1; the rows
of index.csv are in the same order.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from lesion.errors import InputError

INDEX = "index.csv"


def array_path(folder: Path, split: str, kind: str) -> Path:
    """Where the `kind` ("images" or "masks") of a split lie."""
    return folder / f"{split}_{kind}.npy"


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


def load_index(folder: Path, split: str) -> pd.DataFrame:
    """Id, original height and width, archives and members of each row of a split's arrays."""
    try:
        table = pd.read_csv(folder / INDEX, dtype={"id": str}, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{folder / INDEX}: not found; run `dvc repro`, which makes it") from None
    return table[table["split"] == split].reset_index(drop=True)


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
