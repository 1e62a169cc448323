"""The trained network, with all that it needs, as a model of MLflow."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import lesion
from lesion.formats.header import WEIGHTS_FILE, Header
from lesion.formats.settings import SETTINGS_FILE, read_settings
from lesion.pipeline.errors import InputError
from lesion.tracking.spool import Damaged
from lesion.tracking.store import errors_as_input_errors, open_store, unlisted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

NAME = "unet"
LESION = Path(lesion.__file__).parent
ARTIFACTS = "artifacts"  # where MLflow puts the files of a model
# What lesion.prediction.segmenter imports, and so the model: rooms, and packages by the name that
# requirements.txt has for them; an encoder also torchvision. A test holds both.
ROOMS = ("formats", "network", "photos", "pipeline", "prediction", "scoring")
PACKAGES = (
    "mlflow",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "pydantic",
    "safetensors",
    "scipy",
    "simplejpeg",
    "torch",
    "tqdm",
)


def log_model(client: MlflowClient, run_id: str, weights: Path, settings: Path) -> str:
    """Adds weights and their settings to a run as a model that takes photographs of any size.

    What it takes and gives is told by lesion.tracking.served_model, and what it needs of this
    project goes with it. A run has one: it is the run's output only once it is whole, and one that
    was begun is finished. Its id is given.

    Raises:
        Damaged: the files cannot be used.
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
            _save(weights, settings, folder, model)
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


def local_model(address: str) -> tuple[Path, Path]:
    """Weights and settings of a model in MLflow, as files on this machine.

    `address` is one of MLflow's, `models:/skin-lesion-unet@champion` say. They are copies in a
    temporary folder, which goes with the process.

    Raises:
        InputError: there is no such model, or one of before it had settings; or whatever keeps the
            store from being used.
    """
    from mlflow.artifacts import download_artifacts, list_artifacts

    if not address.startswith("models:/"):
        raise InputError(f"{address}: no address of a model; expected models:/NAME@ALIAS, say")
    open_store(make=False)
    address = address.rstrip("/")
    with errors_as_input_errors():
        if ARTIFACTS not in {file.path for file in list_artifacts(address)}:
            raise InputError(
                f"{address}: no {SETTINGS_FILE} beside its weights, as in models of before there "
                "was one; `dvc repro` and `python tools/champion.py` make another"
            )
        place = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        folder = Path(download_artifacts(f"{address}/{ARTIFACTS}", dst_path=place))
    return folder / WEIGHTS_FILE, folder / SETTINGS_FILE


def _save(weights: Path, settings: Path, folder: Path, model: LoggedModel) -> None:
    import mlflow
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    from lesion.network.weights import load_model
    from lesion.tracking import served_model

    try:
        _, header = load_model(weights, "cpu")
        read_settings(settings, weights)
    except InputError as error:
        raise Damaged(str(error)) from None
    takes = Schema([ColSpec("binary", served_model.IMAGE)])
    gives = Schema([ColSpec(kind, name) for name, kind in served_model.COLUMNS.items()])
    with TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # From a folder of plain name: MLflow writes down where things lay, and takes it for an
        # address, in which what a project's folder is called may mean something.
        code, *files = (
            shutil.copy(path, place) for path in (served_model.__file__, weights, settings)
        )
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=code,
            code_paths=[str(_package(Path(place)))],
            artifacts=dict(zip(("weights", "settings"), files, strict=True)),
            mlflow_model=Model(
                artifact_path=model.artifact_location,
                run_id=model.source_run_id,
                model_uuid=model.model_id,
                model_id=model.model_id,
            ),
            signature=ModelSignature(takes, gives),
            input_example=served_model.example(),
            pip_requirements=_requirements(header),
        )


def _package(place: Path) -> Path:
    """A copy of what of `lesion` the model needs."""
    package = place / "lesion"
    for room in ROOMS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(LESION / room, package / room, ignore=ignored)
    shutil.copy(LESION / "__init__.py", package)
    return package


def _requirements(header: Header) -> list[str]:
    """What of requirements.txt the model needs."""
    wanted = PACKAGES if header.encoder == "none" else (*PACKAGES, "torchvision")
    lines = Path("requirements.txt").read_text(encoding="utf-8").split()
    return [line for line in lines if line.partition("==")[0] in wanted]
