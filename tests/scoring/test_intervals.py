import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lesion.scoring.intervals import LEAST, difference, means, p_value, ratios


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(columns)


def held(table: pd.DataFrame, truth: float) -> float:
    """The share of the intervals that hold the truth."""
    return float(((table["low"] <= truth) & (truth <= table["high"])).mean())


def test_value_is_the_mean_of_each_column():
    table = means(frame(a=[1, 2, 6], b=[0.5, 0.5, 0.5]))
    assert table["score"].tolist() == ["a", "b"]
    assert table["value"].tolist() == [3, 0.5]


@pytest.mark.parametrize("count", [1, 2, LEAST - 1])
def test_fewer_than_ten_images_have_no_interval_and_no_p(count):
    values = frame(x=np.linspace(0.1, 0.9, count))
    for table in (means(values), means(values, 0, 1), ratios(values, values + 1)):
        assert math.isfinite(table["value"][0]) and table[["low", "high"]].isna().all(axis=None)
    assert math.isnan(p_value(values)["x"])


def test_ten_images_have_an_interval_and_p():
    values = frame(x=np.linspace(0.1, 0.9, LEAST))
    table = means(values)
    assert table["low"][0] < table["value"][0] < table["high"][0] and p_value(values)["x"] < 0.01


# Where skewed scores are few, percentiles of a bootstrap hold 85 to 92 % (benchmarks/coverage.py).
@pytest.mark.parametrize("count", [10, 20, 40, 100])
def test_intervals_of_skewed_scores_hold_the_true_mean_19_times_in_20(count):
    values = np.random.default_rng(count).beta(5, 0.6, (count, 4000))
    assert 0.945 < held(means(pd.DataFrame(values), 0, 1), 5 / 5.6) < 0.985


@pytest.mark.parametrize("count", [10, 20, 100])
def test_intervals_of_differences_hold_the_true_mean_19_times_in_20(count):
    rng = np.random.default_rng(count)
    shape = (count, 4000)
    values = 0.03 * rng.standard_t(3, shape) * (rng.random(shape) < 0.7)
    assert 0.94 < held(means(pd.DataFrame(values)), 0) < 0.985


@pytest.mark.parametrize(("count", "least"), [(10, 0.86), (40, 0.9), (300, 0.93)])
def test_intervals_of_pooled_scores_hold_the_true_ratio(count, least):
    rng = np.random.default_rng(count)
    area = np.exp(0.8 * rng.standard_normal((count, 4000)))
    found = area * rng.beta(5, 0.6, area.shape)
    assert least < held(ratios(pd.DataFrame(found), pd.DataFrame(area)), 5 / 5.6) < 0.98


def test_symmetric_values_have_the_interval_and_p_of_students_t():
    values = np.linspace(-1, 1.4, 41)
    expected = stats.ttest_1samp(values, 0)
    row = means(frame(x=values)).iloc[0]
    assert (row["low"], row["high"]) == pytest.approx(expected.confidence_interval(0.95))
    assert p_value(frame(x=values))["x"] == pytest.approx(expected.pvalue)


def test_an_interval_reaches_further_to_where_the_skewed_tail_is():
    values = np.random.default_rng(0).beta(5, 0.6, 40)
    row = means(frame(x=values)).iloc[0]
    assert row["value"] - row["low"] > 1.05 * (row["high"] - row["value"])
    mirrored = means(frame(x=1 - values)).iloc[0]
    assert mirrored["low"] == pytest.approx(1 - row["high"])
    assert mirrored["high"] == pytest.approx(1 - row["low"])


def test_no_interval_goes_beyond_what_a_score_can_be():
    values = frame(x=[0.2, *[0.99] * 11])
    row = means(values, 0, 1).iloc[0]
    assert row["low"] >= 0 and row["high"] <= 1 < means(values)["high"][0]


@pytest.mark.parametrize("count", [10, 40, 300])
@pytest.mark.parametrize("failed", [0, 1, 3])
def test_what_failed_or_did_not_is_counted(failed, count):
    values = frame(x=[True] * failed + [False] * (count - failed))
    row = means(values, 0, 1).iloc[0]
    expected = stats.binomtest(failed, count).proportion_ci(0.95, "wilson")
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_that_all_images_are_perfect_leaves_room_for_some_that_are_not():
    perfect = frame(dice=[1.0] * 20)
    for table in (means(perfect, 0, 1), ratios(perfect, perfect)):
        assert 0.8 < table["low"][0] < 0.9 and table["high"][0] == 1


def test_a_ratio_is_that_of_the_sums():
    assert ratios(frame(x=[1, 0]), frame(x=[1, 3])).loc[0, "value"] == 0.25
    assert ratios(frame(x=[0, 0]), frame(x=[0, 0])).loc[0, "value"] == 1


def test_rows_of_one_ratio_have_no_spread_and_equal_wholes_make_it_a_mean():
    parts = pd.DataFrame({"x": np.arange(1.0, 21)})
    row = ratios(parts, 2 * parts).iloc[0]
    assert row["value"] == row["low"] == row["high"] == 0.5
    shares = frame(x=np.random.default_rng(2).beta(3, 1, 30))
    one, other = means(shares, 0, 1), ratios(7 * shares, frame(x=[7.0] * 30))
    pd.testing.assert_frame_equal(one, other)


def test_equal_rows_give_equal_bytes():
    values = frame(dice=np.random.default_rng(0).random(40))
    pd.testing.assert_frame_equal(means(values.copy()), means(values), check_exact=True)


def test_p_is_below_5_percent_just_where_the_interval_leaves_out_0():
    rng = np.random.default_rng(3)
    values = pd.DataFrame(rng.gamma(0.7, 1, (25, 3000)) - rng.uniform(0.2, 1.3, 3000))
    table, p = means(values), p_value(values).to_numpy()
    out = ((table["low"] > 0) | (table["high"] < 0)).to_numpy()
    assert 500 < out.sum() < 2500
    np.testing.assert_array_equal(p < 0.05, out)


def test_p_is_the_same_for_either_sign_and_1_without_difference():
    values = np.random.default_rng(4).normal(0.1, 1, 100)
    p = p_value(frame(a=values, b=-values, c=0 * values, d=values + 9))
    assert p["a"] == pytest.approx(p["b"]) and p["c"] == 1 and p["d"] < 1e-20


def test_one_gain_on_all_images_is_no_chance():
    table = means(frame(x=[0.25] * 12))
    assert table["low"][0] == table["high"][0] == 0.25
    assert p_value(frame(x=[0.25] * 12))["x"] == 0


@pytest.mark.parametrize("times", [1, 3])
def test_images_that_say_the_same_count_as_one(times):
    values = frame(x=np.random.default_rng(0).beta(8, 1, 40), y=np.arange(40) / 40)
    again = pd.concat([values] * times, ignore_index=True)
    groups = [f"patient {number}" for number in range(40)] * times
    pd.testing.assert_frame_equal(means(again, 0, 1, groups), means(values, 0, 1))
    pd.testing.assert_series_equal(p_value(again - 0.5, groups), p_value(values - 0.5))
    # What a ratio moves by without an image is nearly, not just, a third of that without three.
    found, alone = ratios(again, again + 1, groups), ratios(values, values + 1)
    pd.testing.assert_frame_equal(found, alone, rtol=1e-3)


def test_groups_of_one_and_none_at_all_are_the_same():
    values = frame(x=np.random.default_rng(0).beta(8, 1, 30))
    alone = [str(number) for number in range(30)]
    for groups in (alone, [""] * 30, alone[:10] + [""] * 20):
        pd.testing.assert_frame_equal(means(values, 0, 1, groups), means(values, 0, 1))


def test_fewer_than_ten_groups_have_no_interval():
    values, groups = frame(x=np.linspace(0, 0.9, 40)), [str(row % 9) for row in range(40)]
    assert means(values, groups=groups)["low"].isna().all() and math.isnan(
        p_value(values, groups)["x"]
    )


def test_with_groups_intervals_hold_the_true_mean_where_they_would_not_without():
    """40 patients with 1 to 6 images each, which are alike."""
    rng = np.random.default_rng(0)
    with_groups, without = [], []
    for _ in range(400):
        sizes = rng.integers(1, 7, 40)
        groups = [str(patient) for patient in np.repeat(np.arange(40), sizes)]
        values = frame(
            x=np.repeat(rng.normal(0.8, 0.1, 40), sizes) + rng.normal(0, 0.02, sum(sizes))
        )
        with_groups.append(means(values, groups=groups))
        without.append(means(values))
    assert held(pd.concat(with_groups), 0.8) > 0.9
    assert held(pd.concat(without), 0.8) < 0.85


@pytest.mark.parametrize("counts", [(20, 335), (200, 335), (40, 40)])
def test_intervals_of_a_difference_between_other_images_hold_the_true_one_19_times_in_20(counts):
    rng = np.random.default_rng(counts[0])
    one, other = (
        means(pd.DataFrame(rng.beta(5, shape, (count, 4000))), 0, 1)
        for count, shape in zip(counts, (1.2, 0.6), strict=True)
    )
    found = difference(one, other)
    assert (found["value"] == one["value"] - other["value"]).all()
    assert 0.945 < held(found, 5 / 6.2 - 5 / 5.6) < 0.985


def test_a_difference_has_no_interval_where_one_side_has_none():
    few, many = (means(frame(x=np.linspace(0.1, 0.9, count)), 0, 1) for count in (9, 40))
    for pair in ((few, many), (many, few)):
        assert difference(*pair)[["low", "high"]].isna().all(axis=None)
        assert difference(*pair)["value"].notna().all()
