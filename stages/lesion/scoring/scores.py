"""The challenge's scores of one mask against another.

Definitions and the rules for empty masks are those of the ISIC challenge's scorer
(https://github.com/ImageMarkup/isic-challenge-scoring).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

LEAST_JACCARD = 0.65  # below it the thresholded Jaccard counts a segmentation as failed, hence 0


@dataclass(frozen=True)
class Confusion:
    """Numbers of pixels: true and false positives (lesion), false and true negatives (skin)."""

    tp: int
    fp: int
    fn: int
    tn: int

    @classmethod
    def between(cls, prediction: np.ndarray, truth: np.ndarray) -> Confusion:
        """Counts of two bool masks, H×W each.

        Raises:
            ValueError: their shapes differ.
        """
        if prediction.shape != truth.shape:
            raise ValueError(f"prediction is {prediction.shape} pixels, truth {truth.shape}")
        tp = int(np.count_nonzero(prediction & truth))
        predicted, actual = int(np.count_nonzero(prediction)), int(np.count_nonzero(truth))
        fp, fn = predicted - tp, actual - tp
        return cls(tp, fp, fn, truth.size - tp - fp - fn)

    @property
    def pixels(self) -> int:
        """Their number."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN); 1 where both masks are empty."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """Jaccard index, TP / (TP + FP + FN); 1 where both masks are empty."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def thresholded_iou(self) -> float:
        """The challenge's ranking score: the Jaccard index, or 0 where that is below 0.65."""
        return self.iou if self.iou >= LEAST_JACCARD else 0.0

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all pixels."""
        return _ratio(self.tp + self.tn, self.pixels)

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN); 1 where there is no lesion."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP); 1 where there is no skin."""
        return _ratio(self.tn, self.tn + self.fp)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


@dataclass(frozen=True)
class ImageScores:
    """The challenge's scores of one image, each in [0, 1]."""

    dice: float
    iou: float
    thresholded_iou: float
    accuracy: float
    sensitivity: float
    specificity: float

    @classmethod
    def of(cls, confusion: Confusion) -> ImageScores:
        return cls(**{field.name: getattr(confusion, field.name) for field in fields(cls)})
