import io
import math

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import ExifTags, Image

from lesion.photos.images import decode_image
from lesion.photos.placement import (
    PLACEMENT_COLUMNS,
    Box,
    Placement,
    from_square,
    image_to_square,
    least_size,
    mask_to_square,
    place,
)
from lesion.scoring.scores import Confusion
from lesion.synthetic import lesion_image

pytestmark = pytest.mark.long

POLICIES = ["stretch", "letterbox", "crop"]
SHAPES = [
    (1, 1),
    (5, 3),
    (1, 40),
    (8, 8),
    (15, 15),
    (97, 41),
    (100, 800),
    (256, 256),
    (450, 601),
]
SIDES = [16, 33, 256]

every_placement = pytest.mark.parametrize(
    ("shape", "side"), [(shape, side) for shape in SHAPES for side in SIDES], ids=str
)


def levels(mask: np.ndarray) -> Image.Image:
    """A bool mask as a grey image of 0 and 255."""
    return Image.fromarray(mask.astype(np.uint8) * 255)


def inside(box: Box, height: int, width: int) -> bool:
    return (
        box.left >= 0
        and box.top >= 0
        and box.width >= 1
        and box.height >= 1
        and box.left + box.width <= width
        and box.top + box.height <= height
    )


@every_placement
@pytest.mark.parametrize("policy", POLICIES)
def test_both_boxes_lie_inside(policy, shape, side):
    placement = place(policy, *shape, side)
    assert inside(placement.source, *shape)
    assert inside(placement.target, side, side)


@every_placement
def test_stretch_takes_all_and_fills_the_square(shape, side):
    height, width = shape
    assert place("stretch", *shape, side) == Placement(
        Box(0, 0, width, height), Box(0, 0, side, side)
    )


@every_placement
def test_letterbox_takes_all_keeps_its_shape_and_is_centred(shape, side):
    height, width = shape
    placement = place("letterbox", *shape, side)
    assert placement.source == Box(0, 0, width, height)
    target = placement.target
    assert max(target.width, target.height) == side
    scale = side / max(shape)
    assert target.width == max(1, round(width * scale))
    assert target.height == max(1, round(height * scale))
    assert 0 <= side - target.width - 2 * target.left <= 1
    assert 0 <= side - target.height - 2 * target.top <= 1


@every_placement
def test_crop_takes_the_middle_square_and_fills_the_square(shape, side):
    placement = place("crop", *shape, side)
    source = placement.source
    assert placement.target == Box(0, 0, side, side)
    assert source.width == source.height
    step = 8 if min(shape) >= 8 else 1  # so that the box is whole at each eighth
    assert min(shape) - step < source.width <= min(shape)
    assert source.left % step == source.top % step == source.width % step == 0
    height, width = shape
    assert 0 <= (width - source.width) / 2 - source.left < step
    assert 0 <= (height - source.height) / 2 - source.top < step


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="'squash'"):
        place("squash", 10, 10, 16)


@every_placement
@pytest.mark.parametrize("policy", POLICIES)
def test_the_least_size_is_the_smallest_scale_from_which_nothing_is_enlarged(policy, shape, side):
    placement = place(policy, *shape, side)
    source, target = placement.source, placement.target
    enough = (
        eighths
        for eighths in range(1, 8)
        if source.height * eighths >= target.height * 8
        and source.width * eighths >= target.width * 8
    )
    eighths = next(enough, 8)
    expected = tuple(math.ceil(length * eighths / 8) for length in shape)
    assert least_size(placement, *shape) == expected


@every_placement
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("value", [0, 1])
def test_an_even_photograph_and_an_even_map_stay_even(policy, shape, side, value):
    placement = place(policy, *shape, side)
    in_target = np.zeros((side, side), bool)
    in_target[placement.target.slices] = True
    pixels = np.full((*shape, 3), 200 * value, np.uint8)
    square = image_to_square(pixels, placement, shape, side)
    assert square.shape == (side, side, 3) and square.dtype == np.uint8
    assert (square == 200 * value * in_target[..., None]).all()
    mask = mask_to_square(levels(np.full(shape, bool(value))), placement, side)
    assert mask.shape == (side, side) and mask.dtype == np.uint8
    assert (mask == value * in_target).all()

    in_source = np.zeros(shape, bool)
    in_source[placement.source.slices] = True
    back = from_square(np.full((side, side), 0.3 * value, np.float32), placement, *shape)
    assert back.shape == shape and back.dtype == np.float32
    np.testing.assert_allclose(back, 0.3 * value * in_source, atol=1e-4)


@pytest.mark.parametrize("side", [64, 65, 128, 400])
@pytest.mark.parametrize("shape", [(120, 160), (161, 119), (96, 300), (256, 256)])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_mask_comes_back_from_the_square(policy, shape, side):
    placement = place(policy, *shape, side)
    shown = np.zeros(shape, bool)
    shown[placement.source.slices] = True
    for seed in range(3):
        _, mask = lesion_image(seed, *shape)
        square = mask_to_square(levels(mask), placement, side)
        assert set(np.unique(square)) <= {0, 1}
        back = from_square(square.astype(np.float32), placement, *shape) >= 0.5
        assert not back[~shown].any()
        assert Confusion.between(back, mask & shown).dice > 0.95


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("shape", [(120, 160), (163, 119), (96, 300)])
def test_image_and_mask_land_in_the_same_place(policy, shape):
    _, mask = lesion_image(4, *shape)
    placement = place(policy, *shape, 64)
    pixels = np.dstack([mask.astype(np.uint8) * 255] * 3)
    image = image_to_square(pixels, placement, shape, 64)[..., 0] > 127
    assert Confusion.between(image, mask_to_square(levels(mask), placement, 64) > 0).dice > 0.97


@pytest.mark.parametrize(
    ("policy", "shape", "side", "block"),
    [
        ("stretch", (96, 160), 32, (3, 5)),
        ("stretch", (64, 64), 64, (1, 1)),
        ("letterbox", (160, 80), 32, (5, 5)),
        ("letterbox", (32, 64), 32, (2, 2)),
        ("crop", (64, 208), 32, (2, 2)),
        ("crop", (144, 96), 32, (3, 3)),
    ],
    ids=str,
)
def test_where_the_scale_is_whole_every_pixel_of_the_square_is_its_block(
    policy, shape, side, block
):
    placement = place(policy, *shape, side)
    source, target = placement.source, placement.target
    assert (source.height, source.width) == (target.height * block[0], target.width * block[1])
    rng = np.random.default_rng(0)
    bits = rng.random((target.height, target.width)) < 0.5
    mask = rng.random(shape) < 0.5  # what is cut off does not matter
    mask[source.slices] = np.kron(bits, np.ones(block, bool))
    square = mask_to_square(levels(mask), placement, side)
    assert np.array_equal(square[target.slices], bits) and square.sum() == bits.sum()

    colours = rng.integers(0, 256, (target.height, target.width, 3), np.uint8)
    pixels = rng.integers(0, 256, (*shape, 3), np.uint8)
    pixels[source.slices] = np.kron(colours, np.ones((*block, 1), np.uint8))
    image = image_to_square(pixels, placement, shape, side)
    assert np.array_equal(image[target.slices], colours)
    assert image.sum(dtype=int) == colours.sum(dtype=int)


@pytest.mark.parametrize(
    ("policy", "shape", "side"),
    [("stretch", (32, 16), 64), ("letterbox", (16, 32), 64), ("crop", (16, 48), 64)],
)
def test_a_square_larger_than_the_photograph_comes_back_as_means_of_blocks(policy, shape, side):
    placement = place(policy, *shape, side)
    source, target = placement.source, placement.target
    block = (target.height // source.height, target.width // source.width)
    values = np.random.default_rng(0).random((source.height, source.width)).astype(np.float32)
    square = np.full((side, side), 9, np.float32)  # in the bars, which are cut off again
    square[target.slices] = np.kron(values, np.ones(block, np.float32))
    expected = np.zeros(shape, np.float32)
    expected[source.slices] = values
    np.testing.assert_allclose(from_square(square, placement, *shape), expected, atol=1e-6)


def spot(height: int, width: int) -> tuple[np.ndarray, float, float]:
    """A picture of a bright spot, and where its centre is (y, x in pixels)."""
    y, x = 0.42 * height, 0.55 * width
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
    radius = min(height, width) / 10
    shape = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * radius**2))
    return np.dstack([np.rint(250 * shape).astype(np.uint8)] * 3), y, x


def centre(image: np.ndarray) -> tuple[float, float]:
    weight = np.where(image[..., 0] > 20, image[..., 0], 0).astype(float)
    rows, columns = np.arange(image.shape[0]) + 0.5, np.arange(image.shape[1]) + 0.5
    return (weight.sum(1) @ rows) / weight.sum(), (weight.sum(0) @ columns) / weight.sum()


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("side", [33, 64, 150, 190, 260, 290])
@pytest.mark.parametrize("shape", [(304, 400), (403, 317), (301, 900)])
@pytest.mark.parametrize("policy", POLICIES)
def test_full_and_reduced_decoding_land_in_the_same_place(policy, shape, side, orientation):
    picture, y, x = spot(*shape)
    stored = np.rot90(picture, {1: 0, 3: 2, 6: 1}[orientation])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(buffer, "JPEG", quality=95, exif=exif)
    placement = place(policy, *shape, side)
    full = decode_image(buffer.getvalue())
    reduced = decode_image(buffer.getvalue(), least_size(placement, *shape))
    assert full.shape == reduced.shape == full.pixels.shape[:2] == shape
    if policy == "stretch" and side <= 260:
        whole = shape == (304, 400) or orientation == 1
        assert (reduced.pixels.shape[0] < shape[0]) == whole

    source, target = placement.source, placement.target
    expected = (
        target.top + (y - source.top) * target.height / source.height,
        target.left + (x - source.left) * target.width / source.width,
    )
    of_full, of_reduced = (
        image_to_square(image.pixels, placement, shape, side) for image in (full, reduced)
    )
    assert centre(of_full) == pytest.approx(expected, abs=0.05)
    assert centre(of_reduced) == pytest.approx(expected, abs=0.05)
    assert np.abs(of_full.astype(int) - of_reduced).mean() < 3


def test_a_crop_of_a_reduced_jpeg_is_cut_by_the_eighths_of_the_box():
    shape, side = (304, 1000), 64
    placement = place("crop", *shape, side)
    reduced = np.random.default_rng(0).integers(0, 256, (math.ceil(304 * 2 / 8), 250, 3), np.uint8)
    source = placement.source
    box = Box(*(length * 2 // 8 for length in source))
    assert box.width == box.height == 76 and 4 * box.left == source.left
    expected = cv2.resize(reduced[box.slices], (side, side), interpolation=cv2.INTER_AREA)
    assert np.array_equal(image_to_square(reduced, placement, shape, side), expected)


def test_placements_come_back_from_a_csv():
    placements = [place(policy, *shape, 33) for policy in POLICIES for shape in SHAPES]
    table = pd.DataFrame([placement.columns() for placement in placements])
    assert list(table.columns) == PLACEMENT_COLUMNS
    assert PLACEMENT_COLUMNS[:4] == ["source_left", "source_top", "source_width", "source_height"]
    read = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    rows = read.itertuples(index=False)
    assert [Placement.from_row(row) for row in rows] == placements
