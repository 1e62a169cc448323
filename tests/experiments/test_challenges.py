import pandas as pd
import pytest

from lesion.experiments.challenges import ERROR, images_of, level, number, runs_of, tag


def table(ids: str, dice: float = 0.5) -> pd.DataFrame:
    return pd.DataFrame({"id": [*ids], "split": "validation", "dice": dice})


def test_levels_of_any_number_of_challenges_are_5_percent_together():
    levels = [level(count) for count in range(1, 2000)]
    assert sum(levels) < ERROR and sum(levels) == pytest.approx(ERROR, rel=0.001)
    assert levels == sorted(levels, reverse=True)


def test_challenges_on_the_same_images_are_counted_over_all_versions():
    images, others = images_of(table("abc")), images_of(table("abd"))
    tags: list[dict[str, str]] = [{"somebody's": "own"}]
    for count in range(1, 4):
        runs = runs_of([table("abc", 0.1 * count)])
        assert number(tags, images, runs) == count
        tags.append({tag(images, runs): str(count)})
    assert number(tags, others, runs) == 1
    assert number(tags, images, runs) == 3, "the same runs again are the same challenge"


def test_images_are_those_of_the_split_in_whatever_order():
    both = pd.concat([table("abc"), table("xyz").assign(split="test")])
    assert images_of(both[::-1]) == images_of(table("abc"))
