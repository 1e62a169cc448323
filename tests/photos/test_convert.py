import io
import math

import cv2
import numpy as np
import pytest
from PIL import Image

from lesion.photos.convert import Converted, convert
from lesion.photos.duplicates import near_pictures
from lesion.photos.images import encode_mask, resize_image, resize_mask
from lesion.photos.inventory import COLUMNS
from lesion.photos.masks import READING_COLUMNS, Reading
from lesion.photos.placement import PLACEMENT_COLUMNS, place
from lesion.photos.thumbnails import thumbnail
from lesion.pipeline.errors import ImageError
from lesion.synthetic import lesion_image
from picture_files import exif, png, stored

HEIGHT, WIDTH = 60, 84


def jpeg(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


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
    assert np.array_equal(result.thumbnail, thumbnail(image, (HEIGHT, WIDTH)))
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
        "lesion.photos.convert.thumbnail",
        lambda pixels, shape: (sizes.append(pixels.shape), thumbnail(pixels, shape))[1],
    )
    reduced = convert(content, encode_mask(mask), "letterbox", 48)
    full = convert(png(image), encode_mask(mask), "letterbox", 48)
    assert sizes[0][0] * 2 < 403 and sizes[1] == image.shape
    assert reduced.shape == full.shape == (403, 517)
    assert np.abs(reduced.image.astype(int) - full.image).mean() < 2
    assert np.array_equal(reduced.mask, full.mask)
    assert near_pictures([reduced.thumbnail, full.thumbnail]).bits[0] <= 8


def test_the_hash_hardly_depends_on_how_the_pair_is_laid_out():
    image, mask = lesion_image(3, 263, 391)
    pictures = [
        convert(jpeg(image), encode_mask(mask), policy, side).thumbnail
        for policy in ("stretch", "letterbox", "crop")
        for side in (16, 80, 200)
    ]
    near = near_pictures(pictures)
    assert len(near.bits) == 9 * 8 / 2 and near.bits.max() <= 8


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
    assert result.notes == ("grey", "mask of 1", "no lesion")


def test_image_and_mask_of_different_sizes_are_refused_with_both_sizes(pair):
    image, mask = pair
    text = refusal(png(image), encode_mask(mask[:-1]))
    assert text == f"image {WIDTH}×{HEIGHT}, mask {WIDTH}×{HEIGHT - 1}; expected one size"


@pytest.mark.parametrize("policy", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_that_fits_the_stored_pixels_alone_is_turned_as_its_image(policy, orientation):
    image, mask = lesion_image(4, 120, 168)
    content = jpeg(stored(image, orientation), exif=exif(orientation))
    result = convert(content, encode_mask(stored(mask, orientation)), policy, 32)
    upright = convert(content, encode_mask(mask), policy, 32)
    assert result.notes == ("turned by EXIF", "mask turned as its image")
    assert upright.notes == ("turned by EXIF",)
    assert (result.reading.turn, result.turn.favour) == (orientation, math.inf)
    assert (upright.reading.turn, upright.turn.favour) == (1, -math.inf)
    assert np.array_equal(result.mask, upright.mask)
    assert np.array_equal(result.image, upright.image)


def test_a_mask_whose_own_exif_does_not_fit_is_left_as_it_is_stored(pair):
    image, mask = pair
    content = png(mask.astype(np.uint8) * 255, exif=exif(6))
    result = convert(png(image), content, "stretch", 32)
    assert result.notes == ("mask not turned by its EXIF",)
    assert np.array_equal(result.mask, convert(png(image), encode_mask(mask), "stretch", 32).mask)


def test_a_mask_that_fits_in_neither_way_is_refused(pair):
    image, mask = pair
    text = refusal(jpeg(image, exif=exif(6)), encode_mask(mask[:-1]))
    assert text == f"image {HEIGHT}×{WIDTH}, mask {WIDTH}×{HEIGHT - 1}; expected one size"
    assert refusal(png(image), encode_mask(mask.T)).endswith("expected one size")


@pytest.mark.parametrize("policy", ["stretch", "letterbox", "crop"])
def test_an_image_turned_by_exif_fits_its_upright_mask(policy):
    image, mask = lesion_image(4, 120, 168)
    result = convert(jpeg(stored(image, 6), exif=exif(6)), encode_mask(mask), policy, 32)
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
        thumbnail=np.zeros((64, 64), np.uint8),
        notes=("grey", "no lesion"),
        reading=Reading("grey", ((1, 1), (3, 255)), 6),
        values=None,
        turn=None,
    )
    values = converted.measurements()
    assert (values["height"], values["width"]) == (30, 40)
    assert values["lesion_share"] == 0.333333
    assert (values["red"], values["green"], values["blue"]) == (100, 50, 25.13)
    brightness = 0.299 * 100 + 0.587 * 50 + 0.114 * 25.126
    assert values["brightness"] == pytest.approx(brightness, abs=0.01)
    assert values["notes"] == "grey; no lesion"
    assert [values[name] for name in PLACEMENT_COLUMNS] == [8, 0, 24, 24, 0, 0, 16, 16]
    assert [values[name] for name in READING_COLUMNS] == ["grey", "1-1 3-255", 6]
    assert values.keys() <= {*COLUMNS, *PLACEMENT_COLUMNS, *READING_COLUMNS}
