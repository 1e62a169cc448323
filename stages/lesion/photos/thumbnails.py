"""The small grey picture of a photograph by which near-duplicates are told."""

import math

import cv2
import numpy as np

GRID = 64  # pixels along its sides


def thumbnail(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """What a photograph's hash is taken from: GRID×GRID uint8, stretched to a square.

    `pixels`, H×W×3 uint8 RGB, may be fewer by eighths, down to `least_for_hash`. They are means of
    blocks that are whole at each of the decoder's scales, so the hash hardly depends on the scale:
    in at most 8 bits, where plain resizing made it 24 (benchmarks/near_duplicates.py).
    """
    block = _block(shape)
    step = 8 if block > 1 else 1
    rows, columns = (length // step * step // block for length in shape)
    eighths = 8 if pixels.shape[:2] == shape else pixels.shape[1] * 8 // shape[1]
    whole = pixels[: rows * block * eighths // 8, : columns * block * eighths // 8]
    grey: np.ndarray = cv2.cvtColor(whole, cv2.COLOR_RGB2GRAY).astype(np.float32)
    for size in ((columns, rows), (GRID, GRID)):
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.rint(grey).astype(np.uint8)


def least_for_hash(shape: tuple[int, int]) -> tuple[int, int]:
    """The smallest height and width of a photograph of `shape` that its hash can be taken from."""
    (height, width), block = shape, _block(shape)
    return math.ceil(height / block), math.ceil(width / block)


def _block(shape: tuple[int, int]) -> int:
    """Pixels along a block: the most of 8, 4, 2 and 1 that leave GRID blocks both ways."""
    return next((block for block in (8, 4, 2) if min(shape) // block >= GRID), 1)
