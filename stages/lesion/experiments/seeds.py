"""What the seed adds to the error of a score: runs of one recipe differ, as images do.

Images and seeds are crossed random factors: each run scores the same images, and other seeds would
have given other means as other images would. The variance of a mean difference is that over images
of the seeds' mean differences, plus that of each side's seeds by their number. The former has the
interaction in it already (a run is good at other images than the next), which is taken off the
latter: the runs' mean square less that of image by seed, as in readers by cases (Obuchowski and
Rockette, 1995, "Hypothesis testing of diagnostic accuracy for multiple readers and multiple tests",
Communications in Statistics – Simulation and Computation 24, 285–308). Degrees of freedom are
Satterthwaite's (1946, "An approximate distribution of estimates of variance components",
Biometrics Bulletin 2, 110–114), with the runs' whole mean square as its uncertain part (Hillis,
2007, "A comparison of denominator degrees of freedom methods for multiple observer ROC analysis",
Statistics in Medicine 26, 596–619).

A seed that both sides have makes no pair: the same numbers at the start lead two recipes to nothing
alike, and pairs would halve the degrees of freedom. If it did make them alike, this asks for more
than it needs. `python benchmarks/power.py` counts how often equal recipes are called different.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lesion.scoring.intervals import Errors, together

# Standard deviation between seeds of the mean over photographs: the largest of four presets, of
# three seeds each (README.md, Training), which leave eight degrees of freedom.
KNOWN = {"dice": 0.0030, "iou": 0.0046, "thresholded_iou": 0.0063}
KNOWN_FREEDOM = 8.0
# Degrees of freedom of two runs: with 1, up to 6 % of equal recipes are called different.
OF_TWO = 0.7


@dataclass(frozen=True)
class Spread:
    """How far runs that differ in their seed alone lie apart, in each of S scores.

    variance:    of the runs' means over images
    interaction: the part of it that other images would have changed
    freedom:     degrees of freedom of `variance`
    """

    variance: np.ndarray
    interaction: np.ndarray
    freedom: float

    @classmethod
    def of(cls, runs: np.ndarray, groups: Sequence[str] = ()) -> Spread:
        """Of two runs or more, R×N×S: runs, images, scores; `groups` as in intervals.means."""
        means = runs.mean(axis=1)
        alike = runs.mean(axis=0) - runs.mean(axis=(0, 1))
        square = np.zeros_like(means[0])
        for run, mean in zip(runs, means, strict=True):
            square += Errors.of(together(run - mean - alike, groups)).error ** 2
        others = len(runs) - 1
        freedom = float(others) if others > 1 else OF_TWO
        return cls(means.var(axis=0, ddof=1), square / others, freedom)


def known(scores: Sequence[str]) -> Spread:
    """What is known of recipes without a second seed, of each score: KNOWN, or NaN.

    Its interaction, which is not known apart, is counted twice: a few percent of the variance.
    """
    deviations = np.array([KNOWN.get(score, np.nan) for score in scores])
    return Spread(deviations**2, np.zeros_like(deviations), KNOWN_FREEDOM)


def difference(
    before: np.ndarray,
    after: np.ndarray,
    spreads: Sequence[tuple[float, Spread]],
    groups: Sequence[str] = (),
) -> Errors:
    """How far the mean difference of two sides of runs, each R×N×S, may be off.

    `spreads` are what the seeds add, each with its weight: 1 / R of the side, or sides, it is of.
    """
    differences = after.mean(axis=0) - before.mean(axis=0)
    images = Errors.of(together(differences - differences.mean(axis=0), groups))
    variance = images.error**2
    total, uncertain = variance.copy(), variance**2 / images.freedom
    for weight, spread in spreads:
        total += weight * np.maximum(spread.variance - spread.interaction, 0)
        uncertain += (weight * spread.variance) ** 2 / spread.freedom
    # The seeds' part has no skewness, so that the sum has less; 0 where nothing differs at all.
    share = np.divide(variance, total, out=np.zeros_like(total), where=total > 0)
    freedom = np.divide(total**2, uncertain, out=np.ones_like(total), where=uncertain > 0)
    return Errors(np.sqrt(total), images.skew * share**1.5, freedom)


def of_sides(
    before: Spread | None, after: Spread | None, otherwise: Spread
) -> tuple[Spread, Spread]:
    """What is taken for each side, of what its own runs say, or None.

    A side without takes the other's, if that is of three runs or more: two that happen to be alike
    would say that a seed hardly matters. `otherwise` is for both where neither says it. Where both
    do they are not pooled, since recipes differ in how much a seed matters.
    """
    if before and after:
        return before, after
    one = before or after
    shared = one if one and one.freedom > OF_TWO else otherwise
    return shared, shared


def weighted(spreads: tuple[Spread, Spread], runs: tuple[int, int]) -> list[tuple[float, Spread]]:
    """What `difference` takes, of each side's spread and number of runs; a shared one is one."""
    before, after = spreads
    if before is after:
        return [(1 / runs[0] + 1 / runs[1], before)]
    return [(1 / runs[0], before), (1 / runs[1], after)]
