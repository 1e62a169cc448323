"""How a true mask differs from a predicted one, in words, by simple geometry.

The words are of the truth, as it is the truth that is to be judged: `larger throughout` is a truth
that nearly contains the prediction and is clearly larger.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

APART = 0.1  # of the smaller mask, from which on the overlap is of one lesion
CONTAINED = 0.95  # of a mask, from which on another nearly contains it
LARGER = 1.2  # times the area, from which on a mask is clearly larger
MENDED = 0.5  # of the error 1 − Dice, which a shift has to take away


@dataclass(frozen=True)
class Difference:
    """`kind` is empty, another lesion, larger throughout, smaller throughout, shifted or outline;
    `reason` says it in a sentence's part, with its number."""

    kind: str
    reason: str


def difference(truth: np.ndarray, prediction: np.ndarray) -> Difference:
    """Of two masks, H×W bool, of one photograph."""
    true, predicted = np.count_nonzero(truth), np.count_nonzero(prediction)
    if not (true and predicted):
        which = "prediction" if true else "truth" if predicted else "truth and prediction"
        return Difference("empty", f"no lesion in the {which}")
    both = np.count_nonzero(truth & prediction)
    if both < APART * min(true, predicted):
        share = both / min(true, predicted)
        return Difference("another lesion", f"the masks share {share:.0%} of the smaller one")
    times = f"the truth has {true / predicted:.2f} times the predicted area"
    if both >= CONTAINED * predicted and true >= LARGER * predicted:
        return Difference("larger throughout", times)
    if both >= CONTAINED * true and predicted >= LARGER * true:
        return Difference("smaller throughout", times)
    shift = np.rint(_centre(truth) - _centre(prediction))
    moved = _moved(prediction, shift)
    error = 1 - 2 * both / (true + predicted)
    left = 1 - 2 * np.count_nonzero(truth & moved) / (true + np.count_nonzero(moved))
    if left <= (1 - MENDED) * error:
        share = np.hypot(*shift) / np.sqrt(true)
        return Difference(
            "shifted", f"moved by {share:.0%} of the lesion's size, Dice would be {1 - left:.2f}"
        )
    missed, extra = (true - both) / true, (predicted - both) / predicted
    return Difference(
        "outline",
        f"{missed:.0%} of the truth is not predicted, {extra:.0%} of the prediction not true",
    )


def _centre(mask: np.ndarray) -> np.ndarray:
    """Mean x and y of the mask's pixels."""
    moments = cv2.moments(mask.view(np.uint8), binaryImage=True)
    return np.array([moments["m10"], moments["m01"]]) / moments["m00"]


def _moved(mask: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The mask moved by whole pixels to the right and down; what leaves the picture is lost."""
    matrix = np.column_stack([np.eye(2), shift])
    size = mask.shape[1], mask.shape[0]
    return cv2.warpAffine(mask.view(np.uint8), matrix, size, flags=cv2.INTER_NEAREST) > 0
