import io
from collections.abc import Callable
from functools import partial
from itertools import combinations

import cv2
import numpy as np
import pytest
from PIL import Image

from lesion.photos import duplicates
from lesion.photos.duplicates import (
    NEAR,
    NearPairs,
    near_pairs,
    near_pictures,
    perceptual_hash,
)
from lesion.photos.images import decode_image
from lesion.photos.thumbnails import least_for_hash, thumbnail
from lesion.pipeline.parallel import in_order
from lesion.synthetic import lesion_image

pytestmark = pytest.mark.long

SHAPE = (240, 320)


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    return [lesion_image(seed, *SHAPE)[0] for seed in range(8)]


def hash_of(pixels: np.ndarray) -> np.ndarray:
    return perceptual_hash(np.ascontiguousarray(pixels), pixels.shape[:2])


def small_of(pixels: np.ndarray) -> np.ndarray:
    return thumbnail(np.ascontiguousarray(pixels), pixels.shape[:2])


def differing_bits(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.unpackbits(one ^ other).sum())


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def scaled(pixels: np.ndarray, factors: tuple[float, float, float], offset: float) -> np.ndarray:
    return np.clip(pixels * np.array(factors) + offset, 0, 255).astype(np.uint8)


def turned(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """With black corners, as a square, in which a turn is one whatever the shape."""
    square = cv2.resize(pixels, (240, 240), interpolation=cv2.INTER_AREA)
    matrix = cv2.getRotationMatrix2D((119.5, 119.5), degrees, 1)
    return cv2.warpAffine(square, matrix, (240, 240))


SAME: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "compressed anew": lambda pixels: decode_image(jpeg(pixels, 30)).pixels,
    "half the size": lambda pixels: cv2.resize(pixels, (160, 120), interpolation=cv2.INTER_AREA),
    "twice the size": lambda pixels: cv2.resize(pixels, (640, 480)),
    "stretched to a square": lambda pixels: cv2.resize(pixels, (256, 256)),
    "brighter": lambda pixels: scaled(pixels, (1.15, 1.15, 1.15), 10),
    "darker": lambda pixels: scaled(pixels, (0.8, 0.8, 0.8), 0),
    "of another tint": lambda pixels: scaled(pixels, (1.1, 1, 0.9), 0),
    "cropped a little": lambda pixels: pixels[3:-3, 4:-4],
}
VIEWED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mirrored": lambda pixels: pixels[:, ::-1],
    "upside down": lambda pixels: pixels[::-1],
    "turned by half": lambda pixels: pixels[::-1, ::-1],
    "turned by a quarter": lambda pixels: np.rot90(pixels),
    "mirrored and turned by a quarter": lambda pixels: np.rot90(pixels)[::-1],
    "turned by 5°": lambda pixels: turned(pixels, 5),
    "turned back by 10°": lambda pixels: turned(pixels, -10),
    "cropped by a twentieth, from a corner": lambda pixels: pixels[12:, 16:],
    "cropped by a tenth, from a side": lambda pixels: pixels[12:-12, 32:],
    "cropped by a fifth, from the middle": lambda pixels: pixels[24:-24, 32:-32],
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME.keys())
def test_the_same_photograph_is_near(photographs, change):
    for photograph in photographs:
        hashes = [hash_of(photograph), hash_of(change(photograph))]
        assert hashes[0].shape == (32,) and hashes[0].dtype == np.uint8
        pairs = near_pairs(hashes)
        assert (pairs.first.tolist(), pairs.second.tolist()) == ([0], [1])


@pytest.mark.parametrize("change", VIEWED.values(), ids=VIEWED.keys())
def test_a_mirrored_turned_or_cropped_photograph_is_near_in_a_view(photographs, change):
    pictures = [small_of(photograph) for photograph in photographs]
    copies = [small_of(change(photograph)) for photograph in photographs]
    for both in (pictures + copies, copies + pictures):
        pairs = near_pictures(both)
        assert pairs.count == 16 and pairs.bits.max() <= duplicates.NEAR_VIEW
        assert pairs.first.tolist() == list(range(8))
        assert pairs.second.tolist() == list(range(8, 16))


def test_no_two_of_150_different_photographs_are_near_in_whichever_view():
    pairs = near_pictures([small_of(lesion_image(seed, 96, 128)[0]) for seed in range(150)])
    assert pairs.count == 150 and len(pairs.first) == 0


def test_pictures_that_look_alike_but_are_of_different_lesions_are_not_the_same(photographs):
    one, other = map(small_of, photographs[:2])
    flat = np.zeros_like(one)
    assert duplicates._same(one, (one * 0.8 + 20).astype(np.uint8))
    assert not duplicates._same(one, other) and not duplicates._same(one, flat)


def test_hashes_of_many_are_those_of_each(photographs):
    stack = np.stack([small_of(photograph) for photograph in photographs])
    expected = np.stack([hash_of(photograph) for photograph in photographs])
    assert np.array_equal(duplicates._hashes(stack), expected)


@pytest.mark.parametrize("shape", [(240, 320), (261, 325), (159, 207), (600, 531)])
def test_the_hash_hardly_depends_on_the_scale_of_decoding(shape):
    for seed in range(4):
        content = jpeg(lesion_image(seed, *shape)[0], 90)
        full = decode_image(content)
        expected = perceptual_hash(full.pixels, shape)
        least = least_for_hash(shape)
        smallest = decode_image(content, least).pixels
        assert smallest.shape[:2] == least and least[0] < shape[0]
        for eighths in (1, 2, 3, 4, 5, 6, 7):
            size = tuple(-(-length * eighths // 8) for length in shape)
            if min(size) >= min(least):
                reduced = decode_image(content, size).pixels
                assert reduced.shape[:2] == size
                assert differing_bits(expected, perceptual_hash(reduced, shape)) <= 8


@pytest.mark.parametrize(
    ("shape", "least"),
    [
        ((512, 512), (64, 64)),
        ((511, 900), (128, 225)),
        ((255, 300), (128, 150)),
        ((127, 300), (127, 300)),
        ((20, 20), (20, 20)),
        ((601, 700), (76, 88)),
    ],
)
def test_the_least_size_leaves_as_many_pixels_as_the_hash_looks_at(shape, least):
    assert least_for_hash(shape) == least


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (3, 70), (63, 64), (64, 64)])
def test_the_smallest_images_have_a_hash_too(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert hash_of(pixels).shape == (32,)
    assert np.array_equal(hash_of(pixels), hash_of(pixels.copy()))


def random_hashes(count: int, flips: int = 60) -> list[np.ndarray]:
    """Hashes about as far from each other as the limit, so that some pairs are near."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2, 256).astype(np.uint8)
    hashes = []
    for _ in range(count):
        bits = base.copy()
        bits[rng.choice(256, rng.integers(flips), replace=False)] ^= 1
        hashes.append(np.packbits(bits))
    return hashes


def test_pairs_are_those_of_a_count_one_by_one():
    hashes = random_hashes(40)
    expected = {(i, j): differing_bits(hashes[i], hashes[j]) for i, j in combinations(range(40), 2)}
    assert NEAR in expected.values() and NEAR + 1 in expected.values()
    expected = {pair: bits for pair, bits in expected.items() if bits <= NEAR}
    pairs = near_pairs(hashes)
    found = zip(pairs.first.tolist(), pairs.second.tolist(), pairs.bits.tolist(), strict=True)
    assert {(i, j): bits for i, j, bits in found} == expected
    assert len(pairs.first) == len(expected) > 50
    assert len(near_pairs(hashes, 10).first) < len(expected)


def test_pairs_of_two_known_pictures_are_left_out_and_no_others(photographs):
    one, other = photographs[:2]
    cropped = other[6:-6, 8:-8]
    pictures = [one, one[:, ::-1], other, cropped, one[::-1], other, cropped[:, ::-1], one]
    small = [small_of(picture) for picture in pictures]
    everything, across = near_pictures(small), near_pictures(small, known=4)
    new = everything.second >= 4
    assert 0 < new.sum() < len(new)
    for name in ("first", "second", "bits"):
        assert getattr(across, name).tolist() == getattr(everything, name)[new].tolist()


def test_no_image_and_one_image_have_no_pairs():
    for count in (0, 1):
        pairs = near_pairs(random_hashes(count))
        assert pairs.count == count and len(pairs.first) == len(pairs.bits) == 0
        assert pairs.leaders().tolist() == list(range(count))
        twin, bits = pairs.twins(np.array(["train"] * count))
        assert twin.tolist() == bits.tolist() == [-1] * count
    assert near_pictures([]).count == 0


@pytest.mark.parametrize("block", [1, 3, 8, 9])
def test_how_many_pictures_are_turned_at_a_time_changes_nothing(monkeypatch, photographs, block):
    one, other = photographs[:2]
    views = [one, one[:, ::-1], other, other[6:-6, 8:-8], one[::-1], other, other[::-1], one]
    small = [small_of(picture) for picture in views]
    at_once = near_pictures(small)
    monkeypatch.setattr(duplicates, "BLOCK", block)
    in_parts = near_pictures(small)
    for name in ("first", "second", "bits"):
        assert getattr(in_parts, name).tolist() == getattr(at_once, name).tolist() != []


def test_how_many_views_are_looked_at_at_once_changes_nothing(monkeypatch, photographs):
    changed = [change(photograph) for photograph in photographs[:3] for change in VIEWED.values()]
    small = [small_of(picture) for picture in (*photographs, *changed)]
    found = []
    for workers in (1, 8):
        monkeypatch.setattr(duplicates, "in_order", partial(in_order, workers=workers))
        found.append(near_pictures(small))
    for name in ("first", "second", "bits"):
        assert getattr(found[0], name).tolist() == getattr(found[1], name).tolist() != []


def pairs_of(count: int, *pairs: tuple[int, int, int]) -> NearPairs:
    """From (first, second, bits) each."""
    return NearPairs(count, *np.array(pairs).T)


def test_each_of_a_chain_has_the_lowest_of_the_chain_as_its_leader():
    pairs = pairs_of(9, (2, 7, 1), (5, 7, 1), (3, 5, 1), (6, 8, 1))
    assert pairs.leaders().tolist() == [0, 1, 2, 2, 4, 2, 6, 2, 6]


def test_the_twin_is_the_nearest_and_one_in_another_split_comes_first():
    pairs = pairs_of(5, (0, 1, 3), (0, 2, 9), (0, 3, 40), (1, 2, 5))
    twin, bits = pairs.twins(np.array(["train", "train", "train", "test", "test"]))
    assert twin.tolist() == [3, 0, 1, 0, -1]
    assert bits.tolist() == [40, 3, 5, 40, -1]


def test_of_equally_near_ones_the_first_is_the_twin():
    twin, _ = pairs_of(3, (0, 1, 4), (0, 2, 4), (1, 2, 4)).twins(np.array(["a", "a", "a"]))
    assert twin.tolist() == [1, 0, 0]


def test_groups_and_near_duplicates_are_joined_by_any_chain():
    near = NearPairs(7, np.array([0, 4]), np.array([2, 5]), np.array([3, 3]))
    assert near.leaders().tolist() == [0, 1, 0, 3, 4, 4, 6]
    assert near.leaders(["", "a", "b", "b", "b", "", "a"]).tolist() == [0, 1, 0, 0, 0, 0, 1]
    nobody = NearPairs(3, *np.empty((3, 0), int))
    assert nobody.leaders(["", "", ""]).tolist() == [0, 1, 2]
    assert nobody.leaders(["x", "", "x"]).tolist() == [0, 1, 0]
