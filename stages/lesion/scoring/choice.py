"""What is left to choose once a network is trained, chosen on the validation split.

One question after the other: are the mean over mirror images, another threshold than 0.5, the
largest component alone, filled holes any better? Each is held against the simpler by its gain in
the mean Jaccard index over the validation images, at their original size, less a share of that
gain's standard error; what is highest then, and above 0, is taken. It takes ten images or groups of
them. What the parameters fix is not asked.

The shares are those that lose little where there is nothing to gain and find most of what there is
(`python benchmarks/choices.py`; docs/evaluation.md). A gain that has to be sure, its 95 % interval
above 0, would leave three of four gains of 0.003 by another threshold on 238 images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from lesion.pipeline.parallel import in_order
from lesion.scoring.intervals import LEAST, Errors, together
from lesion.scoring.originals import Originals
from lesion.scoring.postprocess import Rules, fill_holes, largest_component
from lesion.scoring.scores import Confusion, ImageScores

if TYPE_CHECKING:
    from lesion.parameters.evaluate import EvaluateParams
    from lesion.parameters.model import Auto

AUTO = "auto"
Option = TypeVar("Option", bool, float)
COMPARED = ("dice", "iou", "thresholded_iou")
START = 0.5  # the threshold that others are held against
# Standard errors that a gain has to exceed. Of a whole one, no image decides alone.
OF_THRESHOLD, OF_OPTION = 0.5, 1.0
STRIP = 2**17  # pixels whose thresholds are taken at once: their half megabyte stays in the cache
_GRID = [step / 20 for step in range(1, 20)]


@dataclass(frozen=True)
class Choice:
    """The rules that were chosen, and what they were chosen by, both means over images.

    `steps` has a row for each option that was compared: question, option, COMPARED, taken.
    `sweep` has a row for each threshold: threshold, COMPARED; before components and holes.
    """

    rules: Rules
    steps: pd.DataFrame
    sweep: pd.DataFrame


def views(knobs: EvaluateParams) -> list[bool]:
    """For which values of `tta` predictions are needed."""
    return _options(knobs.tta)


def choose(
    knobs: EvaluateParams, maps: dict[bool, np.ndarray], originals: Originals, workers: int = 0
) -> Choice:
    """`maps` are the probabilities, N×S×S, of the N `originals`, for each of `views`."""
    free = knobs.threshold == AUTO
    start = START if isinstance(knobs.threshold, str) else knobs.threshold
    swept = sweeps(maps, originals, sorted({*_GRID, start}), workers)

    groups = originals.groups
    flips = {view: swept[view][start] for view in maps}
    tta = _best(flips, groups)
    sweep = swept[tta]
    limits = {start: sweep[start]}
    if free:
        others = {limit: sweep[limit] for limit in _GRID if limit != start}
        lasting = {
            limit: gain(scores, sweep[start], groups, OF_THRESHOLD)
            for limit, scores in others.items()
        }
        other = max(others, key=lambda limit: (lasting[limit], others[limit]["iou"].mean(), -limit))
        limits[other] = others[other]
    threshold = _best(limits, groups, OF_THRESHOLD)

    # Of masks with their holes, whatever is fixed: so components are compared.
    filling = sorted({False, *_options(knobs.fill_holes)})
    variants = list(product(_options(knobs.largest_component), filling))
    plainly = Rules(tta, threshold, largest_component=False, fill_holes=False)
    tidied = tidyings(plainly, maps[tta], originals, variants, workers)
    parts = {largest: tidied[largest, False] for largest in _options(knobs.largest_component)}
    largest = _best(parts, groups)
    holes = {filled: tidied[largest, filled] for filled in _options(knobs.fill_holes)}
    filled = _best(holes, groups)

    steps = [
        {
            "question": question,
            "option": str(option).lower(),
            **scores.mean(),
            "taken": option == taken,
        }
        for question, options, taken in (
            ("tta", flips, tta),
            ("threshold", limits, threshold),
            ("largest_component", parts, largest),
            ("fill_holes", holes, filled),
        )
        for option, scores in options.items()
    ]
    return Choice(
        Rules(tta, threshold, largest, filled),
        pd.DataFrame(steps),
        pd.DataFrame([{"threshold": limit, **scores.mean()} for limit, scores in sweep.items()]),
    )


def _options(value: bool | Auto) -> list[bool]:
    return [value] if isinstance(value, bool) else [False, True]


def _best(
    options: dict[Option, pd.DataFrame], groups: Sequence[str], errors: float = OF_OPTION
) -> Option:
    """The first option, or the second if it is taken."""
    first, *others = options
    taken = [each for each in others if gain(options[each], options[first], groups, errors) > 0]
    return taken[0] if taken else first


def gain(scores: pd.DataFrame, over: pd.DataFrame, groups: Sequence[str], errors: float) -> float:
    """What `scores` gain in mean IoU, less so many of its standard errors.

    `groups` are as in `intervals.means`. Of too few images or groups nothing is gained.
    """
    # Sorted, so that no rounding depends on the order of the images.
    pairs = sorted(zip(scores["iou"] - over["iou"], groups, strict=True))
    gains = np.array([[each] for each, _ in pairs])
    mean = gains.mean()
    deviations = together(gains - mean, [group for _, group in pairs])
    if len(deviations) < LEAST:
        return -np.inf
    # A trace more, for what is 0 but for rounding.
    return float(mean - errors * (1 + 1e-9) * Errors.of(deviations).error[0])


def sweeps(
    maps: dict[bool, np.ndarray],
    originals: Originals,
    thresholds: Sequence[float],
    workers: int = 0,
) -> dict[bool, dict[float, pd.DataFrame]]:
    """Scores (COMPARED) of each image at each threshold, for each of the maps."""

    def count(row: int) -> list[list[Confusion]]:
        truth = originals.truth(row)
        return [
            at_thresholds(originals.enlarged(row, view[row]), truth, thresholds)
            for view in maps.values()
        ]

    counted = list(in_order(count, range(len(originals)), workers))
    return {
        view: {
            threshold: scores_of([image[place][at] for image in counted])
            for at, threshold in enumerate(thresholds)
        }
        for place, view in enumerate(maps)
    }


def at_thresholds(
    probabilities: np.ndarray, truth: np.ndarray, thresholds: Sequence[float]
) -> list[Confusion]:
    """The counts of `probabilities >= threshold` (H×W float32), thresholds rising, in one pass."""
    limits = np.asarray(thresholds, np.float32)
    lesion, certain, hits = int(np.count_nonzero(truth)), 0, 0
    unsure, unsure_lesion = [], []
    rows = max(1, STRIP // truth.shape[1])
    for top in range(0, len(truth), rows):
        strip, actual = probabilities[top : top + rows], truth[top : top + rows]
        # Most pixels lie below or above all thresholds; only the others are held against each.
        above = strip >= limits[-1]
        certain += int(np.count_nonzero(above))
        hits += int(np.count_nonzero(above & actual))
        between = (strip >= limits[0]) > above
        unsure.append(strip[between])
        unsure_lesion.append(unsure[-1][actual[between]])
    counts = zip(
        _counts(np.concatenate(unsure_lesion), limits, hits),
        _counts(np.concatenate(unsure), limits, certain),
        strict=True,
    )
    return [
        Confusion(tp, predicted - tp, lesion - tp, truth.size - lesion - predicted + tp)
        for tp, predicted in counts
    ]


def _counts(values: np.ndarray, limits: np.ndarray, more: int) -> list[int]:
    """How many of N values lie at each limit or above it, and `more` that lie above all."""
    return [more + int(np.count_nonzero(values >= limit)) for limit in limits]


def tidyings(
    plainly: Rules,
    maps: np.ndarray,
    originals: Originals,
    variants: Sequence[tuple[bool, bool]],
    workers: int = 0,
) -> dict[tuple[bool, bool], pd.DataFrame]:
    """Scores (COMPARED) by `variants`: is the largest component taken, are holes filled.

    `plainly` are rules that do neither.
    """

    def count(row: int) -> list[Confusion]:
        truth = originals.truth(row)
        plain = plainly.mask(originals.enlarged(row, maps[row]))
        parts = {largest: largest_component(plain) if largest else plain for largest, _ in variants}
        return [
            Confusion.between(fill_holes(parts[largest]) if holes else parts[largest], truth)
            for largest, holes in variants
        ]

    counted = zip(*in_order(count, range(len(originals)), workers), strict=True)
    return dict(zip(variants, map(scores_of, counted), strict=True))


def scores_of(confusions: Sequence[Confusion]) -> pd.DataFrame:
    """A row an image, with COMPARED."""
    scores = [ImageScores.of(confusion) for confusion in confusions]
    return pd.DataFrame([{name: getattr(score, name) for name in COMPARED} for score in scores])
