import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lesion.bootstrap import SAMPLES, means, p_value, ratios


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_value_is_the_mean_of_each_column():
    table = means(frame(a=[1, 2, 6], b=[0.5, 0.5, 0.5]))
    assert table["score"].tolist() == ["a", "b"]
    assert table["value"].tolist() == [3, 0.5]
    assert table.loc[1, ["low", "high"]].tolist() == [0.5, 0.5]


def test_intervals_are_those_of_scipys_percentile_bootstrap():
    values = np.random.default_rng(1).beta(5, 1, 120)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=SAMPLES, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    row = means(frame(dice=values)).iloc[0]
    width = expected.high - expected.low
    assert row["low"] == pytest.approx(expected.low, abs=0.03 * width)
    assert row["high"] == pytest.approx(expected.high, abs=0.03 * width)


def test_intervals_hold_the_true_mean_about_19_times_in_20():
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.normal(0.3, 1, (50, 300)))
    table = means(data)
    held = ((table["low"] <= 0.3) & (table["high"] >= 0.3)).mean()
    assert 0.9 < held < 0.98


def test_a_ratio_is_that_of_the_sums_and_its_samples_draw_rows_whole():
    above, below = frame(x=[1, 2, 30]), frame(x=[2, 4, 60])
    row = ratios(above, below).iloc[0]
    assert row["value"] == row["low"] == row["high"] == 0.5
    assert ratios(frame(x=[1, 0]), frame(x=[1, 3])).loc[0, "value"] == 0.25


def test_nothing_of_nothing_is_1():
    row = ratios(frame(x=[0, 0]), frame(x=[0, 0])).iloc[0]
    assert row["value"] == row["low"] == row["high"] == 1


def test_equal_rows_give_equal_bytes_whatever_was_drawn_before():
    values = frame(dice=np.random.default_rng(0).random(40))
    first = means(values)
    np.random.default_rng(0).random(9)
    np.random.random(3)
    pd.testing.assert_frame_equal(means(values), first, check_exact=True)


def test_one_row_has_no_spread():
    assert means(frame(x=[0.7])).loc[0, ["value", "low", "high"]].tolist() == [0.7] * 3


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3])
def test_p_is_near_that_of_a_paired_t_test(shift):
    values = np.random.default_rng(3).normal(shift, 1, 200)
    expected = stats.ttest_1samp(values, 0).pvalue
    assert p_value(frame(x=values))["x"] == pytest.approx(expected, abs=0.02)


def test_p_is_the_same_for_either_sign_1_without_difference_and_never_0():
    values = np.random.default_rng(4).normal(0.1, 1, 100)
    p = p_value(frame(a=values, b=-values, c=0 * values, d=values + 9))
    assert p["a"] == p["b"] and p["c"] == 1 and p["d"] == 1 / SAMPLES
