"""What can stand in an entry of the spool: the fields of each event, and their types."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

Event = dict[str, Any]


class _Event(BaseModel):
    model_config = ConfigDict(strict=True)
    time: float  # milliseconds since 1970, as MLflow counts


class _Training(_Event):
    event: Literal["training"]
    name: str
    tags: dict[str, str]
    experiment: dict[str, str] | None = None


class _Result(_Event):
    event: Literal["result"]
    name: str
    tags: dict[str, str]
    experiment: dict[str, str] | None = None
    model_hash: str
    result_hash: str


class _Words(_Event):
    event: Literal["params", "tags"]
    values: dict[str, str]


class _Numbers(_Event):
    event: Literal["metrics", "history", "system"]
    values: dict[str, float]
    step: int | None


class _DataSet(_Event):
    event: Literal["dataset"]
    name: str
    digest: str
    source: str
    images: dict[str, int]


class _File(_Event):
    event: Literal["file"]
    path: str  # its name among the files of the entry


class _Model(_Event):
    event: Literal["model"]
    path: str  # of the weights
    settings: str | None = None  # versions before these had none


class _End(_Event):
    event: Literal["end"]
    status: Literal["FINISHED", "FAILED", "KILLED"]


_Any = _Training | _Result | _Words | _Numbers | _DataSet | _File | _Model | _End


class _State(BaseModel):
    model_config = ConfigDict(strict=True)
    count: int = Field(ge=0)
    run: str | None = None
    mode: str | None = None
    refused: list[list[str]] = []


_ONE = TypeAdapter(Annotated[_Any, Field(discriminator="event")])
_STATE = TypeAdapter(_State)


def kept_by(event: Event) -> list[str]:
    """The names among the files of the entry that an event has."""
    return [event[name] for name in ("path", "settings") if event.get(name)]


def fault(thing: object) -> str | None:
    """What keeps a value from being an event, in words; None if it is one."""
    return _fault(_ONE, thing)


def state_fault(thing: object) -> str | None:
    """What keeps a value from saying how much of an entry was sent."""
    return _fault(_STATE, thing)


def _fault(form: TypeAdapter, thing: object) -> str | None:
    try:
        form.validate_python(thing)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return ".".join(map(str, [*first["loc"], first["msg"]]))
    return None
