"""Decoding and resizing of images and masks."""

import io

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from lesion.errors import ImageError

# Pillow rather than OpenCV decodes: OpenCV fills in what a cut file lacks and only warns.


def decode_image(content: bytes, side: int | None = None) -> tuple[np.ndarray, tuple[int, int]]:
    """An RGB image, H×W×3 uint8, and the (height, width) that is stored.

    With `side`, a JPEG may come smaller: the decoder's smallest scale that has at least `side`
    pixels both ways, which saves most of the time for large photographs.

    Raises:
        ImageError: the content is no image, or not a whole one.
    """
    image, shape = _decode(content, "RGB", side)
    return image, shape


def decode_mask(content: bytes) -> np.ndarray:
    """A mask, H×W bool: True where the grey value is above 127 of 255.

    Raises:
        ImageError: the content is no image, or not a whole one.
    """
    grey, _ = _decode(content, "L", None)
    return grey > 127


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """`image`, uint8 or float of any H and W, stretched to `height`×`width`."""
    # A side that shrinks goes first: each new pixel is the mean of the area that it covers, where
    # linear interpolation would skip pixels.
    smaller = (min(width, image.shape[1]), min(height, image.shape[0]))
    image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """`mask`, H×W bool, stretched: True where at least half of the new pixel's area was."""
    return resize_image(mask.astype(np.float32), height, width) >= 0.5


def encode_mask(mask: np.ndarray) -> bytes:
    """PNG of a bool H×W mask, as in the challenge: 8 bit grey, 0 and 255."""
    _, content = cv2.imencode(".png", mask.astype(np.uint8) * 255)
    return content.tobytes()


def _decode(content: bytes, mode: str, side: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            if side:
                image.draft(mode, (side, side))
            if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
                eight_bits = (np.asarray(image) >> 8).astype(np.uint8)
                return np.asarray(Image.fromarray(eight_bits).convert(mode)), (height, width)
            return np.asarray(image.convert(mode)), (height, width)
    except UnidentifiedImageError:
        raise ImageError(f"not an image: its {len(content)} bytes begin {content[:8]!r}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(str(error)) from None
