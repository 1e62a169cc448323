"""The database that is MLflow's store, where its address names one, and the files beside it."""

from __future__ import annotations

import glob
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

from lesion.pipeline.errors import InputError
from lesion.pipeline.root import project_root
from lesion.tracking.address import DATABASES, scheme, sqlite_address, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

ARTIFACTS = "mlartifacts"
# A tag of an experiment: the folder in which its SQLite store lay when it was opened last.
STORE_FOLDER = "store.folder"
# Bytes of a path. SQLite's own limit is 504, with what is added to the name while a store is made.
LONGEST_PATH = 480

# What pip calls the packages by which SQLAlchemy speaks to a database.
DRIVERS = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}

# Where MLflow writes down at what place files are.
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def prepare(address: str, make: bool) -> None:
    """Tries the database that an address names, if any, and makes a SQLite file, if need be.

    Raises:
        InputError: there is none, it keeps nothing, or its driver is not installed.
        Exception: whatever SQLAlchemy or the driver raises of a database that does not answer.
    """
    if scheme(address) not in DATABASES:
        return
    from sqlalchemy import create_engine, inspect, make_url
    from sqlalchemy.pool import NullPool

    # Else a server that is not there is waited for as long as the system likes.
    os.environ.setdefault("PGCONNECT_TIMEOUT", "10")
    url = make_url(address)
    if "@" in (url.host or ""):
        raise InputError("an @ in a password has to be written as %40")
    if scheme(address) == "sqlite":
        file = sqlite_file(address)
        if file is None:
            raise InputError("it would be in memory, and gone with this process; name a file")
        if (length := len(os.fsencode(file))) > LONGEST_PATH:
            raise InputError(
                f"the path has {length} bytes, and SQLite opens none of more than {LONGEST_PATH}; "
                "MLFLOW_TRACKING_URI names a store elsewhere"
            )
        # A file that was removed or replaced must not be written to any further.
        os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
        _make(file, make)
    try:
        # Where this fails, MLflow would try for minutes.
        inspect(create_engine(url, poolclass=NullPool)).get_table_names()
    except ModuleNotFoundError as error:
        package = DRIVERS.get(str(error.name), error.name)
        raise InputError(
            f"the driver of this database is not installed: pip install '{package}'"
        ) from None


def _make(file: Path, make: bool) -> None:
    """Makes a SQLite store, whole or not at all: MLflow takes seconds, and mends no half."""
    import mlflow

    if file.exists():
        return
    if not make:
        raise InputError("there is none yet; a run of the pipeline makes it")
    if _travels(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    elif not file.parent.is_dir():
        # MLflow would make it: a project that was moved would begin a store where it was before.
        raise InputError(f"there is no folder {file.parent}; make it, or name another place")
    for left in file.parent.glob(f".{glob.escape(file.name)}.*.part*"):  # with SQLite's journal
        left.unlink()
    # Of a name that it had before, MLflow would believe that it is made.
    part = file.with_name(f".{file.name}.{uuid4().hex[:8]}.part")
    try:
        with closing(sqlite3.connect(part)) as new:
            new.execute("pragma user_version = 0")  # where this fails, MLflow would try for minutes
        mlflow.MlflowClient(sqlite_address(part)).search_experiments()
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)


def follow(address: str, experiment: str) -> None:
    """Corrects what a SQLite store says of the files beside it, where its folder was moved.

    MLflow writes down absolute paths. Of a project that was moved it would make the old folder
    again, and fill it; of one that was copied, fill the other's. `experiment` is the one whose
    files lie beside the store also where no folder was noted yet.
    """
    file = sqlite_file(address)
    if not file or not _travels(file):
        return
    folder = file.parent
    with closing(sqlite3.connect(file, isolation_level=None)) as store:
        for old in _former_folders(store, folder, experiment):
            # All or nothing, whenever this process is killed.
            store.execute("begin immediate")
            for before, after in ((old.as_uri(), folder.as_uri()), (str(old), str(folder))):
                for table, column in LOCATIONS:
                    store.execute(
                        f"update {table} set {column} = ? || substr({column}, ?) "
                        f"where substr({column}, 1, ?) = ?",
                        (after, len(before) + 1, len(before) + 1, f"{before}/"),
                    )
            store.execute(
                "update experiment_tags set value = ? where key = ? and value = ?",
                (str(folder), STORE_FOLDER, str(old)),
            )
            store.execute("commit")
            print(f"note: {file} was in {old} before; the files beside it too", file=sys.stderr)
            if left := _left_behind(store, old, folder):
                print(
                    f"warning: the files of {left} runs and models are in {old} alone; copy "
                    f"{old / ARTIFACTS} to {folder}",
                    file=sys.stderr,
                )


def _former_folders(store: sqlite3.Connection, folder: Path, experiment: str) -> set[Path]:
    noted = store.execute(
        "select distinct value from experiment_tags where key = ? and value != ?",
        (STORE_FOLDER, str(folder)),
    )
    unnoted = store.execute(
        "select artifact_location from experiments where name = ? and experiment_id not in "
        "(select experiment_id from experiment_tags where key = ?)",
        (experiment, STORE_FOLDER),
    )
    former = {Path(value) for (value,) in noted}
    for (location,) in unnoted:
        place = local_path(location)
        if place and place.name == ARTIFACTS:
            former.add(place.parent)
    return former - {folder}


def _left_behind(store: sqlite3.Connection, old: Path, folder: Path) -> int:
    """How many runs and models have files in the old folder, and none in the new one."""
    locations = store.execute(
        "select artifact_uri from runs union all select artifact_location from logged_models"
    )
    places = [place for (location,) in locations if (place := local_path(location))]
    return sum(
        not place.exists() and (old / place.relative_to(folder)).exists()
        for place in places
        if place.is_relative_to(folder)
    )


def local_path(location: str) -> Path | None:
    """The folder on this machine that a location of MLflow names; None where it names another."""
    if location.startswith("/"):
        return Path(location)
    return Path(url2pathname(urlsplit(location).path)) if location.startswith("file:") else None


def new_experiment(address: str) -> dict[str, Any]:
    """What a new experiment is made with: where its files go. A server decides that itself."""
    if scheme(address) not in DATABASES:
        return {}
    file = sqlite_file(address)
    folder = file.parent if file else project_root().resolve()
    tags = {STORE_FOLDER: str(folder)} if file else None
    return {"artifact_location": (folder / ARTIFACTS).as_uri(), "tags": tags}


def check_files(client: MlflowClient, experiment: Experiment) -> None:
    """That the files of an experiment do not go to a place that nobody looks into.

    Raises:
        InputError: MLflow would make a folder that is another machine's, or of a time before.
    """
    location, file = experiment.artifact_location, sqlite_file(client.tracking_uri)
    if scheme(client.tracking_uri) in DATABASES and scheme(location) == "mlflow-artifacts":
        raise InputError(
            f"experiment {experiment.name} has its files behind a server of MLflow, {location}; "
            "set MLFLOW_TRACKING_URI to its http://…, or name another in MLFLOW_EXPERIMENT_NAME"
        )
    if file and _travels(file) and experiment.tags.get(STORE_FOLDER) != str(file.parent):
        client.set_experiment_tag(experiment.experiment_id, STORE_FOLDER, str(file.parent))
    place = local_path(location)
    if place is None or place.is_relative_to(project_root().resolve()):
        return
    # MLflow gives each experiment a folder of its number in one that all have.
    common = place.parent if place.name.isdigit() else place
    if not common.parent.is_dir():
        raise InputError(
            f"experiment {experiment.name} has its files in {place}, and {common.parent} is not "
            "here; mount or make it, or name another in MLFLOW_EXPERIMENT_NAME"
        )


def _travels(file: Path) -> bool:
    """Whether a SQLite store is the project's, so that what lies beside it moves with it."""
    return file.is_relative_to(project_root().resolve())
