"""The images of the page's gallery: a thumbnail each, and the outlines of its masks."""

import base64
import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import simplejpeg
from contourpy import contour_generator

from lesion.photos.images import resize_image

LONGEST = 256  # pixels of a thumbnail's longer side
QUALITY = 80  # of its JPEG
UNITS = 10  # of an outline a thumbnail's pixel: whole numbers are the shortest to write
TOLERANCE = 0.35  # pixels of the thumbnail by which an outline may be off


@dataclass(frozen=True)
class Case:
    """One image of the gallery."""

    id: str
    split: str  # "test" or "validation"
    scores: dict[str, float]  # such as dice, iou, hd95 (pixels); not finite where there is none
    traits: dict[str, str]  # the groups that it is in, such as {"size": "small", "hair": "yes"}
    image: np.ndarray  # H×W×3 uint8 RGB, of any size
    truth: np.ndarray  # H×W bool
    prediction: np.ndarray  # H×W bool


def record(case: Case, longest: int = LONGEST) -> dict:
    """What a page's script gets of a case, ready for JSON; its picture has at most `longest` pixels
    along a side."""
    height, width = case.image.shape[:2]
    for name in ("truth", "prediction"):
        shape = getattr(case, name).shape
        if shape != (height, width):
            raise ValueError(f"{case.id}: {name} has shape {shape}; expected {(height, width)}")
    scale = min(1, longest / max(height, width))
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    small = np.ascontiguousarray(resize_image(case.image, height, width))
    jpeg = simplejpeg.encode_jpeg(small, quality=QUALITY, colorsubsampling="420")
    return {
        "id": case.id,
        "split": case.split,
        "scores": {
            name: round(float(value), 6) if math.isfinite(value) else None
            for name, value in case.scores.items()
        },
        "traits": case.traits,
        "width": width,
        "height": height,
        "jpeg": base64.b64encode(jpeg).decode(),
        "truth": outline(case.truth, height, width),
        "prediction": outline(case.prediction, height, width),
    }


def outline(mask: np.ndarray, height: int, width: int) -> str:
    """An SVG path around a mask, H×W bool, in a box of `height`×`width` pixels of UNITS each.

    To be filled by the rule evenodd, so that holes stay open. The line runs where half of a pixel
    is lesion, between the pixels' centres, so that it is smooth and no half pixel off, as those of
    `cv2.findContours`, which go through the centres, are.
    """
    levels: np.ndarray = cv2.resize(
        255 * mask.view(np.uint8), (width, height), interpolation=cv2.INTER_AREA
    )
    levels = np.pad(levels, 1)  # closes the line at the image's edge
    parts = []
    lines = cast(
        list[np.ndarray], contour_generator(z=levels).lines(127.5)
    )  # unless told otherwise
    for line in lines:
        line = cv2.approxPolyDP(line.astype(np.float32), TOLERANCE, closed=True)[:, 0]
        points = np.rint((line - 0.5) * UNITS).astype(int)
        if len(points) < 3:
            continue
        steps = " ".join(f"{x} {y}" for x, y in np.diff(points, axis=0))
        parts.append(f"M{points[0, 0]} {points[0, 1]}l{steps}z".replace(" -", "-"))
    return "".join(parts)
