"""Pictures of the scores: by threshold, probability, confidence, area and group of images."""

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lesion.report.figures import BLUE, GREEN, GREY, ORANGE, STYLE

NAMES = {
    "dice": "Dice",
    "iou": "IoU (Jaccard)",
    "thresholded_iou": "thresholded IoU",
}
COLOURS = {"dice": BLUE, "iou": ORANGE, "thresholded_iou": GREEN}
LINES = {"dice": "-", "iou": "--", "thresholded_iou": ":"}


def threshold_sweep(sweep: pd.DataFrame, threshold: float, note: str) -> Figure:
    """Mean scores of the validation split by threshold; `threshold` is the one in use.

    `sweep` is metrics/thresholds.csv.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(4.8, 3.6), layout="constrained")
        axes = figure.subplots()
        for name, label in NAMES.items():
            axes.plot(
                sweep["threshold"], sweep[name], LINES[name], color=COLOURS[name], label=label
            )
        axes.axvline(threshold, color=GREY, linewidth=1.2)
        axes.annotate(
            f"in use: {threshold:g}",
            (threshold, 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(6, 0),
            textcoords="offset points",
            color=GREY,
        )
        lowest = float(sweep[list(NAMES)].to_numpy().min())
        axes.set(
            title="Scores by threshold",
            xlabel="Probability from which a pixel counts as lesion",
            ylabel="Mean over the validation images,\non which it is chosen",
            xlim=(0, 1),
            ylim=(max(0, lowest - 0.05), 1),
        )
        figure.legend(loc="outside lower center", ncols=3, fontsize=9)
        _noted(figure, note)
    return figure


def calibration(
    table: pd.DataFrame, temperature: float, error: float, unsure: float | None, note: str
) -> Figure:
    """Share of lesion among the pixels of each range of probability, and how many they are.

    `table` is metrics/calibration.csv: of the test split, at the temperature; `error` the
    calibration error over all pixels, `unsure` over those between 0.1 and 0.9, if there are any.
    """
    errors = f"calibration error\n{error:.3f} over all pixels"
    if unsure is not None:
        errors += f"\n{unsure:.3f} between 0.1 and 0.9"
    with rc_context(STYLE):
        figure = Figure(figsize=(4.8, 3.6), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="perfect")
        upper.plot(table["predicted"], table["observed"], "o-", color=BLUE, label="network")
        upper.set(title="Calibration", ylabel="Share that is lesion", ylim=(0, 1))
        upper.legend(loc="upper left")
        upper.annotate(
            f"{errors}\n(temperature {temperature:g})",
            (0.97, 0.06),
            xycoords="axes fraction",
            horizontalalignment="right",
            color=GREY,
        )
        share = table["pixels"] / table["pixels"].sum()
        lower.bar(table["predicted"], share, width=0.06, color=BLUE, alpha=0.75)
        lower.set(
            yscale="log",
            ylabel="Pixels",
            xlabel="Calibrated probability of a pixel",
            xlim=(0, 1),
        )
        lower.yaxis.set_minor_formatter(NullFormatter())  # where they span less than a decade
        _noted(figure, note)
    return figure


def risk_coverage(table: pd.DataFrame, caught: float | None, note: str) -> Figure:
    """What is lost on the images that are kept, when the least sure ones go to review.

    `table` is metrics/risk_coverage.csv; `caught` the share of the failures in the first tenth, if
    anything failed.
    """
    tenth = "no image failed"
    if caught is not None:
        tenth = f"the least sure tenth holds\n{caught:.0%} of the failures"
    with rc_context(STYLE):
        figure = Figure(figsize=(4.8, 3.6), layout="constrained")
        axes = figure.subplots()
        reviewed = 100 * (1 - table["coverage"])
        axes.plot(reviewed, table["risk"], "-", color=BLUE, label="1 − mean IoU")
        axes.plot(reviewed, table["failures"], "--", color=ORANGE, label="share with IoU < 0.65")
        axes.axvline(10, color=GREY, linewidth=1, linestyle=":")
        axes.annotate(
            tenth,
            (10, 0.72),
            xycoords=("data", "axes fraction"),
            xytext=(6, 0),
            textcoords="offset points",
            verticalalignment="top",
            color=GREY,
        )
        axes.set(
            title="What review would leave",
            xlabel="Images sent to review, least sure first (%)",
            ylabel="On the images that are kept",
            xlim=(0, 100),
            ylim=(0, None),
        )
        axes.legend(loc="upper right")
        _noted(figure, note)
    return figure


def bland_altman(rows: pd.DataFrame, note: str) -> Figure:
    """Predicted less true area of each lesion by their mean (Bland and Altman, 1986).

    `rows` has lesion_share and predicted_share, of the image's area.
    """
    true, predicted = 100 * rows["lesion_share"], 100 * rows["predicted_share"]
    difference = predicted - true
    bias, spread = difference.mean(), 1.96 * difference.std()
    with rc_context(STYLE):
        figure = Figure(figsize=(4.8, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.scatter((true + predicted) / 2, difference, s=12, color=BLUE, alpha=0.5, linewidths=0)
        for value, text in (
            (bias, "bias"),
            (bias + spread, "bias + 1.96 SD"),
            (bias - spread, "bias − 1.96 SD"),
        ):
            axes.axhline(
                value, color=ORANGE, linewidth=1.2, linestyle="-" if value == bias else "--"
            )
            axes.annotate(
                f"{text}: {value:+.1f}".replace("-", "−"),
                (1, value),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 3),
                textcoords="offset points",
                horizontalalignment="right",
                color=ORANGE,
            )
        axes.set(
            title="Area of the lesion",
            xlabel="Mean of predicted and true area (% of the image)",
            ylabel="Predicted − true (percentage points)",
            xlim=(0, None),
        )
        _noted(figure, note)
    return figure


def by_group(scores: pd.DataFrame, note: str) -> Figure:
    """Mean Dice of the network on each group of images, with its 95 % interval, if it has one.

    `scores` is metrics/scores.csv, of one split.
    """
    own = scores[(scores["method"] == "network") & (scores["score"] == "dice")]
    own = own.reset_index(drop=True)
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 0.27 * len(own) + 1.2), layout="constrained")
        axes = figure.subplots()
        places = -own.index.to_numpy()
        whole = own[own["group"] == "all"].iloc[0]
        if pd.notna(whole["low"]):
            axes.axvspan(whole["low"], whole["high"], color=GREY, alpha=0.15, linewidth=0)
        _intervals(axes, own, places)
        axes.set_yticks(places, [f"{row.group} ({row.images})" for row in own.itertuples()])
        axes.set(
            title="Dice by group of images (their number)",
            xlabel="Mean Dice, 95 % interval of ten images or more",
        )
        axes.grid(visible=False, axis="y")
        _noted(figure, note)
    return figure


def _intervals(axes: Axes, rows: pd.DataFrame, places: np.ndarray) -> None:
    axes.hlines(places, rows["low"], rows["high"], color=BLUE, linewidth=1.6)
    axes.plot(rows["value"], places, "o", color=BLUE, markersize=5)


def _noted(figure: Figure, note: str) -> None:
    figure.suptitle(note, fontsize=9, color=GREY, parse_math=False)
