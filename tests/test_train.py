"""The stage train: interruptions, going on, and what stops it.

Most of it runs in this process, as `console/cli.py` starts it, and without MLflow, whose import and
store take seconds; what only a process of its own can show, at the end, runs as a user runs it.
"""

import json
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from torchvision.models import get_model

import download
import encoder
import preprocess
import train
from lesion.console import cli
from lesion.formats.fingerprint import md5
from lesion.formats.header import read_header
from lesion.synthetic import write_archives
from lesion.tracking import courier, runs
from lesion.training import checkpoint
from lesion.training.batches import Split
from lesion.training.trainer import Trainer
from lesion.upkeep import finished
from project import copy_of_stages, environment, run, set_params, wait_for

pytestmark = pytest.mark.long

RESULTS = ("model/unet.safetensors", "metrics/train.json", "metrics/history.csv")
STEPS = 12  # in 3 epochs of 4
Stage = Callable[..., SimpleNamespace]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The stage makes torch deterministic."""
    mode = torch.get_deterministic_debug_mode()
    yield
    torch.set_deterministic_debug_mode(mode)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stages, and arrays of eight training, three validation images of 32 pixels."""
    folder = copy_of_stages(tmp_path_factory.mktemp("prepared") / "project")
    write_archives(folder / "data", {"train": 8, "validation": 3, "test": 1}, size=32, seed=1)
    set_params(folder, image_size=32, width=4, depth=2, epochs=3, batch_size=2, threads=1)
    set_params(folder, precision="float32", hairs=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (download, preprocess, encoder):
            stage.main()
    return folder


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepared, tmp_path / "project")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stage:
    """Runs the stage in a folder; `signals` come right after the steps that they are given for.

    Without a project's `root` there is no place for what it logs.
    """

    def stage(
        folder: Path, signals: dict[int, int] | None = None, root: Path | None = None
    ) -> SimpleNamespace:
        advance = Trainer.advance

        def and_signal(self: Trainer) -> object:
            record = advance(self)
            if number := (signals or {}).get(self.step):
                os.kill(os.getpid(), number)
            return record

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "advance", and_signal)
            patch.setattr(cli, "PROJECT", folder)
            patch.setattr(sys, "argv", ["stages/train.py"])
            patch.setenv("DVC_ROOT", str(root or folder / "params.yaml"))
            patch.chdir(folder)
            status: object = 0
            try:
                cli.run(train.main)
            except SystemExit as end:
                status = end.code
        said = capsys.readouterr()
        unrecorded = "warning: this run is not recorded"
        lines = [line for line in said.out.splitlines() if not line.startswith(unrecorded)]
        return SimpleNamespace(status=status, lines=lines, errors=said.err)

    return stage


@pytest.fixture(scope="module")
def whole(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an uninterrupted training has run, in this process."""
    folder = shutil.copytree(prepared, tmp_path_factory.mktemp("whole") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder / "params.yaml"))
        train.main()
    return folder


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULTS}


def test_results_are_those_of_the_best_epoch(whole: Path) -> None:
    history = pd.read_csv(whole / "metrics/history.csv")
    assert list(history["epoch"]) == [1, 2, 3]
    best = history.loc[history["val_dice"].idxmax()]
    metrics = json.loads((whole / "metrics/train.json").read_text())
    names = ["epoch", "train_loss", "train_dice", "val_loss", "val_dice", "val_iou"]
    assert metrics == {f"best_{name}": best[name] for name in names}
    header = read_header(whole / "model/unet.safetensors")
    assert header.epoch == best["epoch"] and len(header.fingerprint) == 64
    assert (header.encoder, header.width, header.depth) == ("none", 4, 2)
    assert (header.image_size, header.resize) == (32, "stretch")
    assert not list((whole / "checkpoint").iterdir())


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"]
)
@pytest.mark.parametrize("step", [1, 4, 6, STEPS])
def test_an_interrupted_training_goes_on_and_ends_as_the_uninterrupted_one(
    project: Path, whole: Path, stage: Stage, number: int, status: int, step: int
) -> None:
    stopped = stage(project, {step: number})
    assert stopped.status == status and stopped.errors == ""
    assert stopped.lines[-1] == f"stopped after step {step}; the next run goes on there"
    assert not (project / "model").exists()

    (project / "metrics/history.csv").unlink(missing_ok=True)  # as DVC does before a run
    went_on = stage(project)
    assert went_on.status == 0
    assert went_on.lines[0] == f"going on after step {step} of {STEPS}"
    assert results(project) == results(whole)
    assert not (project / "checkpoint/train.pt").exists()


def test_a_training_may_be_interrupted_again_and_again(
    project: Path, whole: Path, stage: Stage
) -> None:
    for step in range(1, STEPS, 3):
        assert stage(project, {step: signal.SIGTERM}).status == 143
    stage(project)
    assert results(project) == results(whole)


# A crash leaves what was saved last: at an epoch's end, or in its middle where steps are slow.
@pytest.mark.parametrize(("longest", "kept"), [(checkpoint.INTERVAL, 4), (0.0, 6)])
def test_a_training_that_crashed_goes_on_from_what_was_saved_last(
    project: Path,
    whole: Path,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    longest: float,
    kept: int,
) -> None:
    monkeypatch.setattr(checkpoint, "INTERVAL", longest)
    monkeypatch.setattr(checkpoint, "SAVING_SHARE", 1e9)  # saving costs nothing

    class Crash(Exception):
        pass

    def crash(*args: object) -> None:
        raise Crash

    before = signal.signal(signal.SIGUSR1, crash)
    try:
        with pytest.raises(Crash):
            stage(project, {7: signal.SIGUSR1})
    finally:
        signal.signal(signal.SIGUSR1, before)
    went_on = stage(project)
    assert f"going on after step {kept} of {STEPS}" in went_on.lines
    assert results(project) == results(whole)


def test_results_that_could_not_be_written_need_no_step_again(
    project: Path, whole: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SAVING_SHARE", 1e-9)  # saving costs too much to be due
    with monkeypatch.context() as patch:
        patch.setattr(train, "save_weights", Mock(side_effect=OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            stage(project)
    assert f"going on after step {STEPS} of {STEPS}" in stage(project).lines
    assert results(project) == results(whole)


def nothing_more_is_trained(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Trainer, "advance", Mock(side_effect=AssertionError("a step is trained")))


# Where DVC runs the stage, it may be killed before it has noted the end.
def test_a_training_that_was_over_only_writes_its_outputs_again(
    project: Path, whole: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", "train")
    assert stage(project).status == 0
    for _ in range(2):
        remove_results(project)  # as DVC does before a run
        with monkeypatch.context() as patch:
            nothing_more_is_trained(patch)
            assert stage(project).lines == [f"going on after step {STEPS} of {STEPS}"]
        assert results(project) == results(whole)


# As after `dvc repro --force train`: the cache shows that DVC has the result.
def test_a_training_whose_result_dvc_has_is_trained_anew(
    project: Path, whole: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, "dvc", "init", "--no-scm", "--quiet")
    monkeypatch.setenv("DVC_STAGE", "train")
    stage(project)
    model = project / "model/unet.safetensors"
    object_path = project / ".dvc/cache/files/md5" / md5(model)[:2] / md5(model)[2:]
    object_path.parent.mkdir(parents=True)
    shutil.copy(model, object_path)
    remove_results(project)
    again = stage(project)
    assert not any("going on" in line for line in again.lines) and len(again.lines) == 3
    assert results(project) == results(whole)


class Broken(BaseException):
    """An end at this very place."""


def broken(*_: object) -> None:
    raise Broken


# Nobody sends what is logged, so that all of it can be seen.
@pytest.mark.parametrize(
    ("place", "name"),
    [
        (train, "save_weights"),
        (train, "md5"),
        (finished, "mark"),
        (runs.Run, "append"),
        (courier.Courier, "finish"),
    ],
    ids=["weights", "before all is logged", "before the mark", "before the end", "while sending"],
)
def test_a_training_that_is_broken_off_at_its_end_is_one_run_that_ends(
    project: Path,
    whole: Path,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    place: object,
    name: str,
) -> None:
    monkeypatch.setenv("DVC_STAGE", "train")
    monkeypatch.setattr(courier.Courier, "__init__", sends_nothing)
    append = runs.Run.append

    def broken_at_end(self: runs.Run, kind: str, **content: object) -> None:
        if kind == "end":
            raise Broken
        append(self, kind, **content)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, broken_at_end if name == "append" else broken)
        with pytest.raises(Broken):
            stage(project, root=project)
    remove_results(project)
    with monkeypatch.context() as patch:
        nothing_more_is_trained(patch)
        stage(project, root=project)
    assert results(project) == results(whole)
    (events,) = spool(project)
    assert sum('"FINISHED"' in line for line in events.read_text().splitlines()) == 1

    shutil.rmtree(project / "mlspool")  # all was sent
    remove_results(project)
    stage(project, root=project)
    assert results(project) == results(whole) and list(spool(project)) == []


def sends_nothing(self: courier.Courier, entry: object, measure_machine: bool) -> None:
    self._process = None


def remove_results(folder: Path) -> None:
    for name in RESULTS:
        (folder / name).unlink(missing_ok=True)


def test_a_checkpoint_of_other_validation_images_is_not_used(project: Path, stage: Stage) -> None:
    stage(project, {5: signal.SIGTERM})
    path = project / "arrays/validation_images.npy"
    images = np.load(path)
    path.unlink()
    np.save(path, images[:, ::-1])
    assert "training starts anew" in stage(project, {1: signal.SIGTERM}).lines[0]


def test_photographs_of_another_shape_are_turned_in_it_and_their_checkpoint_is_another(
    project: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(project, {5: signal.SIGTERM})
    monkeypatch.chdir(project)
    before = train.load("train").frames.aspects
    index = pd.read_csv(project / "arrays/index.csv")
    index["source_width"] *= 2
    index.to_csv(project / "arrays/index.csv", index=False)
    assert torch.equal(train.load("train").frames.aspects, 2 * before)
    assert "training starts anew" in stage(project, {1: signal.SIGTERM}).lines[0]


@pytest.mark.parametrize("change", [{"lr": 1e-3}, {"threads": 2}, {"epochs": 4}], ids=str)
def test_a_checkpoint_of_other_parameters_is_not_used_and_that_is_said(
    project: Path, stage: Stage, change: dict
) -> None:
    stage(project, {5: signal.SIGTERM})
    set_params(project, **change)
    said = stage(project, {1: signal.SIGTERM}).lines
    torch.set_num_threads(1)
    assert said == [
        "checkpoint/train.pt is of other parameters, data, code or processors: "
        "training starts anew",
        "stopped after step 1; the next run goes on there",
    ]


def with_encoder(folder: Path, seed: int, scale: float = 1) -> None:
    set_params(folder, encoder="mobilenet_v3_small", depth=3)
    torch.manual_seed(seed)
    weights = get_model("mobilenet_v3_small", weights=None).state_dict()
    weights["features.1.block.0.0.weight"] *= scale
    torch.save(weights, folder / "pretrained/imagenet.pth")


def test_a_pretrained_encoder_is_trained_further_and_its_weights_count(
    project: Path, stage: Stage
) -> None:
    with_encoder(project, seed=0)
    assert stage(project, {6: signal.SIGTERM}).status == 143
    assert stage(project).lines[0] == f"going on after step 6 of {STEPS}"
    first = read_header(project / "model/unet.safetensors")
    assert (first.encoder, first.depth) == ("mobilenet_v3_small", 3)

    stage(project, {6: signal.SIGTERM})
    with_encoder(project, seed=1)
    assert "of other parameters, data" in stage(project, {1: signal.SIGTERM}).lines[0]


def stopped(stage: Stage, folder: Path) -> str:
    """The one line that a stage ends with that bad input stops."""
    result = stage(folder)
    assert isinstance(result.status, str) and "\n" not in result.status
    assert not (folder / "model").exists() and not (folder / "metrics/train.json").exists()
    return result.status


def test_part_of_the_training_images_keeps_image_mask_and_id_together() -> None:
    numbers = np.arange(10)
    whole = Split(numbers, numbers + 100, [str(number) for number in numbers])
    half = train.part(whole, SimpleNamespace(train_fraction=0.5, split_seed=0))
    assert len(set(half.ids)) == 5
    assert half.images.tolist() == [int(name) for name in half.ids]
    assert half.masks.tolist() == [int(name) + 100 for name in half.ids]
    assert train.part(whole, SimpleNamespace(train_fraction=1.0)) is whole


def test_missing_imagenet_weights_say_how_to_get_them(project: Path, stage: Stage) -> None:
    set_params(project, encoder="mobilenet_v3_small", depth=3)
    assert stopped(stage, project) == (
        "train: pretrained/imagenet.pth: not found; run `dvc repro`, which fetches it"
    )


@pytest.mark.parametrize("content", [b"", b"<html>sign in</html>"], ids=["empty", "other file"])
def test_imagenet_weights_that_cannot_be_read_say_how_to_get_them(
    project: Path, stage: Stage, content: bytes
) -> None:
    set_params(project, encoder="mobilenet_v3_small", depth=3)
    (project / "pretrained/imagenet.pth").write_bytes(content)
    line = stopped(stage, project)
    assert line.startswith("train: pretrained/imagenet.pth: no weights (")
    assert line.endswith("; run `dvc repro encoder`")


def test_an_index_that_does_not_fit_the_arrays_is_refused(project: Path, stage: Stage) -> None:
    index = project / "arrays/index.csv"
    pd.read_csv(index).iloc[1:].to_csv(index, index=False)
    line = stopped(stage, project)
    assert "arrays/index.csv: 7 train rows; expected 8" in line and "dvc repro preprocess" in line


def test_a_loss_that_is_not_finite_names_the_images_of_its_step(
    project: Path, stage: Stage
) -> None:
    with_encoder(project, seed=0, scale=1e38)  # finite, but what it gives is not
    set_params(project, lr=0.01, schedule="constant")
    line = stopped(stage, project)
    found = re.fullmatch(
        r"train: epoch 1, step 1 of 4: the loss is (nan|inf) at a learning rate of 0\.01, "
        r"on (ISIC_\d+), (ISIC_\d+); expected a finite value: lower lr \(now 0\.01\)",
        line,
    )
    assert found, line
    index = pd.read_csv(project / "arrays/index.csv")
    assert {found[2], found[3]} <= set(index.loc[index["split"] == "train", "id"])


def test_running_out_of_memory_names_what_to_lower(project: Path, stage: Stage) -> None:
    set_params(project, width=512)  # layers of 75 and 151 MB
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + 200 * 2**20, limits[1]))
    try:
        line = stopped(stage, project)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert line == (
        "train: out of memory on the cpu: lower batch_size (now 2), then image_size or width "
        "(now 512)"
    )


@pytest.mark.parametrize("value", [0, 1], ids=["empty", "full"])
def test_masks_of_one_class_are_trained_on(project: Path, stage: Stage, value: int) -> None:
    for split in ("train", "validation"):
        path = project / f"arrays/{split}_masks.npy"
        np.save(path, np.full_like(np.load(path), value))
    assert stage(project).status == 0
    assert np.isfinite(pd.read_csv(project / "metrics/history.csv").to_numpy()).all()
    assert np.isfinite(
        list(json.loads((project / "metrics/train.json").read_text()).values())
    ).all()


def mlflow_runs(folder: Path) -> list[str]:
    """Their status."""
    with sqlite3.connect(folder / "mlflow.db") as store:
        return [status for (status,) in store.execute("select status from runs")]


def spool(folder: Path) -> Iterator[Path]:
    """What waits for MLflow."""
    return folder.glob("mlspool/*/events.jsonl")


def started(folder: Path, *command: str, until: str) -> subprocess.Popen[str]:
    """A process that has just printed a line which begins with `until`."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith(until):
            return process
    raise AssertionError(process.communicate()[1])


@pytest.mark.slow
def test_a_process_that_is_terminated_and_then_killed_goes_on_to_the_same_end(
    project: Path, tmp_path: Path
) -> None:
    set_params(project, epochs=20)  # long enough that signals come in time
    other = shutil.copytree(project, tmp_path / "other")
    script = ("python", "stages/train.py")

    process = started(project, *script, until="epoch   1/20")
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate()
    assert process.returncode == 143, errors
    step = re.search(r"^stopped after step (\d+); the next run goes on there$", out, re.M)[1]
    (waiting,) = spool(project)
    assert '"status": "KILLED"' in waiting.read_text()

    process = started(project, *script, until=f"going on after step {step} of 80")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert "going on after step" in run(project, *script).stdout
    assert mlflow_runs(project) == ["FINISHED"]
    assert list(spool(project)) == []

    (other / "mlflow.db").mkdir()  # without MLflow, which takes as long as the rest
    run(other, *script)
    assert results(project) == results(other)


@pytest.mark.slow
def test_ctrl_c_while_a_server_hangs_costs_no_step_and_no_run(project: Path) -> None:
    script = [sys.executable, "stages/train.py"]
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, never answers
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        under_dvc = environment() | {"DVC_STAGE": "train", "MLFLOW_TRACKING_URI": address}
        waits = subprocess.Popen(script, cwd=project, env=under_dvc)
        wait_for(lambda: (project / finished.MARK).exists() or waits.poll() is not None)
        waits.send_signal(signal.SIGINT)
        assert waits.wait() in (0, 130)  # 0: it had just ended
        before = results(project)
        remove_results(project)
        again = subprocess.run(script, cwd=project, env=under_dvc, capture_output=True, text=True)
    assert again.stdout == f"going on after step {STEPS} of {STEPS}\n", again.stderr
    assert results(project) == before
    (events,) = spool(project)
    assert '"FINISHED"' in events.read_text()


def test_a_process_that_bad_input_stops_says_one_line(project: Path) -> None:
    set_params(project, encoder="mobilenet_v3_small", depth=3)
    result = run(project, "python", "stages/train.py", status=1)
    assert result.stdout == "" and result.stderr.startswith("train: pretrained/imagenet.pth: not")
    assert result.stderr.count("\n") == 1
