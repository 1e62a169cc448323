"""Compares trainings image by image: is the difference more than chance, and where is it?

    python tools/compare.py main                  # with the workspace
    python tools/compare.py main sorer-pall       # branches, tags, commits, names of experiments
    python tools/compare.py a,b,c d,e,f           # several a side, which differ in their seed
    python tools/compare.py a d --seeds           # and all experiments that differ from them in it

Scores are per image at the original size, means over images and runs. Intervals are of 95 %, p is
two-sided; fewer than ten images have neither. "Images" asks whether other images would have said
the same, "images and seeds" whether other seeds would have, too; without several runs a side the
latter goes by the experiments that differ in their seed alone, or by what a seed was found to do to
photographs. All runs need the same images; which ones are scored depends on the data and the split,
not on the seed.
"""

import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import PROJECT, in_project, parser
from lesion.experiments.compare import Comparison, compare
from lesion.experiments.seeds import KNOWN
from lesion.experiments.sides import Side, sides
from lesion.pipeline.files import write_csv

NOTES = {"validation": ", on which epoch and rules of both were chosen: they flatter"}
UNKNOWN = (
    f"too few seeds to tell what another changes: taken to be {KNOWN['dice']:.4f} Dice (standard "
    "deviation), as for photographs (docs/evaluation.md)"
)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("before", help="revisions: branches, tags, commits or experiments")
    arguments.add_argument("after", nargs="?", help="others; left out: the workspace")
    arguments.add_argument(
        "--seeds", action="store_true", help="on each side all that differ in nothing but the seed"
    )
    arguments.add_argument("--split", default="test", choices=["validation", "test"])
    arguments.add_argument("--images", type=int, default=5, help="to name on either side")
    arguments.add_argument("--csv", type=os.path.abspath, help="write all images there")
    given = arguments.parse_args()
    with in_project():
        before, after = sides(PROJECT, given.before, given.after, given.seeds)
        comparison = compare(
            [*before.runs.values()],
            [*after.runs.values()],
            given.split,
            ([*before.siblings.values()], [*after.siblings.values()]),
        )
        print(report(comparison, before, after, given.split, given.images))
        if given.csv:
            write_csv(Path(given.csv), comparison.images)


def report(comparison: Comparison, before: Side, after: Side, split: str, count: int) -> str:
    images = comparison.images
    lines = [
        f"{len(images)} {split} images{NOTES.get(split, '')}",
        f"before: {before}",
        f"after:  {after}",
        *([] if comparison.known else [UNKNOWN]),
        "",
        "| score | before | after | difference | images | p | images and seeds | p | a seed alone "
        "| better | worse |",
        f"|{'---|' * 11}",
    ]
    lines += [
        f"| {row.score} | {row.before:.4f} | {row.after:.4f} | {row.difference:+.4f} "
        f"| {chance(row.low, row.high, row.p)} "
        f"| {chance(row.seeds_low, row.seeds_high, row.seeds_p)} | {seed(row)} "
        f"| {row.better} | {row.worse} |"
        for row in comparison.scores.itertuples()
    ]
    for title, rows in (("worse", images.head(count)), ("better", images[::-1].head(count))):
        lines += ["", f"Dice most {title}:"]
        lines += [
            f"  {row.id}  {row.dice_before:.3f} → {row.dice_after:.3f}" for row in rows.itertuples()
        ]
    return "\n".join(lines)


def chance(low: float, high: float, p: float) -> str:
    """Interval and p, as cells."""
    if pd.isna(low):
        return "– | –"
    return f"{low:+.4f} to {high:+.4f} | {f'{p:.4f}' if p >= 0.0001 else '<0.0001'}"


def seed(row: Any) -> str:
    """How far runs of one recipe lie apart (standard deviation), before and after, as a cell."""
    if pd.isna(row.seed_before):
        return "–"
    both = [f"{deviation:.4f}" for deviation in (row.seed_before, row.seed_after)]
    return f"± {', ± '.join(dict.fromkeys(both))}"


if __name__ == "__main__":
    main()
