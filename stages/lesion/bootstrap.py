"""How far a mean over images may be off: Efron's bootstrap (1979), 95 % percentile intervals.

SAMPLES data sets are drawn from the images, with replacement and as large; an interval holds the
middle 95 % of what they give. Equal rows in equal order give equal bytes, whatever came before.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

SAMPLES = 10_000
_CHUNK = 500  # samples at a time, so that memory does not grow


def means(values: pd.DataFrame) -> pd.DataFrame:
    """The mean over the rows of each column: `score`, `value`, `low`, `high`."""
    return ratios(values, pd.DataFrame(1, values.index, values.columns))


def ratios(numerators: pd.DataFrame, denominators: pd.DataFrame) -> pd.DataFrame:
    """The ratio of the sums over the rows, of each column: `score`, `value`, `low`, `high`."""
    above, below = (part.to_numpy(float) for part in (numerators, denominators))
    low, high = np.percentile(_samples(above, below), (2.5, 97.5), axis=0)
    value = ratio(above.sum(0), below.sum(0))
    return pd.DataFrame({"score": numerators.columns, "value": value, "low": low, "high": high})


def p_value(differences: pd.DataFrame) -> pd.Series:
    """Of each column, how likely a mean as far from 0 is by chance: two-sided, at least 1/SAMPLES.

    Twice the share of the samples whose mean lies on the other side of 0 than most.
    """
    values = differences.to_numpy(float)
    samples = _samples(values, np.ones_like(values))
    tails = np.minimum((samples <= 0).mean(0), (samples >= 0).mean(0))
    return pd.Series(np.clip(2 * tails, 1 / SAMPLES, 1), differences.columns)


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Where both are 0, 1: there was nothing to find, and nothing was marked."""
    return np.divide(above, below, out=np.ones_like(below), where=below > 0)


def _samples(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Ratios of the sums over N rows, SAMPLES×S, of N×S each."""
    count = len(above)
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(SAMPLES // _CHUNK):
        # How often each row is drawn.
        weights = rng.multinomial(count, np.full(count, 1 / count), _CHUNK).astype(float)
        parts.append(ratio(weights @ above, weights @ below))
    return np.concatenate(parts)
