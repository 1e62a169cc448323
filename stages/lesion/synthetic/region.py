"""Where the lesion is: a random region, which is also the image's exact mask."""

import math

import cv2
import numpy as np
from numpy.random import Generator

from lesion.synthetic.canvas import Shape, centred_grid
from lesion.synthetic.noise import fractal_noise


def lesion_region(rng: Generator, view: np.ndarray) -> np.ndarray:
    """An irregular region in one piece and without holes, H×W bool.

    `view` (H×W bool) is where the lesion may lie. The share of it that is covered is log-normal
    with median 0.17, cut to [0.03, 0.62], until stray pieces are dropped and holes filled.
    """
    shape = view.shape
    share = np.clip(rng.lognormal(math.log(0.17), 0.75), 0.03, 0.62) * view.mean()
    radius = math.sqrt(share * view.size / math.pi)
    level = _height_field(rng, shape, radius / min(shape))
    roughness = rng.uniform(0.06, 0.24)
    level += roughness * fractal_noise(rng, shape, radius * rng.uniform(0.7, 1.2), 6, 0.55)
    level[~view] = -np.inf
    region = (level > np.quantile(level, 1 - share)).astype(np.uint8)
    contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    main = max(contours, key=cv2.contourArea)
    return cv2.drawContours(np.zeros_like(region), [main], -1, 1, cv2.FILLED).astype(bool)


def _height_field(rng: Generator, shape: Shape, radius: float) -> np.ndarray:
    """Height field of the lesion, H×W float32: lobes around a centre, less its notches.

    `radius` is in shorter sides. The logarithm makes relief relative to that radius.
    """
    y, x = centred_grid(shape)
    reach = 0.42 if rng.random() < 0.15 else 0.1
    centre = rng.uniform(-reach, reach, 2).astype(np.float32)
    level = np.full(shape, -np.inf, np.float32)
    for lobe in range(rng.choice([1, 2, 3], p=[0.65, 0.25, 0.1])):
        y0, x0 = (centre + (lobe > 0) * rng.normal(0, 0.5 * radius, 2)).tolist()
        angle, stretch = rng.uniform(0, math.pi), rng.uniform(1, 1.28)
        along = (x - x0) * math.cos(angle) + (y - y0) * math.sin(angle)
        across = (y - y0) * math.cos(angle) - (x - x0) * math.sin(angle)
        bump = -np.log(np.hypot(along / stretch, across * stretch) / radius + 0.05)
        level = np.maximum(level, bump - 0.15 * (lobe > 0))
    for angle in rng.uniform(0, 2 * math.pi, rng.integers(4)).tolist():
        distance = np.hypot(
            y - centre[0] - radius * math.sin(angle), x - centre[1] - radius * math.cos(angle)
        )
        width = radius * rng.uniform(0.1, 0.3)
        level -= rng.uniform(0.2, 0.7) * np.exp(-((distance / width) ** 2))
    return level
