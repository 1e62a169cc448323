"""MLflow's store: where it is, and what runs are in it."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

# Before MLflow is imported: no usage reports from a project that may hold patients' images, and no
# minutes of retries at a server that is down, since all is tried again anyway.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

from filelock import FileLock

from lesion.errors import InputError
from lesion.root import project_root

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "skin-lesion-segmentation"
STORE = "mlflow.db"


def open_store() -> tuple[MlflowClient, str]:
    """A client of the store, which is made if need be, and the id of the experiment in it.

    `MLFLOW_TRACKING_URI` wins. Otherwise it is SQLite in the project's root, which DVC names in
    `DVC_ROOT` also where it runs a stage in a temporary copy that it throws away afterwards.
    """
    import mlflow

    for name in ("alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent"):
        logging.getLogger(name).setLevel(logging.WARNING)
    root = project_root().resolve()
    # Processes that make or open a new SQLite store at once leave it broken.
    with store_lock():
        address, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
        if not address:
            _make(root / STORE)
            address, artifacts = _address(root / STORE), (root / "mlartifacts").as_uri()
        mlflow.set_tracking_uri(address)
        client = mlflow.MlflowClient(address)
        if found := client.get_experiment_by_name(EXPERIMENT):
            return client, found.experiment_id
        return client, client.create_experiment(EXPERIMENT, artifacts)


@contextmanager
def errors_as_input_errors() -> Iterator[None]:
    """Whatever MLflow raises inside becomes an InputError, one line that names the store."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        import mlflow

        raise InputError(f"MLflow's store {mlflow.get_tracking_uri()}: {error}") from None


def store_lock() -> FileLock:
    """Held by the one process that makes the store, or decides whose run is what."""
    return FileLock(project_root().resolve() / f"{STORE}.lock", timeout=60)


def _make(store: Path) -> None:
    """Makes a SQLite store, whole or not at all: MLflow takes seconds, and mends no half."""
    import mlflow

    if store.exists():
        # Where this fails, MLflow would try for minutes.
        with closing(sqlite3.connect(store)) as connection:
            connection.execute("pragma schema_version")
        return
    part = store.with_name(f".{store.name}.part")
    part.unlink(missing_ok=True)
    mlflow.MlflowClient(_address(part)).search_experiments()
    part.rename(store)


def _address(store: Path) -> str:
    # A folder's name may hold what means something else in an address.
    return f"sqlite:///{str(store).replace('%', '%25').replace('?', '%3F')}"


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
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def runs_with(client: MlflowClient, experiment: str, result_hash: str, of: str) -> list[Run]:
    """The runs with a result, newest first; `of` is whose that is, for the error.

    Raises:
        InputError: there is none.
    """
    if runs := search(client, experiment, result_hash=result_hash):
        return runs
    raise InputError(
        f"{of}: no run with this result in {client.tracking_uri}; `dvc exp apply` and "
        "`python stages/record.py` record it"
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
