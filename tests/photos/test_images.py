import io
import math
import struct
import warnings
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import ExifTags, Image

from lesion.photos import images
from lesion.photos.images import decode_image, encode_mask, resize_image, resize_levels, resize_mask
from lesion.photos.masks import decode_mask, open_mask
from lesion.pipeline.errors import ImageError
from lesion.synthetic import lesion_image
from picture_files import ORIENTATIONS, encoded, exif, jpeg, png, stored

pytestmark = pytest.mark.filterwarnings("error")

HEIGHT, WIDTH = 30, 44


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return lesion_image(1, HEIGHT, WIDTH)[0]


@pytest.fixture(scope="module")
def large() -> np.ndarray:
    return lesion_image(0, 200, 280)[0]


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference in grey levels."""
    return float(np.abs(one.astype(int) - other).mean())


def refusal(content: bytes, **options: object) -> str:
    with pytest.raises(ImageError) as error:
        decode_image(content, **options)
    return str(error.value)


def mask_refusal(content: bytes) -> str:
    with pytest.raises(ImageError) as error:
        open_mask(content)
    return str(error.value)


def test_png_is_decoded_exactly(photograph):
    image = decode_image(png(photograph))
    assert image.pixels.dtype == np.uint8 and image.shape == (HEIGHT, WIDTH)
    assert np.array_equal(image.pixels, photograph)
    assert image.notes == ()


def test_jpeg_is_decoded_to_rgb(photograph):
    image = decode_image(jpeg(photograph, quality=95, subsampling=0))
    assert image.shape == image.pixels.shape[:2] == (HEIGHT, WIDTH)
    assert image.notes == ()
    assert distance(image.pixels, photograph) < 4


@pytest.mark.parametrize(
    ("mode", "notes"),
    [
        ("RGB", ()),
        ("L", ("grey",)),
        ("1", ("grey",)),
        ("P", ("palette",)),
        ("LA", ("grey", "alpha")),
        ("RGBA", ("alpha",)),
    ],
)
def test_png_of_every_colour_mode_becomes_rgb_with_a_note(photograph, mode, notes):
    original = Image.fromarray(photograph).convert(mode)
    image = decode_image(encoded(original, "PNG"))
    assert image.pixels.shape == (HEIGHT, WIDTH, 3) and image.pixels.dtype == np.uint8
    assert np.array_equal(image.pixels, np.asarray(original.convert("RGB")))
    assert image.notes == notes


def test_a_transparent_palette_colour_is_noted(photograph):
    content = encoded(Image.fromarray(photograph).convert("P"), "PNG", transparency=3)
    assert decode_image(content).notes == ("palette", "alpha")


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_bmp_and_tiff_are_decoded_exactly(photograph, kind):
    image = decode_image(encoded(Image.fromarray(photograph), kind))
    assert np.array_equal(image.pixels, photograph)


@pytest.mark.parametrize("kind", ["WEBP", "GIF"])
def test_webp_and_gif_are_decoded(photograph, kind):
    image = decode_image(encoded(Image.fromarray(photograph), kind))
    assert distance(image.pixels, photograph) < 12


def test_a_format_that_dermoscopes_do_not_write_is_refused(photograph):
    assert "not an image" in refusal(encoded(Image.fromarray(photograph), "PPM"))
    assert "not an image" in refusal(encoded(Image.fromarray(photograph), "EPS"))


def test_grey_jpeg_becomes_rgb_with_a_note(photograph):
    grey = Image.fromarray(photograph).convert("L")
    image = decode_image(encoded(grey, "JPEG", quality=95))
    assert image.notes == ("grey",)
    assert distance(image.pixels, np.asarray(grey.convert("RGB"))) < 3


@pytest.mark.parametrize("at_least", [None, (100, 100)])
def test_cmyk_jpeg_stored_inverted_as_adobe_does_becomes_rgb_with_a_note(large, at_least):
    cmyk = Image.fromarray(large).convert("CMYK")  # which Pillow inverts when it writes a JPEG
    image = decode_image(encoded(cmyk, "JPEG", quality=95), at_least)
    assert image.notes == ("CMYK",) and image.shape == large.shape[:2]
    expected = resize_image(np.asarray(cmyk.convert("RGB")), *image.pixels.shape[:2])
    assert distance(image.pixels, expected) < 3
    assert image.pixels.shape == ((100, 140, 3) if at_least else large.shape)


def test_cmyk_jpeg_whose_ink_is_stored_as_luma_and_chroma_becomes_rgb(large):
    luma_chroma = np.asarray(Image.fromarray(255 - large).convert("YCbCr"))
    no_black = np.full((*large.shape[:2], 1), 255, np.uint8)
    inverted = Image.fromarray(255 - np.concatenate([luma_chroma, no_black], 2), "CMYK")
    content = bytearray(encoded(inverted, "JPEG", quality=100, subsampling=0))
    content[content.index(b"Adobe") + 11] = 2  # YCCK
    image = decode_image(bytes(content))
    assert image.notes == ("CMYK",) and distance(image.pixels, large) < 3


def test_the_first_picture_of_a_jpeg_with_several_is_the_photograph(photograph):
    preview = Image.fromarray(photograph[::2, ::2])
    content = encoded(
        Image.fromarray(photograph), "MPO", save_all=True, append_images=[preview], quality=95
    )
    image = decode_image(content)
    assert image.shape == (HEIGHT, WIDTH)
    assert distance(image.pixels, photograph) < 6


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_several_pictures_in_one_file_are_refused(photograph, kind):
    first, second = Image.fromarray(photograph), Image.fromarray(photograph[::-1])
    content = encoded(first, kind, save_all=True, append_images=[second])
    assert refusal(content) == mask_refusal(content) == "2 pictures in one file; expected one"


@pytest.mark.parametrize(("channels", "notes"), [(1, ("grey", "16 bit")), (3, ("16 bit",))])
def test_16_bit_png_keeps_its_brightness_and_is_noted(channels, notes):
    ramp = np.linspace(0, 65535, 16 * 16).reshape(16, 16).astype(np.uint16)
    _, content = cv2.imencode(".png", ramp if channels == 1 else np.dstack([ramp] * 3))
    image = decode_image(content.tobytes())
    assert image.pixels.shape == (16, 16, 3) and image.notes == notes
    assert np.abs(image.pixels[..., 0].astype(int) - ramp // 257).max() <= 1


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bits_a_pixel_are_refused(dtype):
    content = encoded(Image.fromarray(np.ones((8, 8), dtype)), "TIFF")
    assert "32 bits" in refusal(content)


def smallest_eighth(shape: tuple[int, int], at_least: tuple[int, int]) -> tuple[int, int]:
    """The least size among the eighths of `shape` that is `at_least` both ways, or all of it."""
    for eighths in range(1, 8):
        size = tuple(math.ceil(length * eighths / 8) for length in shape)
        if size[0] >= at_least[0] and size[1] >= at_least[1]:
            return size
    return shape


@pytest.mark.parametrize("shape", [(256, 400), (263, 131), (60, 300)])
def test_a_jpeg_comes_at_the_smallest_eighth_that_is_at_least_the_size_asked_for(shape):
    content = jpeg(lesion_image(0, *shape)[0])
    sizes = set()
    for height in range(1, shape[0] + 9, 7):
        for width in {1, height, height * shape[1] // shape[0], shape[1] // 2, shape[1] + 1}:
            image = decode_image(content, (height, width))
            assert image.shape == shape
            assert image.pixels.shape[:2] == smallest_eighth(shape, (height, width))
            sizes.add(image.pixels.shape[:2])
    assert len(sizes) == 8


def test_a_jpeg_comes_whole_where_no_size_is_asked_for(large):
    assert decode_image(jpeg(large)).pixels.shape == large.shape


def test_a_png_comes_whole_also_where_less_would_do(photograph):
    assert decode_image(png(photograph), (4, 4)).pixels.shape == photograph.shape


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("eighths", range(1, 8))
def test_a_jpeg_at_a_smaller_scale_shows_the_same_picture(large, eighths, progressive):
    size = (large.shape[0] * eighths // 8, large.shape[1] * eighths // 8)
    image = decode_image(jpeg(large, quality=95, progressive=progressive), size)
    assert image.pixels.shape[:2] == size
    assert distance(image.pixels, resize_image(large, *size)) < 5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_exif_orientation_comes_out_upright(photograph, orientation, kind):
    picture = Image.fromarray(stored(photograph, orientation))
    content = encoded(picture, kind, exif=exif(orientation), quality=95)
    image = decode_image(content)
    assert image.shape == image.pixels.shape[:2] == (HEIGHT, WIDTH)
    assert distance(image.pixels, photograph) < 6
    assert image.pixels.flags.c_contiguous
    # Pillow turns a TIFF without a word.
    assert image.notes == (() if orientation == 1 or kind == "TIFF" else ("turned by EXIF",))


@pytest.mark.parametrize("at_least", [(100, 140), (25, 140), (100, 30), (175, 200)])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_turned_jpeg_comes_smaller_by_its_upright_size(large, orientation, at_least):
    content = jpeg(stored(large, orientation), exif=exif(orientation), quality=95)
    image = decode_image(content, at_least)
    assert image.shape == large.shape[:2]
    assert image.pixels.shape[:2] == smallest_eighth(image.shape, at_least)
    assert distance(image.pixels, resize_image(large, *image.pixels.shape[:2])) < 5


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_turned_jpeg_comes_whole_where_its_size_is_no_multiple_of_eight(orientation):
    picture = lesion_image(0, 160, 204)[0]
    content = jpeg(stored(picture, orientation), exif=exif(orientation))
    reduced = decode_image(content, (40, 51)).pixels.shape[:2]
    assert reduced == ((40, 51) if orientation == 1 else (160, 204))


@pytest.mark.parametrize("number", [0, 9, 300, "6"])
def test_an_exif_orientation_that_means_nothing_is_passed_over(photograph, number):
    if number == "6":  # text, not a number
        values, tag = exif(1).tobytes(), b"\x01\x12\x00"
        values = values.replace(tag + b"\3\0\0\0\1\0\1", tag + b"\2\0\0\0\0026\0")
    else:
        values = exif(number).tobytes()
    image = decode_image(png(photograph, exif=values))
    assert image.notes == () and np.array_equal(image.pixels, photograph)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_is_noted_as_the_orientation_may_be_lost(photograph, kind):
    values = exif(6)
    values[ExifTags.Base.Make] = "a camera with quite a long name"
    whole = values.tobytes()
    start = whole.index(b"MM\0*")
    lists = [whole, whole[:-20]]  # in the second the text is cut, which tells nothing
    lists += [whole[: start + 2 + 8 + 20], whole[: start + 8], whole[: start + 3]]
    lists += [whole[:start] + b"XX" + whole[start + 2 :]]
    with warnings.catch_warnings(action="ignore"):  # Pillow's
        notes = [
            decode_image(encoded(Image.fromarray(photograph), kind, exif=content)).notes
            for content in lists
        ]
    assert ["damaged EXIF" in each for each in notes] == [False, False, True, True, True, True]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.8, 0.99])
@pytest.mark.parametrize("at_least", [None, (8, 8)])
def test_a_cut_file_is_refused(photograph, share, at_least):
    for content in (
        jpeg(photograph),
        jpeg(photograph, progressive=True),
        encoded(Image.fromarray(photograph).convert("CMYK"), "JPEG"),
        png(photograph),
    ):
        refusal(content[: int(share * len(content))], at_least=at_least)


@pytest.mark.parametrize("bytes_cut", [1, 2, 12])
def test_an_image_that_lacks_its_last_bytes_is_refused(photograph, bytes_cut):
    for content in (jpeg(photograph), jpeg(photograph, progressive=True)):
        assert "Premature end" in refusal(content[:-bytes_cut])
        assert "Premature end" in mask_refusal(content[:-bytes_cut])
    for content in (png(photograph), encode_mask(photograph[..., 0] > 99)):
        assert "IEND" in refusal(content[:-bytes_cut])
        assert "IEND" in mask_refusal(content[:-bytes_cut])


def test_bytes_behind_the_end_of_an_image_do_no_harm(photograph):
    for content in (png(photograph), jpeg(photograph)):
        image = decode_image(content + bytes(5000))
        assert np.array_equal(image.pixels, decode_image(content).pixels) and image.notes == ()


def png_parts(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name of each part, and where its content starts and ends."""
    start = 8
    while start < len(content):
        length, name = struct.unpack_from(">I4s", content, start)
        yield name, start + 8, start + 8 + length
        start += 12 + length


@pytest.mark.parametrize("name", [b"IDAT", b"IEND", b"tEXt"])
def test_a_png_part_with_a_wrong_checksum_is_refused(name):
    mask = encode_mask(lesion_image(2, HEIGHT, WIDTH)[1])
    text = b"tEXtkey\0value"
    mask = mask[:33] + struct.pack(">I", 9) + text + struct.pack(">I", zlib.crc32(text)) + mask[33:]
    assert decode_mask(mask).any()
    (end,) = (end for part, _, end in png_parts(mask) if part == name)
    damaged = mask[:end] + bytes([mask[end] ^ 1]) + mask[end + 1 :]
    refusal(damaged)
    if name != b"tEXt":  # which Pillow finds first, and says otherwise
        assert name.decode() in mask_refusal(damaged)


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused_and_the_message_says_how_it_begins(content):
    for text in (refusal(content), mask_refusal(content)):
        assert text == f"not an image: its {len(content)} bytes begin {content!r}"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"])
def test_damaged_bytes_are_refused_or_decoded_and_never_crash(photograph, kind):
    content = encoded(Image.fromarray(photograph), kind, exif=exif(6))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(100):
        damaged = bytearray(content)
        for place in rng.integers(min(len(content), 700), size=4):
            damaged[place] = rng.integers(256)
        try:
            with warnings.catch_warnings(action="ignore"):  # Pillow's, of damaged EXIF
                image = decode_image(bytes(damaged))
            assert image.pixels.shape == (*image.shape, 3)
        except ImageError as error:
            assert str(error)
            refused += 1
    assert refused > 5


def scan(content: bytes) -> int:
    """Where the header of a JPEG's first scan begins."""
    return content.index(b"\xff\xda")


def spoiled(content: bytes, seed: int) -> bytes:
    """A JPEG with a fifth of its coefficients overwritten."""
    first, length = scan(content) + 14, len(content) // 5
    rng = np.random.default_rng(seed)
    start = int(rng.integers(first, len(content) - 2 - length))
    return content[:start] + rng.bytes(length) + content[start + length :]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_damaged_coefficients_of_a_jpeg_are_refused(large, mode, progressive):
    picture = Image.fromarray(large).convert(mode)
    content = encoded(picture, "JPEG", quality=90, progressive=progressive)
    for seed in range(8):
        refusal(spoiled(content, seed))
        mask_refusal(spoiled(content, seed))


def test_coefficients_that_end_too_early_are_damage_and_not_stray_bytes(large):
    content = jpeg(large, progressive=True)
    rng, found = np.random.default_rng(0), 0
    for _ in range(100):
        damaged = bytearray(content)
        damaged[rng.integers(scan(content) + 14, len(content) - 2)] ^= 1 << int(rng.integers(8))
        try:
            simplejpeg.decode_jpeg(bytes(damaged))
        except ValueError as error:
            found += "extraneous bytes before marker" in str(error)
            refusal(bytes(damaged))
    assert found > 3


def with_stray_bytes(content: bytes) -> bytes:
    """A JPEG with bytes, some of them 0xFF, that belong to no segment of its header."""
    tables, start = content.index(b"\xff\xdb"), scan(content)
    return b"".join(
        [content[:tables], bytes(3), content[tables:start], b"\0\xff\0\xff\xff", content[start:]]
    )


def with_meaningless_scan_header(content: bytes) -> bytes:
    """A sequential JPEG whose scan claims to hold the first coefficient only, as cameras write."""
    end = scan(content) + 2 + int.from_bytes(content[scan(content) + 2 : scan(content) + 4])
    return content[: end - 3] + bytes([0, 0, 0]) + content[end:]


@pytest.mark.parametrize("slip", [with_stray_bytes, with_meaningless_scan_header])
@pytest.mark.parametrize("at_least", [None, (50, 70)])
def test_a_harmless_slip_in_a_jpegs_header_is_accepted_with_a_note(large, slip, at_least):
    content = jpeg(large)
    image = decode_image(slip(content), at_least)
    assert image.notes == ("harmless JPEG warning",)
    assert np.array_equal(image.pixels, decode_image(content, at_least).pixels)
    with pytest.raises(ValueError):
        simplejpeg.decode_jpeg(slip(content))


def test_stray_bytes_in_a_progressive_jpeg_and_in_a_mask_are_accepted_with_a_note(large):
    content = jpeg(large, progressive=True)
    image = decode_image(with_stray_bytes(content))
    assert image.notes == ("harmless JPEG warning",)
    assert np.array_equal(image.pixels, decode_image(content).pixels)
    mask = jpeg(lesion_image(1, HEIGHT, WIDTH)[1].astype(np.uint8) * 255)
    assert "harmless JPEG warning" in open_mask(with_stray_bytes(mask)).notes


@pytest.mark.parametrize("slip", [with_stray_bytes, with_meaningless_scan_header])
def test_a_harmless_slip_hides_no_damage_behind_it(large, slip):
    content = slip(jpeg(large))
    for share in (0.6, 0.8, 0.99):
        assert "Premature end" in refusal(content[: int(share * len(content))])
    for seed in range(4):
        refusal(slip(spoiled(jpeg(large), seed)))
    refusal(slip(jpeg(large))[: scan(content) + 1])


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
    )


@pytest.mark.parametrize("width", [12_000, 100_000, 2_000_000])
def test_too_many_pixels_are_refused_by_the_header_alone(photograph, width):
    expected = f"{width}×10000 pixels; expected at most 100,000,000"
    empty = b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    content = png_header(width, 10_000) + empty
    assert refusal(content) == mask_refusal(content) == expected


def test_too_many_pixels_of_a_jpeg_are_refused_by_the_header_alone(photograph):
    content = bytearray(jpeg(photograph))
    size = content.index(b"\xff\xc0") + 5
    content[size : size + 4] = struct.pack(">HH", 20_000, 30_000)
    assert refusal(bytes(content)) == "30000×20000 pixels; expected at most 100,000,000"


def test_as_many_pixels_as_are_allowed_are_accepted(photograph, monkeypatch):
    monkeypatch.setattr(images, "MOST_PIXELS", HEIGHT * WIDTH)
    assert decode_image(png(photograph)).shape == (HEIGHT, WIDTH)
    monkeypatch.setattr(images, "MOST_PIXELS", HEIGHT * WIDTH - 1)
    assert refusal(png(photograph)).startswith("44×30 pixels")


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


@pytest.mark.parametrize("size", [(7, 9), (30, 11), (150, 170), (300, 20), (20, 299), (320, 400)])
def test_grey_levels_are_resized_as_images_are(large, size):
    grey = cv2.GaussianBlur(large[..., 1], (0, 0), 3)
    resized = resize_levels(Image.fromarray(grey), *size)
    assert resized.shape == size and resized.dtype == np.uint8
    assert distance(resized, resize_image(grey, *size)) < 2


@pytest.mark.parametrize("size", [(4, 5), (8, 10), (40, 40)])
def test_a_box_of_grey_levels_is_resized_as_if_it_were_cut_out_first(photograph, size):
    grey = np.ascontiguousarray(photograph[..., 1])
    left, top, right, bottom = 3, 6, 23, 22
    inside = Image.fromarray(np.ascontiguousarray(grey[top:bottom, left:right]))
    resized = resize_levels(Image.fromarray(grey), *size, box=(left, top, right, bottom))
    assert np.array_equal(resized, resize_levels(inside, *size))


@pytest.mark.long
@pytest.mark.parametrize("size", [(16, 16), (33, 33), (64, 64)])
@pytest.mark.parametrize("shape", [(450, 600), (333, 500)])
def test_at_any_scale_a_new_mask_pixel_errs_only_where_about_half_of_it_was_lesion(shape, size):
    for seed in range(6):
        _, mask = lesion_image(seed, *shape)
        share = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        wrong = resize_mask(mask, *size) != (share >= 0.5)
        assert np.abs(share[wrong] - 0.5).max(initial=0) < 0.125
