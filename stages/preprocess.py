"""Decodes every image and mask once and lays them out as arrays, ready for training.

reads   raw/
writes  arrays/: <split>_images.npy (uint8 N×H×W×3), <split>_masks.npy (uint8 N×H×W of 0 and 1),
        index.csv (one row a pair, in the arrays' order), rejected.csv (what could not be read)
knobs   image_size, val_fraction, test_fraction, split_seed, max_rejected (params.yaml)
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from lesion import params
from lesion.archives import ArchiveReader
from lesion.arrays import INDEX, array_path
from lesion.cli import run
from lesion.errors import ImageError, InputError
from lesion.files import whole_folder, write_csv
from lesion.images import decode_image, decode_mask, resize_image, resize_mask
from lesion.progress import Progress
from lesion.splits import SPLITS, assign_splits

RAW = Path("raw")
ARRAYS = Path("arrays")


def main() -> None:
    knobs = params.load(params.PreprocessParams)
    pairs = pd.read_csv(RAW / "index.csv", dtype=str, keep_default_na=False)
    official = dict(zip(pairs["id"], pairs["split"], strict=True))
    splits = assign_splits(official, knobs.val_fraction, knobs.test_fraction, knobs.split_seed)
    pairs["split"] = pairs["id"].map(splits)

    with whole_folder(ARRAYS) as folder:
        tables = [
            write_split(folder, split, pairs[pairs["split"] == split], knobs.image_size)
            for split in SPLITS
        ]
        table = pd.concat(tables, ignore_index=True)
        rejected = table[table["reason"].notna()]
        check_rejected(rejected, len(table), knobs.max_rejected)
        kept = table[table["reason"].isna()].drop(columns="reason")
        for split in SPLITS:
            if split not in set(kept["split"]):
                raise InputError(
                    f"{RAW}: none of {len(table)} pairs falls into the {split} split; expected at "
                    "least one: add pairs, or change val_fraction, test_fraction or split_seed"
                )
        write_csv(folder / INDEX, kept.astype({"height": int, "width": int}))
        write_csv(folder / "rejected.csv", rejected[["id", "split", "reason"]])
    print("arrays:", ", ".join(f"{sum(kept['split'] == split)} {split}" for split in SPLITS))


def write_split(folder: Path, split: str, pairs: pd.DataFrame, side: int) -> pd.DataFrame:
    """Writes the two arrays of a split; `pairs` with height and width, or reason, of each."""
    count = len(pairs)
    images = new_array(array_path(folder, split, "images"), (count, side, side, 3))
    masks = new_array(array_path(folder, split, "masks"), (count, side, side))
    rows = list(pairs.itertuples(index=False))

    with ArchiveReader(RAW) as archives:

        def convert(row: int) -> dict:
            try:
                images[row], masks[row], (height, width) = read_pair(archives, rows[row], side)
                return {"height": height, "width": width, "reason": None}
            except ImageError as error:
                return {"height": None, "width": None, "reason": str(error)}

        # Threads do: decoding and resizing leave Python's lock to others.
        done = []
        with ThreadPoolExecutor() as pool, Progress(split, count, "images") as progress:
            for result in pool.map(convert, range(count)):
                done.append(result)
                progress.update()

    results = pd.DataFrame(done, columns=["height", "width", "reason"], index=pairs.index)
    keep = results["reason"].isna().to_numpy()
    if not keep.all():
        np.save(array_path(folder, split, "images"), images[keep])
        np.save(array_path(folder, split, "masks"), masks[keep])
    return pairs.join(results)


def new_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 .npy file of that shape, mapped, so that memory does not grow with the images."""
    if shape[0] == 0:
        empty = np.empty(shape, np.uint8)
        np.save(path, empty)
        return empty
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def read_pair(
    archives: ArchiveReader, pair: tuple, side: int
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Image (side×side×3) and mask (side×side) resized, and their original (height, width)."""
    image, shape = decode_image(archives.read(pair.image_archive, pair.image), side)
    mask = decode_mask(archives.read(pair.mask_archive, pair.mask))
    if mask.shape != shape:
        raise ImageError(f"{pair.image} is {shape} pixels high and wide, its mask {mask.shape}")
    return resize_image(image, side, side), resize_mask(mask, side, side), shape


def check_rejected(rejected: pd.DataFrame, total: int, allowed: float) -> None:
    """Stops where more than the share `allowed` of the pairs could not be read."""
    if len(rejected) > allowed * total:
        first = rejected.iloc[0]
        raise InputError(
            f"{RAW}: {len(rejected)} of {total} pairs cannot be used, the first being "
            f"{first['id']}: {first['reason']}; mend or remove them, or allow a share of them "
            f"with max_rejected (now {allowed})"
        )


if __name__ == "__main__":
    run(main)
