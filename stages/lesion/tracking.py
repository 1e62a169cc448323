"""The MLflow run of a training: the only module that talks to MLflow.

Training opens the run; evaluation and plotting find it again by the fingerprint that stands in
the weights' header, so that one pipeline run is one MLflow run. A store that cannot be reached, or
is full or locked, costs a warning, never the stage.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before MLflow is imported: no usage reports from a project that may hold patients' images, and no
# minutes of retries at a server that is down.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow
from filelock import FileLock

if TYPE_CHECKING:
    from torch import nn

EXPERIMENT = "skin-lesion-segmentation"
FINGERPRINT = "fingerprint"


class Tracker:
    """Logs to the active MLflow run until something fails, which it reports once."""

    def __init__(self) -> None:
        self.works = True

    def attempt(self, action: Callable, *args: Any, **keywords: Any) -> None:
        """Calls `action`, if everything before went well."""
        if not self.works:
            return
        try:
            action(*args, **keywords)
        except Exception as error:  # whatever MLflow, its store or the network can raise
            self.works = False
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            print(f"warning: MLflow does not record this run: {reason[:200]}")

    def params(self, values: dict[str, Any]) -> None:
        self.attempt(_log_params, values)

    def tags(self, values: dict[str, Any]) -> None:
        self.attempt(mlflow.set_tags, values)

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        self.attempt(mlflow.log_metrics, values, step=step)

    def file(self, path: Path) -> None:
        """Keeps a copy of a file, or of a folder under its own name."""
        if path.is_dir():
            self.attempt(mlflow.log_artifacts, str(path), artifact_path=path.name)
        else:
            self.attempt(mlflow.log_artifact, str(path))

    def model(self, predictor: nn.Module, image_size: int) -> None:
        """Keeps a lesion.predict.Predictor, with a signature for any number of uint8 images."""
        self.attempt(_log_model, predictor, image_size)


@contextmanager
def track(fingerprint: str, *, resume_finished: bool) -> Iterator[Tracker]:
    """Logs into the run with this fingerprint, or into a new one where there is none.

    Training passes `resume_finished=False`: it goes on with a run that was broken off, but a
    training from the start gets a run of its own.
    """
    tracker = Tracker()
    tracker.attempt(_start, fingerprint, resume_finished)
    try:
        yield tracker
    except BaseException as error:
        # A training that is finished stays so, whatever comes of its evaluation.
        broken_off = "FAILED" if isinstance(error, Exception) else "KILLED"
        _end("FINISHED" if resume_finished else broken_off)
        raise
    _end("FINISHED")


def _start(fingerprint: str, resume_finished: bool) -> None:
    experiment_id = _open_store()
    wanted = f"tags.{FINGERPRINT} = '{fingerprint}'"
    if not resume_finished:
        wanted += " and attributes.status != 'FINISHED'"
    found = mlflow.search_runs(
        [experiment_id],
        wanted,
        max_results=1,
        order_by=["attributes.start_time DESC"],
        output_format="list",
    )
    experiment = os.environ.get("DVC_EXP_NAME")
    mlflow.start_run(
        run_id=found[0].info.run_id if found else None,
        experiment_id=experiment_id,
        run_name=None if found else experiment or fingerprint[:8],
    )
    tags = {
        FINGERPRINT: fingerprint,
        "git_commit": _git_commit(),
        "dvc_experiment": experiment,
        "dvc_baseline": os.environ.get("DVC_EXP_BASELINE_REV"),
    }
    mlflow.set_tags({name: value for name, value in tags.items() if value})


def _open_store() -> str:
    """Points MLflow at the store, which is made if need be; the id of this project's experiment.

    `MLFLOW_TRACKING_URI` wins. Otherwise it is SQLite in the project's root, which DVC names in
    `DVC_ROOT` also where it runs a stage in a temporary copy that it throws away afterwards.
    """
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return mlflow.set_experiment(EXPERIMENT).experiment_id

    root = Path(os.environ.get("DVC_ROOT") or ".").resolve()
    store = root / "mlflow.db"
    # Where this fails, MLflow would try for minutes.
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("pragma schema_version")
    # A folder's name may hold what means something else in an address.
    address = str(store).replace("%", "%25").replace("?", "%3F")
    mlflow.set_tracking_uri(f"sqlite:///{address}")
    # Two processes that make the same SQLite store at once leave it broken.
    with FileLock(f"{store}.lock", timeout=60):
        if found := mlflow.get_experiment_by_name(EXPERIMENT):
            return found.experiment_id
        return mlflow.create_experiment(EXPERIMENT, (root / "mlartifacts").as_uri())


def _end(status: str) -> None:
    # Also where logging has failed: otherwise the run would stay the active one of this process.
    with suppress(Exception):
        mlflow.end_run(status)


def _log_params(values: dict[str, Any]) -> None:
    # MLflow refuses to change a parameter; a run that is gone on with has its own already.
    known = mlflow.active_run().data.params
    mlflow.log_params({name: value for name, value in values.items() if name not in known})


def _git_commit() -> str | None:
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def _log_model(predictor: nn.Module, image_size: int) -> None:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    side = image_size
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.uint8), (-1, side, side, 3))]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, side, side))]),
    )
    requirements = [
        line for line in _requirements() if line.startswith(("torch", "numpy", "mlflow"))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pytorch.log_model(
            predictor,
            name="unet",
            signature=signature,
            # Two images: one alone would freeze the number of images at one.
            input_example=np.zeros((2, side, side, 3), np.uint8),
            pip_requirements=requirements,
        )


def _requirements() -> list[str]:
    return Path("requirements.txt").read_text().split()
