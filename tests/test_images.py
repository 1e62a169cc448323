import io

import cv2
import numpy as np
import pytest
from PIL import Image

from lesion.errors import ImageError
from lesion.images import decode_image, decode_mask, encode_mask, resize_image, resize_mask
from lesion.synthetic import lesion_image

HEIGHT, WIDTH = 30, 44


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return lesion_image(1, HEIGHT, WIDTH)[0]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(array: np.ndarray, **options: object) -> bytes:
    return encoded(Image.fromarray(array), "JPEG", **options)


def png(array: np.ndarray) -> bytes:
    return encoded(Image.fromarray(array), "PNG")


def test_png_is_decoded_exactly(photograph):
    image, shape = decode_image(png(photograph))
    assert image.dtype == np.uint8 and shape == (HEIGHT, WIDTH)
    assert np.array_equal(image, photograph)


def test_jpeg_is_decoded_to_rgb(photograph):
    image, shape = decode_image(jpeg(photograph, quality=95, subsampling=0))
    assert shape == (HEIGHT, WIDTH)
    assert np.abs(image.astype(int) - photograph).mean() < 4


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "RGB"])
def test_png_of_every_colour_mode_becomes_rgb(photograph, mode):
    original = Image.fromarray(photograph).convert(mode)
    image, _ = decode_image(encoded(original, "PNG"))
    assert image.shape == (HEIGHT, WIDTH, 3) and image.dtype == np.uint8
    assert np.array_equal(image, np.asarray(original.convert("RGB")))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_of_every_colour_mode_becomes_rgb(photograph, mode):
    content = encoded(Image.fromarray(photograph).convert(mode), "JPEG", quality=95)
    expected = np.asarray(Image.fromarray(photograph).convert(mode).convert("RGB"))
    image, _ = decode_image(content)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(image.astype(int) - expected).mean() < 6


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_png_keeps_its_brightness(channels):
    ramp = np.linspace(0, 65535, 16 * 16).reshape(16, 16).astype(np.uint16)
    _, content = cv2.imencode(".png", ramp if channels == 1 else np.dstack([ramp] * 3))
    image, _ = decode_image(content.tobytes())
    assert image.shape == (16, 16, 3)
    assert np.abs(image[..., 0].astype(int) - ramp // 257).max() <= 1


def test_16_bit_mask_is_cut_at_half_of_its_range():
    grey = np.array([[0, 200, 32000, 33500, 65535]], np.uint16)
    _, content = cv2.imencode(".png", grey)
    assert decode_mask(content.tobytes()).tolist() == [[False, False, False, True, True]]


@pytest.mark.parametrize("side", [1, 8, 20, 60, 64, 100, 130, 256, 400])
@pytest.mark.parametrize("shape", [(256, 400), (400, 257), (130, 1000)])
def test_a_jpeg_comes_smaller_but_never_below_the_side_asked_for(shape, side):
    content = jpeg(lesion_image(0, *shape)[0])
    image, stored = decode_image(content, side)
    assert stored == shape
    assert min(image.shape[:2]) >= min(side, *shape)
    if side * 2 <= min(shape):
        assert image.shape[0] < shape[0] and image.shape[1] < shape[1]


def test_a_jpeg_at_a_smaller_scale_shows_the_same_picture():
    picture = lesion_image(0, 256, 256)[0]
    image, _ = decode_image(jpeg(picture, quality=95), 64)
    small = resize_image(picture, *image.shape[:2])
    assert np.abs(image.astype(int) - small).mean() < 5


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.99])
@pytest.mark.parametrize("side", [None, 8])
def test_a_cut_file_is_refused(photograph, share, side):
    for content in (jpeg(photograph), png(photograph), jpeg(photograph, progressive=True)):
        with pytest.raises(ImageError):
            decode_image(content[: int(share * len(content))], side)


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused_and_the_message_says_so(content):
    for decode in (decode_image, decode_mask):
        with pytest.raises(ImageError) as error:
            decode(content)
        assert str(error.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_damaged_bytes_are_refused_or_decoded_and_never_crash(photograph, kind):
    content = encoded(Image.fromarray(photograph), kind)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(100):
        damaged = bytearray(content)
        for place in rng.integers(len(content), size=4):
            damaged[place] = rng.integers(256)
        try:
            image, shape = decode_image(bytes(damaged))
            assert image.shape == (*shape, 3)
        except ImageError:
            refused += 1
    assert refused > 5


def test_a_decompression_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="bomb"):
        decode_image(png(np.zeros((64, 64, 3), np.uint8)))


def test_mask_is_true_above_127():
    grey = np.array([[0, 1, 127, 128, 254, 255]], np.uint8)
    mask = decode_mask(png(grey))
    assert mask.dtype == bool
    assert mask.tolist() == [[False, False, False, True, True, True]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_mask_of_every_colour_mode_is_the_same(mode):
    _, mask = lesion_image(2, HEIGHT, WIDTH)
    stored = Image.fromarray(mask.astype(np.uint8) * 255).convert(mode)
    assert np.array_equal(decode_mask(encoded(stored, "PNG")), mask)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 5), (30, 44)])
def test_mask_comes_back_from_its_png(shape):
    mask = np.random.default_rng(0).random(shape) < 0.5
    for each in (mask, mask.T, np.zeros(shape, bool), np.ones(shape, bool)):
        assert np.array_equal(decode_mask(encode_mask(each)), each)


def test_encoded_mask_is_8_bit_grey_of_0_and_255():
    content = encode_mask(np.array([[True, False]]))
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG" and image.mode == "L"
        assert np.asarray(image).tolist() == [[255, 0]]


SIZES = [(1, 1), (7, 9), (15, 44), (30, 11), (30, 44), (64, 20), (20, 64), (101, 99)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("value", [False, True])
def test_a_full_mask_stays_full_and_an_empty_one_empty(size, value):
    resized = resize_mask(np.full((HEIGHT, WIDTH), value), *size)
    assert resized.shape == size and resized.dtype == bool
    assert (resized == value).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_even_image_stays_even(size, dtype):
    image = np.full((HEIGHT, WIDTH, 3), 77, dtype)
    resized = resize_image(image, *size)
    assert resized.shape == (*size, 3) and resized.dtype == dtype
    np.testing.assert_allclose(resized, 77, rtol=1e-6)


def test_same_size_changes_nothing(photograph):
    assert np.array_equal(resize_image(photograph, HEIGHT, WIDTH), photograph)
    _, mask = lesion_image(1, HEIGHT, WIDTH)
    assert np.array_equal(resize_mask(mask, HEIGHT, WIDTH), mask)


@pytest.mark.parametrize("size", [(8, 8), (16, 4), (4, 16)])
def test_each_pixel_of_a_shrunk_image_is_the_mean_of_those_it_covers(size):
    image = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    height, width = size
    blocks = image.reshape(height, 16 // height, width, 16 // width)
    np.testing.assert_allclose(resize_image(image, *size), blocks.mean((1, 3)), atol=1e-6)


def test_a_side_that_shrinks_is_averaged_also_where_the_other_grows():
    rows = np.random.default_rng(0).random(16).astype(np.float32)
    image = np.tile(rows[:, None], (1, 16))
    expected = np.tile(rows.reshape(2, 8).mean(1, keepdims=True), (1, 32))
    np.testing.assert_allclose(resize_image(image, 2, 32), expected, atol=1e-6)
    np.testing.assert_allclose(resize_image(image.T, 32, 2), expected.T, atol=1e-6)


def test_a_new_mask_pixel_is_true_where_at_least_half_of_it_was():
    mask = np.array([[1, 1, 1, 0, 1, 0, 0, 0], [1, 1, 1, 0, 0, 1, 0, 1]], bool)
    assert resize_mask(mask, 1, 4).tolist() == [[True, True, True, False]]
