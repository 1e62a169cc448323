"""How sure the network is of an image, without its true mask, and whether that can be relied on."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import scipy  # loads its parts where they are used
from numpy.typing import ArrayLike

from lesion.scores import LEAST_JACCARD

REVIEWED = 0.1  # share of the images, those of least confidence, that somebody would look at


def expected_dice(probabilities: np.ndarray, mask: np.ndarray, no_lesion_odds: float) -> float:
    """The Dice of `mask` to be expected if `probabilities` (calibrated, of the same shape) hold.

    With P the probability that there is no lesion (`no_lesion`), an empty mask has Dice 1 with
    probability P and else 0, hence P. Any other has 0 with probability P. Otherwise a pixel is
    lesion with p / (1 − P), and the ratio of the numerator's and the denominator's expectations is
    taken: in all 2 Σ_mask p / (|mask| + Σ p / (1 − P)).
    """
    empty = no_lesion(float(probabilities.max()), no_lesion_odds)
    marked = np.count_nonzero(mask)
    if not marked:
        return empty
    found, lesion = probabilities[mask].sum(dtype=float), probabilities.sum(dtype=float)
    return float(2 * found * (1 - empty) / (marked * (1 - empty) + lesion))


def no_lesion(highest: ArrayLike, odds: float) -> ArrayLike:
    """The probability that an image shows no lesion, by the highest probability of its pixels.

    That pixel alone would say 1 − p. But where every photograph is of a lesion, one that the
    network does not see is there all the same; `odds` corrects for it: o (1 − p) / (o (1 − p) + p).
    """
    return odds * (1 - highest) / (odds * (1 - highest) + highest)


def no_lesion_odds(highest: np.ndarray, empty: np.ndarray) -> float:
    """The odds by which as many of N images are expected to show no lesion as do, `empty` (bool).

    `highest`, in (0, 1), is each image's highest probability. 0 where all show one; at most 1e6.
    Three significant digits.
    """
    if not empty.any():
        return 0.0
    limit = np.log(1e6)

    def surplus(power: float) -> float:
        return float(no_lesion(highest, np.exp(power)).sum() - empty.sum())

    if surplus(limit) <= 0:
        return 1e6
    return float(f"{np.exp(scipy.optimize.brentq(surplus, -limit, limit)):.3g}")


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

    confidence_correlation  Spearman's, with the true Dice; NaN where one of them never varies
    aurc                    area under the risk-coverage curve; lower is better
    failures_in_review      share of all failures that lie in the REVIEWED share of least
                            confidence; NaN where nothing failed
    """
    ranked = rows.sort_values(["expected_dice", "id"])
    failed = (ranked["iou"] < LEAST_JACCARD).to_numpy()
    in_review = failed[: math.ceil(REVIEWED * len(ranked))]
    ranks = rows[["expected_dice", "dice"]].rank()
    varied = (ranks.nunique() > 1).all()
    return {
        "confidence_correlation": float(ranks.corr().iloc[0, 1]) if varied else math.nan,
        "aurc": float(risk_coverage(rows)["risk"].mean()),
        "failures_in_review": float(in_review.sum() / failed.sum()) if failed.any() else math.nan,
    }
