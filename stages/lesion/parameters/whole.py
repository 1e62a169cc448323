"""The check of all that params.yaml says, of whichever stage.

It returns nothing, and so decides nothing: that every stage makes it is no reason to run one again.
"""

import difflib
from pathlib import Path

from lesion.parameters.collect import CollectParams
from lesion.parameters.download import DownloadParams
from lesion.parameters.encoder import EncoderParams
from lesion.parameters.evaluate import EvaluateParams
from lesion.parameters.external import ExternalParams
from lesion.parameters.model import StageParams, checked
from lesion.parameters.plot import PlotParams
from lesion.parameters.preprocess import PreprocessParams
from lesion.parameters.train import TrainParams
from lesion.pipeline.errors import InputError

ALL_STAGES: tuple[type[StageParams], ...] = (
    DownloadParams,
    CollectParams,
    PreprocessParams,
    EncoderParams,
    TrainParams,
    EvaluateParams,
    ExternalParams,
    PlotParams,
)


def check(values: dict, path: Path) -> None:
    """Stops at what no stage knows or can take.

    Raises:
        InputError: a key is unknown, missing, of the wrong type or out of range.
    """
    known = [name for model in ALL_STAGES for name in model.model_fields]
    for name in values:
        if name not in known:
            raise InputError(f"{path}: unknown parameter '{name}'; {_suggestion(name, known)}")
    for model in ALL_STAGES:
        checked(model, values, path)
    _require_fold(values["folds"], values["fold"], path)
    _require_once(values["external"], path)


def _require_fold(folds: int, fold: int, path: Path) -> None:
    if folds == 1:
        raise InputError(f"{path}: parameter 'folds': found 1; expected 0 (none) or from 2 to 100")
    if fold >= max(folds, 1):
        expected = f"below folds, which is {folds}" if folds else "0, as folds is"
        raise InputError(f"{path}: parameter 'fold': found {fold}; expected {expected}")


def _require_once(names: list[str], path: Path) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"{path}: parameter 'external': found {name!r} {names.count(name)} times; expected "
                "each name once"
            )


def _suggestion(name: str, known: list[str]) -> str:
    if near := difflib.get_close_matches(str(name), known, n=1):
        return f"did you mean '{near[0]}'?"
    return "expected one of " + ", ".join(sorted(set(known)))
