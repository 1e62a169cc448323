"""Pictures as files of several kinds, and as a camera stores them that was held another way."""

import io
import struct
import zlib

import numpy as np
from PIL import ExifTags, Image

# What the EXIF standard says of each number: where the stored row 0 and column 0 are in the
# upright picture.
ORIENTATIONS = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(array: np.ndarray, **options: object) -> bytes:
    return encoded(Image.fromarray(array), "JPEG", **options)


def png(array: np.ndarray, **options: object) -> bytes:
    return encoded(Image.fromarray(array), "PNG", **options)


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels of a file with that EXIF orientation which shows `upright`."""
    row, column = ORIENTATIONS[orientation]
    if row in ("left", "right"):
        upright = upright.swapaxes(0, 1)
    if row in ("bottom", "right"):
        upright = upright[::-1]
    if column in ("bottom", "right"):
        upright = upright[:, ::-1]
    return np.ascontiguousarray(upright)


def exif(orientation: object) -> Image.Exif:
    values = Image.Exif()
    values[ExifTags.Base.Orientation] = orientation
    return values


def huge_png(width: int, height: int) -> bytes:
    """A whole PNG of one colour, of many pixels in few bytes."""

    def part(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width // 8 + 1)) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    content = part(b"IHDR", header) + part(b"IDAT", rows + packer.flush()) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content
