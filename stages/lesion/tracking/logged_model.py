"""The trained network as a model of MLflow."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lesion.pipeline.errors import InputError
from lesion.tracking.spool import Damaged
from lesion.tracking.store import unlisted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

NAME = "unet"


def log_model(client: MlflowClient, run_id: str, weights: Path) -> str:
    """Adds a weights file to a run as a model that takes any number of uint8 images B×H×W×3.

    It gives probabilities, B×H×W, and needs nothing of this project to be loaded. A run has one: it
    is the run's output only once it is whole, and one that was begun is finished. Its id is given.

    Raises:
        Damaged: the weights file cannot be used.
        InputError: the store has not what it took.
        Exception: whatever MLflow raises.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    run = client.get_run(run_id)
    model = _model_of(client, run) or client.create_logged_model(
        run.info.experiment_id, NAME, run_id, params=run.data.params
    )
    if not _can_be_loaded(client, model):
        with TemporaryDirectory() as parent:
            folder = Path(parent) / "model"
            _save(weights, folder, model)
            client.log_model_artifacts(model.model_id, str(folder))
            list_files = partial(client.list_logged_model_artifacts, model.model_id)
            if lost := unlisted(folder, folder, list_files):
                raise InputError(f"MLflow took {lost[0]} of the model, and does not have it")
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    if not _is_output(model, run):
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model.model_id


def has_model(client: MlflowClient, run: Run) -> bool:
    """Whether a run has a model that can be loaded."""
    model = _model_of(client, run)
    return model is not None and _is_output(model, run) and _can_be_loaded(client, model)


def _model_of(client: MlflowClient, run: Run) -> LoggedModel | None:
    """The model of a run, or one that was begun."""
    found = client.search_logged_models(
        [run.info.experiment_id], f"name = '{NAME}' and source_run_id = '{run.info.run_id}'"
    )
    return max(found, key=lambda model: _can_be_loaded(client, model), default=None)


def _can_be_loaded(client: MlflowClient, model: LoggedModel) -> bool:
    from mlflow.entities import LoggedModelStatus

    # What became READY had all of its files then.
    return model.status == LoggedModelStatus.READY and "MLmodel" in {
        file.path for file in client.list_logged_model_artifacts(model.model_id)
    }


def _is_output(model: LoggedModel, run: Run) -> bool:
    outputs = run.outputs.model_outputs if run.outputs else []
    return model.model_id in {output.model_id for output in outputs}


def _save(weights: Path, folder: Path, model: LoggedModel) -> None:
    import mlflow
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    from lesion.network.predict import Predictor
    from lesion.network.weights import load_model

    try:
        network, header = load_model(weights, "cpu")
    except InputError as error:
        raise Damaged(str(error)) from None
    side = header.image_size
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.uint8), (-1, side, side, 3))]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, side, side))]),
    )
    requirements = [
        line for line in _requirements() if line.startswith(("torch", "numpy", "mlflow"))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pytorch.save_model(
            Predictor(network),
            str(folder),
            mlflow_model=Model(
                artifact_path=model.artifact_location,
                run_id=model.source_run_id,
                model_uuid=model.model_id,
                model_id=model.model_id,
            ),
            signature=signature,
            # Two images: one alone would freeze the number of images at one.
            input_example=np.zeros((2, side, side, 3), np.uint8),
            pip_requirements=requirements,
        )


def _requirements() -> list[str]:
    return Path("requirements.txt").read_text(encoding="utf-8").split()
