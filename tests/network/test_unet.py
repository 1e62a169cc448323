import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lesion.network.unet import UNet

ODD_SIZES = [(1, 1), (1, 40), (2, 3), (7, 64), (15, 16), (17, 33), (31, 5), (48, 32)]


@pytest.fixture(scope="module")
def network() -> UNet:
    torch.manual_seed(0)
    network = UNet(width=4, depth=4)
    network(torch.randn(4, 3, 32, 32))  # moves the running statistics off their start
    return network.eval().requires_grad_(False)


def images(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


class Pyramid(nn.Module):
    """An encoder without parameters: means of squares of pixels, of levels `first` to `last`."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.channels = {level: 3 for level in range(first, last + 1)}
        self.seen: list[torch.Size] = []

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        self.seen.append(images.shape)
        return [F.avg_pool2d(images, 2**level) for level in self.channels]


def test_default_network_has_the_papers_31_million_parameters():
    assert sum(parameter.numel() for parameter in UNet().parameters()) == 31_037_633


@pytest.mark.parametrize(("width", "depth"), [(1, 1), (3, 2), (2, 8)])
def test_width_doubles_with_each_of_depth_halvings(width, depth):
    network = UNet(width, depth)
    expected = [width * 2**level for level in range(depth + 1)]
    assert [block[0].out_channels for block in network.encoder.blocks] == expected
    assert network.encoder.channels == dict(enumerate(expected))
    assert [block[0].out_channels for block in network.merge] == expected[-2::-1]


@pytest.mark.parametrize("size", ODD_SIZES)
@pytest.mark.parametrize("depth", [1, 4, 6])
def test_output_has_the_size_of_the_input(size, depth):
    logits = UNet(width=1, depth=depth).eval()(images(2, *size))
    assert logits.shape == (2, 1, *size)
    assert logits.isfinite().all()


def test_gradients_reach_every_parameter():
    network = UNet(width=2, depth=3)
    network(images(2, 19, 21)).square().mean().backward()
    silent = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert silent == []


@pytest.mark.parametrize("size", [(17, 33), (1, 1), (31, 16), (5, 47)])
def test_odd_size_gives_what_its_edges_repeated_evenly_to_a_multiple_of_16_give(network, size):
    (height, width), batch = size, images(1, *size)
    top, left = -height % 16 // 2, -width % 16 // 2
    sides = (left, -width % 16 - left, top, -height % 16 - top)
    padded = network(F.pad(batch, sides, mode="replicate"))
    crop = padded[..., top : top + height, left : left + width]
    torch.testing.assert_close(network(batch), crop, rtol=0, atol=0)


def test_a_multiple_of_16_is_not_padded(network):
    seen = []
    hook = network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    batch = images(1, 32, 48)
    network(batch)
    hook.remove()
    assert torch.equal(seen[0], batch)


def test_shift_by_a_multiple_of_16_shifts_the_result_away_from_the_rim():
    network = UNet(width=2, depth=2).eval().requires_grad_(False)
    batch = images(1, 96, 96)
    shifted = torch.roll(batch, shifts=(16, 16), dims=(2, 3))
    inner = slice(40, 72)
    expected = network(batch)[..., 24:56, 24:56]
    torch.testing.assert_close(network(shifted)[..., inner, inner], expected, rtol=0, atol=1e-5)


def test_an_image_gets_the_same_logits_alone_as_in_a_batch(network):
    batch = images(4, 20, 32)
    alone = torch.cat([network(image[None]) for image in batch])
    torch.testing.assert_close(alone, network(batch), rtol=0, atol=1e-5)


def test_each_resolution_gets_the_encoders_image_through_its_skip_connection():
    network = UNet(width=4, depth=3)
    network(images(2, 32, 32)).square().mean().backward()
    for block in network.merge:
        skipped, upsampled = block[0].weight.grad.chunk(2, dim=1)
        assert skipped.any() and upsampled.any()


def test_contracting_path_takes_the_largest_of_four_pixels_at_each_halving(network):
    features = network.encoder(images(1, 32, 48))
    assert [feature.shape[1:] for feature in features] == [
        (channels, 32 // 2**level, 48 // 2**level)
        for level, channels in network.encoder.channels.items()
    ]
    for block, finer, coarser in zip(
        network.encoder.blocks[1:], features, features[1:], strict=False
    ):
        torch.testing.assert_close(block(F.max_pool2d(finer, 2)), coarser)
    assert all((feature >= 0).all() and (feature == 0).any() for feature in features)  # ReLU


def test_channels_of_a_skip_connection_come_before_those_from_below(network):
    seen, batch = [], images(1, 32, 48)
    hook = network.merge[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(batch)
    hook.remove()
    skip = network.encoder(batch)[-2]
    torch.testing.assert_close(seen[0][:, : skip.shape[1]], skip)


def test_convolutions_begin_with_variance_2_over_their_inputs_and_the_head_without_bias():
    torch.manual_seed(0)
    network = UNet(width=16, depth=3)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 1000:
            inputs = module.weight[0].numel()
            assert module.weight.var().item() * inputs == pytest.approx(2, rel=0.15), name
    assert network.head.bias.item() == 0


@pytest.mark.parametrize(("first", "last"), [(0, 2), (1, 3), (2, 3)])
def test_any_encoder_will_do_that_says_its_levels_and_their_channels(first, last):
    encoder = Pyramid(first, last)
    network = UNet(width=2, encoder=encoder).eval()
    multiple = 2**last
    for height, width in ODD_SIZES:
        assert network(images(1, height, width)).shape == (1, 1, height, width)
        padded = (height + -height % multiple, width + -width % multiple)
        assert encoder.seen[-1] == (1, 3, *padded)
    expected = [2 * 2**level for level in range(last - 1, first - 1, -1)]
    assert [block[0].out_channels for block in network.merge] == expected


def test_logits_below_full_resolution_are_enlarged_bilinearly():
    network = UNet(width=2, encoder=Pyramid(2, 3)).eval()
    made = []
    network.head.register_forward_hook(lambda *call: made.append(call[-1]))
    logits = network(images(1, 32, 48))
    assert made[0].shape == (1, 1, 8, 12)
    expected = F.interpolate(made[0], scale_factor=4, mode="bilinear", align_corners=False)
    torch.testing.assert_close(logits, expected)


def test_seed_decides_the_weights():
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.nn.utils.parameters_to_vector(UNet(2, 2).parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
