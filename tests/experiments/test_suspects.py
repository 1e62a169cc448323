import numpy as np
import pandas as pd
import pytest

from lesion.experiments.suspects import ExpectedError, ranked
from lesion.pipeline.errors import InputError


def rows(split: str, prefix: str, expected: np.ndarray, dice: np.ndarray) -> pd.DataFrame:
    """metrics/per_image.csv: with the counts of masks of that Dice, and no boundary scores."""
    counts = {"tp": np.rint(1000 * dice).astype(int), "tn": 5000}
    wrong = 1000 - counts["tp"]
    scores = dict.fromkeys(
        ["iou", "thresholded_iou", "accuracy", "sensitivity", "specificity", "boundary_f1"], dice
    )
    return pd.DataFrame(
        {
            "id": [f"{prefix}{number:03}" for number in range(len(dice))],
            "split": split,
            "group": "",
            "dice": dice,
            **scores,
            **dict.fromkeys(["hd95", "assd", "hd95_share", "assd_share"], 1.0),
            "expected_dice": expected,
            **counts,
            "fp": wrong,
            "fn": wrong,
        }
    )


def drawn(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected Dice and Dice, whose error has the mean 2 · (1 − expected)^1.3."""
    expected = rng.uniform(0.5, 0.97, count)
    return expected, 1 - np.minimum(1, rng.exponential(2 * (1 - expected) ** 1.3))


def test_the_relation_that_errors_were_drawn_from_is_found():
    expected, dice = drawn(np.random.default_rng(0), 4000)
    found = ExpectedError.fitted(expected, dice)
    assert found.mean(np.array([0.9, 0.95])) == pytest.approx(
        2 * np.array([0.1, 0.05]) ** 1.3, rel=0.1
    )


def folds(*tested: tuple[np.ndarray, np.ndarray]) -> dict[int, pd.DataFrame]:
    rng = np.random.default_rng(1)
    return {
        fold: pd.concat(
            [rows("validation", "V", *drawn(rng, 60)), rows("test", f"T{fold}", *values)]
        )
        for fold, values in enumerate(tested)
    }


def test_where_the_network_is_sure_the_same_error_is_the_more_suspect():
    expected = np.linspace(0.6, 0.97, 20)  # below, an error of 1 is expected
    found = ranked(folds((expected, np.full(20, 0.5))))
    assert found["id"].tolist() == [f"T0{number:03}" for number in reversed(range(20))]


def test_wrong_truths_come_first_and_what_is_hard_does_not():
    rng = np.random.default_rng(2)
    sure, unsure = rng.uniform(0.9, 0.96, 90), rng.uniform(0.2, 0.5, 30)
    error = 1 - np.concatenate([sure, unsure])
    dice = 1 - error * rng.uniform(0.5, 1.2, 120)
    dice[:10] = 0.75  # truths of another style; most hard images have a lower Dice
    found = ranked(folds((np.concatenate([sure, unsure]), dice)))
    wrong = {f"T0{number:03}" for number in range(10)}
    assert set(found["id"][:10]) == wrong
    assert not wrong & set(found.sort_values("dice")["id"][:10])  # which worst Dice would not see


def test_images_of_all_folds_are_ranked_once_and_only_those_tested():
    found = ranked(folds((np.full(5, 0.9), np.full(5, 0.9)), (np.full(4, 0.8), np.full(4, 0.1))))
    assert sorted(found["id"]) == [f"T0{n:03}" for n in range(5)] + [f"T1{n:03}" for n in range(4)]
    assert found["score"].is_monotonic_decreasing and found["fold"].tolist()[:4] == [1] * 4


def test_what_was_expected_for_certain_and_an_error_beyond_all_have_a_score():
    found = ranked(folds((np.array([1.0, 0.0]), np.array([1.0, 0.0]))))
    assert np.isfinite(found["score"]).all() and (found["expected_error"] <= 1).all()


def test_too_few_validation_images_are_told():
    tables = {0: folds((np.array([0.9]), np.array([0.9])))[0].tail(5)}
    with pytest.raises(InputError, match="validation images in 1 folds; expected at least 20"):
        ranked(tables)
