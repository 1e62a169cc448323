"""The whole pipeline, by DVC, in a fresh clone of the repository."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from lesion.network.device import not_portable
from project import clone, copy, copy_of_stages, environment, run, set_params

pytestmark = pytest.mark.long

SLOW = ("-S", "epochs=4", "-S", "lr=1e-5")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which a plain `dvc repro` has run."""
    folder = clone(tmp_path_factory.mktemp("finished") / "project")
    run(folder, "dvc", "repro")
    return folder


@pytest.fixture(scope="module")
def slow(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project in which one experiment has run."""
    folder = copy(base, tmp_path_factory.mktemp("slow"))
    run(folder, "dvc", "exp", "run", *SLOW, "--name", "slow")
    return folder


@pytest.fixture(scope="module")
def strict(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project in which an experiment has run that trains nothing anew."""
    folder = copy(base, tmp_path_factory.mktemp("strict"))
    said = run(folder, "dvc", "exp", "run", "-S", "threshold=0.9", "--name", "strict").stdout
    assert "Stage 'train' didn't change, skipping" in said
    return folder


def evaluation(folder: Path) -> dict:
    return json.loads((folder / "metrics/evaluation.json").read_text())


def mlflow_runs(folder: Path) -> pd.DataFrame:
    """The runs of the store in the folder's root: status, and a column a parameter and metric."""
    with sqlite3.connect(folder / "mlflow.db") as store:
        runs = pd.read_sql("select run_uuid, name, status from runs", store, index_col="run_uuid")
        params = pd.read_sql("select run_uuid, key, value from params", store)
        latest = pd.read_sql("select run_uuid, key, value from latest_metrics", store)
        tags = pd.read_sql("select run_uuid, key, value from tags", store)
    tables = [table.pivot(index="run_uuid", columns="key") for table in (params, latest, tags)]
    return pd.concat([runs, *(table["value"] for table in tables)], axis="columns")


def test_a_fresh_clone_reaches_a_dice_of_090_on_the_sample(finished: Path) -> None:
    scores = evaluation(finished)
    assert scores["origin"] == "synthetic"
    assert scores["test"]["images"] == 40
    assert scores["test"]["dice"] >= 0.90


def test_every_result_is_there(finished: Path) -> None:
    pictures = "area calibration curves data failures groups panels risk_coverage scores thresholds"
    for name in pictures.split():
        assert (finished / f"plots/{name}.png").stat().st_size > 10_000
    assert "40 test images (synthetic sample)" in (finished / "plots/report.html").read_text()
    dice = json.loads((finished / "metrics/evaluation.json").read_text())["test"]["dice"]
    assert f"value: {dice}\n" in (finished / "model/README.md").read_text()
    history = pd.read_csv(finished / "metrics/history.csv")
    assert list(history["epoch"]) == list(range(1, len(history) + 1))
    per_image = pd.read_csv(finished / "metrics/per_image.csv")
    test = per_image[per_image["split"] == "test"]
    assert test["dice"].mean() == pytest.approx(evaluation(finished)["test"]["dice"], abs=1e-6)
    assert len(list((finished / "predictions/test").glob("ISIC_*_segmentation.png"))) == len(test)


def test_a_second_repro_has_nothing_to_do(finished: Path) -> None:
    assert "Running stage" not in run(finished, "dvc", "repro").stdout
    assert "up to date" in run(finished, "dvc", "status").stdout


@pytest.mark.skipif(
    bool(not_portable(torch.device("cpu"))),
    reason="bytes are promised for Linux on a processor with AVX2 only",
)
def test_results_have_the_bytes_that_are_committed_whatever_the_processor(finished: Path) -> None:
    changed = run(finished, "git", "status", "--porcelain").stdout
    assert not changed, "commit dvc.lock and metrics/ with the code that made them"


def test_one_mlflow_run_holds_what_the_files_hold(finished: Path) -> None:
    (logged,) = mlflow_runs(finished).to_dict("records")
    scores, trained = (
        evaluation(finished),
        json.loads((finished / "metrics/train.json").read_text()),
    )
    assert logged["status"] == "FINISHED"
    for split in ("validation", "test"):
        for name, value in scores[split].items():
            assert logged[f"{split}.{name}"] == value
    for name, value in trained.items():
        assert logged[name] == value
    assert logged["git_commit"] == run(finished, "git", "rev-parse", "HEAD").stdout.strip()
    assert logged["origin"] == "synthetic"
    assert len(logged["data_hash"]) == len(logged["fingerprint"]) == 64
    artifacts = {path.name for path in (finished / "mlartifacts").rglob("*")}
    assert {"curves.png", "panels.png", "scores.png", "per_image.csv", "MLmodel"} <= artifacts


@pytest.mark.slow
def test_a_training_that_was_killed_goes_on_and_ends_with_the_lock_file_of_one_that_was_not(
    base: Path, slow: Path, tmp_path: Path
) -> None:
    folder = copy(base, tmp_path)
    set_params(folder, **dict(pair.split("=") for pair in SLOW if "=" in pair))
    training = subprocess.Popen(
        ["dvc", "repro"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (folder / "checkpoint/train.pt").exists() and training.poll() is None:
        time.sleep(0.01)
    os.killpg(training.pid, signal.SIGKILL)
    assert training.wait() == -signal.SIGKILL
    assert not (folder / "model").exists()

    assert "going on after step" in run(folder, "dvc", "repro").stdout
    ours, theirs = (YAML(typ="safe").load(path / "dvc.lock") for path in (folder, slow))
    assert ours == theirs
    assert not (folder / "checkpoint/train.pt").exists()
    (logged,) = mlflow_runs(folder).to_dict("records")
    assert logged["status"] == "FINISHED"


@pytest.mark.slow
def test_experiments_in_the_workspace_and_apart_change_the_result_and_are_listed(
    slow: Path,
) -> None:
    # A temporary copy, which DVC removes; the MLflow run has to outlive it.
    address = ("env", "MLFLOW_TRACKING_URI=sqlite:///mlflow.db")
    run(slow, *address, "dvc", "exp", "run", "-S", "lr=1e-2", "--name", "fast", "--temp")
    table = json.loads(run(slow, "dvc", "exp", "show", "--json").stdout)
    (baseline,) = [row for row in table if row["name"] == "main"]
    listed = {exp["name"]: exp["revs"][0]["data"] for exp in baseline["experiments"] or []}
    assert {"slow", "fast"} <= listed.keys()
    fast_dice = listed["fast"]["metrics"]["metrics/evaluation.json"]["data"]["test"]["dice"]
    slow_dice = evaluation(slow)["test"]["dice"]
    assert fast_dice != slow_dice
    assert listed["fast"]["params"]["params.yaml"]["data"]["lr"] == 1e-2

    runs = mlflow_runs(slow).set_index("name")
    assert runs.loc["slow", "test.dice"] == slow_dice
    assert runs.loc["fast", "test.dice"] == fast_dice
    assert float(runs.loc["slow", "lr"]) == 1e-5
    assert runs.loc["fast", "DVC_EXP_NAME"] == "fast"


def test_an_experiment_leads_to_its_run_and_becomes_the_champion(strict: Path) -> None:
    there = run(strict, "python", "tools/find_run.py", "strict").stdout
    assert "  strict  FINISHED\nexperiment  " in there
    run_id = there.split()[1]
    assert run(strict, "python", "tools/find_run.py", run_id).stdout == there
    said = run(strict, "python", "tools/champion.py", "strict").stdout
    assert said.startswith("version 1 is the first champion; tagged commit ")


def test_two_revisions_are_compared_image_by_image(strict: Path, tmp_path: Path) -> None:
    table = tmp_path / "images.csv"
    said = run(strict, "python", "tools/compare.py", "main", "strict", "--csv", str(table)).stdout
    theirs = json.loads(run(strict, "git", "show", "main:metrics/evaluation.json").stdout)["test"]
    change = evaluation(strict)["test"]["dice"] - theirs["dice"]
    assert said.startswith("16 test images\n") and f" | {change:+.4f} | " in said
    images = pd.read_csv(table)
    assert images["dice_difference"].is_monotonic_increasing
    assert images["dice_difference"].mean() == pytest.approx(change, abs=1e-5)
    refused = run(strict, "python", "tools/compare.py", "nowhere", status=1).stderr
    assert refused.startswith("compare: nowhere: no experiment, branch, tag or commit")


def test_metrics_diff_compares_branches(strict: Path) -> None:
    run(strict, "dvc", "exp", "apply", "strict")
    run(strict, "git", "checkout", "--quiet", "-b", "strict-branch")
    run(strict, "git", "commit", "--quiet", "--all", "--message", "Mark what is certain alone")
    ours = evaluation(strict)["test"]
    theirs = json.loads(run(strict, "git", "show", "main:metrics/evaluation.json").stdout)["test"]
    diff = json.loads(run(strict, "dvc", "metrics", "diff", "main", "--json").stdout)
    changes = diff["metrics/evaluation.json"]
    for name in ("dice", "iou"):
        assert changes[f"test.{name}"]["new"] == ours[name]
        assert changes[f"test.{name}"]["old"] == theirs[name]


@pytest.mark.parametrize("changed", [False, True])
def test_the_committed_lock_file_belongs_to_the_committed_code(
    tmp_path: Path, changed: bool
) -> None:
    folder = clone(tmp_path / "project")
    if changed:
        with (folder / "stages/lesion/report/figures.py").open("a") as module:
            module.write("# changed\n")
    status = json.loads(run(folder, "dvc", "status", "--json").stdout)
    reasons = json.dumps([reason for stage in status.values() for reason in stage])
    # In a clone without `dvc pull` everything is "deleted"; nothing may be "modified" or "new".
    assert ("modified" in reasons) == changed
    assert '"new"' not in reasons


def test_stages_run_from_any_folder(tmp_path: Path) -> None:
    folder = copy_of_stages(tmp_path / "project")
    shutil.copytree(Path(__file__).parents[1] / "sample", folder / "data")
    run(folder / "stages", "python", "download.py")
    assert (folder / "raw/index.csv").exists()
