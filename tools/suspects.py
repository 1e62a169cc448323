"""Lists images whose truth is most likely wrong, by the folds of a cross-validation.

    python tools/suspects.py                 # all experiments that are folds, as tools/folds.py
    python tools/suspects.py NAME NAME …     # these; also branches, tags, commits
    python tools/suspects.py --images 100 --csv suspects.csv

The score of an image is its error, 1 - Dice, by the error that is expected where the network is so
sure: docs/evaluation.md. What the truth is like beside the prediction is said in words.
"""

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import PROJECT, in_project, parser
from lesion.console.progress import Progress
from lesion.experiments.cached import cached_folder, link
from lesion.experiments.difference import difference
from lesion.experiments.folds import choose, with_folds
from lesion.experiments.revisions import commit_of, finished, result_at, show
from lesion.experiments.suspects import ranked
from lesion.formats.arrays import load_index
from lesion.formats.tables import read_table
from lesion.photos.archives import ArchiveReader
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import write_csv
from lesion.pipeline.parallel import in_order
from lesion.report.page import Case
from lesion.report.page.suspects import LONGEST, write_suspects
from lesion.report.pictures import Picture, read_picture, reduced

RAW, ARRAYS, PREDICTIONS = "raw", "arrays", "predictions"
PER_IMAGE = "metrics/per_image.csv"
SHARED = ["id", "split", "synthetic", "group"]  # columns of that and of the arrays' index
ORIGINAL = 10**9  # pixels of the longest side: a difference is measured at the original size
SHOWN = ["score", "dice", "expected_dice"]
COLUMNS = ["rank", "id", "score", "dice", "expected_dice", "difference", "reason", "fold"]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("names", nargs="*", help="left out: all experiments that are folds")
    arguments.add_argument("--images", type=int, default=40, help="so many suspects (40)")
    arguments.add_argument(
        "--page", type=os.path.abspath, default=PROJECT / "suspects.html", help="(suspects.html)"
    )
    arguments.add_argument("--csv", type=os.path.abspath, help="write the list there")
    given = arguments.parse_args()
    with in_project(), TemporaryDirectory() as folder:
        if given.images < 1:
            raise InputError(f"--images: found {given.images}; expected 1 or more")
        results = {name: result_at(PROJECT, commit_of(PROJECT, name)) for name in given.names}
        names = choose(with_folds(results or finished(PROJECT), given.names))
        commits = {fold: commit_of(PROJECT, name) for fold, name in names.items()}
        tables = {fold: per_image(commit) for fold, commit in commits.items()}
        suspects = ranked(tables).head(given.images)
        suspects.insert(0, "rank", suspects.index + 1)
        cases = list(judged(suspects, pictures(suspects, commits, Path(folder))))
        suspects["difference"] = [case.traits["difference"] for case in cases]
        suspects["reason"] = [case.traits["reason"] for case in cases]
        print(report(suspects))
        count = sum((table["split"] == "test").sum() for table in tables.values())
        note = f"{len(cases)} of {count} images, each tested on once, in {len(tables)} folds"
        write_suspects(Path(given.page), title="Suspects", note=note, cases=cases)
        if given.csv:
            write_csv(Path(given.csv), suspects[COLUMNS].round(6))


def per_image(commit: str) -> pd.DataFrame:
    return read_table(io.StringIO(show(PROJECT, commit, PER_IMAGE)))


def pictures(rows: pd.DataFrame, commits: dict[int, str], folder: Path) -> Iterator[Picture]:
    """Photograph, truth and prediction of each row at their original size, out of DVC's cache."""
    with ExitStack() as opened:
        archives, indices = {}, []
        for fold in rows["fold"].unique():
            place = folder / str(fold)
            for output in (RAW, ARRAYS, PREDICTIONS):
                link(cached_folder(PROJECT, commits[fold], output), place / output)
            archives[fold] = opened.enter_context(ArchiveReader(place / RAW))
            indices.append(load_index(place / ARRAYS, "test"))

        def picture(row: Any) -> Picture:
            predictions = folder / str(row.fold) / PREDICTIONS
            return read_picture(row, archives[row.fold], predictions, longest=ORIGINAL)

        placed = rows.merge(pd.concat(indices), on=SHARED, how="left", validate="one_to_one")
        with Progress("suspects", len(rows), "images") as progress:
            for found in in_order(picture, placed.itertuples()):
                progress.update()
                yield found


def judged(rows: pd.DataFrame, seen: Iterable[Picture]) -> Iterator[Case]:
    """The rows' pictures, as large as the page has them, with what their masks differ in."""
    for row, picture in zip(rows.itertuples(), seen, strict=True):
        found = difference(picture.truth, picture.prediction)
        traits = {"difference": found.kind, "reason": found.reason}
        scores = {name: getattr(row, name) for name in SHOWN}
        yield Case(row.id, row.split, scores, traits, **vars(reduced(picture, LONGEST)))


def report(rows: pd.DataFrame) -> str:
    lines = ["| rank | image | score | Dice | expected | difference |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.rank} | {row.id} | {row.score:.1f} | {row.dice:.3f} | {row.expected_dice:.3f} "
        f"| {row.difference}: {row.reason} |"
        for row in rows.itertuples()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
