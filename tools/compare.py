"""Compares two trainings image by image: is the difference more than chance, and where is it?

    python tools/compare.py main                  # with the workspace
    python tools/compare.py main sorer-pall       # branches, tags, commits, names of experiments

Scores are per image at the original size, means over the images. The intervals, of 95 %, are for
the mean difference over other such images, p is two-sided; fewer than ten images have neither. Both
runs need the same images; which ones are scored depends on the data and the split, not on the seed.
"""

import io
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import PROJECT, in_project, parser
from lesion.experiments.compare import Comparison, compare
from lesion.experiments.revisions import commit_of, show
from lesion.formats.tables import load_table, read_table
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import write_csv

PER_IMAGE = "metrics/per_image.csv"
NOTES = {"validation": ", on which epoch and rules of both were chosen: they flatter"}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("before", help="a revision: branch, tag, commit or experiment")
    arguments.add_argument("after", nargs="?", help="another one; left out: the workspace")
    arguments.add_argument("--split", default="test", choices=["validation", "test"])
    arguments.add_argument("--images", type=int, default=5, help="to name on either side")
    arguments.add_argument("--csv", type=os.path.abspath, help="write all images there")
    given = arguments.parse_args()
    with in_project():
        comparison = compare(per_image(given.before), per_image(given.after), given.split)
        print(report(comparison, given.split, given.images))
        if given.csv:
            write_csv(Path(given.csv), comparison.images)


def per_image(revision: str | None) -> pd.DataFrame:
    """metrics/per_image.csv of a revision; None: the one in the workspace."""
    if revision is None:
        return load_table("per_image")
    commit = commit_of(PROJECT, revision)
    try:
        return read_table(io.StringIO(show(PROJECT, commit, PER_IMAGE)))
    except InputError as error:
        raise InputError(
            f"{revision}: no {PER_IMAGE} there ({error}); expected a finished run"
        ) from None


def report(comparison: Comparison, split: str, count: int) -> str:
    scores = comparison.scores
    lines = [
        "| score | before | after | difference | 95 % interval | p | better | worse |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.score} | {row.before:.4f} | {row.after:.4f} | {row.difference:+.4f} "
        f"| {chance(row)} | {row.better} | {row.worse} |"
        for row in scores.itertuples()
    ]
    images = comparison.images
    for title, rows in (("worse", images.head(count)), ("better", images[::-1].head(count))):
        lines += ["", f"Dice most {title}:"]
        lines += [
            f"  {row.id}  {row.dice_before:.3f} → {row.dice_after:.3f}" for row in rows.itertuples()
        ]
    return "\n".join([f"{len(images)} {split} images{NOTES.get(split, '')}", "", *lines])


def chance(row: Any) -> str:
    """Interval and p of a row of `Comparison.scores`, as cells."""
    if pd.isna(row.low):
        return "– | –"
    p = f"{row.p:.4f}" if row.p >= 0.0001 else "<0.0001"
    return f"{row.low:+.4f} to {row.high:+.4f} | {p}"


if __name__ == "__main__":
    main()
