import json

import pandas as pd

from lesion.report import COLUMNS, KEPT, LEFT_OUT, REJECTED, summary

MEASURED = {"height": 1, "width": 1, "lesion_share": 0.5, "brightness": 1.0}


def row(name: str, split: str, state: str = KEPT, **values: object) -> dict:
    """A row of the table; None in what is not given."""
    return dict.fromkeys(COLUMNS) | {"id": name, "split": split, "state": state} | values


def test_every_pair_is_counted_once_and_only_kept_ones_by_split():
    table = pd.DataFrame(
        [
            row("a", "train", height=100, width=200, lesion_share=0.1, brightness=50.0, notes=""),
            row("b", "train", height=300, width=400, lesion_share=0.4, brightness=70.0, notes=""),
            row("c", "train", REJECTED, reason="image: cut"),
            row("d", "train", LEFT_OUT, height=9, width=9, lesion_share=0.9, brightness=9.0),
            row("e", "test", height=30, width=40, lesion_share=0.25, brightness=80.0, notes=""),
        ]
    )
    report = summary(table)
    assert (report["pairs"], report["rejected"], report["left_out"]) == (5, 1, 1)
    assert report["train"] == {
        "images": 2,
        "median_height": 200,
        "median_width": 300,
        "median_lesion_share": 0.25,
        "median_brightness": 60,
    }
    assert report["test"]["images"] == 1 and report["test"]["median_width"] == 40
    assert report["validation"] == {"images": 0}


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
    assert report["train"] == report["test"] == {"images": 0} and report["notes"] == {}


def test_the_report_can_be_written_as_json():
    table = pd.DataFrame(
        [row("a", "train", height=5, width=7, lesion_share=0.5, brightness=1.0, notes="grey")]
    ).astype({"height": "Int64", "width": "Int64"})
    assert json.loads(json.dumps(summary(table)))["train"]["median_height"] == 5
