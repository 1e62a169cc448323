from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from lesion.report.figures import (
    BLUE,
    ORANGE,
    YELLOW,
    Example,
    curves,
    failures,
    overlay,
    panels,
    save_figure,
    score_distribution,
)
from lesion.synthetic import lesion_image


def example(seed: int, height: int = 40, width: int = 60) -> Example:
    image, truth = lesion_image(seed, height, width)
    prediction = np.roll(truth, (4, -6), axis=(0, 1))
    return Example(f"ISIC_{seed:07d}", 0.9, 0.8, image, truth, prediction)


def history(epochs: int) -> pd.DataFrame:
    values = np.linspace(0.2, 0.9, epochs)
    return pd.DataFrame(
        {
            "epoch": range(1, epochs + 1),
            "train_loss": 1.5 - values,
            "val_loss": 1.6 - values,
            "train_dice": values,
            "val_dice": values[::-1],
        }
    )


def scores(count: int) -> pd.DataFrame:
    dice = np.linspace(0, 1, count)
    return pd.DataFrame({"dice": dice, "iou": dice / (2 - dice)})


def draw_panels() -> object:
    return panels({"best": [example(0), example(1, 60, 40)], "worst": [example(2)]}, "note")


DRAWINGS = {
    "curves": lambda: curves(history(9), "note"),
    "curves of one epoch": lambda: curves(history(1), "note"),
    "scores": lambda: score_distribution(scores(30), "note"),
    "scores of one image": lambda: score_distribution(scores(1), "note"),
    "panels": draw_panels,
    "panels of one image": lambda: panels({"all": [example(0)]}, "note"),
}


@pytest.mark.long
@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_a_figure_drawn_twice_is_the_same_bytes_of_png(tmp_path, draw):
    paths = [tmp_path / name for name in ("first.png", "second.png")]
    for path in paths:
        save_figure(draw(), path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    with Image.open(paths[0]) as image:
        assert image.format == "PNG" and min(image.size) > 200
        assert len(np.unique(np.asarray(image.convert("L")))) > 10
        assert not image.info.keys() & {"Software", "Creation Time"}


def nearest_hue(pixel: np.ndarray) -> str:
    """The colour towards which a pixel is tinted."""
    tint = pixel - pixel.mean()
    colours = {colour: np.array(to_rgb(colour)) for colour in (YELLOW, ORANGE, BLUE)}
    return max(
        colours,
        key=lambda name: (
            tint @ (away := colours[name] - colours[name].mean()) / np.linalg.norm(away)
        ),
    )


FORMULA = "a$^{13$"  # no formula is like it


@pytest.mark.parametrize(
    "draw",
    [
        lambda example: panels({FORMULA: [example]}, FORMULA),
        lambda example: failures([example], [f"{FORMULA}\n$x$"], FORMULA),
    ],
    ids=["panels", "failures"],
)
def test_an_id_with_what_begins_a_formula_is_drawn_as_it_is(tmp_path, draw):
    save_figure(draw(replace(example(0), id=FORMULA)), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_overlay_is_grey_but_for_lesion_found_marked_wrongly_and_missed():
    case = example(3)
    picture = overlay(case)
    truth, prediction = case.truth, case.prediction
    assert picture.shape == case.image.shape and picture.dtype == np.uint8

    untouched = picture[~truth & ~prediction]
    assert len(untouched) and (untouched == untouched[:, :1]).all()
    for where, colour in (
        (truth & prediction, YELLOW),
        (~truth & prediction, ORANGE),
        (truth & ~prediction, BLUE),
    ):
        pixels = picture[where].astype(float)
        assert len(pixels) and {nearest_hue(pixel) for pixel in pixels} == {colour}


@pytest.mark.parametrize(("truth", "prediction"), [(0, 0), (1, 1), (1, 0), (0, 1)])
def test_overlay_of_empty_and_full_masks_has_at_most_one_tint(truth, prediction):
    shape = (20, 20)
    case = replace(
        example(0, *shape),
        truth=np.full(shape, truth, bool),
        prediction=np.full(shape, prediction, bool),
    )
    picture = overlay(case).astype(int)
    tinted = (picture != picture[..., :1]).any(axis=2)
    assert (tinted == bool(truth or prediction)).all()


def test_overlay_leaves_its_example_as_it_was():
    case, same = example(1), example(1)
    overlay(case)
    for name in ("image", "truth", "prediction"):
        assert np.array_equal(getattr(case, name), getattr(same, name))


def test_panels_show_image_truth_and_prediction_of_each_example_in_order():
    figure = draw_panels()
    shown = [axes.get_images()[0].get_array() for axes in figure.axes]
    assert len(shown) == 9
    cases = [example(0), example(1, 60, 40), example(2)]
    for row, case in enumerate(cases):
        image, truth, prediction = shown[3 * row : 3 * row + 3]
        assert np.array_equal(image, case.image) and np.array_equal(truth, case.truth)
        assert np.array_equal(prediction, overlay(case))
    assert [axes.get_title() for axes in figure.axes[:3]] == ["Input", "Ground truth", "Prediction"]
    labels = [axes.get_ylabel() for axes in figure.axes[::3]]
    assert [label.split("\n")[0] for label in labels] == ["best", "best", "worst"]
    assert all(case.id in label for case, label in zip(cases, labels, strict=True))
    assert "0.900" in labels[0] and "0.800" in labels[0]


def test_curves_mark_the_first_epoch_of_the_highest_validation_dice():
    table = history(6).assign(val_dice=[0.1, 0.7, 0.3, 0.7, 0.2, 0.1])
    figure = curves(table, "note")
    for axes in figure.axes:
        (mark,) = [line for line in axes.get_lines() if line.get_linestyle() == ":"]
        assert set(mark.get_xdata()) == {2}
    (text,) = [text.get_text() for text in figure.axes[1].texts]
    assert "epoch 2" in text and "0.700" in text


def test_score_histograms_count_every_image_and_name_mean_and_median_and_failures():
    table = pd.DataFrame({"dice": [0.0, 0.5, 1.0, 1.0], "iou": [0.0, 0.649, 0.65, 1.0]})
    figure = score_distribution(table, "note")
    for axes in figure.axes:
        assert sum(patch.get_height() for patch in axes.patches) == 4
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == ["mean 0.625", "median 0.750"]
    assert "50.0% below 0.65" in figure.axes[1].texts[0].get_text()
