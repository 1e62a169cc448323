from pathlib import Path

import numpy as np
import pytest

from lesion.formats.header import WEIGHTS_FILE
from lesion.network.predict import Predictor, probability_maps
from lesion.network.weights import load_model
from lesion.photos.square import to_square
from lesion.pipeline.errors import ImageError, InputError
from lesion.prediction.segmenter import Segmenter
from lesion.synthetic import lesion_image
from picture_files import jpeg
from small_model import write_model

SIZES = [(40, 60), (61, 45), (33, 97), (128, 128), (29, 31), (300, 200), (16, 16)]


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    return [jpeg(lesion_image(number, *size)[0]) for number, size in enumerate(SIZES)]


@pytest.fixture(params=[False, True], ids=["plain", "tta"])
def folder(request, tmp_path) -> Path:
    return write_model(tmp_path, tta=request.param, threshold=0.45)


@pytest.fixture
def segmenter(folder) -> Segmenter:
    return Segmenter.of_folder(folder)


def test_it_decides_as_evaluation_does_of_squares_that_preprocessing_made(folder, segmenter, files):
    network, header = load_model(folder / WEIGHTS_FILE, "cpu")
    squares = [to_square(content, header.resize, header.image_size) for content in files]
    maps = probability_maps(
        Predictor(network),
        np.stack([square.pixels for square in squares]),
        segmenter.device,
        [segmenter.settings.tta],
        workers=1,
    )
    for content, square, (expected,) in zip(files, squares, maps, strict=True):
        decided = segmenter.decision.of(expected, square.placement, square.photograph.shape)
        found = segmenter(content)
        assert np.array_equal(found.decided.mask, decided.mask)
        assert found.decided.expected_dice == decided.expected_dice
        assert found.decided.mask.shape == square.photograph.shape
        assert found.review == (decided.expected_dice <= segmenter.settings.review_limit)
    assert any(0 < segmenter(content).decided.mask.mean() < 1 for content in files)


def test_several_are_as_each_alone_and_bad_ones_leave_the_others_alone(segmenter, files):
    given = [files[0], b"no image", *files[1:], b""]
    found = list(segmenter.several(given))
    assert [isinstance(one, ImageError) for one in found] == [
        content not in files for content in given
    ]
    for content, one in zip(given, found, strict=True):
        if content in files:
            assert np.array_equal(one.decided.mask, segmenter(content).decided.mask)


def test_a_threshold_of_ones_own_takes_the_place_of_the_chosen_one_in_that_photograph(
    tmp_path, segmenter, files
):
    other = Segmenter.of_folder(
        write_model(tmp_path / "other", tta=segmenter.settings.tta, threshold=0.6)
    )
    found = segmenter.several(files[:3], [None, 0.6, 0.45])
    for content, one, model in zip(files, found, [segmenter, other, segmenter], strict=False):
        assert np.array_equal(one.decided.mask, model(content).decided.mask)
        assert one.decided.expected_dice == model(content).decided.expected_dice


def test_one_that_is_no_image_is_refused(segmenter):
    with pytest.raises(ImageError, match="not an image"):
        segmenter(b"<html>")
    assert list(segmenter.several([])) == []


def test_weights_of_another_training_are_refused(tmp_path):
    folder, other = write_model(tmp_path / "one"), write_model(tmp_path / "two", seed=1)
    (other / WEIGHTS_FILE).replace(folder / WEIGHTS_FILE)
    with pytest.raises(InputError, match="belongs to weights"):
        Segmenter.of_folder(folder)
