"""The code of the model in MLflow, which keeps a copy of this file and runs it to load the model.

It needs nothing of this project but what was logged beside it: weights, settings, and the rooms by
which they are used. Loading does to the whole process what `lesion.network.device.prepare` says,
and so has to come before torch computes anything; on a processor of more than AVX2 it fails
otherwise. Two versions of the model in one process share the code of the one that was loaded first.

The masks are those of the stage evaluate to the bit. On a processor of more than AVX2 that rests on
torch and OpenCV alone, which are held to AVX2 as the model loads; the last digits of the expected
Dice come from NumPy, which MLflow has imported before, and may differ there unless the process
began with the variables of `lesion/__init__.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, PythonModelContext
from PIL import Image

if TYPE_CHECKING:
    from lesion.prediction.segmenter import Segmentation

IMAGE = "image"  # the column of the photographs
COLUMNS = {  # of the answer, by their types in MLflow
    "mask": "binary",
    "expected_dice": "double",
    "review": "boolean",
    "lesion_share": "double",
}


class LesionSegmenter(PythonModel):
    """Photographs in, lesions out: `lesion.prediction.segmenter.Segmenter` as MLflow calls it."""

    def load_context(self, context: PythonModelContext) -> None:
        # The package lies beside the model, and is found once MLflow begins to load that.
        from lesion.prediction.segmenter import Segmenter

        paths = {name: Path(path) for name, path in context.artifacts.items()}
        self.segmenter = Segmenter(paths["weights"], paths["settings"])

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """A row for each photograph, under its index.

        `image` has photographs of any size: the bytes of an image file, the same in base64 (as over
        HTTP), or pixels, uint8 H×W×3 RGB, upright.

        mask           bytes of a PNG of the photograph's size, 8 bit grey, 0 and 255
        expected_dice  of that mask, in [0, 1]
        review         whether a person should look at it
        lesion_share   of the photograph's pixels, in [0, 1]

        Raises:
            MlflowException: one is no whole image; which, and why, in one line. HTTP status 400.
        """
        rows = [_row(found) for found in self._segmented(list(model_input[IMAGE]))]
        return pd.DataFrame(rows, model_input.index, [*COLUMNS])

    def _segmented(self, images: list[object]) -> Iterator[Segmentation]:
        """Of as many at a time as go through the network together."""
        from lesion.pipeline.errors import ImageError

        together = self.segmenter.together
        for start in range(0, len(images), together):
            contents = [
                _content(image, start + row)
                for row, image in enumerate(images[start : start + together])
            ]
            for row, found in enumerate(self.segmenter.several(contents), start):
                if isinstance(found, ImageError):
                    raise _refusal(row, str(found))
                yield found


def _content(image: object, row: int) -> bytes:
    """The bytes of an image file."""
    match image:
        case bytes() | bytearray():
            return bytes(image)
        case str():
            try:
                return base64.b64decode(image)
            except ValueError as error:
                raise _refusal(row, f"no base64: {error}") from None
        case np.ndarray(dtype=np.uint8, ndim=3, shape=(_, _, 3)):
            return _file_of(image)
        case np.ndarray():
            raise _refusal(row, f"{image.dtype} of {image.shape}; expected uint8 H×W×3")
    raise _refusal(row, f"{type(image).__name__}; expected bytes of an image file, or its pixels")


def _file_of(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "BMP")  # which loses nothing
    return file.getvalue()


def example() -> pd.DataFrame:
    """A photograph, grey, in the form that the model takes."""
    return pd.DataFrame({IMAGE: [_file_of(np.full((24, 32, 3), 128, np.uint8))]})


def _refusal(row: int, why: str) -> MlflowException:
    return MlflowException(f"{IMAGE} of row {row}: {why}", error_code=INVALID_PARAMETER_VALUE)


def _row(found: Segmentation) -> tuple[bytes, float, bool, float]:
    from lesion.photos.images import encode_mask

    mask = found.decided.mask
    return encode_mask(mask), found.decided.expected_dice, found.review, float(mask.mean())


set_model(LesionSegmenter())
