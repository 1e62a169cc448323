import numpy as np
import pandas as pd
import pytest

from lesion.experiments.sweep_figure import parallel_coordinates

TABLE = pd.DataFrame(
    {
        "lr": [1e-4, 1e-2, 1e-3],
        "threshold": ["auto", "0.5", "0.5"],
        "seed": [0, 1, 2],
        "test.dice": [0.5, 0.9, 0.7],
    }
)


def lines(table: pd.DataFrame) -> list[np.ndarray]:
    """The heights of each line, the one of the lowest score first."""
    (axes,) = parallel_coordinates(table, "three experiments").axes
    return [line.get_ydata() for line in axes.lines if len(line.get_xdata()) == table.shape[1]]


def test_each_experiment_is_a_line_over_all_axes():
    np.testing.assert_allclose(lines(TABLE), [[0, 1, 0, 0], [0.5, 0, 1, 0.5], [1, 0, 0.5, 1]])


def test_a_factor_below_ten_is_placed_as_it_is():
    table = TABLE.assign(lr=[1.0, 4.0, 2.0])
    assert lines(table)[1][0] == pytest.approx(1 / 3)


def test_one_value_alone_stands_in_the_middle():
    assert {heights[0] for heights in lines(TABLE.assign(lr=0.1))} == {0.5}


def test_the_axes_are_named_and_have_the_values():
    (axes,) = parallel_coordinates(TABLE, "three experiments").axes
    assert [label.get_text() for label in axes.get_xticklabels()] == list(TABLE)
    assert {"0.0001", "0.01", "auto", "0.9"} <= {text.get_text() for text in axes.texts}


def test_of_many_values_only_the_ends_are_written():
    table = pd.DataFrame({"lr": np.arange(20.0), "test.dice": np.linspace(0, 1, 20)})
    (axes,) = parallel_coordinates(table, "").axes
    assert [text.get_text() for text in axes.texts] == ["0", "19", "0", "1"]
