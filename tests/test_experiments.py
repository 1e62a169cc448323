"""Experiments in a queue: what DVC and MLflow say of them afterwards, whatever happens."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import cv2
import mlflow
import pandas as pd
import psutil
import pytest

from lesion.formats.fingerprint import md5
from lesion.parameters.reading import read_params
from project import ROOT, copy, environment, run, set_params, wait_for
from servers import all_runs

pytestmark = pytest.mark.long

# None of them is what `base` has, for which nothing would have to run.
SWEEPS = [
    pytest.param(("1e-3,3e-3", "4,8"), marks=pytest.mark.slow),
    pytest.param(("1e-3,3e-3,5e-3,1e-2", "4,8"), marks=pytest.mark.slow),
]


def runs(folder: Path) -> dict[str, mlflow.entities.Run]:
    """The runs of the store in a folder, by name."""
    found = all_runs(f"sqlite:///{folder}/mlflow.db")
    named = {run.info.run_name: run for run in found}
    assert len(named) == len(found)
    return named


def experiments(folder: Path) -> dict[str, dict]:
    """What `dvc exp show` has of each experiment: parameters and metrics, flat."""
    table = json.loads(run(folder, "dvc", "exp", "show", "--json").stdout)
    (baseline,) = [row for row in table if row["name"] == "main"]
    return {
        experiment["name"]: experiment["revs"][0]["data"]
        for experiment in baseline["experiments"] or []
    }


def flat(values: dict, prefix: str = "") -> dict[str, object]:
    result = {}
    for name, value in values.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = value
    return result


def assert_equal(experiment: dict, logged: mlflow.entities.Run) -> None:
    """Both sides say the same, to the last digit."""
    params = experiment["params"]["params.yaml"]["data"]
    assert logged.data.params == {name: str(value) for name, value in params.items()}
    metrics = {}
    for path, content in experiment["metrics"].items():
        assert not metrics.keys() & flat(content["data"]).keys(), path
        metrics |= flat(content["data"])
    numbers = {name: value for name, value in metrics.items() if type(value) in (int, float)}
    assert len(numbers) > 50
    assert {name: logged.data.metrics[name] for name in numbers} == numbers
    curves = ("epoch", "learning_rate", "train_", "val_", "system/")
    others = {name for name in logged.data.metrics if not name.startswith(curves)}
    assert others == numbers.keys()


def start_queue(folder: Path, jobs: int) -> None:
    # Its workers keep its output open: reading that would wait for them.
    subprocess.run(
        ["dvc", "queue", "start", "-j", str(jobs)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )


def wait_for_queue(folder: Path) -> str:
    """The queue's state, once nothing in it is to be run or runs."""
    states = []

    def done() -> bool:
        states.append(run(folder, "dvc", "queue", "status").stdout)
        return not {"Queued", "Running"} & set(states[-1].split())

    wait_for(done, pause=3)  # to ask takes a core for a second
    return states[-1]


def copy_that_trains(folder: Path, epochs: int) -> Path | None:
    """Where DVC's queue is in the middle of a training of so many epochs."""
    for params in folder.glob(".dvc/tmp/exps/*/params.yaml"):
        history = params.parent / "metrics/history.csv"
        trains = f"epochs: {epochs}\n" in params.read_text() and history.exists()
        if trains and len(history.read_text().splitlines()) > 10:  # of `base` it has fewer
            return params.parent.resolve()
    return None


def process_group(folder: Path) -> int:
    """Of the worker whose stage runs in `folder`."""
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(folder):
            return os.getpgid(process.pid)
    raise AssertionError(f"no process in {folder}")


@pytest.fixture(scope="module", params=SWEEPS)
def swept(
    base: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    """A copy in which experiments have run, four at once, on a store that did not exist."""
    folder = copy(base, tmp_path_factory.mktemp("swept"))
    rates, sizes = request.param
    run(folder, "dvc", "exp", "run", "--queue", "-S", f"lr={rates}", "-S", f"batch_size={sizes}")
    start_queue(folder, jobs=4)
    state = wait_for_queue(folder)
    assert state.count("Success") == len(rates.split(",")) * len(sizes.split(",")), state
    return folder


def test_queued_experiments_at_once_are_as_many_runs_with_the_same_numbers(swept):
    listed, logged = experiments(swept), runs(swept)
    assert len(listed) in (4, 8) and listed.keys() == logged.keys()
    for name, experiment in listed.items():
        assert logged[name].info.status == "FINISHED"
        assert logged[name].data.tags["DVC_EXP_NAME"] == name
        assert_equal(experiment, logged[name])
    assert list((swept / "mlspool").glob("*/events.jsonl")) == []  # nothing waits


def test_an_experiment_leads_to_its_run_and_the_run_back(swept):
    for name, logged in list(runs(swept).items())[:2]:
        there = run(swept, "python", "tools/find_run.py", name).stdout
        back = run(swept, "python", "tools/find_run.py", logged.info.run_id).stdout
        assert there == back
        assert f"run         {logged.info.run_id}  {name}  FINISHED" in there
        commit = experiments(swept)[name]["rev"][:7]
        assert f"experiment  {commit}  {name}\n" in there
    refused = run(swept, "python", "tools/find_run.py", "nowhere", status=1).stderr
    assert refused.startswith("find_run: nowhere: no experiment, branch, tag or commit")


@pytest.mark.parametrize("tool", ["find_run", "champion"])
def test_a_tool_whose_store_does_not_answer_says_so_in_one_line_without_its_password(base, tool):
    uri = "http://user:SECRET@127.0.0.1:1"
    environ = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = subprocess.run(
        ["python", f"../tools/{tool}.py"],
        cwd=base / "docs",
        env=environment() | environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"{tool}: MLflow's store http://***@127.0.0.1:1: ")
    assert "SECRET" not in done.stderr


def test_the_champion_is_followed_only_by_a_model_that_is_better_on_validation(swept, tmp_path):
    first, other, *_ = experiments(swept)
    swept = copy(swept, tmp_path)
    longer = ("-S", "epochs=40", "-S", "lr=1e-2", "-S", "width=8")
    run(swept, "dvc", "exp", "run", "--name", "longer", *longer)

    def challenge(name: str) -> str:
        return run(swept, "python", "tools/champion.py", name).stdout

    def commit(name: str) -> str:
        return run(swept, "git", "rev-parse", experiments(swept)[name]["rev"]).stdout[:7]

    tagged = f"tagged commit {commit(first)} as unet\n"
    assert challenge(first) == f"version 1 is the first champion; {tagged}"
    said = challenge("longer")
    assert said.startswith("version 2: validation IoU")
    assert "1 and 1 seeds" in said and "challenge 1 on these images, level 0.0304: " in said
    assert said.endswith(f"the new champion; tagged commit {commit('longer')} as unet\n")
    said = challenge(other)
    assert said.startswith("version 3: ") and said.endswith("version 2 stays champion\n")
    assert "challenge 2 on these images, level 0.0076: " in said
    assert challenge(other) == said
    assert challenge("longer").startswith("version 2 is it already; ")
    client = mlflow.MlflowClient(f"sqlite:///{swept}/mlflow.db")
    champion = client.get_model_version_by_alias("skin-lesion-unet", "champion")
    best_run = runs(swept)["longer"]
    assert champion.run_id == best_run.info.run_id
    run(swept, "dvc", "artifacts", "get", ".", "unet", "--stage", "champion", "-o", "weights")
    assert md5(swept / "weights") == best_run.data.tags["model_hash"]
    (swept / "weights").unlink()
    assert len(run(swept, "git", "tag").stdout.split()) == 4


def test_experiments_are_drawn_over_what_differs_in_them(swept, tmp_path):
    run(swept / "docs", "python", "../tools/sweep.py", str(tmp_path / "sweep.png"))
    assert cv2.imread(str(tmp_path / "sweep.png")).std() > 1
    for arguments, said in (
        (["--scores", "nothing"], "no number nothing; expected one of best_epoch, "),
        (["main"], "1 experiments to draw; expected two or more"),
    ):
        refused = run(swept, "python", "tools/sweep.py", "none.png", *arguments, status=1).stderr
        assert said in refused and refused.count("\n") == 1
    assert not (swept / "none.png").exists()


@pytest.mark.slow
def test_a_run_can_be_made_again_from_what_it_recorded(swept):
    name, logged = next(iter(runs(swept).items()))
    said = run(swept, "python", "tools/reproduce.py", logged.info.run_id).stdout
    assert f"{name}, commit {experiments(swept)[name]['rev'][:7]}, holds this result" in said
    assert f"reproduced: model {logged.data.tags['model_hash']}" in said


def test_an_experiment_that_comes_from_the_cache_is_linked_or_recorded_anew(swept, tmp_path):
    folder = copy(swept, tmp_path)
    ((name, first), *_) = runs(folder).items()
    lr, batch_size = (first.data.params[key] for key in ("lr", "batch_size"))
    again = ("dvc", "exp", "run", "-S", f"lr={lr}", "-S", f"batch_size={batch_size}")
    said = run(folder, *again, "--name", "again").stdout
    assert "Stage 'train' is cached" in said
    assert runs(folder).keys() == runs(swept).keys()
    assert "linked.again" in runs(folder)[name].data.tags

    elsewhere = copy(swept, tmp_path / "elsewhere")
    for path in elsewhere.glob("mlflow.db*"):
        path.unlink()
    said = run(elsewhere, *again, "--name", "elsewhere").stdout
    assert "Stage 'train' is cached" in said
    ((name, recorded),) = runs(elsewhere).items()
    assert name == "elsewhere" and recorded.data.tags["recorded"] == "from outputs"
    assert_equal(experiments(elsewhere)["elsewhere"], recorded)


@pytest.mark.slow
def test_a_killed_worker_costs_the_others_nothing_and_its_experiment_runs_again(base, tmp_path):
    folder, undisturbed = copy(base, tmp_path / "queue"), copy(base, tmp_path / "undisturbed")
    changes = ("-S", "epochs=150", "-S", "lr=4e-3")
    run(folder, "dvc", "exp", "run", "--queue", "--name", "killed", *changes)
    run(folder, "dvc", "exp", "run", "--queue", "--name", "other", "-S", "lr=5e-3")
    start_queue(folder, jobs=2)
    wait_for(lambda: copy_that_trains(folder, epochs=150) is not None)
    os.killpg(process_group(copy_that_trains(folder, epochs=150)), signal.SIGKILL)

    wait_for(lambda: "Success" in run(folder, "dvc", "queue", "status").stdout)
    assert runs(folder)["other"].info.status == "FINISHED"
    # DVC believes that it runs.
    run(folder, "dvc", "queue", "kill", "killed")
    run(folder, "dvc", "queue", "remove", "killed")
    run(folder, "dvc", "exp", "run", "--queue", "--name", "killed", *changes)
    start_queue(folder, jobs=1)
    assert wait_for_queue(folder).count("Success") == 2

    run(undisturbed, "dvc", "exp", "run", "--name", "undisturbed", *changes)
    (ours, theirs) = experiments(folder)["killed"], experiments(undisturbed)["undisturbed"]
    assert ours["outs"] == theirs["outs"] and ours["metrics"] == theirs["metrics"]
    assert_equal(ours, runs(folder)["killed"])
    assert len(runs(folder)) == 2


@pytest.mark.slow
def test_folds_of_a_queue_one_of_which_was_killed_are_joined_and_none_counts_twice(base, tmp_path):
    folder = copy(base, tmp_path)
    changes = ("-S", "folds=3", "-S", "epochs=60")
    for fold in range(3):
        queue = ("dvc", "exp", "run", "--queue", "--name", f"fold-{fold}")
        run(folder, *queue, *changes, "-S", f"fold={fold}")
    start_queue(folder, jobs=2)
    wait_for(lambda: copy_that_trains(folder, epochs=60) is not None)
    os.killpg(process_group(killed := copy_that_trains(folder, epochs=60)), signal.SIGKILL)
    fold = read_params(killed / "params.yaml")["fold"]
    wait_for(lambda: run(folder, "dvc", "queue", "status").stdout.count("Success") == 2)
    missing = run(folder, "python", "tools/folds.py", status=1).stderr
    assert f"1 of 3 folds are missing, fold {fold} for one" in missing

    # DVC believes that it runs.
    run(folder, "dvc", "queue", "kill", f"fold-{fold}")
    run(folder, "dvc", "queue", "remove", f"fold-{fold}")
    queue = ("dvc", "exp", "run", "--queue", "--name", f"fold-{fold}")
    run(folder, *queue, *changes, "-S", f"fold={fold}")
    start_queue(folder, jobs=1)
    wait_for(lambda: run(folder, "dvc", "queue", "status").stdout.count("Success") == 3)
    said = run(folder, "python", "tools/folds.py", "--csv", str(tmp_path / "all.csv")).stdout
    images = pd.read_csv(tmp_path / "all.csv")
    trained = pd.read_csv(folder / "metrics/data.csv")
    trained = trained[trained["split"] == "train"]
    assert sorted(images["id"]) == sorted(trained["id"]) and "in 3 folds" in said
    assert sorted(images["fold"].unique()) == [0, 1, 2]
    parent = re.search(r"run (\w+), with the folds", said)[1]
    children = [one for one in runs(folder).values() if "mlflow.parentRunId" in one.data.tags]
    assert {one.data.tags["mlflow.parentRunId"] for one in children} == {parent}
    assert len(children) == 3 and len(runs(folder)) == 4


def test_lock_file_parameters_and_code_are_compared_without_any_data(base, tmp_path):
    folder = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(base), str(folder))
    dry = ("dvc", "repro", "--dry", "--allow-missing")
    assert "Running stage" not in run(folder, *dry).stdout
    set_params(folder, lr="4e-3")
    refused = run(folder, *dry, status=255)
    assert "Stage 'encoder' didn't change" in refused.stdout
    assert "failed to reproduce 'train'" in refused.stderr


def test_what_an_editor_asks_dvc_for_is_answered_as_json(base, tmp_path):
    folder = copy(base, tmp_path)
    set_params(folder, lr="4e-3")
    (shown,) = json.loads(run(folder, "dvc", "exp", "show", "--json").stdout)[:1]
    assert shown["data"]["params"]["params.yaml"]["data"]["lr"] == 4e-3
    asked = ("dvc", "plots", "diff", "HEAD", "--json", "--split", "--out", "drawn")
    plots = json.loads(run(folder, *asked).stdout)["data"]
    assert {"plots/panels.png", "Dice by epoch"} <= plots.keys()
    assert {plot["revisions"][0] for plot in plots["plots/panels.png"]} == {"HEAD", "workspace"}
    (folder / "plots/panels.png").unlink()
    status = json.loads(run(folder, "dvc", "data", "status", "--granular", "--json").stdout)
    assert status["uncommitted"]["deleted"] == ["plots/panels.png"]


@pytest.mark.slow
def test_the_pipeline_runs_from_any_folder(base, tmp_path):
    folder = copy(base, tmp_path)
    said = run(folder / "docs", "dvc", "repro", "../dvc.yaml").stdout
    assert "Running stage" not in said and "up to date" in said
    run(folder / "docs", "dvc", "exp", "run", "../dvc.yaml", "-S", "../params.yaml:panel_images=1")
    assert (folder / "record/result.json").exists()
    (logged,) = runs(folder).values()
    assert logged.data.params["panel_images"] == "1"


@pytest.fixture(scope="module")
def inside(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a folder of a larger repository, with two experiments in temporary copies."""
    larger = tmp_path_factory.mktemp("larger")
    shutil.copytree(base, larger / "lesions", symlinks=True, ignore=shutil.ignore_patterns(".git"))
    (larger / "README").write_text("Of somebody else.\n", encoding="utf-8")
    run(larger, "git", "init", "--quiet", "--initial-branch", "main")
    run(larger, "git", "add", "--all")
    run(larger, "git", "commit", "--quiet", "--message", "All")
    folder = larger / "lesions"
    run(folder, "dvc", "exp", "run", "--temp", "--name", "apart", "-S", "panel_images=1")
    run(folder, "dvc", "exp", "run", "--temp", "--name", "other", "-S", "panel_images=3")
    return folder


@pytest.mark.slow
def test_in_a_larger_repository_experiments_and_runs_lead_to_each_other(inside):
    assert runs(inside).keys() == {"apart", "other"}
    for name, logged in runs(inside).items():
        there = run(inside, "python", "tools/find_run.py", name).stdout
        assert there == run(inside, "python", "tools/find_run.py", logged.info.run_id).stdout
        assert there.startswith(f"run         {logged.info.run_id}  {name}  FINISHED\nexperiment  ")


@pytest.mark.slow
def test_in_a_larger_repository_the_champion_is_found_under_its_folders_name(inside, tmp_path):
    said = run(inside, "python", "tools/champion.py", "apart").stdout
    assert said.startswith("version 1 is the first champion; tagged commit ")
    assert said.endswith(" as lesions:unet\n")
    weights = str(tmp_path / "weights")
    get = ("dvc", "artifacts", "get", ".", "lesions:unet", "--stage", "champion", "-o", weights)
    run(inside, *get)
    assert md5(tmp_path / "weights") == runs(inside)["apart"].data.tags["model_hash"]


@pytest.mark.slow
def test_the_pages_code_loads_the_champion_from_anywhere_and_leaves_nothing(inside, tmp_path):
    run(inside, "python", "tools/champion.py", "apart")
    page = (ROOT / "docs/tracking.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    code = code.replace("/path/to/project", str(inside))
    images = "import numpy as np\nimages = np.zeros((3, 32, 32, 3), np.uint8)\n"
    said = run(tmp_path, "python", "-c", f"{images}{code}print(probabilities.shape)").stdout
    assert said == "(3, 32, 32)\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_in_a_larger_repository_results_are_compared_and_drawn(inside, tmp_path):
    said = run(inside.parent, "python", "lesions/tools/compare.py", "main", "apart").stdout
    assert "| dice | " in said and "+0.0000" in said
    run(inside, "python", "tools/sweep.py", str(tmp_path / "sweep.png"))
    assert (tmp_path / "sweep.png").exists()
    assert "| panel_images |" in run(inside, "python", "benchmarks/seeds.py").stdout


@pytest.mark.slow
def test_in_a_larger_repository_a_run_can_be_made_again(inside):
    logged = runs(inside)["apart"]
    said = run(inside, "python", "tools/reproduce.py", logged.info.run_id).stdout
    assert f"reproduced: model {logged.data.tags['model_hash']}" in said


@pytest.mark.slow
def test_make_shows_of_experiments_what_differs_and_three_scores(inside):
    (inside / ".venv").mkdir(exist_ok=True)
    (inside / ".venv/installed").touch()
    said = run(inside, "make", "-s", "experiments", "SHOW=--csv").stdout
    head, *rows = said.splitlines()
    columns = ["Experiment", "rev", "typ", "validation.iou", "test.dice", "test.iou"]
    assert head.split(",") == [*columns, "panel_images"]
    assert {row.split(",")[0] for row in rows} == {"", "apart", "other"}
