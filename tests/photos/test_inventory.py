import json

import pandas as pd

from lesion.photos.inventory import COLUMNS, EXCLUDED, KEPT, LEFT_OUT, REJECTED, summary

NUMBERS = ("height", "width", "lesion_share", "brightness", "red", "green", "blue")


def measured(*numbers: float) -> dict[str, float]:
    """NUMBERS of an image."""
    return dict(zip(NUMBERS, numbers, strict=True))


MEASURED = measured(5, 7, 0.5, 1, 4, 5, 6)


def row(name: str, split: str, state: str = KEPT, **values: object) -> dict:
    """A row of the table; None in what is not given."""
    return dict.fromkeys(COLUMNS) | {"id": name, "split": split, "state": state} | values


def test_every_pair_is_counted_once_and_only_kept_ones_by_split():
    table = pd.DataFrame(
        [
            row("a", "train", **measured(100, 200, 0.1, 50, 10, 20, 90), notes=""),
            row("b", "train", **measured(300, 400, 0.4, 70, 30, 40, 70), notes=""),
            row("c", "train", **measured(110, 210, 0.2, 51, 11, 21, 89), notes=""),
            row("d", "train", REJECTED, reason="image: cut"),
            row("e", "train", LEFT_OUT, **measured(9, 9, 0.9, 9, 9, 9, 9), notes=""),
            row("g", "train", EXCLUDED, **measured(9, 9, 0.9, 9, 9, 9, 9), notes=""),
            row("f", "test", **measured(30, 40, 0.25, 80, 1, 2, 3), notes=""),
        ]
    )
    report = summary(table)
    assert report["pairs"] == 7
    assert report["rejected"] == report["left_out"] == report["excluded"] == 1
    medians = measured(110, 210, 0.2, 51, 11, 21, 89)
    expected = {f"median_{name}": number for name, number in medians.items()}
    assert report["train"] == {"kept": 3} | expected
    assert report["test"]["kept"] == 1 and report["test"]["median_width"] == 40
    assert report["validation"] == {"kept": 0}


def test_notes_are_counted_by_name_those_of_rejected_pairs_being_none():
    table = pd.DataFrame(
        [
            row("a", "train", notes="grey; 16 bit", **MEASURED),
            row("b", "train", notes="", **MEASURED),
            row("c", "test", notes="grey", **MEASURED),
            row("d", "test", REJECTED, reason="mask: cut"),
        ]
    )
    report = summary(table)
    assert report["notes"] == {"16_bit": 1, "grey": 2}
    assert list(report["notes"]) == ["16_bit", "grey"]


def test_near_duplicates_are_counted_and_those_of_another_split_apart():
    table = pd.DataFrame(
        [
            row("a", "train", REJECTED, twin="b", twin_split="train", twin_bits=4),
            row("b", "train", REJECTED, twin="a", twin_split="train", twin_bits=4),
            row("c", "train", LEFT_OUT, twin="d", twin_split="test", twin_bits=9),
            row("d", "test", REJECTED, twin="c", twin_split="train", twin_bits=9),
            row("e", "test", REJECTED),
        ]
    )
    report = summary(table)
    assert report["near_duplicates"] == 4
    assert report["near_duplicates_across_splits"] == 2


def test_a_data_set_without_a_usable_pair_has_a_report_too():
    report = summary(pd.DataFrame([row("a", "train", REJECTED, reason="image: cut")]))
    assert report["pairs"] == report["rejected"] == 1
    assert report["train"] == report["test"] == {"kept": 0} and report["notes"] == {}


def test_the_report_can_be_written_as_json():
    table = pd.DataFrame(
        [row("a", "train", **MEASURED, notes="grey")],
    ).astype({"height": "Int64", "width": "Int64"})
    assert json.loads(json.dumps(summary(table)))["train"]["median_height"] == 5
