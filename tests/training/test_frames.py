import numpy as np
import pandas as pd
import pytest
import torch

from lesion.photos.placement import place
from lesion.training.frames import Frames

POLICIES = ["stretch", "letterbox", "crop"]


def frames(policy: str, *shapes: tuple[int, int], side: int = 64) -> Frames:
    """Of photographs of these heights and widths, as the stage preprocess places them."""
    rows = [place(policy, *shape, side).columns() for shape in shapes]
    return Frames.of(pd.DataFrame(rows), side)


def assert_equal(one: Frames, other: Frames) -> None:
    assert torch.equal(one.boxes, other.boxes) and torch.equal(one.aspects, other.aspects)


@pytest.mark.parametrize("policy", POLICIES)
def test_square_photographs_fill_their_squares_in_every_policy(policy):
    found = frames(policy, (64, 64), (450, 450), (4001, 4001), (7, 7))
    assert not found.have_bars
    assert_equal(found, Frames.whole(4))


def test_a_stretched_photograph_fills_its_square_and_its_pixels_have_its_aspect():
    found = frames("stretch", (450, 600), (600, 450), (540, 722))
    assert not found.have_bars
    assert_equal(frames("stretch", (450, 600)), Frames.whole(1, 4 / 3))
    assert found.aspects.tolist() == pytest.approx([4 / 3, 3 / 4, 722 / 540])


@pytest.mark.parametrize("side", [16, 63, 64, 257])
def test_the_box_of_a_letterboxed_photograph_covers_its_pixels_and_no_other(side):
    shapes = [(450, 600), (600, 450), (100, 801), (64, 64)]
    found = frames("letterbox", *shapes, side=side)
    assert found.have_bars and not found[:0].have_bars and not found[3:].have_bars
    centres = (np.arange(side) + 0.5) * 2 / side - 1
    for shape, (middle, half) in zip(shapes, found.boxes.numpy(), strict=True):
        columns, rows = (abs(centres - middle[axis]) < half[axis] for axis in (0, 1))
        covered = np.zeros((side, side), bool)
        covered[place("letterbox", *shape, side).target.slices] = True
        assert np.array_equal(rows[:, None] & columns, covered)


def test_photographs_can_be_chosen_by_rows():
    found = frames("letterbox", (450, 600), (600, 450), (64, 64))
    assert_equal(found[np.array([2, 0])], frames("letterbox", (64, 64), (450, 600)))
    assert_equal(found[1:], frames("letterbox", (600, 450), (64, 64)))


def test_columns_need_not_be_a_data_frame():
    row = place("letterbox", 450, 600, 64).columns()
    assert_equal(
        Frames.of({name: [value] for name, value in row.items()}, 64),
        frames("letterbox", (450, 600)),
    )
