import math
from dataclasses import astuple

import numpy as np
import pytest

from lesion.scoring import boundary
from lesion.scoring.boundary import BoundaryScores


def outline(mask: np.ndarray) -> np.ndarray:
    """Row and column of boundary pixels by definition, N×2."""
    height, width = mask.shape
    return np.array(
        [
            (y, x)
            for y, x in np.argwhere(mask)
            if any(
                not (0 <= v < height and 0 <= u < width and mask[v, u])
                for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
            )
        ]
    ).reshape(-1, 2)


def slow_scores(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    """Every pixel of one boundary against every one of the other."""
    diagonal = math.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2)
    one, other = outline(prediction), outline(truth)
    if not len(one) and not len(other):
        return 1, 0, 0, 0, 0
    if not len(one) or not len(other):
        return 0, diagonal, diagonal, 1, 1
    apart = np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=2))
    ways = apart.min(axis=1), apart.min(axis=0)
    precision, recall = ((way <= 0.0075 * diagonal).mean() for way in ways)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
    hd95 = max(np.quantile(way, 0.95) for way in ways)
    assd = np.concatenate(ways).mean()
    return f1, hd95, assd, hd95 / diagonal, assd / diagonal


def random_masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two masks: empty, full, noise, one pixel, or a rectangle that may touch the edge, holed."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 40, 2))

    def mask() -> np.ndarray:
        found = np.zeros(shape, bool)
        top, left = (int(rng.integers(side)) for side in shape)
        match rng.integers(6):
            case 0:
                return found
            case 1:
                return ~found
            case 2:
                return rng.random(shape) < rng.random()
            case 3:
                found[top, left] = True
            case _:
                found[top : top + 20, left : left + 15] = True
                found[top + 5 : top + 9, left + 4 : left + 9] = False
        return found

    return mask(), mask()


@pytest.mark.long
@pytest.mark.parametrize("most", [0, 100_000], ids=["transform", "tree"])
def test_scores_are_those_of_comparing_every_pixel_with_every_other(monkeypatch, most):
    monkeypatch.setattr(boundary, "MOST_IN_TREE", most)
    for seed in range(300):
        masks = random_masks(seed)
        found = astuple(BoundaryScores.between(*masks))
        assert found == pytest.approx(slow_scores(*masks), abs=1e-5), seed


def test_scores_of_large_masks_are_the_same_either_way(monkeypatch):
    y, x = np.mgrid[:900, :1200]
    one, other = (x - 100) ** 2 + y**2 < 80**2, (x - 1000) ** 2 + (y - 700) ** 2 < 150**2
    tree = astuple(BoundaryScores.between(one, other))
    monkeypatch.setattr(boundary, "MOST_IN_TREE", 0)
    assert astuple(BoundaryScores.between(one, other)) == pytest.approx(tree, rel=1e-5)


@pytest.mark.parametrize("seed", range(30))
def test_scores_do_not_care_which_mask_is_the_truth_or_how_the_image_is_turned(seed):
    one, other = random_masks(seed)
    expected = pytest.approx(astuple(BoundaryScores.between(one, other)), abs=1e-12)
    assert astuple(BoundaryScores.between(other, one)) == expected
    for turn in (np.flipud, np.fliplr, np.rot90, np.transpose):
        masks = (np.ascontiguousarray(turn(mask)) for mask in (one, other))
        assert astuple(BoundaryScores.between(*masks)) == expected


def test_a_mask_scores_perfectly_against_itself():
    mask = np.random.default_rng(0).random((50, 70)) < 0.3
    assert astuple(BoundaryScores.between(mask, mask)) == (1, 0, 0, 0, 0)


def shifted_squares(shift: int, scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """In 320×240 pixels, whose diagonal is 400 and whose tolerance 3, or `scale` times that."""
    masks = np.zeros((2, 240 * scale, 320 * scale), bool)
    start, stop = 50 * scale, 150 * scale
    masks[0, start:stop, start:stop] = masks[1, start:stop, start + shift : stop + shift] = True
    return masks[0], masks[1]


@pytest.mark.parametrize("scale", [1, 10])
def test_tolerance_itself_counts_as_within(scale):
    assert BoundaryScores.between(*shifted_squares(3 * scale, scale)).boundary_f1 == 1
    # All of the sides across the shift miss, but for the corners' neighbourhood.
    beyond = BoundaryScores.between(*shifted_squares(3 * scale + 1, scale))
    assert beyond.boundary_f1 == pytest.approx(0.5, abs=0.03)


def test_a_shifted_square_is_as_far_as_it_was_shifted():
    scores = BoundaryScores.between(*shifted_squares(8))
    assert scores.hd95 == 8 and scores.hd95_share == 8 / 400
    assert scores.assd == pytest.approx(4, rel=0.02)  # two of the four sides moved along themselves


@pytest.mark.parametrize("seed", range(30))
def test_boundary_pixels_follow_each_other_row_by_row(seed):
    for mask in random_masks(seed):
        assert np.array_equal(boundary.boundary(mask)[:, ::-1], outline(mask))


def test_the_images_edge_is_a_boundary():
    full = np.ones((10, 12), bool)
    assert len(boundary.boundary(full)) == 2 * 10 + 2 * 12 - 4


@pytest.mark.parametrize(("one", "other", "expected"), [(0, 0, (1, 0, 0)), (1, 0, (0, 50, 50))])
def test_empty_masks_score_by_convention(one, other, expected):
    masks = (np.full((30, 40), value, bool) for value in (one, other))
    scores = BoundaryScores.between(*masks)
    assert astuple(scores)[:3] == expected
    assert scores.hd95_share == scores.assd_share == expected[1] / 50


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="pixels"):
        BoundaryScores.between(np.ones((1, 4), bool), np.ones((3, 4), bool))


def test_scores_are_plain_numbers():
    for masks in (shifted_squares(2), random_masks(1)):
        assert {type(value) for value in astuple(BoundaryScores.between(*masks))} == {float}
