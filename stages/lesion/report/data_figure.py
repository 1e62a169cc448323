"""The picture of the data report: what the images of each split are like."""

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesion.formats.splits import SPLITS
from lesion.photos.inventory import EXCLUDED, KEPT, LEFT_OUT, REJECTED
from lesion.report.figures import BLUE, GREEN, GREY, ORANGE, STYLE

COLOURS = dict(zip(SPLITS, (BLUE, ORANGE, GREEN), strict=True))


def data_report(table: pd.DataFrame, note: str) -> Figure:
    """Six panels on a table with the columns of lesion.photos.inventory."""
    kept = table[table["state"] == KEPT]
    with rc_context(STYLE):
        figure = Figure(figsize=(10.5, 6), layout="constrained")
        grid = figure.subplots(2, 3)
        _counts(grid[0, 0], table)
        _by_split(grid[0, 1], kept, "lesion_share", np.linspace(0, 1, 26))
        grid[0, 1].set(title="Lesion", xlabel="Share of the pixels")
        _sizes(grid[0, 2], kept)
        _by_split(grid[1, 0], kept, "brightness", np.linspace(0, 255, 26))
        grid[1, 0].set(title="Brightness", xlabel="Mean luma (0 to 255)")
        _colours(grid[1, 1], kept)
        _findings(grid[1, 2], table)
        figure.suptitle(note, fontsize=9, color=GREY, parse_math=False)
    return figure


def _counts(axes: Axes, table: pd.DataFrame) -> None:
    """A bar a split: images that are used, left out, excluded and rejected."""
    counts = pd.crosstab(table["split"], table["state"])
    states = {KEPT: 1.0, LEFT_OUT: 0.5, REJECTED: 0.25}  # and how strong the colour is
    if EXCLUDED in counts:  # else the picture is the one that it was before there was `exclude`
        states[EXCLUDED] = 0.35
    counts = counts.reindex(index=SPLITS[::-1], columns=list(states), fill_value=0)
    start = np.zeros(len(counts))
    for state, alpha in states.items():
        bars = axes.barh(counts.index, counts[state], left=start, height=0.6)
        for split, bar in zip(counts.index, bars, strict=True):
            bar.set(color=COLOURS[split], alpha=alpha)
        start += counts[state].to_numpy()
    for position, split in enumerate(counts.index):
        used, *others = counts.loc[split]
        named = zip(list(states)[1:], others, strict=True)
        parts = [f"{used}", *(f"{count} {state}" for state, count in named if count)]
        axes.text(start[position], position, "  " + ", ".join(parts), verticalalignment="center")
    axes.set(title="Images", xlim=(0, start.max() * 1.25))
    axes.grid(False)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def _by_split(axes: Axes, kept: pd.DataFrame, column: str, bins: np.ndarray) -> None:
    """How a measurement is spread over the images of each split."""
    for split in SPLITS:
        values = kept.loc[kept["split"] == split, column]
        weights = np.full(len(values), 100 / max(1, len(values)))
        colour = COLOURS[split]
        axes.hist(
            values, bins.tolist(), weights=weights, histtype="step", color=colour, linewidth=1.6
        )
        axes.plot([], [], color=colour, label=f"{split}, median {values.median():.3g}")
    axes.set(xlim=(bins[0], bins[-1]), ylabel="Images of the split (%)")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.5)  # room for the legend
    axes.legend(fontsize=8, loc="upper right")


def _sizes(axes: Axes, kept: pd.DataFrame) -> None:
    """A dot a size of photographs, the larger the more have it."""
    for split in SPLITS:
        sizes = (
            kept[kept["split"] == split].groupby(["width", "height"]).size().reset_index(name="n")
        )
        area = 12 + 300 * sizes["n"] / len(kept)
        axes.scatter(
            sizes["width"], sizes["height"], area, color=COLOURS[split], alpha=0.6, linewidth=0
        )
    axes.set(
        title="Size",
        xlabel="Width (pixels)",
        ylabel="Height (pixels)",
        xlim=(0, kept["width"].max() * 1.1),
        ylim=(0, kept["height"].max() * 1.1),
    )


def _colours(axes: Axes, kept: pd.DataFrame) -> None:
    """A dot an image, in the image's own mean colour."""
    colours = kept[["red", "green", "blue"]].to_numpy() / 255
    axes.scatter(kept["red"], kept["blue"], 10, color=colours, linewidth=0)
    axes.set(title="Mean colour", xlabel="Red (0 to 255)", ylabel="Blue (0 to 255)")
    axes.set(xlim=(0, 255), ylim=(0, 255), aspect="equal")


def _findings(axes: Axes, table: pd.DataFrame) -> None:
    """What a person should look at, in words."""
    twins = table[table["twin"].notna()]
    groups = set(table["group"].dropna()) - {""}
    lines = {
        "rejected": int((table["state"] == REJECTED).sum()),
        "near-duplicates": len(twins),
        "… across splits": int((twins["twin_split"] != twins["split"]).sum()),
        "… left out of training": int((table["state"] == LEFT_OUT).sum()),
        "groups" if len(groups) else "groups: no patients are known": len(groups),
    }
    if excluded := int((table["state"] == EXCLUDED).sum()):
        lines["excluded from training"] = excluded
    notes = table["notes"].dropna().str.split("; ").explode()
    lines |= notes[notes != ""].value_counts().to_dict()
    axes.set(title="Findings")
    axes.axis("off")
    for row, (name, count) in enumerate(list(lines.items())[:12]):
        height = 0.95 - 0.08 * row
        axes.text(0.18, height, f"{count}", horizontalalignment="right", transform=axes.transAxes)
        axes.text(0.24, height, name, transform=axes.transAxes)
