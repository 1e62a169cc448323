"""MLflow's server, with PostgreSQL and S3 behind it, and DVC's remotes."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import mlflow
import pandas as pd
import pytest

from lesion.formats.header import WEIGHTS_FILE
from lesion.formats.settings import SETTINGS_FILE
from lesion.synthetic import lesion_image
from lesion.tracking import runs
from lesion.tracking.logged_model import local_model
from lesion.tracking.store import EXPERIMENT
from picture_files import jpeg
from project import ROOT, copy, environment, run, set_params, wait_for
from servers import (
    BUCKET,
    KEYS,
    all_runs,
    answers,
    free_port,
    mlflow_server,
    postgresql_server,
    s3_client,
    s3_server,
)
from small_model import write_model

pytestmark = pytest.mark.long


@pytest.mark.slow
def test_a_server_that_is_killed_in_a_training_has_everything_in_the_end(base, tmp_path):
    folder = copy(base, tmp_path)
    set_params(folder, epochs=60)
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    environ = environment() | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    client = mlflow.MlflowClient(uri)

    def own_server(port: int) -> AbstractContextManager[subprocess.Popen]:
        return mlflow_server(port, f"sqlite:///{tmp_path}/server.db", str(tmp_path / "served"))

    with own_server(port) as process:
        training = subprocess.Popen(
            ["python", "stages/train.py"],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: any("val_dice" in found.data.metrics for found in all_runs(uri)))
        os.killpg(process.pid, signal.SIGKILL)
        assert training.poll() is None
        said, _ = training.communicate(timeout=300)
        assert training.returncode == 0
        assert said.count("warning: MLflow did not take everything") == 1

    with own_server(port):
        (found,) = all_runs(uri)
        history = pd.read_csv(folder / "metrics/history.csv").set_index("epoch")
        assert len(client.get_metric_history(found.info.run_id, "val_dice")) < len(history) == 60
        subprocess.run(["python", "tools/deliver.py"], cwd=folder, env=environ, check=True)
        (found,) = all_runs(uri)
        assert found.info.status == "FINISHED"
        for name in history:
            logged = client.get_metric_history(found.info.run_id, name)
            assert {point.step: point.value for point in logged} == history[name].to_dict()
            assert len(logged) == len(history)
    assert list((folder / "mlspool").iterdir()) == []


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """MLflow's pages over the store of a project: its root, and their port."""
    root, port = tmp_path_factory.mktemp("pages"), free_port()
    process = subprocess.Popen(
        ["python", ROOT / "tools/show_runs.py", "--port", str(port), "--workers", "1"],
        env=environment() | {"DVC_ROOT": str(root), "MLFLOW_TRACKING_URI": "sqlite:///runs.db"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: answers(port) or process.poll() is not None)
        yield root, port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_the_pages_show_the_store_that_the_stages_fill(pages):
    root, port = pages
    shown = mlflow.MlflowClient(f"http://127.0.0.1:{port}")
    stages = mlflow.MlflowClient(f"sqlite:///{root}/runs.db")
    assert shown.get_experiment_by_name(EXPERIMENT)
    made = stages.get_experiment(shown.create_experiment("made in the pages"))
    # A stage can put its files there without a server.
    assert made.artifact_location == f"{root.as_uri()}/mlartifacts/{made.experiment_id}"


@pytest.mark.slow
def test_the_password_of_an_address_is_neither_shown_nor_kept(pages, tmp_path, monkeypatch, capfd):
    root, port = pages
    write_model(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:p%40SECRET@127.0.0.1:{port}")
    with runs.result("model", "result") as log:
        log.model(tmp_path / WEIGHTS_FILE, tmp_path / SETTINGS_FILE)
    mlflow.set_tracking_uri(None)
    (found,) = all_runs(f"http://127.0.0.1:{port}")
    assert found.info.status == "FINISHED" and found.outputs.model_outputs
    said = "".join(capfd.readouterr())
    assert "SECRET" not in said and "warning" not in said
    kept = [path for path in (*root.rglob("*"), *tmp_path.rglob("*")) if path.is_file()]
    assert any(path.name == "MLmodel" for path in kept)
    assert not [path for path in kept if b"SECRET" in path.read_bytes()]


@pytest.mark.slow
def test_a_team_s_server_keeps_runs_in_postgresql_and_files_in_s3(base, tmp_path, monkeypatch):
    folder = copy(base, tmp_path)
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    # Those who train need neither the database nor the bucket's keys.
    environ = environment() | {"MLFLOW_TRACKING_URI": uri}
    with (
        s3_server() as s3,
        postgresql_server() as database,
        mlflow_server(
            port,
            database,
            f"s3://{BUCKET}/mlflow",
            *("--allowed-hosts", f"server:5000,127.0.0.1:{port}"),
            environ=KEYS | {"MLFLOW_S3_ENDPOINT_URL": s3},
        ),
    ):
        for command in (
            ("dvc", "exp", "run", "--name", "ours", "-S", "lr=4e-3"),
            ("python", "tools/champion.py"),
        ):
            subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL)
        by_name = Request(f"{uri}/api/2.0/mlflow/runs/get", headers={"Host": "server:5000"})
        with pytest.raises(HTTPError, match="400"), urlopen(by_name):
            pass  # 403, were the name not allowed; no run is named
        (found,) = all_runs(uri)
        assert found.info.run_name == "ours" and found.info.status == "FINISHED"
        numbers = json.loads((folder / "metrics/evaluation.json").read_text())
        assert found.data.metrics["test.dice"] == numbers["test"]["dice"]
        assert not (folder / "mlflow.db").exists() and not list((folder / "mlspool").iterdir())

        import psycopg

        with psycopg.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute("select name from runs")
            assert cursor.fetchall() == [("ours",)]
        kept = {item["Key"] for item in s3_client(s3).list_objects_v2(Bucket=BUCKET)["Contents"]}
        assert any(name.endswith("plots/panels.png") for name in kept)

        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow.set_tracking_uri(uri)
        model = mlflow.pyfunc.load_model("models:/skin-lesion-unet@champion")
        photograph = jpeg(lesion_image(0, 40, 60)[0])
        assert len(model.predict({"image": [photograph] * 3})) == 3
        for file in local_model("models:/skin-lesion-unet@champion"):
            assert file.read_bytes() == (folder / "model" / file.name).read_bytes()


def test_what_one_clone_pushes_another_pulls_and_has_nothing_to_run(base, tmp_path):
    assert_travels(base, tmp_path, str(tmp_path / "remote"), {})


@pytest.mark.slow
def test_the_same_through_an_s3_server(base, tmp_path, monkeypatch):
    pytest.importorskip("dvc_s3", reason="needs dvc[s3]")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with s3_server() as address:
        assert_travels(base, tmp_path, f"s3://{BUCKET}/cache", {"endpointurl": address})


def assert_travels(base: Path, tmp_path: Path, remote: str, options: dict[str, str]) -> None:
    ours = copy(base, tmp_path)
    run(ours, "dvc", "remote", "add", "--default", "storage", remote)
    for name, value in options.items():
        run(ours, "dvc", "remote", "modify", "storage", name, value)
    run(ours, "git", "commit", "--quiet", "--all", "--message", "Remote")
    run(ours, "dvc", "push")
    theirs = tmp_path / "theirs"
    run(tmp_path, "git", "clone", "--quiet", str(ours), str(theirs))
    run(theirs, "dvc", "pull")
    said = run(theirs, "dvc", "repro").stdout
    assert "Running stage" not in said and "up to date" in said
    weights = "model/unet.safetensors"
    assert (theirs / weights).read_bytes() == (ours / weights).read_bytes()
    assert run(theirs, "git", "status", "--porcelain").stdout == ""
