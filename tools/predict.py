"""Finds the lesion in photographs: masks, measures and pictures, by the trained model.

    python tools/predict.py photograph.jpg -o found
    python tools/predict.py folder archive.zip -o found --overlay
    python tools/predict.py folder -o found --model models:/skin-lesion-unet@champion

writes  OUT/masks/X_segmentation.png   at the photograph's size, in the challenge's format
        OUT/predictions.csv            measures of each lesion, and how far to trust its mask;
                                       docs/using.md says what they are
        OUT/rejected.csv               what could not be used, and why: the exit status is then 2
        OUT/overlays/X.jpg             with --overlay: the photograph with the mask's outline
        OUT/submission.zip             with --submit: all masks, as the challenge takes them

Broken off, it goes on where it was. The masks are those of the stage evaluate, to the bit. Not a
medical device: nothing here is a diagnosis.
"""

import argparse
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

import lesion  # noqa: F401  before the libraries to which it says how to compute

# isort: split

from lesion.console.cli import in_project, parser
from lesion.console.progress import Progress
from lesion.console.shown import one_line
from lesion.prediction.job import COLUMNS, Done, Job, pack_submission, write_table
from lesion.prediction.photographs import find_sources
from lesion.tracking.named_model import folder_or_address, load

NAMED = 20  # that could not be used, at the end; rejected.csv has all


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "places", nargs="+", type=os.path.abspath, metavar="IMAGE|FOLDER|ZIP", help="photographs"
    )
    arguments.add_argument(
        "-o", dest="out", type=os.path.abspath, required=True, metavar="OUT", help="a folder"
    )
    arguments.add_argument(
        "--model",
        type=folder_or_address,
        metavar="FOLDER|models:/…",
        help="weights and predictor.json; left out: the pipeline's own",
    )
    arguments.add_argument("--overlay", action="store_true", help="draw the outlines too")
    arguments.add_argument("--submit", action="store_true", help="pack the masks")
    arguments.add_argument(
        "--shard", type=shard, metavar="K/N", help="the K-th of N parts only, one a machine"
    )
    given = arguments.parse_args()
    if given.submit and given.shard:
        arguments.error("--submit packs all masks: run it without --shard once all shards are done")
    with in_project():
        rejected = predict(given)
    sys.exit(2 if rejected else 0)


def predict(given: argparse.Namespace) -> list[Done]:
    """Does what is asked for; the photographs that could not be used."""
    out, part = Path(given.out), ""
    sources = find_sources([Path(place) for place in given.places])
    if given.shard:
        number, of = given.shard
        sources, part = sources[number - 1 :: of], f"-{number}-of-{of}"
    job = Job(out, load(given.model), overlays=given.overlay)
    rows: list[Done] = []
    rejected: list[Done] = []
    with Progress("predict", len(sources), "photographs", silent=len(sources) == 1) as progress:
        for done in job.run(sources, part):
            (rows if done.row else rejected).append(done)
            progress.update()
    write_table(out / f"predictions{part}.csv", COLUMNS, [done.row for done in rows if done.row])
    reasons = [{"file": done.source.name, "reason": one_line(done.reason)} for done in rejected]
    write_table(out / f"rejected{part}.csv", ["file", "reason"], reasons)
    if given.submit:
        pack_submission(out / "submission.zip", [job.mask_path(done.source) for done in rows])
    report(rows, rejected, out)
    return rejected


def report(rows: list[Done], rejected: list[Done], out: Path) -> None:
    """Says what was made, and names what could not be used."""
    review = [done.source.id for done in rows if done.row and done.row["review"] == "true"]
    earlier = sum(done.earlier for done in rows)
    made = f", {earlier} of them made earlier" if earlier else ""
    look = f"; look at {len(review)} of them yourself: {one_line(review[0])} …" if review else ""
    print(f"{len(rows)} masks in {out}{made}{look}")
    for done in rejected[:NAMED]:
        print(f"predict: {one_line(f'{done.source.place}: {done.reason}')}", file=sys.stderr)
    if len(rejected) > NAMED:
        print(f"predict: and {len(rejected) - NAMED} more; see rejected.csv", file=sys.stderr)


def shard(text: str) -> tuple[int, int]:
    """K and N of "K/N"."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    number, of = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= of:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected K/N, K from 1 to N: 2/8")
    return number, of


if __name__ == "__main__":
    main()
