"""Joins the folds of a cross-validation: the scores of all images, each tested on once.

    dvc exp run --queue -S folds=5 -S 'fold=range(5)' && dvc queue start -j 2
    python tools/folds.py                    # all experiments that are folds
    python tools/folds.py NAME NAME …        # these; also branches, tags, commits

Intervals, of 95 %, are over images; spread is the standard deviation between the folds, each of
which has its own network. In MLflow the folds become children of one run with the pooled scores.
"""

import io
import os
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import PROJECT, in_project, parser
from lesion.experiments.folds import Pooled, choose, pool, record, with_folds
from lesion.experiments.revisions import commit_of, finished, result_at, show
from lesion.formats.tables import read_table
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import write_csv

PER_IMAGE = "metrics/per_image.csv"
SHOWN = ("dice", "iou", "thresholded_iou", "sensitivity", "specificity", "boundary_f1", "failed")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("names", nargs="*", help="left out: all experiments that are folds")
    arguments.add_argument("--csv", type=os.path.abspath, help="write all images there")
    given = arguments.parse_args()
    with in_project():
        commits = {name: commit_of(PROJECT, name) for name in given.names}
        results = {name: result_at(PROJECT, commit) for name, commit in commits.items()}
        results = with_folds(results or finished(PROJECT), given.names)
        names = choose(results)
        tables = {fold: per_image(name) for fold, name in names.items()}
        pooled = pool(tables)
        print(report(pooled, names))
        if given.csv:
            write_csv(Path(given.csv), pooled.images)
        try:
            run_id = record(pooled, {fold: results[name] for fold, name in names.items()})
            print(f"in MLflow: run {run_id}, with the folds as its children")
        except InputError as error:
            print(f"warning: not in MLflow: {error}")


def per_image(name: str) -> pd.DataFrame:
    return read_table(io.StringIO(show(PROJECT, commit_of(PROJECT, name), PER_IMAGE)))


def report(pooled: Pooled, names: dict[int, str]) -> str:
    """Two tables in Markdown: all images together, and each fold."""
    lines = [
        f"{len(pooled.images)} images, each tested on once, in {len(names)} folds",
        "",
        "| score | value | 95 % interval | spread between folds |",
        "|---|---|---|---|",
    ]
    scores = pooled.scores.set_index("score")
    lines += [
        f"| {name} | {scores.value[name]:.4f} | {interval(scores.low[name], scores.high[name])} "
        f"| {scores.spread[name]:.4f} |"
        for name in SHOWN
    ]
    lines += ["", "| fold | experiment | images | Dice | IoU | thresholded IoU |"]
    lines += ["|---|---|---|---|---|---|"]
    lines += [
        f"| {row.fold} | {names[row.fold]} | {row.images} | {row.dice:.4f} | {row.iou:.4f} "
        f"| {row.thresholded_iou:.4f} |"
        for row in pooled.folds.itertuples()
    ]
    return "\n".join(lines)


def interval(low: float, high: float) -> str:
    return "–" if pd.isna(low) else f"{low:.4f}–{high:.4f}"


if __name__ == "__main__":
    main()
