"""From probabilities to a mask."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


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
    count, labels, parts, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    if count <= 2:  # label 0 is the background
        return mask
    return labels == 1 + parts[1:, cv2.CC_STAT_AREA].argmax()


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """The mask with the background that does not reach the image's edge."""
    count, labels = cv2.connectedComponents((~mask).view(np.uint8), connectivity=4)
    outside = np.zeros(count, bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        outside[edge] = True
    outside[0] = False  # the mask itself
    return ~outside[labels]
