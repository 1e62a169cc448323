"""How sure the network is of an image, without its true mask, and whether that can be relied on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import scipy  # loads its parts where they are used

from lesion.scoring.scores import LEAST_JACCARD

if TYPE_CHECKING:
    import pandas as pd  # slower to import than a photograph is to segment

REVIEWED = 0.1  # share of the images, those of least confidence, that somebody would look at
Numbers = TypeVar("Numbers", float, np.ndarray)


@dataclass(frozen=True)
class NoLesion:
    """How likely an image shows no lesion, by the highest probability p of its pixels.

    That pixel alone would say 1 − p. But where every photograph is of a lesion, one that the
    network does not see is there all the same, and where it is not, pixels are no images. So
    log-odds are scaled and moved, as Platt scaling does (Platt, 1999, "Probabilistic outputs for
    support vector machines"): odds · ((1 − p) / p)^slope, by the validation split.
    """

    odds: float
    slope: float

    @classmethod
    def fitted(cls, highest: np.ndarray, empty: np.ndarray) -> NoLesion:
        """By N images: `highest` in (0, 1), and whether they show none, bool. Never, if none does.

        Least cross-entropy, of Platt's targets, which lie off 0 and 1 the more, the fewer images
        there are. Three significant digits.
        """
        without = np.count_nonzero(empty)
        if not without:
            return cls(0.0, 1.0)
        target = np.where(empty, (without + 1) / (without + 2), 1 / (len(empty) - without + 2))
        logits = scipy.special.logit(1 - highest)

        def loss(moved: np.ndarray) -> float:
            scaled = moved[0] + moved[1] * logits
            return float((np.logaddexp(0, scaled) - target * scaled).mean())

        found = scipy.optimize.minimize(
            loss, (0.0, 1.0), method="L-BFGS-B", bounds=((-20, 20), (0, 20))
        )
        odds, slope = np.exp(found.x[0]), found.x[1]
        return cls(float(f"{odds:.3g}"), float(f"{slope:.3g}"))

    def probability(self, highest: Numbers) -> Numbers:
        """Of one image or of N, in [0, 1]; `highest` in (0, 1)."""
        odds = self.odds * ((1 - highest) / highest) ** self.slope
        return odds / (1 + odds)


def expected_dice(probabilities: np.ndarray, mask: np.ndarray, no_lesion: NoLesion) -> float:
    """The Dice of `mask` to be expected if `probabilities` (calibrated, of the same shape) hold.

    Let P be the probability that there is no lesion. An empty mask has Dice 1 with probability P
    and else 0, hence P. Any other has 0 with probability P; else a pixel is lesion with probability
    p / (1 − P), and the ratio of the numerator's and the denominator's expectations is taken. In
    all that is 2 Σ_mask p / (|mask| + Σ p / (1 − P)).
    """
    empty = no_lesion.probability(float(probabilities.max()))
    marked = np.count_nonzero(mask)
    if not marked:
        return empty
    found, lesion = probabilities[mask].sum(dtype=float), probabilities.sum(dtype=float)
    return float(2 * found * (1 - empty) / (marked * (1 - empty) + lesion))


def review_limit(expected: np.ndarray) -> float:
    """The expected Dice at which, or below, the REVIEWED share of N images lies."""
    return float(np.sort(expected)[math.ceil(REVIEWED * len(expected)) - 1])


def risk_coverage(rows: pd.DataFrame) -> pd.DataFrame:
    """What is left of the risk if only the images of highest confidence are kept.

    `rows` has id, iou, expected_dice; the result a row for each number of kept images: `coverage`
    (share of the images), `risk` (mean of 1 − IoU), `failures` (share with IoU below 0.65).
    """
    import pandas as pd

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
