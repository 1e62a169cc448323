"""Decodes every image and mask once and lays them out as arrays, ready for training.

reads   raw/, the file `exclude`
writes  arrays/: <split>_images.npy (uint8 N×H×W×3), <split>_masks.npy (uint8 N×H×W of 0 and 1),
        index.csv (one row a pair, in the arrays' order), rejected.csv (what could not be used);
        thumbnails/: a small grey picture a row of index.csv;
        metrics/data.json and metrics/data.csv, what is in the data set
knobs   image_size, resize, val_fraction, test_fraction, split_seed, folds, fold, drop_leaks,
        exclude, max_rejected, max_empty (params.yaml)
"""

import lesion  # noqa: F401  before the libraries to which it says how to compute

# isort: split

from pathlib import Path

import numpy as np
import pandas as pd

from lesion.console.cli import run
from lesion.formats.arrays import INDEX, RowFile, array_path
from lesion.formats.splits import SPLITS, assign_folds, assign_splits
from lesion.parameters.preprocess import PreprocessParams
from lesion.parameters.reading import load_params
from lesion.photos.archives import ArchiveReader
from lesion.photos.duplicates import near_pictures
from lesion.photos.exclusions import read_exclusions
from lesion.photos.inventory import (
    COLUMNS,
    EXCLUDED,
    KEPT,
    LEFT_OUT,
    REJECTED,
    SCORED_ANYWAY,
    summary,
)
from lesion.photos.masks import READING_COLUMNS
from lesion.photos.overlap import THUMBNAILS, THUMBNAILS_FILE
from lesion.photos.pairs import (
    convert_all,
    load_pairs,
    require_few_rejected,
    require_lesions,
)
from lesion.photos.placement import PLACEMENT_COLUMNS
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import require_room, whole_folder, write_csv, write_json

RAW = Path("raw")
ARRAYS = Path("arrays")
REPORT = Path("metrics/data.json")
REPORT_TABLE = Path("metrics/data.csv")


def main() -> None:
    knobs = load_params(PreprocessParams)
    pairs = load_pairs(RAW / "index.csv")
    reasons = read_exclusions(Path(knobs.exclude), pairs["id"])
    # Twice: as they come, and in their order. Of a pair, three colours and a mask.
    require_room(ARRAYS, 2 * len(pairs) * 4 * knobs.image_size**2)
    with (
        whole_folder(ARRAYS) as folder,
        RowFile(folder) as images,
        RowFile(folder) as masks,
        ArchiveReader(RAW) as archives,
    ):
        square = knobs.resize, knobs.image_size
        table, thumbnails = convert_all(pairs, archives, *square, images, masks, "preprocess")
        table = exclude(assign(table, thumbnails, knobs), reasons)
        report = summary(table)
        write_csv(REPORT_TABLE, table[COLUMNS])
        write_json(REPORT, report)
        require_few_rejected(table, knobs.max_rejected, RAW, REPORT_TABLE)
        require_splits(table)
        require_lesions(table, knobs.max_empty, RAW)

        kept = table[table["state"] == KEPT]
        for split in SPLITS:
            rows = kept.loc[kept["split"] == split, "row"]
            for kind, file in (("images", images), ("masks", masks)):
                file.save(array_path(folder, split, kind), rows)
        columns = [*pairs.columns, "height", "width", *PLACEMENT_COLUMNS, *READING_COLUMNS]
        write_csv(folder / INDEX, kept[columns])
        rejected = table[table["state"] == REJECTED]
        write_csv(folder / "rejected.csv", rejected[["id", "split", "reason"]])
        with whole_folder(THUMBNAILS) as beside:
            np.save(beside / THUMBNAILS_FILE, np.stack([thumbnails[row] for row in kept["row"]]))
    say(report)
    if reasons:
        print(f"{knobs.exclude}: {excluded(table, reasons)}")


def assign(
    table: pd.DataFrame, thumbnails: dict[int, np.ndarray], knobs: PreprocessParams
) -> pd.DataFrame:
    """`table` in order of splits, with the split and twin of each pair, and those left out.

    `thumbnails` are by the column `row`.
    """
    usable = table.index[table["state"] == KEPT]
    near = near_pictures([thumbnails[row] for row in table.loc[usable, "row"]])
    names = table.loc[usable, "id"].to_numpy()
    groups = [*table.loc[usable, "group"]]
    leaders = dict(zip(names, names[near.leaders(groups)], strict=True))
    splits = splits_of(dict(zip(table["id"], table["split"], strict=True)), leaders, knobs)
    untouched = ~table["id"].isin(splits)  # of a data set's own test split, in cross-validation
    table.loc[untouched & (table["state"] == KEPT), "state"] = LEFT_OUT
    table["split"] = table["id"].map(splits).fillna(table["split"])

    split_of = table.loc[usable, "split"].to_numpy()
    twin, bits = near.twins(split_of)
    found = twin >= 0
    table.loc[usable[found], "twin"] = names[twin[found]]
    table.loc[usable[found], "twin_split"] = split_of[twin[found]]
    table.loc[usable[found], "twin_bits"] = bits[found]
    if knobs.drop_leaks:
        leaks = (table["split"] == "train") & table["twin_split"].isin(["validation", "test"])
        table.loc[leaks, "state"] = LEFT_OUT
    order = table["split"].map(SPLITS.index)
    return table.loc[order.sort_values(kind="stable").index].reset_index(drop=True)


def exclude(table: pd.DataFrame, reasons: dict[str, str]) -> pd.DataFrame:
    """Takes the images with a reason out of training; those of other splits stay, with a note.

    After the splits are made, so that what is excluded moves no other image.
    """
    if not reasons:
        return table
    named = table["id"].isin(reasons) & (table["state"] == KEPT)
    training = named & (table["split"] == "train")
    table.loc[training, "state"] = EXCLUDED
    table["reason"] = table["reason"].astype(object).mask(training, table["id"].map(reasons))
    noted = [f"{note}; {SCORED_ANYWAY}" if note else SCORED_ANYWAY for note in table["notes"]]
    table["notes"] = table["notes"].mask(named & ~training, noted)
    return table


def excluded(table: pd.DataFrame, reasons: dict[str, str]) -> str:
    """What became of the images that are to be left out, in words."""
    named = table[table["id"].isin(reasons)]
    scored = named.loc[named["state"] == KEPT, "split"].value_counts()
    out = int((named["state"] == EXCLUDED).sum())
    parts = [f"left out of training: {out}"]
    parts += [f"kept, as they are of {split}: {count}" for split, count in scored.items()]
    if others := len(named) - out - scored.sum():
        parts.append(f"not used anyway: {others}")
    return ", ".join(parts)


def splits_of(
    official: dict[str, str], leaders: dict[str, str], knobs: PreprocessParams
) -> dict[str, str]:
    """The split of each id that is used (lesion.formats.splits)."""
    if knobs.folds:
        return assign_folds(
            official, knobs.val_fraction, knobs.folds, knobs.fold, knobs.split_seed, leaders
        )
    fractions = knobs.val_fraction, knobs.test_fraction
    return assign_splits(official, *fractions, knobs.split_seed, leaders)


def require_splits(table: pd.DataFrame) -> None:
    """Stops where a split has nothing."""
    for split in SPLITS:
        if not ((table["split"] == split) & (table["state"] == KEPT)).any():
            raise InputError(
                f"{RAW}: none of {len(table)} pairs falls into the {split} split; expected at "
                "least one: add pairs, or change val_fraction, test_fraction or split_seed"
            )


def say(report: dict) -> None:
    """Prints what a person should know of the data before training on it."""
    print("arrays:", ", ".join(f"{report[split]['kept']} {split}" for split in SPLITS))
    for note, count in report["notes"].items():
        print(f"note: {count} × {note.replace('_', ' ')} ({REPORT_TABLE})")
    if crossing := report["near_duplicates_across_splits"]:
        print(
            f"warning: {crossing} images nearly equal one of another split ({REPORT_TABLE}); "
            f"{report['left_out']} were left out of training (drop_leaks)"
        )


if __name__ == "__main__":
    run(main)
