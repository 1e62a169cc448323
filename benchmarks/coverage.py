"""How often do intervals of 95 % hold the truth, at so many images?

    python benchmarks/coverage.py

Draws data sets from populations whose mean is known, which are like what this project scores, and
counts for each kind of interval in how many of them it holds that mean, in percent. "ours" is what
stages/lesion/scoring/intervals.py makes of Student's t and of Hall's correction. From a bootstrap
come the percentiles, BCa (Efron, 1987) and bootstrap-t, all of the same samples.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from measure import table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import parser
from lesion.scoring import intervals

IMAGES = (10, 20, 40, 100, 300)
DRAWN = 1_000_000  # rows from which a population's mean is taken, where it has no formula
ENDS = (2.5, 97.5)

Rows = tuple[np.ndarray, np.ndarray]  # numerators and denominators; those of a mean are 1
Intervals = tuple[np.ndarray, np.ndarray]  # lower and upper ends


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--sets", type=int, default=5000, help="data sets of each kind and size")
    arguments.add_argument("--samples", type=int, default=2000, help="of the bootstrap")
    options = arguments.parse_args()
    shown = []
    for name, draw in POPULATIONS.items():
        truth = mean_of(draw(np.random.default_rng(0), (DRAWN, 1)))
        held = {
            images: coverage(draw, float(truth[0]), (images, options.sets), options.samples)
            for images in IMAGES
        }
        shown += [
            {"of": name, "interval": kind}
            | {f"{images} images": f"{100 * held[images][kind]:.1f}" for images in IMAGES}
            for kind in held[IMAGES[0]]
        ]
    print(f"{options.sets} data sets each, {options.samples} samples of the bootstrap\n")
    print(table(shown))


def coverage(
    draw: Callable, truth: float, shape: tuple[int, int], samples: int
) -> dict[str, float]:
    """By kind, the share of the data sets, each a column of `shape`, whose interval has `truth`."""
    rng = np.random.default_rng(1)
    rows = draw(rng, shape)
    found = {**bootstraps(rows, samples, rng), "Student's t": student(rows), "ours": ours(rows)}
    return {
        kind: float(((low <= truth) & (truth <= high)).mean())
        for kind, (low, high) in found.items()
    }


def mean_of(rows: Rows) -> np.ndarray:
    return rows[0].sum(axis=0) / rows[1].sum(axis=0)


def standard_error(rows: Rows) -> np.ndarray:
    """Of the ratio of the sums, by what each row adds to it."""
    above, below = rows
    deviations = (above - mean_of(rows) * below) / below.mean(axis=0)
    return deviations.std(axis=0, ddof=1) / np.sqrt(len(above))


def student(rows: Rows) -> Intervals:
    reach = scipy.stats.t.ppf(ENDS[1] / 100, len(rows[0]) - 1) * standard_error(rows)
    return mean_of(rows) - reach, mean_of(rows) + reach


def ours(rows: Rows) -> Intervals:
    above, below = map(pd.DataFrame, rows)
    unbounded = (below == 1).all(axis=None)
    found = intervals.means(above) if unbounded else intervals.ratios(above, below)
    return found["low"].to_numpy(), found["high"].to_numpy()


def bootstraps(rows: Rows, samples: int, rng: np.random.Generator) -> dict[str, Intervals]:
    """The intervals of all data sets, which are drawn from by the same rows."""
    above, below = rows
    count, mean, error = len(above), mean_of(rows), standard_error(rows)
    weights = rng.multinomial(count, np.full(count, 1 / count), samples).astype(float)
    total = weights @ below
    drawn = weights @ above / total
    squares = weights @ above**2 - 2 * drawn * (weights @ (above * below))
    squares += drawn**2 * (weights @ below**2)
    errors = np.sqrt(squares.clip(0) * count / (count - 1)) / total
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.nan_to_num((drawn - mean) / errors)
        cubes = ((above - mean * below) ** 3).sum(axis=0)
        acceleration = cubes / (6 * ((above - mean * below) ** 2).sum(axis=0) ** 1.5)
    below_mean = ((drawn < mean).mean(axis=0) + (drawn <= mean).mean(axis=0)) / 2
    bias = scipy.special.ndtri(below_mean.clip(1 / samples, 1 - 1 / samples))
    drawn, apart = np.sort(drawn, axis=0), np.sort(apart, axis=0)

    def at(level: np.ndarray) -> np.ndarray:
        moved = bias + scipy.special.ndtri(level)
        place = scipy.special.ndtr(bias + moved / (1 - np.nan_to_num(acceleration) * moved))
        rows = (place * samples).astype(int).clip(0, samples - 1)
        return np.take_along_axis(drawn, rows[None], axis=0)[0]

    low, high = np.percentile(apart, ENDS, axis=0)
    return {
        "bootstrap, percentiles": tuple(np.percentile(drawn, ENDS, axis=0)),
        "bootstrap, BCa": (at(ENDS[0] / 100), at(ENDS[1] / 100)),
        "bootstrap-t": (mean - high * error, mean - low * error),
    }


def dice(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    """As of the preset two-minutes on photographs: mean 0.893, deviation 0.12."""
    return rng.beta(5, 0.6, shape), np.ones(shape)


def dice_with_failures(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    """Most around 0.93; of one in 20 little or nothing is found."""
    failed = rng.random(shape) < 0.05
    return np.where(failed, 0.8 * rng.beta(1, 2, shape), rng.beta(22, 1.6, shape)), np.ones(shape)


def thresholded_iou(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    values, ones = dice(rng, shape)
    iou = values / (2 - values)
    return np.where(iou < 0.65, 0, iou), ones


def difference(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    """Of two trainings: symmetric, a few images differ much, three in ten do not at all."""
    differs = rng.random(shape) < 0.7
    return 0.03 * rng.standard_t(3, shape) * differs, np.ones(shape)


def pooled_dice(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    """Of lesions whose area varies by a factor of about 20."""
    area = np.exp(0.8 * rng.standard_normal(shape))
    return area * dice(rng, shape)[0], area


POPULATIONS = {
    "Dice": dice,
    "Dice with failures": dice_with_failures,
    "thresholded IoU": thresholded_iou,
    "difference of Dice": difference,
    "pooled Dice": pooled_dice,
}


if __name__ == "__main__":
    main()
