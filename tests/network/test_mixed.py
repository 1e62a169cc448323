import copy

import pytest
import torch
from torch import Tensor, nn

from lesion.network import device
from lesion.network.folding import fix_statistics, folded
from lesion.network.mixed import StridedConv2d, TiledConvTranspose2d, suit_bfloat16
from lesion.network.predict import Predictor

CPU = torch.device("cpu")


def network() -> nn.Sequential:
    """Of eight convolutions three are depthwise with a stride, and one enlarges by tiles."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 4, 3, stride=2, groups=4),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 4, 3, stride=2),
        nn.Conv2d(4, 4, 3, stride=2, groups=2),
        nn.ConvTranspose2d(4, 6, kernel_size=(3, 2), stride=(3, 2)),
        nn.ConvTranspose2d(6, 4, kernel_size=3, stride=2, padding=1),
        nn.Sequential(nn.Conv2d(4, 4, 3, (1, 2), padding=1, groups=4), nn.BatchNorm2d(4)),
        nn.Conv2d(4, 4, 5, stride=3, padding=2, groups=4, bias=False),
    )


@pytest.fixture
def suited(monkeypatch):
    def suited(
        unit: str = "amx", precision: str = "auto", on: torch.device = CPU, fixed: bool = False
    ) -> nn.Sequential:
        monkeypatch.setattr(device, "bfloat16_unit", lambda device: unit)
        changed = network()
        if fixed:
            fix_statistics(changed)
        suit_bfloat16(changed, on, precision)
        return changed

    return suited


def numbers(network: nn.Module) -> tuple[int, int]:
    """How many layers have another way: those with a stride, those that tile."""
    kinds = (StridedConv2d, TiledConvTranspose2d)
    first, second = (
        sum(isinstance(module, kind) for module in network.modules()) for kind in kinds
    )
    return first, second


def images(height: int = 62, width: int = 61) -> Tensor:
    values = torch.randn(2, 4, height, width, generator=torch.Generator().manual_seed(0))
    return values.to(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("unit", "precision"), [("amx", "auto"), ("avx512", "auto"), ("none", "bfloat16")]
)
def test_in_bfloat16_depthwise_convolutions_with_a_stride_and_tiles_have_another_way(
    suited, unit, precision
):
    changed = suited(unit, precision)
    assert numbers(changed) == (3, 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert {layer(images()[:, :4]).dtype for layer in changed[:4]} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("unit", "precision"), [("amx", "float32"), ("amx", "portable"), ("none", "auto")]
)
def test_where_all_is_float32_nothing_is_changed(suited, unit, precision):
    assert numbers(suited(unit, precision)) == (0, 0)


def test_on_a_gpu_nothing_is_changed(suited):
    assert numbers(suited("gpu", on=torch.device("cuda", 0))) == (0, 0)


def test_weights_keep_their_names_and_values_and_copies_their_ways(suited):
    changed = suited(fixed=True)
    before, after = network().state_dict(), changed.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert numbers(copy.deepcopy(changed)) == (3, 1)


@pytest.mark.parametrize("fixed", [False, True], ids=["", "fixed"])
@pytest.mark.parametrize("size", [(62, 61), (49, 40)], ids=str)
def test_what_comes_out_and_all_gradients_are_those_of_the_usual_way(suited, fixed, size):
    found, expected = suited(fixed=fixed).double().eval(), network().double().eval()
    ends = []
    for layers in (found, expected):
        inputs = images(*size).double().requires_grad_()
        outputs = layers(inputs)
        (outputs * torch.arange(outputs.shape[-1])).sum().backward()
        gradients = [parameter.grad for parameter in layers.parameters()]
        ends.append([outputs.detach(), inputs.grad, *gradients])
    for one, other in zip(*ends, strict=True):
        assert other.any()
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("fixed", [False, True], ids=["", "fixed"])
def test_in_bfloat16_gradients_are_near_those_of_float32_and_in_float32(suited, fixed):
    changed, exact = suited(fixed=fixed).eval(), network().eval()
    exact(images()).square().sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = changed(images())
    outputs.float().square().sum().backward()
    for (name, one), other in zip(changed.named_parameters(), exact.parameters(), strict=True):
        assert one.grad.dtype == torch.float32, name
        assert (one.grad - other.grad).norm() < 0.05 * other.grad.norm(), name


def test_outputs_lie_channels_last_as_inputs_do(suited):
    changed = suited()
    features = images()
    for layer in (changed[0], changed[4]):
        assert layer(features).is_contiguous(memory_format=torch.channels_last)


def test_a_network_that_was_trained_in_bfloat16_predicts(suited):
    layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4))
    trained = nn.Sequential(*layers, nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 1, 2, stride=2))
    expected = Predictor(trained)(photographs())
    fix_statistics(trained)
    suit_bfloat16(trained, CPU, "bfloat16")
    assert numbers(trained) == (1, 1)
    assert numbers(folded(trained)) == (0, 1)
    exact, rough = (Predictor(trained, kind)(photographs()) for kind in ("float32", "bfloat16"))
    torch.testing.assert_close(exact, expected)
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.05)


def photographs() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 10, 10, 3), dtype=torch.uint8, generator=generator)
