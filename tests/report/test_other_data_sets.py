"""The rows that the page and the card have of other data sets."""

import math

import pandas as pd
import pytest

from lesion.photos.overlap import COUNTED
from lesion.report.external import data_sets
from lesion.scoring.external import against_test

NONE = dict.fromkeys(COUNTED, 0)
TESTED = pd.DataFrame(
    [
        ("test", "all", "network", "dice", 335, 0.9, 0.89, 0.91),
        ("test", "all", "network", "hd95", 335, 20.0, 18.0, 22.0),
        ("test", "all", "otsu", "dice", 335, 0.2, 0.1, 0.3),
        ("test", "size: small", "network", "dice", 9, 0.7, math.nan, math.nan),
        ("validation", "all", "network", "dice", 238, 0.95, 0.94, 0.96),
    ],
    columns=["split", "group", "method", "score", "images", "value", "low", "high"],
)
SCORES = pd.DataFrame(
    [
        ("all", "dice", 190, 0.8, 0.77, 0.82),
        ("all", "hd95", 190, 30.0, 28.0, 33.0),
        ("all", "failed", 190, 0.1, 0.05, 0.15),
        ("split: train", "dice", 90, 0.7, 0.6, 0.75),
    ],
    columns=["group", "score", "images", "value", "low", "high"],
)


@pytest.fixture
def external() -> pd.DataFrame:
    return against_test(SCORES, TESTED).assign(dataset="ph2")


def test_the_difference_is_that_to_the_networks_score_on_the_whole_test_split(external):
    dice, hd95, failed, of_split = external.itertuples()
    assert dice.difference == pytest.approx(-0.1)
    assert dice.difference_low == pytest.approx(-0.1 - math.hypot(0.03, 0.01))
    assert dice.difference_high == pytest.approx(-0.1 + math.hypot(0.02, 0.01))
    assert math.isnan(hd95.difference)  # pixels of photographs of another size
    assert math.isnan(failed.difference)  # not scored there
    assert of_split.difference == pytest.approx(-0.2)


def test_a_row_has_scores_intervals_differences_and_what_was_left_out(external):
    numbers = {
        "ph2": NONE | {"images": 190, "left_out_same_id": 4, "also_in_test": 2},
        "none": NONE | {"images": 0, "rejected": 1},
    }
    tested, ph2, none = data_sets(numbers, external, TESTED)
    assert (tested.name, tested.images, tested.counted) == ("test split", 335, [])
    assert vars(tested.cells[0]) == {
        "value": "0.900",
        "interval": "0.890–0.910",
        "difference": "",
        "apart": "",
    }
    assert (ph2.images, ph2.counted) == (190, ["4 left out by id", "2 also in the test split"])
    assert vars(ph2.cells[0]) == {
        "value": "0.800",
        "interval": "0.770–0.820",
        "difference": "−0.100",
        "apart": "−0.132 to −0.078",
    }
    assert none.counted == ["1 rejected"] and {cell.value for cell in none.cells} == {"–"}


def test_no_other_data_set_no_row(external):
    assert data_sets({}, external[:0], TESTED) == []
