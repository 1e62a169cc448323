import copy

import numpy as np
import pytest
import torch
from torch import nn

from lesion.formats.imagenet import DEVIATION, MEAN
from lesion.network.predict import Predictor, probability_maps
from lesion.network.unet import UNet
from lesion.synthetic import lesion_image

CPU = torch.device("cpu")
MIRRORS = [(1,), (2,), (1, 2)]  # axes of B×H×W and B×H×W×C


@pytest.fixture(scope="module")
def network() -> UNet:
    torch.manual_seed(0)
    network = UNet(width=4, depth=2)
    network(torch.randn(2, 3, 16, 16))  # moves the running statistics off their start
    return network.requires_grad_(False)


def photographs(count: int, height: int = 17, width: int = 33) -> torch.Tensor:
    images = [
        lesion_image(seed, max(height, width), max(height, width))[0] for seed in range(count)
    ]
    return torch.from_numpy(np.stack(images))[:, :height, :width]


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, rtol=0, atol=1e-5)


def test_each_forward_pass_is_on_one_thread():
    seen, predictor = [], Predictor(nn.Conv2d(3, 1, kernel_size=1))
    predictor.network.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        maps = list(probability_maps(predictor, photographs(17).numpy(), CPU, workers=2))
    finally:
        torch.set_num_threads(before)
    assert len(maps) == 17 and seen == [1, 1, 1]


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_uint8_images_become_float32_probabilities(network, count, tta):
    images = photographs(count)
    before = images.clone()
    probabilities = Predictor(network)(images, tta)
    assert probabilities.shape == (count, 17, 33) and probabilities.dtype == torch.float32
    assert probabilities.min() >= 0 and probabilities.max() <= 1
    assert torch.equal(images, before)


def test_probabilities_are_those_of_the_logits_of_normalised_images(network):
    images = photographs(3)
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, DEVIATION))
    inputs = (images.permute(0, 3, 1, 2) / 255 - mean) / deviation
    probabilities = Predictor(network)(images)
    assert close(probabilities, network.eval()(inputs)[:, 0].sigmoid())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_given_network_stays_as_it_is_and_predicts_as_it_was_then(network, precision):
    given = copy.deepcopy(network).train()
    before = copy.deepcopy(given.state_dict())
    predictor, images = Predictor(given, precision), photographs(2)
    probabilities = predictor(images)
    assert all(module.training for module in given.modules())
    assert before.keys() == given.state_dict().keys()
    for name, tensor in given.state_dict().items():
        assert tensor.dtype == before[name].dtype and torch.equal(tensor, before[name])
        tensor.zero_()
    assert torch.equal(predictor(images), probabilities)


def test_no_batch_normalisation_is_left_in_the_networks_of_ours(network):
    assert not any(isinstance(part, nn.BatchNorm2d) for part in Predictor(network).modules())


@pytest.mark.parametrize("tta", [False, True])
def test_bfloat16_gives_float32_near_that_of_float32(network, tta):
    images = photographs(2)
    exact, rough = (Predictor(network, kind)(images, tta) for kind in ("float32", "bfloat16"))
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.05)


def test_probabilities_of_bfloat16_logits_are_finer_than_bfloat16(network):
    probabilities = Predictor(network, "bfloat16")(photographs(2))
    assert not torch.equal(probabilities, probabilities.bfloat16().float())


def test_with_tta_the_probability_is_the_mean_over_the_mirror_images(network):
    images, plain = photographs(3), Predictor(network)
    views = [plain(images), *(plain(images.flip(axes)).flip(axes) for axes in MIRRORS)]
    assert not any(close(views[0], view) for view in views[1:])
    assert close(plain(images, tta=True), torch.stack(views).mean(0))


@pytest.mark.parametrize("axes", MIRRORS, ids=str)
def test_with_tta_a_mirror_image_gets_the_mirrored_probabilities(network, axes):
    images, predictor = photographs(2), Predictor(network)
    assert close(predictor(images.flip(axes), tta=True), predictor(images, tta=True).flip(axes))


def test_tta_changes_nothing_for_a_network_that_no_mirror_changes():
    torch.manual_seed(0)
    network = nn.Conv2d(3, 1, kernel_size=1).requires_grad_(False)
    images, predictor = photographs(2), Predictor(network)
    assert close(predictor(images, tta=True), predictor(images))


@pytest.mark.parametrize(
    ("tta", "passes"), [([False], 2), ([True], 5), ([False, True], 5), ([True, False], 5)]
)
def test_each_pass_is_of_eight_views_and_none_is_predicted_twice(network, tta, passes):
    seen, predictor = [], Predictor(network)
    predictor.network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    found = list(probability_maps(predictor, arrays(9), CPU, tta, workers=1))
    assert {each.shape for each in found} == {(len(tta), 17, 33)}
    assert seen == [8] * passes


def arrays(count: int) -> np.ndarray:
    return photographs(count).numpy()


def maps(network: UNet, images: np.ndarray, workers: int = 1, tta: bool = False) -> np.ndarray:
    found = probability_maps(Predictor(network), images, CPU, [tta], workers)
    return np.concatenate(list(found))


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 20])
def test_maps_are_the_predictors_in_the_order_of_the_images(network, count, tta):
    images = arrays(count)
    found = maps(network, images, tta=tta)
    assert found.shape == (count, 17, 33) and found.dtype == np.float32
    expected = Predictor(network)(torch.from_numpy(images), tta)
    assert close(torch.from_numpy(found), expected)


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_an_image_has_the_same_map_to_the_bit_whatever_is_beside_it(network, workers, tta):
    images = arrays(21)
    whole = maps(network, images, tta=tta)
    order = np.random.default_rng(workers).permutation(21)
    assert np.array_equal(maps(network, images[order], workers, tta), whole[order])
    for size in (1, 2, 5):
        parts = [maps(network, part, workers, tta) for part in np.array_split(images, 21 // size)]
        assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_each_kind_of_map_has_the_same_bits_whether_the_other_is_asked_for_or_not(
    network, precision
):
    images, predictor = arrays(9), Predictor(network, precision)

    def found(*tta: bool) -> np.ndarray:
        return np.stack(list(probability_maps(predictor, images, CPU, tta)))

    both = found(False, True)
    assert np.array_equal(both[:, :1], found(False))
    assert np.array_equal(both[:, 1:], found(True))
    assert not np.array_equal(both[:, 0], both[:, 1])
    assert np.array_equal(both[:, ::-1], found(True, False))


def test_the_last_pixels_of_a_batch_are_rounded_as_all_others_are():
    torch.manual_seed(0)
    network = nn.Conv2d(3, 1, kernel_size=1).requires_grad_(False)
    images = np.random.default_rng(0).integers(0, 256, (400, 3, 3, 3), np.uint8)
    whole = maps(network, images)
    for shift in range(1, 8):
        assert np.array_equal(maps(network, np.roll(images, shift, 0)), np.roll(whole, shift, 0))


def test_workers_leave_the_threads_of_the_caller_alone(network):
    before = torch.get_num_threads()
    maps(network, arrays(9), workers=2)
    assert torch.get_num_threads() == before


def test_mapped_arrays_give_what_arrays_in_memory_give(network, tmp_path):
    np.save(tmp_path / "images.npy", arrays(9))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert np.array_equal(maps(network, mapped), maps(network, arrays(9)))
