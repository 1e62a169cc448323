import numpy as np
import pandas as pd
import pytest

from lesion.confidence import expected_dice, reliance, risk_coverage


def rows(expected: list[float], iou: list[float]) -> pd.DataFrame:
    ids = [f"{number:02}" for number in range(len(iou))]
    dice = [2 * value / (1 + value) for value in iou]
    return pd.DataFrame({"id": ids, "expected_dice": expected, "iou": iou, "dice": dice})


def test_expected_dice_is_near_the_mean_dice_over_masks_drawn_from_the_probabilities():
    rng = np.random.default_rng(0)
    probabilities = rng.beta(0.5, 0.8, (40, 40))
    mask = probabilities >= 0.4
    truths = rng.random((400, 40, 40)) < probabilities
    dice = 2 * (truths & mask).sum((1, 2)) / (truths.sum((1, 2)) + mask.sum())
    assert expected_dice(probabilities.astype(np.float32), mask) == pytest.approx(
        dice.mean(), abs=0.002
    )


def test_a_certain_mask_expects_1_and_an_empty_one_0():
    probabilities = np.zeros((4, 4), np.float32)
    probabilities[:2] = 1
    assert expected_dice(probabilities, probabilities > 0.5) == 1
    assert expected_dice(probabilities, np.zeros((4, 4), bool)) == 0
    assert expected_dice(np.zeros((4, 4), np.float32), np.zeros((4, 4), bool)) == 0


def test_the_less_sure_the_pixels_the_lower():
    mask = np.ones((3, 3), bool)
    values = [expected_dice(np.full((3, 3), p, np.float32), mask) for p in (0.5, 0.7, 0.9)]
    assert values == sorted(values) and values[0] == pytest.approx(2 * 4.5 / 13.5)


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


def test_without_a_failure_none_is_missed():
    assert reliance(rows([0.5, 0.6], [0.9, 0.8]))["failures_in_review"] == 1


def test_a_perfect_order_has_correlation_1_and_the_least_area():
    iou = [0.3, 0.5, 0.7, 0.9]
    right, wrong = reliance(rows(iou, iou)), reliance(rows(iou[::-1], iou))
    assert right["confidence_correlation"] == pytest.approx(1)
    assert wrong["confidence_correlation"] == pytest.approx(-1)
    assert (
        right["aurc"] == pytest.approx(np.mean([0.1, 0.2, 0.3, 0.4]))
        and wrong["aurc"] > right["aurc"]
    )


def test_equal_confidence_has_correlation_0():
    assert reliance(rows([0.5] * 3, [0.1, 0.5, 0.9]))["confidence_correlation"] == 0
