"""What goes with the weights: how their probabilities become a mask, chosen on validation.

The stage evaluate writes it beside the weights. With both files the model is complete.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lesion.pipeline.errors import InputError

SETTINGS_FILE = "predictor.json"

Probability = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseModel):
    """`weights` is the SHA-256 of the file that they were chosen for.

    precision      what was computed with when they were chosen (lesion.network.device)
    origin         of the images that the network learnt from: drawings, or photographs
    threshold to fill_holes: see lesion.scoring.postprocess.Rules
    temperature    divides the logits, so that probabilities are calibrated
    no_lesion_*    see lesion.scoring.confidence.NoLesion
    review_limit   a person should look at images of this expected Dice or less: on validation a
                   tenth of them
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, extra="forbid")

    weights: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    precision: Literal["portable", "auto", "float32", "bfloat16"]
    origin: Literal["synthetic", "photographs"]
    threshold: Probability
    tta: bool
    largest_component: bool
    fill_holes: bool
    temperature: Annotated[float, Field(gt=0)]
    no_lesion_odds: Annotated[float, Field(ge=0)]
    no_lesion_slope: Annotated[float, Field(ge=0)]
    review_limit: Probability


def read_settings(path: Path, weights: Path) -> Settings:
    """The settings in `path`, which are to be those of the weights file.

    Raises:
        InputError: the file is missing, no such file, or of other weights.
    """
    try:
        settings = Settings(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(
            f"{path}: not found; expected it beside its weights; run `dvc repro evaluate`"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path}: {where}: {first['msg'].lower()}; run `dvc repro evaluate`, which writes it"
        ) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: not what the stage evaluate writes ({error}); run `dvc repro evaluate`"
        ) from None
    if (found := weights_hash(weights)) != settings.weights:
        raise InputError(
            f"{path}: belongs to weights {settings.weights[:8]}, and {weights} is {found[:8]}; "
            "run `dvc repro evaluate`, which chooses anew"
        )
    return settings


def weights_hash(path: Path) -> str:
    """SHA-256 (64 hexadecimal digits) of a weights file.

    Raises:
        InputError: it is missing.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `dvc repro`, which trains it") from None
