"""The scores on other data sets beside those of the test split, for the page and the card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lesion.photos.overlap import COUNTED
from lesion.report.page.numbers import ALL, HEADLINE, NETWORK, NONE, SCORES, SPLIT

SCORED = [SCORES[name] for name in HEADLINE]


@dataclass(frozen=True)
class Cell:
    """A score in words: its value and the 95 % interval; how much more it is than on the test
    split, and the interval of that. Empty where there is none."""

    value: str
    interval: str
    difference: str
    apart: str


@dataclass(frozen=True)
class DataSet:
    """A row: `cells` has one of SCORED each, `counted` says of images what was done with them."""

    name: str
    images: int
    counted: list[str]
    cells: list[Cell]


def data_sets(
    numbers: Mapping[str, Mapping[str, float]], external: pd.DataFrame, scores: pd.DataFrame
) -> list[DataSet]:
    """The test split, and below it each other data set; empty where there is none.

    `numbers` is what metrics/external.json has under external, `external` metrics/external.csv,
    `scores` metrics/scores.csv.
    """
    if not numbers:
        return []
    tested = scores[(scores["split"] == SPLIT) & (scores["method"] == NETWORK)]
    count = int(tested["images"].max())
    found = [DataSet(f"{SPLIT} split", count, [], _cells(tested[tested["group"] == ALL]))]
    for name, own in numbers.items():
        rows = external[(external["dataset"] == name) & (external["group"] == ALL)]
        counted = [f"{own[key]} {what}" for key, what in COUNTED.items() if own[key]]
        found.append(DataSet(name, int(own["images"]), counted, _cells(rows)))
    return found


def _cells(rows: pd.DataFrame) -> list[Cell]:
    by_score = rows.set_index("score").to_dict("index")
    return [_cell(by_score.get(name, {})) for name in HEADLINE]


def _cell(row: Mapping[str, float]) -> Cell:
    if not row:
        return Cell(NONE, "", "", "")
    difference = row.get("difference", math.nan)
    return Cell(
        f"{row['value']:.3f}",
        _interval(f"{row['low']:.3f}", f"{row['high']:.3f}", "–"),
        _signed(difference) if math.isfinite(difference) else "",
        _interval(*(_signed(row.get(f"difference_{end}", math.nan)) for end in ("low", "high"))),
    )


def _interval(low: str, high: str, between: str = " to ") -> str:
    return "" if "nan" in low else f"{low}{between}{high}"


def _signed(number: float) -> str:
    return f"{number:+.3f}".replace("-", "−")
