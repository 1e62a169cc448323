"""Random fields: fractal noise and Voronoi cells."""

import math

import cv2
import numpy as np
from numpy.random import Generator

from lesion.synthetic.canvas import Shape


def fractal_noise(
    rng: Generator, shape: Shape, cell: float, octaves: int = 1, fade: float = 0.5
) -> np.ndarray:
    """Fractal noise, H×W float32, mean 0 and standard deviation about 1.

    `cell` is the size of the largest features in pixels; every octave halves it and multiplies the
    amplitude by `fade`. Octaves finer than 3 pixels are left out.
    """
    total, power = np.zeros((1, 1), np.float32), 0.0
    for octave in range(octaves):
        step, weight = max(1.0, cell / 2 ** (octave + 1)), fade**octave
        if octave and step < 1.5:
            break
        rows, columns = (math.ceil(side / step) + 1 for side in shape)
        # Blurring the lattice hides its axes: plain value noise looks square.
        lattice = cv2.GaussianBlur(rng.standard_normal((rows, columns), np.float32), (5, 5), 0.9)
        coarser = cv2.resize(total, (columns, rows), interpolation=cv2.INTER_CUBIC)
        # 0.1 is the variance that this blur leaves of 1.
        total, power = coarser + weight * lattice, power + 0.1 * weight**2
    return cv2.resize(total / math.sqrt(power), shape[::-1], interpolation=cv2.INTER_CUBIC)


def voronoi_cells(rng: Generator, shape: Shape, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Voronoi cells of a jittered, staggered lattice of points `cell` pixels apart, at least 2.5.

    Returns the distance to the nearest point, H×W float32 in units of `cell`, and a uniform random
    number in [0, 1) for each Voronoi cell, H×W float32.
    """
    cell = max(2.5, cell)
    rows, columns = (math.ceil(side / cell) + 1 for side in shape)
    jitter = rng.uniform(-0.5, 0.5, (2, rows, columns))
    y = (np.arange(rows)[:, None] + jitter[0]) * cell
    x = (np.arange(columns) + np.arange(rows)[:, None] % 2 / 2 + jitter[1]) * cell
    points = np.ones(shape, np.uint8)
    points[y.astype(int).clip(0, shape[0] - 1), x.astype(int).clip(0, shape[1] - 1)] = 0
    distance, label = cv2.distanceTransformWithLabels(
        points, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    return distance / np.float32(cell), rng.random(label.max() + 1, np.float32)[label]
