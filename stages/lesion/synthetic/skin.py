"""Skin around and under the lesion: its tone, unevenness, furrows, freckles and vessels.

Colour comes from optical density: density D of an absorber leaves exp(-D) of an RGB value.
"""

import math

import cv2
import numpy as np
from numpy.random import Generator

from lesion.synthetic.canvas import (
    REFERENCE_SIDE,
    Shape,
    centred_grid,
    reference_pixel,
    rgb,
    smoothstep,
)
from lesion.synthetic.noise import fractal_noise, voronoi_cells
from lesion.synthetic.strokes import random_curve, stroke_coverage

# Density per RGB channel. Melanin absorbs the more, the shorter the wavelength; blood absorbs green
# and blue, hardly red. The numbers give plausible colours and are no measurements.
MELANIN = np.array([0.50, 0.80, 1.04], np.float32)
BLOOD = np.array([0.16, 0.86, 0.74], np.float32)


def bare_skin(rng: Generator, shape: Shape) -> np.ndarray:
    """Skin without a lesion, H×W×3 float32: furrowed, uneven, at times freckled, of any tone."""
    side = min(shape)
    tone = _skin_tone(rng)
    melanin = rng.uniform(0.01, 0.05) * fractal_noise(rng, shape, 0.5 * side, 4, 0.6)
    blood = min(0.06, rng.lognormal(-3.5, 0.5)) * fractal_noise(rng, shape, 0.35 * side, 4, 0.65)
    density = rgb(melanin, MELANIN) + rgb(blood, BLOOD) + rgb(_skin_lines(rng, shape))
    if rng.random() < 0.25:
        spots = fractal_noise(rng, shape, rng.uniform(9, 18) * reference_pixel(shape), 2)
        density += rgb(rng.uniform(0.05, 0.2) * smoothstep(spots, 1.6, 3.0), MELANIN)
    return np.exp(-density) * tone


def vessels(rng: Generator, image: np.ndarray) -> np.ndarray:
    """`image` (H×W×3) with fine, winding red vessels all over it."""
    shape = image.shape[:2]
    count = int(rng.integers(10, 50))
    lines = [random_curve(rng, shape, rng.uniform(0, 7), 0.14, 0.8) for _ in range(count)]
    width = reference_pixel(shape)
    alpha = stroke_coverage(shape, [(points, width, 0.4 * width) for points in lines])
    alpha = cv2.GaussianBlur(alpha, (0, 0), max(0.4, 0.7 * width))
    return image * np.exp(-rgb(rng.uniform(0.15, 0.4) * alpha, BLOOD))


def _skin_tone(rng: Generator) -> np.ndarray:
    """An RGB skin colour, 3 float32 in [0, 1], drawn by its individual typology angle.

    That angle, arctan((L* - 50) / b*) of the CIELAB colour, is drawn from -56° to 66°, which is
    from dark to very light skin. After Chardon et al. 1991,
    https://doi.org/10.1111/j.1467-2494.1991.tb00561.x
    """
    angle = math.radians(66 - 122 * rng.beta(1.0, 1.2))
    redness, yellowness = rng.uniform(5, 15), rng.uniform(6, 19)
    lightness = np.clip(50 + yellowness * math.tan(angle), 24, 86)
    lab = np.array([[[lightness, redness, yellowness]]], np.float32)
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0, 0]


def _skin_lines(rng: Generator, shape: Shape) -> np.ndarray:
    """Optical density of furrows, creases and grain, H×W float32 around 0."""
    unit = reference_pixel(shape)
    distance, _ = voronoi_cells(rng, shape, rng.uniform(7, 14) * unit)
    furrows = smoothstep(distance, 0.4, 0.75) * rng.uniform(-0.05, 0.06)
    bend = fractal_noise(rng, shape, 90 * unit, 3)
    y, x = centred_grid(shape)
    angle, pitch = rng.uniform(0, math.pi), rng.uniform(3.5, 7) / REFERENCE_SIDE
    phase = (x * math.cos(angle) + y * math.sin(angle)) / pitch + 0.6 * bend
    where = smoothstep(fractal_noise(rng, shape, 40 * unit, 2), -0.3, 2)
    creases = np.sin(2 * math.pi * phase) * where
    grain = fractal_noise(rng, shape, 4 * unit, 2) * rng.uniform(0.005, 0.02)
    return (furrows + rng.uniform(0, 0.03) * creases + grain).astype(np.float32)
