import math

import numpy as np
import pytest
from scipy.special import expit

from lesion.scoring.calibration import BINS, LARGEST, PixelCounts, calibrated, calibration_errors


def drawn(temperature: float, count: int = 200_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Masks drawn from probabilities, and those with logits `temperature` times as large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-0.5, 1.5, count)
    mask = (rng.random(count) < expit(logits)).astype(np.uint8)
    return expit(logits * temperature).astype(np.float32), mask


def counts(probabilities: np.ndarray, mask: np.ndarray) -> PixelCounts:
    result = PixelCounts()
    result.add(probabilities, mask)
    return result


def cross_entropy(probabilities: np.ndarray, mask: np.ndarray) -> float:
    right = np.where(mask, probabilities, 1 - probabilities).astype(float)
    return float(-np.log(right).mean())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 3.0])
def test_the_temperature_that_made_probabilities_too_sure_is_found(temperature):
    found = counts(*drawn(temperature)).temperature()
    assert found == pytest.approx(temperature, rel=0.02)


def test_no_other_temperature_has_less_cross_entropy():
    probabilities, mask = drawn(2.2, 20_000)
    pixels = counts(probabilities, mask)
    best = pixels.temperature()
    for other in (0.9 * best, 0.99 * best, 1.01 * best, 1.1 * best):
        assert pixels.loss(best) < pixels.loss(other)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_loss_is_the_cross_entropy_of_the_calibrated_probabilities(temperature):
    probabilities, mask = drawn(1.5, 5_000)
    expected = cross_entropy(calibrated(probabilities, temperature), mask)
    assert counts(probabilities, mask).loss(temperature) == pytest.approx(expected, abs=1e-4)


def test_calibrated_at_1_are_the_same_and_0_5_stays_at_any_temperature():
    probabilities = np.array([[0.01, 0.2, 0.5, 0.99]], np.float32)
    same = calibrated(probabilities, 1.0)
    assert same.dtype == np.float32 and same.shape == (1, 4)
    assert np.allclose(same, probabilities, atol=1e-6)
    assert calibrated(np.float32([0.5]), 3.0)[0] == 0.5
    assert np.allclose(calibrated(probabilities, 2.0)[0, 3], expit(np.log(99) / 2), atol=1e-5)


def test_certain_probabilities_are_as_large_as_can_be_and_not_infinite():
    values = calibrated(np.float32([0, 1]), 1.0)
    assert np.allclose(values, [expit(-LARGEST), expit(LARGEST)])
    assert np.isfinite(counts(np.float32([0, 1]), np.array([1, 0])).loss(1.0))


def test_counts_of_several_images_are_those_of_all_pixels_at_once():
    probabilities, mask = drawn(1.3, 9_000)
    parts = PixelCounts()
    for part in np.array_split(np.arange(9_000), 7):
        parts.add(probabilities[part], mask[part])
    assert np.array_equal(parts.counts, counts(probabilities, mask).counts)
    assert parts.counts.sum() == 9_000 and parts.counts[1].sum() == mask.sum()


def test_reliability_is_that_of_pixels_sorted_into_bins():
    probabilities, mask = drawn(1.0, 50_000)
    table = counts(probabilities, mask).reliability(1.0)
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    assert len(table) == BINS and table["pixels"].sum() == 50_000
    for number, row in table.iterrows():
        own = bins == number
        assert row["pixels"] == pytest.approx(own.sum(), abs=0.02 * own.sum() + 20)
        assert row["predicted"] == pytest.approx(probabilities[own].mean(), abs=0.003)
        assert row["observed"] == pytest.approx(mask[own].mean(), abs=0.02)


def test_bins_without_pixels_are_left_out():
    table = counts(np.float32([0.05, 0.95, 0.96]), np.array([0, 1, 0])).reliability(1.0)
    assert table["pixels"].tolist() == [1, 2] and table["observed"].tolist() == [0, 0.5]


def test_a_probability_of_exactly_1_is_in_the_last_bin():
    table = counts(np.float32([0.95, 1]), np.array([1, 1])).reliability(0.1)
    assert table["pixels"].tolist() == [2] and table["predicted"][0] == pytest.approx(1)


def test_the_error_is_the_mean_gap_weighted_by_pixels():
    table = counts(
        np.float32([0.25] * 30 + [0.75] * 10), np.array([0] * 30 + [1] * 10)
    ).reliability(1)
    assert calibration_errors(table)["all_pixels"] == pytest.approx(0.25, abs=0.002)


def test_the_right_temperature_makes_the_error_small():
    pixels = counts(*drawn(2.5))
    for kind in ("all_pixels", "unsure_pixels"):
        before, after = (
            calibration_errors(pixels.reliability(t))[kind] for t in (1.0, pixels.temperature())
        )
        assert before > 0.05 > 0.02 > after


def test_pixels_that_are_sure_do_not_hide_the_error_of_the_others():
    sure, unsure = [0.001] * 960, [0.3] * 40
    table = counts(np.float32(sure + unsure), np.array([0] * 960 + [1] * 40)).reliability(1)
    errors = calibration_errors(table)
    assert errors["unsure_pixels"] == pytest.approx(0.7, abs=0.002)
    assert errors["all_pixels"] == pytest.approx((960 * 0.001 + 40 * 0.7) / 1000, abs=0.001)


def test_without_an_unsure_pixel_there_is_no_error_of_those():
    errors = calibration_errors(counts(np.float32([0.01, 0.99]), np.array([0, 1])).reliability(1))
    assert math.isnan(errors["unsure_pixels"]) and errors["all_pixels"] < 0.02
