import math

import numpy as np
import pandas as pd
import pytest

from lesion.scoring.confidence import NoLesion, expected_dice, reliance, risk_coverage

ALWAYS = NoLesion(0, 1)  # every photograph is of a lesion


def rows(expected: list[float], iou: list[float]) -> pd.DataFrame:
    ids = [f"{number:02}" for number in range(len(iou))]
    dice = [2 * value / (1 + value) for value in iou]
    return pd.DataFrame({"id": ids, "expected_dice": expected, "iou": iou, "dice": dice})


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    both = mask.sum() + truth.sum()
    return float(2 * (mask & truth).sum() / both) if both else 1.0


def test_expected_dice_is_near_the_mean_dice_over_masks_drawn_from_the_probabilities():
    rng = np.random.default_rng(0)
    probabilities = rng.beta(0.5, 0.8, (40, 40)).astype(np.float32)
    mask = probabilities >= 0.4
    truths = rng.random((400, 40, 40)) < probabilities
    found = np.mean([dice(mask, truth) for truth in truths])
    assert expected_dice(probabilities, mask, ALWAYS) == pytest.approx(found, abs=0.002)


@pytest.mark.parametrize("odds", [0.02, 0.5, 2])
def test_expected_dice_is_near_that_over_masks_some_of_which_are_empty(odds):
    rng = np.random.default_rng(1)
    given_lesion = rng.beta(0.5, 0.8, (40, 40)) * 0.9
    no_lesion = NoLesion(odds, 1)
    empty = no_lesion.probability(0.8)
    # By as much less as there is no lesion at all.
    probabilities = given_lesion * (1 - empty)
    probabilities[0, 0] = 0.8
    truths = (rng.random((2000, 40, 40)) < given_lesion) & (rng.random((2000, 1, 1)) >= empty)
    for mask in (given_lesion >= 0.4, np.zeros((40, 40), bool)):
        found = np.mean([dice(mask, truth) for truth in truths])
        assert expected_dice(probabilities, mask, no_lesion) == pytest.approx(found, abs=0.03)


def test_a_certain_mask_expects_1_and_an_empty_one_0_where_every_image_has_a_lesion():
    probabilities = np.full((4, 4), 1e-5, np.float32)
    assert expected_dice(probabilities, np.zeros((4, 4), bool), ALWAYS) == 0
    probabilities[:2] = 1 - 1e-5
    assert expected_dice(probabilities, probabilities > 0.5, ALWAYS) == pytest.approx(1, abs=1e-4)


def test_an_empty_mask_expects_the_probability_that_there_is_no_lesion():
    none = np.zeros((4, 4), bool)
    values = [
        expected_dice(np.full((4, 4), p, np.float32), none, NoLesion(1, 1))
        for p in (0.4, 0.1, 0.01)
    ]
    assert values == pytest.approx([0.6, 0.9, 0.99])


def test_the_less_sure_the_pixels_the_lower():
    mask = np.ones((3, 3), bool)
    values = [expected_dice(np.full((3, 3), p, np.float32), mask, ALWAYS) for p in (0.5, 0.7, 0.9)]
    assert values == sorted(values) and values[0] == pytest.approx(2 * 4.5 / 13.5)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_as_many_images_are_expected_to_show_no_lesion_as_do(share):
    rng = np.random.default_rng(0)
    empty = rng.random(200) < share
    highest = np.where(empty, rng.uniform(0.001, 0.6, 200), rng.uniform(0.3, 0.9999, 200))
    expected = NoLesion.fitted(highest, empty).probability(highest)
    assert expected.sum() == pytest.approx(empty.sum(), abs=1)
    assert expected[empty].min() > expected[~empty].min()
    assert (np.argsort(expected) == np.argsort(-highest)).all()


def test_where_every_image_has_a_lesion_none_is_expected_to_have_none():
    highest = np.linspace(0.01, 0.99, 9)
    assert NoLesion.fitted(highest, np.zeros(9, bool)) == ALWAYS
    assert (NoLesion.fitted(highest, np.ones(9, bool)).probability(highest) > 0.8).all()


def test_images_that_are_told_apart_without_fault_are_not_sure_for_that():
    highest = np.array([0.01, 0.02, *[0.9999] * 20])
    found = NoLesion.fitted(highest, highest < 0.5)
    assert 0.7 < found.probability(0.01) < 0.8 and 0.03 < found.probability(0.9999) < 0.06


def photographs(count: int, without: float, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Probabilities and true masks, of a network that mostly sees whether there is a lesion."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    pairs = []
    for _ in range(count):
        radius, empty = rng.uniform(4, 12), rng.random() < without
        truth = (np.hypot(y - 16, x - 16) < radius) & (not empty)
        marked = np.hypot(y - 16, x - rng.integers(12, 21)) < radius * rng.uniform(0.8, 1.2)
        height = 0.7 * rng.beta(1, 4) if empty else 0.97 * rng.beta(6, 1)
        pairs.append(((0.01 + height * marked).astype(np.float32), truth))
    return pairs


def test_photographs_without_lesion_are_not_ranked_last_because_they_have_none():
    validation, test = photographs(100, 0.4, seed=0), photographs(200, 0.4, seed=1)
    no_lesion = NoLesion.fitted(
        np.array([found.max() for found, _ in validation], float),
        np.array([not truth.any() for _, truth in validation]),
    )
    expected = [expected_dice(found, found >= 0.5, no_lesion) for found, _ in test]
    scores = [dice(found >= 0.5, truth) for found, truth in test]
    ranked = rows(expected, [value / (2 - value) for value in scores])
    marked = np.array([(found >= 0.5).any() for found, _ in test])
    reversed_ = ranked.assign(expected_dice=expected * marked)  # an empty mask is never right
    assert reliance(ranked)["confidence_correlation"] > 0.25
    assert reliance(reversed_)["confidence_correlation"] < 0
    assert reliance(ranked)["aurc"] < 0.7 * reliance(reversed_)["aurc"]
    assert np.mean(expected) == pytest.approx(np.mean(scores), abs=0.1)


def test_risk_is_the_mean_loss_of_the_surest_images():
    table = risk_coverage(rows([0.2, 0.9, 0.5, 0.7], [0.0, 0.9, 0.6, 0.8]))
    assert table["coverage"].tolist() == [0.25, 0.5, 0.75, 1]
    assert table["risk"].tolist() == pytest.approx([0.1, 0.15, 0.7 / 3, 1.7 / 4])
    assert table["failures"].tolist() == pytest.approx([0, 0, 1 / 3, 0.5])


def test_the_order_of_the_images_changes_nothing():
    rng = np.random.default_rng(0)
    table = rows(rng.random(30).round(1).tolist(), rng.random(30).tolist())
    shuffled = table.sample(frac=1, random_state=1)
    assert risk_coverage(shuffled).equals(risk_coverage(table))
    assert reliance(shuffled) == pytest.approx(reliance(table))


def test_failures_in_review_are_those_among_the_least_sure_tenth():
    iou = [0.1, 0.9, 0.2, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.3]
    expected = [0.1, 0.9, 0.2, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8]
    # A tenth of 12 images, rounded up: two, and both are failures, of three.
    assert reliance(rows(expected, iou))["failures_in_review"] == pytest.approx(2 / 3)


def test_without_a_failure_there_is_no_share_of_failures():
    assert math.isnan(reliance(rows([0.5, 0.6], [0.9, 0.8]))["failures_in_review"])


def test_a_perfect_order_has_correlation_1_and_the_least_area():
    iou = [0.3, 0.5, 0.7, 0.9]
    right, wrong = reliance(rows(iou, iou)), reliance(rows(iou[::-1], iou))
    assert right["confidence_correlation"] == pytest.approx(1)
    assert wrong["confidence_correlation"] == pytest.approx(-1)
    assert (
        right["aurc"] == pytest.approx(np.mean([0.1, 0.2, 0.3, 0.4]))
        and wrong["aurc"] > right["aurc"]
    )


@pytest.mark.parametrize(("expected", "iou"), [([0.5] * 3, [0.1, 0.5, 0.9]), ([0.1, 0.5], [1, 1])])
def test_what_never_varies_has_no_correlation(expected, iou):
    assert math.isnan(reliance(rows(expected, iou))["confidence_correlation"])
