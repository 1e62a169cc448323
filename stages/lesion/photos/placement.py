"""Where a photograph of any shape goes in the network's square, and the way back.

stretch    the whole photograph fills the square; its shape is lost
letterbox  the whole photograph in its shape, between two black bars
crop       the photograph's middle square fills the square; the rest is cut off
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from lesion.photos.images import resize_image, resize_levels

EIGHT = 8  # the JPEG decoder's scales are eighths


class Box(NamedTuple):
    """A rectangle of whole pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )


PLACEMENT_COLUMNS = [f"{box}_{field}" for box in ("source", "target") for field in Box._fields]


@dataclass(frozen=True)
class Placement:
    """The box `source` of the photograph was resized into the box `target` of the square."""

    source: Box
    target: Box

    def columns(self) -> dict[str, int]:
        """As a row of a table with PLACEMENT_COLUMNS."""
        return dict(zip(PLACEMENT_COLUMNS, (*self.source, *self.target), strict=True))

    @classmethod
    def from_row(cls, row: object) -> "Placement":
        """From an object with PLACEMENT_COLUMNS as attributes."""
        numbers = [int(getattr(row, name)) for name in PLACEMENT_COLUMNS]
        return cls(Box(*numbers[:4]), Box(*numbers[4:]))


def place(policy: str, height: int, width: int, side: int) -> Placement:
    """How a photograph of `height`×`width` goes into a square of `side` pixels by `policy`."""
    whole, square = Box(0, 0, width, height), Box(0, 0, side, side)
    if policy == "stretch":
        return Placement(whole, square)
    if policy == "letterbox":
        scale = side / max(height, width)
        inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (side - inner_width) // 2, (side - inner_height) // 2
        return Placement(whole, Box(left, top, inner_width, inner_height))
    if policy == "crop":
        # In steps of 8 pixels, so that the box is whole pixels at every scale of the decoder.
        step = EIGHT if min(height, width) >= EIGHT else 1
        inner = min(height, width) // step * step
        left, top = ((length - inner) // 2 // step * step for length in (width, height))
        return Placement(Box(left, top, inner, inner), square)
    raise ValueError(f"unknown policy {policy!r}; expected stretch, letterbox or crop")


def least_size(placement: Placement, height: int, width: int) -> tuple[int, int]:
    """Height and width of the photograph, of `height`×`width`, at the decoder's smallest scale from
    which nothing has to be enlarged."""
    source, target = placement.source, placement.target
    scale = max(target.height / source.height, target.width / source.width)
    eighths = min(EIGHT, math.ceil(EIGHT * scale))
    return math.ceil(height * eighths / EIGHT), math.ceil(width * eighths / EIGHT)


def image_to_square(
    pixels: np.ndarray, placement: Placement, shape: tuple[int, int], side: int
) -> np.ndarray:
    """The photograph in the square, side×side×3 uint8; black in the bars.

    `shape` is the photograph's (height, width); `pixels`, uint8 RGB, may be fewer, by eighths.
    """
    source, target = placement.source, placement.target
    if pixels.shape[:2] == shape:
        inner = resize_image(pixels[source.slices], target.height, target.width)
        return _in_bars(inner, target, side)
    # Of fewer pixels the last may be filled in part only; the scale that is given, instead of a
    # size, takes just so much of it.
    scale = pixels.shape[1] * EIGHT // shape[1] / EIGHT
    pixels = pixels[int(source.top * scale) :, int(source.left * scale) :]
    inner = cv2.resize(
        pixels[: math.ceil(source.height * scale), : math.ceil(source.width * scale)],
        dsize=None,
        fx=target.width / (source.width * scale),
        fy=target.height / (source.height * scale),
        interpolation=cv2.INTER_AREA,
    )
    return _in_bars(inner[: target.height, : target.width], target, side)


def mask_to_square(mask: Image.Image, placement: Placement, side: int) -> np.ndarray:
    """A mask, grey image of 0 and 255, in the square: side×side uint8 of 0 and 1.

    A pixel is 1 where at least half of what it covers was lesion.
    """
    source, target = placement.source, placement.target
    box = (source.left, source.top, source.left + source.width, source.top + source.height)
    levels = resize_levels(mask, target.height, target.width, box)
    return _in_bars((levels > 127).view(np.uint8), target, side)


def _in_bars(inner: np.ndarray, target: Box, side: int) -> np.ndarray:
    if inner.shape[:2] == (side, side):
        return inner
    square = np.zeros((side, side, *inner.shape[2:]), inner.dtype)
    square[target.slices] = inner
    return square


def from_square(values: np.ndarray, placement: Placement, height: int, width: int) -> np.ndarray:
    """`values` of the square, S×S float32, at the photograph's `height`×`width`.

    What the square does not show, outside the middle that was cropped, is 0.
    """
    source, target = placement.source, placement.target
    inner = resize_image(values[target.slices], source.height, source.width)
    if inner.shape == (height, width):
        return inner
    whole = np.zeros((height, width), values.dtype)
    whole[source.slices] = inner
    return whole
