"""Simple pictures with a known mask, as many as a benchmark asks for, all different."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
from measure import put_pairs


def put_drawings(project: Path, count: int, pixels: int) -> None:
    pairs = (
        (partial(image_file, number, pixels), partial(mask_file, number, pixels))
        for number in range(count)
    )
    put_pairs(project, pairs, "drawings")


def drawing(number: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """A dark ellipse on patches of colour, and where it is: of each number another."""
    rng = np.random.default_rng(number)
    height, width = pixels * 3 // 4, pixels
    image = cv2.resize(rng.integers(120, 256, (12, 16, 3), dtype=np.uint8), (width, height))
    mask = np.zeros((height, width), np.uint8)
    middle = rng.uniform(0.35, 0.65, 2) * (width, height)
    axes = rng.uniform(0.1, 0.35, 2) * height
    cv2.ellipse(mask, (middle, 2 * axes, rng.uniform(0, 180)), 255, cv2.FILLED)
    image[mask > 0] //= 2
    return image, mask


def image_file(number: int, pixels: int) -> bytes:
    return cv2.imencode(".jpg", drawing(number, pixels)[0])[1].tobytes()


def mask_file(number: int, pixels: int) -> bytes:
    return cv2.imencode(".png", drawing(number, pixels)[1])[1].tobytes()
