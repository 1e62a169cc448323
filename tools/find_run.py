"""From an experiment of DVC to its run in MLflow, and back.

    python tools/find_run.py                 # the run of what is in the workspace
    python tools/find_run.py sorer-pall      # of an experiment, branch, tag or commit
    python tools/find_run.py 0f3c…           # the experiments and branches that hold a run's result

They are found from each other by what they hold, the hash of parameters, model and metrics, not by
name, so that neither renaming nor another clone loses them.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import PROJECT, in_project, parser
from lesion.experiments.revisions import holding, result_of
from lesion.tracking import store


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("name", nargs="?", help="an experiment, a revision, or the id of a run")
    given = arguments.parse_args()
    with in_project(), store.errors_as_input_errors():
        print(report(given.name))


def report(name: str | None) -> str:
    client, experiment = store.open_store(make=False)
    run = store.run_with_id(client, name) if name else None
    if run:
        wanted, runs = store.result_hash(run), [run]
    else:
        wanted = result_of(PROJECT, name).hash
        runs = store.runs_with(client, experiment, wanted, name or "workspace")
    lines = [
        f"run         {run.info.run_id}  {run.info.run_name}  {run.info.status}" for run in runs
    ]
    lines += [
        f"linked      {tag.removeprefix('linked.')}"
        for run in runs
        for tag in sorted(run.data.tags)
        if tag.startswith("linked.")
    ]
    lines += [f"experiment  {commit[:7]}  {name}" for name, commit in holding(PROJECT, wanted)]
    dice = runs[0].data.metrics.get("test.dice")
    return "\n".join(
        [*lines, f"commit      {runs[0].data.tags.get('git_commit')}", f"test Dice   {dice}"]
    )


if __name__ == "__main__":
    main()
