"""One image and its mask, from the bytes of their files to what the network takes."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np

from lesion.photos.images import Photograph
from lesion.photos.masks import Mask, Reading, Values, open_mask
from lesion.photos.placement import Placement, mask_to_square
from lesion.photos.square import to_square
from lesion.photos.thumbnails import thumbnail
from lesion.photos.turns import Turn
from lesion.pipeline.errors import ImageError


@dataclass(frozen=True)
class Converted:
    """A pair that can be used: its arrays, where it came from, and what was measured on the way.

    `image` is side×side×3 uint8 RGB, `mask` side×side uint8 of 0 and 1, `shape` the photograph's
    (height, width), `lesion_share` of its pixels, `colour` the mean red, green and blue (0 to 255),
    `thumbnail` what near-duplicates are found by (duplicates.thumbnail). `reading` is how the mask
    was read; `values` and `turn` are what the pair says of that itself, None where it was told, or
    where there is no question.
    """

    image: np.ndarray
    mask: np.ndarray
    shape: tuple[int, int]
    placement: Placement
    lesion_share: float
    colour: tuple[float, float, float]
    thumbnail: np.ndarray
    notes: tuple[str, ...]
    reading: Reading
    values: Values | None
    turn: Turn | None

    def measurements(self) -> dict[str, object]:
        """What the data report says of it, and how it was placed and read, by column."""
        red, green, blue = self.colour
        return {
            "height": self.shape[0],
            "width": self.shape[1],
            "lesion_share": round(self.lesion_share, 6),
            # Luma of ITU-R BT.601, as in JPEG
            "brightness": round(0.299 * red + 0.587 * green + 0.114 * blue, 2),
            "red": round(red, 2),
            "green": round(green, 2),
            "blue": round(blue, 2),
            "notes": "; ".join(self.notes),
            **self.placement.columns(),
            **self.reading.columns(),
        }


def convert(
    image_file: bytes,
    mask_file: bytes,
    policy: str,
    side: int,
    reading: Reading | None = None,
    lesion_values: Sequence[int] = (),
) -> Converted:
    """Decodes, checks, measures and resizes a pair; `policy` is a name of lesion.photos.placement.

    The mask is read as `reading` says, else by what the pair tells, `lesion_values` being lesion.

    Raises:
        ImageError: one of the files is no whole image, or no mask, or they are of different sizes.
    """
    with _named("mask"):
        mask = open_mask(mask_file, reading, lesion_values)
    with _named("image"):
        square = to_square(image_file, policy, side)
    image, placement = square.photograph, square.placement
    if image.shape != mask.shape and not reading:
        mask = _otherwise(mask, image)
    if image.shape != mask.shape:
        (height, width), (mask_height, mask_width) = image.shape, mask.shape
        raise ImageError(
            f"image {width}×{height}, mask {mask_width}×{mask_height}; expected one size"
        )
    height, width = mask.shape
    small = mask_to_square(mask.image, placement, side)
    notes = [*image.notes, *mask.notes]
    if mask.reading.turn != mask.own_turn:
        notes.append(
            "mask turned as its image" if mask.own_turn == 1 else "mask not turned by its EXIF"
        )
    if mask.lesion in (0, height * width):
        notes.append("all lesion" if mask.lesion else "no lesion")
    return Converted(
        image=square.pixels,
        mask=small,
        shape=image.shape,
        placement=placement,
        lesion_share=mask.lesion / (height * width),
        colour=cv2.mean(square.pixels[placement.target.slices])[:3],
        thumbnail=thumbnail(image.pixels, image.shape),
        notes=tuple(notes),
        reading=mask.reading,
        values=mask.values,
        turn=None if reading else _turn(mask, image, square.pixels, small, placement),
    )


def _otherwise(mask: Mask, image: Photograph) -> Mask:
    """The mask turned as the photograph, or not as its own EXIF says, if only so they fit."""
    ways = [image.turn] if mask.exif in (None, 1) else [1]
    fitting = (mask.turned(turn) for turn in ways if turn != mask.reading.turn)
    return next((each for each in fitting if each.shape == image.shape), mask)


def _turn(
    mask: Mask, image: Photograph, square: np.ndarray, small: np.ndarray, placement: Placement
) -> Turn | None:
    """What tells how the mask was drawn, where EXIF turns the photograph and not the mask."""
    if image.turn == 1 or mask.exif not in (None, 1):
        return None
    if mask.reading.turn == image.turn:
        return Turn(image.turn, math.inf)
    turned = mask.turned(image.turn)
    if turned.shape != mask.shape:
        return Turn(image.turn, -math.inf)
    shown = placement.target.slices
    other = mask_to_square(turned.image, placement, len(square))
    return Turn.compared(
        image.turn, square[shown], small[shown], other[shown], declared=mask.exif == 1
    )


@contextmanager
def _named(which: str) -> Iterator[None]:
    """Says which of the two files an ImageError is about."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{which}: {error}") from None
