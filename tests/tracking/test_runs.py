"""Whole runs, from what a stage logs to what is in the store."""

import ast
import json
import re
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from unittest.mock import Mock

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

import project
from lesion.experiments.versions import Registry
from lesion.formats.header import WEIGHTS_FILE
from lesion.formats.settings import SETTINGS_FILE
from lesion.photos.images import decode_image, encode_mask
from lesion.pipeline.errors import InputError
from lesion.prediction.segmenter import Segmenter
from lesion.synthetic import lesion_image
from lesion.tracking import courier, delivery, logged_model, runs
from lesion.tracking.logged_model import local_model
from lesion.tracking.spool import Entry, entries, spool
from lesion.tracking.store import EXPERIMENT, open_store, search
from modules import LESION, all_imported, room
from picture_files import jpeg, png
from project import wait_for
from small_model import write_model

pytestmark = pytest.mark.long

SLOW = pytest.mark.slow

# By the name that they are imported by.
DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python-headless"}


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


class CourierInThread:
    """One that needs no process, in which MLflow would be imported for each test again."""

    def __init__(self, entry: Entry, measure_machine: bool) -> None:
        self.sender = courier.Sender(entry, measure_machine)
        self.thread = Thread(target=self.sender.work)
        self.thread.start()

    def finish(self, patience: float, most: float) -> None:
        self.sender.written.set()
        self.thread.join()


def start_process(patch: pytest.MonkeyPatch, root: Path) -> None:
    mlflow.set_tracking_uri(None)
    for name in (
        *("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"),
        *("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"),
    ):
        patch.delenv(name, raising=False)
    patch.setenv("DVC_ROOT", str(root))
    patch.setattr(courier, "INTERVAL", 0.01)
    patch.setattr(courier, "PAUSE", 0.01)
    patch.setattr(runs, "Courier", CourierInThread)


def client() -> mlflow.MlflowClient:
    return open_store()[0]


def found(**tags: str) -> list[mlflow.entities.Run]:
    return search(*open_store(), **tags)


def train(fingerprint: str, model_hash: str = "", **metrics: float) -> str:
    """The id of the run of a training."""
    with runs.training(fingerprint) as log:
        log.params({"lr": 1e-5})
        log.metrics(metrics, step=1)
        log.tags({"model_hash": model_hash})
    return found(fingerprint=fingerprint)[0].info.run_id


def give_result(model_hash: str, result_hash: str, **metrics: float) -> None:
    with runs.result(model_hash, result_hash) as log:
        log.params({"lr": 1e-5, "threshold": 0.5})
        log.history([{"epoch": 1, "val_dice": 0.1}, {"epoch": 2, "val_dice": 0.2}])
        log.metrics(metrics)


def break_off(fingerprint: str, error: type[BaseException] = KeyboardInterrupt) -> str:
    with pytest.raises(error), runs.training(fingerprint) as log:
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
    """A run with one of everything, and the folder of what was logged."""
    files = tmp_path_factory.mktemp("files")
    (files / "plots").mkdir()
    (files / "plots" / "a.png").write_bytes(b"png")
    (files / "table.csv").write_text("a,b\n")
    write_model(files)
    weights, settings = files / WEIGHTS_FILE, files / SETTINGS_FILE
    with pytest.MonkeyPatch.context() as patch:
        start_process(patch, store)
        patch.setenv("DVC_EXP_NAME", "brave-name")
        patch.setenv("DVC_EXP_BASELINE_REV", "abc")
        with runs.training("everything") as log:
            log.params({"lr": 1e-5, "precision": "auto"})
            log.metrics({"dice": 0.25}, step=1)
            log.metrics({"dice": 0.5}, step=2)
            log.tags({"data": "synthetic", "model_hash": "everything"})
        with runs.result("everything", "result of everything") as log:
            log.params({"lr": 1e-5, "threshold": "auto"})
            log.dataset("data", digest="ab" * 32, source="raw", images={"train": 3, "test": 2})
            log.metrics({"test.dice": 0.75})
            log.file(files / "table.csv")
            log.file(files / "plots")
            log.model(weights, settings)
        assert entries() == []
        (run,) = found(model_hash="everything")
    return SimpleNamespace(run_id=run.info.run_id, files=files)


@pytest.fixture
def own_store(store: Path, logged: SimpleNamespace, tmp_path: Path, environment) -> Path:
    """The root of a project with a copy of the store."""
    root = Path(shutil.copytree(store, tmp_path / "own"))
    environment.delenv("MLFLOW_TRACKING_URI", raising=False)
    environment.setenv("DVC_ROOT", str(root))
    return root


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


def photographs() -> list[bytes]:
    sizes = [(40, 60), (33, 97), (16, 16)]
    return [jpeg(lesion_image(seed, *size)[0]) for seed, size in enumerate(sizes)]


def model_of(run_id: str) -> mlflow.pyfunc.PyFuncModel:
    (model,) = client().get_run(run_id).outputs.model_outputs
    return mlflow.pyfunc.load_model(f"models:/{model.model_id}")


@pytest.mark.parametrize("form", ["bytes", "base64", "pixels"])
def test_the_logged_model_gives_what_the_segmenter_gives_for_photographs_of_any_size(logged, form):
    files = photographs()
    given = [*files] * 3  # more than go through the network together
    index = [f"ISIC_{row}" for row in range(len(given))]
    if form == "base64":
        images = [b64encode(content).decode() for content in given]
    elif form == "pixels":
        images = [decode_image(content).pixels for content in given]
        given = [png(pixels) for pixels in images]
    else:
        images = given
    answer = model_of(logged.run_id).predict(pd.DataFrame({"image": images}, index))
    assert [*answer.index] == index
    segmenter = Segmenter.of_folder(logged.files)
    for row, content in zip(answer.itertuples(), given, strict=True):
        found = segmenter(content)
        assert row.mask == encode_mask(found.decided.mask)
        assert row.expected_dice == found.decided.expected_dice and row.review == found.review
        assert row.lesion_share == found.decided.mask.mean()
    assert answer["lesion_share"].nunique() > 1


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"no image", "not an image"),
        (b"", "not an image"),
        ("é", "no base64"),
        (np.zeros((4, 4), np.uint8), "expected uint8 H×W×3"),
        (np.zeros((4, 4, 3)), "expected uint8 H×W×3"),
        (None, "expected bytes"),
    ],
)
def test_what_is_no_photograph_is_refused_in_a_line_that_names_its_row(logged, image, words):
    images = pd.DataFrame({"image": [photographs()[0], image]})
    with pytest.raises(MlflowException, match=f"^image of row 1: .*{words}") as refused:
        model_of(logged.run_id).predict(images)
    assert refused.value.get_http_status_code() == 400 and "\n" not in str(refused.value)


def test_the_logged_model_says_what_it_takes_and_gives_with_an_example(logged):
    model = model_of(logged.run_id)
    takes, gives = model.metadata.signature.inputs, model.metadata.signature.outputs
    assert takes.input_dict().keys() == {"image"}
    answer = model.predict(model.input_example)
    assert [*answer] == gives.input_names() and len(answer) == 1


def test_the_logged_model_has_the_rooms_and_the_packages_that_it_needs_and_no_others(logged):
    segmenter = LESION / "prediction/segmenter.py"
    modules = {segmenter, *all_imported(segmenter)}
    files = [segmenter.parents[1] / "tracking/served_model.py", *modules]
    assert sorted({*map(room, modules)} - {""}) == sorted(logged_model.ROOMS)
    packages = {name.partition(".")[0] for file in files for name in foreign(file)}
    wanted = {DISTRIBUTIONS.get(name, name) for name in packages}
    assert wanted == {*logged_model.PACKAGES, "torchvision"}
    location = Path(local_model_folder(logged.run_id))
    pinned = (project.ROOT / "requirements.txt").read_text().split()
    required = (location / "requirements.txt").read_text().split()
    assert required == [line for line in pinned if line.split("==")[0] in logged_model.PACKAGES]
    for file in modules:
        copied = location / "code/lesion" / file.relative_to(LESION)
        assert copied.read_bytes() == file.read_bytes()


def local_model_folder(run_id: str) -> str:
    (model,) = client().get_run(run_id).outputs.model_outputs
    return client().get_logged_model(model.model_id).artifact_location.removeprefix("file://")


def foreign(file: Path) -> Iterator[str]:
    """What else than Python's own modules and the project's a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module]
        own = {"lesion", *sys.stdlib_module_names}
        yield from (name for name in names if name.partition(".")[0] not in own)


def test_weights_and_settings_of_the_champion_are_had_as_files(own_store, logged):
    registry = Registry()
    registry.register(registry.run_with("result of everything", "it"), champion=True)
    files = local_model("models:/skin-lesion-unet@champion")
    for file, name in zip(files, (WEIGHTS_FILE, SETTINGS_FILE), strict=True):
        assert file.read_bytes() == (logged.files / name).read_bytes()
        assert not file.is_relative_to(own_store)  # whoever changes it changes nothing there


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("model", "expected models:/NAME@ALIAS"),
        ("models:/skin-lesion-unet@nobody", "not found"),
        ("models:/nothing/1", "not found"),
    ],
)
def test_an_address_of_no_model_is_refused_in_one_line(logged, address, words):
    with pytest.raises(InputError, match=words) as refused:
        local_model(address)
    assert "\n" not in str(refused.value)


def test_a_model_of_before_there_were_settings_is_named_as_one(logged):
    (model,) = client().get_run(logged.run_id).outputs.model_outputs
    folder = Path(local_model_folder(logged.run_id))
    (folder / "artifacts").rename(folder / "hidden")
    try:
        with pytest.raises(InputError, match=r"no predictor\.json beside its weights"):
            local_model(f"models:/{model.model_id}")
    finally:
        (folder / "hidden").rename(folder / "artifacts")


def test_an_entry_of_before_there_were_settings_is_sent_without_its_model(logged, capsys):
    entry = Entry.open("older")
    entry.keep(logged.files / WEIGHTS_FILE)
    entry.close()
    waiting("older", {"kind": "model", "path": WEIGHTS_FILE})
    delivery.deliver_all()
    (run,) = found(fingerprint="older")
    assert run.info.status == "FINISHED" and run.outputs.model_outputs == []
    said = capsys.readouterr().out
    assert said.count("warning") == 1 and "recorded without the settings" in said
    assert entries() == []


def test_the_champion_of_a_moved_project_is_loaded_from_where_it_is_now(
    own_store, logged, tmp_path, environment
):
    registry = Registry()
    registry.register(registry.run_with("result of everything", "it"), champion=True)
    environment.setenv("DVC_ROOT", str(own_store.rename(tmp_path / "new")))
    environment.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert Registry().champion().run_id == logged.run_id
    assert Registry().artifact(logged.run_id, "table.csv") == "a,b\n"
    model = mlflow.pyfunc.load_model("models:/skin-lesion-unet@champion")
    assert len(model.predict({"image": photographs()})) == 3
    assert not own_store.exists()


def test_a_registered_model_that_was_deleted_begins_anew(logged):
    registry = Registry()
    run = registry.run_with("result of everything", "it")
    for _ in range(2):
        assert registry.champion() is None
        assert int(registry.register(run, champion=True)) == 1
        assert registry.champion().run_id == logged.run_id
        client().delete_registered_model("skin-lesion-unet")


def test_numbers_are_in_the_store_while_the_training_runs():
    with runs.training("live") as log:
        log.metrics({"val_dice": 0.1}, step=1)
        for _ in range(1000):
            there = found(fingerprint="live")
            if there and "val_dice" in there[0].data.metrics:
                break
        assert there[0].data.metrics["val_dice"] == 0.1
        assert there[0].info.status == "RUNNING"


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
    with runs.training(name) as log:
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


def test_a_result_that_is_recorded_again_after_a_kill_is_no_other_experiment(environment):
    train("again and again", "recorded twice")
    with environment.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(delivery.Delivery, "_metrics", killed)
        patch.setattr(runs, "Courier", Mock())
        give_result("recorded twice", "result recorded twice", dice=0.5)
        delivery.deliver_all()
    give_result("recorded twice", "result recorded twice", dice=0.5)
    (run,) = found(result_hash="result recorded twice")
    assert run.data.metrics["dice"] == 0.5 and run.info.status == "FINISHED"
    assert [tag for tag in run.data.tags if tag.startswith("linked.")] == []
    assert entries() == []


def test_what_waits_from_earlier_runs_is_sent_by_the_next():
    entry = Entry.open("earlier")
    entry.append("training", name="earlier", tags={"fingerprint": "earlier"})
    entry.append("end", status="FINISHED")
    entry.close()
    train("later")
    (run,) = found(fingerprint="earlier")
    assert run.info.status == "FINISHED" and entries() == []


def waiting(name: str, *events: dict) -> Entry:
    """An entry of a training that was completed and not sent."""
    entry = Entry.open(name)
    entry.append("training", name=name, tags={"fingerprint": name})
    for event in events:
        entry.append(**event)
    entry.append("end", status="FINISHED")
    entry.close()
    return entry


@pytest.mark.parametrize("damage", ["garbage", "no weights", "settings of others", "a folder"])
def test_an_entry_that_is_damaged_is_set_aside_and_keeps_no_other_from_being_sent(
    damage, capsys, tmp_path, logged
):
    events = []
    entry = Entry.open(damage)
    if damage in ("no weights", "settings of others"):
        events = [{"kind": "model", **kept_model(entry, logged)}]
        if damage == "no weights":
            entry.kept(WEIGHTS_FILE).write_bytes(b"no weights")
        else:
            (tmp_path / "other").mkdir()
            entry.keep(write_model(tmp_path / "other", seed=1) / SETTINGS_FILE)
    entry.close()
    waiting(damage, *events)
    file = entry.folder / "events.jsonl"
    if damage == "garbage":
        file.write_bytes(b"garbage\n")
    elif damage == "a folder":
        file.unlink()
        file.mkdir()
    waiting(f"beside {damage}")
    delivery.deliver_all()
    (run,) = found(fingerprint=f"beside {damage}")
    assert run.info.status == "FINISHED" and entries() == []
    assert (spool() / "damaged" / damage / "events.jsonl").exists()
    said = capsys.readouterr().out
    assert said.startswith(f"warning: mlspool/{damage} cannot be sent (") and said.count("\n") == 1
    shutil.rmtree(spool() / "damaged")


def test_what_waits_for_several_reasons_says_each_of_them_once(own_store):
    opened, _ = open_store()
    for name in ("one", "other"):
        opened.delete_experiment(opened.create_experiment(name))
        for number in (1, 2):
            entry = Entry.open(f"{name} {number}")
            entry.append("training", name=name, tags={}, experiment={"name": name})
            entry.append("end", status="FINISHED")
            entry.close()
    waiting("beside others")
    with pytest.raises(delivery.Undelivered) as refused:
        delivery.deliver_all()
    for name in ("one", "other"):
        assert str(refused.value).count(f"experiment {name} is deleted") == 1
    assert str(refused.value).count("(2 runs)") == 2
    assert len(found(fingerprint="beside others")) == 1 and len(entries()) == 4


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


def test_a_model_that_was_sent_already_is_not_sent_again(logged):
    entry = Entry.open("model")
    entry.append("training", name="model", tags={"fingerprint": "model"})
    entry.append("model", **kept_model(entry, logged))
    for _ in range(2):
        entry.note_sent({"count": 0})
        delivery.deliver(entry)
    assert_has_one_model("model")


def kept_model(entry: Entry, logged: SimpleNamespace) -> dict[str, str]:
    """The files of a model, in an entry, as its event names them."""
    names = {"path": WEIGHTS_FILE, "settings": SETTINGS_FILE}
    return {key: entry.keep(logged.files / name) for key, name in names.items()}


def assert_has_one_model(fingerprint: str) -> None:
    """A run has one model, which is READY and finds lesions."""
    (run,) = found(fingerprint=fingerprint)
    (output,) = run.outputs.model_outputs
    (model,) = client().search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"
    )
    assert model.model_id == output.model_id and model.status == "READY"
    answer = mlflow.pyfunc.load_model(f"models:/{model.model_id}").predict({"image": photographs()})
    assert len(answer) == 3


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param("create_logged_model", marks=SLOW),
        "log_model_artifacts",
        pytest.param("finalize_logged_model", marks=SLOW),
    ],
)
def test_a_model_whose_sending_was_killed_is_whole_in_the_end(request_, logged, environment):
    name = f"killed in {request_}"
    send = getattr(mlflow.MlflowClient, request_)

    def send_and_die(*arguments: object, **named: object) -> None:
        send(*arguments, **named)
        raise KeyboardInterrupt

    entry = Entry.open(name)
    kept = kept_model(entry, logged)
    entry.close()
    waiting(name, {"kind": "model", **kept})
    with environment.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mlflow.MlflowClient, request_, send_and_die)
        delivery.deliver(entry)
    (run,) = found(fingerprint=name)
    assert run.outputs.model_outputs == [] and run.info.status == "RUNNING"
    delivery.deliver(entry)
    assert entries() == []
    assert_has_one_model(name)


@pytest.mark.parametrize("kind", ["file", "model"])
def test_a_store_that_refuses_files_alone_has_them_once_it_takes_them(own_store, logged, kind):
    entry = Entry.open("refused")
    entry.append("training", name="refused", tags={"fingerprint": "refused"})
    delivery.deliver(entry)
    (run,) = found(fingerprint="refused")
    files = own_store / "mlartifacts" / run.info.run_id / "artifacts" / "plots"
    place = own_store / "mlartifacts/models" if kind == "model" else files
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    plots = {"path": entry.keep(logged.files / "plots")}
    entry.append(kind, **(kept_model(entry, logged) if kind == "model" else plots))
    entry.append("end", status="FINISHED")
    entry.close()
    with pytest.raises(delivery.Undelivered):
        delivery.deliver_all()
    assert status(run.info.run_id) == "RUNNING" and len(entries()) == 1
    place.unlink()
    delivery.deliver_all()
    assert entries() == [] and status(run.info.run_id) == "FINISHED"
    if kind == "model":
        assert_has_one_model("refused")
    else:
        assert (files / "a.png").read_bytes() == b"png"


def killed(*arguments: object, **named: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("lost", ["plots/a.png", "models", "a point of a curve", "params", "tags"])
def test_what_a_store_has_taken_and_lost_is_sent_again(own_store, logged, lost, environment):
    entry = Entry.open("lost")
    entry.keep(logged.files / "plots")
    model = {"kind": "model", **kept_model(entry, logged)}
    entry.close()
    waiting(
        "lost",
        {"kind": "params", "values": {"lr": "0.1"}},
        {"kind": "tags", "values": {"data": "synthetic"}},
        *({"kind": "metrics", "values": {"dice": 0.1 * i}, "step": i} for i in range(5)),
        {"kind": "dataset", "name": "d", "digest": "0", "source": "raw", "images": {"train": 1}},
        {"kind": "file", "path": "plots"},
        *[model] * (lost == "models"),
    )
    with environment.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(delivery.Delivery, "verify", killed)
        delivery.deliver(entry)
    assert entry.sent()["count"] == len(entry.events())
    (run,) = found(fingerprint="lost")
    places = own_store / "mlartifacts" / run.info.run_id / "artifacts"
    with closing(sqlite3.connect(own_store / "mlflow.db")) as store:
        if lost == "plots/a.png":
            (places / lost).write_bytes(b"p")
        elif lost == "models":
            shutil.rmtree(own_store / "mlartifacts" / lost)
        elif lost == "a point of a curve":
            store.execute("delete from metrics where key = 'dice' and step = 2")
        else:
            store.execute(f"delete from {lost} where run_uuid = ?", (run.info.run_id,))
        store.commit()
    delivery.deliver(entry)
    assert entries() == []
    (run,) = found(fingerprint="lost")
    assert run.data.params == {"lr": "0.1"} and run.data.tags["data"] == "synthetic"
    assert len(curve(run.info.run_id, "dice")) == 5 and run.info.status == "FINISHED"
    assert (places / "plots/a.png").read_bytes() == b"png"
    if lost == "models":
        assert_has_one_model("lost")


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
    with pytest.raises(ZeroDivisionError), runs.training("changed") as log:
        log.params({"lr": 0.1, "threshold": 0.5})
        raise ZeroDivisionError
    with runs.training("changed") as log:
        log.params({"lr": 0.1, "threshold": 0.6})
        log.metrics({"dice": 0.5})
    assert "warning" not in capsys.readouterr().out
    (run,) = found(fingerprint="changed")
    assert run.data.params["threshold"] == "0.5" and run.data.metrics["dice"] == 0.5


def test_single_values_that_mlflow_never_takes_are_left_out_by_name_and_nothing_else(capsys):
    with runs.training("odd") as log:
        log.metrics({"before": 0.1, "what?!": 0.5, "after": 0.2}, step=1)
        log.metrics({"later": 0.3}, step=2)
        log.params({"lr": 0.1, "how?!": "c", "seed": 0})
        log.tags({"why?!": "a", "why": "b"})
    (run,) = found(fingerprint="odd")
    numbers = {k: v for k, v in run.data.metrics.items() if not k.startswith("system/")}
    assert numbers == {"before": 0.1, "after": 0.2, "later": 0.3}
    assert run.data.params == {"lr": "0.1", "seed": "0"}
    assert run.data.tags["why"] == "b" and run.info.status == "FINISHED"
    warnings = capsys.readouterr().out.splitlines()
    refused = [line.split(" of run ")[0] for line in warnings]
    expected = ("metric 'what?!'", "param 'how?!'", "tag 'why?!'")
    assert refused == [f"warning: MLflow refuses {name}" for name in expected]
    assert entries() == []


def test_a_name_of_an_experiment_that_mlflow_never_takes_keeps_no_result_from_it(environment):
    train("plus", "plus model")
    give_result("plus model", "plus result", dice=0.5)
    environment.setenv("DVC_EXP_NAME", "a+b")
    give_result("plus model", "plus result", dice=0.5)
    assert entries() == [] and len(found(result_hash="plus result")) == 1


def run_command_of(error: Exception, root: Path) -> None:
    """Runs the command that an error names, as somebody does who reads it."""
    (command,) = re.findall("`(.*?)`", str(error))
    subprocess.run(command, cwd=root, env=project.environment(), shell=True, check=True)


def test_an_experiment_that_was_deleted_gets_everything_once_it_is_restored(own_store, capsys):
    opened, experiment = open_store()
    opened.delete_experiment(experiment)
    assert_warns_once_and_keeps_everything(capsys)
    (entry,) = entries()
    assert entry.sent() == {"count": 0}
    opened.restore_experiment(experiment)
    assert_the_rest_is_sent()


@pytest.mark.parametrize("deleted", ["run", pytest.param("experiment", marks=SLOW)])
def test_what_is_deleted_while_it_is_written_gets_everything_once_it_is_restored(
    own_store, deleted
):
    with runs.training("deleted") as log:
        log.metrics({"dice": 0.1}, step=1)
        wait_for(lambda: any("dice" in run.data.metrics for run in found(fingerprint="deleted")))
        (run,) = found(fingerprint="deleted")
        if deleted == "run":
            client().delete_run(run.info.run_id)
        else:
            client().delete_experiment(run.info.experiment_id)
        log.metrics({"dice": 0.2}, step=2)
        log.tags({"model_hash": "deleted"})
    give_result("deleted", "result of deleted", **{"test.dice": 0.5})
    assert len(entries()) == 2
    with pytest.raises(InputError, match=f"{deleted} .* is deleted; ") as refused:
        delivery.deliver_all()
    run_command_of(refused.value, own_store)
    delivery.deliver_all()
    (again,) = found(fingerprint="deleted")
    assert again.info.run_id == run.info.run_id and again.info.status == "FINISHED"
    assert curve(run.info.run_id, "dice") == [(1, 0.1), (2, 0.2)]
    assert again.data.metrics["test.dice"] == 0.5
    assert entries() == []


def test_an_entry_of_which_all_was_counted_as_sent_but_has_no_run_is_sent():
    entry = Entry.open("counted")
    entry.append("training", name="counted", tags={"fingerprint": "counted"})
    entry.append("metrics", values={"dice": 0.5}, step=1)
    entry.append("end", status="FINISHED")
    entry.note_sent({"count": 3})
    entry.close()
    delivery.deliver_all()
    (run,) = found(fingerprint="counted")
    assert run.data.metrics["dice"] == 0.5 and run.info.status == "FINISHED"
    assert entries() == []


@pytest.mark.parametrize("change", ["removed", "put back", "another address"])
def test_a_run_whose_store_is_another_now_is_opened_there_anew(own_store, environment, change):
    open_store()
    before = (own_store / "mlflow.db").read_bytes()
    with runs.training("moved") as log:
        log.metrics({"dice": 0.1}, step=1)
        wait_for(lambda: any("dice" in run.data.metrics for run in found(fingerprint="moved")))
        (first,) = found(fingerprint="moved")
        if change == "removed":
            (own_store / "mlflow.db").unlink()
        elif change == "put back":
            (own_store / "mlflow.db").write_bytes(before)
        else:
            (own_store / "other.db").write_bytes(before)
            environment.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
        log.metrics({"dice": 0.2}, step=2)
        log.tags({"model_hash": "moved"})
    give_result("moved", "result of moved", **{"test.dice": 0.5})
    (run,) = found(fingerprint="moved")
    assert run.info.run_id != first.info.run_id and run.info.status == "FINISHED"
    assert curve(run.info.run_id, "dice") == [(1, 0.1), (2, 0.2)]
    assert run.data.metrics["test.dice"] == 0.5 and entries() == []


def test_a_run_for_an_experiment_that_only_another_store_has_goes_to_the_one_named_now(
    own_store, environment, capsys
):
    environment.setenv("MLFLOW_EXPERIMENT_ID", "77")
    assert_warns_once_and_keeps_everything(capsys)
    environment.delenv("MLFLOW_EXPERIMENT_ID")
    assert_the_rest_is_sent()


def test_an_experiment_that_was_renamed_costs_no_run(own_store, environment):
    first = train("renamed", "renamed model", dice=0.1)
    opened, experiment = open_store()
    opened.rename_experiment(experiment, "another name")
    give_result("renamed model", "its result", dice=0.5)
    (run,) = found(result_hash="its result")
    assert curve(run.info.run_id) == [(1, 0.1), (2, 0.2)] and entries() == []
    environment.setenv("MLFLOW_EXPERIMENT_NAME", "another name")
    assert found(fingerprint="renamed")[0].info.run_id == first


class FakeServer(BaseHTTPRequestHandler):
    """MLflow's server with one run, as far as a training asks; batches are refused."""

    refusal = (400, "text/html", b"<html>400 Bad Request</html>")
    refused = ("runs/log-batch",)

    def do_GET(self) -> None:
        info = {"run_id": "r", "experiment_id": "1", "lifecycle_stage": "active"}
        experiment = {"experiment_id": "1", "name": EXPERIMENT, "lifecycle_stage": "active"}
        answers = {
            "experiments/get-by-name": {"experiment": experiment},
            "runs/create": {"run": {"info": info}},
            "runs/get": {"run": {"info": info}},
            "runs/update": {"run_info": info},
        }
        request = self.path.partition("/mlflow/")[2].partition("?")[0]
        if request in self.refused:
            self.answer(*self.refusal)
        else:
            self.answer(200, "application/json", json.dumps(answers.get(request, {})).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def invalid() -> tuple[int, str, bytes]:
    said = {"error_code": "INVALID_PARAMETER_VALUE", "message": "never"}
    return 400, "application/json", json.dumps(said).encode()


@contextmanager
def served(environment: pytest.MonkeyPatch, root: Path, **settings: object) -> Iterator[None]:
    """MLflow's server is one that answers as `settings` say."""
    handler = type("Server", (FakeServer,), settings)
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        environment.setenv("DVC_ROOT", str(root))
        environment.setenv("NO_PROXY", "127.0.0.1")
        environment.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()


@pytest.mark.parametrize(
    "answer",
    [
        (200, "application/json", b"{}"),
        (200, "application/json", b'{"run": {"info": {"run_id": "r"}}}'),
        (200, "application/json", b"[]"),
        (200, "text/html", b"<html>Please log in</html>"),
        (200, "application/json", b""),
        (204, "application/json", b""),
    ],
)
def test_an_answer_of_what_is_no_server_of_mlflow_counts_for_nothing(
    environment, tmp_path, capsys, answer
):
    with served(environment, tmp_path, refused=Everything(), refusal=answer):
        assert_warns_once_and_keeps_everything(capsys)
    (entry,) = entries()
    assert entry.sent() == {"count": 0}
    environment.delenv("MLFLOW_TRACKING_URI")


def test_what_says_yes_to_everything_and_keeps_nothing_costs_a_warning(
    environment, tmp_path, capsys
):
    with served(environment, tmp_path, refused=()):
        assert_warns_once_and_keeps_everything(capsys)
    (entry,) = entries()
    assert entry.sent()["count"] == 0


class Everything:
    def __contains__(self, thing: object) -> bool:
        return True


@pytest.mark.parametrize("refused", ["runs/create", "runs/update", "experiments/get-by-name"])
def test_a_run_whose_opening_is_refused_waits(environment, tmp_path, capsys, refused):
    with served(environment, tmp_path, refused=(refused,), refusal=invalid()):
        assert_warns_once_and_keeps_everything(capsys)
    (entry,) = entries()
    assert entry.sent() == {"count": 0}


@pytest.mark.parametrize(
    ("refusal", "sent"), [(FakeServer.refusal, 1), (invalid(), 2), ((403, "text/html", b""), 1)]
)
def test_only_mlflow_itself_may_say_that_it_never_takes_a_number(
    environment, tmp_path, refusal, sent
):
    with served(environment, tmp_path, refusal=refusal):
        entry = Entry.open("numbers")
        entry.append("training", name="numbers", tags={})
        entry.append("metrics", values={"dice": 0.5}, step=1)
        with suppress(MlflowException):
            delivery.deliver(entry)
        assert entry.sent()["count"] == sent


def test_runs_go_to_the_experiment_that_was_named_when_they_were_recorded(own_store, environment):
    environment.setenv("MLFLOW_EXPERIMENT_NAME", "ablation")
    environment.setenv("MLFLOW_TRACKING_URI", "no address")
    with runs.training("named") as log:
        log.metrics({"dice": 0.5}, step=1)
    environment.delenv("MLFLOW_TRACKING_URI")
    environment.delenv("MLFLOW_EXPERIMENT_NAME")
    train("unnamed")
    assert entries() == [] and found(fingerprint="named") == []
    opened, default = open_store()
    environment.setenv("MLFLOW_EXPERIMENT_NAME", "ablation")
    (run,) = found(fingerprint="named")
    assert run.info.status == "FINISHED" and run.info.experiment_id != default
    environment.delenv("MLFLOW_EXPERIMENT_NAME")
    environment.setenv("MLFLOW_EXPERIMENT_ID", run.info.experiment_id)
    train("by id")
    assert len(opened.search_runs([run.info.experiment_id])) == 2


def assert_warns_once_and_keeps_everything(capsys: pytest.CaptureFixture) -> None:
    done = False
    with runs.training("unrecorded") as log:
        log.params({"a": 1})
        log.metrics({"b": 1.0}, step=1)
        time.sleep(0.2)  # for some more attempts
        done = True
    assert done
    said = capsys.readouterr().out
    assert said.startswith("warning: MLflow did not take everything (") and said.count("\n") == 1
    assert said.endswith("next run, or `python tools/deliver.py`\n") and "SECRET" not in said
    (waiting,) = entries()
    kinds = [event["event"] for event in waiting.events() if event["event"] != "system"]
    assert kinds == ["training", "params", "metrics", "end"]


def test_the_store_lies_in_the_root_whatever_that_is_called(environment, tmp_path):
    root = tmp_path / "a b%20ü?x#y"
    root.mkdir()
    (root / "a file.csv").write_text("a,b\n")
    environment.setenv("DVC_ROOT", str(root))
    with runs.training("odd name") as log:
        log.file(root / "a file.csv")
    (run,) = found(fingerprint="odd name")
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/a file.csv") == "a,b\n"
    assert len(list((root / "mlartifacts").rglob("*.csv"))) == 1
    assert (root / "mlflow.db").stat().st_size > 0 and entries() == []
    # Nor is there anything beside it.
    assert list(tmp_path.iterdir()) == [root]
    assert [path.name for path in root.iterdir() if path.name[:2] != "ml"] == ["a file.csv"]


def test_a_store_that_is_no_database_costs_one_warning(environment, tmp_path, capsys):
    (tmp_path / "mlflow.db").write_text("text " * 1000)
    environment.setenv("DVC_ROOT", str(tmp_path))
    assert_warns_once_and_keeps_everything(capsys)


@pytest.mark.parametrize(
    "address", ["no address", "foo://bar", "postgresql://user:SECRET@host/db", "databricks-uc"]
)
def test_an_address_that_leads_nowhere_costs_one_warning(environment, tmp_path, capsys, address):
    environment.setitem(sys.modules, "psycopg", None)  # as if it were not installed
    environment.setenv("DVC_ROOT", str(tmp_path))
    environment.setenv("MLFLOW_TRACKING_URI", address)
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
    environment.setenv("MLFLOW_TRACKING_URI", f"http://user:SECRET@127.0.0.1:{port}")
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
    environment.setattr(runs, "PATIENCE", 1.0)
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
    with runs.training("unwritten") as log:
        log.params({"a": 1})
        log.file(Path("none"))
        done = True
    assert done
    said = capsys.readouterr().out
    assert said.startswith("warning: this run is not recorded") and said.count("\n") == 1


def test_an_exception_goes_through_where_nothing_can_be_recorded(environment, tmp_path, capsys):
    (tmp_path / "file").touch()
    environment.setenv("DVC_ROOT", str(tmp_path / "file"))
    with pytest.raises(ZeroDivisionError), runs.training("unrecorded"):
        raise ZeroDivisionError
    assert capsys.readouterr().out.count("warning") == 1


@pytest.mark.parametrize("address", ["foo://user:SECRET@bar", "http://127.0.0.1:1?key=SECRET"])
def test_the_tool_that_delivers_says_in_one_line_why_not_and_no_password(address):
    entry = Entry.open("waits")
    entry.append("training", name="waits", tags={})
    entry.close()
    environ = {"DVC_ROOT": spool().parent, "MLFLOW_TRACKING_URI": address}
    done = subprocess.run(
        ["python", project.ROOT / "tools/deliver.py"],
        env=project.environment() | environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    store = address.replace("user:SECRET", "***").replace("key=SECRET", "***")
    said = f"deliver: MLflow did not take everything (MLflow's store {store}: "
    assert done.stderr.startswith(said)
    assert "SECRET" not in done.stderr and "1 of 1 wait" in done.stderr
