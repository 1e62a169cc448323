"""Synthetic dermoscopy images with exact lesion masks, in the ISIC 2018 Task 1 layout.

Skin and lesion are painted in optical density (melanin and blood absorb per colour
channel), then hairs, fluid, rulers and the camera are laid over them. The mask is the
region the lesion was painted with, whatever covers it afterwards.

Arrays named ``image`` are H×W×3 float32 RGB in about [0, 1]; ``shape`` is (H, W).
"""

import argparse
import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import cv2
import numpy as np
from tqdm import tqdm

Shape = tuple[int, int]
Rng = np.random.Generator

MIN_SIDE = 16
REFERENCE_SIDE = 256
SUPERSAMPLING = 3

WHITE = np.ones(3, np.float32)
MELANIN = np.array([0.50, 0.80, 1.04], np.float32)
BLOOD = np.array([0.16, 0.86, 0.74], np.float32)
SOOT = np.array([0.94, 1.00, 1.02], np.float32)

SPLITS = {"train": "Training", "validation": "Validation", "test": "Test"}
DEFAULT_COUNTS = {"train": 160, "validation": 40, "test": 40}
ASPECT_RATIOS = (4 / 3, 3 / 2, 1.0)
FIRST_ID = 9_000_000
IDS_PER_SPLIT = 300_000
JPEG_QUALITY = 88

LICENSE = """MIT License

These images and masks are synthetic: a program of this project drew them. They show no
person and contain no part of any photograph.

Permission is hereby granted, free of charge, to any person obtaining a copy of these
images and masks, to deal in them without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies
of them, subject to the condition that this notice is included in all copies or
substantial portions of them.

THEY ARE PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED. IN NO EVENT
SHALL THE AUTHORS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY ARISING FROM THEM
OR THEIR USE.
"""
ATTRIBUTION = """Synthetic dermoscopy images and lesion masks, made by this project (MIT).

Only the layout follows the ISIC 2018 challenge, Task 1. None of these images is an ISIC
image: their ids start at 9000000 so that the two cannot be mistaken for each other.
"""


def lesion_image(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Paint one skin lesion; every feature scales with the image size.

    Args:
        seed: non-negative integer; the same seed and size give the same arrays.
        height, width: image size in pixels, each at least 16.

    Returns:
        RGB image, uint8 H×W×3, and mask, bool H×W, True on the lesion (never empty,
        never the whole frame).

    Raises:
        ValueError: a side is below 16 pixels.
    """
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"image sides must be at least {MIN_SIDE} px, got {height}×{width}")
    rng = np.random.default_rng(seed)
    view = _field_of_view(rng, (height, width))
    mask = _lesion_region(rng, view > 0.5)
    image = _paint_lesion(rng, _skin(rng, (height, width)), mask)
    for chance, effect in EFFECTS:
        if rng.random() < chance:
            image = effect(rng, image)
    image = _photograph(rng, image, view)
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8), mask


def _mean(image: np.ndarray) -> np.ndarray:
    """Mean RGB colour, 3 float32."""
    return np.array(cv2.mean(image)[:3], np.float32)


def _unit(shape: Shape) -> float:
    """Pixels per reference pixel: what measures 1 px in a 256 px image."""
    return min(shape) / REFERENCE_SIDE


def _smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Cubic ramp from 0 at ``low`` to 1 at ``high``."""
    t = ((values - low) / (high - low)).clip(0, 1)
    return t * t * (3 - 2 * t)


def _rgb(amount: np.ndarray, colour: np.ndarray = WHITE) -> np.ndarray:
    """A colour times an H×W amount: H×W×3 float32."""
    return cv2.merge([amount * share for share in colour])


def _blend(image: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lay a colour over an image with H×W opacity in [0, 1]."""
    return image * _rgb(1 - alpha) + _rgb(alpha, colour)


def _grid(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns from the image centre, H×1 and W float32, in shorter sides."""
    rows, columns = (np.arange(side, dtype=np.float32) - (side - 1) / 2 for side in shape)
    return rows[:, None] / min(shape), columns / min(shape)


def _noise(rng: Rng, shape: Shape, cell: float, octaves: int = 1, fade: float = 0.5) -> np.ndarray:
    """Fractal noise, H×W float32, mean 0 and deviation about 1.

    ``cell`` is the largest feature in pixels; every octave halves it and multiplies the
    amplitude by ``fade``. Octaves finer than three pixels are left out.
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
        total, power = coarser + weight * lattice, power + 0.1 * weight**2
    return cv2.resize(total / math.sqrt(power), shape[::-1], interpolation=cv2.INTER_CUBIC)


def _cells(rng: Rng, shape: Shape, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Voronoi cells of a jittered, staggered lattice.

    Returns the distance to the nearest point in units of ``cell`` (H×W float32) and one
    uniform random number per Voronoi cell (H×W float32).
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


def _strokes(shape: Shape, lines: list[tuple[np.ndarray, float, float]]) -> np.ndarray:
    """Coverage in [0, 1], H×W float32, of tapered curves.

    Each line is (N×2 points as x, y in pixels, width at its start, width at its end).
    """
    canvas = np.zeros((shape[0] * SUPERSAMPLING, shape[1] * SUPERSAMPLING), np.uint8)
    for points, start, end in lines:
        fixed_point = np.rint(points * SUPERSAMPLING * 16).astype(np.int32)
        widths = np.linspace(start, end, len(points) - 1) * SUPERSAMPLING
        for i, width in enumerate(widths):
            piece = fixed_point[i : i + 2]
            cv2.polylines(canvas, [piece], False, 255, max(1, round(width)), shift=4)
    return cv2.resize(canvas, shape[::-1], interpolation=cv2.INTER_AREA) / np.float32(255)


def _field_of_view(rng: Rng, shape: Shape) -> np.ndarray:
    """What the dermatoscope sees, H×W float32: 1 inside, 0 in the black surround."""
    y, x = _grid(shape)
    if rng.random() > 0.16:
        return np.ones(shape, np.float32)
    radius, edge = rng.uniform(0.49, 0.68), rng.uniform(0.004, 0.025)
    y0, x0 = rng.normal(0, 0.015, 2).tolist()
    return _smoothstep(radius - np.hypot(y - y0, x - x0), -edge, edge).astype(np.float32)


def _lesion_region(rng: Rng, view: np.ndarray) -> np.ndarray:
    """An irregular, simply connected region within the view, bool H×W."""
    shape = view.shape
    share = np.clip(rng.lognormal(math.log(0.17), 0.75), 0.03, 0.62) * view.mean()
    radius = math.sqrt(share * view.size / math.pi)
    level = _lesion_level(rng, shape, radius / min(shape))
    roughness = rng.uniform(0.06, 0.24)
    level += roughness * _noise(rng, shape, radius * rng.uniform(0.7, 1.2), 6, 0.55)
    level[~view] = -np.inf
    region = (level > np.quantile(level, 1 - share)).astype(np.uint8)
    contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    main = max(contours, key=cv2.contourArea)
    return cv2.drawContours(np.zeros_like(region), [main], -1, 1, cv2.FILLED).astype(bool)


def _lesion_level(rng: Rng, shape: Shape, radius: float) -> np.ndarray:
    """Height field of the lesion, H×W: lobes around a centre, less its notches.

    ``radius`` is in shorter sides. The logarithm makes relief relative to that radius.
    """
    y, x = _grid(shape)
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


def _skin(rng: Rng, shape: Shape) -> np.ndarray:
    """Bare skin of any tone (individual typology angle about -50° to 65°)."""
    side = min(shape)
    tone = _skin_tone(rng)
    melanin = rng.uniform(0.01, 0.05) * _noise(rng, shape, 0.5 * side, 4, 0.6)
    blood = min(0.06, rng.lognormal(-3.5, 0.5)) * _noise(rng, shape, 0.35 * side, 4, 0.65)
    density = _rgb(melanin, MELANIN) + _rgb(blood, BLOOD) + _rgb(_skin_lines(rng, shape))
    if rng.random() < 0.25:
        spots = _noise(rng, shape, rng.uniform(9, 18) * _unit(shape), 2)
        density += _rgb(rng.uniform(0.05, 0.2) * _smoothstep(spots, 1.6, 3.0), MELANIN)
    return np.exp(-density) * tone


def _skin_tone(rng: Rng) -> np.ndarray:
    """An RGB skin colour in [0, 1], drawn by its individual typology angle."""
    angle = math.radians(66 - 122 * rng.beta(1.0, 1.2))
    redness, yellowness = rng.uniform(5, 15), rng.uniform(6, 19)
    lightness = np.clip(50 + yellowness * math.tan(angle), 24, 86)
    lab = np.array([[[lightness, redness, yellowness]]], np.float32)
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0, 0]


def _skin_lines(rng: Rng, shape: Shape) -> np.ndarray:
    """Density of furrows and pores, H×W float32 around 0."""
    unit = _unit(shape)
    distance, _ = _cells(rng, shape, rng.uniform(7, 14) * unit)
    furrows = _smoothstep(distance, 0.4, 0.75) * rng.uniform(-0.05, 0.06)
    bend = _noise(rng, shape, 90 * unit, 3)
    y, x = _grid(shape)
    angle, pitch = rng.uniform(0, math.pi), rng.uniform(3.5, 7) / REFERENCE_SIDE
    phase = (x * math.cos(angle) + y * math.sin(angle)) / pitch + 0.6 * bend
    creases = np.sin(2 * math.pi * phase) * _smoothstep(_noise(rng, shape, 40 * unit, 2), -0.3, 2)
    grain = _noise(rng, shape, 4 * unit, 2) * rng.uniform(0.005, 0.02)
    return (furrows + rng.uniform(0, 0.03) * creases + grain).astype(np.float32)


def _paint_lesion(rng: Rng, skin: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Skin with the lesion painted into it; coverage is above 0.5 exactly on the mask."""
    shape = mask.shape
    signed = _signed_distance(mask)
    radius = math.sqrt(mask.sum() / math.pi)
    softness = rng.uniform(0.05, 0.25) * min(radius, 0.25 * min(shape))
    local = softness * np.exp(0.6 * _noise(rng, shape, radius, 2))
    coverage = 1 / (1 + np.exp((-4 * signed / local.clip(0.7)).clip(-30, 30)))
    depth = (signed / (0.8 * radius)).clip(0, 1)
    density = _pigment(rng, shape, depth, radius)
    image = skin * np.exp(-_rgb(coverage) * density)
    for chance, tint in ((0.22, _veil), (0.18, _regression)):
        if rng.random() < chance:
            where = _smoothstep(_noise(rng, shape, 0.8 * radius, 4), -0.3, 1.6)
            alpha = rng.uniform(0.3, 0.7) * where * _smoothstep(depth, 0.05, 0.45)
            image = _blend(image, tint(_mean(skin)), alpha)
    return image


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    """Distance to the mask's edge in pixels, H×W float32, positive on the mask."""
    inside, outside = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        for part in (mask, ~mask)
    )
    return np.where(mask, inside - 0.5, 0.5 - outside).astype(np.float32)


def _pigment(rng: Rng, shape: Shape, depth: np.ndarray, radius: float) -> np.ndarray:
    """Optical density of the lesion at full coverage, H×W×3 float32."""
    faint = rng.random() < 0.2
    strength = rng.uniform(0.36, 0.5) if faint else rng.uniform(0.5, 1.45)
    base = _base_absorption(rng, reddest=0.3 if faint else 0.8)
    relief = rng.uniform(0.1, 0.3) * _noise(rng, shape, 0.8 * radius, 6, 0.7)
    relief += rng.uniform(-0.15, 0.5) * (depth - 0.4)
    relief += rng.uniform(0.5, 1) * _structures(rng, shape)
    density = _rgb(strength * (1 + relief).clip(0.25), base)
    accents = ((0.45, 1.0 * MELANIN), (0.25, 1.3 * SOOT), (0.15, 0.5 * BLOOD - 0.15 * MELANIN))
    for chance, accent in accents:
        if rng.random() < chance:
            where = _smoothstep(_noise(rng, shape, 0.8 * radius, 5, 0.6), 0.1, 1.4)
            weight = rng.uniform(0.4, 1) * (strength if faint else 1) * where
            density += _rgb(weight * _smoothstep(depth, -0.2, 0.5), accent)
    return density


def _base_absorption(rng: Rng, reddest: float) -> np.ndarray:
    """Density per RGB channel of a lesion's main colour: brown, red or grey.

    ``reddest`` bounds the share of blood: faint and red, it would pass for flushed skin.
    """
    kind = int(rng.choice(3, p=[0.74, 0.08, 0.18]))
    other, most = ((BLOOD, 0.2), (BLOOD, reddest), (SOOT, 0.6))[kind]
    share = rng.uniform(0.3 * most, most)
    return ((1 - share) * MELANIN + share * other) * rng.uniform(0.9, 1.1, 3).astype(np.float32)


def _structures(rng: Rng, shape: Shape) -> np.ndarray:
    """Pigment network and globules as relative density, H×W float32 around 0."""
    unit, total = _unit(shape), np.zeros(shape, np.float32)
    patches = _noise(rng, shape, 60 * unit, 3)
    if rng.random() < 0.6:
        distance, lightness = _cells(rng, shape, rng.uniform(4, 7.5) * unit)
        distance += 0.12 * _noise(rng, shape, 5 * unit, 2) + 0.3 * lightness
        net = _smoothstep(distance, 0.3, 0.95) - 0.5
        total += rng.uniform(0.3, 0.9) * net * _smoothstep(patches, -1, 1.2)
    if rng.random() < 0.5:
        distance, size = _cells(rng, shape, rng.uniform(6, 14) * unit)
        globules = _smoothstep(0.08 + 0.5 * size**2 - distance, -0.08, 0.12)
        total += rng.uniform(0.3, 0.9) * globules * _smoothstep(-patches, -0.4, 1.0)
    return total


def _veil(skin: np.ndarray) -> np.ndarray:
    """Blue-grey veil as it shows on skin of the given mean RGB colour."""
    return 0.52 * skin.mean() * np.array([0.94, 0.99, 1.12], np.float32)


def _regression(skin: np.ndarray) -> np.ndarray:
    """White, scar-like regression as it shows on skin of the given mean RGB colour."""
    return 0.5 * skin + 0.58 * skin.mean() * np.array([1.05, 1.0, 1.0], np.float32)


def _vessels(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Fine, winding red vessels."""
    shape = image.shape[:2]
    lines = [_curve(rng, shape, rng.uniform(0, 7), 0.14, 0.8) for _ in range(rng.integers(10, 50))]
    width = 1.0 * _unit(shape)
    alpha = _strokes(shape, [(points, width, 0.4 * width) for points in lines])
    alpha = cv2.GaussianBlur(alpha, (0, 0), max(0.4, 0.7 * _unit(shape)))
    return image * np.exp(-_rgb(rng.uniform(0.15, 0.4) * alpha, BLOOD))


def _curve(rng: Rng, shape: Shape, heading: float, reach: float, bend: float) -> np.ndarray:
    """A smooth curve from a random place, 24×2 float as x, y in pixels.

    ``reach`` is its typical length in shorter sides, ``bend`` its turning in radians.
    """
    steps = 24
    turn = rng.normal(0, bend) * np.linspace(0, 1, steps)
    turn += 0.4 * rng.normal(0, bend) * np.sin(np.linspace(0, rng.uniform(2, 8), steps))
    step = min(shape) * reach * rng.uniform(0.5, 1.5) / steps
    moves = step * np.stack([np.cos(heading + turn), np.sin(heading + turn)], 1)
    path = np.cumsum(moves, axis=0)
    return path - path[steps // 2] + rng.uniform(0, 1, 2) * shape[::-1]


def _hairs(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Curved, tapered hairs of one colour, mostly along one direction, with a shadow."""
    shape = image.shape[:2]
    unit, direction, spread = _unit(shape), rng.uniform(0, 2 * math.pi), rng.uniform(0.15, 0.9)
    reach, width = rng.uniform(0.35, 1.1), rng.uniform(0.7, 1.9) * unit
    lines = []
    for _ in range(int(np.clip(rng.lognormal(2.1, 0.8), 2, 45))):
        points = _curve(rng, shape, rng.normal(direction, spread), reach, 0.6)
        lines.append((points, width * rng.uniform(0.6, 1.2), 0.35 * width))
    alpha = _strokes(shape, lines)
    shadow = cv2.GaussianBlur(np.roll(alpha, round(2 * unit), (0, 1)), (0, 0), max(0.5, 2 * unit))
    dark = np.array([0.10, 0.07, 0.05], np.float32) * rng.uniform(0.3, 3.5)
    light = (_mean(image) * 1.15 + 0.12).astype(np.float32)
    colour = light if rng.random() < 0.15 else dark.astype(np.float32)
    image = image * _rgb(1 - 0.15 * shadow)
    return _blend(image, colour, rng.uniform(0.6, 0.95) * alpha)


def _stubble(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Short ends of shaved hairs."""
    shape = image.shape[:2]
    direction, width = rng.uniform(0, 2 * math.pi), rng.uniform(0.8, 1.6) * _unit(shape)
    count = int(rng.integers(8, 50))
    lines = [_curve(rng, shape, rng.normal(direction, 0.3), 0.03, 0.2) for _ in range(count)]
    alpha = _strokes(shape, [(points, width, 0.6 * width) for points in lines])
    return _blend(image, 0.25 * _mean(image), rng.uniform(0.4, 0.8) * alpha)


def _bubbles(rng: Rng, image: np.ndarray) -> np.ndarray:
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
        spot *= _rgb(1 - 0.25 * rim * (1 - side))
        spot[:] = _blend(spot, WHITE, (0.2 * rim * (1 + side) + 0.7 * glint).clip(0, 1))
    return image


def _glare(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Reflections on the immersion fluid: a haze with glittering specks in it."""
    shape = image.shape[:2]
    patch = _smoothstep(_noise(rng, shape, 0.5 * min(shape), 2), 0.5, 2.5)
    specks = _noise(rng, shape, rng.uniform(2, 5) * _unit(shape), 2, 0.7)
    specks = _smoothstep(specks + 1.1 * patch, 2.2, 3.4) * (patch > 0)
    haze = rng.uniform(0.05, 0.25) * patch
    return _blend(image, WHITE, (haze + rng.uniform(0.4, 0.9) * specks).clip(0, 1))


def _ruler(rng: Rng, image: np.ndarray) -> np.ndarray:
    """A millimetre scale along one edge: a thin line with ticks, slightly tilted."""
    turns = int(rng.integers(4))
    image = np.rot90(image, turns)
    height, width = shape = image.shape[:2]
    unit, slope = _unit(shape), rng.normal(0, 0.06)
    pitch, tick = rng.uniform(6, 14) * unit, rng.uniform(3, 7) * unit
    x = rng.uniform(0.02, 0.3) * width + pitch * np.arange(rng.integers(8, 22))
    y = rng.uniform(0.04, 0.14) * height + slope * (x - x[0])
    tips = y + tick * np.where(np.arange(len(x)) % 5 == 0, 1.7, 1.0)
    lines = [np.array([[x[0], y[0]], [x[-1], y[-1]]])]
    feet, tips = np.stack([x, y], 1), np.stack([x - slope * (tips - y), tips], 1)
    lines += list(np.stack([feet, tips], 1))
    alpha = _strokes(shape, [(line, 0.9 * unit, 0.9 * unit) for line in lines])
    ink = np.float32(rng.choice([0.08, 0.2, 0.92], p=[0.5, 0.4, 0.1])) * WHITE
    return np.rot90(_blend(image, ink, rng.uniform(0.55, 0.95) * alpha), -turns)


def _bar_scale(rng: Rng, image: np.ndarray) -> np.ndarray:
    """A white strip with black bars along one edge, as contact plates carry it."""
    turns = int(rng.integers(4))
    image = np.rot90(image, turns)
    shape = image.shape[:2]
    y, x = _grid(shape)
    pitch, tilt = rng.uniform(0.04, 0.09), rng.normal(0, 0.05)
    depth = y + 0.5 * shape[0] / min(shape) + tilt * x - rng.uniform(0.05, 0.1)
    edge = 1.2 / min(shape)
    image = _blend(image, 0.93 * WHITE, 0.95 * _smoothstep(-depth, -edge, edge))
    bars = np.cos(2 * math.pi * (x - tilt * y) / pitch) - rng.uniform(0, 0.6)
    alpha = _smoothstep(bars, -8 * edge, 8 * edge) * _smoothstep(-depth - 0.02, -edge, edge)
    return np.rot90(_blend(image, 0.06 * WHITE, alpha), -turns)


def _defocus(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Blur, stronger in some parts of the image than in others."""
    shape = image.shape[:2]
    blurred = cv2.GaussianBlur(image, (0, 0), max(0.3, rng.uniform(0.8, 2.6) * _unit(shape)))
    where = _smoothstep(_noise(rng, shape, 0.8 * min(shape)), -2.0, 0.8)
    return image + (blurred - image) * _rgb(where)


EFFECTS: tuple[tuple[float, Callable[[Rng, np.ndarray], np.ndarray]], ...] = (
    (0.20, _vessels),
    (0.30, _bubbles),
    (0.12, _glare),
    (0.12, _stubble),
    (0.50, _hairs),
    (0.16, _ruler),
    (0.05, _bar_scale),
    (0.45, _defocus),
)
"""What may lie over skin and lesion, from the skin up, each with its chance."""


def _photograph(rng: Rng, image: np.ndarray, view: np.ndarray) -> np.ndarray:
    """Uneven light, vignette, colour cast, the black surround and sensor noise."""
    shape = image.shape[:2]
    y, x = _grid(shape)
    slant, heading = rng.uniform(0, 0.3), rng.uniform(0, 2 * math.pi)
    light = 1 + slant * (x * math.cos(heading) + y * math.sin(heading))
    light += rng.uniform(0, 0.05) * _noise(rng, shape, 0.6 * min(shape))
    falloff = rng.uniform(0.2, 0.8) if rng.random() < 0.3 else rng.uniform(0, 0.2)
    light -= falloff * ((x**2 + y**2) / (x**2 + y**2).max()) ** rng.uniform(1, 2)
    cast = rng.uniform(0.98, 1.48) * rng.normal(1, 0.035, 3).astype(np.float32)
    image = image * _rgb(light * view, cast) + _rgb(rng.uniform(0.01, 0.09) * (1 - view))
    grain = rng.uniform(0.005, 0.017) * rng.standard_normal(image.shape, np.float32)
    return image + grain * np.sqrt(image.clip(0.02))


def write_archives(folder: Path, counts: dict[str, int], size: int, seed: int) -> None:
    """Write synthetic data sets as zip archives named and laid out like ISIC 2018 Task 1.

    All archives appear together, or none does; their bytes depend on the arguments only.
    Asking for more images of a split leaves its first ones as they were.

    Args:
        folder: where the archives go; made if missing. Archives of the same name there
            are replaced.
        counts: images per split, for any of "train", "validation" and "test"; a split
            of 0 images gets no archives.
        size: longer side of every image in pixels, at least 24.
        seed: non-negative integer.

    Raises:
        ValueError: an unknown split, a count out of range, or too small a size.
    """
    _check_request(counts, size)
    wanted = [split for split in SPLITS if counts.get(split, 0) > 0]
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}.zip" for split in wanted for stem in _stems(split)]
    total = sum(counts[split] for split in wanted)
    with tqdm(total=total, unit="image") as progress, _all_or_none(paths) as archives:
        for split, images, masks in zip(wanted, archives[::2], archives[1::2], strict=True):
            _write_split(images, masks, split, counts[split], size, seed, progress)


def _check_request(counts: dict[str, int], size: int) -> None:
    """Raise ValueError for what `write_archives` cannot write."""
    unknown = sorted(set(counts) - set(SPLITS))
    if unknown:
        raise ValueError(f"unknown splits {unknown}, expected some of {list(SPLITS)}")
    wrong = {split: n for split, n in counts.items() if not 0 <= n <= IDS_PER_SPLIT}
    if wrong:
        raise ValueError(f"counts must be between 0 and {IDS_PER_SPLIT}, got {wrong}")
    smallest = math.ceil(MIN_SIDE * max(ASPECT_RATIOS))
    if size < smallest:
        raise ValueError(f"the longer side must be at least {smallest} px, got {size}")


def _stems(split: str) -> tuple[str, str]:
    """Names of a split's image and mask archives, without suffix."""
    name = SPLITS[split]
    return f"ISIC2018_Task1-2_{name}_Input", f"ISIC2018_Task1_{name}_GroundTruth"


@contextmanager
def _all_or_none(paths: list[Path]) -> Iterator[list[ZipFile]]:
    """Open zip files under temporary names; name them ``paths`` only if all went well."""
    parts = [path.with_name(f"{path.name}.part") for path in paths]
    try:
        with ExitStack() as stack:
            yield [stack.enter_context(ZipFile(part, "w", ZIP_STORED)) for part in parts]
        for part, path in zip(parts, paths, strict=True):
            os.replace(part, path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _write_split(
    images: ZipFile, masks: ZipFile, split: str, count: int, size: int, seed: int, progress: tqdm
) -> None:
    """Fill the two archives of a split, members in sorted order."""
    image_folder, mask_folder = _stems(split)
    position = list(SPLITS).index(split)
    _add(images, f"{image_folder}/ATTRIBUTION.txt", ATTRIBUTION.encode())
    _add(masks, f"{mask_folder}/ATTRIBUTION.txt", ATTRIBUTION.encode())
    for index in range(count):
        name = f"ISIC_{FIRST_ID + position * IDS_PER_SPLIT + index:07d}"
        jpeg, png = _encoded_pair(np.random.SeedSequence((seed, position, index)), size)
        _add(images, f"{image_folder}/{name}.jpg", jpeg)
        _add(masks, f"{mask_folder}/{name}_segmentation.png", png)
        progress.update()
    _add(images, f"{image_folder}/LICENSE.txt", LICENSE.encode())
    _add(masks, f"{mask_folder}/LICENSE.txt", LICENSE.encode())


def _encoded_pair(seed: np.random.SeedSequence, size: int) -> tuple[bytes, bytes]:
    """One image as JPEG and its mask as 8-bit PNG, with a random aspect ratio."""
    rng = np.random.default_rng(seed)
    height = round(size / rng.choice(ASPECT_RATIOS))
    image, mask = lesion_image(int(rng.integers(2**63)), height, size)
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    jpeg_settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    jpeg_settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    _, jpeg = cv2.imencode(".jpg", image[..., ::-1], jpeg_settings)
    _, png = cv2.imencode(".png", mask * np.uint8(255), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return jpeg.tobytes(), png.tobytes()


def _add(archive: ZipFile, name: str, data: bytes) -> None:
    """Add a member whose header holds nothing of the time, the system or the user."""
    info = ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3
    info.external_attr = 0o100644 << 16
    archive.writestr(info, data)


def main() -> None:
    """Write the archives that the command line asks for."""
    parser = argparse.ArgumentParser(
        description="Write synthetic dermoscopy images and lesion masks as ISIC 2018 archives.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where the archives go")
    for split, count in DEFAULT_COUNTS.items():
        text = f"number of {split} images, 0 for no such archives"
        parser.add_argument(f"--{split}", type=int, default=count, metavar="N", help=text)
    size_help = "longer side of every image in pixels"
    parser.add_argument("--size", type=int, default=256, metavar="PX", help=size_help)
    parser.add_argument("--seed", type=int, default=2018, help="seed of all randomness")
    options = parser.parse_args()
    counts = {split: getattr(options, split) for split in SPLITS}
    try:
        write_archives(options.folder, counts, options.size, options.seed)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
