"""What a photograph and its true mask are like, whatever a network makes of them.

Lengths are shares of the photograph's longer side, so that they mean the same at every size; the
limits were set by looking at ISIC 2018 photographs at 512 pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from lesion.photos.images import resize_image, resize_mask

BLACK = 50  # highest of red, green and blue, 0 to 255, in the corners outside the dermatoscope
MARGIN = 0.03  # around the lesion and the black corners, where one shades off into the other
HAIR_WIDTH = 0.018  # what is broader is no hair
HAIR_LENGTH = 0.06  # what is shorter, or more bent, is no hair
HAIR_DARKER = 16  # grey levels, 0 to 255, below what is beside it
ORIENTATIONS = 8
HAIR_SIDE = 512  # pixels of the longer side; smaller photographs are enlarged
COLOUR_SIDE = 256  # pixels
LEAST_SKIN = 0.01  # of the photograph's pixels; fewer are a rim, not its skin
LEAST_YELLOW = 1.0  # b* of skin; below it is grey or blue: light or film, not a colour of skin
LEAST_APART = 5.0  # of skin from L* 50 and b* 0, close to which the angle turns on nothing


@dataclass(frozen=True)
class Traits:
    """Measurements of one photograph; NaN where there is nothing to measure.

    lesion_share  of the photograph's pixels, 0 to 1
    at_border     whether the lesion touches the photograph's edge
    contrast      CIE76 colour difference ΔE*ab between the mean of the lesion and of the skin
    ita           individual typology angle of the skin in degrees: the larger, the lighter
    hair_share    of the pixels that dark thin lines cover, 0 to 1: hairs, and a ruler's ticks too
    """

    lesion_share: float
    at_border: bool
    contrast: float
    ita: float
    hair_share: float

    @classmethod
    def of(
        cls, image: np.ndarray, mask: np.ndarray, lesion_share: float, at_border: bool
    ) -> Traits:
        """Of a reduced photograph, H×W×3 uint8 RGB, and its true mask, H×W bool.

        `lesion_share` and `at_border` are those of the mask in full size.

        Raises:
            ValueError: image and mask differ in size.
        """
        if image.shape[:2] != mask.shape:
            raise ValueError(f"image is {image.shape[:2]} pixels, mask {mask.shape}")
        hair = hairs(image)
        hair_share = float(hair.mean())
        # Colours need fewer pixels than hairs.
        step = math.ceil(max(mask.shape) / COLOUR_SIDE)
        image, mask, hair = (pixels[::step, ::step].copy() for pixels in (image, mask, hair))
        dark = black_corners(image)
        skin = ~(dilate(mask, MARGIN) | dilate(dark, MARGIN) | hair)
        beside = image[skin] if skin.mean() >= LEAST_SKIN else image[:0, 0]
        return cls(
            lesion_share=lesion_share,
            at_border=at_border,
            contrast=contrast(image[mask & ~dark], beside),
            ita=typology_angle(beside),
            hair_share=hair_share,
        )


def contrast(lesion: np.ndarray, skin: np.ndarray) -> float:
    """CIE76 ΔE*ab between the mean L*a*b* of pixels, N×3 uint8 RGB each; NaN where N is 0."""
    if not len(lesion) or not len(skin):
        return math.nan
    apart = lab(lesion).mean(axis=0, dtype=float) - lab(skin).mean(axis=0, dtype=float)
    return float(np.linalg.norm(apart))


def typology_angle(skin: np.ndarray) -> float:
    """arctan((L* − 50) / b*) in degrees of the median L* and b* of pixels, N×3 uint8 RGB.

    It stands for melanin in skin that is more yellow than blue (Chardon, Cretois and Hourseau
    1991), and jumps from one end to the other at b* 0. NaN where N is 0, and where the colour is
    grey, bluish or close to where all angles meet (LEAST_YELLOW, LEAST_APART).
    """
    if not len(skin):
        return math.nan
    lightness, _, yellowness = np.median(lab(skin), axis=0).tolist()
    if yellowness < LEAST_YELLOW or math.hypot(lightness - 50, yellowness) < LEAST_APART:
        return math.nan
    return math.degrees(math.atan((lightness - 50) / yellowness))


def lab(pixels: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of sRGB pixels: N×3 float32 of N×3 uint8."""
    scaled = pixels[None].astype(np.float32) / 255
    return cv2.cvtColor(scaled, cv2.COLOR_RGB2Lab)[0]


def black_corners(image: np.ndarray) -> np.ndarray:
    """Where an H×W×3 uint8 RGB photograph shows what is outside the dermatoscope: H×W bool.

    That is what is black and connected to a corner of the photograph.
    """
    if (image[[0, 0, -1, -1], [0, -1, 0, -1]].max(axis=1) >= BLACK).all():
        return np.zeros(image.shape[:2], bool)
    black = (image.max(axis=2) < BLACK).view(np.uint8)
    _, labels = cv2.connectedComponents(black)
    corners = labels[[0, 0, -1, -1], [0, -1, 0, -1]]
    return np.isin(labels, corners[corners > 0])


def dilate(mask: np.ndarray, share: float) -> np.ndarray:
    """A bool H×W mask grown by a share of its longer side, at least one pixel."""
    if not mask.any():
        return mask
    radius = max(1, round(share * max(mask.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(mask.view(np.uint8), disc) > 0


def hairs(image: np.ndarray) -> np.ndarray:
    """Where dark thin lines cover an H×W×3 uint8 RGB photograph: H×W bool.

    The black-hat transform keeps what is darker and narrower than HAIR_WIDTH (Lee et al.,
    "DullRazor", 1997); of that stays what holds a line of HAIR_LENGTH in one of ORIENTATIONS,
    and is neither at the rim of the black corners nor of the photograph.
    """
    height, width = image.shape[:2]
    if (side := max(height, width)) < HAIR_SIDE:
        # A line of one pixel is straight in few directions only.
        scale = HAIR_SIDE / side
        large = resize_image(image, max(1, round(height * scale)), max(1, round(width * scale)))
        return resize_mask(hairs(large), height, width)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    most = round(HAIR_WIDTH * side) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (most, most))
    darker = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, disc)
    dark = (darker >= HAIR_DARKER).view(np.uint8)
    found: np.ndarray = np.zeros_like(dark)
    for line in _lines(round(HAIR_LENGTH * side) | 1):
        found |= cv2.morphologyEx(dark, cv2.MORPH_OPEN, line)
    hair = (found > 0) & ~dilate(black_corners(image), HAIR_WIDTH / 2)
    # Some photographs have a dark line along an edge, where they were cut out.
    frame = round(HAIR_WIDTH * side / 2)
    hair[:frame] = hair[-frame:] = False
    hair[:, :frame] = hair[:, -frame:] = False
    return hair


def _lines(length: int) -> list[np.ndarray]:
    """Structuring elements: lines of `length` pixels, an odd number, through their middle."""
    lines = []
    for angle in np.arange(ORIENTATIONS) * math.pi / ORIENTATIONS:
        line, reach = np.zeros((length, length), np.uint8), length // 2
        x, y = round(reach * math.cos(angle)), round(reach * math.sin(angle))
        cv2.line(line, (reach - x, reach - y), (reach + x, reach + y), 1)
        lines.append(line)
    return lines
