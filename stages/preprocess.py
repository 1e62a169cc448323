"""Decodes every image and mask once and lays them out as arrays, ready for training.

reads   raw/, the file `exclude`
writes  arrays/: <split>_images.npy (uint8 N×H×W×3), <split>_masks.npy (uint8 N×H×W of 0 and 1),
        index.csv (one row a pair, in the arrays' order), rejected.csv (what could not be used);
        metrics/data.json and metrics/data.csv, what is in the data set
knobs   image_size, resize, val_fraction, test_fraction, split_seed, folds, fold, drop_leaks,
        exclude, max_rejected, max_empty (params.yaml)
"""

import lesion  # noqa: F401  before the libraries to which it says how to compute

# isort: split

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from lesion.console.cli import run
from lesion.console.progress import Progress
from lesion.formats.arrays import INDEX, RowFile, array_path
from lesion.formats.splits import SPLITS, assign_folds, assign_splits
from lesion.parameters.preprocess import PreprocessParams
from lesion.parameters.reading import load_params
from lesion.photos.archives import ArchiveReader
from lesion.photos.convert import Converted, convert
from lesion.photos.duplicates import NearPairs, near_pictures
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
from lesion.photos.masks import READING_COLUMNS, Reading
from lesion.photos.placement import PLACEMENT_COLUMNS
from lesion.photos.readings import Evidence, settle
from lesion.pipeline.errors import ImageError, InputError
from lesion.pipeline.files import require_room, whole_folder, write_csv, write_json
from lesion.pipeline.parallel import in_order

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
    with whole_folder(ARRAYS) as folder, RowFile(folder) as images, RowFile(folder) as masks:
        table, near = convert_all(pairs, knobs, images, masks)
        table = exclude(assign(table, near, knobs), reasons)
        report = summary(table)
        write_csv(REPORT_TABLE, table[COLUMNS])
        write_json(REPORT, report)
        require_usable(table, knobs.max_rejected)
        require_lesions(table, knobs.max_empty)

        kept = table[table["state"] == KEPT]
        for split in SPLITS:
            rows = kept.loc[kept["split"] == split, "row"]
            for kind, file in (("images", images), ("masks", masks)):
                file.save(array_path(folder, split, kind), rows)
        columns = [*pairs.columns, "height", "width", *PLACEMENT_COLUMNS, *READING_COLUMNS]
        write_csv(folder / INDEX, kept[columns])
        rejected = table[table["state"] == REJECTED]
        write_csv(folder / "rejected.csv", rejected[["id", "split", "reason"]])
    say(report)
    if reasons:
        print(f"{knobs.exclude}: {excluded(table, reasons)}")


def load_pairs(path: Path) -> pd.DataFrame:
    """A row a pair, as the download stage lists them, all columns text.

    Raises:
        InputError: there is no such list.
    """
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `dvc repro`, which makes it") from None


def convert_all(
    pairs: pd.DataFrame, knobs: PreprocessParams, images: RowFile, masks: RowFile
) -> tuple[pd.DataFrame, NearPairs]:
    """Converts every pair; the arrays of those that can be used go to `images` and `masks`.

    Returns `pairs` with measurements and the row in those files, and which nearly equal each other.
    """
    rows = list(pairs.itertuples(index=False))
    records: dict[int, dict[str, object]] = {}
    pictures: dict[int, np.ndarray] = {}
    evidence: dict[int, Evidence] = {}
    with ArchiveReader(RAW) as archives:

        def convert_pair(at: int, reading: Reading | None = None) -> Converted | str:
            pair = rows[at]
            try:
                image = archives.read(pair.image_archive, pair.image)
                mask = archives.read(pair.mask_archive, pair.mask)
                values = [int(value) for value in pair.lesion_values.split()]
                return convert(image, mask, knobs.resize, knobs.image_size, reading, values)
            except ImageError as error:
                return str(error)

        def record(at: int, result: Converted | str) -> None:
            if isinstance(result, str):
                records[at] = {"state": REJECTED, "reason": result}
                pictures.pop(at, None)
                return
            row = images.append(result.image)
            masks.append(result.mask)
            pictures[at] = result.small
            values = " and ".join(map(str, evidence[at].values.levels))
            records[at] = {"state": KEPT, "row": row, "values": values, **result.measurements()}

        with Progress("preprocess", len(rows), "images") as progress:
            for at, result in enumerate(in_order(convert_pair, range(len(rows)))):
                if isinstance(result, Converted):
                    where = rows[at].id, rows[at].mask_archive
                    assert result.values is not None  # no reading was given
                    evidence[at] = Evidence(*where, result.reading, result.values, result.turn)
                record(at, result)
                progress.update()
        # What a pair does not tell by itself, the others do.
        settled = dict(zip(evidence, settle(list(evidence.values())), strict=True))
        again: dict[int, Reading] = {}
        for at, reading in settled.items():
            if isinstance(reading, str):
                record(at, f"mask: {reading}")
            elif reading != evidence[at].reading:
                again[at] = reading
        results = in_order(lambda at: convert_pair(at, again[at]), again)
        for at, result in zip(again, results, strict=True):
            record(at, result)
    found = pd.DataFrame([records[at] for at in range(len(rows))], index=pairs.index)
    columns = ["row", "values", *COLUMNS, *PLACEMENT_COLUMNS, *READING_COLUMNS]
    table = pairs.join(found).reindex(columns=list(dict.fromkeys([*pairs.columns, *columns])))
    whole_numbers = dict.fromkeys(
        ["row", "height", "width", "twin_bits", "mask_turn", *PLACEMENT_COLUMNS], "Int64"
    )
    table = table.astype({"twin": "str", "twin_split": "str", **whole_numbers})
    return table, near_pictures([pictures[at] for at in sorted(pictures)])


def assign(table: pd.DataFrame, near: NearPairs, knobs: PreprocessParams) -> pd.DataFrame:
    """`table` in order of splits, with the split and twin of each pair, and those left out."""
    usable = table.index[table["state"] == KEPT]
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


def require_usable(table: pd.DataFrame, max_rejected: float) -> None:
    """Stops where more than that share of the pairs was rejected, or a split has nothing left."""
    rejected = table[table["state"] == REJECTED]
    if len(rejected) > max_rejected * len(table):
        first = rejected.iloc[0]
        raise InputError(
            f"{RAW}: {len(rejected)} of {len(table)} pairs cannot be used, the first being "
            f"{first['id']}: {first['reason']}; all are listed in {REPORT_TABLE}; mend or remove "
            f"them, or allow a share of them with max_rejected (now {max_rejected})"
        )
    for split in SPLITS:
        if not ((table["split"] == split) & (table["state"] == KEPT)).any():
            raise InputError(
                f"{RAW}: none of {len(table)} pairs falls into the {split} split; expected at "
                "least one: add pairs, or change val_fraction, test_fraction or split_seed"
            )


def require_lesions(table: pd.DataFrame, max_empty: float) -> None:
    """Stops where more than that share of a split's masks has no lesion, or is all lesion.

    One mask alone, beside others that are not so, never stops a split, however small.
    """
    kept = table[table["state"] == KEPT]
    for split, note in product(SPLITS, ("no lesion", "all lesion")):
        of_split = kept[kept["split"] == split]
        such = of_split[[note in notes.split("; ") for notes in of_split["notes"]]]
        if len(such) <= max_empty * len(of_split) or len(such) <= min(1, len(of_split) - 1):
            continue
        values = such["values"].value_counts().head(3)
        said = ", ".join(f"{value} in {count}" for value, count in values.items())
        raise InputError(
            f"{RAW}: {len(such)} of {len(of_split)} masks of the {split} split have {note}, "
            f"the first being {such['id'].iloc[0]} (their values: {said}); look at them: "
            "lesion_values in datasets.yaml says which values are lesion, and max_empty allows a "
            f"share of such masks (now {max_empty})"
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
