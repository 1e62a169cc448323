import io
from itertools import pairwise

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from lesion.convert import Converted, convert
from lesion.duplicates import perceptual_hash
from lesion.errors import ImageError
from lesion.images import encode_mask, resize_image, resize_mask
from lesion.placement import PLACEMENT_COLUMNS, place
from lesion.report import COLUMNS
from lesion.synthetic import lesion_image

HEIGHT, WIDTH = 60, 84


def png(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", **options)
    return buffer.getvalue()


def jpeg(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def turned_right() -> Image.Exif:
    """EXIF of a picture that is shown upright when turned right by a quarter."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return exif


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    return lesion_image(1, HEIGHT, WIDTH)


def refusal(image: bytes, mask: bytes) -> str:
    with pytest.raises(ImageError) as error:
        convert(image, mask, "stretch", 32)
    return str(error.value)


@pytest.mark.parametrize("policy", ["stretch", "letterbox", "crop"])
def test_a_pair_is_laid_out_and_measured(pair, policy):
    image, mask = pair
    result = convert(png(image), encode_mask(mask), policy, 32)
    assert result.image.shape == (32, 32, 3) and result.image.dtype == np.uint8
    assert result.mask.shape == (32, 32) and set(np.unique(result.mask)) == {0, 1}
    assert result.placement == place(policy, HEIGHT, WIDTH, 32)
    assert result.shape == (HEIGHT, WIDTH) and result.notes == ()
    assert result.lesion_share == mask.mean()
    assert np.array_equal(result.hash, perceptual_hash(image, (HEIGHT, WIDTH)))
    source, target = result.placement.source, result.placement.target
    shown, share = image[source.slices], mask[source.slices]
    inner = resize_image(np.ascontiguousarray(shown), target.height, target.width)
    assert np.array_equal(result.image[target.slices], inner)
    resized = resize_mask(np.ascontiguousarray(share), target.height, target.width)
    assert np.array_equal(result.mask[target.slices], resized)


def test_the_bars_of_a_letterbox_have_no_part_in_the_colour():
    image = np.full((30, 90, 3), (200, 100, 50), np.uint8)
    mask = encode_mask(np.eye(30, 90, dtype=bool))
    for policy in ("stretch", "letterbox", "crop"):
        assert convert(png(image), mask, policy, 16).colour == (200, 100, 50)


def test_a_large_jpeg_gives_the_arrays_of_its_full_decoding(monkeypatch):
    image, mask = lesion_image(2, 403, 517)
    content = jpeg(image)
    sizes = []
    monkeypatch.setattr(
        "lesion.convert.perceptual_hash",
        lambda pixels, shape: (sizes.append(pixels.shape), perceptual_hash(pixels, shape))[1],
    )
    reduced = convert(content, encode_mask(mask), "letterbox", 48)
    full = convert(png(image), encode_mask(mask), "letterbox", 48)
    assert sizes[0][0] * 2 < 403 and sizes[1] == image.shape
    assert reduced.shape == full.shape == (403, 517)
    assert np.abs(reduced.image.astype(int) - full.image).mean() < 2
    assert np.array_equal(reduced.mask, full.mask)
    assert int(np.unpackbits(reduced.hash ^ full.hash).sum()) <= 8


def test_the_hash_hardly_depends_on_how_the_pair_is_laid_out():
    image, mask = lesion_image(3, 263, 391)
    hashes = [
        convert(jpeg(image), encode_mask(mask), policy, side).hash
        for policy in ("stretch", "letterbox", "crop")
        for side in (16, 80, 200)
    ]
    for one, other in pairwise(hashes):
        assert int(np.unpackbits(one ^ other).sum()) <= 8


@pytest.mark.parametrize(("value", "note"), [(False, "no lesion"), (True, "all lesion")])
def test_a_mask_without_an_edge_is_noted(pair, value, note):
    mask = np.full((HEIGHT, WIDTH), value)
    result = convert(png(pair[0]), encode_mask(mask), "stretch", 32)
    assert result.notes == (note,)
    assert result.lesion_share == value and (result.mask == value).all()


def test_a_lesion_of_a_single_pixel_is_a_lesion(pair):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5, 5] = True
    assert convert(png(pair[0]), encode_mask(mask), "stretch", 32).notes == ()
    assert convert(png(pair[0]), encode_mask(~mask), "stretch", 32).notes == ()


def test_notes_of_image_mask_and_lesion_come_in_this_order(pair):
    grey = cv2.cvtColor(pair[0], cv2.COLOR_RGB2GRAY)
    result = convert(png(grey), png(np.ones((HEIGHT, WIDTH), np.uint8)), "stretch", 32)
    assert result.notes == ("grey", "mask of 0 and 1", "all lesion")


def test_image_and_mask_of_different_sizes_are_refused_with_both_sizes(pair):
    image, mask = pair
    text = refusal(png(image), encode_mask(mask[:-1]))
    assert text == f"image {WIDTH}×{HEIGHT}, mask {WIDTH}×{HEIGHT - 1}; expected one size"


def test_a_mask_that_was_not_turned_with_its_image_is_refused_and_the_reason_told(pair):
    image, mask = pair
    text = refusal(jpeg(image, exif=turned_right()), encode_mask(mask))
    assert f"image {HEIGHT}×{WIDTH}, mask {WIDTH}×{HEIGHT}" in text
    assert text.endswith("the image is turned by its EXIF orientation, the mask is not")
    text = refusal(jpeg(image, exif=turned_right()), encode_mask(mask[:-1]))
    assert "EXIF" not in text
    assert "EXIF" not in refusal(png(image), encode_mask(mask.T))


@pytest.mark.parametrize("policy", ["stretch", "letterbox", "crop"])
def test_an_image_turned_by_exif_fits_its_upright_mask(policy):
    image, mask = lesion_image(4, 120, 168)
    stored = np.ascontiguousarray(np.rot90(image))  # left by a quarter
    result = convert(jpeg(stored, exif=turned_right()), encode_mask(mask), policy, 32)
    upright = convert(jpeg(image), encode_mask(mask), policy, 32)
    assert result.notes == ("turned by EXIF",) and result.shape == (120, 168)
    assert np.abs(result.image.astype(int) - upright.image).mean() < 2
    assert np.array_equal(result.mask, upright.mask)


def test_a_refusal_says_which_of_the_two_files_it_is_about(pair):
    image, mask = png(pair[0]), encode_mask(pair[1])
    assert isinstance(convert(image, mask, "stretch", 32), Converted)
    assert refusal(b"text", mask).startswith("image: not an image")
    assert refusal(image, b"text").startswith("mask: not an image")
    assert refusal(image[:-2], mask).startswith("image: cut")
    assert refusal(image, mask[:-2]).startswith("mask: cut")


def test_measurements_are_known_columns_of_the_report():
    converted = Converted(
        image=np.zeros((16, 16, 3), np.uint8),
        mask=np.zeros((16, 16), np.uint8),
        shape=(30, 40),
        placement=place("crop", 30, 40, 16),
        lesion_share=1 / 3,
        colour=(100.0, 50.0, 25.126),
        hash=np.zeros(32, np.uint8),
        notes=("grey", "no lesion"),
    )
    values = converted.measurements()
    assert (values["height"], values["width"]) == (30, 40)
    assert values["lesion_share"] == 0.333333
    assert (values["red"], values["green"], values["blue"]) == (100, 50, 25.13)
    brightness = 0.299 * 100 + 0.587 * 50 + 0.114 * 25.126
    assert values["brightness"] == pytest.approx(brightness, abs=0.01)
    assert values["notes"] == "grey; no lesion"
    assert [values[name] for name in PLACEMENT_COLUMNS] == [8, 0, 24, 24, 0, 0, 16, 16]
    assert values.keys() <= {*COLUMNS, *PLACEMENT_COLUMNS}
