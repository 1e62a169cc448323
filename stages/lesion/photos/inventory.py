"""The data report: what is in a data set, in a table a row an image and in a few numbers."""

from collections import Counter

import pandas as pd

from lesion.formats.splits import SPLITS

KEPT, REJECTED, LEFT_OUT, EXCLUDED = "kept", "rejected", "left out", "excluded"
SCORED_ANYWAY = "excluded but scored"  # a note
COLUMNS = [
    "id",
    "split",
    "group",  # of images that belong together, of one patient for instance; empty if unknown
    "state",  # kept, rejected, left out (drop_leaks; of official test images: folds), excluded
    "reason",  # why it was rejected or excluded, or left out of another data set
    "height",  # pixels
    "width",
    "lesion_share",  # of the pixels
    "brightness",  # 0 to 255
    "red",  # mean over the photograph, 0 to 255
    "green",
    "blue",
    "notes",  # what is unusual about the files, separated by semicolons
    "twin",  # the image that it is most like, if that is a near-duplicate
    "twin_split",
    "twin_bits",  # of 256, in which their perceptual hashes differ
]

TYPICAL = ("height", "width", "lesion_share", "brightness", "red", "green", "blue")


def summary(table: pd.DataFrame) -> dict:
    """The numbers of a table with COLUMNS: counts, and per split what a typical image is like."""
    twins = table[table["twin"].notna()]
    notes = Counter(note for notes in table["notes"].dropna() for note in notes.split("; ") if note)
    result: dict = {
        "pairs": len(table),
        "rejected": int((table["state"] == REJECTED).sum()),
        "left_out": int((table["state"] == LEFT_OUT).sum()),
        "excluded": int((table["state"] == EXCLUDED).sum()),
        "near_duplicates": len(twins),
        "near_duplicates_across_splits": int((twins["twin_split"] != twins["split"]).sum()),
        "groups": len(set(table["group"].dropna()) - {""}),
        "groups_across_splits": groups_across_splits(table),
        "notes": {note.replace(" ", "_"): count for note, count in sorted(notes.items())},
    }
    for split in SPLITS:
        rows = table[(table["state"] == KEPT) & (table["split"] == split)]
        result[split] = {"kept": len(rows)}
        if len(rows):
            result[split] |= {
                f"median_{name}": round(float(rows[name].median()), 4) for name in TYPICAL
            }
    return result


def groups_across_splits(table: pd.DataFrame) -> int:
    """How many groups have images in several splits, of those that are kept."""
    kept = table[(table["state"] == KEPT) & (table["group"] != "")]
    return int((kept.groupby("group")["split"].nunique() > 1).sum())
