from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesion.photos.archives import ArchiveReader, find_archives, find_pairs
from lesion.photos.images import decode_image, encode_mask
from lesion.photos.masks import decode_mask, open_mask
from lesion.pipeline.errors import InputError
from lesion.report.pictures import read_picture


@pytest.fixture
def case(sample: Path, tmp_path: Path):
    """A row of an index, and a folder with its prediction: the true mask upside down."""
    pair = next(pair for pair in find_pairs(find_archives(sample)) if pair.split == "test")
    with ArchiveReader(sample) as archives:
        mask = open_mask(archives.read(pair.mask_archive, pair.mask))
    truth = np.asarray(mask.image) > 127
    (tmp_path / "test").mkdir()
    (tmp_path / f"test/{pair.id}_segmentation.png").write_bytes(encode_mask(truth[::-1]))
    row = {**vars(pair), "split": "test", "height": truth.shape[0], "width": truth.shape[1]}
    row |= mask.reading.columns()
    return next(pd.DataFrame([row]).itertuples()), tmp_path


def test_a_small_picture_is_the_photograph_and_its_masks_as_they_are(sample, case):
    row, predictions = case
    with ArchiveReader(sample) as archives:
        picture = read_picture(row, archives, predictions, longest=400)
        image = decode_image(archives.read(row.image_archive, row.image)).pixels
        truth = decode_mask(archives.read(row.mask_archive, row.mask))
    assert np.array_equal(picture.image, image)
    assert np.array_equal(picture.truth, truth)
    assert np.array_equal(picture.prediction, truth[::-1])


def test_a_large_one_is_shrunk_all_alike(sample, case):
    row, predictions = case
    with ArchiveReader(sample) as archives:
        picture = read_picture(row, archives, predictions, longest=16)
    assert max(picture.image.shape) == 16
    assert picture.truth.shape == picture.prediction.shape == picture.image.shape[:2]
    assert picture.truth.dtype == picture.prediction.dtype == bool
    assert picture.truth.any() and not picture.truth.all()


def test_a_missing_prediction_is_named(sample, case):
    row, predictions = case
    (predictions / f"test/{row.id}_segmentation.png").unlink()
    with ArchiveReader(sample) as archives, pytest.raises(InputError, match="dvc repro evaluate"):
        read_picture(row, archives, predictions, longest=16)
