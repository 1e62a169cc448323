"""What lies between lesion and lens: hairs, stubble, bubbles, glare and rulers.

Each function takes an image, H×W×3 float32 RGB in about [0, 1], and returns another one with the
artefact on it; the one given is not changed.
"""

import math

import cv2
import numpy as np
from numpy.random import Generator

from lesion.synthetic.canvas import (
    WHITE,
    blend,
    centred_grid,
    mean_colour,
    reference_pixel,
    rgb,
    smoothstep,
)
from lesion.synthetic.noise import fractal_noise
from lesion.synthetic.strokes import random_curve, stroke_coverage


def hairs(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Curved, tapered hairs of one colour, mostly along one direction, with a shadow."""
    shape = image.shape[:2]
    unit = reference_pixel(shape)
    direction, spread = rng.uniform(0, 2 * math.pi), rng.uniform(0.15, 0.9)
    reach, width = rng.uniform(0.35, 1.1), rng.uniform(0.7, 1.9) * unit
    lines = []
    for _ in range(int(np.clip(rng.lognormal(2.1, 0.8), 2, 45))):
        points = random_curve(rng, shape, rng.normal(direction, spread), reach, 0.6)
        lines.append((points, width * rng.uniform(0.6, 1.2), 0.35 * width))
    alpha = stroke_coverage(shape, lines)
    shadow = cv2.GaussianBlur(np.roll(alpha, round(2 * unit), (0, 1)), (0, 0), max(0.5, 2 * unit))
    dark = np.array([0.10, 0.07, 0.05], np.float32) * rng.uniform(0.3, 3.5)
    light = (mean_colour(image) * 1.15 + 0.12).astype(np.float32)
    colour = light if rng.random() < 0.15 else dark.astype(np.float32)
    image = image * rgb(1 - 0.15 * shadow)
    return blend(image, colour, rng.uniform(0.6, 0.95) * alpha)


def stubble(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Short ends of shaved hairs."""
    shape = image.shape[:2]
    direction, width = rng.uniform(0, 2 * math.pi), rng.uniform(0.8, 1.6) * reference_pixel(shape)
    count = int(rng.integers(8, 50))
    lines = [random_curve(rng, shape, rng.normal(direction, 0.3), 0.03, 0.2) for _ in range(count)]
    alpha = stroke_coverage(shape, [(points, width, 0.6 * width) for points in lines])
    return blend(image, 0.25 * mean_colour(image), rng.uniform(0.4, 0.8) * alpha)


def bubbles(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Air bubbles in the immersion fluid: a rim, lit from one side, and a glint."""
    image, light = image.copy(), rng.uniform(0, 2 * math.pi)
    for _ in range(rng.integers(1, 9)):
        top, left = (int(rng.integers(side)) for side in image.shape[:2])
        radius = max(2.0, min(image.shape[:2]) * rng.lognormal(math.log(0.025), 0.6))
        reach = math.ceil(1.4 * radius)
        spot = image[top : top + 2 * reach, left : left + 2 * reach]
        y, x = (np.arange(side, dtype=np.float32) - reach for side in spot.shape[:2])
        distance = np.hypot(y[:, None], x) / radius
        side = np.cos(np.arctan2(y[:, None], x) - light)
        rim = np.exp(-(((distance - 0.92) / 0.14) ** 2))
        glint = np.exp(-((distance - 0.55) ** 2 + (side - 1) ** 2) / 0.02)
        spot *= rgb(1 - 0.25 * rim * (1 - side))
        spot[:] = blend(spot, WHITE, (0.2 * rim * (1 + side) + 0.7 * glint).clip(0, 1))
    return image


def glare(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Reflections on the immersion fluid: a haze with glittering specks in it."""
    shape = image.shape[:2]
    patch = smoothstep(fractal_noise(rng, shape, 0.5 * min(shape), 2), 0.5, 2.5)
    specks = fractal_noise(rng, shape, rng.uniform(2, 5) * reference_pixel(shape), 2, 0.7)
    specks = smoothstep(specks + 1.1 * patch, 2.2, 3.4) * (patch > 0)
    haze = rng.uniform(0.05, 0.25) * patch
    return blend(image, WHITE, (haze + rng.uniform(0.4, 0.9) * specks).clip(0, 1))


def ruler(rng: Generator, image: np.ndarray) -> np.ndarray:
    """A millimetre scale along one edge: a thin line with ticks, slightly tilted."""
    turns = int(rng.integers(4))
    image = np.rot90(image, turns)
    height, width = shape = image.shape[:2]
    unit, slope = reference_pixel(shape), rng.normal(0, 0.06)
    pitch, tick = rng.uniform(6, 14) * unit, rng.uniform(3, 7) * unit
    x = rng.uniform(0.02, 0.3) * width + pitch * np.arange(rng.integers(8, 22))
    y = rng.uniform(0.04, 0.14) * height + slope * (x - x[0])
    tips = y + tick * np.where(np.arange(len(x)) % 5 == 0, 1.7, 1.0)
    lines = [np.array([[x[0], y[0]], [x[-1], y[-1]]])]
    feet, tips = np.stack([x, y], 1), np.stack([x - slope * (tips - y), tips], 1)
    lines += list(np.stack([feet, tips], 1))
    alpha = stroke_coverage(shape, [(line, 0.9 * unit, 0.9 * unit) for line in lines])
    ink = np.float32(rng.choice([0.08, 0.2, 0.92], p=[0.5, 0.4, 0.1])) * WHITE
    return np.rot90(blend(image, ink, rng.uniform(0.55, 0.95) * alpha), -turns)


def bar_scale(rng: Generator, image: np.ndarray) -> np.ndarray:
    """A white strip with black bars along one edge, as contact plates carry it."""
    turns = int(rng.integers(4))
    image = np.rot90(image, turns)
    shape = image.shape[:2]
    y, x = centred_grid(shape)
    pitch, tilt = rng.uniform(0.04, 0.09), rng.normal(0, 0.05)
    depth = y + 0.5 * shape[0] / min(shape) + tilt * x - rng.uniform(0.05, 0.1)
    edge = 1.2 / min(shape)
    image = blend(image, 0.93 * WHITE, 0.95 * smoothstep(-depth, -edge, edge))
    bars = np.cos(2 * math.pi * (x - tilt * y) / pitch) - rng.uniform(0, 0.6)
    alpha = smoothstep(bars, -8 * edge, 8 * edge) * smoothstep(-depth - 0.02, -edge, edge)
    return np.rot90(blend(image, 0.06 * WHITE, alpha), -turns)
