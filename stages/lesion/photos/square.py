"""A photograph, from the bytes of its file to the square that the network takes."""

from dataclasses import dataclass

import numpy as np

from lesion.photos.images import Photograph, decode_image, photograph_shape
from lesion.photos.placement import Placement, image_to_square, least_size, place
from lesion.photos.thumbnails import least_for_hash


@dataclass(frozen=True)
class Square:
    """`pixels`, side×side×3 uint8 RGB, and where in them the photograph lies."""

    pixels: np.ndarray
    placement: Placement
    photograph: Photograph


def to_square(content: bytes, policy: str, side: int) -> Square:
    """A photograph's square; `policy` is a name of lesion.photos.placement.

    It is decoded no larger than the square needs, and the hash by which near-duplicates are found:
    so it has the same bytes whoever asks for it.

    Raises:
        ImageError: the content is no whole image.
    """
    shape = photograph_shape(content)
    placement = place(policy, *shape, side)
    needed = zip(least_size(placement, *shape), least_for_hash(shape), strict=True)
    height, width = map(max, needed)
    photograph = decode_image(content, (height, width))
    pixels = image_to_square(photograph.pixels, placement, shape, side)
    return Square(pixels, placement, photograph)
