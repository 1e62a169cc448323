"""What the lesion looks like: its pigment, network, globules, veil and regression.

As on skin, colour comes from optical density: density D leaves exp(-D) of an RGB value.
"""

import math

import cv2
import numpy as np
from numpy.random import Generator

from lesion.synthetic.canvas import Shape, blend, mean_colour, reference_pixel, rgb, smoothstep
from lesion.synthetic.noise import fractal_noise, voronoi_cells
from lesion.synthetic.skin import BLOOD, MELANIN

SOOT = np.array([0.94, 1.00, 1.02], np.float32)  # density per RGB channel of grey to black pigment


def paint_lesion(rng: Generator, skin: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`skin` (H×W×3) with a lesion painted into it where `mask` (H×W bool, some True) says.

    The lesion's edge is soft; its coverage is above 0.5 exactly on the mask.
    """
    shape = mask.shape
    signed = _signed_distance(mask)
    radius = math.sqrt(mask.sum() / math.pi)
    softness = rng.uniform(0.05, 0.25) * min(radius, 0.25 * min(shape))
    local = softness * np.exp(0.6 * fractal_noise(rng, shape, radius, 2))
    coverage = 1 / (1 + np.exp((-4 * signed / local.clip(0.7)).clip(-30, 30)))
    depth = (signed / (0.8 * radius)).clip(0, 1)
    density = _pigment(rng, shape, depth, radius)
    image = skin * np.exp(-rgb(coverage) * density)
    for chance, tint in ((0.22, _veil), (0.18, _regression)):
        if rng.random() < chance:
            where = smoothstep(fractal_noise(rng, shape, 0.8 * radius, 4), -0.3, 1.6)
            alpha = rng.uniform(0.3, 0.7) * where * smoothstep(depth, 0.05, 0.45)
            image = blend(image, tint(mean_colour(skin)), alpha)
    return image


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    """Distance to the mask's edge in pixels, H×W float32, positive on the mask."""
    inside, outside = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        for part in (mask, ~mask)
    )
    return np.where(mask, inside - 0.5, 0.5 - outside).astype(np.float32)


def _pigment(rng: Generator, shape: Shape, depth: np.ndarray, radius: float) -> np.ndarray:
    """Optical density of the lesion at full coverage, H×W×3 float32.

    `depth` (H×W in [0, 1]) runs from the edge inwards; `radius`, in pixels, is that of a circle as
    large as the lesion.
    """
    faint = rng.random() < 0.2
    strength = rng.uniform(0.36, 0.5) if faint else rng.uniform(0.5, 1.45)
    base = _base_absorption(rng, reddest=0.3 if faint else 0.8)
    relief = rng.uniform(0.1, 0.3) * fractal_noise(rng, shape, 0.8 * radius, 6, 0.7)
    relief += rng.uniform(-0.15, 0.5) * (depth - 0.4)
    relief += rng.uniform(0.5, 1) * _structures(rng, shape)
    density = rgb(strength * (1 + relief).clip(0.25), base)
    accents = ((0.45, 1.0 * MELANIN), (0.25, 1.3 * SOOT), (0.15, 0.5 * BLOOD - 0.15 * MELANIN))
    for chance, accent in accents:
        if rng.random() < chance:
            where = smoothstep(fractal_noise(rng, shape, 0.8 * radius, 5, 0.6), 0.1, 1.4)
            weight = rng.uniform(0.4, 1) * (strength if faint else 1) * where
            density += rgb(weight * smoothstep(depth, -0.2, 0.5), accent)
    return density


def _base_absorption(rng: Generator, reddest: float) -> np.ndarray:
    """Optical density per RGB channel of a lesion's main colour: brown, red or grey; 3 float32.

    `reddest` bounds the share of blood: faint and red, it would pass for flushed skin.
    """
    kind = int(rng.choice(3, p=[0.74, 0.08, 0.18]))
    other, most = ((BLOOD, 0.2), (BLOOD, reddest), (SOOT, 0.6))[kind]
    share = rng.uniform(0.3 * most, most)
    return ((1 - share) * MELANIN + share * other) * rng.uniform(0.9, 1.1, 3).astype(np.float32)


def _structures(rng: Generator, shape: Shape) -> np.ndarray:
    """Pigment network and globules as relative density, H×W float32 around 0."""
    unit, total = reference_pixel(shape), np.zeros(shape, np.float32)
    patches = fractal_noise(rng, shape, 60 * unit, 3)
    if rng.random() < 0.6:
        distance, lightness = voronoi_cells(rng, shape, rng.uniform(4, 7.5) * unit)
        distance += 0.12 * fractal_noise(rng, shape, 5 * unit, 2) + 0.3 * lightness
        net = smoothstep(distance, 0.3, 0.95) - 0.5
        total += rng.uniform(0.3, 0.9) * net * smoothstep(patches, -1, 1.2)
    if rng.random() < 0.5:
        distance, size = voronoi_cells(rng, shape, rng.uniform(6, 14) * unit)
        globules = smoothstep(0.08 + 0.5 * size**2 - distance, -0.08, 0.12)
        total += rng.uniform(0.3, 0.9) * globules * smoothstep(-patches, -0.4, 1.0)
    return total


def _veil(skin: np.ndarray) -> np.ndarray:
    """RGB colour of a blue-white veil on skin whose mean RGB colour is `skin`."""
    return 0.52 * skin.mean() * np.array([0.94, 0.99, 1.12], np.float32)


def _regression(skin: np.ndarray) -> np.ndarray:
    """RGB colour of white, scar-like regression on skin whose mean RGB colour is `skin`."""
    return 0.5 * skin + 0.58 * skin.mean() * np.array([1.05, 1.0, 1.0], np.float32)
