from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from test_traits import picture, with_corners

from lesion.scoring.baselines import BASELINES
from lesion.scoring.scores import Confusion
from lesion.synthetic import lesion_image

PHOTOGRAPHS = [lesion_image(seed, 90, 120)[0] for seed in range(8)]


def test_centre_covers_a_fifth_of_any_picture_around_its_middle():
    for shape in ((300, 400), (200, 200), (101, 57)):
        mask = BASELINES["centre"](np.zeros((*shape, 3), np.uint8))
        assert mask.mean() == pytest.approx(np.pi / 16, abs=0.01)
        np.testing.assert_array_equal(mask, mask[::-1, ::-1])
        assert mask[shape[0] // 2, shape[1] // 2]


@pytest.mark.parametrize("name", ["otsu", "grabcut"])
@pytest.mark.parametrize("corners", [False, True])
def test_a_dark_disc_on_even_skin_is_found(name, corners):
    image, truth = picture()
    mask = BASELINES[name](with_corners(image) if corners else image)
    assert Confusion.between(mask, truth).dice > 0.93


def test_black_margins_are_no_lesion_and_do_not_move_otsus_threshold():
    image, truth = picture()
    image[truth] = (180, 140, 120)
    image[:, :100] = 0
    for name in ("otsu", "grabcut"):
        assert Confusion.between(BASELINES[name](image), truth).dice > 0.9, name


def test_where_grabcut_finds_nothing_its_start_is_the_mask():
    even = np.full((90, 120, 3), 200, np.uint8)
    found, start = (BASELINES[name](even) for name in ("grabcut", "centre"))
    assert Confusion.between(found, start).iou > 0.95


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 2), (4, 7), (20, 300), (90, 120)])
def test_any_picture_gives_a_mask_of_its_size(name, shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for image in (noise, np.zeros_like(noise), np.full_like(noise, 200)):
        before = image.copy()
        mask = BASELINES[name](image)
        assert mask.shape == shape and mask.dtype == bool
        np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", BASELINES)
def test_masks_are_the_same_in_any_order_and_from_any_thread(name):
    segment = BASELINES[name]
    expected = [segment(image).tobytes() for image in PHOTOGRAPHS]
    cv2.setRNGSeed(99)
    assert [segment(image).tobytes() for image in PHOTOGRAPHS[::-1]] == expected[::-1]
    with ThreadPoolExecutor(4) as pool:
        masks = list(pool.map(segment, PHOTOGRAPHS * 3))
    assert [mask.tobytes() for mask in masks] == expected * 3
