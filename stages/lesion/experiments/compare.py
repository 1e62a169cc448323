"""Two trainings on the same images: what differs, image by image, and whether that is chance."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from lesion.pipeline.errors import InputError
from lesion.scoring.intervals import means, p_value

COMPARED = ("dice", "iou", "thresholded_iou", "boundary_f1", "hd95", "assd")
LOWER_IS_BETTER = ("hd95", "assd")


@dataclass(frozen=True)
class Comparison:
    """`scores` has a row a score, `images` a row an image, those first that got worse in Dice.

    scores: score, before, after (means), difference, low, high (95 % interval of the mean
            difference over images), p (two-sided), better, worse (images); low, high and p are
            NaN of too few images (lesion.scoring.intervals)
    images: id, and each of COMPARED before, after, and their difference
    """

    scores: pd.DataFrame
    images: pd.DataFrame


def compare(before: pd.DataFrame, after: pd.DataFrame, split: str = "test") -> Comparison:
    """Compares two tables metrics/per_image.csv on the images of a split.

    Raises:
        InputError: they are not of the same images.
    """
    tables = [
        table[table["split"] == split].set_index("id").sort_index() for table in (before, after)
    ]
    missing = tables[0].index.symmetric_difference(tables[1].index)
    if len(missing):
        raise InputError(
            f"{len(missing)} {split} images are in one table only, such as {missing[0]}; "
            "expected two runs on the same data and split"
        )
    if tables[0].empty:
        raise InputError(f"no {split} images; expected split to be test or validation")
    one, other = (table[list(COMPARED)] for table in tables)
    difference = other - one
    # Results of before there were groups have none.
    groups = [*tables[1]["group"]] if "group" in tables[1] else []
    summary = means(difference, groups=groups).set_index("score")
    improved = difference * [(-1 if name in LOWER_IS_BETTER else 1) for name in COMPARED]
    scores = pd.DataFrame(
        {
            "before": one.mean(),
            "after": other.mean(),
            "difference": summary["value"],
            "low": summary["low"],
            "high": summary["high"],
            "p": p_value(difference, groups),
            "better": (improved > 0).sum(),
            "worse": (improved < 0).sum(),
        }
    )
    images = pd.concat(
        [
            one.add_suffix("_before"),
            other.add_suffix("_after"),
            difference.add_suffix("_difference"),
        ],
        axis=1,
    )
    order = images.sort_values("dice_difference", kind="stable")
    return Comparison(scores.rename_axis("score").reset_index(), order.reset_index())
