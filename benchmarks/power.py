"""How often are equal recipes called different, and how often is a true difference found?

    python benchmarks/power.py

Draws runs of two recipes, some seeds each, on the same images, and compares them at p < 0.05 as
tools/compare.py does: over images alone, and over images and seeds. The score of a run on an image
is the recipe's on that image, plus what its seed does on all images, plus what it does on this one.
The latter and what tells the recipes apart on an image have long tails, in proportion to what the
image has left to 1, as two seeds of the preset two-minutes had on 335 photographs: their difference
deviated by 0.046 in all, and by 0.28 of what was left, like Student's t of four degrees of freedom.

deviation  of the runs' means over images, between seeds; where there is one seed a side, the
           comparison takes what photographs have shown (0.0030, lesion.experiments.seeds)
equal      in percent of the repeats, how often recipes of one mean are called different; "same"
           recipes differ on no image, of "other" ones each is better on some
0.005      how often it is found that other recipes differ by so much

With --shared, both sides have the same seeds, whose effects are alike to that degree (correlation),
and the comparison by pairs of seeds is beside that of `compare.py`, which makes none.
"""

import sys
from pathlib import Path

import numpy as np
from measure import table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from lesion.console.cli import parser
from lesion.experiments.seeds import Spread, difference, known, of_sides, weighted
from lesion.scoring.intervals import Errors

SEEDS = (1, 2, 3, 5)
DEVIATIONS = (0.001, 0.002, 0.003)
# Deviations as shares of what an image has left to 1: of what a seed does on this image alone, and
# of the recipes' difference there (of laptop and sketch, as of two seeds).
INTERACTION = 0.2
RECIPES = {"same": 0.0, "other": 0.28}
GAIN = 0.005
BATCH = 500  # repeats at once


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=4000, help="of each row")
    arguments.add_argument("--images", type=int, default=350)
    arguments.add_argument("--shared", type=float, nargs="*", help="correlations, such as 0 0.5")
    given = arguments.parse_args()
    rows = paired(given) if given.shared else crossed(given)
    print(f"{given.repeats} repeats of each row, {given.images} images\n\n{table(rows)}")


def crossed(given) -> list[dict[str, str]]:
    rows = []
    for seeds in SEEDS:
        for deviation in DEVIATIONS:
            row = {"seeds a side": str(seeds), "deviation": f"{deviation:.3f}"}
            for name, spread in RECIPES.items():
                found = [
                    counted(before, after)
                    for before, after in drawn(given, seeds, deviation, spread)
                ]
                images, over_seeds, power = np.mean(found, axis=0)
                row[f"{name}, equal: images"] = f"{images:.1f}"
                row[f"{name}, equal: and seeds"] = f"{over_seeds:.1f}"
            rows.append(row | {f"{GAIN}: and seeds": f"{power:.1f}"})
    return rows


def paired(given) -> list[dict[str, str]]:
    rows = []
    for seeds in SEEDS[1:]:
        for alike in given.shared:
            batches = [*drawn(given, seeds, 0.002, RECIPES["other"], alike)]
            row = {"seeds a side": str(seeds), "correlation": f"{alike:g}"}
            for name, errors in (("no pairs", apart), ("pairs", in_pairs)):
                found = [called(errors(*sides), changes(*sides)) for sides in batches]
                equal, power = np.mean(found, axis=0)
                row |= {f"{name}: equal": f"{equal:.1f}", f"{name}: {GAIN}": f"{power:.1f}"}
            rows.append(row)
    return rows


def drawn(given, seeds: int, deviation: float, spread: float, alike: float = 0.0):
    """Runs of two recipes of one mean, each seeds × images × BATCH, batch by batch."""
    for batch in range(given.repeats // BATCH):
        rng = np.random.default_rng([seeds, round(deviation * 1e6), round(spread * 1e6), batch])
        images = given.images, BATCH
        left = 1 - rng.beta(5, 0.6, images)  # as benchmarks/coverage.py has Dice
        recipe = spread * left * standard_t(rng, images)
        common = rng.standard_normal((seeds, 1, BATCH))
        sides = []
        for sign in (-0.5, 0.5):
            own = rng.standard_normal(common.shape)
            shift = deviation * (alike**0.5 * common + (1 - alike) ** 0.5 * own)
            noise = INTERACTION * left * standard_t(rng, (seeds, *images))
            sides.append(sign * recipe + shift + noise)  # less 1 - left, which both have
        yield sides


def standard_t(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Long tails, variance 1."""
    return rng.standard_t(4, shape) / 2**0.5


def changes(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (after.mean(axis=0) - before.mean(axis=0)).mean(axis=0)


def counted(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float]:
    change = after.mean(axis=0) - before.mean(axis=0)
    over_images = Errors.of(change - change.mean(axis=0))
    equal, power = called(apart(before, after), change.mean(axis=0))
    return called(over_images, change.mean(axis=0))[0], equal, power


def called(errors: Errors, change: np.ndarray) -> tuple[float, float]:
    """In percent, how often equal recipes are called different, and those of a GAIN."""
    equal, gain = errors.p(change) < 0.05, errors.p(change + GAIN) < 0.05
    return 100 * equal.mean(), 100 * gain.mean()


def apart(before: np.ndarray, after: np.ndarray) -> Errors:
    """As lesion.experiments.compare has it."""
    spreads = [Spread.of(side) if len(side) > 1 else None for side in (before, after)]
    both = of_sides(*spreads, known(["dice"] * before.shape[-1]))
    return difference(before, after, weighted(both, (len(before), len(after))))


def in_pairs(before: np.ndarray, after: np.ndarray) -> Errors:
    """Each seed's difference as a run of its own, beside one that is nothing."""
    change = after - before
    nothing = np.zeros_like(change[:1])
    return difference(nothing, change, [(1 / len(change), Spread.of(change))])


if __name__ == "__main__":
    main()
