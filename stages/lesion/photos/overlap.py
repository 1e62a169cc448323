"""Which images of another data set the pipeline's own data hold too, by id and by looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lesion.console.shown import one_line
from lesion.formats.arrays import load_indices
from lesion.photos.duplicates import NearPairs, near_pictures
from lesion.photos.inventory import KEPT, LEFT_OUT, REJECTED
from lesion.pipeline.errors import InputError

THUMBNAILS = Path("thumbnails")
THUMBNAILS_FILE = "images.npy"  # of duplicates.thumbnail, one a row of arrays/index.csv
LEARNT_FROM = ("train", "validation")  # what weights are fitted to, and what is chosen on
# Why an image of another data set is left out.
SAME_ID = "has the id of an image that was learnt from"
NEAR = "nearly equals an image that was learnt from"
# What `counts` counts, in words.
COUNTED = {
    "left_out_same_id": "left out by id",
    "left_out_near_duplicate": "left out as near-duplicates",
    "rejected": "rejected",
    "also_in_test": "also in the test split",
}


@dataclass(frozen=True)
class Own:
    """The images of the pipeline's own splits: N ids, their splits and thumbnails."""

    ids: Sequence[str]
    splits: Sequence[str]
    thumbnails: Sequence[np.ndarray]


def load_own(arrays: Path, thumbnails: Path = THUMBNAILS) -> Own:
    """Of what the stage preprocess left.

    Raises:
        InputError: a file is missing, or they do not belong together.
    """
    index, path = load_indices(arrays), thumbnails / THUMBNAILS_FILE
    try:
        found = np.load(path)
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `dvc repro preprocess`") from None
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: no array ({error}); run `dvc repro preprocess`") from None
    if len(found) != len(index):
        raise InputError(
            f"{path}: thumbnails of {len(found)} images; expected {len(index)}, as {arrays} has; "
            "run `dvc repro preprocess`"
        )
    return Own([*index["id"]], [*index["split"]], [*found])


def overlap(ids: Sequence[str], near: NearPairs, own: Own) -> pd.DataFrame:
    """For each of N images the one of `own` that it is, or nearly equals: N rows.

    `near` are pairs of near-duplicates in the images of `own` followed by these.

    twin        its id, NaN where there is none
    twin_split  its split; one that was learnt from comes before one that was not
    twin_bits   in which their hashes differ, NA where they are not near
    same_id     whether the two have one id; such a twin comes before one that only looks alike
    """
    position = {name: at for at, name in enumerate(own.ids)}
    same = [(row, position[name]) for row, name in enumerate(ids) if name in position]
    count = len(own.ids)
    across = (near.first < count) & (near.second >= count)
    alike = pd.DataFrame(
        {
            "row": near.second[across] - count,
            "own": near.first[across],
            "twin_bits": near.bits[across],
        }
    )
    by_id = pd.DataFrame(same, columns=["row", "own"], dtype=int).assign(same_id=True)
    found = alike.merge(by_id, on=["row", "own"], how="outer")
    found["same_id"] = found["same_id"].eq(True)
    found["twin"] = [own.ids[at] for at in found["own"]]
    found["twin_split"] = [own.splits[at] for at in found["own"]]
    found["unseen"] = ~found["twin_split"].isin(LEARNT_FROM)
    found["other_id"] = ~found["same_id"]
    found = found.sort_values(["row", "unseen", "other_id", "twin_bits", "own"])
    best = found.drop_duplicates("row").set_index("row").reindex(range(len(ids)))
    best["same_id"] = best["same_id"].eq(True)
    best["twin_bits"] = best["twin_bits"].astype("Int64")
    columns = ["twin", "twin_split", "twin_bits", "same_id"]
    return best[columns].astype({"twin": "str", "twin_split": "str"})


def mark_overlap(
    table: pd.DataFrame, thumbnails: Sequence[np.ndarray], own: Own, *, leave_out: bool = True
) -> pd.DataFrame:
    """`table` with the twin in `own` of each image that can be used, one of `thumbnails` each.

    What was learnt from is left out, with the reason; what the test split has as well stays.
    """
    table = table.copy()
    usable = table.index[table["state"] == KEPT]
    near = near_pictures([*own.thumbnails, *thumbnails], known=len(own.ids))
    found = overlap([*table.loc[usable, "id"]], near, own).set_index(usable)
    for column in ("twin", "twin_split", "twin_bits"):
        table.loc[usable, column] = found[column].array
    learnt = found["twin_split"].isin(LEARNT_FROM) & leave_out
    for reason, same in ((SAME_ID, True), (NEAR, False)):
        rows = usable[learnt & (found["same_id"] == same)]
        table.loc[rows, "state"], table.loc[rows, "reason"] = LEFT_OUT, reason
    return table


def remarks(table: pd.DataFrame) -> list[str]:
    """A line for a person where images left out by id look like other photographs."""
    unlike = table.loc[(table["reason"] == SAME_ID) & table["twin_bits"].isna(), "id"]
    if unlike.empty:
        return []
    return [
        one_line(
            f"{len(unlike)} of those left out by id do not look like the image of that id, "
            f"{unlike.iloc[0]} for one; rename what is another photograph"
        )
    ]


def counts(table: pd.DataFrame) -> dict[str, int]:
    """How many images of a table of `mark_overlap` are in each of the cases of COUNTED."""
    kept = table["state"] == KEPT
    cases = {
        "left_out_same_id": table["reason"] == SAME_ID,
        "left_out_near_duplicate": table["reason"] == NEAR,
        "rejected": table["state"] == REJECTED,
        "also_in_test": kept & (table["twin_split"] == "test"),
    }
    return {name: int(rows.sum()) for name, rows in cases.items()}
