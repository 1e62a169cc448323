"""The levels of a mask file: the one whole number a pixel in which its shape may be drawn.

grey              the grey value; of colours the luma
red, green, blue  of colours, where the luma does not tell them apart
index             the place in the palette, unless all colours that are used are grey
alpha             the opacity, where all that can be seen has one colour
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np
from PIL import ExifTags, Image

from lesion.photos.images import JPEG, decode_jpeg
from lesion.pipeline.errors import ImageError

COLOURS = ("red", "green", "blue")
COMMON = 0.005  # share of the pixels from which a colour counts
_PACKED = np.array([2**32, 2**16, 1], np.uint64)  # three channels of 16 bits in one number
Key = tuple[int, ...]  # red, green and blue of a level, or the opacity alone


@dataclass(frozen=True)
class Levels:
    """A channel of a mask as it is stored: H×W, an image of 8 bits or an array of 16.

    `warned` says that the decoder warned of something harmless; `colour` gives a level's colour
    where it is not the grey of that level.
    """

    channel: str
    pixels: Image.Image | np.ndarray
    warned: bool = False
    colour: Callable[[int], Key] = field(default=lambda level: (level, level, level))

    @cached_property
    def counts(self) -> np.ndarray:
        """The number of pixels of each level, from 0 to `top`."""
        if isinstance(self.pixels, Image.Image):
            return np.array(self.pixels.histogram())
        return np.bincount(self.pixels.ravel(), minlength=self.top + 1)

    @property
    def top(self) -> int:
        """The highest level that there may be."""
        return 255 if isinstance(self.pixels, Image.Image) else 65535

    @cached_property
    def present(self) -> list[int]:
        """The levels that occur, ascending."""
        return np.flatnonzero(self.counts).tolist()

    def areas(self) -> np.ndarray:
        """As `counts`, of the pixels all of whose neighbours have their level.

        An edge, however soft, has hardly any; nor has a photograph.
        """
        pixels, square = np.asarray(self.pixels), np.ones((3, 3), np.uint8)
        even = cv2.erode(pixels, square) == cv2.dilate(pixels, square)
        return np.bincount(pixels[even], minlength=self.top + 1)

    def where(self, lesion: np.ndarray) -> Image.Image:
        """A grey image, 255 where `lesion`, bool by level, is true, and else 0."""
        table = np.where(lesion, 255, 0).astype(np.uint8)
        if isinstance(self.pixels, Image.Image):
            return self.pixels.point(table.tolist())
        return Image.fromarray(table[self.pixels])


def candidates(image: Image.Image, content: bytes) -> Iterator[Levels]:
    """The channels in which an opened file's shape may lie, the most likely first.

    Raises:
        ImageError: the file has colours that no channel tells apart, or fractions of 32 bits.
    """
    if image.mode == "L" and image.format not in JPEG and "transparency" not in image.info:
        yield Levels("grey", image)  # as most masks are
        return
    if image.format in JPEG:
        yield channel(image, content, "grey")
        if image.mode != "L":
            yield from (channel(image, content, name) for name in COLOURS)
        return
    pixels = _pixels(image, content)
    alpha = pixels[..., 3] if pixels.ndim == 3 and pixels.shape[2] == 4 else None
    if alpha is not None and alpha.min() < np.iinfo(alpha.dtype).max:
        seen = pixels[alpha > 0, :3]
        if not len(seen) or (alpha.min() < alpha.max() and (seen == seen[0]).all()):
            yield channel(image, content, "alpha")
            return
    if image.mode in ("P", "PA") and not _is_grey(image):
        yield channel(image, content, "index")
    else:
        names = ["grey"]
        if pixels.ndim == 3 and not (_seen(pixels) == _seen(pixels)[..., :1]).all():
            _require_two_colours(_seen(pixels))
            names += COLOURS
        yield from (channel(image, content, name) for name in names)
    if alpha is not None:
        yield channel(image, content, "alpha")


def channel(image: Image.Image, content: bytes, name: str) -> Levels:
    """That channel of an opened file.

    Raises:
        ImageError: the file has no such channel, or fractions of 32 bits.
    """
    if image.format in JPEG:
        pixels, warned = decode_jpeg(content, "GRAY" if name == "grey" else "RGB")
        if name == "grey":
            return Levels(name, Image.fromarray(pixels[..., 0]), warned)
        return _levels(name, pixels[..., COLOURS.index(name)], pixels, warned)
    if name == "grey" and image.mode in ("1", "L"):
        return Levels(name, image.convert("L"))
    if name == "index":
        indices, palette = _indices(image)
        return Levels(name, Image.fromarray(indices), colour=lambda at: tuple(palette[at].tolist()))
    pixels = _pixels(image, content)
    if pixels.ndim == 2:
        return _levels(name, pixels)
    if name == "alpha":
        return replace(_levels(name, pixels[..., -1]), colour=lambda level: (level,))
    pixels = _seen(pixels)
    return _levels(
        name, _luma(pixels) if name == "grey" else pixels[..., COLOURS.index(name)], pixels
    )


def _levels(
    name: str, levels: np.ndarray, pixels: np.ndarray | None = None, warned: bool = False
) -> Levels:
    """Of an H×W array; `pixels`, H×W×3, are the colours that it was taken from."""
    held: Image.Image | np.ndarray = levels
    if levels.max() <= 255:  # also where 16 bits hold them
        held = Image.fromarray(levels.astype(np.uint8))
    if pixels is None:
        return Levels(name, held, warned)

    def colour(level: int) -> Key:
        first = np.argmax(levels == level)
        return tuple(pixels.reshape(-1, 3)[first].tolist())

    return Levels(name, held, warned, colour)


def _pixels(image: Image.Image, content: bytes) -> np.ndarray:
    """All that a file holds: H×W grey, H×W×3 RGB or H×W×4 with alpha, uint8 or uint16."""
    if image.mode in ("I", "F"):
        levels = np.asarray(image)
        if not ((levels >= 0) & (levels <= 65535) & (levels == np.floor(levels))).all():
            raise ImageError("32 bits a pixel, and no whole numbers up to 65535; expected 8 bits")
        return levels.astype(np.uint16)
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    has_alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    if not has_alpha and image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    whole = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    if not _has_16_bits(image, content):
        return whole
    # Pillow keeps the upper eight of them, in which 0 and 1 are one.
    deep = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.shape != whole.shape:
        raise ImageError("colours of 16 bits that cannot be read; expected 8 bits")
    return cv2.cvtColor(deep, cv2.COLOR_BGRA2RGBA if has_alpha else cv2.COLOR_BGR2RGB)


def _has_16_bits(image: Image.Image, content: bytes) -> bool:
    if image.format == "PNG":
        return content[24] == 16
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    return image.format == "TIFF" and 16 in tags.get(ExifTags.Base.BitsPerSample, ())


def _seen(pixels: np.ndarray) -> np.ndarray:
    """The colours, H×W×3, of H×W×3 or H×W×4: black where nothing can be seen."""
    if pixels.shape[2] == 3:
        return pixels
    return np.where(pixels[..., 3:] > 0, pixels[..., :3], 0).astype(pixels.dtype)


def _luma(pixels: np.ndarray) -> np.ndarray:
    """ITU-R BT.601, as in JPEG: H×W of H×W×3."""
    if pixels.max() <= 255:
        return np.asarray(Image.fromarray(pixels.astype(np.uint8)).convert("L"))
    return np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint16)


def _indices(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """The places in the palette, H×W uint8, and the palette, 256×3 uint8 RGB."""
    indices = np.asarray(image) if image.mode == "P" else np.asarray(image)[..., 0]
    palette = np.zeros((256, 3), np.uint8)
    entries = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette[: len(entries)] = entries
    return np.ascontiguousarray(indices), palette


def _is_grey(image: Image.Image) -> bool:
    """Whether the colours of the palette that are used are grey; all of it where one alone is."""
    indices, palette = _indices(image)
    used = np.unique(indices)
    colours = palette[used] if len(used) > 1 else palette
    return bool((colours == colours[:, :1]).all())


def _require_two_colours(pixels: np.ndarray) -> None:
    """Holds that luma tells apart the common colours of H×W×3 pixels where they are more than two.

    Raises:
        ImageError: it does not.
    """
    colours, counts = np.unique(pixels.reshape(-1, 3) @ _PACKED, return_counts=True)
    shares = counts / counts.sum()
    common = colours[shares >= COMMON]
    apart = (common[:, None] // _PACKED % 65536).astype(pixels.dtype)
    if len(common) <= 2 or len(np.unique(_luma(apart[None]))) == len(common):
        return
    by_share = sorted(zip(shares[shares >= COMMON].tolist(), apart.tolist(), strict=True))[::-1]
    said = ", ".join(f"{tuple(colour)} ({share:.1%})" for share, colour in by_share[:4])
    raise ImageError(
        f"{len(common)} colours, mostly {said}, of which some are equally bright; expected two, "
        "skin and lesion; save it with a grey value for each"
    )
