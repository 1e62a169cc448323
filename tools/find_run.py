"""From an experiment of DVC to its run in MLflow, and back.

    python tools/find_run.py                 # the run of what is in the workspace
    python tools/find_run.py sorer-pall      # of an experiment, branch, tag or commit
    python tools/find_run.py 0f3c…           # the experiments and branches that hold a run's result

They are found from each other by what they hold, the hash of parameters, model and metrics, not by
name, so that neither renaming nor another clone loses them.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion import store
from lesion.errors import InputError
from lesion.results import in_workspace
from lesion.revisions import commit_of, holding, result_at

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", help="an experiment, a revision, or the id of a run")
    given = parser.parse_args()
    os.chdir(ROOT)
    try:
        print(report(given.name))
    except InputError as error:
        sys.exit(f"find_run: {error}")


def report(name: str | None) -> str:
    client, experiment = store.open_store()
    run = store.run_with_id(client, name) if name else None
    if run:
        wanted = run.data.tags.get("result_hash")
        if not wanted:
            raise InputError(f"{name}: a run without a result; its training was not evaluated")
        runs = [run]
    else:
        wanted = (result_at(ROOT, commit_of(ROOT, name)) if name else in_workspace()).hash
        runs = store.search(client, experiment, result_hash=wanted)
        if not runs:
            raise InputError(
                f"{name or 'workspace'}: no run with this result in {client.tracking_uri}; "
                "`dvc exp apply` and `python stages/record.py` record it"
            )
    lines = [
        f"run         {run.info.run_id}  {run.info.run_name}  {run.info.status}" for run in runs
    ]
    lines += [
        f"linked      {tag.removeprefix('linked.')}"
        for run in runs
        for tag in sorted(run.data.tags)
        if tag.startswith("linked.")
    ]
    lines += [f"experiment  {commit[:7]}  {name}" for name, commit in holding(ROOT, wanted)]
    dice = runs[0].data.metrics.get("test.dice")
    return "\n".join(
        [*lines, f"commit      {runs[0].data.tags.get('git_commit')}", f"test Dice   {dice}"]
    )


if __name__ == "__main__":
    main()
