"""Whole runs, from what a stage logs to what is in the store."""

import json
import resource
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from unittest.mock import Mock

import mlflow
import numpy as np
import pytest
import torch

from lesion import courier, delivery, tracking
from lesion.header import Header
from lesion.predict import Predictor
from lesion.spool import Entry, entries
from lesion.store import open_store, search
from lesion.unet import UNet
from lesion.weights import save_weights

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
        for entry in entries():
            entry.remove()
        start_process(patch, store)


def start_process(patch: pytest.MonkeyPatch, root: Path) -> None:
    mlflow.set_tracking_uri(None)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        patch.delenv(name, raising=False)
    patch.setenv("DVC_ROOT", str(root))
    patch.setattr(courier, "INTERVAL", 0.01)
    patch.setattr(courier, "PAUSE", 0.01)


def client() -> mlflow.MlflowClient:
    return open_store()[0]


def found(**tags: str) -> list[mlflow.entities.Run]:
    return search(*open_store(), **tags)


def train(fingerprint: str, model_hash: str = "", **metrics: float) -> str:
    """The id of the run of a training."""
    with tracking.training(fingerprint) as log:
        log.params({"lr": 1e-5})
        log.metrics(metrics, step=1)
        log.tags({"model_hash": model_hash})
    return found(fingerprint=fingerprint)[0].info.run_id


def give_result(model_hash: str, result_hash: str, **metrics: float) -> None:
    with tracking.result(model_hash, result_hash) as log:
        log.params({"lr": 1e-5, "threshold": 0.5})
        log.history([{"epoch": 1, "val_dice": 0.1}, {"epoch": 2, "val_dice": 0.2}])
        log.metrics(metrics)


def break_off(fingerprint: str, error: type[BaseException] = KeyboardInterrupt) -> str:
    with pytest.raises(error), tracking.training(fingerprint) as log:
        log.metrics({"val_dice": 0.1}, step=1)
        raise error
    return found(fingerprint=fingerprint)[0].info.run_id


def status(run_id: str) -> str:
    return client().get_run(run_id).info.status


def curve(run_id: str, name: str = "val_dice") -> list[tuple[int, float]]:
    history = client().get_metric_history(run_id, name)
    return sorted((metric.step, metric.value) for metric in history)


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
    weights = files / "unet.safetensors"
    save_weights(weights, network.state_dict(), Header("none", 2, 2, SIDE, "stretch", "f", 1))
    with pytest.MonkeyPatch.context() as patch:
        start_process(patch, store)
        patch.setenv("DVC_EXP_NAME", "brave-name")
        patch.setenv("DVC_EXP_BASELINE_REV", "abc")
        with tracking.training("everything") as log:
            log.params({"lr": 1e-5, "precision": "auto"})
            log.metrics({"dice": 0.25}, step=1)
            log.metrics({"dice": 0.5}, step=2)
            log.tags({"data": "synthetic", "model_hash": "everything"})
        with tracking.result("everything", "result of everything") as log:
            log.params({"lr": 1e-5, "threshold": "auto"})
            log.dataset("data", digest="ab" * 32, source="raw", images={"train": 3, "test": 2})
            log.metrics({"test.dice": 0.75})
            log.file(files / "table.csv")
            log.file(files / "plots")
            log.model(weights)
        assert entries() == []
        (run,) = found(model_hash="everything")
    predictor = Predictor(network.requires_grad_(False))
    return SimpleNamespace(run_id=run.info.run_id, predictor=predictor, weights=weights)


def test_a_training_and_its_result_are_one_run_with_everything_that_was_logged(store, logged):
    run = client().get_run(logged.run_id)
    assert run.info.status == "FINISHED" and run.info.run_name == "brave-name"
    assert run.data.params == {"lr": "1e-05", "precision": "auto", "threshold": "auto"}
    numbers = {k: v for k, v in run.data.metrics.items() if not k.startswith("system/")}
    assert numbers == {"dice": 0.5, "test.dice": 0.75}
    expected = {
        "fingerprint": "everything",
        "data": "synthetic",
        "DVC_EXP_NAME": "brave-name",
        "DVC_EXP_BASELINE_REV": "abc",
        "result_hash": "result of everything",
    }
    assert expected.items() <= run.data.tags.items()
    assert run.data.tags["git_commit"] == run.data.tags["mlflow.source.git.commit"]
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    assert folder.is_relative_to(store)
    assert (folder / "table.csv").read_text() == "a,b\n"
    assert (folder / "plots" / "a.png").read_bytes() == b"png"


def test_the_data_set_of_a_run_has_its_digest_and_counts_by_split(logged):
    inputs = client().get_run(logged.run_id).inputs.dataset_inputs
    assert {use.dataset.digest for use in inputs} == {"ab" * 16}
    counts = {use.tags[0].value: json.loads(use.dataset.profile)["images"] for use in inputs}
    assert counts == {"train": 3, "test": 2}


def test_the_machine_is_measured_during_a_training(logged):
    metrics = client().get_run(logged.run_id).data.metrics
    assert 0 < metrics["system/system_memory_usage_percentage"] <= 100
    assert 0 <= metrics["system/cpu_utilization_percentage"] <= 100


@pytest.mark.parametrize("count", [1, 2, 5])
def test_logged_model_gives_the_predictors_probabilities_for_any_number_of_images(logged, count):
    (model,) = client().get_run(logged.run_id).outputs.model_outputs
    location = client().get_logged_model(model.model_id).artifact_location
    images = np.random.default_rng(count).integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.uint8)
    probabilities = mlflow.pyfunc.load_model(location).predict(images)
    assert probabilities.shape == (count, SIDE, SIDE) and probabilities.dtype == np.float32
    expected = logged.predictor(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_numbers_are_in_the_store_while_the_training_runs():
    with tracking.training("live") as log:
        log.metrics({"val_dice": 0.1}, step=1)
        for _ in range(1000):
            runs = found(fingerprint="live")
            if runs and "val_dice" in runs[0].data.metrics:
                break
        assert runs[0].data.metrics["val_dice"] == 0.1
        assert runs[0].info.status == "RUNNING"


def test_another_training_gets_a_run_of_its_own():
    assert train("one") != train("other")


def test_a_training_from_the_start_gets_a_run_of_its_own_and_the_result_joins_the_newest():
    first = train("again", "same model")
    second = train("again", "same model")
    assert second != first
    give_result("same model", "its result", dice=0.5)
    assert client().get_run(second).data.metrics["dice"] == 0.5
    assert "dice" not in client().get_run(first).data.metrics


def test_a_result_that_joins_its_training_does_not_repeat_the_curves():
    run_id = train("curves", "model of curves", val_dice=0.1)
    give_result("model of curves", "result of curves")
    assert curve(run_id) == [(1, 0.1)]


def test_another_result_of_a_model_gets_a_run_of_its_own_that_names_the_training():
    first = train("shared", "shared model", val_dice=0.1)
    give_result("shared model", "threshold 0.5", dice=0.5)
    give_result("shared model", "threshold 0.6", dice=0.6)
    (second,) = found(result_hash="threshold 0.6")
    assert client().get_run(first).data.metrics["dice"] == 0.5
    assert second.data.metrics["dice"] == 0.6
    assert second.data.tags["trained_by"] == first
    assert curve(second.info.run_id) == [(1, 0.1), (2, 0.2)]


def test_a_result_that_is_known_is_linked_and_nothing_else_is_added(environment):
    first = train("known", "known model")
    give_result("known model", "known result", dice=0.5)
    environment.setenv("DVC_EXP_NAME", "known")  # as its run
    give_result("known model", "known result", dice=0.5)
    environment.setenv("DVC_EXP_NAME", "again-later")
    environment.setenv("DVC_EXP_BASELINE_REV", "abc")
    give_result("known model", "known result", dice=0.5)
    (run,) = found(model_hash="known model")
    assert run.info.run_id == first
    assert run.data.tags["linked.again-later"] == "abc" and "linked.known" not in run.data.tags
    assert len(client().get_metric_history(first, "dice")) == 1
    assert entries() == []


def test_a_result_that_this_store_never_saw_is_recorded_from_the_outputs():
    give_result("model from elsewhere", "result from elsewhere", dice=0.5)
    (run,) = found(model_hash="model from elsewhere")
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lr": "1e-05", "threshold": "0.5"}
    assert run.data.metrics["dice"] == 0.5 and run.data.tags["recorded"] == "from outputs"
    assert curve(run.info.run_id) == [(1, 0.1), (2, 0.2)]


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
)
def test_an_error_marks_the_run_failed_an_interruption_killed_and_both_go_through(error, expected):
    assert status(break_off(f"broken off {error.__name__}", error)) == expected


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_training_that_goes_on_goes_on_in_the_run_that_was_broken_off(error):
    name = f"resumed {error.__name__}"
    first = break_off(name, error)
    with tracking.training(name) as log:
        # From the start: the first epoch has been logged before.
        log.metrics({"val_dice": 0.1}, step=1)
        log.metrics({"val_dice": 0.2}, step=2)
    (run,) = found(fingerprint=name)
    assert run.info.run_id == first and run.info.status == "FINISHED"
    assert len(client().get_metric_history(first, "val_dice")) == 2


def test_a_training_that_goes_on_finds_the_run_of_a_killed_process(monkeypatch):
    entry = Entry.open("killed")
    entry.append("training", name="killed", tags={"fingerprint": "killed"})
    delivery.deliver(entry)
    (killed,) = found(fingerprint="killed")
    assert killed.info.status == "RUNNING"
    entry.close()
    delivery.deliver_all()
    assert status(killed.info.run_id) == "KILLED"
    assert train("killed") == killed.info.run_id
    assert status(killed.info.run_id) == "FINISHED"


def test_a_run_that_was_opened_but_not_noted_is_found_again():
    entry = Entry.open("opened")
    entry.append("training", name="opened", tags={"fingerprint": "opened"})
    delivery.deliver(entry)
    entry.note_sent({"count": 0})
    delivery.deliver(entry)
    assert len(found(fingerprint="opened")) == 1


@pytest.mark.parametrize("request_", ["create_run", "log_batch"])
def test_a_result_whose_sending_was_killed_gets_the_same_run_again(request_, environment):
    name = f"killed in {request_}"
    if request_ == "log_batch":  # the first request, where the training has a run
        train(name, name)
    send = getattr(mlflow.MlflowClient, request_)

    def send_and_die(*arguments: object, **named: object) -> None:
        send(*arguments, **named)
        raise KeyboardInterrupt

    entry = Entry.open(name)
    entry.append("result", name=name, tags={}, model_hash=name, result_hash=f"result of {name}")
    entry.append("metrics", values={"dice": 0.5}, step=1)
    entry.append("end", status="FINISHED")
    with environment.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mlflow.MlflowClient, request_, send_and_die)
        delivery.deliver(entry)
    (first,) = found(model_hash=name)
    assert "dice" not in first.data.metrics
    delivery.deliver(entry)
    (run,) = found(model_hash=name)
    assert run.info.run_id == first.info.run_id and run.data.metrics["dice"] == 0.5


def test_what_waits_from_earlier_runs_is_sent_by_the_next():
    entry = Entry.open("earlier")
    entry.append("training", name="earlier", tags={"fingerprint": "earlier"})
    entry.append("end", status="FINISHED")
    entry.close()
    train("later")
    (run,) = found(fingerprint="earlier")
    assert run.info.status == "FINISHED" and entries() == []


def test_an_entry_that_cannot_be_sent_keeps_no_other_from_it():
    for name in ("broken", "whole"):
        entry = Entry.open(name)
        entry.append("training", name=name, tags={"fingerprint": name})
        if name == "broken":
            entry.append("file", path="none.csv")
        entry.append("end", status="FINISHED")
        entry.close()
    with pytest.raises(OSError, match=r"none\.csv"):
        delivery.deliver_all()
    (run,) = found(fingerprint="whole")
    assert run.info.status == "FINISHED"
    assert [entry.folder.name for entry in entries()] == ["broken"]


def test_what_is_written_while_the_rest_is_sent_is_sent_next_time(environment):
    entry = Entry.open("meanwhile")
    entry.append("training", name="meanwhile", tags={"fingerprint": "meanwhile"})
    send = delivery.Delivery.send

    def send_slowly(self: delivery.Delivery, *arguments: object) -> None:
        send(self, *arguments)
        if len(entry.events()) == 1:
            entry.append("metrics", values={"dice": 0.5}, step=1)
            entry.append("end", status="FINISHED")

    environment.setattr(delivery.Delivery, "send", send_slowly)
    delivery.deliver(entry)
    delivery.deliver(entry)
    (run,) = found(fingerprint="meanwhile")
    assert run.data.metrics == {"dice": 0.5} and run.info.status == "FINISHED"
    assert entry.events() == []


def test_more_numbers_than_a_request_may_hold_are_several():
    entry = Entry.open("many")
    entry.append("training", name="many", tags={"fingerprint": "many"})
    for step in range(300):
        entry.append("metrics", values=dict.fromkeys("abcd", step / 300), step=step)
    delivery.deliver(entry)
    (run,) = found(fingerprint="many")
    assert curve(run.info.run_id, "d") == [(step, step / 300) for step in range(300)]


def test_nothing_is_begun_after_the_deadline_and_the_rest_waits(environment):
    entry = Entry.open("slow")
    entry.append("training", name="slow", tags={"fingerprint": "slow"})
    entry.append("tags", values={"b": "c"})
    with pytest.raises(TimeoutError):
        delivery.deliver(entry, deadline=time.monotonic() - 1)
    assert found(fingerprint="slow") == []
    heed = Mock(side_effect=[None, None, TimeoutError])
    with environment.context() as patch, pytest.raises(TimeoutError):
        patch.setattr(delivery, "_heed", heed)
        delivery.deliver(entry)
    (run,) = found(fingerprint="slow")
    assert "b" not in run.data.tags and entry.sent()["count"] == 1


def test_a_model_that_was_sent_already_is_not_sent_again(logged):
    entry = Entry.open("model")
    entry.append("training", name="model", tags={"fingerprint": "model"})
    entry.append("model", path=entry.keep(logged.weights))
    for _ in range(2):
        entry.note_sent({"count": 0})
        delivery.deliver(entry)
    (run,) = found(fingerprint="model")
    assert len(client().get_run(run.info.run_id).outputs.model_outputs) == 1


def test_everything_may_be_sent_twice():
    entry = Entry.open("twice")
    entry.append("training", name="twice", tags={"fingerprint": "twice"})
    entry.append("params", values={"lr": "0.1"})
    entry.append("metrics", values={"dice": 0.5}, step=1)
    entry.append("dataset", name="d", digest="0", source="raw", images={"train": 1})
    delivery.deliver(entry)
    entry.note_sent({"count": 0})
    entry.append("metrics", values={"dice": 0.6}, step=2)
    delivery.deliver(entry)
    (run,) = found(fingerprint="twice")
    assert curve(run.info.run_id, "dice") == [(1, 0.5), (2, 0.6)]
    assert len(run.inputs.dataset_inputs) == 1


def test_half_a_result_is_not_sent():
    entry = Entry.open("half")
    entry.append("result", name="half", tags={}, model_hash="half", result_hash="half a result")
    delivery.deliver(entry)
    assert found(result_hash="half a result") == [] and entry.sent() == {"count": 0}


def test_a_result_waits_for_its_training_to_be_sent():
    training = Entry.open("waiting training")
    training.append("training", name="t", tags={"fingerprint": "waiting"})
    training.append("tags", values={"model_hash": "waiting model"})
    give_result("waiting model", "waiting result", dice=0.5)
    training.append("end", status="FINISHED")
    training.close()
    with training.sending:  # another process is at it
        delivery.deliver_all()
        assert found(result_hash="waiting result") == []
    delivery.deliver_all()
    assert len(found(model_hash="waiting model")) == 1
    assert entries() == []


def test_a_parameter_that_the_run_has_already_stays_and_the_recording_goes_on(capsys):
    with pytest.raises(ZeroDivisionError), tracking.training("changed") as log:
        log.params({"lr": 0.1, "threshold": 0.5})
        raise ZeroDivisionError
    with tracking.training("changed") as log:
        log.params({"lr": 0.1, "threshold": 0.6})
        log.metrics({"dice": 0.5})
    assert "warning" not in capsys.readouterr().out
    (run,) = found(fingerprint="changed")
    assert run.data.params["threshold"] == "0.5" and run.data.metrics["dice"] == 0.5


def test_what_mlflow_never_takes_does_not_keep_the_rest_from_it(capsys):
    with tracking.training("odd") as log:
        log.metrics({"what?!": 0.5})
        log.tags({"after": "it"})
    (run,) = found(fingerprint="odd")
    assert run.data.tags["after"] == "it" and run.info.status == "FINISHED"
    assert "MLflow refuses metrics" in capsys.readouterr().out
    assert entries() == []


def assert_warns_once_and_keeps_everything(capsys: pytest.CaptureFixture) -> None:
    done = False
    with tracking.training("unrecorded") as log:
        log.params({"a": 1})
        log.metrics({"b": 1.0}, step=1)
        time.sleep(0.2)  # for some more attempts
        done = True
    assert done
    said = capsys.readouterr().out
    assert said.startswith("warning: MLflow did not take everything (") and said.count("\n") == 1
    (waiting,) = entries()
    kinds = [event["event"] for event in waiting.events() if event["event"] != "system"]
    assert kinds == ["training", "params", "metrics", "end"]


def test_the_store_lies_in_the_root_whatever_that_is_called(environment, tmp_path):
    root = tmp_path / "a b%20ü?x#y"
    root.mkdir()
    environment.setenv("DVC_ROOT", str(root))
    train("odd name")
    assert (root / "mlflow.db").stat().st_size > 0


def test_a_store_that_is_no_database_costs_one_warning(environment, tmp_path, capsys):
    (tmp_path / "mlflow.db").write_text("text " * 1000)
    environment.setenv("DVC_ROOT", str(tmp_path))
    assert_warns_once_and_keeps_everything(capsys)


def test_a_server_that_does_not_answer_costs_one_warning_and_gets_everything_later(
    environment, tmp_path, capsys
):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    environment.setenv("DVC_ROOT", str(tmp_path))
    environment.setenv("NO_PROXY", "127.0.0.1")
    environment.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    environment.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    assert_warns_once_and_keeps_everything(capsys)
    environment.delenv("MLFLOW_TRACKING_URI")
    assert_the_rest_is_sent()


def test_a_server_that_accepts_and_says_nothing_delays_a_stage_by_seconds(
    environment, tmp_path, capsys
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        environment.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        environment.setenv("DVC_ROOT", str(tmp_path))
        environment.setenv("NO_PROXY", "127.0.0.1")
        environment.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert_warns_once_and_keeps_everything(capsys)


def test_a_server_that_refuses_costs_one_warning(environment, tmp_path, capsys):
    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        do_POST = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refusal) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        environment.setenv("DVC_ROOT", str(tmp_path))
        environment.setenv("NO_PROXY", "127.0.0.1")
        environment.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        assert_warns_once_and_keeps_everything(capsys)
        server.shutdown()


def assert_the_rest_is_sent() -> None:
    delivery.deliver_all()
    (run,) = found(fingerprint="unrecorded")
    assert run.data.metrics["b"] == 1.0 and run.info.status == "FINISHED"
    assert entries() == []


def test_a_locked_database_costs_one_warning_and_gets_everything_later(
    environment, tmp_path, capsys
):
    environment.setenv("DVC_ROOT", str(tmp_path))
    environment.setattr(tracking, "PATIENCE", 1.0)
    open_store()
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        assert_warns_once_and_keeps_everything(capsys)
    assert_the_rest_is_sent()


def test_a_full_disk_costs_one_warning_and_gets_everything_later(environment, tmp_path, capsys):
    environment.setenv("DVC_ROOT", str(tmp_path))
    open_store()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Nothing is written beyond so many bytes of a file: enough for the spool, not for the store.
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        assert_warns_once_and_keeps_everything(capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_the_rest_is_sent()


def test_a_spool_that_cannot_be_written_costs_one_warning(environment, tmp_path, capsys):
    (tmp_path / "file").touch()
    environment.setenv("DVC_ROOT", str(tmp_path / "file"))
    done = False
    with tracking.training("unwritten") as log:
        log.params({"a": 1})
        log.file(Path("none"))
        done = True
    assert done
    said = capsys.readouterr().out
    assert said.startswith("warning: this run is not recorded") and said.count("\n") == 1


def test_an_exception_goes_through_where_nothing_can_be_recorded(environment, tmp_path, capsys):
    (tmp_path / "file").touch()
    environment.setenv("DVC_ROOT", str(tmp_path / "file"))
    with pytest.raises(ZeroDivisionError), tracking.training("unrecorded"):
        raise ZeroDivisionError
    assert capsys.readouterr().out.count("warning") == 1
