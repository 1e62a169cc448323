"""What only photographs can show; they are not in the repository, see the README."""

from pathlib import Path

import numpy as np
import pytest

from lesion.archives import ArchiveReader, find_pairs
from lesion.images import decode_image, decode_mask, resize_image, resize_mask
from lesion.scores import Confusion

NATIVE = Path(__file__).resolve().parents[2] / "shared/isic2018/train-native"

pytestmark = pytest.mark.skipif(
    not NATIVE.is_dir(), reason="ISIC 2018 images at native size are not beside this checkout"
)


def test_masks_survive_the_way_to_the_network_and_back_to_native_size() -> None:
    pairs = find_pairs(NATIVE)
    dice = []
    with ArchiveReader(NATIVE) as archives:
        for pair in pairs:
            truth = decode_mask(archives.read(pair.mask_archive, pair.mask))
            small = resize_mask(truth, 128, 128)
            back = resize_image(small.astype(np.float32), *truth.shape) >= 0.5
            dice.append(Confusion.between(back, truth).dice)
    assert len(dice) == 61
    assert np.mean(dice) > 0.985


def test_reduced_decoding_gives_the_picture_that_full_decoding_gives() -> None:
    with ArchiveReader(NATIVE) as archives:
        for pair in find_pairs(NATIVE)[:12]:
            content = archives.read(pair.image_archive, pair.image)
            full, shape = decode_image(content)
            reduced, same_shape = decode_image(content, 128)
            assert shape == same_shape == full.shape[:2]
            assert min(reduced.shape[:2]) >= 128
            difference = resize_image(full, 128, 128).astype(int) - resize_image(reduced, 128, 128)
            assert np.abs(difference).mean() < 5  # of 255 grey levels
