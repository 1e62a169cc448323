"""What is lost by choosing on so many validation images, by one rule or another?

    python benchmarks/choices.py

Draws validation sets from populations whose best option is known, lets each rule choose on them,
and scores its choice on the population. The threshold: an image's IoU falls with the square of the
distance from its own best threshold, which differs from image to image; at the best one of all,
mean IoU is higher than at 0.5 by the gain of the row. An option, such as the largest component
alone: most images stay as they are, of the others some gain much and some lose much.

regret  mean IoU that is missed on the population, × 10⁴
moved   percent of the repeats in which 0.5, or false, is left
worse   percent of the repeats in which the choice is worse on the population than to leave all as
        it is, and by how much then, × 10⁴

The stage evaluate takes "less 1/2 error" for the threshold and "by 1 error" for the others
(lesion.scoring.choice); "if sure" was its rule before: the 95 % interval of the gain above 0.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import table
from scipy.signal import savgol_filter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import parser
from lesion.scoring.intervals import Errors

IMAGES = (40, 238, 1000)
GAINS = (0.001, 0.003, 0.01)
GRID = np.arange(1, 20) / 20
MIDDLE = 9  # of GRID: 0.5
# As one network of the preset two-minutes had them on 573 photographs.
CURVATURE = 0.34  # of mean IoU about its best threshold
SLOPE = 0.3  # deviation of images' slopes at 0.5
ROUGH = 0.004  # deviation of images' IoU from a parabola, a step of GRID
CHANGED = 0.05  # share of the images that an option changes
CHANGE = 0.08  # deviation of what it changes
BATCH = 100


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=2000)
    given = arguments.parse_args()
    print(f"{given.repeats} repeats of each row; regret / moved / worse by how much\n")
    for title, draw, rules, gains in (
        ("threshold", thresholds, THRESHOLDS, (0.0, *GAINS)),
        ("option", options, OPTIONS, (-0.003, -0.001, *GAINS)),
    ):
        rows = []
        for count in IMAGES:
            for gain in gains:
                row = {title: f"{count} images, {gain:+.3f}"}
                rows.append(row | measured(draw, rules, count, gain, given.repeats))
        print(table(rows), "\n")


def measured(draw: Callable, rules: dict, count: int, gain: float, repeats: int) -> dict[str, str]:
    lost: dict[str, list[np.ndarray]] = {name: [] for name in rules}
    moved: dict[str, list[np.ndarray]] = {name: [] for name in rules}
    for batch in range(repeats // BATCH):
        gains, truth, best = draw(np.random.default_rng([batch, count]), count, gain)
        for name, rule in rules.items():
            chosen = rule(gains)
            lost[name].append(best - truth(chosen))
            moved[name].append(np.abs(truth(chosen)) > 0)
    return {
        name: cell(np.concatenate(lost[name]), np.concatenate(moved[name]), best) for name in rules
    }


def cell(lost: np.ndarray, moved: np.ndarray, best: float) -> str:
    worse = lost > best + 1e-9
    by = f" by {1e4 * (lost[worse] - best).mean():.0f}" if worse.any() else ""
    return f"{1e4 * lost.mean():.1f} / {100 * moved.mean():.0f} / {100 * worse.mean():.0f}{by}"


def thresholds(rng: np.random.Generator, count: int, gain: float):
    """Gains over 0.5, images × GRID × BATCH; the mean gain at a threshold; the best there is."""
    x = GRID[:, None] - 0.5
    slope = 2 * (CURVATURE * gain) ** 0.5
    curvature = CURVATURE * rng.exponential(1, (count, 1, BATCH))
    slopes = slope + SLOPE * rng.standard_normal((count, 1, BATCH))
    steps = ROUGH * rng.standard_normal((count, len(GRID), BATCH))
    rough = steps.cumsum(axis=1)
    gains = slopes * x - curvature * x**2 + rough - rough[:, [MIDDLE]]

    def truth(chosen: np.ndarray) -> np.ndarray:
        return slope * (chosen - 0.5) - CURVATURE * (chosen - 0.5) ** 2

    return gains, truth, gain


def options(rng: np.random.Generator, count: int, gain: float):
    """Gains over false, images × BATCH."""
    change = CHANGE * rng.standard_t(4, (count, BATCH)) / 2**0.5 + gain / CHANGED
    gains = np.where(rng.random((count, BATCH)) < CHANGED, change, 0)
    return gains, lambda chosen: np.where(chosen, gain, 0), max(gain, 0)


def errors(gains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and its standard error, of what has images first."""
    mean = gains.mean(axis=0)
    return mean, np.sqrt(((gains - mean) ** 2).mean(axis=0) / (len(gains) - 1))


def surely(gains: np.ndarray) -> np.ndarray:
    """Images × BATCH: whether the lower end of the 95 % interval lies above 0."""
    mean = gains.mean(axis=0)
    return Errors.of(gains - mean).ends(mean)[0] > 0


def picked(gains: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Images × BATCH: the gains at an index of GRID for each repeat."""
    return np.take_along_axis(gains, where[None, None], axis=1)[:, 0]


def highest_if_sure(gains: np.ndarray) -> np.ndarray:
    where = gains.mean(axis=0).argmax(axis=0)
    return np.where(surely(picked(gains, where)), GRID[where], 0.5)


def over_errors(gains: np.ndarray, share: float) -> np.ndarray:
    """Whether the mean gain is above a share of its standard error; of one image alone, 1."""
    mean, error = errors(gains)
    return mean > share * error * (1 + 1e-9)


def nearest(gains: np.ndarray) -> np.ndarray:
    """The threshold nearest to 0.5 that is within a standard error of the highest."""
    where = gains.mean(axis=0).argmax(axis=0)
    mean, error = errors(picked(gains, where)[:, None] - gains)
    far = np.where(mean <= error, np.abs(GRID - 0.5)[:, None], np.inf)
    return GRID[far.argmin(axis=0)]


def crossed(gains: np.ndarray, parts: int = 5) -> np.ndarray:
    """The mean of the thresholds that are highest without each part, if the parts gain by them."""
    part = np.arange(len(gains)) % parts
    without = [gains[part != each].mean(axis=0).argmax(axis=0) for each in range(parts)]
    gain = sum(picked(gains[part == i], where).sum(axis=0) for i, where in enumerate(without))
    mean = GRID[np.stack(without)].mean(axis=0)
    return np.where(gain > 0, mean, 0.5)


def parabola(gains: np.ndarray, reach: float = 0.25) -> np.ndarray:
    """The top of a parabola through 0.5, fitted to the gains within `reach`.

    Its slope at 0.5 is shrunk by 1 - 1 / z², and to 0 where z, the slope by its standard error, is
    below 1 (positive part of James and Stein, 1961, "Estimation with quadratic loss").
    """
    x = GRID - 0.5
    near = np.abs(x) <= reach + 1e-9
    of_slope, of_bend = np.linalg.pinv(np.stack([x[near], -(x[near] ** 2)], axis=1))
    slope, error = errors(np.einsum("t,itb->ib", of_slope, gains[:, near]))
    slope *= np.maximum(0, 1 - (error / slope) ** 2)
    bend = of_bend @ gains[:, near].mean(axis=0)
    top = np.divide(slope, 2 * bend, out=reach * np.sign(slope), where=bend > 0)
    return 0.5 + np.clip(top, -reach, reach)


def less_errors(share: float, smooth: bool = False) -> Callable:
    """The threshold whose mean gain, less a share of its standard error, is highest."""

    def rule(gains: np.ndarray) -> np.ndarray:
        mean, error = errors(gains)
        if smooth:
            mean = smoothed(mean)
        return GRID[(mean - share * error).argmax(axis=0)]

    return rule


def smoothed(mean: np.ndarray) -> np.ndarray:
    """A parabola through each five neighbours (Savitzky and Golay, 1964), and 0 at 0.5."""
    found = savgol_filter(mean, 5, 2, axis=0)
    return found - found[MIDDLE]


THRESHOLDS = {
    "0.5": lambda gains: np.full(gains.shape[2], 0.5),
    "highest, if sure": highest_if_sure,
    "highest": less_errors(0),
    "nearest within 1 error": nearest,
    "cross-fitted, 5 parts": crossed,
    "parabola, shrunk": parabola,
    "less 1 error": less_errors(1),
    "less 1/2 error": less_errors(0.5),
    "less 1/2, smooth": less_errors(0.5, smooth=True),
}
OPTIONS = {
    "false": lambda gains: np.zeros(gains.shape[1], bool),
    "if sure": surely,
    "by 1 error": lambda gains: over_errors(gains, 1),
    "by 1/2 error": lambda gains: over_errors(gains, 0.5),
    "higher": lambda gains: over_errors(gains, 0),
}


if __name__ == "__main__":
    main()
