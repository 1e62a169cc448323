"""How far a mean over images may be off: 95 % intervals, and p-values that agree with them.

Scores are skewed, so that the interval of Student's t misses on one side more often than 1 time in
40. Corrected for skewness (Hall, 1992, "On the removal of skewness by transformation", Journal of
the Royal Statistical Society B 54, 221–228) it does not, but misses more where a few images differ
much from the rest, as between two trainings. At either side the end that is further out is taken.
`python benchmarks/coverage.py` counts how often that holds the truth, and how often a bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy  # loads its parts where they are used
from numpy.typing import ArrayLike

LEAST = 10  # images; fewer say too little about how they spread
LEVEL = 0.95


@dataclass(frozen=True)
class Errors:
    """How far each of S values, such as means over images, may be off.

    error:   standard error
    skew:    skewness of the rows that the value comes from, by the root of their number
    freedom: degrees of freedom of `error`
    """

    error: np.ndarray
    skew: np.ndarray
    freedom: np.ndarray | float

    @classmethod
    def of(cls, deviations: np.ndarray) -> Errors:
        """`deviations`, N×S with mean 0, are what N independent rows add to the errors of means."""
        count = len(deviations)
        freedom = max(1, count - 1)
        square = (deviations**2).mean(axis=0)
        cube = (deviations**3).mean(axis=0)
        skew = np.divide(cube, square**1.5, out=np.zeros_like(cube), where=square > 0)
        return cls(np.sqrt(square / freedom), skew / np.sqrt(count), freedom)

    def ends(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The interval of LEVEL about each value."""
        reach = scipy.special.stdtrit(self.freedom, (1 + LEVEL) / 2)
        low = value - self.error * np.maximum(reach, _skewed(reach, self.skew))
        high = value + self.error * np.maximum(reach, -_skewed(-reach, self.skew))
        return low, high

    def p(self, value: np.ndarray) -> np.ndarray:
        """How likely a value as far from 0 is by chance, two-sided; as `ends` has it."""
        apart = np.divide(value, self.error, out=np.zeros_like(value), where=self.error > 0)
        nearer = np.minimum(np.abs(apart), np.abs(_unskewed(apart, self.skew)))
        p = 2 * scipy.special.stdtr(self.freedom, -nearer)
        # Where all rows are the same there is no chance in it.
        return np.where(self.error > 0, p, value == 0)


def means(
    values: pd.DataFrame,
    lowest: ArrayLike = -np.inf,
    highest: ArrayLike = np.inf,
    groups: Sequence[str] = (),
) -> pd.DataFrame:
    """The mean over the rows of each column: `score`, `value`, `low`, `high`.

    Rows with one name in `groups` are not independent of each other, such as images of one patient:
    their errors count as one, and where rows are counted, groups are. `low` to `high` is the
    interval, NaN of fewer than LEAST rows or groups. `lowest` and `highest`, of all
    columns or of each, are what a row can have at all, and no interval goes beyond. Where each row
    has one of the two, rows are counted (Wilson, 1927): that none of 40 failed does not mean that
    none ever does.
    """
    numbers = values.to_numpy(float)
    mean = numbers.mean(axis=0)
    least, most = (np.full_like(mean, end) for end in (lowest, highest))
    either = ((numbers == least) | (numbers == most)).all(axis=0)
    either &= np.isfinite(most - least)
    deviations = together(numbers - mean, groups)
    return _table(values.columns, mean, deviations, either, least, most)


def ratios(parts: pd.DataFrame, wholes: pd.DataFrame, groups: Sequence[str] = ()) -> pd.DataFrame:
    """As `means`, of the sum of `parts` by the sum of `wholes`, column by column; 0 ≤ part ≤ whole.

    What a row adds to the error is how far the ratio moves without it (Tukey's jackknife, 1958).
    """
    above, below = (numbers.to_numpy(float) for numbers in (parts, wholes))
    share = ratio(above.sum(axis=0), below.sum(axis=0))
    others = (below.sum(axis=0) - below) / max(1, len(below) - 1)
    moved = np.divide(above - share * below, others, out=np.zeros_like(above), where=others > 0)
    either = ((above == 0) | (above == below)).all(axis=0)
    ends = np.zeros_like(share), np.ones_like(share)
    deviations = together(moved - moved.mean(axis=0), groups)
    return _table(parts.columns, share, deviations, either, *ends)


def p_value(differences: pd.DataFrame, groups: Sequence[str] = ()) -> pd.Series:
    """Of each column, how likely a mean as far from 0 is by chance, two-sided; NaN as in `means`.

    Below 0.05 where the interval of `means` leaves out 0, and nowhere else.
    """
    numbers = differences.to_numpy(float)
    mean = numbers.mean(axis=0)
    deviations = together(numbers - mean, groups)
    if len(deviations) < LEAST:
        return pd.Series(np.nan, differences.columns)
    return pd.Series(Errors.of(deviations).p(mean), differences.columns)


def difference(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """`value`, `low` and `high` of `one` less `other`, N rows of each with these columns, of images
    that have nothing to do with each other.

    The interval is made of both rows' own (MOVER: Zou and Donner, 2008, "Construction of confidence
    limits about effect measures: a general approach", Statistics in Medicine 27, 1693–1702), so
    that it is as skewed as they are, and counts groups where they do; NaN where one has none.
    """
    below = np.hypot(one["value"] - one["low"], other["high"] - other["value"])
    above = np.hypot(one["high"] - one["value"], other["value"] - other["low"])
    value = one["value"] - other["value"]
    return pd.DataFrame({"value": value, "low": value - below, "high": value + above})


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Where both are 0, 1: there was nothing to find, and nothing was marked."""
    return np.divide(above, below, out=np.ones_like(below), where=below > 0)


def together(deviations: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """What each group adds to the error of a mean, G×S, of what rows add, N×S with mean 0.

    The sandwich estimator for clusters (Liang and Zeger, 1986, "Longitudinal data analysis using
    generalized linear models", Biometrika 73, 13–22), in the form that `Errors.of` takes. A row of
    no group, named "", is one by itself.
    """
    if not any(groups):
        return deviations
    names = [(group, 0 if group else row) for row, group in enumerate(groups)]
    number_of = {name: number for number, name in enumerate(dict.fromkeys(names))}
    sums = np.zeros((len(number_of), deviations.shape[1]))
    np.add.at(sums, [number_of[name] for name in names], deviations)
    return sums * len(sums) / len(deviations)


def _table(
    names: pd.Index,
    value: np.ndarray,
    deviations: np.ndarray,
    either: np.ndarray,
    lowest: np.ndarray,
    highest: np.ndarray,
) -> pd.DataFrame:
    """Of S values, each with its ends; `deviations`, N×S with mean 0, are what rows add to errors.

    `either` says of which values each row lies at one of the ends.
    """
    low, high = np.full((2, len(value)), np.nan)
    if (count := len(deviations)) >= LEAST:
        ends = Errors.of(deviations).ends(value)
        low, high = (np.clip(end, lowest, highest) for end in ends)
        counted = _of_counts(value[either], count, lowest[either], highest[either])
        low[either], high[either] = counted
    return pd.DataFrame({"score": names, "value": value, "low": low, "high": high})


def _of_counts(
    value: np.ndarray, count: int, lowest: np.ndarray, highest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval, where `count` rows lie at one of two ends each."""
    span = highest - lowest
    share = (value - lowest) / span
    z = scipy.special.ndtri((1 + LEVEL) / 2)
    middle = share + z**2 / (2 * count)
    reach = z * np.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    low, high = ((middle + side * reach) / (1 + z**2 / count) for side in (-1, 1))
    return lowest + span * low.clip(0, share), lowest + span * high.clip(share, 1)


def _unskewed(apart: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """A mean's distance from the truth in standard errors, freed of skewness (Hall, 1992)."""
    return apart + skew * apart**2 / 3 + skew**2 * apart**3 / 27 + skew / 6


def _skewed(reach: np.ndarray | float, skew: np.ndarray) -> np.ndarray:
    """The distance that `_unskewed` makes `reach` of."""
    root = np.cbrt(1 + skew * (reach - skew / 6)) - 1
    return np.divide(3 * root, skew, out=reach + np.zeros_like(skew), where=np.abs(skew) > 1e-9)
