"""From probabilities to a mask."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lesion.scoring.extent import extent


@dataclass(frozen=True)
class Rules:
    """How a network's probabilities become a mask.

    `tta`: they are means over four mirror images. A pixel counts as lesion from `threshold` on.
    Then only the largest connected part is left, and its holes are filled, if that is asked for.
    """

    tta: bool
    threshold: float
    largest_component: bool
    fill_holes: bool

    def mask(self, probabilities: np.ndarray) -> np.ndarray:
        """H×W bool, of H×W float32 probabilities."""
        mask = probabilities >= np.float32(self.threshold)
        if self.largest_component:
            mask = largest_component(mask)
        return fill_holes(mask) if self.fill_holes else mask


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The part of most pixels that hang together, by edges or corners; the first one of equals."""
    rows, columns = extent(mask)
    # OpenCV numbers parts by squares of two by two pixels: from an even row and column on, the
    # first one is the same as in the whole image.
    box = slice(rows.start // 2 * 2, rows.stop), slice(columns.start // 2 * 2, columns.stop)
    if not mask[box].size:
        return mask
    levels = mask[box].view(np.uint8)
    # Outlines are found much faster than pixels are numbered; most masks have one, of one part.
    outlines, _ = cv2.findContours(levels, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    if len(outlines) == 1:
        return mask
    _, labels, parts, _ = cv2.connectedComponentsWithStats(levels, connectivity=8)
    largest = np.zeros_like(mask)
    np.equal(labels, 1 + parts[1:, cv2.CC_STAT_AREA].argmax(), out=largest[box])
    return largest


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """The mask with the background that does not reach the image's edge by edges of pixels."""
    rows, columns = box = extent(mask)
    if not mask[box].size:
        return mask
    # What hangs together by edges or corners has one outline; all within it is mask or hole.
    outlines, _ = cv2.findContours(
        mask[box].view(np.uint8),
        cv2.RETR_EXTERNAL,
        cv2.CHAIN_APPROX_SIMPLE,
        offset=(columns.start, rows.start),
    )
    filled = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    return filled.view(bool)
