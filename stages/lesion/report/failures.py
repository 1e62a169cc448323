"""In words, what is wrong with a prediction, and what about the image may have led to it."""

from typing import Protocol

LARGE = 0.25  # share of the lesion that is missed, or of the marked pixels that are skin
HARD = {
    "size": {"small": "small lesion", "large": "large lesion"},
    "border": {"touches": "touches the edge"},
    "contrast": {"low": "low contrast"},
    "hair": {"yes": "hair"},
}


class Counted(Protocol):
    """Pixels of an image: rightly marked, wrongly marked, missed."""

    tp: int
    fp: int
    fn: int


def reasons(row: Counted, groups: dict[str, str]) -> list[str]:
    """Short phrases; `row` is of metrics/per_image.csv, `groups` of formats/groups.py."""
    marked, lesion = row.tp + row.fp, row.tp + row.fn
    found = []
    if not lesion:
        found.append("marks skin, and there is no lesion" if marked else "no lesion, none marked")
    elif not marked:
        found.append("nothing marked")
    elif not row.tp:
        found.append("marks skin only")
    else:
        if row.fn / lesion >= LARGE:
            found.append(f"misses {row.fn / lesion:.0%} of the lesion")
        if row.fp / marked >= LARGE:
            found.append(f"{row.fp / marked:.0%} of the mark is skin")
    hints = (HARD.get(name, {}).get(group) for name, group in groups.items())
    return found + [hint for hint in hints if hint]
