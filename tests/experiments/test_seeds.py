import numpy as np
import pandas as pd
import pytest

from lesion.experiments.seeds import Spread, difference, known, of_sides, weighted
from lesion.scoring.intervals import Errors, p_value


def drawn(
    seeds: float, images: float, interaction: float, count: int, runs: int = 3, number: int = 0
) -> list[np.ndarray]:
    """Two sides of equal mean, each R×N×S, of so many images, by the deviation of each part."""
    rng = np.random.default_rng(number)
    shape = (runs, count, 2000)
    change = images * rng.standard_normal(shape[1:])
    return [
        side * change
        + seeds * rng.standard_normal((runs, 1, shape[2]))
        + interaction * rng.standard_normal(shape)
        for side in (0, 1)
    ]


def errors(before: np.ndarray, after: np.ndarray, groups: tuple[str, ...] = ()) -> Errors:
    runs = len(before), len(after)
    spreads = Spread.of(before, groups), Spread.of(after, groups)
    return difference(before, after, weighted(spreads, runs), groups)


def change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return after.mean(axis=(0, 1)) - before.mean(axis=(0, 1))


@pytest.mark.parametrize("runs", [2, 3, 5])
@pytest.mark.parametrize(
    ("seeds", "images", "interaction"), [(0.003, 0, 0.02), (0.003, 0.03, 0.02), (0, 0.03, 0.03)]
)
def test_equal_recipes_are_called_different_in_at_most_5_percent(seeds, images, interaction, runs):
    sides = drawn(seeds, images, interaction, 100, runs)
    called = errors(*sides).p(change(*sides)) < 0.05
    assert called.mean() < 0.05 + 3 * (0.05 * 0.95 / 2000) ** 0.5


def test_images_alone_call_equal_recipes_different_far_more_often():
    before, after = drawn(0.003, 0, 0.02, 100)
    over_images = p_value(pd.DataFrame((after - before).mean(axis=0)))
    assert (over_images < 0.05).mean() > 0.25


def test_the_variance_of_each_part_is_found_and_the_interaction_counted_once():
    before, after = drawn(0.003, 0.03, 0.01, 100)
    spread = Spread.of(before)
    assert spread.interaction.mean() == pytest.approx(0.01**2 / 100, rel=0.02)
    assert spread.variance.mean() == pytest.approx(0.003**2 + 0.01**2 / 100, rel=0.06)
    truth = 2 * 0.003**2 / 3 + 0.03**2 / 100 + 2 * 0.01**2 / (3 * 100)
    # What is below 0 counts as 0, whence a little more.
    assert truth * 0.97 < (errors(before, after).error ** 2).mean() < truth * 1.06


def test_where_seeds_change_nothing_the_interval_is_that_over_images():
    before, after = (side.repeat(3, axis=0) for side in drawn(0, 0.03, 0.02, 50, runs=1))
    found = errors(before, after)
    alone = p_value(pd.DataFrame((after - before).mean(axis=0)))
    assert found.p(change(before, after)) == pytest.approx(alone.to_numpy())


def test_an_interval_over_seeds_too_is_never_narrower():
    before, after = drawn(0.001, 0.01, 0.05, 30, number=1)
    changes = (after - before).mean(axis=0)
    over_images = Errors.of(changes - changes.mean(axis=0))
    assert (errors(before, after).error >= over_images.error * (1 - 1e-9)).all()


def test_images_of_one_group_count_as_one():
    """Each image three times says nothing that once did not."""
    sides = drawn(0.003, 0.03, 0.02, 40)
    groups = tuple(f"patient {number}" for number in range(40) for _ in range(3))
    repeated = [side.repeat(3, axis=1) for side in sides]
    once, thrice = errors(*sides), errors(*repeated, groups)
    for name in ("error", "skew", "freedom"):
        assert getattr(thrice, name) == pytest.approx(getattr(once, name)), name


def test_a_side_of_one_run_takes_the_seeds_of_the_other():
    before, after = drawn(0.003, 0.03, 0.02, 40)
    own, otherwise = Spread.of(before), known(["dice"])
    assert of_sides(own, None, otherwise) == of_sides(None, own, otherwise) == (own, own)
    spreads = weighted((own, own), (3, 1))
    assert spreads == [(pytest.approx(1 / 3 + 1), own)]
    assert (difference(before, after[:1], spreads).freedom < 50).all()


def test_two_runs_say_nothing_of_another_side():
    before, after = drawn(0.003, 0.03, 0.02, 40, runs=2)
    two, otherwise = Spread.of(before), known(["dice"])
    assert of_sides(two, None, otherwise) == of_sides(None, None, otherwise)
    assert of_sides(two, Spread.of(after), otherwise)[0] is two


def test_equal_runs_differ_by_nothing():
    before, _ = drawn(0.003, 0, 0.02, 40, runs=1)
    still = np.concatenate([before, before])
    found = errors(still, still)
    assert (found.error == 0).all() and (found.p(change(still, still)) == 1).all()
