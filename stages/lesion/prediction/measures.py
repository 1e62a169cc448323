"""What can be measured of a lesion once its mask is known. None of it is a diagnosis."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from lesion.photos.images import resize_mask
from lesion.prediction.segmenter import Segmentation
from lesion.scoring.extent import extent

MOST_FOLDED = 512  # pixels of the mask's longer side when it is folded about its axes
MOST_COLOURS = 1024  # pixels of the photograph's longer side that are looked at for its colours


@dataclass(frozen=True)
class Measures:
    """Of one photograph's mask; lengths and areas in its own pixels, NaN where there is no lesion.

    lesion_share  of the photograph's pixels, 0 to 1
    area          pixels of lesion
    left, top, width, height: the smallest upright box around it; 0 without a lesion
    diameter      the greatest distance of two points of the lesion (Feret's), corners of pixels
    asymmetry     0 to 1: the share of the lesion that does not meet itself when it is folded, mean
                  over its two principal axes (Stoecker et al., "Automatic detection of asymmetry in
                  skin tumors", 1992, who fold about the axis of least asymmetry)
    irregularity  of the border, from about 1, a disc's, up: P² / 4πA, the isoperimetric quotient
                  (Golston et al., "Automatic detection of irregular borders in melanoma and other
                  skin tumors", 1992). P is the length of all outlines but those of holes, by
                  Vossepoel and Smeulders (1982), without a chain code's bias
    variegation   of its colours: their root mean square distance ΔE*ab (CIE 1976) from their mean,
                  in the photograph as it was decoded for the network, of large ones in every n-th
                  row and column
    """

    lesion_share: float
    area: int
    left: int
    top: int
    width: int
    height: int
    diameter: float
    asymmetry: float
    irregularity: float
    variegation: float

    @classmethod
    def of(cls, segmentation: Segmentation) -> Measures:
        mask = segmentation.decided.mask
        area = int(np.count_nonzero(mask))
        if not area:
            return cls(0.0, 0, 0, 0, 0, 0, *[math.nan] * 4)
        rows, columns = extent(mask)
        lesion = mask[rows, columns]
        return cls(
            lesion_share=area / mask.size,
            area=area,
            left=columns.start,
            top=rows.start,
            width=columns.stop - columns.start,
            height=rows.stop - rows.start,
            diameter=diameter(lesion),
            asymmetry=asymmetry(lesion),
            irregularity=perimeter(lesion) ** 2 / (4 * math.pi * area),
            variegation=variegation(segmentation.square.photograph.pixels, mask),
        )

    def as_row(self) -> dict[str, float]:
        """By name, rounded: to a tenth of a pixel, and to four digits of what has no unit."""
        row = asdict(self)
        digits = {"diameter": 1, "variegation": 2}
        return {
            name: round(value, digits.get(name, 4)) if isinstance(value, float) else value
            for name, value in row.items()
        }


def diameter(mask: np.ndarray) -> float:
    """The greatest distance of two corners of pixels of a bool H×W mask, which has some."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    ends = [np.column_stack((x, y)) for x in (first, last) for y in (rows, rows + 1)]
    hull = cv2.convexHull(np.concatenate(ends).astype(np.float32))[:, 0]
    return float(np.linalg.norm(hull[:, None] - hull[None], axis=2).max())


def perimeter(mask: np.ndarray) -> float:
    """Length in pixels of the outer outlines of a bool H×W mask.

    Along the border pixels' centres and half a pixel further out: 0.980 for each step to a
    neighbour by an edge, 1.406 by a corner, less 0.091 for each change between the two.
    """
    outlines, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    length = 0.0
    for outline in outlines:
        steps = np.diff(outline[:, 0], axis=0, append=outline[:1, 0])
        by_corner = np.count_nonzero(steps, axis=1) == 2
        turns = np.count_nonzero(by_corner != np.roll(by_corner, 1))
        corners = np.count_nonzero(by_corner)
        length += 0.980 * (len(steps) - corners) + 1.406 * corners - 0.091 * turns
    return length + math.pi * len(outlines)  # a convex outline half a pixel further out


def asymmetry(mask: np.ndarray) -> float:
    """The share of a bool H×W mask outside its mirror image, mean over its principal axes."""
    mask = np.ascontiguousarray(mask)
    scale = min(1.0, MOST_FOLDED / max(mask.shape))
    if scale < 1:
        height, width = (max(1, round(length * scale)) for length in mask.shape)
        mask = resize_mask(mask, height, width)
    moments = cv2.moments(mask.view(np.uint8), binaryImage=True)
    if not moments["m00"]:
        return math.nan  # too thin to be seen at that size
    centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    angle = math.atan2(2 * moments["mu11"], moments["mu20"] - moments["mu02"])  # twice the axis's
    fold = np.array([[math.cos(angle), math.sin(angle)], [math.sin(angle), -math.cos(angle)]])
    levels = mask.view(np.uint8)
    apart = []
    for mirror in (fold, -fold):  # about the long axis, about the short one
        moved = np.column_stack((mirror, centre - mirror @ centre))
        other = cv2.warpAffine(levels, moved, levels.shape[::-1], flags=cv2.INTER_NEAREST)
        apart.append(1 - np.count_nonzero(np.logical_and(other, mask)) / moments["m00"])
    return float(np.mean(apart))


def variegation(pixels: np.ndarray, mask: np.ndarray) -> float:
    """How far the colours within the mask lie apart; `pixels`, h×w×3 uint8 RGB, may be fewer."""
    step = math.ceil(max(pixels.shape[:2]) / MOST_COLOURS)
    pixels = pixels[::step, ::step]
    small = mask if pixels.shape[:2] == mask.shape else resize_mask(mask, *pixels.shape[:2])
    if not small.any():
        return math.nan
    colours = pixels[small][None].astype(np.float32) / 255
    lab = cv2.cvtColor(colours, cv2.COLOR_RGB2Lab)[0].astype(float)
    return float(np.sqrt(((lab - lab.mean(axis=0)) ** 2).sum(axis=1).mean()))
