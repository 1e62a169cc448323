"""What a mask is: two values, whatever they are and wherever they lie."""

import math

import cv2
import numpy as np
import pytest
from PIL import Image

from lesion.photos.masks import Reading, decode_mask, open_mask
from lesion.pipeline.errors import ImageError
from lesion.synthetic import lesion_image
from mask_files import (
    BLACK,
    HEIGHT,
    KINDS,
    MASK,
    RED,
    SMEARED,
    WIDTH,
    deep,
    dice,
    labelled,
    painted,
    two,
    with_palette,
)
from picture_files import ORIENTATIONS, encoded, exif, jpeg, png, stored


def refusal(content: bytes, lesion_values: tuple[int, ...] = ()) -> str:
    with pytest.raises(ImageError) as error:
        open_mask(content, lesion_values=lesion_values)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_of_two_values_the_higher_is_lesion(kind):
    mask = open_mask(KINDS[kind])
    assert np.array_equal(decode_mask(KINDS[kind]), MASK)
    assert mask.lesion == MASK.sum() and mask.shape == MASK.shape and not mask.values.doubt
    assert set(np.unique(mask.image)) == {0, 255}


@pytest.mark.parametrize("kind", SMEARED)
def test_what_smears_around_two_values_is_cut_between_them_with_a_note(kind):
    content, note = SMEARED[kind]
    assert dice(decode_mask(content), MASK) > 0.96
    assert open_mask(content).notes == (note,)


@pytest.mark.parametrize("kind", [*KINDS, *SMEARED])
def test_the_reading_of_a_mask_as_a_row_of_a_table_gives_the_same_mask(kind):
    content = KINDS.get(kind) or SMEARED[kind][0]
    first = open_mask(content)
    row = type("Row", (), first.reading.columns())
    again = open_mask(content, Reading.from_row(row))
    assert again.reading == first.reading and again.notes == first.notes
    assert np.array_equal(again.image, first.image) and again.lesion == first.lesion


@pytest.mark.parametrize(
    ("kind", "notes"),
    [
        ("0 and 255", ()),
        ("palette of grey levels, inverted", ()),
        ("grey in colours", ()),
        ("0 and 1", ("mask of 0 and 1",)),
        ("red on black", ("mask of 0 and 76",)),
        ("16 bits, 0 and 65535", ("mask of 0 and 65535",)),
        ("palette, dark red by index", ("mask of index 0 and 1",)),
        ("shape in alpha, black", ("mask of alpha 0 and 255",)),
        ("dark blue on black", ("mask of blue 0 and 1",)),
    ],
)
def test_other_values_than_0_and_255_are_noted(kind, notes):
    assert open_mask(KINDS[kind]).notes == notes


def test_a_palette_in_grey_gives_what_its_grey_levels_give():
    rng = np.random.default_rng(0)
    order = rng.permutation(256)
    for skin, lesion in ((3, 200), (200, 201), (0, 255)):
        grey = [(int(level),) * 3 for level in order]
        places = {level: place for place, (level, _, _) in enumerate(grey)}
        content = with_palette(two(places[skin], places[lesion]), *grey)
        assert np.array_equal(decode_mask(content), decode_mask(png(two(skin, lesion))))
        assert open_mask(content).values.levels == (skin, lesion)


@pytest.mark.parametrize("ends", [(0, 255), (3, 250)])
def test_between_black_and_white_lesion_is_above_128_as_the_challenges_scorer_counts(ends):
    levels = two(*ends)
    levels[0, :4] = 127, 128, 129, 130
    mask = decode_mask(png(levels))
    assert mask[0, :4].tolist() == [False, False, True, True]


def test_a_picture_too_small_for_areas_is_cut_between_its_ends():
    grey = np.array([[0, 1, 128, 129, 254, 255]], np.uint8)
    assert decode_mask(png(grey)).tolist() == [[False, False, False, True, True, True]]
    grey = np.array([[0, 200, 32000, 33500, 65535]])
    assert decode_mask(deep(grey)).tolist() == [[False, False, False, True, True]]


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 128, 255), (10, 20, 30), (2, 1, 0)])
def test_three_separate_values_are_refused_with_their_shares_and_a_way_on(values):
    labels = labelled(*values)
    text = refusal(png(labels))
    low, middle, high = sorted(values)
    shares = ", ".join(f"{value} ({(labels == value).mean():.1%})" for value in (low, middle, high))
    assert text.startswith(f"3 separate values, {shares}; expected two")
    assert f"lesion_values: [{middle}, {high}]," in text and "datasets.yaml" in text


def test_three_values_are_refused_in_a_jpeg_in_a_palette_and_in_colours_too():
    assert refusal(jpeg(labelled(0, 128, 255, scale=4))).startswith("3 separate values, 0 (")
    labels = with_palette(labelled(0, 1, 2), BLACK, RED, (0, 128, 0))
    assert refusal(labels).startswith("3 separate values, 0 (")
    colours = np.array([BLACK, (255, 0, 0), (0, 255, 0)], np.uint8)[labelled(0, 1, 2)]
    assert refusal(png(colours)).startswith("3 separate values, 0 (")
    # Of one luma, but three.
    colours = np.array([BLACK, (255, 0, 0), (0, 130, 0)], np.uint8)[labelled(0, 1, 2)]
    assert "equally bright" in refusal(png(colours))


def test_a_small_third_area_in_a_mask_of_few_values_is_refused():
    labels = np.zeros((600, 800), np.uint8)
    labels[100:400, 100:500] = 1
    labels[200:210, 200:210] = 2
    assert refusal(png(labels)).startswith("3 separate values")


def test_a_thin_outline_in_another_value_is_no_third_value():
    edge = cv2.dilate(MASK.astype(np.uint8), np.ones((3, 3), np.uint8)) > MASK
    outlined = two(0, 1)
    outlined[edge] = 255
    assert open_mask(png(outlined)).notes == ("mask of several values",)
    assert np.array_equal(decode_mask(png(outlined)), MASK | edge)


@pytest.mark.parametrize(
    ("lesion_values", "expected"),
    [
        ((1, 2), lambda labels: labels > 0),
        ((2,), lambda labels: labels == 2),
        ((0,), lambda v: v == 0),
    ],
)
def test_lesion_values_say_what_is_lesion(lesion_values, expected):
    labels = labelled(0, 1, 2)
    for content in (png(labels), with_palette(labels, BLACK, RED, (0, 128, 0)), deep(labels)):
        mask = open_mask(content, lesion_values=lesion_values)
        assert np.array_equal(np.asarray(mask.image) > 127, expected(labels))
        assert np.array_equal(decode_mask(content, mask.reading), expected(labels))
        assert mask.notes == ("mask by lesion values",)


def test_lesion_values_of_a_jpeg_take_what_is_nearest_to_them():
    content = jpeg(labelled(0, 128, 255, scale=4), quality=85)
    for values, lesion in (((128,), (0, 1, 0)), ((128, 255), (0, 1, 1)), ((255,), (0, 0, 1))):
        mask = open_mask(content, lesion_values=values)
        assert dice(np.asarray(mask.image) > 127, labelled(*lesion, scale=4) > 0) > 0.95


@pytest.mark.parametrize(
    "content",
    [
        png(lesion_image(1, HEIGHT, WIDTH)[0]),
        jpeg(lesion_image(1, HEIGHT, WIDTH)[0], quality=90),
        png(lesion_image(1, HEIGHT, WIDTH)[0][..., 1]),
        png(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8)),
        png(np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)).astype(np.uint8)),
    ],
)
def test_a_photograph_or_what_has_no_two_values_is_refused(content):
    assert "values" in refusal(content) or "equally bright" in refusal(content)


def probabilities(width: float) -> np.ndarray:
    """A map that rises from 0 to 255 over so many pixels around the lesion's edge."""
    inside = cv2.distanceTransform(MASK.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((~MASK).astype(np.uint8), cv2.DIST_L2, 5)
    return np.rint(255 * np.clip(0.5 + (inside - outside) / width, 0, 1)).astype(np.uint8)


def test_a_map_of_probabilities_is_used_where_it_hardly_matters_where_it_is_cut():
    assert dice(decode_mask(png(probabilities(4))), MASK) > 0.95
    mask = open_mask(png((probabilities(4) * 0.97).astype(np.uint8)))
    assert mask.notes == ("mask of several values",) and not mask.values.doubt


def test_a_map_of_probabilities_without_an_edge_cannot_be_used():
    distance = cv2.distanceTransform(MASK.astype(np.uint8), cv2.DIST_L2, 5)
    soft = np.rint(distance / distance.max() * 255).astype(np.uint8)
    doubt = open_mask(png(soft)).values.doubt
    assert doubt.startswith("soft throughout: ") and "above three quarters" in doubt
    with pytest.raises(ImageError, match="soft throughout"):
        decode_mask(png(soft))


@pytest.mark.parametrize(("value", "lesion"), [(0, 0), (255, 15)])
def test_a_mask_that_is_black_is_all_skin_and_a_white_one_all_lesion(value, lesion):
    mask = open_mask(png(np.full((3, 5), value, np.uint8)))
    assert (mask.lesion, mask.notes, mask.values.doubt) == (lesion, (), "")
    assert (np.asarray(mask.image) == value).all() and mask.shape == (3, 5)


@pytest.mark.parametrize("value", [1, 2, 76, 128, 254])
def test_a_mask_of_one_other_value_tells_nothing_by_itself(value):
    content = png(np.full((3, 5), value, np.uint8))
    assert open_mask(content).values.doubt.startswith(f"{value} is the only value")
    with pytest.raises(ImageError, match="no other mask tells"):
        decode_mask(content)


def test_an_invisible_mask_is_all_skin():
    assert open_mask(png(np.zeros((9, 9, 4), np.uint8))).lesion == 0
    assert open_mask(png(painted((255, 0, 0, 0), (9, 99, 0, 0)))).lesion == 0


def test_fractions_of_32_bits_are_refused():
    levels = np.where(MASK, 0.3, 0.6).astype(np.float32)
    assert "32 bits a pixel" in refusal(encoded(Image.fromarray(levels), "TIFF"))
    levels[0] = math.nan
    assert "32 bits a pixel" in refusal(encoded(Image.fromarray(levels), "TIFF"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_mask_is_turned_upright_by_its_own_exif(orientation, kind):
    picture = Image.fromarray(stored(two(0, 255), orientation))
    content = encoded(picture, kind, exif=exif(orientation), quality=95)
    mask = open_mask(content)
    assert mask.shape == MASK.shape and dice(np.asarray(mask.image) > 127, MASK) > 0.97
    assert np.array_equal(decode_mask(content, mask.reading), np.asarray(mask.image) > 127)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("before", ORIENTATIONS)
def test_a_mask_can_be_turned_otherwise(before, orientation):
    content = png(stored(two(0, 255), orientation), exif=exif(before))
    mask = open_mask(content).turned(orientation)
    assert np.array_equal(np.asarray(mask.image) > 127, MASK)
    assert np.array_equal(decode_mask(content, mask.reading), MASK)
