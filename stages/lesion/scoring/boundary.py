"""How far the outline of a predicted mask lies from the true one.

The boundary of a mask is those of its pixels that have one of their four neighbours outside it;
beyond the image's edge is outside. Distances are Euclidean, between centres of pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import scipy  # loads its parts where they are used

from lesion.scoring.extent import extent

TOLERANCE = 0.0075  # of the image's diagonal (Csurka et al. 2013)
# A tree's time grows with the boundary, a distance transform's with the area; masks of noise have
# so much boundary that the second is faster.
MOST_IN_TREE = 100_000  # pixels of both boundaries
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True)
class BoundaryScores:
    """Agreement of two boundaries: F1 in [0, 1], the more the better; distances from 0 up.

    boundary_f1  harmonic mean of the share of the predicted boundary that lies at most TOLERANCE
                 from the true one, and the reverse (Csurka et al., "What is a good evaluation
                 measure for semantic segmentation?", BMVC 2013)
    hd95         robust Hausdorff distance in pixels: the 95th percentile, between values
                 interpolated linearly, of the distances from each pixel of one boundary to the
                 other boundary; the larger of the two directions (as MONAI defines it)
    assd         average symmetric surface distance in pixels: the mean of all those distances,
                 of both directions together (as MONAI defines it)
    hd95_share, assd_share: the same as shares of the image's diagonal, at most 1

    Where both masks are empty, F1 is 1 and the distances are 0. Where one is, F1 is 0 and the
    distances are the diagonal, more than any two pixels can lie apart: that is a convention.
    """

    boundary_f1: float
    hd95: float
    assd: float
    hd95_share: float
    assd_share: float

    @classmethod
    def between(cls, prediction: np.ndarray, truth: np.ndarray) -> BoundaryScores:
        """Scores of two bool masks, H×W each.

        Raises:
            ValueError: their shapes differ.
        """
        if prediction.shape != truth.shape:
            raise ValueError(f"prediction is {prediction.shape} pixels, truth {truth.shape}")
        diagonal = math.hypot(*truth.shape)
        predicted, true = boundary(prediction), boundary(truth)
        if len(predicted) == 0 or len(true) == 0:
            agree = len(predicted) == len(true)
            distance, share = (0.0, 0.0) if agree else (diagonal, 1.0)
            return cls(float(agree), distance, distance, share, share)

        to_true, to_predicted = distances(predicted, true), distances(true, predicted)
        precision, recall = (
            float(np.mean(way <= TOLERANCE * diagonal)) for way in (to_true, to_predicted)
        )
        hd95 = float(max(np.percentile(to_true, 95), np.percentile(to_predicted, 95)))
        total = float(to_true.sum(dtype=float) + to_predicted.sum(dtype=float))
        assd = total / (len(to_true) + len(to_predicted))
        return cls(
            boundary_f1=2 * precision * recall / (precision + recall) if precision else 0.0,
            hd95=hd95,
            assd=assd,
            hd95_share=hd95 / diagonal,
            assd_share=assd / diagonal,
        )


def boundary(mask: np.ndarray) -> np.ndarray:
    """Column and row of each boundary pixel of a bool H×W mask, N×2 int, row by row."""
    rows, columns = box = extent(mask)
    if not mask[box].size:
        return np.empty((0, 2), int)
    levels = mask[box].view(np.uint8)
    inner = cv2.erode(levels, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    # As one row, of which numpy finds the few pixels much faster than of a square.
    y, x = np.divmod(np.flatnonzero((levels > inner).ravel()), levels.shape[1])
    return np.column_stack((x + columns.start, y + rows.start))


def distances(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """From each of the pixels `start`, N×2, to the nearest one of `end`: N floats."""
    if len(start) + len(end) <= MOST_IN_TREE:
        # Not balanced and compact: such a tree is built faster, and neighbours in a line are found
        # as fast.
        return scipy.spatial.cKDTree(end, balanced_tree=False, compact_nodes=False).query(start)[0]
    width, height = (max(start[:, axis].max(), end[:, axis].max()) + 1 for axis in (0, 1))
    elsewhere = np.ones((height, width), np.uint8)
    elsewhere[end[:, 1], end[:, 0]] = 0
    far = cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return far[start[:, 1], start[:, 0]]
