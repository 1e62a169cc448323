"""Images whose truth is most likely wrong, or drawn in another style, by out-of-fold predictions.

A low Dice alone does not say so: on a hard image the network errs, and expects to. A suspect is an
image on which it was sure and the truth disagrees. `expected_dice` (lesion.scoring.confidence) is
made of calibrated pixels, but pixels are not independent, so what it is worth is taken from the
validation images: their error 1 − Dice has the mean

    m = a · (1 − expected Dice)^b,

with a and b of least −log likelihood of an exponential distribution, mean(log m + (1 − Dice) / m).
The score of an image is (1 − Dice) / m: its error is so many times what validation says of images
on which the network is so sure. exp(−score) would be the chance of such an error, if the
distribution held; it is for ranking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy  # loads its parts where they are used

from lesion.experiments.folds import pool
from lesion.pipeline.errors import InputError

LEAST_ERROR = 1e-3  # 1 − expected Dice is at least that, so that it has a logarithm
LEAST_IMAGES = 20  # of validation, to fit two numbers to


@dataclass(frozen=True)
class ExpectedError:
    """The mean of 1 − Dice by the expected Dice: a · (1 − expected)^b; b is not below 0."""

    a: float
    b: float

    @classmethod
    def fitted(cls, expected: np.ndarray, dice: np.ndarray) -> ExpectedError:
        """By N images, both in [0, 1]; the loss is convex in log a and b."""
        logs, error = np.log(_unsure(expected)), 1 - dice

        def loss(line: np.ndarray) -> float:
            mean = line[0] + line[1] * logs
            return float((mean + error * np.exp(-mean)).mean())

        start = (np.log(max(error.mean(), LEAST_ERROR)), 0.0)
        bounds = ((-20, 20), (0, 20))
        found = scipy.optimize.minimize(loss, start, method="L-BFGS-B", bounds=bounds)
        return cls(float(np.exp(found.x[0])), float(found.x[1]))

    def mean(self, expected: np.ndarray) -> np.ndarray:
        """Of N images, at most 1, which is the largest error that there is."""
        return np.minimum(1, self.a * _unsure(expected) ** self.b)


def ranked(tables: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """All test images of the folds' tables metrics/per_image.csv, the likeliest suspect first.

    Adds `score` and `expected_error` to their columns, and `fold`. One relation is fitted to the
    validation images of all folds, since a fold alone may have few.

    Raises:
        InputError: an image is in two folds, or there are too few validation images.
    """
    images = pool(tables).images
    validation = pd.concat([table[table["split"] == "validation"] for table in tables.values()])
    if len(validation) < LEAST_IMAGES:
        raise InputError(
            f"{len(validation)} validation images in {len(tables)} folds; expected at least "
            f"{LEAST_IMAGES}, to see how far the expected Dice holds: raise val_fraction"
        )
    columns = (validation[name].to_numpy() for name in ("expected_dice", "dice"))
    error = ExpectedError.fitted(*columns).mean(images["expected_dice"].to_numpy())
    images["expected_error"] = error
    images["score"] = (1 - images["dice"]) / error
    return images.sort_values(["score", "id"], ascending=[False, True], ignore_index=True)


def _unsure(expected: np.ndarray) -> np.ndarray:
    return np.maximum(1 - expected, LEAST_ERROR)
