import cv2
import numpy as np
import pytest

from lesion.experiments.difference import difference


def ellipse(x: float, y: float, width: float, height: float | None = None) -> np.ndarray:
    """Of a picture of 120×160 pixels."""
    mask = np.zeros((120, 160), np.uint8)
    cv2.ellipse(mask, ((x, y), (2 * width, 2 * (height or width)), 0), 1, -1)
    return mask > 0


NONE = np.zeros((120, 160), bool)
TRUTH = ellipse(70, 60, 30)


@pytest.mark.parametrize(
    ("prediction", "kind", "words"),
    [
        (NONE, "empty", "no lesion in the prediction"),
        (ellipse(140, 60, 15), "another lesion", "share 0% of the smaller"),
        (ellipse(112, 60, 15), "another lesion", "share"),
        (ellipse(70, 60, 20), "larger throughout", "2.2"),
        (ellipse(73, 58, 40), "smaller throughout", "0.5"),
        (ellipse(85, 50, 30), "shifted", "Dice would be 1.00"),
        (ellipse(95, 60, 28), "shifted", "moved by"),
        (ellipse(70, 60, 50, 18), "outline", "is not predicted"),
        (ellipse(70, 60, 29), "outline", "0% of the prediction"),
    ],
)
def test_differences_are_named_by_their_shape(prediction, kind, words):
    found = difference(TRUTH, prediction)
    assert found.kind == kind and words in found.reason


def test_a_truth_without_a_lesion_is_empty_whatever_is_predicted():
    assert difference(NONE, TRUTH).reason == "no lesion in the truth"
    assert difference(NONE, NONE).kind == "empty"


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("prediction", [ellipse(90, 50, 30), ellipse(70, 60, 50, 18)])
def test_a_turned_picture_has_the_same_difference(prediction, turn):
    masks = (np.ascontiguousarray(np.rot90(mask, turn)) for mask in (TRUTH, prediction))
    assert difference(*masks).kind == difference(TRUTH, prediction).kind


def test_larger_and_smaller_change_places_with_truth_and_prediction():
    inner = ellipse(66, 62, 18)
    assert difference(TRUTH, inner).kind == "larger throughout"
    assert difference(inner, TRUTH).kind == "smaller throughout"
