"""What a parameter may be: the types that parameters have, and what is said of a wrong one."""

from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lesion.pipeline.errors import InputError

Name = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Threads = Annotated[int, Field(ge=0, le=1024)]
Share = Annotated[float, Field(ge=0, lt=1)]
Precision = Literal["portable", "auto", "float32", "bfloat16"]
Strength = Annotated[float, Field(ge=0, le=1)]
Auto = Literal["auto"]  # chosen on the validation split
Resize = Literal["stretch", "letterbox", "crop"]


class StageParams(BaseModel):
    """Frozen, and strict: `"3"` is no number, `1.0` no whole number, `true` not 1."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


AnyParams = TypeVar("AnyParams", bound=StageParams)


def checked(model: type[AnyParams], values: dict, path: Path) -> AnyParams:
    """Those of `values` that are the model's, as one; `path` is what they were read from.

    Raises:
        InputError: one is missing, of the wrong type or out of range.
    """
    own = {name: values[name] for name in model.model_fields if name in values}
    try:
        return model(**own)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
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
    if get_origin(kind) is list:
        return f"a list of {_allowed(get_args(kind)[0]).removeprefix('a ')}s"
    if choices := get_args(kind):
        return f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
    words: dict[object, str] = {
        int: "a whole number",
        float: "a number",
        str: "a name",
        bool: "true or false",
    }
    names: dict[type, tuple[str, str]] = {
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
    return " ".join([words[kind], " and ".join(bounds)]).strip()
