"""Scores the trained network, with what was chosen on validation, on data sets it has never seen.

reads   external_raw/, model/, arrays/index.csv and thumbnails/ (which images were learnt from),
        metrics/scores.csv
writes  metrics/external.json (the scores of each data set; what was left out),
        metrics/external.csv (with 95 % intervals, and the difference to the test split),
        metrics/external_per_image.csv, metrics/external_data.csv (what is in the data sets, and
        why an image was rejected or left out),
        external_predictions/: index.csv, <data set>/X_segmentation.png
knobs   max_rejected, max_empty, threads (params.yaml)

Nothing is chosen on them. Photographs become squares as the weights' header says. Images that are
also in the training or validation split are left out: by id, or as near-duplicates.
"""

import lesion  # noqa: F401  before the libraries to which it says how to compute

# isort: split

from pathlib import Path

import pandas as pd

from lesion.console.cli import run
from lesion.formats.tables import METRICS, load_table
from lesion.parameters.external import ExternalParams
from lesion.parameters.reading import load_params
from lesion.photos.archives import ArchiveReader
from lesion.photos.inventory import COLUMNS
from lesion.photos.overlap import COUNTED, load_own, remarks
from lesion.photos.pairs import load_pairs, require_few_rejected, require_lesions
from lesion.pipeline.files import whole_folder, write_csv, write_json
from lesion.scoring.external import (
    DIFFERENCES,
    IMAGE_COLUMNS,
    SUMMARY_COLUMNS,
    against_test,
)

RAW = Path("external_raw")
ARRAYS = Path("arrays")
MODEL = Path("model")
PREDICTIONS = Path("external_predictions")
DATA = METRICS / "external_data.csv"
WRITTEN = {
    "external": [*SUMMARY_COLUMNS, *DIFFERENCES],
    "external_per_image": IMAGE_COLUMNS,
    "external_data": COLUMNS,
}


def main() -> None:
    knobs = load_params(ExternalParams)
    pairs = load_pairs(RAW / "index.csv")
    tables = {name: pd.DataFrame(columns=["dataset", *names]) for name, names in WRITTEN.items()}
    numbers: dict[str, dict[str, float]] = {}
    with whole_folder(PREDICTIONS) as folder:
        if len(pairs):
            tables, numbers = score(pairs, folder, knobs)
        for name, table in tables.items():
            write_csv(METRICS / f"{name}.csv", table.round(6))
        write_csv(folder / "index.csv", tables["external_per_image"][["dataset", "id"]])
        write_json(METRICS / "external.json", {"external": numbers})
    report(numbers, tables["external"])


def score(
    pairs: pd.DataFrame, folder: Path, knobs: ExternalParams
) -> tuple[dict[str, pd.DataFrame], dict[str, dict[str, float]]]:
    """The tables by name, and the numbers of each data set; masks go to `folder`."""
    # With torch, which takes seconds and is of no use without any such data set.
    from lesion.prediction.scored import score_pairs
    from lesion.prediction.segmenter import Segmenter

    segmenter, own = Segmenter.of_folder(MODEL), load_own(ARRAYS)
    tested = load_table("scores")
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in WRITTEN}
    numbers: dict[str, dict[str, float]] = {}
    with ArchiveReader(RAW) as archives:
        for name in pairs["dataset"].unique():

            def check(data: pd.DataFrame, name: str = name) -> None:
                tables["external_data"].append(labelled(data[COLUMNS], name))
                write_csv(DATA, pd.concat(tables["external_data"]))  # before anything stops
                require_few_rejected(data, knobs.max_rejected, RAW / name, DATA)
                require_lesions(data, knobs.max_empty, RAW / name)

            (folder / name).mkdir()
            found = score_pairs(
                pairs[pairs["dataset"] == name].reset_index(drop=True),
                archives,
                segmenter,
                own=own,
                title=name,
                check=check,
                threads=knobs.threads,
                scratch=folder,
                out=folder / name,
            )
            numbers[name] = found.numbers
            for remark in remarks(found.data):
                print(f"note: {name}: {remark}")
            tables["external"].append(labelled(against_test(found.scores, tested), name))
            tables["external_per_image"].append(labelled(found.images, name))
    return {kind: pd.concat(parts) for kind, parts in tables.items()}, numbers


def labelled(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """With the data set as first column."""
    return pd.concat([pd.Series(name, table.index, name="dataset"), table], axis=1)


def report(numbers: dict[str, dict[str, float]], scores: pd.DataFrame) -> None:
    """Prints the challenge's scores on each data set, and what was left out."""
    for name, found in numbers.items():
        counted = "".join(f", {found[key]} {what}" for key, what in COUNTED.items() if found[key])
        own = scores[(scores["dataset"] == name) & (scores["group"] == "all")].set_index("score")
        figures = [
            f"{score} {own.value[score]:.4f} ({own.difference[score]:+.4f} to the test split)"
            for score in ("dice", "iou", "thresholded_iou")
            if score in own.index
        ]
        print(f"{name} ({found['images']} images{counted}):", "  ".join(figures) or "none is left")
    if not numbers:
        print("no further data sets (external in params.yaml)")


if __name__ == "__main__":
    run(main)
