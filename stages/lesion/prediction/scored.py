"""The trained model on pairs of image and mask of another data set: checked as the stage preprocess
checks them, predicted as whatever uses the model predicts, scored as evaluate scores. Nothing is
chosen on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from lesion.console.progress import Progress
from lesion.formats.arrays import RowFile
from lesion.network.predict import probability_maps
from lesion.photos.archives import Reader
from lesion.photos.images import encode_mask
from lesion.photos.inventory import COLUMNS as DATA_COLUMNS
from lesion.photos.inventory import KEPT
from lesion.photos.names import MASK_SUFFIX
from lesion.photos.overlap import Own, counts, mark_overlap
from lesion.photos.pairs import convert_all
from lesion.pipeline.files import require_room, write_bytes
from lesion.pipeline.parallel import in_order
from lesion.prediction.segmenter import Segmenter
from lesion.scoring.calibration import PixelCounts, calibration_errors
from lesion.scoring.cases import case
from lesion.scoring.confidence import reliance
from lesion.scoring.external import IMAGE_COLUMNS, summarise_external
from lesion.scoring.originals import Originals


@dataclass(frozen=True)
class Scored:
    """What became of a data set.

    data     a row a pair, as in metrics/data.csv, with its twin among the pipeline's own images
    images   a row with IMAGE_COLUMNS for each that was scored, in order of ids
    scores   a row a score with its interval (lesion.scoring.external)
    numbers  the scores of all images by name, how far the network knows when it fails, calibration,
             and how many images were scored, rejected, left out, or are in the test split too
    """

    data: pd.DataFrame
    images: pd.DataFrame
    scores: pd.DataFrame
    numbers: dict[str, float]


def score_pairs(
    pairs: pd.DataFrame,
    reader: Reader,
    segmenter: Segmenter,
    *,
    own: Own | None,
    title: str,
    leave_out: bool = True,
    check: Callable[[pd.DataFrame], object] = lambda data: None,
    threads: int = 0,
    scratch: Path | None = None,
    out: Path | None = None,
) -> Scored:
    """Scores the model on `pairs`, rows as the stage collect lists them.

    Images that the model has learnt from, by `own`, are found, and left out where `leave_out` says
    so. `check` gets the table `data` before anything is predicted, and may stop. Squares go to the
    folder `scratch` for the while, masks to `out`, as X_segmentation.png, where that is given.

    Raises:
        InputError: masks contradict each other, or one of `check`.
        ImageError: a file changed in the meantime.
    """
    header = segmenter.header
    with TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        # Twice, as in preprocess: as they come, and in their order.
        require_room(folder, 2 * len(pairs) * 4 * header.image_size**2)
        with RowFile(folder) as images, RowFile(folder) as masks:
            square = header.resize, header.image_size
            table, thumbnails = convert_all(
                pairs, reader, *square, images, masks, f"{title}, check"
            )
            if own:
                usable = table.loc[table["state"] == KEPT, "row"]
                of_usable = [thumbnails[row] for row in usable]
                table = mark_overlap(table, of_usable, own, leave_out=leave_out)
            check(table)
            index = table[table["state"] == KEPT].sort_values("id", ignore_index=True)
            squares, truths = (
                _mapped(file, folder / f"{kind}.npy", index["row"])
                for kind, file in (("images", images), ("masks", masks))
            )
        originals = Originals(index, reader)
        rows, pixels = _predict(segmenter, originals, squares, truths, out, threads, title)
    cases = index.drop(columns="lesion_share").join(pd.DataFrame(rows, index=index.index))
    cases = cases.reindex(columns=IMAGE_COLUMNS)
    scores = summarise_external(cases)
    temperature = segmenter.decision.temperature
    return Scored(
        table[DATA_COLUMNS], cases, scores, _numbers(table, cases, scores, pixels, temperature)
    )


def _mapped(file: RowFile, path: Path, rows: Collection[int]) -> np.ndarray:
    """The arrays of these rows, mapped from the disk: memory does not grow."""
    file.save(path, rows)
    return np.load(path, mmap_mode="r")


def _predict(
    segmenter: Segmenter,
    originals: Originals,
    images: np.ndarray,
    masks: np.ndarray,
    out: Path | None,
    threads: int,
    title: str,
) -> tuple[list[dict[str, float]], PixelCounts]:
    """What is said of each of N squares, N×S×S×3 uint8, and the pixels by probability; `masks` are
    the true ones, N×S×S of 0 and 1."""
    tta = [segmenter.decision.rules.tta]
    maps = probability_maps(segmenter.predictor, images, segmenter.device, tta, threads)
    pixels, rows = PixelCounts(), []

    def one(numbered: tuple[int, np.ndarray]) -> tuple[int, np.ndarray, dict[str, float]]:
        row, (probabilities,) = numbered
        decided = originals.decided(row, probabilities, segmenter.decision)
        if out:
            path = out / f"{originals.rows[row].id}{MASK_SUFFIX}.png"
            write_bytes(path, encode_mask(decided.mask))
        return row, probabilities, case(decided, originals.truth(row))

    with Progress(f"{title}, scores", len(images), "images") as progress:
        for row, probabilities, found in in_order(one, enumerate(maps), threads):
            pixels.add(originals.shown(row, probabilities), originals.shown(row, masks[row]))
            rows.append(found)
            progress.update()
    return rows, pixels


def _numbers(
    table: pd.DataFrame,
    cases: pd.DataFrame,
    scores: pd.DataFrame,
    pixels: PixelCounts,
    temperature: float,
) -> dict[str, float]:
    numbers: dict[str, float] = {}
    if len(cases):
        numbers |= scores[scores["group"] == "all"].set_index("score")["value"].to_dict()
        numbers |= reliance(cases)
        errors = calibration_errors(pixels.reliability(temperature))
        numbers |= {f"calibration_error_{name}": error for name, error in errors.items()}
    known = {name: round(value, 6) for name, value in numbers.items() if not math.isnan(value)}
    return {**known, "images": len(cases), **counts(table)}
