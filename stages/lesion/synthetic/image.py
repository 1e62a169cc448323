"""One synthetic image: skin, a lesion, what lies over them, and the camera.

The order of random draws is part of the output: a draw that is added, dropped or moved, in any
module of this package, changes the images, and with them the bytes of the archives in sample/.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from lesion.synthetic.artefacts import bar_scale, bubbles, glare, hairs, ruler, stubble
from lesion.synthetic.camera import defocus, field_of_view, photograph
from lesion.synthetic.pigment import paint_lesion
from lesion.synthetic.region import lesion_region
from lesion.synthetic.skin import bare_skin, vessels

MIN_SIDE = 16  # pixels

# What may change skin and lesion, from the skin up, each with its chance.
EFFECTS: tuple[tuple[float, Callable[[Generator, np.ndarray], np.ndarray]], ...] = (
    (0.20, vessels),
    (0.30, bubbles),
    (0.12, glare),
    (0.12, stubble),
    (0.50, hairs),
    (0.16, ruler),
    (0.05, bar_scale),
    (0.45, defocus),
)


def lesion_image(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """One skin lesion; every feature scales with the image size.

    Args:
        seed: non-negative integer; the same seed and size give the same arrays.
        height, width: image size in pixels, each at least 16.

    Returns:
        RGB image, H×W×3 uint8, and mask, H×W bool, True on the lesion (never empty, never the
        whole frame).

    Raises:
        ValueError: a side is below 16 pixels, or the seed is negative.
    """
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"image sides must be at least {MIN_SIDE} px, got {height}×{width}")
    rng = np.random.default_rng(seed)
    view = field_of_view(rng, (height, width))
    mask = lesion_region(rng, view > 0.5)
    image = paint_lesion(rng, bare_skin(rng, (height, width)), mask)
    for chance, effect in EFFECTS:
        if rng.random() < chance:
            image = effect(rng, image)
    image = photograph(rng, image, view)
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8), mask
