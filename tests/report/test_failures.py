from types import SimpleNamespace

import pytest

from lesion.report.failures import reasons


def row(tp: int, fp: int, fn: int) -> SimpleNamespace:
    return SimpleNamespace(tp=tp, fp=fp, fn=fn)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((0, 0, 50), ["nothing marked"]),
        ((0, 9, 50), ["marks skin only"]),
        ((0, 9, 0), ["marks skin, and there is no lesion"]),
        ((0, 0, 0), ["no lesion, none marked"]),
        ((60, 0, 40), ["misses 40% of the lesion"]),
        ((75, 25, 25), ["misses 25% of the lesion", "25% of the mark is skin"]),
        ((30, 70, 0), ["70% of the mark is skin"]),
        ((90, 10, 10), []),
        ((70, 0, 20), []),
        ((70, 20, 0), []),
    ],
)
def test_what_is_wrong_is_said_in_shares(counts, expected):
    assert reasons(row(*counts), {}) == expected


def test_what_makes_an_image_hard_follows_and_nothing_else():
    groups = {"size": "small", "border": "touches", "contrast": "low", "hair": "yes"}
    assert reasons(row(90, 0, 10), groups) == [
        "small lesion",
        "touches the edge",
        "low contrast",
        "hair",
    ]
    easy = {"size": "medium", "border": "inside", "contrast": "high", "hair": "no", "x": "y"}
    assert reasons(row(90, 0, 10), easy) == []
