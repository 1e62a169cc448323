import numpy as np
import pytest

from lesion.scoring.extent import extent


@pytest.mark.parametrize("seed", range(30))
def test_the_extent_has_all_pixels_of_the_mask_and_one_on_each_of_its_sides(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 20, 2)) < rng.choice([0.01, 0.1, 1])
    mask[tuple(rng.integers(0, mask.shape))] = True
    inside = mask[extent(mask)]
    assert np.count_nonzero(inside) == np.count_nonzero(mask)
    assert inside[[0, -1]].any(axis=1).all() and inside[:, [0, -1]].any(axis=0).all()


def test_nothing_has_no_extent():
    assert np.zeros((3, 4), bool)[extent(np.zeros((3, 4), bool))].shape == (0, 0)
