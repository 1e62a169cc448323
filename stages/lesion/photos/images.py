"""Decoding and resizing of images and masks.

JPEG is decoded by simplejpeg (libjpeg-turbo), which says when a file is damaged and can decode at
eighths of its size; everything else by Pillow. Not by OpenCV, which fills in what a cut file lacks
and only warns.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError

from lesion.pipeline.errors import ImageError

KINDS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP")  # Pillow knows stranger ones
MOST_PIXELS = 100_000_000  # three times the largest dermoscopic images; more would fill the memory

Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns of some images and refuses others
warnings.filterwarnings("ignore", module=r"PIL\.", category=UserWarning)  # name no file; see notes
cv2.setNumThreads(1)  # images are shared out among threads already; parallel.py has their number

# Slips of cameras that libjpeg warns of, though every pixel is there, where they are in the header;
# all else that it warns of is damage.
_HARMLESS = ("extraneous bytes before marker", "Invalid SOS parameters")
_SEQUENTIAL, _SCAN = (0xC0, 0xC1), 0xDA  # JPEG markers
WARNED = "harmless JPEG warning"
JPEG = ("JPEG", "MPO")  # MPO: several pictures, the first of which is the photograph
# EXIF orientation: what to do with the stored pixels, so that the picture stands upright.
_UPRIGHT = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
_ON_ITS_SIDE = (5, 6, 7, 8)  # height and width change places


@dataclass(frozen=True)
class Photograph:
    """An upright photograph, H×W×3 uint8 RGB, perhaps smaller than its full (height, width).

    `notes` say what was unusual about its file; `turn` is the EXIF orientation of its stored
    pixels, 1 to 8, 1 being upright.
    """

    pixels: np.ndarray
    shape: tuple[int, int]
    notes: tuple[str, ...]
    turn: int = 1


def decode_image(content: bytes, at_least: tuple[int, int] | None = None) -> Photograph:
    """An RGB image, turned upright as its EXIF orientation says.

    With `at_least`, a height and a width, a JPEG may come smaller: at the decoder's smallest scale
    that has so many pixels both ways, which saves much of the time for large photographs. Where its
    size is no multiple of the scale, the last pixels are filled in part only.

    Raises:
        ImageError: the content is no image, or not a whole one.
    """
    with opened(content) as image:
        turn, by = exif_turn(image) or 1, _turn_of(image)
        notes = [*_colour_notes(image, content)]
        if by != 1:
            notes.append("turned by EXIF")
        if _has_damaged_exif(image):
            notes.append("damaged EXIF")
        if image.format in JPEG:
            least = at_least or (0, 0)
            if by != 1 and any(length % 8 for length in image.size):
                least = (0, 0)  # turned, the pixels that are filled in part would be the first
            pixels, warned = decode_jpeg(
                content, "RGB", least[::-1] if by in _ON_ITS_SIDE else least
            )
            notes += [WARNED] * warned
        else:
            pixels = np.asarray(_eight_bits(image).convert("RGB"))
        shape = _upright_shape(image, by)
        return Photograph(upright(pixels, by), shape, tuple(notes), turn)


def photograph_shape(content: bytes) -> tuple[int, int]:
    """Height and width of `decode_image`'s photograph, by the header of its file.

    Raises:
        ImageError: the content is no image, or not a whole one as far as its header tells.
    """
    with opened(content) as image:
        return _upright_shape(image, _turn_of(image))


def exif_turn(image: Image.Image) -> int | None:
    """EXIF's orientation of a file's stored pixels, 1 to 8; None where it tells none."""
    if _has_damaged_exif(image):
        return None
    number = image.getexif().get(ExifTags.Base.Orientation)
    return number if number == 1 or number in _UPRIGHT else None


def gives_stored_pixels(image: Image.Image) -> bool:
    """Whether the stored pixels are what Pillow gives: it turns those of a TIFF itself."""
    return image.format != "TIFF"


def _turn_of(image: Image.Image) -> int:
    """The EXIF orientation by which the pixels that Pillow gives have to be turned; 1: none."""
    return exif_turn(image) or 1 if gives_stored_pixels(image) else 1


def _upright_shape(image: Image.Image, turn: int) -> tuple[int, int]:
    return image.size if turn in _ON_ITS_SIDE else image.size[::-1]


def upright(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Stored pixels, H×W or H×W×3, turned upright as that EXIF orientation says."""
    return np.ascontiguousarray(_UPRIGHT[turn](pixels)) if turn in _UPRIGHT else pixels


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """`image`, uint8 or float of any H and W, stretched to `height`×`width`."""
    # A side that shrinks goes first: each new pixel is the mean of the area that it covers, where
    # linear interpolation would skip pixels.
    smaller = (min(width, image.shape[1]), min(height, image.shape[0]))
    image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    if smaller == (width, height):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """`mask`, H×W bool, stretched: True where at least half of the new pixel's area was."""
    levels = Image.fromarray(mask.view(np.uint8) * np.uint8(255))
    return resize_levels(levels, height, width) > 127  # half of 255 is rounded up to 128


def resize_levels(
    levels: Image.Image, height: int, width: int, box: tuple[int, int, int, int] | None = None
) -> np.ndarray:
    """A grey image, or its `box` (left, top, right, bottom), as H×W uint8; as `resize_image` does.

    For one channel Pillow is three times as fast as OpenCV. Where the scale is no whole number it
    takes the mean of the pixels whose centres lie in the area, and not of parts of pixels.
    """
    left, top, right, bottom = box or (0, 0, *levels.size)
    smaller = (min(width, right - left), min(height, bottom - top))
    levels = levels.resize(smaller, Image.Resampling.BOX, box)
    return np.asarray(levels.resize((width, height), Image.Resampling.BILINEAR))


def encode_mask(mask: np.ndarray) -> bytes:
    """PNG of a bool H×W mask, as in the challenge: 8 bit grey, 0 and 255."""
    _, content = cv2.imencode(".png", mask.astype(np.uint8) * 255)
    return content.tobytes()


@contextmanager
def opened(content: bytes) -> Iterator[Image.Image]:
    """The image with its header read and nothing decoded; failures become ImageError."""
    try:
        with Image.open(io.BytesIO(content), formats=KINDS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ImageError(
                    f"{image.width}×{image.height} pixels; expected at most {MOST_PIXELS:,}"
                )
            if (frames := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":
                raise ImageError(f"{frames} pictures in one file; expected one")
            if image.format == "PNG":
                _require_whole_png(content)
            yield image
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageError(f"not an image: its {len(content)} bytes begin {content[:8]!r}") from None
    except Exception as error:  # Pillow lets out whatever damage leads to: TypeError, KeyError, …
        raise ImageError(str(error) or type(error).__name__) from None


def _require_whole_png(content: bytes) -> None:
    """Holds that every part is there and has its checksum; Pillow skips those of the pixels."""
    view, start, kind = memoryview(content), 8, b""
    while kind != b"IEND":
        try:
            length, kind = struct.unpack_from(">I4s", content, start)
            end = start + 8 + length
            (checksum,) = struct.unpack_from(">I", content, end)
        except struct.error:
            raise ImageError("cut: its last part, IEND, is missing") from None
        if zlib.crc32(view[start + 4 : end]) != checksum:
            raise ImageError(f"damaged: the checksum of its part {kind!r} at byte {start} differs")
        start = end + 4


def decode_jpeg(
    content: bytes, colours: str, at_least: tuple[int, int] = (0, 0)
) -> tuple[np.ndarray, bool]:
    """Pixels, H×W×(1 or 3) uint8, and whether the decoder warned of something harmless."""
    height, width = at_least
    try:
        return simplejpeg.decode_jpeg(content, colours, min_height=height, min_width=width), False
    except ValueError as error:
        if not any(words in str(error) for words in _HARMLESS):
            raise
    # The decoder stopped at that warning; what is worse may come behind it.
    content = _mended(content)
    return simplejpeg.decode_jpeg(content, colours, min_height=height, min_width=width), True


def _mended(jpeg: bytes) -> bytes:
    """A JPEG without stray bytes between the segments of its header, and with the only
    coefficients named at its first scan that a sequential JPEG can have there: all."""
    segments, start, marker, sequential = [jpeg[:2]], 2, 0, False
    while marker != _SCAN:
        start = jpeg.index(b"\xff", start)
        marker, length = struct.unpack_from(">BH", jpeg, start + 1)
        if marker in (0x00, 0xFF):  # no marker
            start += 1
            continue
        sequential |= marker in _SEQUENTIAL
        segments.append(jpeg[start : start + 2 + length])
        start += 2 + length
    if sequential:
        segments[-1] = segments[-1][:-3] + bytes([0, 63, 0])
    return b"".join(segments) + jpeg[start:]


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ImageError("32 bits a pixel; expected 8 or 16")
    if image.mode.startswith("I;16"):  # which Pillow would clip at 255
        levels = np.asarray(image)
        return Image.fromarray((levels >> 8 if levels.max() > 255 else levels).astype(np.uint8))
    return image


def _has_damaged_exif(image: Image.Image) -> bool:
    """Whether the orientation may be lost: the first list of EXIF values is not all there."""
    if "exif" not in image.info:
        return False
    content = image.info["exif"].removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (values,) = struct.unpack_from(f"{order}H", content, start)
    except struct.error:  # also of an unknown order
        return True
    return start + 2 + 12 * values > len(content)


def _colour_notes(image: Image.Image, content: bytes) -> Iterator[str]:
    """What is not plain 8-bit RGB about an image."""
    mode = image.mode
    if mode in ("1", "L", "LA", "La") or mode.startswith("I"):
        yield "grey"
    if mode in ("P", "PA"):
        yield "palette"
    if mode == "CMYK":
        yield "CMYK"
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        yield "alpha"
    if mode.startswith("I") or (image.format == "PNG" and content[24] == 16):
        yield "16 bit"
