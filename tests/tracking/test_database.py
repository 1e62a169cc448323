"""Projects that are moved and copied, and databases that cannot be opened."""

import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from lesion.pipeline.errors import InputError
from lesion.tracking import database
from lesion.tracking.store import EXPERIMENT, open_store

pytestmark = pytest.mark.long

SETTINGS = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID")


@pytest.fixture
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:
            patch.delenv(name, raising=False)
        yield patch
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose store has one run, with a file."""
    root = tmp_path_factory.mktemp("made") / "project"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:
            patch.delenv(name, raising=False)
        opened(root, patch)
        new_run(root, patch)
    mlflow.set_tracking_uri(None)
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, environment: pytest.MonkeyPatch) -> Path:
    """A project of one's own with such a store, which was opened where it lies."""
    root = Path(shutil.copytree(made, tmp_path / "pröject 1"))
    opened(root, environment)
    return root


def opened(root: Path, patch: pytest.MonkeyPatch, **options: bool) -> mlflow.MlflowClient:
    """A client of a project's store, as a new process opens it."""
    mlflow.set_tracking_uri(None)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.setenv("DVC_ROOT", str(root))
    return open_store(**options)[0]


def new_run(root: Path, patch: pytest.MonkeyPatch, experiment: str = EXPERIMENT) -> Path:
    """Where a new run has put a file."""
    client = opened(root, patch)
    run = client.create_run(client.get_experiment_by_name(experiment).experiment_id)
    client.log_text(run.info.run_id, "words", "words.txt")
    return place_of(client.get_run(run.info.run_id)) / "words.txt"


def place_of(run: mlflow.entities.Run) -> Path:
    return database.local_path(run.info.artifact_uri)


def first_run(client: mlflow.MlflowClient) -> mlflow.entities.Run:
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    return client.search_runs([experiment], order_by=["attributes.start_time"])[0]


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_files_of_a_moved_project_are_found_and_the_old_folder_is_not_made_again(
    project, tmp_path, environment, capsys
):
    (tmp_path / "elsewhere").mkdir()
    new = project.rename(tmp_path / "elsewhere" / "moved")
    client = opened(new, environment)
    said = capsys.readouterr().err
    assert said == f"note: {new}/mlflow.db was in {project} before; the files beside it too\n"
    assert place_of(first_run(client)).is_relative_to(new)
    assert (place_of(first_run(client)) / "words.txt").is_file()
    assert new_run(new, environment).is_relative_to(new)
    assert capsys.readouterr().err == ""
    assert not project.exists()


def test_a_copy_of_a_project_reads_and_writes_nothing_of_the_other(project, tmp_path, environment):
    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    before = content(project)
    assert new_run(copy, environment).is_relative_to(copy)
    assert place_of(first_run(opened(copy, environment))).is_relative_to(copy)
    assert content(project) == before


def test_a_project_may_be_moved_into_its_old_folder_and_out_of_it_again(
    project, tmp_path, environment
):
    aside = project.rename(tmp_path / "aside")
    project.mkdir()
    inside = aside.rename(project / "inside")
    assert (place_of(first_run(opened(inside, environment))) / "words.txt").is_file()
    aside = inside.rename(tmp_path / "aside")
    project.rmdir()
    back = aside.rename(project)
    assert (place_of(first_run(opened(back, environment))) / "words.txt").is_file()


def test_a_store_of_before_the_folder_was_noted_is_followed_too(project, tmp_path, environment):
    with closing(sqlite3.connect(project / "mlflow.db")) as store:
        store.execute("delete from experiment_tags")
        store.commit()
    new = project.rename(tmp_path / "moved")
    assert (place_of(first_run(opened(new, environment))) / "words.txt").is_file()


def test_a_move_is_noted_wholly_or_not_at_all(project, tmp_path, environment):
    new = project.rename(tmp_path / "moved")
    with environment.context() as patch, pytest.raises(InputError, match="no such table: gone"):
        patch.setattr(database, "LOCATIONS", (*database.LOCATIONS, ("gone", "gone")))
        opened(new, patch)
    with closing(sqlite3.connect(new / "mlflow.db")) as store:
        ((location,),) = store.execute("select artifact_uri from runs")
    assert location.startswith(project.as_uri())
    assert (place_of(first_run(opened(new, environment))) / "words.txt").is_file()


def test_files_that_stayed_behind_are_named(project, tmp_path, environment, capsys):
    new = tmp_path / "new"
    new.mkdir()
    shutil.copy(project / "mlflow.db", new)
    before = content(project)
    assert new_run(new, environment).is_relative_to(new)
    said = capsys.readouterr().err
    assert f"warning: the files of 1 runs and models are in {project} alone" in said
    assert content(project) == before
    shutil.copytree(project / "mlartifacts", new / "mlartifacts", dirs_exist_ok=True)
    assert (place_of(first_run(opened(new, environment))) / "words.txt").is_file()


def test_an_experiment_whose_files_somebody_keeps_elsewhere_keeps_them_there(
    project, tmp_path, environment
):
    disk = tmp_path / "disk" / "mlartifacts"
    disk.mkdir(parents=True)
    opened(project, environment).create_experiment("own", disk.as_uri())
    environment.setenv("MLFLOW_EXPERIMENT_NAME", "own")
    assert new_run(project, environment, "own").is_relative_to(disk)
    new = project.rename(tmp_path / "moved")
    assert new_run(new, environment, "own").is_relative_to(disk)


def test_an_experiment_of_mlflows_own_folder_moves_with_the_project(project, tmp_path, environment):
    opened(project, environment).create_experiment("own", str(project / "mlruns" / "7"))
    environment.setenv("MLFLOW_EXPERIMENT_NAME", "own")
    assert new_run(project, environment, "own").is_relative_to(project / "mlruns" / "7")
    new = project.rename(tmp_path / "moved")
    assert new_run(new, environment, "own").is_relative_to(new / "mlruns" / "7")
    assert not project.exists()


@pytest.mark.parametrize("place", ["mlartifacts", "mlartifacts/3"])
def test_files_do_not_go_to_a_folder_that_is_not_here(project, tmp_path, environment, place):
    disk = tmp_path / "disk"
    opened(project, environment).create_experiment("own", f"{disk}/{place}")
    environment.setenv("MLFLOW_EXPERIMENT_NAME", "own")
    with pytest.raises(InputError, match=f"its files in {disk}/{place}, and {disk} is not here"):
        opened(project, environment)
    disk.mkdir()
    assert new_run(project, environment, "own").is_relative_to(disk / place)


def test_files_behind_a_server_need_the_server(project, environment):
    opened(project, environment).create_experiment("own", "mlflow-artifacts:/3")
    environment.setenv("MLFLOW_EXPERIMENT_NAME", "own")
    with pytest.raises(InputError, match="behind a server of MLflow, mlflow-artifacts:/3; set"):
        opened(project, environment)


def test_a_store_elsewhere_has_its_files_beside_it(project, tmp_path, environment, monkeypatch):
    (tmp_path / "shared").mkdir()
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")  # which DVC throws away
    shutil.copy(project / "mlflow.db", tmp_path / "shared" / "runs.db")
    with closing(sqlite3.connect(tmp_path / "shared" / "runs.db")) as store:
        store.execute(
            "update experiments set name = 'of another project' where name = ?", (EXPERIMENT,)
        )
        store.commit()
    environment.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared/runs.db")
    client, experiment = open_store()
    location = client.get_experiment(experiment).artifact_location
    assert database.local_path(location) == tmp_path / "shared" / "mlartifacts"
    (other,) = client.search_runs(
        [client.get_experiment_by_name("of another project").experiment_id]
    )
    assert place_of(other).is_relative_to(project)
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_store_whose_folder_is_gone_is_not_made_again(tmp_path, environment):
    environment.setenv("DVC_ROOT", str(tmp_path))
    gone = tmp_path.parent / "gone" / "mlflow.db"
    environment.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{gone}")
    with pytest.raises(InputError, match=f"there is no folder {gone.parent}"):
        open_store()
    assert not gone.parent.exists()


def test_what_was_left_of_a_store_that_was_not_made_to_the_end_is_removed(tmp_path, environment):
    for end in ("part", "part-journal"):
        (tmp_path / f".mlflow.db.0123abcd.{end}").write_bytes(b"half")
    opened(tmp_path, environment)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


def test_who_only_asks_makes_neither_store_nor_experiment(tmp_path, project, environment):
    (tmp_path / "new").mkdir()
    with pytest.raises(InputError, match="there is none yet; a run of the pipeline makes it"):
        opened(tmp_path / "new", environment, make=False)
    assert not list((tmp_path / "new").glob("*mlflow.db"))
    environment.setenv("MLFLOW_EXPERIMENT_NAME", "mistyped")
    with pytest.raises(InputError, match="no experiment mistyped in it"):
        opened(project, environment, make=False)
    environment.delenv("MLFLOW_EXPERIMENT_NAME")
    names = [found.name for found in opened(project, environment).search_experiments()]
    assert sorted(names) == ["Default", EXPERIMENT]


@pytest.mark.parametrize(
    ("address", "module", "package"),
    [
        ("postgresql://user:SECRET@127.0.0.1:1/db", "psycopg", "psycopg[binary]"),
        ("postgresql+psycopg2://user:SECRET@127.0.0.1:1/db", "psycopg2", "psycopg2-binary"),
        ("mysql://user:SECRET@127.0.0.1:1/db", "MySQLdb", "mysqlclient"),
        ("mysql+pymysql://user:SECRET@127.0.0.1:1/db", "pymysql", "pymysql"),
    ],
)
def test_a_database_without_its_driver_says_what_to_install(
    tmp_path, environment, address, module, package
):
    environment.setenv("DVC_ROOT", str(tmp_path))
    environment.setenv("MLFLOW_TRACKING_URI", address)
    environment.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(InputError) as refused:
        open_store()
    said = str(refused.value)
    assert said.startswith(f"MLflow's store {address.split('://')[0]}://***@127.0.0.1:1/db: ")
    assert f"pip install '{package}'" in said and "SECRET" not in said


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("foo", "names a folder"),
        ("./mlruns", "names a folder"),
        ("file:///elsewhere/mlruns", "names a folder"),
        ("foo://bar", "unsupported URI 'foo://bar'"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("postgresql://user:SEC@RET@127.0.0.1/db", "has to be written as %40"),
        ("http://user:SECRET@127.0.0.1:{port}", "Connection refused"),
        ("http://user:SEC/RET@127.0.0.1:{port}", "Invalid url"),
        ("http://user:SEC[RET@127.0.0.1:{port}", "Invalid IPv6 URL"),
        ("sqlite:///{root}/folder", "unable to open database file"),
        ("sqlite:///{root}/text.db", "file is not a database"),
    ],
)
def test_an_address_that_leads_nowhere_costs_seconds_and_one_error_without_its_password(
    tmp_path, environment, address, expected
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.db").write_text("text " * 1000)
    environment.setenv("DVC_ROOT", str(tmp_path))
    environment.setenv("NO_PROXY", "127.0.0.1")
    environment.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        address = address.format(root=tmp_path, port=port)
        environment.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(InputError, match=expected) as refused:
            open_store()
    said = str(refused.value)
    assert said.startswith("MLflow's store ")
    assert "\n" not in said and "SEC" not in said and "RET" not in said


@pytest.mark.parametrize("length", [481, 700])
def test_a_path_that_is_too_long_for_sqlite_says_so_at_once(tmp_path, environment, length):
    file = tmp_path
    while len(str(file)) < length - 201:
        file /= "x" * 100
    file /= "x" * (length - len(str(file)) - 1 - len("/mlflow.db"))
    file.mkdir(parents=True)
    environment.setenv("DVC_ROOT", str(file))
    with pytest.raises(InputError, match=f"the path has {length} bytes, and SQLite opens none"):
        open_store()
    assert [path.name for path in file.iterdir()] == ["mlflow.db.lock"]


def test_a_folder_of_files_that_mlflow_is_allowed_to_use_lies_in_the_root(
    tmp_path, environment, monkeypatch
):
    (tmp_path / "root").mkdir()
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    environment.setenv("DVC_ROOT", str(tmp_path / "root"))
    environment.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    environment.setenv("MLFLOW_TRACKING_URI", "file:./mlruns")
    client, experiment = open_store()
    client.log_text(client.create_run(experiment).info.run_id, "words", "words.txt")
    assert list((tmp_path / "root" / "mlruns").rglob("words.txt"))
    assert list((tmp_path / "copy").iterdir()) == []
