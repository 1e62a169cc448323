from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesion.photos.archives import ArchiveReader
from lesion.photos.images import encode_mask
from lesion.photos.masks import Reading
from lesion.photos.members import pack
from lesion.photos.placement import place
from lesion.scoring.originals import Originals

MASK = np.zeros((30, 50), bool)
MASK[5:20, 10:44] = True


@pytest.fixture(params=["stretch", "letterbox", "crop"])
def originals(request: pytest.FixtureRequest, tmp_path: Path):
    pack(tmp_path / "masks.zip", [("m/a.png", encode_mask(MASK))])
    row = {"id": "a", "height": 30, "width": 50, "mask_archive": "masks.zip", "mask": "m/a.png"}
    row |= place(request.param, 30, 50, 16).columns() | Reading("grey", ((129, 255),), 1).columns()
    index = pd.DataFrame([row])
    with ArchiveReader(tmp_path) as archives:
        yield Originals(index, archives), request.param


def test_the_true_mask_is_that_of_the_archive(originals):
    assert len(originals[0]) == 1
    assert np.array_equal(originals[0].truth(0), MASK)


@pytest.mark.parametrize(("keep", "times"), [(False, 3), (True, 1)])
def test_a_true_mask_is_read_each_time_or_once_and_kept(originals, monkeypatch, keep, times):
    found, read = originals[0], ArchiveReader.read
    members = []

    def noting(reader: ArchiveReader, archive: str, member: str) -> bytes:
        members.append(member)
        return read(reader, archive, member)

    monkeypatch.setattr(ArchiveReader, "read", noting)
    again = Originals(pd.DataFrame(found.rows), found.archives, keep_truth=keep)
    for _ in range(3):
        truth = again.truth(0)
        assert truth.dtype == bool and np.array_equal(truth, MASK)
    assert members == ["m/a.png"] * times


def test_the_square_is_enlarged_to_the_photograph_and_what_it_does_not_show_is_0(originals):
    found, policy = originals
    enlarged = found.enlarged(0, np.ones((16, 16), np.float32))
    assert enlarged.shape == (30, 50)
    unseen = {"stretch": 0, "letterbox": 0, "crop": 30 * 50 - 24 * 24}[policy]
    assert (enlarged == 0).sum() == unseen and (enlarged == 1).sum() == 1500 - unseen


def test_what_is_shown_is_the_square_without_its_bars(originals):
    found, policy = originals
    square = np.arange(256).reshape(16, 16)
    shown = found.shown(0, square)
    assert shown.shape == ((10, 16) if policy == "letterbox" else (16, 16))
    assert shown[0, 0] == (3 * 16 if policy == "letterbox" else 0)
