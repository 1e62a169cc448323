"""Files of one mask in every way in which people keep masks."""

import cv2
import numpy as np
from PIL import Image

from lesion.synthetic import lesion_image
from picture_files import encoded, jpeg, png

HEIGHT, WIDTH = 60, 80
IMAGE, MASK = lesion_image(2, HEIGHT, WIDTH)


def two(skin: int, lesion: int, kind: type = np.uint8) -> np.ndarray:
    return np.where(MASK, lesion, skin).astype(kind)


def labelled(*values: int, scale: int = 1) -> np.ndarray:
    """Skin, lesion and the lesion's middle, in these values; some times larger than MASK."""
    middle = cv2.erode(MASK.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=4)
    labels = np.kron(MASK.astype(np.uint8) + middle, np.ones((scale, scale), np.uint8))
    return np.array(values, np.uint8)[labels]


def with_palette(indices: np.ndarray, *colours: tuple[int, int, int], **options: object) -> bytes:
    picture = Image.fromarray(indices).convert("P")
    picture.putdata(indices.ravel().tolist())
    picture.putpalette([level for colour in colours for level in colour])
    return encoded(picture, "PNG", **options)


def painted(skin: tuple[int, ...], lesion: tuple[int, ...]) -> np.ndarray:
    return np.where(MASK[..., None], lesion, skin).astype(np.uint8)


def deep(pixels: np.ndarray, kind: str = ".png") -> bytes:
    """A file of 16 bits."""
    return cv2.imencode(kind, pixels.astype(np.uint16))[1].tobytes()


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


RED, WHITE, BLACK = (128, 0, 0), (255, 255, 255), (0, 0, 0)
KINDS = {
    "0 and 255": png(two(0, 255)),
    "0 and 1": png(two(0, 1)),
    "0 and 128": png(two(0, 128)),
    "1 and 2": png(two(1, 2)),
    "100 and 200": png(two(100, 200)),
    "254 and 255": png(two(254, 255)),
    "1 bit": encoded(Image.fromarray(MASK), "PNG"),
    "1 bit in a bitmap": encoded(Image.fromarray(MASK), "BMP"),
    "16 bits, 0 and 65535": deep(two(0, 65535, int)),
    "16 bits, 0 and 1": deep(two(0, 1)),
    "16 bits, 0 and 256": deep(two(0, 256, int)),
    "16 bits, 300 and 301": deep(two(300, 301, int)),
    "16 bits in colours, 0 and 1": deep(np.dstack([two(0, 1)] * 3)),
    "16 bits in colours, 300 and 301, in a TIFF": deep(
        np.dstack([two(300, 301, int)] * 3), ".tiff"
    ),
    "16 bits in colours of one luma": deep(np.dstack([two(0, 0), two(0, 0), two(0, 1)])),
    "16 bits in alpha": deep(np.dstack([*[two(0, 0)] * 3, two(0, 256, int)])),
    "32 bits": encoded(Image.fromarray(two(0, 1, np.int32)), "TIFF"),
    "32 bits, floating": encoded(Image.fromarray(two(0, 1, np.float32)), "TIFF"),
    "grey with alpha": encoded(Image.fromarray(two(0, 255)).convert("LA"), "PNG"),
    "grey in colours": png(np.dstack([two(0, 255)] * 3)),
    "red on black": png(painted(BLACK, (255, 0, 0))),
    "dark blue on black": png(painted(BLACK, (0, 0, 1))),
    "colours of one luma": png(painted((0, 0, 4), (1, 0, 1))),
    "CMYK": encoded(Image.fromarray(two(0, 255)).convert("CMYK"), "TIFF"),
    "palette, dark red by index": with_palette(two(0, 1), BLACK, RED),
    "palette, dark red on white": with_palette(two(0, 1), WHITE, RED),
    "palette, two bright colours": with_palette(
        two(3, 7), *[(9 * n, 99, 255 - n) for n in range(8)]
    ),
    "palette of grey levels": with_palette(two(0, 1), BLACK, WHITE),
    "palette of grey levels, inverted": with_palette(two(1, 0), WHITE, BLACK),
    "palette of grey levels among colours that are not used": with_palette(
        two(2, 1), RED, WHITE, BLACK
    ),
    "palette with a transparent skin": with_palette(two(1, 0), RED, RED, transparency=1),
    "GIF": encoded(Image.fromarray(two(0, 255)), "GIF"),
    "WebP": encoded(Image.fromarray(two(0, 255)), "WEBP", lossless=True),
    "shape in alpha, black": png(painted((0, 0, 0, 0), (0, 0, 0, 255))),
    "shape in alpha, white": png(painted((255, 255, 255, 0), (255, 255, 255, 255))),
    "shape in alpha, black on what nobody sees": png(painted((255, 255, 255, 0), (0, 0, 0, 255))),
    "shape in half an alpha": png(painted((9, 9, 9, 100), (9, 9, 9, 200))),
    "opaque colours": png(painted((0, 0, 0, 255), (255, 255, 255, 255))),
}
SMEARED = {
    "JPEG": (jpeg(two(0, 255), quality=75), "mask of several values"),
    "JPEG of low quality": (jpeg(two(0, 255), quality=20), "mask of several values"),
    "JPEG of 0 and 128": (jpeg(two(0, 128), quality=80), "mask of several values"),
    "JPEG of 100 and 200": (jpeg(two(100, 200), quality=80), "mask of several values"),
    "JPEG, red on black": (
        jpeg(painted(BLACK, (255, 0, 0)), quality=90),
        "mask of several values",
    ),
    "JPEG of colours of one luma": (
        jpeg(painted((76, 76, 76), (255, 0, 0)), quality=90, subsampling=0),
        "mask of several red values",
    ),
    "JPEG, CMYK": (
        encoded(Image.fromarray(two(0, 255)).convert("CMYK"), "JPEG"),
        "mask of several values",
    ),
    "soft edges": (png(cv2.GaussianBlur(two(0, 255), (0, 0), 1)), "mask of several values"),
    "soft edges, 100 and 200": (
        png(cv2.GaussianBlur(two(100, 200), (0, 0), 1)),
        "mask of several values",
    ),
    "soft alpha": (
        png(np.dstack([*[two(7, 7)] * 3, cv2.GaussianBlur(two(0, 255), (0, 0), 1)])),
        "mask of several alpha values",
    ),
}
