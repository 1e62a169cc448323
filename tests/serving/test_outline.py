import numpy as np
import pytest

from lesion.serving.outline import rings
from lesion.synthetic import lesion_image
from served import filled


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (7, 12), (40, 31)])
def test_an_outline_encloses_exactly_the_pixels_of_any_mask(shape, share):
    generator = np.random.default_rng(0)
    for _ in range(20):
        mask = generator.random(shape) < share
        assert np.array_equal(filled(rings(mask), *shape), mask)


@pytest.mark.parametrize("seed", range(4))
def test_a_lesions_outline_is_exact_and_a_small_part_of_its_pixels(seed):
    _, mask = lesion_image(seed, 192, 256)
    outline = rings(mask)
    assert np.array_equal(filled(outline, *mask.shape), mask)
    assert sum(map(len, outline)) < mask.sum() / 4


def test_of_nothing_there_is_no_outline_and_of_everything_it_is_the_edge_but_for_its_corners():
    assert rings(np.zeros((5, 8), bool)) == []
    (ring,) = rings(np.ones((5, 8), bool))
    x, y = np.array(ring).T
    assert len(ring) == 8 and (x.min(), x.max(), y.min(), y.max()) == (0, 8, 0, 5)


def test_a_hole_is_a_ring_of_its_own_and_parts_that_touch_by_a_corner_hang_together():
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    assert len(rings(mask)) == 2
    assert len(rings(np.eye(3, dtype=bool))) == 1


def test_straight_lines_have_no_points_between_their_ends():
    mask = np.zeros((50, 60), bool)
    mask[10:40, 10:50] = True
    (ring,) = rings(mask)
    assert len(ring) == 8
