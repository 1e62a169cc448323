"""Joins the folds of a cross-validation: the scores of all images, each tested on once.

    dvc exp run --queue -S folds=5 -S 'fold=range(5)' && dvc queue start -j 2
    python tools/folds.py                    # all experiments that are folds
    python tools/folds.py NAME NAME …        # these; also branches, tags, commits

Intervals, of 95 %, are over images; spread is the standard deviation between the folds, each of
which has its own network. Where an experiment or the workspace is of the same recipe without folds,
the scores of its test split stand beside them. In MLflow the folds become children of one run with
the pooled scores.
"""

import io
import os
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import PROJECT, in_project, parser
from lesion.experiments.folds import Pooled, choose, pool, record, whole, with_folds
from lesion.experiments.revisions import commit_of, finished, result_at, show
from lesion.formats.tables import load_table, read_table
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import write_csv
from lesion.scoring.summary import summarise_network
from lesion.tracking.result import Result, in_workspace

PER_IMAGE = "metrics/per_image.csv"
WORKSPACE = "workspace"
SHOWN = ("dice", "iou", "thresholded_iou", "sensitivity", "specificity", "boundary_f1", "failed")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("names", nargs="*", help="left out: all experiments that are folds")
    arguments.add_argument("--csv", type=os.path.abspath, help="write all images there")
    given = arguments.parse_args()
    with in_project():
        commits = {name: commit_of(PROJECT, name) for name in given.names}
        results = {name: result_at(PROJECT, commit) for name, commit in commits.items()}
        others = finished(PROJECT)
        results = with_folds(results or others, given.names)
        names = choose(results)
        tables = {fold: per_image(name) for fold, name in names.items()}
        pooled = pool(tables)
        print(report(pooled, names, own_split({**others, **workspace()}, results[names[0]])))
        if given.csv:
            write_csv(Path(given.csv), pooled.images)
        try:
            run_id = record(pooled, {fold: results[name] for fold, name in names.items()})
            print(f"in MLflow: run {run_id}, with the folds as its children")
        except InputError as error:
            print(f"warning: not in MLflow: {error}")


def per_image(name: str) -> pd.DataFrame:
    return read_table(io.StringIO(show(PROJECT, commit_of(PROJECT, name), PER_IMAGE)))


def workspace() -> dict[str, Result]:
    try:
        return {WORKSPACE: in_workspace()}
    except InputError:  # nothing has run here, as in a clone that only pulled experiments
        return {}


def own_split(results: dict[str, Result], fold: Result) -> tuple[str, pd.DataFrame] | None:
    """The run of the folds' recipe without folds: its name and the scores of its test images."""
    name = whole(results, fold)
    if name is None:
        return None
    images = load_table("per_image") if name == WORKSPACE else per_image(name)
    tested = images[images["split"] == "test"]
    return f"{name}, {len(tested)} test images", summarise_network(tested)


def report(
    pooled: Pooled, names: dict[int, str], own: tuple[str, pd.DataFrame] | None = None
) -> str:
    """Two tables in Markdown: all images together, and each fold."""
    heads = ["score", "value", "95 % interval", "spread between folds"]
    scores = pooled.scores.set_index("score")
    cells = {name: [*valued(scores.loc[name]), f"{scores.spread[name]:.4f}"] for name in SHOWN}
    if own:
        title, beside = own
        heads += [title, "95 % interval"]
        for name, row in beside.set_index("score").loc[[*SHOWN]].iterrows():
            cells[str(name)] += valued(row)
    lines = [f"{len(pooled.images)} images, each tested on once, in {len(names)} folds", ""]
    lines += [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join([name, *row])} |" for name, row in cells.items()]
    lines += ["", "| fold | experiment | images | Dice | IoU | thresholded IoU |"]
    lines += ["|---|---|---|---|---|---|"]
    lines += [
        f"| {row.fold} | {names[row.fold]} | {row.images} | {row.dice:.4f} | {row.iou:.4f} "
        f"| {row.thresholded_iou:.4f} |"
        for row in pooled.folds.itertuples()
    ]
    return "\n".join(lines)


def valued(row: pd.Series) -> list[str]:
    """Value and interval as cells."""
    ends = "–" if pd.isna(row["low"]) else f"{row['low']:.4f}–{row['high']:.4f}"
    return [f"{row['value']:.4f}", ends]


if __name__ == "__main__":
    main()
