import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from lesion.formats.architecture import ENCODERS
from lesion.network.encoders import TorchvisionEncoder
from lesion.network.folding import RectifiedConv2d, fix_statistics
from lesion.network.predict import Predictor
from lesion.network.unet import UNet
from lesion.pipeline.errors import InputError

pytestmark = pytest.mark.long

NAMES = ENCODERS[1:]
CHANNELS = {
    "mobilenet_v2": {1: 16, 2: 24, 3: 32, 4: 96, 5: 320},
    "mobilenet_v3_small": {1: 16, 2: 16, 3: 24, 4: 48, 5: 96},
    "mobilenet_v3_large": {1: 16, 2: 24, 3: 40, 4: 112, 5: 160},
    "resnet18": {1: 64, 2: 64, 3: 128, 4: 256, 5: 512},
    "efficientnet_b0": {1: 16, 2: 24, 3: 40, 4: 112, 5: 320},
    "convnext_tiny": {2: 96, 3: 192, 4: 384, 5: 768},
}
BLOCKS = [*CHANNELS, "resnet50", "efficientnet_v2_s"]  # one encoder for each kind of block
LARGEST = ["resnet152", "efficientnet_b7", "efficientnet_v2_l", "convnext_large"]


@pytest.fixture(scope="module", params=CHANNELS)
def built(request) -> tuple[str, TorchvisionEncoder]:
    torch.manual_seed(0)
    return request.param, TorchvisionEncoder(request.param, 5)


@pytest.fixture
def encoder(built) -> TorchvisionEncoder:
    """As it was built, whatever other tests did with theirs."""
    return copy.deepcopy(built[1])


def images(count: int, height: int, width: int) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def normalisations(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


def trained(network: nn.Module) -> nn.Module:
    """The network as if it had been trained: all that BatchNorm has is off its start."""
    torch.manual_seed(1)
    for part in normalisations(network):
        nn.init.uniform_(part.running_mean, -0.1, 0.1)
        nn.init.uniform_(part.running_var, 0.5, 1.5)
        nn.init.uniform_(part.weight, 0.5, 1.5)
        nn.init.uniform_(part.bias, -0.1, 0.1)
    return network.eval().requires_grad_(False)


def test_levels_follow_each_other_to_the_fifth_with_the_channels_of_the_paper(built):
    name, encoder = built
    assert encoder.channels == CHANNELS[name]
    assert list(encoder.channels) == list(range(min(encoder.channels), 6))


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGEST)
def test_levels_of_the_largest_of_a_family_are_those_of_its_smallest(name):
    with torch.device("meta"):  # shapes alone: a second instead of a minute
        levels = TorchvisionEncoder(name, 5).channels
    assert list(levels) == list(range(2 if name.startswith("convnext") else 1, 6))


@torch.no_grad()
def test_features_of_level_l_are_the_image_halved_l_times(encoder):
    features = encoder.eval()(images(2, 64, 96))
    assert [feature.shape for feature in features] == [
        (2, channels, 64 // 2**level, 96 // 2**level)
        for level, channels in encoder.channels.items()
    ]


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (33, 64), (31, 47), (64, 32)])
def test_logits_have_the_size_of_the_image(encoder, size):
    logits = UNet(width=2, encoder=encoder).eval()(images(1, *size))
    assert logits.shape == (1, 1, *size) and logits.isfinite().all()


def test_only_relu_works_in_place_as_torch_copies_the_input_of_others_to_learn(encoder):
    in_place = {type(part) for part in encoder.modules() if getattr(part, "inplace", False)}
    assert in_place <= {nn.ReLU}


def test_gradients_reach_every_parameter(encoder):
    torch.manual_seed(0)
    # Not in training, when whole blocks are left out at random.
    network = UNet(width=2, encoder=encoder).eval()
    network(images(2, 64, 64)).square().mean().backward()
    assert [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ] == []


@torch.no_grad()
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in BLOCKS else pytest.mark.slow) for name in NAMES],
)
def test_a_predictor_has_no_batch_normalisation_left_and_gives_the_same_logits(name):
    torch.manual_seed(0)
    # In float64, in which it is not rounding that lies between them.
    network = trained(UNet(width=2, encoder=TorchvisionEncoder(name, 5))).double()
    faster, batch = Predictor(network).network, images(2, 32, 64).double()
    assert not normalisations(faster)
    expected = network(batch)
    assert expected.std() > 1e-3
    torch.testing.assert_close(faster(batch), expected, rtol=1e-9, atol=1e-9 * expected.std())


@torch.no_grad()
@pytest.mark.parametrize("name", BLOCKS)
def test_no_normalisation_of_an_encoder_with_fixed_statistics_is_by_the_batch(name):
    torch.manual_seed(0)
    network = trained(TorchvisionEncoder(name, 5)).double()
    before = copy.deepcopy(network.state_dict())
    batch = images(2, 64, 64).double()
    expected = network(batch)
    fix_statistics(network)
    for found, feature in zip(network(batch), expected, strict=True):
        torch.testing.assert_close(found, feature, rtol=1e-9, atol=1e-9 * feature.std())
    network.train()(batch)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize("name", BLOCKS)
def test_a_predictor_gives_the_same_to_the_bit_with_relus_within_convolutions(name, monkeypatch):
    torch.manual_seed(0)
    network = trained(UNet(width=2, encoder=TorchvisionEncoder(name, 5)))
    photographs = torch.randint(0, 256, (8, 64, 64, 3), dtype=torch.uint8)
    faster = Predictor(network)
    assert any(isinstance(layer, RectifiedConv2d) for layer in faster.modules())
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = Predictor(network)
    assert not any(isinstance(layer, RectifiedConv2d) for layer in plain.modules())
    assert torch.equal(faster(photographs, tta=True), plain(photographs, tta=True))


def test_a_new_encoder_is_in_training_and_has_seen_no_image(built):
    assert all(module.training for module in built[1].modules())
    for part in normalisations(built[1]):
        assert not part.running_mean.any() and (part.running_var == 1).all()
        assert part.num_batches_tracked == 0


@pytest.mark.parametrize(("name", "depth"), [("mobilenet_v2", 3), ("resnet18", 2)])
def test_depth_leaves_out_the_levels_below_it(name, depth):
    torch.manual_seed(0)
    shallow = TorchvisionEncoder(name, depth)
    torch.manual_seed(0)
    deep = TorchvisionEncoder(name, 5)
    assert shallow.channels == {
        level: count for level, count in deep.channels.items() if level <= depth
    }
    parts = shallow.state_dict()
    assert len(parts) < len(deep.state_dict())
    assert all(torch.equal(parts[key], deep.state_dict()[key]) for key in parts)
    assert len(shallow(images(1, 64, 64))) == depth


@pytest.mark.parametrize(
    ("name", "depth", "expected"),
    [
        ("mobilenet_v2", 1, "2 to 5"),
        ("resnet18", 0, "2 to 5"),
        ("convnext_tiny", 2, "3 to 5"),
        ("resnet18", 6, "2 to 5"),
    ],
)
def test_a_depth_that_the_encoder_does_not_have_is_refused(name, depth, expected):
    with pytest.raises(InputError, match=f"depth {depth}: expected {expected} for encoder {name}"):
        TorchvisionEncoder(name, depth)


def of_resnet(classifier: nn.Module, x: Tensor) -> list[Tensor]:
    first = classifier.relu(classifier.bn1(classifier.conv1(x)))
    features, x = [first], classifier.maxpool(first)
    for stage in (classifier.layer1, classifier.layer2, classifier.layer3, classifier.layer4):
        x = stage(x)
        features.append(x)
    return features


def of_mobilenet_v2(classifier: nn.Module, x: Tensor) -> list[Tensor]:
    # The last block before each halving, as in the paper's table 2; its 1280 channels are left out.
    return [classifier.features[: last + 1](x) for last in (1, 3, 6, 13, 17)]


def of_mobilenet_v3_small(classifier: nn.Module, x: Tensor) -> list[Tensor]:
    return [classifier.features[: last + 1](x) for last in (0, 1, 3, 8, 11)]


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "features_of"),
    [
        ("resnet18", of_resnet),
        ("mobilenet_v2", of_mobilenet_v2),
        ("mobilenet_v3_small", of_mobilenet_v3_small),
    ],
)
def test_with_a_classifiers_weights_the_features_are_the_classifiers(
    name: str, features_of: Callable[[nn.Module, Tensor], list[Tensor]]
):
    classifier = trained(get_model(name, weights=None))
    encoder = TorchvisionEncoder(name, 5, classifier.state_dict()).eval()
    batch = images(1, 64, 96)
    expected = features_of(classifier, batch)
    for feature, other in zip(encoder(batch), expected, strict=True):
        torch.testing.assert_close(feature, other, rtol=1e-5, atol=1e-6)


def test_building_with_weights_changes_none_of_them():
    classifier = trained(get_model("mobilenet_v2", weights=None))
    before = copy.deepcopy(classifier.state_dict())
    encoder = TorchvisionEncoder("mobilenet_v2", 5, classifier.state_dict())
    given = iter(classifier.state_dict().values())
    assert all(
        any(torch.equal(mine, other) for other in given) for mine in encoder.state_dict().values()
    )
    assert all(torch.equal(before[key], value) for key, value in classifier.state_dict().items())


@pytest.mark.parametrize(
    "spoil", ["other network", "missing entry", "foreign entry", "no entry", "list"]
)
def test_weights_of_another_network_are_refused(spoil):
    weights = get_model("resnet18", weights=None).state_dict()
    if spoil == "other network":
        weights = get_model("mobilenet_v2", weights=None).state_dict()
    elif spoil == "missing entry":
        del weights["layer4.1.bn2.running_mean"]
    elif spoil == "foreign entry":
        weights["other"] = torch.zeros(1)
    elif spoil == "list":
        weights = list(weights.values())
    else:
        weights = {}
    with pytest.raises(InputError, match="not those of resnet18"):
        TorchvisionEncoder("resnet18", 5, weights)
