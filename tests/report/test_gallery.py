"""Which images the report page shows, where there are too many for one page."""

import numpy as np
import pandas as pd
import pytest

from lesion.report import gallery
from lesion.report.gallery import left_out, selected


@pytest.fixture
def cases() -> pd.DataFrame:
    iou = np.random.default_rng(1).permutation(60) / 60
    splits = ["test"] * 40 + ["validation"] * 20
    return pd.DataFrame({"id": [f"{i:02}" for i in range(60)], "split": splits, "iou": iou})


@pytest.mark.parametrize("limit", [40, 1000])
def test_all_are_shown_up_to_the_limit(monkeypatch, cases, limit):
    monkeypatch.setattr(gallery, "LIMIT", limit)
    assert sorted(selected(cases)["id"]) == cases["id"].tolist()
    assert left_out(cases) == []


def test_of_more_the_worst_half_is_shown_and_as_many_of_the_others(monkeypatch, cases):
    monkeypatch.setattr(gallery, "LIMIT", 21)
    found = selected(cases)
    tests, validation = (found[found["split"] == split] for split in ("test", "validation"))
    assert len(tests) == 21 and len(validation) == 20
    assert not found["id"].duplicated().any()
    ranked = cases[cases["split"] == "test"].sort_values("iou")["id"].tolist()
    assert tests["id"].tolist()[:10] == ranked[:10]
    drawn = tests["id"].tolist()[10:]
    assert set(drawn) <= set(ranked[10:]) and drawn != ranked[10:21]
    assert selected(cases.sample(frac=1, random_state=0))["id"].tolist() == found["id"].tolist()
    said = "Of 40 test images: the 10 of the lowest IoU, and 11 of the others at random."
    assert left_out(cases) == [said]
