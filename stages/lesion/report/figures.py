"""The pipeline's pictures, drawn with matplotlib; colours from Okabe and Ito's palette.

That palette (https://jfly.uni-koeln.de/color/) can be told apart by readers with any of the usual
forms of colour blindness.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from lesion.pipeline.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

INK = "#000000"
BLUE, ORANGE, GREEN, YELLOW, GREY = "#0072B2", "#D55E00", "#009E73", "#F0E442", "#666666"
STYLE: dict[RcKeyType, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "lesion",  # or names in the file would differ each time
    "figure.facecolor": "white",
    "savefig.dpi": 110,
}


@dataclass(frozen=True)
class Example:
    """An image (H×W×3 uint8 RGB), its true and its predicted mask (H×W bool), and its scores."""

    id: str
    dice: float
    iou: float
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a PNG; equal figures give equal bytes."""
    file = BytesIO()
    with rc_context(STYLE):
        figure.savefig(file, format="png", metadata={"Software": None})
    write_bytes(path, file.getvalue())


def to_svg(figure: Figure) -> str:
    """An SVG for a page: no background, ink in the colour of the text around it.

    The only title goes, for the page to write; of several, each says what its axes show.
    """
    titled = [axes for axes in figure.axes if axes.get_title()]
    if len(titled) == 1:
        titled[0].set_title("")
    file = StringIO()
    with rc_context(STYLE):
        figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
    return re.sub(f"{INK}|{GREY}", "currentColor", file.getvalue(), flags=re.IGNORECASE)


def curves(history: pd.DataFrame, note: str) -> Figure:
    """Loss and Dice of training and validation by epoch, the kept epoch marked."""
    best = history.loc[history["val_dice"].idxmax()]
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, quantity in ((left, "loss"), (right, "dice")):
            _curve(axes, history, quantity)
            axes.axvline(best["epoch"], color=GREY, linestyle=":", linewidth=1.2)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_xlabel("Epoch")
        left.set(title="Loss", ylim=(0, None))
        left.legend(loc="upper right")
        right.set(title="Dice", ylim=(0, 1))
        right.annotate(
            f"kept: epoch {best['epoch']:.0f}\nvalidation Dice {best['val_dice']:.3f}",
            (best["epoch"], 0.03),
            xycoords=("data", "axes fraction"),
            xytext=(-6, 0),
            textcoords="offset points",
            horizontalalignment="right",
            color=GREY,
        )
        figure.suptitle(note, fontsize=9, color=GREY, parse_math=False)
    return figure


def _curve(axes: Axes, history: pd.DataFrame, quantity: str) -> None:
    for prefix, name, colour, line in (
        ("train", "training", ORANGE, "--"),
        ("val", "validation", BLUE, "-"),
    ):
        values = history[f"{prefix}_{quantity}"]
        axes.plot(history["epoch"], values, line, marker=".", color=colour, label=name)


def panels(groups: dict[str, list[Example]], note: str) -> Figure:
    """Rows of Input | Ground truth | Prediction, grouped under a heading each.

    The prediction lies over the greyed image: yellow where it is right, orange where it is not
    lesion, blue where lesion was missed.
    """
    rows = [(group, example) for group, examples in groups.items() for example in examples]
    # Rows as high as their pictures are at equal width, so that none stands in white.
    heights = [example.image.shape[0] / example.image.shape[1] for _, example in rows]
    with rc_context({**STYLE, "axes.grid": False}):
        layout = ConstrainedLayoutEngine(
            w_pad=0.02, h_pad=0.03, wspace=0, hspace=0, rect=(0.01, 0, 0.99, 1)
        )
        figure = Figure(figsize=(7.2, 2.05 * sum(heights) + 0.9), layout=layout)
        grid = figure.subplots(len(rows), 3, squeeze=False, height_ratios=heights)
        for axes, title in zip(grid[0], ("Input", "Ground truth", "Prediction"), strict=True):
            axes.set_title(title, fontweight="bold")
        for axes, (group, example) in zip(grid, rows, strict=True):
            pictures = (example.image, example.truth, overlay(example))
            for place, picture in zip(axes, pictures, strict=True):
                place.imshow(picture, cmap="gray", vmin=0, vmax=255 if picture.ndim == 3 else 1)
                place.set(xticks=[], yticks=[])
                place.spines[:].set_visible(False)
            axes[0].set_ylabel(
                f"{group}\n{example.id}\nDice {example.dice:.3f}\nIoU {example.iou:.3f}",
                rotation=0,
                horizontalalignment="right",
                verticalalignment="center",
                fontsize=8,
                labelpad=6,
                parse_math=False,  # an id may hold what begins a formula
            )
        _legend(figure)
        figure.suptitle(note, fontsize=9, color=GREY, parse_math=False)
    return figure


def failures(examples: list[Example], captions: list[str], note: str) -> Figure:
    """Predictions over their images, in the colours of `panels`, each under its caption."""
    columns = min(4, len(examples))
    rows = -(-len(examples) // columns)
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.4 * columns, 2.75 * rows + 0.6), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, example, caption in zip(grid, examples, captions, strict=False):
            axes.imshow(overlay(example))
            axes.set_title(caption, fontsize=8, loc="left", parse_math=False)
        _legend(figure)
        figure.suptitle(note, fontsize=9, color=GREY, parse_math=False)
    return figure


def overlay(example: Example) -> np.ndarray:
    """The greyed image, H×W×3 uint8, with right and wrong pixels of the prediction tinted."""
    grey = cv2.cvtColor(example.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    picture = np.repeat((0.6 * grey + 60)[..., None], 3, axis=2)
    truth, prediction = example.truth, example.prediction
    for where, colour, opacity in (
        (truth & prediction, YELLOW, 0.5),
        (~truth & prediction, ORANGE, 0.75),
        (truth & ~prediction, BLUE, 0.75),
    ):
        tint = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
        picture[where] = (1 - opacity) * picture[where] + opacity * tint
    return picture.astype(np.uint8)


def _legend(figure: Figure) -> None:
    figure.legend(
        handles=[
            Patch(color=YELLOW, label="lesion, found (true positive)"),
            Patch(color=ORANGE, label="skin, marked (false positive)"),
            Patch(color=BLUE, label="lesion, missed (false negative)"),
        ],
        loc="outside lower center",
        ncols=3,
        fontsize=8,
    )


def score_distribution(scores: pd.DataFrame, note: str) -> Figure:
    """Histograms of per-image Dice and IoU, with mean and median; failures left of the line."""
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _histogram(left, scores["dice"], "Dice", BLUE)
        _histogram(right, scores["iou"], "IoU (Jaccard)", BLUE)
        right.axvline(0.65, color=ORANGE, linewidth=1.4)
        failed = (scores["iou"] < 0.65).mean()
        right.annotate(
            f"{failed:.1%} below 0.65,\nwhich the challenge\ncounts as failed",
            (0.65, 0.97),
            xycoords=("data", "axes fraction"),
            xytext=(-6, 0),
            textcoords="offset points",
            horizontalalignment="right",
            verticalalignment="top",
            color=ORANGE,
        )
        left.set_ylabel(f"Images (of {len(scores)})")
        figure.suptitle(note, fontsize=9, color=GREY, parse_math=False)
    return figure


def _histogram(axes: Axes, values: pd.Series, name: str, colour: str) -> None:
    axes.hist(values, bins=np.linspace(0, 1, 41).tolist(), color=colour, alpha=0.75)
    mean, median = values.mean(), values.median()
    axes.axvline(mean, color="black", linewidth=1.2, label=f"mean {mean:.3f}")
    axes.axvline(median, color="black", linewidth=1.2, linestyle=":", label=f"median {median:.3f}")
    axes.set(xlabel=name, xlim=(0, 1))
    axes.legend(loc="center left")
