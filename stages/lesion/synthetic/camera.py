"""The dermatoscope's camera: field of view, focus, light and sensor noise."""

import math

import cv2
import numpy as np
from numpy.random import Generator

from lesion.synthetic.canvas import Shape, centred_grid, reference_pixel, rgb, smoothstep
from lesion.synthetic.noise import fractal_noise


def field_of_view(rng: Generator, shape: Shape) -> np.ndarray:
    """What the dermatoscope sees, H×W float32: 1 inside, 0 in the black surround, if any."""
    y, x = centred_grid(shape)
    if rng.random() > 0.16:
        return np.ones(shape, np.float32)
    radius, edge = rng.uniform(0.49, 0.68), rng.uniform(0.004, 0.025)
    y0, x0 = rng.normal(0, 0.015, 2).tolist()
    return smoothstep(radius - np.hypot(y - y0, x - x0), -edge, edge).astype(np.float32)


def defocus(rng: Generator, image: np.ndarray) -> np.ndarray:
    """`image` (H×W×3), blurred in some parts more than in others."""
    shape = image.shape[:2]
    sigma = max(0.3, rng.uniform(0.8, 2.6) * reference_pixel(shape))
    blurred = cv2.GaussianBlur(image, (0, 0), sigma)
    where = smoothstep(fractal_noise(rng, shape, 0.8 * min(shape)), -2.0, 0.8)
    return image + (blurred - image) * rgb(where)


def photograph(rng: Generator, image: np.ndarray, view: np.ndarray) -> np.ndarray:
    """`image` (H×W×3) as the camera shows it: H×W×3 float32, not yet clipped to [0, 1].

    Adds uneven light, vignetting, a colour cast, the black surround where `view` (H×W in [0, 1]) is
    0, and sensor noise, whose deviation grows with the square root of the light as shot noise's.
    """
    shape = image.shape[:2]
    y, x = centred_grid(shape)
    slant, heading = rng.uniform(0, 0.3), rng.uniform(0, 2 * math.pi)
    light = 1 + slant * (x * math.cos(heading) + y * math.sin(heading))
    light += rng.uniform(0, 0.05) * fractal_noise(rng, shape, 0.6 * min(shape))
    falloff = rng.uniform(0.2, 0.8) if rng.random() < 0.3 else rng.uniform(0, 0.2)
    light -= falloff * ((x**2 + y**2) / (x**2 + y**2).max()) ** rng.uniform(1, 2)
    cast = rng.uniform(0.98, 1.48) * rng.normal(1, 0.035, 3).astype(np.float32)
    image = image * rgb(light * view, cast) + rgb(rng.uniform(0.01, 0.09) * (1 - view))
    grain = rng.uniform(0.005, 0.017) * rng.standard_normal(image.shape, np.float32)
    return image + grain * np.sqrt(image.clip(0.02))
