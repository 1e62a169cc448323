import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
import torch

from lesion.predict import Predictor
from lesion.tracking import EXPERIMENT, FINGERPRINT, track
from lesion.unet import UNet

SIDE = 16


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's root for the tests of this module; the first of them makes the store in it."""
    return tmp_path_factory.mktemp("project")


@pytest.fixture(autouse=True)
def environment(store: Path) -> Iterator[pytest.MonkeyPatch]:
    """What a new process of a stage has."""
    with pytest.MonkeyPatch.context() as patch:
        start_process(patch, store)
        yield patch
        mlflow.end_run()
        start_process(patch, store)


def start_process(patch: pytest.MonkeyPatch, root: Path) -> None:
    mlflow.set_tracking_uri(None)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        patch.delenv(name, raising=False)
    patch.setenv("DVC_ROOT", str(root))


def record(fingerprint: str, *, resume_finished: bool, **metrics: float) -> str:
    """The id of the run that a whole block logged into."""
    with track(fingerprint, resume_finished=resume_finished) as log:
        run_id = mlflow.active_run().info.run_id
        log.metrics(metrics)
    return run_id


def break_off(fingerprint: str, error: type[BaseException] = KeyboardInterrupt) -> str:
    run_id = ""
    with pytest.raises(error), track(fingerprint, resume_finished=False):
        run_id = mlflow.active_run().info.run_id
        raise error
    return run_id


def status(run_id: str) -> str:
    return mlflow.get_run(run_id).info.status


@pytest.fixture(scope="module")
def logged(store: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A run with one of everything, and the predictor that was logged."""
    files = tmp_path_factory.mktemp("files")
    (files / "plots").mkdir()
    (files / "plots" / "a.png").write_bytes(b"png")
    (files / "table.csv").write_text("a,b\n")
    torch.manual_seed(0)
    network = UNet(width=2, depth=2)
    network(torch.randn(4, 3, SIDE, SIDE))
    predictor = Predictor(network.requires_grad_(False))
    with pytest.MonkeyPatch.context() as patch:
        start_process(patch, store)
        patch.setenv("DVC_EXP_NAME", "brave-name")
        with track("everything", resume_finished=False) as log:
            run_id = mlflow.active_run().info.run_id
            log.params({"lr": 1e-5, "precision": "auto"})
            log.metrics({"dice": 0.25}, step=1)
            log.metrics({"dice": 0.5}, step=2)
            log.tags({"data": "synthetic"})
            log.file(files / "table.csv")
            log.file(files / "plots")
            log.model(predictor, SIDE)
            assert log.works
    return SimpleNamespace(run_id=run_id, predictor=predictor)


def test_everything_logged_is_in_the_run(store, logged):
    run = mlflow.MlflowClient(f"sqlite:///{store}/mlflow.db").get_run(logged.run_id)
    assert run.info.status == "FINISHED" and run.info.run_name == "brave-name"
    assert run.data.params == {"lr": "1e-05", "precision": "auto"}
    assert run.data.metrics == {"dice": 0.5}
    expected = {FINGERPRINT: "everything", "data": "synthetic", "dvc_experiment": "brave-name"}
    assert expected.items() <= run.data.tags.items()
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert folder.is_relative_to(store)
    assert (folder / "table.csv").read_text() == "a,b\n"
    assert (folder / "plots" / "a.png").read_bytes() == b"png"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_logged_model_gives_the_predictors_probabilities_for_any_number_of_images(
    store, logged, count
):
    client = mlflow.MlflowClient(f"sqlite:///{store}/mlflow.db")
    (model,) = client.get_run(logged.run_id).outputs.model_outputs
    location = client.get_logged_model(model.model_id).artifact_location
    images = np.random.default_rng(count).integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.uint8)
    probabilities = mlflow.pyfunc.load_model(location).predict(images)
    assert probabilities.shape == (count, SIDE, SIDE) and probabilities.dtype == np.float32
    expected = logged.predictor(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_later_stages_add_to_the_run_of_the_same_fingerprint():
    first = record("added", resume_finished=False, a=1.0)
    assert record("added", resume_finished=True, b=2.0) == first
    assert mlflow.get_run(first).data.metrics == {"a": 1.0, "b": 2.0}
    assert status(first) == "FINISHED"


@pytest.mark.parametrize("resume_finished", [True, False])
def test_another_fingerprint_gets_a_run_of_its_own(resume_finished):
    first = record(f"one {resume_finished}", resume_finished=False)
    assert record(f"other {resume_finished}", resume_finished=resume_finished) != first


def test_a_training_from_the_start_gets_a_run_of_its_own_and_later_stages_find_the_newest():
    first = record("again", resume_finished=False)
    second = record("again", resume_finished=False)
    assert second != first
    assert record("again", resume_finished=True) == second


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
)
def test_an_error_marks_the_run_failed_an_interruption_killed_and_both_go_through(error, expected):
    assert status(break_off(f"broken off {error.__name__}", error)) == expected


def test_a_finished_training_stays_so_where_a_later_stage_is_interrupted():
    first = record("interrupted later", resume_finished=False)
    with pytest.raises(KeyboardInterrupt), track("interrupted later", resume_finished=True):
        raise KeyboardInterrupt
    assert status(first) == "FINISHED"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_training_that_goes_on_goes_on_in_the_run_that_was_broken_off(error):
    name = f"resumed {error.__name__}"
    first = break_off(name, error)
    assert record(name, resume_finished=False) == first
    assert status(first) == "FINISHED"


def test_a_training_that_goes_on_finds_the_run_of_a_killed_process():
    record("elsewhere", resume_finished=False)
    experiment = mlflow.get_experiment_by_name(EXPERIMENT).experiment_id
    killed = mlflow.MlflowClient().create_run(experiment, tags={FINGERPRINT: "killed"})
    assert status(killed.info.run_id) == "RUNNING"
    assert record("killed", resume_finished=False) == killed.info.run_id


def test_a_parameter_that_changed_before_a_training_went_on_does_not_end_the_recording(capsys):
    with pytest.raises(ZeroDivisionError), track("changed", resume_finished=False) as log:
        log.params({"lr": 0.1, "threshold": 0.5})
        raise ZeroDivisionError
    with track("changed", resume_finished=False) as log:
        run_id = mlflow.active_run().info.run_id
        log.params({"lr": 0.1, "threshold": 0.6})
        log.metrics({"dice": 0.5})
    assert "warning" not in capsys.readouterr().out
    assert mlflow.get_run(run_id).data.metrics == {"dice": 0.5}
    assert status(run_id) == "FINISHED"


def assert_warns_once_and_completes(capsys: pytest.CaptureFixture) -> None:
    done = False
    with track("unrecorded", resume_finished=False) as log:
        log.params({"a": 1})
        log.metrics({"b": 1.0})
        log.file(Path("none"))
        done = True
    assert done and not log.works
    said = capsys.readouterr().out
    assert said.startswith("warning: MLflow does not record this run: ") and said.count("\n") == 1


def test_a_root_that_is_a_file_costs_one_warning(environment, tmp_path, capsys):
    (tmp_path / "file").touch()
    environment.setenv("DVC_ROOT", str(tmp_path / "file"))
    assert_warns_once_and_completes(capsys)


def test_a_store_that_is_no_database_costs_one_warning(environment, tmp_path, capsys):
    (tmp_path / "mlflow.db").write_text("text " * 1000)
    environment.setenv("DVC_ROOT", str(tmp_path))
    assert_warns_once_and_completes(capsys)


def test_a_server_that_does_not_answer_costs_one_warning(environment, capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    environment.setenv("NO_PROXY", "127.0.0.1")
    environment.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    environment.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    assert_warns_once_and_completes(capsys)


def test_an_exception_goes_through_where_the_store_cannot_be_opened(environment, tmp_path, capsys):
    (tmp_path / "file").touch()
    environment.setenv("DVC_ROOT", str(tmp_path / "file"))
    with pytest.raises(ZeroDivisionError), track("unrecorded", resume_finished=False):
        raise ZeroDivisionError
    assert capsys.readouterr().out.count("warning") == 1


def test_something_that_cannot_be_logged_costs_one_warning_and_leaves_no_run_open(capsys):
    with track("half", resume_finished=False) as log:
        run_id = mlflow.active_run().info.run_id
        log.metrics({"a": 1.0})
        log.file(Path("none"))
        log.metrics({"b": 1.0})
    assert capsys.readouterr().out.count("warning") == 1
    assert mlflow.active_run() is None
    assert status(run_id) != "RUNNING"
