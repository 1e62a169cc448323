import numpy as np
import pytest
from PIL import Image

from lesion.photos.images import decode_image, photograph_shape
from lesion.photos.placement import place
from lesion.photos.square import to_square
from lesion.pipeline.errors import ImageError
from lesion.synthetic import lesion_image
from picture_files import ORIENTATIONS, encoded, exif, jpeg, stored

KINDS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP")


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return lesion_image(0, 48, 80)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_shape_is_known_by_the_header(kind, photograph):
    content = encoded(Image.fromarray(photograph), kind)
    assert photograph_shape(content) == decode_image(content).shape == (48, 80)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_shape_is_that_of_the_upright_photograph(kind, orientation, photograph):
    picture = Image.fromarray(stored(photograph, orientation))
    content = encoded(picture, kind, exif=exif(orientation))
    assert photograph_shape(content) == decode_image(content).shape == (48, 80)


@pytest.mark.parametrize("policy", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("height, width", [(768, 1022), (512, 512), (40, 61)])
def test_the_square_is_of_a_photograph_that_was_decoded_no_larger_than_needed(
    policy, height, width
):
    content = jpeg(lesion_image(1, height, width)[0], quality=95)
    square = to_square(content, policy, 32)
    assert square.pixels.shape == (32, 32, 3) and square.pixels.dtype == np.uint8
    assert square.placement == place(policy, height, width, 32)
    assert square.photograph.shape == (height, width)
    assert (square.photograph.pixels.shape[0] < height) == (height > 500)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff\xd8\xff"])
def test_what_is_no_image_is_refused(content):
    with pytest.raises(ImageError):
        to_square(content, "stretch", 16)
