"""All pairs of a data set, decoded and checked once, and what of them can be used."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from lesion.console.progress import Progress
from lesion.formats.arrays import RowFile
from lesion.photos.archives import Reader
from lesion.photos.convert import Converted, convert
from lesion.photos.inventory import COLUMNS, KEPT, REJECTED
from lesion.photos.masks import READING_COLUMNS, Reading
from lesion.photos.placement import PLACEMENT_COLUMNS
from lesion.photos.readings import Evidence, settle
from lesion.pipeline.errors import ImageError, InputError
from lesion.pipeline.parallel import in_order


def load_pairs(path: Path) -> pd.DataFrame:
    """A row a pair, as the stages download and collect list them, all columns text.

    Raises:
        InputError: there is no such list.
    """
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `dvc repro`, which makes it") from None


def convert_all(
    pairs: pd.DataFrame,
    reader: Reader,
    policy: str,
    side: int,
    images: RowFile,
    masks: RowFile,
    title: str,
) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """Converts every pair; the arrays of those that can be used go to `images` and `masks`.

    Returns `pairs` with the columns of the data report, with where each lies in the square (of
    `side` pixels, by `policy`) and how its mask is read, and `row`, its position in those files;
    and the thumbnail of each (duplicates.thumbnail) by that position.

    Raises:
        InputError: the masks contradict each other.
    """
    rows = list(pairs.itertuples(index=False))
    records: dict[int, dict[str, object]] = {}
    thumbnails: dict[int, np.ndarray] = {}
    evidence: dict[int, Evidence] = {}

    def convert_pair(at: int, reading: Reading | None = None) -> Converted | str:
        pair = rows[at]
        try:
            image = reader.read(pair.image_archive, pair.image)
            mask = reader.read(pair.mask_archive, pair.mask)
            values = [int(value) for value in pair.lesion_values.split()]
            return convert(image, mask, policy, side, reading, values)
        except ImageError as error:
            return str(error)

    def record(at: int, result: Converted | str) -> None:
        if isinstance(result, str):
            records[at] = {"state": REJECTED, "reason": result}
            return
        row = images.append(result.image)
        masks.append(result.mask)
        thumbnails[row] = result.thumbnail
        values = " and ".join(map(str, evidence[at].values.levels))
        records[at] = {"state": KEPT, "row": row, "values": values, **result.measurements()}

    with Progress(title, len(rows), "images") as progress:
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
    texts = dict.fromkeys(["reason", "twin", "twin_split"], "str")
    return table.astype({**texts, **whole_numbers}), thumbnails


def require_few_rejected(
    table: pd.DataFrame, max_rejected: float, place: Path, report: Path
) -> None:
    """Stops where more than that share of the pairs was rejected; `report` lists them."""
    rejected = table[table["state"] == REJECTED]
    if len(rejected) > max_rejected * len(table):
        first = rejected.iloc[0]
        raise InputError(
            f"{place}: {len(rejected)} of {len(table)} pairs cannot be used, the first being "
            f"{first['id']}: {first['reason']}; all are listed in {report}; mend or remove "
            f"them, or allow a share of them with max_rejected (now {max_rejected})"
        )


def require_lesions(table: pd.DataFrame, max_empty: float, place: Path) -> None:
    """Stops where more than that share of a split's masks has no lesion, or is all lesion.

    One mask alone, beside others that are not so, never stops a split, however small.
    """
    kept = table[table["state"] == KEPT]
    for split, note in product(kept["split"].unique(), ("no lesion", "all lesion")):
        of_split = kept[kept["split"] == split]
        such = of_split[[note in notes.split("; ") for notes in of_split["notes"]]]
        if len(such) <= max_empty * len(of_split) or len(such) <= min(1, len(of_split) - 1):
            continue
        values = such["values"].value_counts().head(3)
        said = ", ".join(f"{value} in {count}" for value, count in values.items())
        raise InputError(
            f"{place}: {len(such)} of {len(of_split)} masks of the {split} split have {note}, "
            f"the first being {such['id'].iloc[0]} (their values: {said}); look at them: "
            "lesion_values in datasets.yaml says which values are lesion, and max_empty allows a "
            f"share of such masks (now {max_empty})"
        )
