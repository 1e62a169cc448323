import math

import cv2
import numpy as np
import pandas as pd
import pytest

from lesion.formats.groups import SKIN_TONES, UNKNOWN, groups
from lesion.scoring.traits import (
    Traits,
    black_corners,
    contrast,
    hairs,
    lab,
    typology_angle,
)

FEATURES = ("lesion_share", "contrast", "hair_share")
SKIN, LESION = (220, 180, 160), (110, 70, 50)


def picture(height: int = 300, width: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """A dark disc on even skin, and its mask."""
    y, x = np.mgrid[:height, :width]
    mask = (y - height // 2) ** 2 + (x - width // 2) ** 2 < (height // 5) ** 2
    image = np.where(mask[..., None], LESION, SKIN).astype(np.uint8)
    return image, mask


def with_corners(image: np.ndarray) -> np.ndarray:
    """Seen through a round dermatoscope."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    seen = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (0.55 * width) ** 2
    return image * seen[..., None].astype(np.uint8)


def with_hairs(image: np.ndarray, count: int) -> np.ndarray:
    image, side = image.copy(), max(image.shape)
    for i in range(count):
        start = round(side * (0.05 + 0.8 * i / count))
        end = (start + side // 10, image.shape[0] - 1)
        cv2.line(image, (start, 0), end, (60, 40, 30), max(1, side // 170))
    return image


def traits(image: np.ndarray, mask: np.ndarray) -> Traits:
    return Traits.of(image, mask, lesion_share=0.2, at_border=False)


def test_lab_is_that_of_known_colours():
    pixels = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], np.uint8)
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]]
    np.testing.assert_allclose(lab(pixels), expected, atol=0.1)


def test_contrast_is_the_distance_in_lab():
    white, black = (np.full((4, 3), value, np.uint8) for value in (255, 0))
    assert contrast(white, black) == pytest.approx(100, abs=0.1)
    assert contrast(white, white) == 0


def test_contrast_and_skin_are_those_of_the_even_picture():
    found = traits(*picture())
    skin, lesion = (lab(np.array([colour], np.uint8)) for colour in (SKIN, LESION))
    assert found.contrast == pytest.approx(float(np.linalg.norm(skin - lesion)), abs=0.01)
    lightness, _, yellowness = skin[0].tolist()
    assert found.ita == pytest.approx(math.degrees(math.atan((lightness - 50) / yellowness)))
    assert found.hair_share == 0


def test_black_corners_and_hairs_change_neither_contrast_nor_skin():
    image, mask = picture()
    expected, found = traits(image, mask), traits(with_corners(with_hairs(image, 5)), mask)
    assert found.ita == pytest.approx(expected.ita, abs=0.1)
    assert found.contrast == pytest.approx(expected.contrast, abs=2)


def rgb(lightness: float, redness: float, yellowness: float) -> np.ndarray:
    """The nearest sRGB colour, 1×3 uint8."""
    colour = np.float32([[[lightness, redness, yellowness]]])
    return np.rint(255 * cv2.cvtColor(colour, cv2.COLOR_Lab2RGB)[0]).astype(np.uint8)


@pytest.mark.parametrize(
    ("lightness", "yellowness"),
    # Bluish, grey, black, white, and where all angles meet.
    [(51, -1), (49, -0.9), (80, -9), (20, -9), (70, 0), (0, 0), (100, 0), (51, 2), (49, 2)],
)
def test_skin_that_is_blue_or_grey_has_no_typology_angle(lightness, yellowness):
    assert math.isnan(typology_angle(rgb(lightness, 0, yellowness)))


def test_of_two_colours_that_hardly_differ_none_is_light_and_the_other_dark():
    order = {name: place for place, name in enumerate(SKIN_TONES)}
    colours = [(lightness, b) for lightness in range(10, 100, 2) for b in np.arange(-3, 12, 0.5)]
    angles = [typology_angle(rgb(lightness, 8, b)) for lightness, b in colours]
    rows = pd.DataFrame({"ita": angles, **dict.fromkeys(FEATURES, 0.5)}).assign(at_border=False)
    tones = dict(zip(colours, groups(rows)["skin_tone"], strict=True))
    for (lightness, b), tone in tones.items():
        for near in ((lightness + 2, b), (lightness, b + 0.5)):
            if UNKNOWN not in (tone, tones.get(near, UNKNOWN)):
                assert abs(order[tone] - order[tones[near]]) <= 3, ((lightness, b), near)


def test_a_rim_of_skin_is_not_what_the_skin_is_like():
    image, mask = picture()
    mask[:], mask[:3] = True, False
    mask[:, :9] = False  # what is left of this is about one pixel in 200
    found = traits(image, mask)
    assert math.isnan(found.ita) and math.isnan(found.contrast)


def test_black_corners_are_what_is_black_and_reaches_a_corner():
    image, _ = picture()
    image[100:140, 100:140] = image[:20, 150:200] = 0  # inside, and at an edge only
    image[:30, :30] = 10
    expected = np.zeros(image.shape[:2], bool)
    expected[:30, :30] = True
    np.testing.assert_array_equal(black_corners(image), expected)


@pytest.mark.parametrize("side", [128, 256, 512])
def test_hairs_are_found_alike_at_every_size(side):
    image, _ = picture(side * 3 // 4, side)
    assert not hairs(image).any() and not hairs(with_corners(image)).any()
    few, many = (hairs(with_hairs(image, count)).mean() for count in (3, 6))
    assert 0.01 < few < many < 0.12
    assert many == pytest.approx(2 * few, rel=0.25)


@pytest.mark.parametrize("grey", [0, 90])
def test_blots_and_dark_lines_along_the_edge_are_no_hairs(grey):
    image, _ = picture()
    image[40:46, 40:46] = image[200:240, 20:60] = 20
    image[-3:] = image[:, :3] = grey
    assert not hairs(image).any()


def test_black_corners_and_hairs_are_neither_lesion_nor_skin():
    image, mask = picture()
    expected = traits(image, mask).contrast
    mask[:60, :60] = True
    image[:60, :60] = 0
    for column in range(12, 388, 12):
        image[70:, column : column + 2][~mask[70:, column : column + 2]] = 60
    assert hairs(image).mean() > 0.08
    assert traits(image, mask).contrast == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("value", [False, True])
def test_without_lesion_or_skin_there_is_no_contrast(value):
    image, mask = picture()
    found = traits(image, np.full_like(mask, value))
    assert math.isnan(found.contrast)
    assert math.isnan(found.ita) == value


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7, 5), (3, 200)])
def test_pictures_of_any_size_have_traits(shape):
    rng = np.random.default_rng(0)
    for image in (rng.integers(0, 256, (*shape, 3), np.uint8), np.zeros((*shape, 3), np.uint8)):
        found = traits(image, rng.random(shape) < 0.5)
        assert 0 <= found.hair_share <= 1


def test_masks_of_another_size_are_refused():
    image, mask = picture()
    with pytest.raises(ValueError, match="pixels"):
        traits(image, mask[1:])


@pytest.mark.parametrize(
    ("column", "value", "group", "expected"),
    [
        ("lesion_share", 0, "size", "none"),
        ("lesion_share", 0, "border", "unknown"),
        ("lesion_share", math.nan, "size", "unknown"),
        ("lesion_share", 1e-6, "size", "small"),
        ("lesion_share", 0.0999, "size", "small"),
        ("lesion_share", 0.1, "size", "medium"),
        ("lesion_share", 0.3, "size", "large"),
        ("at_border", True, "border", "touches"),
        ("at_border", False, "border", "inside"),
        ("contrast", 14.9, "contrast", "low"),
        ("contrast", 15, "contrast", "medium"),
        ("contrast", 30, "contrast", "high"),
        ("contrast", math.nan, "contrast", "unknown"),
        ("ita", -30.1, "skin_tone", "dark"),
        ("ita", -30, "skin_tone", "brown"),
        ("ita", 10, "skin_tone", "tan"),
        ("ita", 28, "skin_tone", "intermediate"),
        ("ita", 41, "skin_tone", "light"),
        ("ita", 55, "skin_tone", "very light"),
        ("ita", math.nan, "skin_tone", "unknown"),
        ("hair_share", 0.0079, "hair", "no"),
        ("hair_share", 0.008, "hair", "yes"),
    ],
)
def test_groups_have_fixed_limits(column, value, group, expected):
    row = {"lesion_share": 0.2, "at_border": False, "contrast": 20, "ita": 50, "hair_share": 0}
    table = pd.DataFrame([row | {column: value}], index=["A1"])
    assert groups(table).loc["A1", group] == expected
