"""Experiments as parallel coordinates: a line an experiment, an axis a parameter or a score."""

import numpy as np
import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesion.report.figures import GREY, INK, STYLE

MOST_TICKS = 7


def parallel_coordinates(table: pd.DataFrame, note: str) -> Figure:
    """A row of `table` is a line, its columns are the axes from left to right.

    The last column, a score, gives the lines their colours: the brighter, the higher. Numbers that
    span a factor of ten or more are placed by their logarithm, words in their order.
    """
    last = _placed(table.iloc[:, -1])
    with rc_context(STYLE | {"axes.grid": False}):
        width = max(5.5, 1.6 * table.shape[1])
        figure = Figure(figsize=(width, 3.8), layout="constrained")
        axes = figure.subplots()
        for row in np.argsort(last):  # the best on top
            heights = [_placed(table[name])[row] for name in table]
            colour = colormaps["cividis"](0.9 * last[row])
            axes.plot(heights, color=colour, linewidth=1.8, solid_capstyle="round")
        for place, name in enumerate(table):
            _axis(axes, place, table[name])
        axes.set(xlim=(-0.3, table.shape[1] - 0.4), ylim=(-0.04, 1.04))
        axes.set_xticks(range(table.shape[1]), table.columns)
        axes.tick_params(axis="x", length=0, pad=8)
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        figure.supxlabel(note, fontsize=8, color=GREY)
    return figure


def _axis(axes: Axes, place: int, values: pd.Series) -> None:
    axes.axvline(place, color=GREY, linewidth=1, zorder=0)
    ticks = pd.Series(_placed(values), index=values).groupby(level=0).first().sort_values()
    if len(ticks) > MOST_TICKS:
        ticks = ticks.iloc[[0, -1]]
    for value, height in ticks.items():
        text = value if isinstance(value, str) else f"{value:.4g}"
        axes.annotate(
            text,
            (place, height),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1},
        )


def _placed(values: pd.Series) -> np.ndarray:
    """Where each value stands on its axis, from 0 to 1."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        places = values.to_numpy(float)
        if places.min() > 0 and places.max() >= 10 * places.min():
            places = np.log(places)
    else:
        places = values.astype(str).astype("category").cat.codes.to_numpy(float)
    low, high = places.min(), places.max()
    return (places - low) / (high - low) if high > low else np.full(len(places), 0.5)
