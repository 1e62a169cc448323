"""From a row an image to the figures of a split: means and pooled scores, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import pandas as pd

from lesion.formats.groups import CLASSES, groups
from lesion.scoring.baselines import BASELINES
from lesion.scoring.boundary import BoundaryScores
from lesion.scoring.intervals import means, ratio, ratios
from lesion.scoring.scores import LEAST_JACCARD, ImageScores

BATCH = 4  # images whose pixels count as one, as in the notebooks that this project starts from
MEANS = tuple(field.name for kind in (ImageScores, BoundaryScores) for field in fields(kind))
PIXELS = ("hd95", "assd")  # the means that are no shares
GROUPED = ("dice", "iou", "thresholded_iou")
COLUMNS = ["split", "group", "method", "score", "images", "value", "low", "high"]


def summarise_split(rows: pd.DataFrame, baselines: pd.DataFrame) -> pd.DataFrame:
    """All figures of a split, with COLUMNS; a row a figure.

    `rows` is of metrics/per_image.csv, `baselines` of metrics/baselines.csv. `method` is
    "network" or a way to segment without training; `group` "all" or, e.g., "size: small".
    """
    rows = rows.sort_values("id")
    same = baselines.set_index("id").loc[rows["id"]].reset_index()
    count = len(rows)
    parts = [summarise_network(rows).assign(group="all", method="network", images=count)]
    for method in BASELINES:
        iou = same[f"{method}_iou"]
        values = pd.DataFrame(
            {
                "dice": same[f"{method}_dice"],
                "iou": iou,
                "thresholded_iou": iou.where(iou >= LEAST_JACCARD, 0),
            }
        )
        part = shares(values, [*rows["group"]])
        parts.append(part.assign(group="all", method=method, images=count))
    for name, column in groups(same).items():
        for group in filter(set(column).__contains__, CLASSES[name]):
            own = rows[(column == group).to_numpy()]
            part = shares(own[list(GROUPED)], [*own["group"]])
            parts.append(
                part.assign(
                    group=f"{name.replace('_', ' ')}: {group}", method="network", images=len(own)
                )
            )
    split = rows["split"].iloc[0]
    return pd.concat(parts, ignore_index=True).assign(split=split)[COLUMNS]


def summarise_network(rows: pd.DataFrame) -> pd.DataFrame:
    """All scores of some images, sorted by id: columns `score`, `value`, `low`, `high`.

    `rows` has id, group (a patient's, say, or ""), MEANS, and the pixel counts tp, fp, fn. Beside
    the means over images:

    failed       share of the images with IoU below 0.65
    pooled_*     of all pixels as if they were one image: large lesions weigh more
    batch_*      the same of each BATCH images that follow each other, then the mean
    """
    together = [*rows["group"]]
    values = rows[list(MEANS)].assign(failed=rows["iou"] < LEAST_JACCARD)
    highest = [np.inf if name in PIXELS else 1 for name in values]
    above, below = _overlap(rows)
    batches = rows[["tp", "fp", "fn"]].groupby(np.arange(len(rows)) // BATCH).sum()
    parts = [
        means(values, 0, highest, together),
        ratios(above.add_prefix("pooled_"), below.add_prefix("pooled_"), together),
        shares(_divided(*_overlap(batches)).add_prefix("batch_")),
    ]
    return pd.concat(parts, ignore_index=True)


def shares(values: pd.DataFrame, groups: Sequence[str] = ()) -> pd.DataFrame:
    """The means of numbers from 0 to 1, with their intervals."""
    return means(values, 0, 1, groups)


def _overlap(pixels: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Numerators and denominators of Dice and IoU from the counts tp, fp and fn."""
    tp, wrong = pixels["tp"], pixels["fp"] + pixels["fn"]
    above = pd.DataFrame({"dice": 2 * tp, "iou": tp})
    return above, pd.DataFrame({"dice": 2 * tp + wrong, "iou": tp + wrong})


def _divided(above: pd.DataFrame, below: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(ratio(above.to_numpy(float), below.to_numpy(float)), columns=above.columns)
