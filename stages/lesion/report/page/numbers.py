"""The page's numbers, made ready for its template: what is written where, and each dot's place."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

SPLIT, NETWORK, ALL = "test", "network", "all"
HEADLINE = ("dice", "iou", "thresholded_iou")
PER_IMAGE, BOUNDARY, POOLED = "Mean over images", "Boundary, mean over images", "Pooled"
NONE = "–"


@dataclass(frozen=True)
class Score:
    """How a score is named and written."""

    label: str
    family: str = PER_IMAGE
    meaning: str = ""
    digits: int = 3
    pixels: bool = False  # a distance in pixels; otherwise a share, 0 to 1


# In the order of the columns, family by family. Others come behind them, under their own names.
SCORES = {
    "dice": Score("Dice"),
    "iou": Score("IoU", meaning="Jaccard index"),
    "thresholded_iou": Score("Thresholded IoU", meaning="0 where IoU is below 0.65"),
    "accuracy": Score("Accuracy"),
    "sensitivity": Score("Sensitivity", meaning="share of the lesion that was found"),
    "specificity": Score("Specificity", meaning="share of the skin that was left out"),
    "expected_dice": Score("Expected Dice", meaning="what the network expects, without the truth"),
    "lesion_share": Score("Lesion share", meaning="of the image's pixels"),
    "failed": Score("Failed", meaning="share of the images with IoU below 0.65"),
    "boundary_f1": Score("Boundary F1", BOUNDARY),
    "hd95": Score("HD95, px", BOUNDARY, "95th percentile of the boundaries' distance", 1, True),
    "assd": Score("ASSD, px", BOUNDARY, "mean distance of the boundaries", 1, True),
    "pooled_dice": Score("Pooled Dice", POOLED, "all pixels counted as one image"),
    "pooled_iou": Score("Pooled IoU", POOLED, "all pixels counted as one image"),
    "batch_dice": Score("Batch Dice", POOLED, "pooled in batches, mean over those"),
}


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval, as text and as places on an axis (percent of its length)."""

    value: str
    interval: str  # empty where there is none
    images: str
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Headline:
    """One of the numbers in large type."""

    name: str
    score: Score
    estimate: Estimate


@dataclass(frozen=True)
class Method:
    """A row of the table of methods; `cells` has None where there is no such score."""

    name: str
    kind: str  # network, baseline, validation or published
    images: str
    cells: list[Estimate | None]


@dataclass(frozen=True)
class Methods:
    """The table of methods × scores; `families` are the headings above the columns, with spans."""

    families: list[tuple[str, int]]
    columns: list[Score]
    rows: list[Method]


@dataclass(frozen=True)
class Panel:
    """One score by group: {"size": {"small": estimate, …}, …}, all on one axis."""

    name: str
    score: Score
    ends: tuple[str, str]
    overall: Estimate | None
    groups: dict[str, dict[str, Estimate]]


def described(name: str) -> dict:
    """What page.js gets of a score's name."""
    score = _score(name)
    return {"label": score.label, "digits": score.digits}


def headline(scores: pd.DataFrame) -> list[Headline]:
    """Dice, IoU and thresholded IoU of the network, on an axis from 0 to 1."""
    rows = _rows(scores)
    split = _main_split(scores)
    return [
        Headline(name, SCORES[name], _estimate(row, SCORES[name], (0, 1)))
        for name in HEADLINE
        if (row := rows.get((split, ALL, NETWORK, name)))
    ]


def methods(scores: pd.DataFrame) -> Methods:
    """The network, its baselines, the network on other splits, and published results below."""
    rows, main = _rows(scores), _main_split(scores)
    whole = scores[scores["group"] == ALL]
    names = _in_order(whole["score"])
    columns = [_score(name) for name in names]
    families = dict.fromkeys(column.family for column in columns)
    kinds: dict[str, list[Method]] = {
        kind: [] for kind in ("network", "baseline", "validation", "published")
    }
    for (split, method), found in whole.groupby(["split", "method"], sort=False):
        kind = "published" if _published(found) else "baseline"
        if method == NETWORK:
            kind = "network" if split == main else "validation"
        cells = [
            _estimate(row, _score(name), (0, 1))
            if (row := rows.get((split, ALL, method, name)))
            else None
            for name in names
        ]
        label = method if split == main or kind == "published" else f"{method}, {split}"
        kinds[kind].append(Method(label, kind, _count(found["images"].max()), cells))
    return Methods(
        [(family, sum(column.family == family for column in columns)) for family in families],
        columns,
        [row for rows in kinds.values() for row in rows],
    )


def panels(scores: pd.DataFrame) -> list[Panel]:
    """A panel a score that was measured in groups, of the network on the main split."""
    rows, split = _rows(scores), _main_split(scores)
    mine = scores[(scores["split"] == split) & (scores["method"] == NETWORK)]
    in_groups = mine[mine["group"] != ALL]
    found = []
    for name in _in_order(in_groups["score"]):
        score = _score(name)
        axis = _axis(mine[mine["score"] == name], score)
        groups: dict[str, dict[str, Estimate]] = {}
        for group in dict.fromkeys(in_groups.loc[in_groups["score"] == name, "group"]):
            trait, _, value = group.rpartition(": ")
            estimate = _estimate(rows[split, group, NETWORK, name], score, axis)
            groups.setdefault(trait, {})[value] = estimate
        whole = rows.get((split, ALL, NETWORK, name))
        overall = _estimate(whole, score, axis) if whole else None
        start, end = (f"{place:.{0 if score.pixels else 1}f}" for place in axis)
        found.append(Panel(name, score, (start, end), overall, groups))
    return found


def _published(rows: pd.DataFrame) -> bool:
    """Whether all say so; rows of this project have nothing in that column, or no such column."""
    return "published" in rows and bool(rows["published"].eq(True).all())


def _score(name: str) -> Score:
    return SCORES.get(name) or Score(name[:1].upper() + name[1:].replace("_", " "), "Other")


def _in_order(names: pd.Series) -> list[str]:
    """Each name once: those of SCORES in its order, then the others as they come."""
    there = list(dict.fromkeys(names))
    return [name for name in SCORES if name in there] + [n for n in there if n not in SCORES]


def _main_split(scores: pd.DataFrame) -> str:
    return SPLIT if (scores["split"] == SPLIT).any() else next(iter(scores["split"]), SPLIT)


def _rows(scores: pd.DataFrame) -> dict[tuple[str, str, str, str], dict]:
    """The rows by split, group, method and score."""
    keys = ["split", "group", "method", "score"]
    twice = scores[scores.duplicated(keys)]
    if len(twice):
        raise ValueError(f"two rows for {tuple(twice.iloc[0][keys])}; expected one")
    return scores.set_index(keys).to_dict("index")


def _estimate(row: dict, score: Score, axis: tuple[float, float]) -> Estimate:
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    known = math.isfinite(low) and math.isfinite(high)
    text = [f"{number:.{score.digits}f}" for number in (value, low, high)]
    return Estimate(
        text[0] if math.isfinite(value) else NONE,
        f"{text[1]}–{text[2]}" if known else "",
        _count(row["images"]),
        *(_place(number, axis) for number in ((value, low, high) if known else (value,) * 3)),
    )


def _count(images: float) -> str:
    return f"{int(images):,}" if math.isfinite(images) else NONE


def _axis(rows: pd.DataFrame, score: Score) -> tuple[float, float]:
    """From a tenth below the lowest interval up to 1; distances from 0 to a round number."""
    numbers = [
        number for number in rows[["value", "low", "high"]].to_numpy().flat if math.isfinite(number)
    ]
    if score.pixels:
        return 0, _round_up(numbers)
    return max(0, min(9, math.floor(10 * min(numbers, default=0))) / 10), max([1, *numbers])


def _round_up(numbers: Iterable[float]) -> float:
    largest = max(numbers, default=0) or 1
    unit = 10 ** math.floor(math.log10(largest))
    return next(unit * step for step in (1, 2, 5, 10) if unit * step >= largest)


def _place(number: float, axis: tuple[float, float]) -> float:
    start, end = axis
    share = (number - start) / (end - start) if math.isfinite(number) else 0
    return round(100 * min(1, max(0, share)), 2)
