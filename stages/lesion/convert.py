"""One image and its mask, from the bytes of their files to what the network takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np

from lesion.duplicates import least_for_hash, perceptual_hash
from lesion.errors import ImageError
from lesion.images import Mask, Photograph, decode_image, open_mask
from lesion.placement import Placement, image_to_square, least_size, mask_to_square, place


@dataclass(frozen=True)
class Converted:
    """A pair that can be used: its arrays, where it came from, and what was measured on the way.

    `image` is side×side×3 uint8 RGB, `mask` side×side uint8 of 0 and 1, `shape` the photograph's
    (height, width), `lesion_share` of its pixels, `colour` the mean red, green and blue (0 to 255),
    `hash` 32 bytes.
    """

    image: np.ndarray
    mask: np.ndarray
    shape: tuple[int, int]
    placement: Placement
    lesion_share: float
    colour: tuple[float, float, float]
    hash: np.ndarray
    notes: tuple[str, ...]

    def measurements(self) -> dict[str, object]:
        """What the data report says of it, and where it was placed, by column."""
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
        }


def convert(image_file: bytes, mask_file: bytes, policy: str, side: int) -> Converted:
    """Decodes, checks, measures and resizes a pair; `policy` is a name of lesion.placement.

    Raises:
        ImageError: one of the files is no whole image, or they are of different sizes.
    """
    with _named("mask"):
        mask = open_mask(mask_file)
    height, width = mask.shape
    placement = place(policy, height, width, side)
    least = np.maximum(least_size(placement, height, width), least_for_hash(mask.shape))
    with _named("image"):
        image = decode_image(image_file, tuple(least.tolist()))
    if image.shape != mask.shape:
        raise ImageError(_sizes_differ(image, mask))
    notes = [*image.notes, *mask.notes]
    if mask.lesion in (0, height * width):
        notes.append("all lesion" if mask.lesion else "no lesion")
    square = image_to_square(image.pixels, placement, image.shape, side)
    return Converted(
        image=square,
        mask=mask_to_square(mask.image, placement, side),
        shape=image.shape,
        placement=placement,
        lesion_share=mask.lesion / (height * width),
        colour=cv2.mean(square[placement.target.slices])[:3],
        hash=perceptual_hash(image.pixels, image.shape),
        notes=tuple(notes),
    )


@contextmanager
def _named(which: str) -> Iterator[None]:
    """Says which of the two files an ImageError is about."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{which}: {error}") from None


def _sizes_differ(image: Photograph, mask: Mask) -> str:
    (height, width), (mask_height, mask_width) = image.shape, mask.shape
    text = f"image {width}×{height}, mask {mask_width}×{mask_height}; expected one size"
    if "turned by EXIF" in image.notes and image.shape == mask.shape[::-1]:
        text += ": the image is turned by its EXIF orientation, the mask is not"
    return text
