import cv2
import numpy as np
import pytest
from scipy import ndimage

from lesion.scoring.postprocess import Rules, fill_holes, largest_component

EIGHT = np.ones((3, 3))
PLAIN = Rules(tta=False, threshold=0.5, largest_component=False, fill_holes=False)


def mask(*lines: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in line] for line in lines])


def random_masks() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 12, (60, 2))
    return [rng.random(size) < rng.choice([0, 0.2, 0.5, 0.8, 1]) for size in sizes]


def test_a_pixel_counts_from_the_threshold_on():
    probabilities = np.array([[0.29, 0.3, 0.31]], np.float32)
    rules = Rules(False, 0.3, False, False)
    assert rules.mask(probabilities).tolist() == [[False, True, True]]


def test_only_the_largest_part_is_left_and_corners_hang_together():
    before = mask("##..#", "....#", "#...#", ".#..#", "..#..")
    assert largest_component(before).tolist() == mask(*["....#"] * 4, ".....").tolist()
    before[4, 3] = True
    assert np.array_equal(largest_component(before), before & ~mask("##...", *["....."] * 4))
    assert largest_component(mask("##", "..", "#.")).tolist() == mask("##", "..", "..").tolist()


@pytest.mark.parametrize("number", range(60))
def test_the_largest_part_is_one_part_of_the_mask_and_none_is_larger(number):
    before = random_masks()[number]
    after = largest_component(before)
    labels, count = ndimage.label(before, EIGHT)
    sizes = [int((labels == label).sum()) for label in range(1, count + 1)]
    assert after.dtype == bool and not (after & ~before).any()
    assert after.sum() == max(sizes, default=0)
    assert ndimage.label(after, EIGHT)[1] == min(count, 1)


def test_of_equal_parts_the_first_is_kept():
    assert (
        largest_component(mask("#.#", "...", "#.#")).tolist() == mask("#..", "...", "...").tolist()
    )


def awkward_masks(seed: int) -> list[np.ndarray]:
    """Noise, blobs, rings within rings, many equal parts: of any size, often with a margin."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(40):
        shape = rng.integers(1, 30, 2)
        noise = rng.random(shape) < rng.choice([0, 0.05, 0.3, 0.5, 0.7, 0.95, 1])
        blobs = cv2.GaussianBlur(rng.random(shape), (0, 0), 2)
        y, x = np.mgrid[: shape[0], : shape[1]] - rng.integers(0, shape)[:, None, None]
        rings = np.hypot(y, x) // rng.integers(1, 4) % 2 == rng.integers(2)
        dots = (y % 3 == 0) & (x % 2 == 0) & (rng.random(shape) < 0.5)
        margins = rng.integers(0, 4, (2, 2)) * rng.integers(2)
        found += [np.pad(each, margins) for each in (noise, blobs > np.median(blobs), rings, dots)]
    return [*found, *(np.kron(each, np.ones((2, 3), bool)) for each in found)]


def within(mask: np.ndarray) -> np.ndarray:
    """All that the background does not reach from outside the image, from pixel to pixel."""
    free = np.pad(~mask, 1, constant_values=True)
    outside = np.pad(np.zeros_like(mask), 1, constant_values=True)
    while True:
        grown = outside.copy()
        grown[1:] |= outside[:-1]
        grown[:-1] |= outside[1:]
        grown[:, 1:] |= outside[:, :-1]
        grown[:, :-1] |= outside[:, 1:]
        grown &= free
        if np.array_equal(grown, outside):
            return ~outside[1:-1, 1:-1]
        outside = grown


@pytest.mark.parametrize("seed", range(8))
def test_holes_are_what_the_background_from_the_edge_does_not_reach(seed):
    for before in (*random_masks(), *awkward_masks(seed)):
        filled = fill_holes(before)
        assert filled.dtype == bool and np.array_equal(filled, within(before))


def test_a_hole_is_filled_with_the_islands_in_it_and_an_open_bay_is_not():
    closed = mask("#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#.....#", "#######")
    assert fill_holes(closed).all()
    open_at_the_edge = closed.copy()
    open_at_the_edge[0, 3] = False
    bay = mask("###.###", "#.....#", "#.###.#", "#.###.#", "#.###.#", "#.....#", "#######")
    assert np.array_equal(fill_holes(open_at_the_edge), bay)


@pytest.mark.parametrize("seed", range(8))
def test_the_largest_part_is_that_of_the_whole_image_wherever_the_mask_lies(seed):
    for before in awkward_masks(seed):
        _, labels, parts, _ = cv2.connectedComponentsWithStats(before.view(np.uint8))
        sizes = parts[1:, cv2.CC_STAT_AREA]
        expected = labels == 1 + sizes.argmax() if len(sizes) else before
        largest = largest_component(before)
        assert largest.dtype == bool and np.array_equal(largest, expected)


@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (1, 1), (4, 5)])
@pytest.mark.parametrize("value", [False, True])
def test_empty_and_full_masks_stay_as_they_are(shape, value):
    before = np.full(shape, value)
    for tidied in (largest_component(before), fill_holes(before)):
        assert np.array_equal(tidied, before)


def test_a_gap_at_the_edge_or_across_a_corner_of_the_mask_is_no_way_out():
    ring = mask("###", "#.#", "###")
    assert fill_holes(ring).all()
    assert not fill_holes(mask("###", "#.#", "#.#"))[1, 1]
    assert fill_holes(mask(".#.", "#.#", ".#."))[1, 1]


def test_the_largest_part_is_taken_before_its_holes_are_filled():
    # A thin ring of 8 pixels around nothing, and a bar of 10: filled first, the ring would win.
    before = mask("###.#####", "#.#.#####", "###......")
    both = Rules(False, 0.5, largest_component=True, fill_holes=True)
    assert np.array_equal(
        both.mask(before.astype(np.float32)), mask("....#####", "....#####", "." * 9)
    )


@pytest.mark.parametrize(
    ("largest", "holes", "expected"),
    [
        (False, False, mask("####", "#.##", "####", "....", "...#")),
        (True, False, mask("####", "#.##", "####", "....", "....")),
        (False, True, mask("####", "####", "####", "....", "...#")),
        (True, True, mask("####", "####", "####", "....", "....")),
    ],
)
def test_rules_do_what_they_say(largest, holes, expected):
    probabilities = mask("####", "#.##", "####", "....", "...#").astype(np.float32)
    assert np.array_equal(Rules(False, 0.5, largest, holes).mask(probabilities), expected)
