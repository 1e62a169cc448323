import numpy as np
import pandas as pd
import pytest

from lesion.photos.duplicates import near_pairs
from lesion.photos.inventory import KEPT, LEFT_OUT, REJECTED
from lesion.photos.overlap import NEAR, SAME_ID, Own, mark_overlap, overlap, remarks
from lesion.photos.thumbnails import GRID

ZERO = np.zeros(32, np.uint8)


def off(bits: int) -> np.ndarray:
    """A hash that differs from ZERO in so many bits."""
    return np.packbits(np.arange(256) < bits)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (GRID, GRID), dtype=np.uint8)


def found(names: list[str], hashes: list[np.ndarray], **own: tuple[str, np.ndarray]) -> list[tuple]:
    """What `overlap` says of each, `own` being id, split and hash of the pipeline's images."""
    splits, known = zip(*own.values(), strict=True) if own else ((), ())
    near = near_pairs([*known, *hashes])
    table = overlap(names, near, Own(list(own), splits, [])).astype(object)
    table = table.where(table.notna(), None)
    return [tuple(row) for row in table.itertuples(index=False)]


def test_the_same_id_and_the_same_looks_are_found_and_nothing_else():
    own = {"a": ("train", ZERO), "b": ("test", off(120))}
    assert found(["x", "a", "y", "b"], [off(3), off(250), off(200), off(121)], **own) == [
        ("a", "train", 3, False),
        ("a", "train", None, True),  # another photograph that is called so, perhaps
        (None, None, None, False),
        ("b", "test", 1, True),
    ]


@pytest.mark.parametrize("learnt", ["train", "validation"])
def test_what_was_learnt_from_comes_before_the_test_split_and_an_id_before_looks(learnt):
    own = {"near": ("test", ZERO), "far": (learnt, off(20)), "name": (learnt, off(250))}
    assert found(["x"], [ZERO], **own) == [("far", learnt, 20, False)]
    assert found(["near"], [ZERO], **own) == [("far", learnt, 20, False)]
    assert found(["name"], [ZERO], **own) == [("name", learnt, None, True)]


@pytest.mark.parametrize("leave_out", [True, False])
def test_what_was_learnt_from_is_left_out_unless_it_is_to_stay(leave_out):
    table = pd.DataFrame(
        {
            "id": ["a", "broken", "x", "y", "z"],
            "state": [KEPT, REJECTED, KEPT, KEPT, KEPT],
            **{
                name: pd.Series([None] * 5, dtype="str")
                for name in ("reason", "twin", "twin_split")
            },
            "twin_bits": pd.Series([None] * 5, dtype="Int64"),
        }
    )
    a, b, c, d = map(picture, range(4))
    own = Own(["a", "b", "c"], ["train", "validation", "test"], [a, b, c])
    others = [a, np.rot90(b), c[::-1], d]
    marked = mark_overlap(table, others, own, leave_out=leave_out)
    out = LEFT_OUT if leave_out else KEPT
    assert marked["state"].tolist() == [out, REJECTED, out, KEPT, KEPT]
    assert marked["twin"].fillna("").tolist() == ["a", "", "b", "c", ""]
    reasons = [SAME_ID, "", NEAR, "", ""] if leave_out else [""] * 5
    assert marked["reason"].fillna("").tolist() == reasons
    assert remarks(marked) == []
    own = Own(["a", "x"], ["train", "train"], [c, b])
    marked = mark_overlap(table, [a, b, d, d], own, leave_out=leave_out)
    assert [said.split(";")[0] for said in remarks(marked)] == leave_out * [
        "1 of those left out by id do not look like the image of that id, a for one"
    ]


def test_images_that_equal_each_other_alone_have_no_twin_and_empty_sides_no_rows():
    assert found(["x", "y"], [ZERO, ZERO], a=("train", off(128))) == [(None, None, None, False)] * 2
    assert found([], [], a=("train", ZERO)) == []
    assert found(["x"], [ZERO]) == [(None, None, None, False)]
