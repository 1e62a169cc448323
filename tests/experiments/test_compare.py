import numpy as np
import pandas as pd
import pytest

from lesion.experiments.compare import COMPARED, compare
from lesion.experiments.seeds import KNOWN
from lesion.pipeline.errors import InputError

CHANCE = ["low", "high", "p"]
SEEDS = ["seeds_low", "seeds_high", "seeds_p"]


def per_image(
    dice: list[float], hd95: list[float] | None = None, split: str = "test"
) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "id": [f"ISIC_{number}" for number in range(len(dice))],
            "split": split,
            **dict.fromkeys(COMPARED, 0.5),
        }
    )
    return table.assign(dice=dice, hd95=hd95 if hd95 else 10.0)


def scores(comparison) -> pd.DataFrame:
    return comparison.scores.set_index("score")


def test_differences_are_of_the_same_image_whatever_the_order():
    before, after = per_image([0.2, 0.5, 0.9]), per_image([0.3, 0.5, 0.7])
    result = compare([before], [after.sample(frac=1, random_state=0)])
    row = scores(result).loc["dice"]
    assert row["before"] == pytest.approx(1.6 / 3) and row["after"] == pytest.approx(0.5)
    assert row["difference"] == pytest.approx(-0.1 / 3)
    assert (row["better"], row["worse"]) == (1, 1)
    assert result.images["id"].tolist() == ["ISIC_2", "ISIC_1", "ISIC_0"]
    assert result.images["dice_difference"].tolist() == pytest.approx([-0.2, 0, 0.1])


def test_the_order_of_the_images_changes_nothing():
    rng = np.random.default_rng(2)
    one, other = (per_image(rng.random(30).tolist()) for _ in range(2))
    mixed = compare(*([table.sample(frac=1, random_state=3)] for table in (one, other)))
    pd.testing.assert_frame_equal(mixed.scores, compare([one], [other]).scores, check_exact=True)


def test_a_smaller_distance_is_better():
    result = compare([per_image([0.5] * 3, [9, 9, 9])], [per_image([0.5] * 3, [4, 5, 12])])
    row = scores(result).loc["hd95"]
    assert (row["better"], row["worse"]) == (2, 1) and row["difference"] == pytest.approx(-2)


def test_pairs_show_what_means_would_hide():
    rng = np.random.default_rng(0)
    dice = rng.random(100) * 0.5
    one, other = per_image(dice.tolist()), per_image((dice + 0.02).tolist())
    row = scores(compare([one], [other])).loc["dice"]
    assert row["low"] == pytest.approx(0.02) and row["p"] < 0.001 and row["better"] == 100


def test_swapping_the_runs_swaps_the_signs():
    rng = np.random.default_rng(1)
    one, other = (per_image(rng.random(30).tolist()) for _ in range(2))
    there, back = scores(compare([one], [other])), scores(compare([other], [one]))
    assert np.allclose(there["difference"], -back["difference"])
    assert np.allclose(there["low"], -back["high"]) and np.allclose(there["p"], back["p"])
    assert there["better"].tolist() == back["worse"].tolist()


def test_fewer_than_ten_images_have_neither_interval_nor_p():
    rng = np.random.default_rng(0)
    for count in (9, 10):
        tables = ([per_image(rng.random(count).tolist())] for _ in range(2))
        row = scores(compare(*tables)).loc["dice"]
        assert (row[[*CHANCE, *SEEDS]].notna() == (count == 10)).all()
        assert np.isfinite(row["difference"])


def test_only_the_images_of_the_split_count():
    both = pd.concat([per_image([0.1]), per_image([0.9], split="validation")])
    assert scores(compare([both], [both], "validation")).loc["dice", "before"] == 0.9


def test_runs_on_other_images_are_refused():
    with pytest.raises(InputError, match="1 test images are in one table only, such as ISIC_1"):
        compare([per_image([0.1])], [per_image([0.1, 0.2])])
    with pytest.raises(InputError, match="no validation images"):
        compare([per_image([0.1])], [per_image([0.1])], "validation")


def seeds_of(count: int, shift: float = 0.0, seed: int = 0) -> list[pd.DataFrame]:
    """So many runs of one recipe on 40 images, whose seeds differ by 0.01."""
    rng = np.random.default_rng(seed)
    images = np.random.default_rng(0).beta(5, 0.6, 40)
    return [
        per_image((images + shift + rng.normal(0, 0.01) + rng.normal(0, 0.02, 40)).tolist())
        for _ in range(count)
    ]


def test_several_runs_a_side_are_compared_by_their_mean_in_whatever_order():
    one, other = seeds_of(3), seeds_of(4, 0.02, seed=1)
    result = compare(one, other)
    row = scores(result).loc["dice"]
    means = [np.mean([table["dice"].mean() for table in side]) for side in (one, other)]
    assert row[["before", "after"]].tolist() == pytest.approx(means)
    spread = np.std([table["dice"].mean() for table in one], ddof=1)
    assert row["seed_before"] == pytest.approx(spread)
    mixed = scores(compare(one[::-1], other[::-1]))
    pd.testing.assert_frame_equal(mixed, scores(result))


def test_one_seed_a_side_takes_what_photographs_have_shown_and_for_other_scores_nothing():
    result = compare(seeds_of(1), seeds_of(1, seed=1))
    found = scores(result)
    assert not result.known
    assert found.loc[list(KNOWN), "seed_before"].tolist() == pytest.approx([*KNOWN.values()])
    assert (found["seeds_low"] < found["low"])[list(KNOWN)].all()
    assert found.drop(index=list(KNOWN))[SEEDS].isna().all(axis=None)
    assert found[CHANCE].notna().all(axis=None)


def test_siblings_say_what_a_seed_does_and_change_no_mean():
    one, *more = seeds_of(5)
    other = seeds_of(1, 0.02, seed=1)
    alone, beside = (
        scores(compare([one], other, siblings=(siblings, []))) for siblings in ([], more)
    )
    same = ["before", "after", "difference", *CHANCE]
    pd.testing.assert_frame_equal(alone[same], beside[same])
    spread = np.std([table["dice"].mean() for table in [one, *more]], ddof=1)
    assert beside.loc["dice", ["seed_before", "seed_after"]].tolist() == pytest.approx([spread] * 2)
    assert beside.loc["dice", "seeds_p"] > alone.loc["dice", "seeds_p"]
    assert compare([one], other, siblings=(more, [])).known
    assert beside[SEEDS].notna().all(axis=None)


def test_other_seeds_never_make_surer():
    rng = np.random.default_rng(5)
    skewed = rng.beta(5, 0.6, 16)
    found = scores(compare([per_image([0.1] * 16)], [per_image(skewed.tolist())]))
    assert (found["seeds_p"] >= found["p"])[list(KNOWN)].all()
    assert (found["seeds_low"] <= found["low"])[list(KNOWN)].all()
    assert (found["seeds_high"] >= found["high"])[list(KNOWN)].all()


def test_one_sibling_is_too_few_to_say_what_a_seed_does():
    one, more = seeds_of(2)
    found = scores(compare([one], seeds_of(1, seed=1), siblings=([more], [])))
    assert found.loc["dice", "seed_before"] == KNOWN["dice"]
