import numpy as np
import pytest
import torch
from torch import nn

from lesion.imagenet import DEVIATION, MEAN
from lesion.predict import Predictor
from lesion.synthetic import lesion_image
from lesion.unet import UNet

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


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_uint8_images_become_float32_probabilities(network, count, tta):
    images = photographs(count)
    before = images.clone()
    probabilities = Predictor(network, tta=tta)(images)
    assert probabilities.shape == (count, 17, 33) and probabilities.dtype == torch.float32
    assert probabilities.min() >= 0 and probabilities.max() <= 1
    assert torch.equal(images, before)


def test_probabilities_are_those_of_the_logits_of_normalised_images(network):
    images = photographs(3)
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, DEVIATION))
    inputs = (images.permute(0, 3, 1, 2) / 255 - mean) / deviation
    probabilities = Predictor(network)(images)
    assert close(probabilities, network.eval()(inputs)[:, 0].sigmoid())


def test_prediction_is_not_training(network):
    network.train()
    before = [tensor.clone() for tensor in network.state_dict().values()]
    Predictor(network)(photographs(2))
    assert not any(module.training for module in network.modules())
    assert all(map(torch.equal, before, network.state_dict().values()))


@pytest.mark.parametrize("tta", [False, True])
def test_bfloat16_gives_float32_near_that_of_float32(network, tta):
    images = photographs(2)
    exact, rough = (Predictor(network, kind, tta)(images) for kind in ("float32", "bfloat16"))
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.05)


def test_with_tta_the_probability_is_the_mean_over_the_mirror_images(network):
    images, plain = photographs(3), Predictor(network)
    views = [plain(images), *(plain(images.flip(axes)).flip(axes) for axes in MIRRORS)]
    assert not any(close(views[0], view) for view in views[1:])
    assert close(Predictor(network, tta=True)(images), torch.stack(views).mean(0))


@pytest.mark.parametrize("axes", MIRRORS, ids=str)
def test_with_tta_a_mirror_image_gets_the_mirrored_probabilities(network, axes):
    images, predictor = photographs(2), Predictor(network, tta=True)
    assert close(predictor(images.flip(axes)), predictor(images).flip(axes))


def test_tta_changes_nothing_for_a_network_that_no_mirror_changes():
    torch.manual_seed(0)
    network = nn.Conv2d(3, 1, kernel_size=1).requires_grad_(False)
    images = photographs(2)
    assert close(Predictor(network, tta=True)(images), Predictor(network)(images))


@pytest.mark.parametrize(("tta", "calls"), [(False, 1), (True, 4)])
def test_tta_costs_four_passes_instead_of_one(network, tta, calls):
    seen = []
    hook = network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    Predictor(network, tta=tta)(photographs(1))
    hook.remove()
    assert len(seen) == calls
