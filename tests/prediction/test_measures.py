import math

import cv2
import numpy as np
import pytest

from lesion.photos.images import Photograph
from lesion.photos.placement import place
from lesion.photos.square import Square
from lesion.prediction.measures import Measures, asymmetry, diameter, perimeter, variegation
from lesion.prediction.segmenter import Segmentation
from lesion.scoring.decision import Decided

SIDE = 400
GREY = np.full((SIDE, SIDE, 3), 128, np.uint8)


def ellipse(long: float, short: float, angle: float = 0.0) -> np.ndarray:
    """A bool mask by half axes in pixels and an angle in radians."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return (u / long) ** 2 + (v / short) ** 2 <= 1


def measured(mask: np.ndarray, pixels: np.ndarray = GREY) -> Measures:
    photograph = Photograph(pixels, mask.shape, ())
    square = Square(GREY, place("stretch", *mask.shape, SIDE), photograph)
    return Measures.of(Segmentation(square, Decided(mask, mask.astype(np.float32), 1.0), False))


@pytest.mark.parametrize("radius", [20, 60, 180])
def test_a_disc_is_round_and_symmetric(radius):
    found = measured(ellipse(radius, radius))
    assert found.diameter == pytest.approx(2 * radius, abs=2)
    assert found.irregularity == pytest.approx(1, abs=0.05)
    assert found.asymmetry < 0.01
    assert found.lesion_share == pytest.approx(math.pi * radius**2 / SIDE**2, rel=0.02)


@pytest.mark.parametrize("angle", [0, 0.3, math.pi / 4, 1.2, 2.5])
def test_measures_hardly_depend_on_how_the_lesion_lies(angle):
    mask = ellipse(120, 60, angle)
    assert diameter(mask) == pytest.approx(240, abs=2)
    # Ramanujan's for an ellipse.
    a, b = 120, 60
    length = math.pi * (3 * (a + b) - math.sqrt((3 * a + b) * (a + 3 * b)))
    assert perimeter(mask) == pytest.approx(length, rel=0.01)
    assert asymmetry(mask) < 0.02
    # Beyond the middle of its length only a strip of it is left.
    lopsided = mask & (along(angle) > 0) | ellipse(120, 24, angle)
    assert asymmetry(lopsided) == pytest.approx(lopsidedness(0.4) / 2, abs=0.01)


def along(angle: float) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    return x * math.cos(angle) + y * math.sin(angle)


def lopsidedness(rest: float) -> float:
    """What is left over of an ellipse folded about its short axis, one half `rest` as broad."""
    u = np.linspace(-3, 3, 60_001)
    breadth = np.sqrt(np.clip(1 - u**2, 0, None)) * np.where(u > 0, 1, rest)
    centre = np.sum(u * breadth) / np.sum(breadth)
    folded = np.interp(2 * centre - u, u, breadth)
    return float(1 - np.sum(np.minimum(breadth, folded)) / np.sum(breadth))


def test_a_box_has_its_own_place_diagonal_and_length():
    mask = np.zeros((100, 200), bool)
    mask[20:60, 30:150] = True
    found = measured(mask)
    assert (found.left, found.top, found.width, found.height) == (30, 20, 120, 40)
    assert found.area == 4800 and found.lesion_share == 4800 / mask.size
    assert found.diameter == pytest.approx(math.hypot(120, 40))
    assert perimeter(mask) == pytest.approx(320, rel=0.03)


def test_a_ragged_border_is_more_irregular_and_a_hole_does_not_count():
    disc = ellipse(100, 100)
    star = disc.copy()
    for start in range(0, SIDE, 20):
        star[start : start + 10] &= ellipse(80, 80)[start : start + 10]
    holed = disc & ~ellipse(10, 10)
    round_one, ragged = measured(disc), measured(star)
    assert ragged.irregularity > 1.5 * round_one.irregularity
    assert perimeter(holed) == perimeter(disc)


def test_colours_that_lie_apart_are_told_by_their_distance():
    pixels = np.full((SIDE, SIDE, 3), 60, np.uint8)
    pixels[:, SIDE // 2 :] = 200
    mask = np.zeros((SIDE, SIDE), bool)
    mask[100:300, 100:300] = True
    lab = cv2.cvtColor(np.float32([[[60] * 3, [200] * 3]]) / 255, cv2.COLOR_RGB2Lab)[0]
    assert variegation(pixels, mask) == pytest.approx(np.linalg.norm(lab[0] - lab[1]) / 2, rel=1e-3)
    assert variegation(GREY, mask) == pytest.approx(0, abs=1e-3)
    # Of a photograph that was decoded smaller it is the same.
    assert variegation(pixels[::2, ::2], mask) == pytest.approx(variegation(pixels, mask), rel=0.01)


def test_no_lesion_has_no_measures_but_that():
    found = measured(np.zeros((30, 50), bool))
    assert (found.area, found.lesion_share, found.width) == (0, 0.0, 0)
    assert all(math.isnan(value) for value in (found.diameter, found.variegation))
    assert found.as_row().keys() == Measures.__annotations__.keys()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (3000, 3)])
def test_the_smallest_and_thinnest_masks_can_be_measured(shape):
    found = measured(np.ones(shape, bool), np.zeros((*shape, 3), np.uint8))
    assert found.area == shape[0] * shape[1] and found.diameter == pytest.approx(math.hypot(*shape))
    assert found.irregularity > 0.5


def test_rows_are_rounded_to_what_can_be_read():
    row = measured(ellipse(100, 60, 0.4)).as_row()
    assert row["diameter"] == round(row["diameter"], 1)
    assert row["asymmetry"] == round(row["asymmetry"], 4) and isinstance(row["area"], int)
