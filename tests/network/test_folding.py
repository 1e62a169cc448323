import copy

import pytest
import torch
from torch import Tensor, nn

from lesion.network.folding import RectifiedConv2d, fix_statistics, folded, rectify


def network() -> nn.Sequential:
    """Normalisations after a convolution without and with a bias, and one after none."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Conv2d(6, 6, 3, stride=2, groups=6), nn.BatchNorm2d(6, eps=0.1)),
        nn.Hardswish(),
        nn.BatchNorm2d(6),
    )
    for layer in layers.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.uniform_(layer.bias, -1, 1)
    return layers.double()


def fixed() -> nn.Sequential:
    changed = network()
    fix_statistics(changed)
    return changed


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 20, 20, dtype=torch.double)


def test_in_training_it_gives_what_normalisations_by_their_own_statistics_do(images):
    expected, found = network()[:5].eval(), fixed()[:5].train()
    torch.testing.assert_close(found(images), expected(images))


def test_weights_scales_and_shifts_learn_as_if_the_normalisations_were_apart(images):
    expected, found = network()[:5].eval(), fixed()[:5].train()
    for layers in (expected, found):
        layers(images).square().sum().backward()
    for (name, one), other in zip(expected.named_parameters(), found.parameters(), strict=True):
        assert one.grad.any() and other.grad is not None, name
        torch.testing.assert_close(other.grad, one.grad)


def test_statistics_stay_but_for_those_of_a_normalisation_after_no_convolution(images):
    changed, before = fixed().train(), network().state_dict()
    changed(images)
    after = changed.state_dict()
    assert [name for name in after if not torch.equal(after[name], before[name])] == [
        "5.running_mean",
        "5.running_var",
        "5.num_batches_tracked",
    ]


def test_weights_keep_their_names_and_order():
    assert list(fixed().state_dict()) == list(network().state_dict())
    assert list(dict(fixed().named_modules())) == list(dict(network().named_modules()))


def test_a_copy_has_normalisations_of_its_own(images):
    original = fixed()
    before = original(images)
    with torch.no_grad():
        copied = copy.deepcopy(original)
        copied[1].weight.zero_()
        assert not torch.equal(copied(images), before)
    assert torch.equal(original(images), before)


@torch.no_grad()
@pytest.mark.parametrize("make", [network, fixed])
def test_a_folded_copy_predicts_the_same_and_leaves_the_network_as_it_was(make, images):
    original = make()[:5].eval()
    names = list(original.state_dict())
    faster = folded(original)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in faster.modules())
    assert {type(layer) for layer in faster.modules() if isinstance(layer, nn.Conv2d)} == {
        nn.Conv2d
    }
    torch.testing.assert_close(faster(images), original(images))
    assert list(original.state_dict()) == names


def rectifying(kind: torch.dtype = torch.float32) -> nn.Sequential:
    """Convolutions of several kinds with a ReLU after them, and two layers that are not to be."""
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Identity(), nn.ReLU6())
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 5, padding=2, stride=2, bias=False),
        nn.ReLU(inplace=True),
        block,
        nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8, stride=2), nn.ReLU6()),
        nn.Conv2d(8, 4, 1),
        nn.Hardswish(),
        nn.ReLU(),
    )
    return layers.to(kind, memory_format=torch.channels_last).eval().requires_grad_(False)


def number_rectified(network: nn.Module) -> int:
    return sum(isinstance(layer, RectifiedConv2d) for layer in network.modules())


KINDS = [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_relu_within_the_convolution_gives_the_same_to_the_bit(kind):
    if kind is torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bfloat16")
    plain, changed = rectifying(kind), rectifying(kind)
    rectify(changed)
    assert number_rectified(changed) == 3
    images = (20 * torch.randn(8, 3, 33, 40)).to(kind, memory_format=torch.channels_last)
    found, expected = changed(images), plain(images)
    assert found.dtype == kind and torch.equal(found, expected)
    assert (plain[:3](images) == 6).any() and (plain[:3](images) == 0).any()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_where_onednn_does_not_compute_nothing_is_changed(kind, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    changed = rectifying(kind)
    rectify(changed)
    assert number_rectified(changed) == 0


@pytest.mark.parametrize(
    "change", [lambda network: network.double(), lambda network: network.requires_grad_(True)]
)
def test_what_is_in_float64_or_learns_stays_as_it_is(change):
    changed = change(rectifying())
    rectify(changed)
    assert number_rectified(changed) == 0


def test_a_relu_that_has_several_places_stays():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 3, 1), nn.ReLU()

        def forward(self, images: Tensor) -> Tensor:
            return self.relu(self.relu(self.conv(images)) - images)

    block = Block().requires_grad_(False)
    rectify(block)
    assert number_rectified(block) == 0
