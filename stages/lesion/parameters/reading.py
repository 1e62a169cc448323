"""Reading params.yaml."""

from pathlib import Path

from lesion.parameters.model import AnyParams, checked
from lesion.parameters.whole import check
from lesion.pipeline.errors import InputError
from lesion.pipeline.settings import read_settings

PARAMS_FILE = Path("params.yaml")
FORM = "lines of the form `name: value`"


def load_params(model: type[AnyParams], path: Path = PARAMS_FILE) -> AnyParams:
    """The parameters of one stage.

    The whole file is checked, so that a mistake in a late stage's parameter stops the first.

    Raises:
        InputError: a key is unknown, missing, of the wrong type or out of range.
    """
    values = read_params(path)
    check(values, path)
    return checked(model, values, path)


def read_params(path: Path = PARAMS_FILE) -> dict:
    """The file's keys and values, unchecked, by the rules of YAML 1.2, where 1e-5 is a number."""
    values = read_settings(path, FORM)
    if not isinstance(values, dict):
        raise InputError(f"{path}: found {values!r}; expected {FORM}")
    return values
