"""What only photographs can show; they are not in the repository, see the README."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lesion.photos.archives import ArchiveReader, find_archives, find_pairs
from lesion.photos.convert import Converted, convert
from lesion.photos.duplicates import near_pairs, perceptual_hash
from lesion.photos.exclusions import read_exclusions
from lesion.photos.images import decode_image
from lesion.photos.masks import decode_mask
from lesion.photos.placement import from_square, image_to_square, least_size, place
from lesion.pipeline.parallel import in_order
from lesion.scoring.scores import Confusion
from project import ROOT, SHARED

ISIC = SHARED / "isic2018"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not ISIC.is_dir(), reason="ISIC 2018 images are not beside this checkout"),
]


@dataclass(frozen=True)
class Files:
    """The files of a pair."""

    id: str
    image: bytes
    mask: bytes


def files(folder: Path, step: int = 1) -> Iterator[Files]:
    """Those of every `step`th pair."""
    with ArchiveReader(folder) as archives:
        for pair in find_pairs(find_archives(folder))[::step]:
            yield Files(
                pair.id,
                archives.read(pair.image_archive, pair.image),
                archives.read(pair.mask_archive, pair.mask),
            )


def test_the_benchmarks_verdicts_are_a_file_that_exclude_can_name() -> None:
    ids = [pair.id for pair in find_pairs(find_archives(ISIC / "train-512px"))]
    assert len(read_exclusions(ROOT / "benchmarks/verdicts.csv", ids)) == 41


def test_no_photograph_at_native_size_is_refused_or_noted() -> None:
    def notes(pair: Files) -> tuple[str, ...]:
        return convert(pair.image, pair.mask, "stretch", 128).notes

    assert list(in_order(notes, files(ISIC / "train-native"))) == [()] * 61


@pytest.mark.parametrize(
    ("policy", "expected"), [("stretch", 0.99), ("letterbox", 0.985), ("crop", 0.98)]
)
def test_masks_survive_the_way_to_the_network_and_back_to_native_size(
    policy: str, expected: float
) -> None:
    def dice(pair: Files) -> float:
        result: Converted = convert(pair.image, pair.mask, policy, 128)
        truth = decode_mask(pair.mask)
        back = from_square(result.mask.astype(np.float32), result.placement, *truth.shape)
        return Confusion.between(back >= 0.5, truth).dice

    values = list(in_order(dice, files(ISIC / "train-native", step=5)))
    assert len(values) == 13 and np.mean(values) > expected


@pytest.mark.parametrize("policy", ["stretch", "letterbox", "crop"])
def test_reduced_decoding_gives_the_picture_that_full_decoding_gives(policy: str) -> None:
    for pair in files(ISIC / "train-native", step=12):
        full = decode_image(pair.image)
        placement = place(policy, *full.shape, 128)
        reduced = decode_image(pair.image, least_size(placement, *full.shape))
        assert reduced.shape == full.shape == full.pixels.shape[:2]
        assert reduced.pixels.shape[0] < full.shape[0]
        one, other = (
            image_to_square(image.pixels, placement, image.shape, 128) for image in (full, reduced)
        )
        assert np.abs(one.astype(int) - other).mean() < 3  # of 255 grey levels


def test_the_known_near_duplicates_are_found_among_2400_photographs() -> None:
    text = (ISIC / "README.md").read_text()
    known = {frozenset(pair) for pair in re.findall(r"(ISIC_\d{7}) and (ISIC_\d{7})", text)}
    assert len(known) == 7

    def hash_of(pair: Files) -> tuple[str, np.ndarray]:
        return pair.id, perceptual_hash(decode_image(pair.image).pixels, (256, 256))

    ids, hashes = zip(*in_order(hash_of, files(ISIC / "train-256px")), strict=True)
    pairs = near_pairs(hashes)
    found = {frozenset((ids[i], ids[j])) for i, j in zip(pairs.first, pairs.second, strict=True)}
    assert len(ids) == 2400 and known <= found
    assert len(found) < 30  # each of them looked at: docs/data.md
