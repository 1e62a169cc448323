import copy

import pytest
import torch
from torch import nn

from lesion.network import device
from lesion.network.mixed import Float32Conv2d, keep_in_float32
from lesion.network.predict import Predictor

CPU = torch.device("cpu")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 4, 3, stride=2, groups=4),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 4, 3, stride=2),
        nn.Conv2d(4, 4, 3, stride=2, groups=2),
        nn.Sequential(nn.Conv2d(4, 8, 3, stride=(1, 2), groups=4)),
    )


@pytest.fixture
def kept(monkeypatch):
    def kept(unit: str, precision: str, on: torch.device = CPU) -> nn.Sequential:
        monkeypatch.setattr(device, "bfloat16_unit", lambda device: unit)
        changed = network()
        keep_in_float32(changed, on, precision)
        return changed

    return kept


def number_kept(network: nn.Module) -> int:
    return sum(isinstance(module, Float32Conv2d) for module in network.modules())


@pytest.mark.parametrize(
    ("unit", "precision"), [("amx", "auto"), ("avx512", "auto"), ("none", "bfloat16")]
)
def test_depthwise_convolutions_with_a_stride_stay_in_float32(kept, unit, precision):
    changed = kept(unit, precision)
    assert number_kept(changed) == 2
    images = torch.randn(1, 4, 40, 40)
    with torch.autocast("cpu", torch.bfloat16):
        assert changed[0](images).dtype == changed[4](images).dtype == torch.float32
        assert {changed[number](images).dtype for number in (1, 2, 3)} == {torch.bfloat16}
    assert torch.equal(changed[0](images), network()[0](images))


@pytest.mark.parametrize(
    ("unit", "precision"),
    [
        ("amx", "float32"),
        ("amx", "portable"),
        ("none", "auto"),
    ],
)
def test_where_all_is_float32_nothing_has_to_be_kept(kept, unit, precision):
    assert number_kept(kept(unit, precision)) == 0


def test_on_a_gpu_all_is_computed_in_bfloat16(kept):
    assert number_kept(kept("gpu", "auto", torch.device("cuda", 0))) == 0


def test_weights_keep_their_names_and_values_and_copies_their_kind(kept):
    changed = kept("amx", "auto")
    before, after = network().state_dict(), changed.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert number_kept(copy.deepcopy(changed)) == 2


def test_in_float32_it_learns_from_bfloat16(kept):
    changed = kept("amx", "auto")
    with torch.autocast("cpu", torch.bfloat16):
        changed(torch.randn(1, 4, 60, 60)).float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in changed.parameters())


def test_a_network_that_was_trained_with_some_in_float32_predicts(kept):
    trained = nn.Sequential(nn.Conv2d(3, 4, 1), kept("amx", "auto")[0])
    trained.append(nn.ConvTranspose2d(4, 1, kernel_size=2, stride=2))
    images = torch.randint(0, 256, (2, 9, 9, 3), dtype=torch.uint8)
    exact, rough = (Predictor(trained, kind)(images) for kind in ("float32", "bfloat16"))
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.05)
