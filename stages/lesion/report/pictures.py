"""Photographs with their true and predicted masks, at a size for pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lesion.photos.archives import ArchiveReader
from lesion.photos.images import decode_image, resize_image, resize_mask
from lesion.photos.masks import Reading, decode_mask
from lesion.pipeline.errors import InputError


@dataclass(frozen=True)
class Picture:
    """A photograph, H×W×3 uint8 RGB, and two masks, H×W bool."""

    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray


def read_picture(row: Any, archives: ArchiveReader, predictions: Path, longest: int) -> Picture:
    """The picture of a row of the arrays' index, its longer side at most `longest` pixels.

    Raises:
        InputError: there is no prediction for it.
    """
    scale = min(1, longest / max(row.height, row.width))
    height, width = (max(1, round(length * scale)) for length in (row.height, row.width))
    image = decode_image(archives.read(row.image_archive, row.image), at_least=(height, width))
    truth = decode_mask(archives.read(row.mask_archive, row.mask), Reading.from_row(row))
    path = predictions / row.split / f"{row.id}_segmentation.png"
    try:
        prediction = decode_mask(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `dvc repro evaluate`, which makes it") from None
    return _resized(Picture(image.pixels, truth, prediction), height, width)


def reduced(picture: Picture, longest: int) -> Picture:
    """The picture with at most `longest` pixels along its longer side."""
    shape = picture.image.shape[:2]
    scale = min(1, longest / max(shape))
    return _resized(picture, *(max(1, round(length * scale)) for length in shape))


def _resized(picture: Picture, height: int, width: int) -> Picture:
    return Picture(
        resize_image(picture.image, height, width),
        resize_mask(picture.truth, height, width),
        resize_mask(picture.prediction, height, width),
    )
