"""Scores the trained model on a folder or archive of photographs with true masks.

    python tools/score.py FOLDER                   # images X.jpg, masks X_segmentation.png
    python tools/score.py data/ph2 --entry ph2     # named as that entry of datasets.yaml says
    python tools/score.py FOLDER --csv images.csv --masks found
    python tools/score.py FOLDER --model models:/skin-lesion-unet@champion

As the stage external does: at the photographs' own size, with what was chosen on validation, and
nothing is chosen on them. Intervals, of 95 %, are over images; photographs of one patient or
lesion, by a metadata.csv in the folder, count as one. Images that are also in this workspace's
training or validation split are left out and counted. What cannot be used is named, and the exit
status is 2.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

import lesion  # noqa: F401  before the libraries to which it says how to compute

# isort: split

import pandas as pd

from lesion.console.cli import in_project, parser
from lesion.console.shown import one_line
from lesion.fetching.collection import Collection, by_entry, by_names, in_place
from lesion.fetching.datasets import DATASETS_FILE, load_datasets
from lesion.photos.inventory import KEPT, REJECTED
from lesion.photos.members import PlacesReader
from lesion.photos.overlap import COUNTED, LEARNT_FROM, THUMBNAILS, Own, load_own, remarks
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import write_csv
from lesion.prediction.scored import Scored, score_pairs
from lesion.tracking.named_model import folder_or_address, load

ARRAYS = Path("arrays")
NAMED = 20  # that could not be used
SHOWN = ("dice", "iou", "thresholded_iou", "sensitivity", "specificity", "boundary_f1", "failed")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("place", type=os.path.abspath, metavar="FOLDER|ZIP")
    arguments.add_argument("--entry", metavar="NAME", help="of datasets.yaml, that describes it")
    arguments.add_argument(
        "--model",
        type=folder_or_address,
        metavar="FOLDER|models:/…",
        help="weights and predictor.json; left out: the pipeline's own",
    )
    arguments.add_argument("--csv", type=os.path.abspath, help="write a row an image there")
    arguments.add_argument(
        "--masks", type=os.path.abspath, metavar="FOLDER", help="write the predicted masks there"
    )
    arguments.add_argument(
        "--keep-overlap", action="store_true", help="score what was trained or chosen on too"
    )
    given = arguments.parse_args()
    with in_project():
        rejected = score(given)
    sys.exit(2 if rejected else 0)


def score(given: argparse.Namespace) -> int:
    """Does what is asked for; how many images could not be used."""
    place = Path(given.place)
    found = find(place, given.entry)
    pairs = in_place(found).astype({"synthetic": "str"})
    scored = score_pairs(
        pairs,
        PlacesReader(found.places),
        load(given.model),
        own=workspace(given.model),
        title=place.name,
        leave_out=not given.keep_overlap,
        out=Path(given.masks) if given.masks else None,
    )
    for remark in remarks(scored.data):
        print(f"note: {remark}")
    print(report(scored))
    if given.csv:
        write_csv(Path(given.csv), scored.images.round(6))
    rejected = scored.data[scored.data["state"] == REJECTED]
    for row in rejected.head(NAMED).itertuples():
        print(f"score: {one_line(f'{row.id}: {row.reason}')}", file=sys.stderr)
    if len(rejected) > NAMED:
        print(f"score: and {len(rejected) - NAMED} more", file=sys.stderr)
    return len(rejected)


def find(place: Path, entry: str | None) -> Collection:
    """The pairs in a folder or an archive, by the names of an entry, or of the ISIC challenges."""
    if not entry:
        return by_names(place)
    known = load_datasets()
    if entry not in known:
        raise InputError(
            f"--entry: found '{entry}'; expected one of {', '.join(known)} ({DATASETS_FILE})"
        )
    return by_entry(entry, known[entry], 0, place)


def workspace(model: str | None) -> Own | None:
    """The images that this workspace's pipeline has; None where there are none."""
    if not THUMBNAILS.exists():
        print("note: no training images here to compare with: overlap is not looked for")
        return None
    if model:
        print("note: overlap is that with this workspace's images, not those of another model's")
    return load_own(ARRAYS)


def report(scored: Scored) -> str:
    """How many images, and a table of their scores in Markdown."""
    data, images = scored.data, scored.images
    said = [f"{len(images)} images scored"]
    if groups := images.loc[images["group"] != "", "group"].nunique():
        said.append(f"{groups} groups")
    said += [
        f"{scored.numbers[key]} {what}" for key, what in COUNTED.items() if scored.numbers[key]
    ]
    if kept := ((data["state"] == KEPT) & data["twin_split"].isin(LEARNT_FROM)).sum():
        said.append(f"{kept} that were learnt from, and are kept")
    lines = [", ".join(said), "", "| score | value | 95 % interval |", "|---|---|---|"]
    scores = scored.scores[scored.scores["group"] == "all"].set_index("score")
    lines += [
        f"| {name} | {scores.value[name]:.4f} | {interval(scores.low[name], scores.high[name])} |"
        for name in SHOWN
        if name in scores.index
    ]
    return "\n".join(lines)


def interval(low: float, high: float) -> str:
    return "–" if pd.isna(low) else f"{low:.4f}–{high:.4f}"


if __name__ == "__main__":
    main()
