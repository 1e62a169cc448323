"""Checks that a run of MLflow can be made again, byte for byte.

    python tools/reproduce.py 0f3c…          # the id of a run; tools/find_run.py says which

Clones this repository into a temporary folder, checks out the experiment that holds the run's
result (or, where none does, the commit and the parameters that MLflow has), gets the data through
DVC, from this project's cache and remotes, trains and evaluates anew, and compares model and
metrics. Of a run whose precision was `portable` the bytes are the same on every Linux machine whose
processor has AVX2; of another, on machines like the one that made it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from mlflow.entities import Run
from ruamel.yaml import YAML

from lesion.console.cli import PROJECT, in_project, parser
from lesion.experiments.revisions import git, holding, place
from lesion.formats.fingerprint import code_hash
from lesion.network.device import ALIKE, arithmetic, prepare
from lesion.pipeline.errors import InputError
from lesion.tracking import store
from lesion.tracking.address import redacted
from lesion.tracking.result import MODEL, flat_metrics, md5


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("run", help="the id of a run")
    given = arguments.parse_args()
    with in_project(), store.errors_as_input_errors():
        sys.exit(check(given.run))


def check(run_id: str) -> int:
    """0 if model and metrics come out the same, 1 if not; says what differs."""
    client, _ = store.open_store(make=False)
    run = store.run_with_id(client, run_id)
    if run is None:
        raise InputError(f"{run_id}: no such run in {redacted(client.tracking_uri)}")
    tags, result = run.data.tags, store.result_hash(run)
    print(promise(run), flush=True)
    with tempfile.TemporaryDirectory(prefix="lesion-reproduce-") as temporary:
        root, inside = place(PROJECT)
        clone = Path(temporary) / "clone"
        git(PROJECT, "clone", "--quiet", "--no-checkout", str(root), str(clone))
        check_out(clone, inside, run, result)
        project = clone / inside
        made_of = code_hash(project / "stages")
        if made_of != tags["code_hash"]:
            raise InputError(
                f"{run_id}: the code of {tags['git_commit'][:7]} is not what it was made with; it "
                "had changes that were not committed, and no experiment holds them"
            )
        dvc(project, "cache", "dir", "--local", str(cache()))
        dvc(project, "repro", "--pull", "train")
        dvc(project, "repro", "--force", "--single-item", "train")
        dvc(project, "repro", "--force", "--single-item", "evaluate")
        return compare(project, run)


def promise(run: Run) -> str:
    """On which machines the run's bytes can be expected, and whether this is one of them."""
    made, precision = run.data.tags, run.data.params["precision"]
    here = arithmetic(prepare(int(run.data.params["threads"]), precision), precision)
    different = [
        f"{name} {made[name]}, here {now}"
        for name, now in here.items()
        if made.get(name, str(now)) != str(now)
    ]
    where = "every Linux machine with AVX2" if made.get("processor") == ALIKE else "a machine alike"
    if different:
        return f"promised on {where}; but it was made with {'; '.join(different)}"
    return f"promised on {where}, as this is"


def check_out(clone: Path, inside: Path, run: Run, result: str) -> None:
    """Puts into the clone what the run was made of; `inside` is the project's path in there."""
    tags = run.data.tags
    for name, commit in holding(PROJECT, result):
        print(f"{name}, commit {commit[:7]}, holds this result", flush=True)
        # An experiment is no branch, and a clone does not bring it.
        git(clone, "fetch", "--quiet", "origin", commit)
        git(clone, "checkout", "--quiet", commit)
        return
    print(f"commit {tags['git_commit'][:7]} with the parameters that MLflow has", flush=True)
    git(clone, "checkout", "--quiet", tags["git_commit"])
    yaml, path = YAML(), clone / inside / "params.yaml"
    values = yaml.load(path)
    for name, value in run.data.params.items():
        values[name] = YAML(typ="safe").load(value)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(values, file)


def compare(project: Path, run: Run) -> int:
    def numbers(name: str) -> dict:
        return json.loads((project / f"metrics/{name}.json").read_text(encoding="utf-8"))

    made = {"model_hash": md5(project / MODEL), **flat_metrics(numbers)}
    recorded = run.data.tags | run.data.metrics
    different = {
        name: (recorded.get(name), value)
        for name, value in made.items()
        if recorded.get(name) not in (value, str(value))
    }
    if not different:
        print(f"reproduced: model {made['model_hash']} and {len(made) - 1} metrics are the same")
        return 0
    for name, (then, now) in different.items():
        print(f"{name}: {then} then, {now} now")
    print("not reproduced")
    return 1


def dvc(project: Path, *arguments: str) -> None:
    """Runs a command of DVC there, on this process's output; its records stay in the folder."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_"))}
    print(f"dvc {' '.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=project, env=own)
    if done.returncode:
        raise InputError(f"dvc {' '.join(arguments)} failed")


def cache() -> Path:
    """This project's cache, from which data need not be copied."""
    said = subprocess.run(
        [sys.executable, "-m", "dvc", "cache", "dir"],
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
    )
    return (PROJECT / said.stdout.strip()).resolve()


if __name__ == "__main__":
    main()
