"""Two sides of trainings on the same images: what differs, image by image, and is it chance?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lesion.experiments.seeds import Spread, difference, known, of_sides, weighted
from lesion.pipeline.errors import InputError
from lesion.scoring.intervals import means, p_value

COMPARED = ("dice", "iou", "thresholded_iou", "boundary_f1", "hd95", "assd")
LOWER_IS_BETTER = ("hd95", "assd")


@dataclass(frozen=True)
class Comparison:
    """`scores` has a row a score, `images` a row an image, those first that got worse in Dice.

    scores: score, before, after (means over images and runs), difference; low, high (95 % interval
            of the mean difference over other images), p (two-sided); seeds_low, seeds_high,
            seeds_p (over other images and other seeds); seed_before, seed_after (standard
            deviation between runs of one recipe); better, worse (images). Intervals and p are NaN
            of too few images (lesion.scoring.intervals), those over seeds also where nothing is
            known of what a seed does
    images: id, and each of COMPARED before, after (means over runs), and their difference
    known:  whether these runs say what a seed does; else photographs did (lesion.experiments.seeds)
    """

    scores: pd.DataFrame
    images: pd.DataFrame
    known: bool


def compare(
    before: Sequence[pd.DataFrame],
    after: Sequence[pd.DataFrame],
    split: str = "test",
    siblings: tuple[Sequence[pd.DataFrame], Sequence[pd.DataFrame]] = ((), ()),
) -> Comparison:
    """Compares the tables metrics/per_image.csv of two sides on the images of a split.

    A side is one run or more, which differ in their seed alone. `siblings` are more such runs of
    either side, which say how much a seed matters and nothing else; they are asked of one run only.

    Raises:
        InputError: they are not of the same images.
    """
    sides = [[_of_split(table, split) for table in tables] for tables in (before, after)]
    more = [[_of_split(table, split) for table in tables] for tables in siblings]
    ids = sides[0][0].index
    if ids.empty:
        raise InputError(f"no {split} images; expected split to be test or validation")
    for table in (table for tables in (*sides, *more) for table in tables):
        missing = ids.symmetric_difference(table.index)
        if len(missing):
            raise InputError(
                f"{len(missing)} {split} images are in one table only, such as {missing[0]}; "
                "expected runs on the same data and split"
            )
    # Results of before there were groups have none.
    last = sides[1][-1]
    groups = [*last["group"]] if "group" in last else []
    runs = [_stacked(tables) for tables in sides]
    one, other = (pd.DataFrame(side.mean(axis=0), ids, COMPARED) for side in runs)
    change = other - one
    images = pd.concat(
        [one.add_suffix("_before"), other.add_suffix("_after"), change.add_suffix("_difference")],
        axis=1,
    )
    own = [_spread(side, _stacked(tables), groups) for side, tables in zip(runs, more, strict=True)]
    otherwise = known(COMPARED)
    spreads = of_sides(own[0], own[1], otherwise)
    summary = means(change, groups=groups)
    improved = change * [(-1 if name in LOWER_IS_BETTER else 1) for name in COMPARED]
    scores = pd.DataFrame(
        {
            "score": COMPARED,
            "before": one.mean().to_numpy(),
            "after": other.mean().to_numpy(),
            "difference": summary["value"],
            "low": summary["low"],
            "high": summary["high"],
            "p": p_value(change, groups).to_numpy(),
            **_over_seeds(runs, spreads, groups),
            "better": (improved > 0).sum().to_numpy(),
            "worse": (improved < 0).sum().to_numpy(),
        }
    )
    # With less skewness than over images alone, ends may come nearer; nobody is surer for that. And
    # too few images have no interval, whatever is known of seeds.
    for name, outer in (("low", np.minimum), ("high", np.maximum), ("p", np.maximum)):
        scores[f"seeds_{name}"] = outer(scores[f"seeds_{name}"], scores[name])
    order = images.sort_values("dice_difference", kind="stable")
    return Comparison(scores, order.reset_index(), known=spreads[0] is not otherwise)


def _of_split(table: pd.DataFrame, split: str) -> pd.DataFrame:
    return table[table["split"] == split].set_index("id").sort_index()


def _stacked(tables: Sequence[pd.DataFrame]) -> np.ndarray:
    """R×N×S: runs, images, COMPARED."""
    shape = (len(tables), -1 if tables else 0, len(COMPARED))
    return np.array([table[list(COMPARED)] for table in tables], float).reshape(shape)


def _over_seeds(
    runs: Sequence[np.ndarray], spreads: tuple[Spread, Spread], groups: Sequence[str]
) -> dict[str, np.ndarray]:
    """The columns of `Comparison.scores` that have the seeds in them."""
    weights = weighted(spreads, (len(runs[0]), len(runs[1])))
    errors = difference(runs[0], runs[1], weights, groups)
    change = runs[1].mean(axis=(0, 1)) - runs[0].mean(axis=(0, 1))
    columns = np.stack([*errors.ends(change), errors.p(change)])
    columns[:, np.isnan(errors.error)] = np.nan
    names = ("seeds_low", "seeds_high", "seeds_p", "seed_before", "seed_after")
    return dict(
        zip(names, (*columns, *(np.sqrt(spread.variance) for spread in spreads)), strict=True)
    )


def _spread(runs: np.ndarray, siblings: np.ndarray, groups: Sequence[str]) -> Spread | None:
    """Of a side's own runs, or of one run and its siblings; `of_sides` says what else there is."""
    if len(runs) == 1 and len(siblings):
        runs = np.concatenate([runs, siblings])
        return Spread.of(runs, groups) if len(runs) > 2 else None
    return Spread.of(runs, groups) if len(runs) > 1 else None
