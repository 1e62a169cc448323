"""params.yaml: which parameters each stage has, their types and ranges.

Each model's fields are exactly the `params:` of that stage in dvc.yaml.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lesion.architecture import EncoderName
from lesion.errors import InputError
from lesion.settings import read_settings

PARAMS_FILE = Path("params.yaml")
FORM = "lines of the form `name: value`"

Name = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Threads = Annotated[int, Field(ge=0, le=1024)]
Share = Annotated[float, Field(ge=0, lt=1)]
Precision = Literal["auto", "float32", "bfloat16"]
Strength = Annotated[float, Field(ge=0, le=1)]
Auto = Literal["auto"]  # chosen on the validation split
Resize = Literal["stretch", "letterbox", "crop"]


class StageParams(BaseModel):
    """Frozen, and strict: `"3"` is no number, `1.0` no whole number, `true` not 1."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class DownloadParams(StageParams):
    data: Name
    source: Name
    limit: Annotated[int, Field(ge=0, le=10**9)]


class PreprocessParams(StageParams):
    image_size: Annotated[int, Field(ge=16, le=4096)]
    resize: Resize
    val_fraction: Share
    test_fraction: Share
    split_seed: Seed
    drop_leaks: bool
    max_rejected: Share
    max_empty: Strength


class ReferenceParams(StageParams):
    pass


class EncoderParams(StageParams):
    encoder: EncoderName


class TrainParams(StageParams):
    train_fraction: Annotated[float, Field(gt=0, le=1)]
    split_seed: Seed
    seed: Seed
    threads: Threads
    precision: Precision
    resize: Resize
    encoder: EncoderName
    width: Annotated[int, Field(ge=1, le=1024)]
    depth: Annotated[int, Field(ge=1, le=8)]
    epochs: Annotated[int, Field(ge=1, le=10**6)]
    batch_size: Annotated[int, Field(ge=1, le=10**6)]
    lr: Annotated[float, Field(gt=0, le=10)]
    encoder_lr: Strength
    schedule: Literal["one_cycle", "constant"]
    loss: Literal["bce_dice", "bce"]
    weight_decay: Annotated[float, Field(ge=0, le=10)]
    average_decay: Share
    mirror: bool
    geometry: Strength
    colour: Strength
    hairs: Strength


class EvaluateParams(StageParams):
    threads: Threads
    precision: Precision
    threshold: Auto | Annotated[float, Field(gt=0, lt=1)]
    tta: Auto | bool
    largest_component: Auto | bool
    fill_holes: Auto | bool


class PlotParams(StageParams):
    panel_images: Annotated[int, Field(ge=1, le=20)]


class RecordParams(
    DownloadParams,
    PreprocessParams,
    EncoderParams,
    TrainParams,
    EvaluateParams,
    PlotParams,
):
    """All."""


ALL_STAGES = (
    DownloadParams,
    PreprocessParams,
    ReferenceParams,
    EncoderParams,
    TrainParams,
    EvaluateParams,
    PlotParams,
    RecordParams,
)

AnyParams = TypeVar("AnyParams", bound=StageParams)


def load(stage: type[AnyParams], path: Path = PARAMS_FILE) -> AnyParams:
    """The parameters of one stage.

    The whole file is checked, so that a mistake in a late stage's parameter stops the first.

    Raises:
        InputError: a key is unknown, missing, of the wrong type or out of range.
    """
    values = read(path)
    known = [name for model in ALL_STAGES for name in model.model_fields]
    for name in values:
        if name not in known:
            raise InputError(f"{path}: unknown parameter '{name}'; {_suggestion(name, known)}")
    for model in ALL_STAGES:
        _check(model, values, path)
    return _check(stage, values, path)


def read(path: Path = PARAMS_FILE) -> dict:
    """The file's keys and values, unchecked, by the rules of YAML 1.2, where 1e-5 is a number."""
    values = read_settings(path, FORM)
    if not isinstance(values, dict):
        raise InputError(f"{path}: found {values!r}; expected {FORM}")
    return values


def _check(model: type[AnyParams], values: dict, path: Path) -> AnyParams:
    own = {name: values[name] for name in model.model_fields if name in values}
    try:
        return model(**own)
    except ValidationError as error:
        name = error.errors()[0]["loc"][0]
        found = f"found {own[name]!r}" if name in own else "missing"
        field = model.model_fields[name]
        allowed = _allowed(field.annotation, field.metadata)
        raise InputError(f"{path}: parameter '{name}': {found}; expected {allowed}") from None


def _allowed(kind: object, limits: Sequence[object] = ()) -> str:
    """What a parameter of a type and with limits may be, in words."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(map(_allowed, get_args(kind)))
    if get_origin(kind) is Annotated:
        kind, *annotations = get_args(kind)
        return _allowed(kind, [limit for field in annotations for limit in field.metadata])
    if choices := get_args(kind):
        return f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
    words = {int: "a whole number", float: "a number", str: "a name", bool: "true or false"}[kind]
    names = {
        Ge: ("at least", "ge"),
        Gt: ("above", "gt"),
        Le: ("at most", "le"),
        Lt: ("below", "lt"),
    }
    bounds = [
        f"{names[type(limit)][0]} {getattr(limit, names[type(limit)][1])}"
        for limit in limits
        if type(limit) in names
    ]
    return " ".join([words, " and ".join(bounds)]).strip()


def _suggestion(name: str, known: list[str]) -> str:
    if near := difflib.get_close_matches(str(name), known, n=1):
        return f"did you mean '{near[0]}'?"
    return "expected one of " + ", ".join(sorted(set(known)))
