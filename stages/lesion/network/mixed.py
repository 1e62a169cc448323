"""What a processor computes in bfloat16 by another way than torch's own, which is slow there.

Weights, their names and the values stay, but for rounding. By a rule and not by a measurement at
the start, which would choose otherwise from one run to the next, and so give other bytes.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from lesion.network.device import in_bfloat16
from lesion.network.folding import NormalisedConv2d


def suit_bfloat16(network: nn.Module, device: torch.device, precision: str) -> None:
    """Gives layers, in place, their faster way where a processor trains them in bfloat16."""
    if device.type != "cpu" or not in_bfloat16(device, precision):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _is_strided_depthwise(module):
            normalised = isinstance(module, NormalisedConv2d)
            module.__class__ = NormalisedStridedConv2d if normalised else StridedConv2d
        elif isinstance(module, nn.ConvTranspose2d) and _tiles(module):
            module.__class__ = TiledConvTranspose2d


def _is_strided_depthwise(conv: nn.Conv2d) -> bool:
    usual = conv.dilation == (1, 1) and conv.padding_mode == "zeros"
    depthwise = conv.groups == conv.in_channels == conv.out_channels > 1
    return usual and depthwise and max(conv.stride) > 1


def _tiles(conv: nn.ConvTranspose2d) -> bool:
    usual = conv.dilation == (1, 1) and conv.groups == 1
    unpadded = conv.padding == conv.output_padding == (0, 0)
    return usual and unpadded and conv.kernel_size == conv.stride


class StridedConv2d(nn.Conv2d):
    """One filter a channel, with a stride, whose gradient takes a stride of one.

    That of its input takes oneDNN 12 to 52 times as long in bfloat16 as in float32, with AMX and
    without; without a stride it is fast (docs/recipe.md).
    """

    def _conv_forward(self, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _Strided.apply(images, weight, bias, self.stride, self.padding)


class NormalisedStridedConv2d(NormalisedConv2d, StridedConv2d):
    """The same, with the normalisation after it."""

    plain = nn.Conv2d


class _Strided(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(
        context: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        context.save_for_backward(images, weight)
        context.stride, context.padding, context.has_bias = stride, padding, bias is not None
        return F.conv2d(images, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = context.saved_tensors
        stride, padding, channels = context.stride, context.padding, len(weight)
        of_bias = gradient.sum((0, 2, 3)) if context.has_bias else None
        of_weight = conv2d_weight(
            images, list(weight.shape), gradient, stride, padding, groups=channels
        )
        # As of a convolution without a stride, whose other outputs have no gradient.
        sizes = list(zip(images.shape[2:], weight.shape[2:], padding, strict=True))
        sides = [side - kernel + 1 + 2 * pad for side, kernel, pad in sizes]
        spread = gradient.new_zeros(len(images), *sides, channels).permute(0, 3, 1, 2)
        spread[:, :, :: stride[0], :: stride[1]] = gradient
        around = [kernel - 1 - pad for _, kernel, pad in sizes]
        of_images = F.conv2d(spread, weight.flip(2, 3), padding=around, groups=channels)
        return of_images, of_weight, of_bias, None, None


class TiledConvTranspose2d(nn.ConvTranspose2d):
    """Each pixel becomes a tile of k×k, stride k: a 1×1 convolution to the channels of all k².

    Its gradient takes half the time (docs/recipe.md).
    """

    def forward(self, images: Tensor, output_size: list[int] | None = None) -> Tensor:
        """B×C×H×W in, B×`out_channels`×kH×kW out."""
        (rows, columns), out = self.kernel_size, self.out_channels
        weight = self.weight.permute(2, 3, 1, 0).reshape(-1, self.in_channels, 1, 1)
        bias = None if self.bias is None else self.bias.repeat(rows * columns)
        tiles = F.conv2d(images, weight, bias).permute(0, 2, 3, 1)  # B×H×W×k²C, in place
        batch, height, width, _ = tiles.shape
        tiles = tiles.reshape(batch, height, width, rows, columns, out).transpose(2, 3)
        placed = tiles.reshape(batch, height * rows, width * columns, out)
        return placed.permute(0, 3, 1, 2)
