"""A result: what a pipeline run has come to, and the hash that tells one from another.

The same hash is made from the files of the workspace and from those of a git revision, which is how
experiments of DVC and runs of MLflow are found from each other.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from lesion.formats.fingerprint import md5
from lesion.formats.header import WEIGHTS_FILE
from lesion.formats.tables import load_numbers
from lesion.parameters.download import DownloadParams
from lesion.parameters.preprocess import PreprocessParams
from lesion.parameters.reading import load_params
from lesion.parameters.record import RecordParams

MODEL = Path("model") / WEIGHTS_FILE
NUMBERS = ("data", "train", "evaluation", "external")  # metrics/*.json


@dataclass(frozen=True)
class Result:
    """Parameters, the MD5 of the weights file as dvc.lock has it, and all metrics."""

    params: dict[str, object]
    model_hash: str
    metrics: dict[str, object]  # under the names that DVC shows, test.dice for instance

    @property
    def hash(self) -> str:
        """SHA-256 (64 hexadecimal digits) of all three."""
        content = json.dumps([self.params, self.model_hash, self.metrics], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def numbers(self) -> dict[str, float]:
        return {name: value for name, value in self.metrics.items() if _is_number(value)}

    @property
    def words(self) -> dict[str, object]:
        return {name: value for name, value in self.metrics.items() if not _is_number(value)}


def in_workspace() -> Result:
    """The result that lies in the workspace.

    Raises:
        InputError: a file of it is missing.
    """
    knobs = load_params(RecordParams)
    return Result(knobs.model_dump(), md5(MODEL), flat_metrics(load_numbers))


def flat_metrics(load: Callable[[str], dict]) -> dict[str, object]:
    """All of metrics/*.json, each of which `load` gives by its name."""
    return {name: value for file in NUMBERS for name, value in _flat(load(file))}


def _flat(values: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield prefix + name, value


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float)


def data_params() -> dict[str, object]:
    """The parameters of the stages that made the data, for the run of a training on them."""
    models = (DownloadParams, PreprocessParams)
    return {name: value for model in models for name, value in load_params(model)}
