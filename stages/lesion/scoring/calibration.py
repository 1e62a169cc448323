"""Whether of the pixels with probability p a share p is lesion, and a temperature that sees to it.

Temperature scaling (Guo et al., 2017, https://arxiv.org/abs/1706.04599) divides the logits of all
pixels by one number, which the validation split gives; it moves no pixel across 0.5.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import scipy  # loads its parts where they are used

if TYPE_CHECKING:
    import pandas as pd  # slower to import than a photograph is to segment

LARGEST = 12.0  # logits beyond it count as it; a probability of 6e-6
STEP = 0.01
LEVELS = round(2 * LARGEST / STEP) + 1
BINS = 10  # of a reliability table
UNSURE = (0.1, 0.9)  # probabilities between which a pixel is neither surely skin nor surely lesion
_LOGITS = np.linspace(-LARGEST, LARGEST, LEVELS)


class PixelCounts:
    """How many pixels of skin and of lesion had each logit, in steps of STEP.

    So calibration costs the same memory for any number of images.
    """

    def __init__(self) -> None:
        self.counts = np.zeros((2, LEVELS), np.int64)  # of skin, of lesion

    def add(self, probabilities: np.ndarray, mask: np.ndarray) -> None:
        """Counts the pixels of float32 probabilities and a mask of 0 and 1 of the same shape."""
        levels = np.rint((_logits(probabilities) + LARGEST) / STEP).astype(np.int64)
        for kind in (0, 1):
            self.counts[kind] += np.bincount(levels[mask == kind], minlength=LEVELS)

    def loss(self, temperature: float) -> float:
        """Mean cross-entropy of a pixel, in nats, of the probabilities at a temperature."""
        scaled = _LOGITS / temperature
        skin, lesion = self.counts
        total = (skin * np.logaddexp(0, scaled) + lesion * np.logaddexp(0, -scaled)).sum()
        return float(total / max(self.counts.sum(), 1))

    def temperature(self) -> float:
        """The one of least cross-entropy, in [0.1, 10], three significant digits."""
        found = scipy.optimize.minimize_scalar(
            lambda power: self.loss(np.exp(power)),
            bounds=(np.log(0.1), np.log(10)),
            method="bounded",
            options={"xatol": 1e-5},
        )
        return float(f"{np.exp(found.x):.3g}")

    def reliability(self, temperature: float) -> pd.DataFrame:
        """For BINS ranges of probability: its mean, the share that is lesion, and the pixels."""
        import pandas as pd

        probabilities = scipy.special.expit(_LOGITS / temperature)
        bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
        pixels, lesion, total = (
            np.bincount(bins, weights, minlength=BINS)
            for weights in (
                self.counts.sum(0),
                self.counts[1],
                self.counts.sum(0) * probabilities,
            )
        )
        table = pd.DataFrame({"predicted": total, "observed": lesion, "pixels": pixels})
        table = table[table["pixels"] > 0].reset_index(drop=True)
        table[["predicted", "observed"]] = table[["predicted", "observed"]].div(
            table["pixels"], axis=0
        )
        return table.astype({"pixels": int})


def calibration_errors(table: pd.DataFrame) -> dict[str, float]:
    """Expected calibration errors: means over pixels of |share of lesion − probability|, by bins.

    all_pixels     nearly all of which are surely skin or surely lesion, where gaps are small
    unsure_pixels  those of probabilities between 0.1 and 0.9; NaN where there are none
    """
    unsure = table[table["predicted"].between(*UNSURE)]
    return {"all_pixels": _mean_gap(table), "unsure_pixels": _mean_gap(unsure)}


def _mean_gap(table: pd.DataFrame) -> float:
    if table.empty:
        return math.nan
    gaps = (table["observed"] - table["predicted"]).abs()
    return float((gaps * table["pixels"]).sum() / table["pixels"].sum())


def calibrated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at a temperature, float32 of the same shape."""
    return scipy.special.expit(_logits(probabilities) / np.float32(temperature))


def _logits(probabilities: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return scipy.special.logit(probabilities).clip(-LARGEST, LARGEST)
