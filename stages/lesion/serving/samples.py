"""Drawings to try the page with, where nobody has a photograph at hand."""

from __future__ import annotations

from functools import lru_cache

import simplejpeg

from lesion.synthetic import lesion_image

SEEDS = (71, 67, 88, 77, 81, 64)  # of the drawings
HEIGHT, WIDTH = 576, 768
QUALITY = 92


@lru_cache(maxsize=len(SEEDS))
def sample(number: int) -> bytes:
    """JPEG of the drawing of that number, 0 to len(SEEDS) - 1; the same bytes at each call."""
    image, _ = lesion_image(SEEDS[number], HEIGHT, WIDTH)
    return simplejpeg.encode_jpeg(image, quality=QUALITY, colorsubsampling="444")
