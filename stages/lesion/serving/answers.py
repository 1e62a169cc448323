"""What is answered of a photograph: a mask, or the outline with measures."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
import simplejpeg
from pydantic import BaseModel, Field

from lesion.photos.images import encode_mask, resize_image
from lesion.photos.placement import Box
from lesion.prediction.measures import Measures
from lesion.prediction.segmenter import Segmentation
from lesion.serving.outline import rings

JPEG_QUALITY = 85
LARGEST_PREVIEW = 2048

Pixels = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Probabilities(BaseModel):
    """Calibrated probabilities of lesion, as the network gives them: fewer than the pixels.

    `png`: base64 of a PNG of 16 bit grey, 65535 being 1. It shows the box of the photograph that
    begins at `left`, `top` and is `width`×`height` pixels large; what lies outside was cropped.
    """

    left: Pixels
    top: Pixels
    width: Pixels
    height: Pixels
    png: str


class Answer(BaseModel):
    """Of one photograph; lengths and places are in its own pixels.

    outline        polygons of [x, y]; a pixel is lesion if its middle (x + 0.5, y + 0.5) lies
                   inside by the rule evenodd, so that they say exactly what the mask does
    threshold      the probability, before calibration, from which a pixel counted as lesion
    expected_dice  of the mask with the unknown true one
    review         so little is to be expected that a person should look at it
    measures       by name, see lesion.prediction.measures; null where there is no lesion
    notes          what was unusual about the file
    preview        base64 of a JPEG, upright
    """

    width: Pixels
    height: Pixels
    threshold: Share
    expected_dice: Share
    review: bool
    measures: dict[str, int | float | None]
    outline: list[list[tuple[float, float]]]
    notes: list[str]
    probabilities: Probabilities | None = None
    preview: str | None = None


@dataclass(frozen=True)
class AsJson:
    """Renders an Answer; `preview` is the length of its longer side, 0 for none."""

    threshold: float
    probabilities: bool
    preview: int

    def __call__(self, found: Segmentation) -> tuple[bytes, str]:
        height, width = found.decided.mask.shape
        answer = Answer(
            width=width,
            height=height,
            threshold=self.threshold,
            expected_dice=found.decided.expected_dice,
            review=found.review,
            measures={
                name: None if np.isnan(value) else value
                for name, value in Measures.of(found).as_row().items()
            },
            outline=rings(found.decided.mask),
            notes=list(found.square.photograph.notes),
            probabilities=_probabilities(found) if self.probabilities else None,
            preview=_preview(found, self.preview) if self.preview else None,
        )
        return answer.model_dump_json().encode(), "application/json"


def as_mask(found: Segmentation) -> tuple[bytes, str]:
    """PNG as the challenge has it, the bytes that the stage evaluate writes."""
    return encode_mask(found.decided.mask), "image/png"


def _probabilities(found: Segmentation) -> Probabilities:
    box: Box = found.square.placement.source
    levels = np.rint(found.decided.probabilities * 65535).astype(np.uint16)
    # Rows as they are: page.js undoes no filter.
    rows = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
    _, content = cv2.imencode(".png", levels, rows)
    return Probabilities(**box._asdict(), png=base64.b64encode(content.tobytes()).decode())


def _preview(found: Segmentation, longest: int) -> str:
    pixels = found.square.photograph.pixels
    scale = min(1, longest / max(pixels.shape[:2]))
    height, width = (max(1, round(length * scale)) for length in pixels.shape[:2])
    small = np.ascontiguousarray(resize_image(pixels, height, width))
    jpeg = simplejpeg.encode_jpeg(small, quality=JPEG_QUALITY, colorsubsampling="420")
    return base64.b64encode(jpeg).decode()
