"""Scores what needs no training on the validation and test images, and notes what each is like.

reads   arrays/index.csv, raw/ (photographs and masks)
writes  metrics/baselines.csv: a row an image with its traits (scoring/traits.py), and the Dice and
        IoU of each baseline (scoring/baselines.py) at the photograph's original resolution
knobs   none
"""

import lesion  # noqa: F401  before the libraries to which it says how to compute

# isort: split

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lesion.console.cli import run
from lesion.console.progress import Progress
from lesion.formats.arrays import INDEX, load_index
from lesion.formats.splits import SCORED
from lesion.parameters.model import StageParams
from lesion.parameters.reading import load_params
from lesion.photos.archives import ArchiveReader
from lesion.photos.images import decode_image, resize_image, resize_levels, resize_mask
from lesion.photos.masks import Reading, open_mask
from lesion.pipeline.errors import ImageError, InputError
from lesion.pipeline.files import write_csv
from lesion.pipeline.parallel import in_order
from lesion.scoring.baselines import BASELINES
from lesion.scoring.scores import Confusion
from lesion.scoring.traits import Traits

RAW = Path("raw")
ARRAYS = Path("arrays")
TABLE = Path("metrics/baselines.csv")
SIDE = 512  # most pixels of the longer side of what traits and baselines are made from
DIGITS = {"lesion_share": 6, "contrast": 2, "ita": 2, "hair_share": 5}


def main() -> None:
    load_params(StageParams)  # a mistake in the file stops every stage
    index = pd.concat([load_index(ARRAYS, split) for split in SCORED], ignore_index=True)
    for split in SCORED:
        if not (index["split"] == split).any():
            raise InputError(
                f"{ARRAYS / INDEX}: no {split} row; expected at least one; "
                "run `dvc repro preprocess`"
            )
    table = pd.DataFrame(measure_all(index)).round(DIGITS).round(6)
    write_csv(TABLE, index[["id", "split"]].join(table))
    for split in SCORED:
        of_split = table[index["split"] == split]
        means = (f"{name} {of_split[f'{name}_dice'].mean():.4g}" for name in BASELINES)
        print(f"{split}, mean Dice without training: " + "  ".join(means))


def measure_all(index: pd.DataFrame) -> list[dict[str, object]]:
    """Traits and scores of each image, in the order of `index`.

    Raises:
        ImageError, InputError: a file is missing, damaged or not of the size in `index`; the
            message names it.
    """
    records = []
    with ArchiveReader(RAW) as archives, Progress("baseline", len(index), "images") as progress:

        def measure_row(row: Any) -> dict[str, object]:
            image, mask = (
                archives.read(archive, member)
                for archive, member in (
                    (row.image_archive, row.image),
                    (row.mask_archive, row.mask),
                )
            )
            try:
                shape = (int(row.height), int(row.width))
                return measure(image, mask, shape, Reading.from_row(row))
            except ImageError as error:
                raise ImageError(f"{RAW}: {row.id}: {error}") from None

        for record in in_order(measure_row, index.itertuples(index=False)):
            records.append(record)
            progress.update()
    return records


def measure(
    image_file: bytes, mask_file: bytes, shape: tuple[int, int], reading: Reading
) -> dict[str, object]:
    """Traits of an image, and Dice and IoU of each baseline, by column; the mask by `reading`.

    Raises:
        ImageError: one of the files is no whole image, or not of `shape`, height and width.
    """
    scale = min(1.0, SIDE / max(shape))
    height, width = (max(1, round(length * scale)) for length in shape)
    photograph, mask = decode_image(image_file, (height, width)), open_mask(mask_file, reading)
    for what, found in (("image", photograph.shape), ("mask", mask.shape)):
        if found != shape:
            raise ImageError(
                f"{what} is {found[1]}×{found[0]}; expected {shape[1]}×{shape[0]} as in "
                f"{ARRAYS / INDEX}; run `dvc repro preprocess`"
            )
    image = resize_image(photograph.pixels, height, width)
    truth = np.asarray(mask.image) > 127
    traits = Traits.of(
        image,
        resize_levels(mask.image, height, width) > 127,
        lesion_share=mask.lesion / truth.size,
        at_border=bool(truth[[0, -1]].any() or truth[:, [0, -1]].any()),
    )
    scores: dict[str, float] = {}
    for name, segment in BASELINES.items():
        confusion = Confusion.between(resize_mask(segment(image), *shape), truth)
        scores |= {f"{name}_dice": confusion.dice, f"{name}_iou": confusion.iou}
    return {**vars(traits), **scores}


if __name__ == "__main__":
    run(main)
