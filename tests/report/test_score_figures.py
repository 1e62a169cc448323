import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesion.report.figures import save_figure, to_svg
from lesion.report.score_figures import (
    bland_altman,
    by_group,
    calibration,
    risk_coverage,
    threshold_sweep,
)

pytestmark = pytest.mark.long


def sweep() -> pd.DataFrame:
    thresholds = np.arange(1, 20) / 20
    best = 1 - (thresholds - 0.4) ** 2
    return pd.DataFrame(
        {"threshold": thresholds, "dice": best, "iou": best - 0.1, "thresholded_iou": best - 0.2}
    )


def reliability() -> pd.DataFrame:
    predicted = np.arange(0.05, 1, 0.1)
    return pd.DataFrame(
        {"predicted": predicted, "observed": predicted**1.2, "pixels": [9000, *[100] * 8, 3000]}
    )


def risk() -> pd.DataFrame:
    coverage = np.arange(1, 41) / 40
    return pd.DataFrame({"coverage": coverage, "risk": coverage / 5, "failures": coverage / 9})


def areas(count: int = 30) -> pd.DataFrame:
    true = np.linspace(0.02, 0.8, count)
    return pd.DataFrame({"lesion_share": true, "predicted_share": true * 1.1 - 0.01})


def scores() -> pd.DataFrame:
    groups = ["all", "size: small", "size: large", "hair: yes"]
    network = pd.DataFrame(
        {"group": groups, "images": [40, 10, 30, 5], "value": [0.9, 0.8, 0.93, 0.85]}
    ).assign(method="network", score="dice")
    network["low"], network["high"] = network["value"] - 0.03, network["value"] + 0.02
    other = network.head(1).assign(method="otsu", value=0.1, low=0.05, high=0.2)
    return pd.concat([network, other, network.assign(score="iou", value=0.2)], ignore_index=True)


DRAWINGS = {
    "thresholds": lambda: threshold_sweep(sweep(), 0.4, "40 validation images"),
    "calibration": lambda: calibration(reliability(), 1.3, 0.0123, 0.0456, "40 test images"),
    "calibration of one range": lambda: calibration(reliability().head(1), 1, 0.5, None, "note"),
    "risk without failures": lambda: risk_coverage(risk(), None, "40 test images"),
    "risk and coverage": lambda: risk_coverage(risk(), 0.5, "40 test images"),
    "area": lambda: bland_altman(areas(), "40 test images"),
    "area of one image": lambda: bland_altman(areas(1), "1 test image"),
    "groups": lambda: by_group(scores(), "40 test images"),
    "groups without intervals": lambda: by_group(scores().assign(low=np.nan, high=np.nan), "4"),
}


@pytest.mark.slow
@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_a_figure_drawn_twice_is_the_same_bytes_of_png_and_svg(tmp_path, draw):
    for name in ("first.png", "second.png"):
        save_figure(draw(), tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert to_svg(draw()) == to_svg(draw())
    with Image.open(tmp_path / "first.png") as image:
        assert min(image.size) > 150
        assert len(np.unique(np.asarray(image.convert("L")))) > 10


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_an_svg_has_the_ink_of_the_page_and_no_background(draw):
    svg = to_svg(draw())
    assert "currentColor" in svg and "#000000" not in svg and "#666666" not in svg
    assert "fill: #ffffff" not in svg and "<text" in svg


def texts(figure) -> str:
    return " | ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def test_pictures_say_what_is_in_use_and_what_was_found():
    assert "in use: 0.4" in texts(threshold_sweep(sweep(), 0.4, ""))
    said = texts(calibration(reliability(), 1.3, 0.0123, 0.0456, ""))
    for part in ("calibration error", "0.012 over all pixels", "0.046 between 0.1 and 0.9", "1.3"):
        assert part in said
    assert "between" not in texts(calibration(reliability(), 1.3, 0.0123, None, ""))
    assert "50% of the failures" in texts(risk_coverage(risk(), 0.5, ""))
    assert "no image failed" in texts(risk_coverage(risk(), None, ""))


def test_bias_and_limits_of_agreement_are_the_mean_and_1_96_deviations():
    rows = areas()
    figure = bland_altman(rows, "")
    difference = 100 * (rows["predicted_share"] - rows["lesion_share"])
    lines = sorted(line.get_ydata()[0] for line in figure.axes[0].lines)
    spread = 1.96 * difference.std()
    expected = [difference.mean() - spread, difference.mean(), difference.mean() + spread]
    assert lines == pytest.approx(expected)
    assert f"bias: {difference.mean():+.1f}" in texts(figure)


def test_groups_are_those_of_the_networks_dice_with_their_images():
    axes = by_group(scores(), "").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "all (40)",
        "size: small (10)",
        "size: large (30)",
        "hair: yes (5)",
    ]
    (points,) = axes.lines
    assert points.get_xdata().tolist() == [0.9, 0.8, 0.93, 0.85]
    assert list(points.get_ydata()) == [0, -1, -2, -3]  # the first on top


def test_a_group_without_interval_is_a_dot_without_a_line():
    table = scores()
    table.loc[table["group"] == "hair: yes", ["low", "high"]] = np.nan
    axes = by_group(table, "").axes[0]
    (lines,) = axes.collections
    drawn = [path.vertices for path in lines.get_paths() if np.isfinite(path.vertices).all()]
    assert len(drawn) == 3 and len(axes.lines[0].get_xdata()) == 4


def test_review_is_the_share_that_is_not_kept():
    axes = risk_coverage(risk(), 0.5, "").axes[0]
    reviewed, kept = axes.lines[0].get_data()
    assert reviewed[-1] == 0 and kept[-1] == pytest.approx(0.2)
    assert reviewed[0] == pytest.approx(97.5)
