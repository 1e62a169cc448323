"""How sure the network is of an image, without its true mask, and whether that can be relied on."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from lesion.scores import LEAST_JACCARD

REVIEWED = 0.1  # share of the images, those of least confidence, that somebody would look at


def expected_dice(probabilities: np.ndarray, mask: np.ndarray) -> float:
    """The Dice of `mask` to be expected if `probabilities` (calibrated, of the same shape) hold.

    2 Σ_mask p / (|mask| + Σ p), the ratio of the numerator's and the denominator's expectations;
    0 for an empty mask, since there is a lesion in every image.
    """
    marked = np.count_nonzero(mask)
    if not marked:
        return 0.0
    found, lesion = probabilities[mask].sum(dtype=float), probabilities.sum(dtype=float)
    return float(2 * found / (marked + lesion))


def risk_coverage(rows: pd.DataFrame) -> pd.DataFrame:
    """What is left of the risk if only the images of highest confidence are kept.

    `rows` has id, iou, expected_dice; the result a row for each number of kept images: `coverage`
    (share of the images), `risk` (mean of 1 − IoU), `failures` (share with IoU below 0.65).
    """
    ranked = rows.sort_values(["expected_dice", "id"], ascending=[False, True])
    kept = np.arange(1, len(ranked) + 1)
    return pd.DataFrame(
        {
            "coverage": kept / len(ranked),
            "risk": (1 - ranked["iou"]).to_numpy().cumsum() / kept,
            "failures": (ranked["iou"] < LEAST_JACCARD).to_numpy().cumsum() / kept,
        }
    )


def reliance(rows: pd.DataFrame) -> dict[str, float]:
    """How well `expected_dice` tells good images from bad ones.

    confidence_correlation  Spearman's, with the true Dice; 0 where one of them never varies
    aurc                    area under the risk-coverage curve; lower is better
    failures_in_review      share of all failures that lie in the REVIEWED share of least confidence
    """
    ranked = rows.sort_values(["expected_dice", "id"])
    failed = (ranked["iou"] < LEAST_JACCARD).to_numpy()
    in_review = failed[: math.ceil(REVIEWED * len(ranked))]
    ranks = rows[["expected_dice", "dice"]].rank()
    varied = (ranks.nunique() > 1).all()
    return {
        "confidence_correlation": float(ranks.corr().iloc[0, 1]) if varied else 0.0,
        "aurc": float(risk_coverage(rows)["risk"].mean()),
        "failures_in_review": float(in_review.sum() / failed.sum()) if failed.any() else 1.0,
    }
