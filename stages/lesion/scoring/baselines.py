"""Segmentation without training, to hold networks against.

Each function takes a reduced photograph, H×W×3 uint8 RGB, and gives its mask, H×W bool: the same
bits whatever was computed before and whatever other threads do.
"""

import cv2
import numpy as np

from lesion.photos.images import resize_image, resize_mask
from lesion.scoring.postprocess import fill_holes, largest_component
from lesion.scoring.traits import MARGIN, black_corners, dilate

SMOOTH = 0.01  # deviation of the Gaussian filter, as a share of the longer side
GRABCUT_SIDE = 96  # pixels of the longer side; the time grows with the area
GRABCUT_ROUNDS = 3
EDGE = 0.04  # of a side: the frame that GrabCut takes for skin


def centre(image: np.ndarray) -> np.ndarray:
    """An ellipse in the middle, half as high and wide as the photograph: π/16, 20 %, of it.

    Half is a round number and fitted to no data.
    """
    height, width = image.shape[:2]
    y = (np.arange(height) + 0.5) / height - 0.5
    x = (np.arange(width) + 0.5) / width - 0.5
    return y[:, None] ** 2 + x**2 <= 0.25**2


def otsu(image: np.ndarray) -> np.ndarray:
    """What is darker than Otsu's threshold (1979) on the smoothed grey levels, without corners.

    The black corners count neither as lesion nor for the threshold. Of what is found the largest
    connected region is taken, its holes filled.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    grey = cv2.GaussianBlur(grey, (0, 0), max(0.5, SMOOTH * max(grey.shape)))
    seen = ~_outside(image)
    if not seen.any():
        return np.zeros(grey.shape, bool)
    level, _ = cv2.threshold(grey[seen], 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return fill_holes(largest_component((grey <= level) & seen))


def grabcut(image: np.ndarray) -> np.ndarray:
    """GrabCut (Rother et al. 2004) on at most GRABCUT_SIDE pixels, begun with `centre` as lesion.

    A frame of EDGE and the black corners are skin for certain; the rest is probably skin. Where
    there is nothing to tell apart, the mask is that of the start. The largest connected region
    is taken, its holes filled.
    """
    height, width = image.shape[:2]
    scale = min(1.0, GRABCUT_SIDE / max(height, width))
    small = resize_image(image, max(1, round(height * scale)), max(1, round(width * scale)))
    outside = _outside(small)
    for axis, side in enumerate(small.shape[:2]):
        frame = max(1, round(EDGE * side))
        along = np.moveaxis(outside, axis, 0)  # a view
        along[:frame] = along[-frame:] = True
    start = centre(small) & ~outside
    labels = np.where(start, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[outside] = cv2.GC_BGD
    found = start
    if start.any():
        # OpenCV's random numbers, with which GrabCut begins, are each thread's own.
        cv2.setRNGSeed(0)
        colours, box = small[..., ::-1].copy(), (0, 0, 0, 0)  # of another mode
        skin, lesion = np.zeros((2, 1, 65))
        mode = cv2.GC_INIT_WITH_MASK
        cv2.grabCut(colours, labels, box, skin, lesion, GRABCUT_ROUNDS, mode=mode)
        found = labels == cv2.GC_PR_FGD
    return resize_mask(
        fill_holes(largest_component(found if found.any() else start)), height, width
    )


BASELINES = {"centre": centre, "otsu": otsu, "grabcut": grabcut}


def _outside(image: np.ndarray) -> np.ndarray:
    """The black corners and what shades off into them, H×W bool."""
    return dilate(black_corners(image), MARGIN)
