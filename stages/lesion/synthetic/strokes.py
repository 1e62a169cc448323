"""Thin curved lines, of which hairs, vessels and rulers are drawn."""

import cv2
import numpy as np
from numpy.random import Generator

from lesion.synthetic.canvas import Shape

SUPERSAMPLING = 3  # along each side, so that thin lines have smooth edges


def stroke_coverage(shape: Shape, lines: list[tuple[np.ndarray, float, float]]) -> np.ndarray:
    """Coverage of an image by tapered curves, H×W float32 in [0, 1].

    Each line is its points (N×2 float as x, y in pixels, N at least 2), its width in pixels at its
    start and that at its end. What lies outside the image is cut off.
    """
    canvas = np.zeros((shape[0] * SUPERSAMPLING, shape[1] * SUPERSAMPLING), np.uint8)
    for points, start, end in lines:
        # OpenCV rounds points to whole pixels unless told otherwise: shift=4 means sixteenths.
        fixed_point = np.rint(points * SUPERSAMPLING * 16).astype(np.int32)
        widths = np.linspace(start, end, len(points) - 1) * SUPERSAMPLING
        for i, width in enumerate(widths):
            piece = fixed_point[i : i + 2]
            cv2.polylines(canvas, [piece], False, 255, max(1, round(width)), shift=4)
    return cv2.resize(canvas, shape[::-1], interpolation=cv2.INTER_AREA) / np.float32(255)


def random_curve(
    rng: Generator, shape: Shape, heading: float, reach: float, bend: float
) -> np.ndarray:
    """A smooth curve whose middle is anywhere in the image, 24×2 float64 as x, y in pixels.

    `heading` is its first direction in radians, `reach` its typical length in shorter sides, `bend`
    the standard deviation of its turning in radians.
    """
    steps = 24
    turn = rng.normal(0, bend) * np.linspace(0, 1, steps)
    turn += 0.4 * rng.normal(0, bend) * np.sin(np.linspace(0, rng.uniform(2, 8), steps))
    step = min(shape) * reach * rng.uniform(0.5, 1.5) / steps
    moves = step * np.stack([np.cos(heading + turn), np.sin(heading + turn)], 1)
    path = np.cumsum(moves, axis=0)
    return path - path[steps // 2] + rng.uniform(0, 1, 2) * shape[::-1]
