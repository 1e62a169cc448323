"""MLflow's store: what experiment, runs and files are in it."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

# Before MLflow is imported: no usage reports from a project that may hold patients' images, no
# minutes of retries at a server that is down, since all is tried again anyway, and no addresses of
# runs in the output of a stage, with the password that may be in them, nor bars for each file.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from filelock import FileLock

from lesion.pipeline.errors import InputError
from lesion.pipeline.root import project_root
from lesion.tracking import database
from lesion.tracking.address import STORE, in_words, is_folder, redacted, tracking_address

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, FileInfo, Run

EXPERIMENT = "skin-lesion-segmentation"
# What MLflow says of an id that is not there, or is none.
NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


class NoExperiment(InputError):
    """The store has none of the number that was named, as another store had."""


def open_store(
    wanted: dict[str, str] | None = None, *, make: bool = True
) -> tuple[MlflowClient, str]:
    """A client of the store, and the id of the experiment in it, `wanted_experiment` by default.

    Both are made if need be, unless `make` is false.

    Raises:
        InputError: whatever keeps one of them from being used, in one line.
    """
    import mlflow

    _hush()
    address = tracking_address()
    try:
        _refuse_folder(address)
        # Processes that make or open a new SQLite store at once leave it broken.
        with store_lock():
            database.prepare(address, make)
            mlflow.set_tracking_uri(address)
            client = mlflow.MlflowClient(address)
            database.follow(address, EXPERIMENT)
            found = _experiment(client, wanted or wanted_experiment(), make)
    except Exception as error:  # whatever MLflow, a driver or the network can raise
        raise _refusal(error) from None
    return client, found


class _Redaction(logging.Filter):
    """Lets all through, without secrets and tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args, record.exc_info = redacted(record.getMessage()), (), None
        return True


_REDACTION = _Redaction()


def _hush() -> None:
    """Of what libraries log little is shown, and no address with its password."""
    for name in ("alembic", "mlflow.tracking.fluent", "mlflow.pyfunc"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # raises it too
    for name in (
        "urllib3",
        "mlflow.utils.databricks_utils",
        "mlflow.tracking.context.registry",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)
    own = [handler for name in ("", "mlflow") for handler in logging.getLogger(name).handlers]
    for handler in filter(None, (*own, logging.lastResort)):
        handler.addFilter(_REDACTION)


def wanted_experiment() -> dict[str, str]:
    """The experiment for a run that is recorded now, by `name`, `id` or both, as MLflow reads it.

    `MLFLOW_EXPERIMENT_NAME` and `MLFLOW_EXPERIMENT_ID` win.
    """
    named = {
        "name": os.environ.get("MLFLOW_EXPERIMENT_NAME"),
        "id": os.environ.get("MLFLOW_EXPERIMENT_ID"),
    }
    return {key: value for key, value in named.items() if value} or {"name": EXPERIMENT}


def _experiment(client: MlflowClient, wanted: dict[str, str], make: bool) -> str:
    name, number = wanted.get("name"), wanted.get("id")
    found = client.get_experiment_by_name(name) if name else _with_number(client, wanted["id"])
    if found is None:
        if number:
            raise NoExperiment(f"no experiment {number} in it; MLFLOW_EXPERIMENT_ID names another")
        if not make:
            raise InputError(f"no experiment {name} in it; MLFLOW_EXPERIMENT_NAME names another")
        made = client.create_experiment(
            wanted["name"], **database.new_experiment(client.tracking_uri)
        )
        return answered(made)
    if number not in (None, answered(found.experiment_id)):
        raise NoExperiment(
            f"experiment {name} has the id {found.experiment_id}, but MLFLOW_EXPERIMENT_ID is "
            f"{number}; unset one of them"
        )
    _require_active_experiment(found)
    database.check_files(client, found)
    return found.experiment_id


def _with_number(client: MlflowClient, number: str) -> Experiment | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_experiment(number)
    except MlflowException as error:
        if error.error_code in NOT_THERE:
            return None
        raise


def answered(name: str) -> str:
    """What a store has called a thing that was made or found.

    Raises:
        InputError: nothing, as what is no server of MLflow does, but says yes to everything.
    """
    if not name:
        raise InputError("it answers, but not as MLflow does; is that its address?")
    return name


def require_active(client: MlflowClient, run_id: str) -> None:
    """That a run takes what is sent to it.

    Raises:
        InputError: it was deleted, in MLflow's pages for instance, and can be restored.
    """
    run = client.get_run(run_id)
    if run.info.lifecycle_stage == "deleted":
        _require_active_experiment(client.get_experiment(run.info.experiment_id))
        restore = _command(f"runs restore --run-id {run_id}")
        raise InputError(f"run {run_id} is deleted; `{restore}` restores it")


def _require_active_experiment(experiment: Experiment) -> None:
    if experiment.lifecycle_stage == "deleted":
        restore = _command(f"experiments restore --experiment-id {experiment.experiment_id}")
        raise InputError(f"experiment {experiment.name} is deleted; `{restore}` restores it")


def _command(arguments: str) -> str:
    """A command of MLflow on this store; who has a secret in the address has set the variable."""
    address = tracking_address()
    shown = f"MLFLOW_TRACKING_URI={shlex.quote(address)} " if redacted(address) == address else ""
    return f"{shown}mlflow {arguments}"


@contextmanager
def errors_as_input_errors() -> Iterator[None]:
    """Whatever MLflow raises inside becomes an InputError, one line that names the store."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise _refusal(error) from None


def _refusal(error: Exception) -> InputError:
    kind = NoExperiment if isinstance(error, NoExperiment) else InputError
    return kind(f"MLflow's store {redacted(tracking_address())}: {in_words(error)}")


def _refuse_folder(address: str) -> None:
    from mlflow.environment_variables import MLFLOW_ALLOW_FILE_STORE

    if is_folder(address) and not MLFLOW_ALLOW_FILE_STORE.get():
        raise InputError(
            "MLFLOW_TRACKING_URI names a folder, which MLflow takes no longer, or nothing that it "
            "knows; expected sqlite:///NAME.db, postgresql://…, http://… or https://…"
        )


def store_lock() -> FileLock:
    """Held by the one process that makes the store, or decides whose run is what."""
    return FileLock(project_root().resolve() / f"{STORE}.lock", timeout=60)


def search(client: MlflowClient, experiment: str, **tags: str) -> list[Run]:
    """The runs with these tags, newest first."""
    wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    return list(client.search_runs([experiment], wanted, order_by=["attributes.start_time DESC"]))


def run_with_id(client: MlflowClient, run_id: str) -> Run | None:
    """The run of this id, if there is one."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in NOT_THERE:
            return None
        raise


def unlisted(
    path: Path, parent: Path, list_files: Callable[[str | None], list[FileInfo]]
) -> list[str]:
    """Which files of a file or folder are not in the store, whole, under their name in `parent`.

    `list_files` is what lists a folder of the store; None is the uppermost.
    """
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    sizes = {file.relative_to(parent).as_posix(): file.stat().st_size for file in files}
    folders = {name.rpartition("/")[0] for name in sizes}
    there = {file.path: file.file_size for place in folders for file in list_files(place or None)}
    # Some stores list files without their size.
    return [name for name, size in sizes.items() if there.get(name, -1) not in (size, None)]


def runs_with(client: MlflowClient, experiment: str, result_hash: str, of: str) -> list[Run]:
    """The runs with a result, newest first; `of` is whose that is, for the error.

    Raises:
        InputError: there is none.
    """
    if runs := search(client, experiment, result_hash=result_hash):
        return runs
    name = client.get_experiment(experiment).name
    raise InputError(
        f"{of}: no run with this result in experiment {name} of {redacted(client.tracking_uri)}; "
        "check it out (`dvc exp branch`, git and `dvc checkout`) and `python stages/record.py` "
        "records it; or MLFLOW_EXPERIMENT_NAME names the experiment that has it"
    )


def result_hash(run: Run) -> str:
    """What a run has come to.

    Raises:
        InputError: nothing yet.
    """
    try:
        return run.data.tags["result_hash"]
    except KeyError:
        raise InputError(
            f"run {run.info.run_id}: without a result; its training was not evaluated"
        ) from None
