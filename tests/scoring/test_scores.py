from dataclasses import asdict, fields

import numpy as np
import pytest

from lesion.scoring.scores import Confusion, ImageScores

SCORES = [field.name for field in fields(ImageScores)]


def official_scores(tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
    """The scores by the rules of the challenge's scorer, isic-challenge-scoring 5.6.0.

    It gives 1 wherever a denominator is 0, and 0 for a Jaccard index below 0.65.
    """
    lesion = tp + fp + fn
    jaccard = tp / lesion if lesion else 1.0
    return {
        "dice": 2 * tp / (tp + lesion) if lesion else 1.0,
        "iou": jaccard,
        "thresholded_iou": 0.0 if jaccard < 0.65 else jaccard,
        "accuracy": (tp + tn) / (tp + tn + fp + fn),
        "sensitivity": tp / (tp + fn) if tp + fn else 1.0,
        "specificity": tn / (tn + fp) if tn + fp else 1.0,
    }


def random_masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A prediction and a truth of which either may be empty or full."""
    rng = np.random.default_rng(seed)
    shares = rng.choice([0, 0.1, 0.5, 0.9, 1], 2)
    return tuple(rng.random((9, 7)) < share for share in shares)


def test_confusion_counts_each_pixel_once_where_it_belongs():
    prediction = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], bool)
    truth = np.array([[1, 1, 0, 1], [0, 0, 0, 0]], bool)
    confusion = Confusion.between(prediction, truth)
    assert confusion == Confusion(tp=2, fp=1, fn=1, tn=4)
    assert confusion.pixels == 8


def test_counts_are_plain_integers():
    values = asdict(Confusion.between(*random_masks(0))).values()
    assert {type(value) for value in values} == {int}


def test_masks_of_different_shapes_are_refused_even_where_they_would_broadcast():
    with pytest.raises(ValueError, match="pixels"):
        Confusion.between(np.ones((1, 4), bool), np.ones((3, 4), bool))


def test_scores_are_those_computed_by_hand():
    scores = ImageScores.of(Confusion(tp=6, fp=2, fn=4, tn=8))
    expected = {
        "dice": 12 / 18,
        "iou": 0.5,
        "thresholded_iou": 0,
        "accuracy": 0.7,
        "sensitivity": 0.6,
        "specificity": 0.8,
    }
    assert asdict(scores) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        (0, 0, dict.fromkeys(SCORES, 1)),
        (1, 1, dict.fromkeys(SCORES, 1)),
        (1, 0, dict.fromkeys(SCORES, 0) | {"sensitivity": 1}),
        (0, 1, dict.fromkeys(SCORES, 0) | {"specificity": 1}),
    ],
)
def test_empty_and_full_masks_score_by_the_challenges_rules(predicted, true, expected):
    shape = (3, 5)
    confusion = Confusion.between(np.full(shape, predicted, bool), np.full(shape, true, bool))
    assert asdict(ImageScores.of(confusion)) == expected


@pytest.mark.parametrize("seed", range(40))
def test_scores_agree_with_the_official_scorers_formulas(seed):
    confusion = Confusion.between(*random_masks(seed))
    assert asdict(ImageScores.of(confusion)) == pytest.approx(
        official_scores(**asdict(confusion)), abs=1e-12
    )


@pytest.mark.parametrize("seed", range(20))
def test_jaccard_is_dice_over_2_minus_dice(seed):
    confusion = Confusion.between(*random_masks(seed))
    assert confusion.iou == pytest.approx(confusion.dice / (2 - confusion.dice), abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_swapping_prediction_and_truth_swaps_what_was_missed_and_wrongly_marked_and_no_more(seed):
    prediction, truth = random_masks(seed)
    one, other = Confusion.between(prediction, truth), Confusion.between(truth, prediction)
    assert other == Confusion(tp=one.tp, fp=one.fn, fn=one.fp, tn=one.tn)
    assert (one.dice, one.iou, one.thresholded_iou, one.accuracy) == (
        other.dice,
        other.iou,
        other.thresholded_iou,
        other.accuracy,
    )
    # What of the lesion is found becomes what of the mark is lesion.
    if one.tp + one.fp:
        assert other.sensitivity == one.tp / (one.tp + one.fp)
    if one.tn + one.fn:
        assert other.specificity == one.tn / (one.tn + one.fn)


@pytest.mark.parametrize(
    ("tp", "missed", "expected"), [(13, 7, 0.65), (26, 14, 0.65), (649, 351, 0), (651, 349, 0.651)]
)
def test_thresholded_jaccard_keeps_065_itself_and_is_0_below(tp, missed, expected):
    assert Confusion(tp, 0, missed, 5).thresholded_iou == expected
    assert Confusion(tp, missed, 0, 5).thresholded_iou == expected
