import numpy as np
import pandas as pd
import pytest

from lesion.experiments.folds import choose, pool, whole, with_folds
from lesion.pipeline.errors import InputError
from lesion.scoring.boundary import BoundaryScores
from lesion.scoring.scores import Confusion, ImageScores
from lesion.tracking.result import Result


def result(fold: int, folds: int = 3, model: str = "m", **params: object) -> Result:
    return Result({"folds": folds, "fold": fold, "lr": 0.1, **params}, f"{model}{fold}", {})


def table(fold: int, count: int = 12) -> pd.DataFrame:
    """metrics/per_image.csv with validation and test images."""
    rng = np.random.default_rng(fold)
    rows = []
    for split in ("validation", "test"):
        for number in range(count + fold):
            masks = rng.random((2, 8, 8)) > (0.5, 0.4 + 0.05 * fold)[number % 2]
            confusion = Confusion.between(*masks)
            scores = {**vars(ImageScores.of(confusion)), **vars(BoundaryScores.between(*masks))}
            names = {"id": f"{split}{fold}_{number:02}", "split": split, "group": ""}
            rows.append({**names, **scores, **vars(confusion)})
    return pd.DataFrame(rows)


def test_folds_are_in_order_whatever_order_they_ended_in():
    found = choose({"c": result(2), "a": result(0), "b": result(1)})
    assert list(found.items()) == [(0, "a"), (1, "b"), (2, "c")]


@pytest.mark.parametrize(
    "results, words",
    [
        ({}, "no experiments with folds"),
        ({"a": result(0), "b": result(2)}, "fold 1"),
        ({"a": result(0), "b": result(1, lr=0.2), "c": result(2)}, "a and b: lr is 0.1 and 0.2"),
        ({"a": result(0), "b": result(1, folds=4)}, "folds is 3 and 4"),
        ({"a": result(0), "b": result(1), "c": result(2), "d": result(2, model="n")}, "c and d"),
    ],
)
def test_what_is_no_whole_cross_validation_is_told(results, words):
    with pytest.raises(InputError) as error:
        choose(results)
    assert words in str(error.value)


def test_the_same_fold_twice_is_one():
    again = {"a": result(0), "b": result(1), "c": result(2), "d": result(2)}
    assert choose(again) == {0: "a", 1: "b", 2: "c"}


def test_all_test_images_are_pooled_and_no_others():
    tables = {fold: table(fold) for fold in range(3)}
    pooled = pool(tables)
    assert len(pooled.images) == 12 + 13 + 14 and set(pooled.images["split"]) == {"test"}
    assert pooled.folds["images"].tolist() == [12, 13, 14]
    scores = pooled.scores.set_index("score")
    every = pd.concat(each[each["split"] == "test"] for each in tables.values())
    for name in ("dice", "iou", "thresholded_iou", "hd95"):
        assert scores.value[name] == pytest.approx(every[name].mean())
        of_folds = [each.loc[each["split"] == "test", name].mean() for each in tables.values()]
        assert scores.spread[name] == pytest.approx(np.std(of_folds, ddof=1))
    assert scores.low["dice"] < scores.value["dice"] < scores.high["dice"]
    tp, fp, fn = (every[name].sum() for name in ("tp", "fp", "fn"))
    assert scores.value["pooled_dice"] == pytest.approx(2 * tp / (2 * tp + fp + fn))


def test_an_image_in_two_folds_is_named():
    with pytest.raises(InputError, match="test0_00 is in two folds"):
        pool({0: table(0), 1: table(0)})


def test_experiments_that_are_no_folds_are_passed_over_unless_they_are_named():
    results = {"a": result(0), "plain": result(0, folds=0)}
    assert list(with_folds(results, [])) == ["a"]
    with pytest.raises(InputError, match="plain: has no folds"):
        with_folds(results, ["a", "plain"])


def test_the_run_of_the_same_recipe_without_folds_stands_beside_them():
    plain = {"folds": 0, "fold": 0, "lr": 0.1}
    results = {
        "fold": result(1),
        "other": Result({**plain, "lr": 0.2}, "x", {}),
        "whole": Result(plain, "y", {}),
    }
    assert whole(results, result(2)) == "whole"
    assert whole({"fold": result(0), "other": results["other"]}, result(2)) is None
