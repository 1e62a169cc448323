"""Normalisations and activations as parts of the convolutions before them.

By statistics that stay as they are, a batch normalisation multiplies each channel and adds to it,
which a convolution can do by its weights and its bias. A ReLU it can do before it stores its sums.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from lesion.network.unet import Encoder


class NormalisedConv2d(nn.Conv2d):
    """A convolution, and the normalisation after it by the statistics that that one has.

    Its weights, and the normalisation's scales and shifts, learn as if the two were apart.
    """

    norm: tuple[nn.BatchNorm2d]  # in a tuple it stays a part of the network in its own place alone
    plain: type[nn.Conv2d] = nn.Conv2d  # what it is by itself

    def forward(self, images: Tensor) -> Tensor:
        """B×C×H×W in, normalised B×C×H×W out."""
        (norm,) = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        mean = norm.running_mean if self.bias is None else norm.running_mean - self.bias
        return self._conv_forward(
            images, self.weight * scale[:, None, None, None], norm.bias - mean * scale
        )


class Passed(nn.BatchNorm2d):
    """A normalisation that the convolution before it has computed."""

    def forward(self, images: Tensor) -> Tensor:
        return images


def fix_statistics(network: Encoder | nn.Module) -> None:
    """Lets each normalisation after a convolution, in place, keep its statistics in training too.

    Weights and their names stay. To find the mean and the variance of a batch, and to learn through
    them, takes longer than any other operation of a step with many pixels (docs/benchmarks.md).
    """
    for _, (_, conv), (_, norm) in _pairs(network):
        conv.norm = (norm,)  # type: ignore[assignment]
        conv.__class__, norm.__class__ = NormalisedConv2d, Passed


def folded(network: nn.Module) -> nn.Module:
    """A copy that predicts, of which each normalisation after a convolution is part of that one."""
    copied = copy.deepcopy(network).eval()
    for module, (name, conv), (after, norm) in _pairs(copied):
        if isinstance(conv, NormalisedConv2d):
            conv.__class__ = conv.plain  # type: ignore[assignment]
            del conv.norm
        setattr(module, name, fuse_conv_bn_eval(conv, norm))
        setattr(module, after, nn.Identity())
    return copied


class RectifiedConv2d(nn.Conv2d):
    """A convolution and the ReLU after it, on a processor, which has no gradient.

    Its values are those of the two apart, to the bit, as rounding keeps an order; but a sum that is
    no number becomes 0.
    """

    highest: float | None  # that the ReLU lets pass

    def forward(self, images: Tensor) -> Tensor:
        """B×C×H×W in, rectified B×C×H×W of the weights' type out."""
        kind, bounds = ("relu", []) if self.highest is None else ("hardtanh", [0.0, self.highest])
        return torch.ops.mkldnn._convolution_pointwise(
            images.to(self.weight.dtype), self.weight, self.bias, self.padding, self.stride,
            self.dilation, self.groups, kind, bounds, "",
        )  # fmt: skip


def rectify(network: nn.Module) -> None:
    """Makes each ReLU after a convolution part of that one, in place, where oneDNN computes it.

    In an nn.Sequential alone: in others, such as ResNet's blocks, one ReLU has several places.
    """
    highest = {nn.ReLU: None, nn.ReLU6: 6.0}
    for module in list(network.modules()):
        children = module.named_children() if isinstance(module, nn.Sequential) else ()
        layers = [(name, layer) for name, layer in children if type(layer) is not nn.Identity]
        for (_, conv), (after, activation) in pairwise(layers):
            if type(conv) is nn.Conv2d and type(activation) in highest and _in_onednn(conv.weight):
                conv.highest = highest[type(activation)]  # type: ignore[assignment]
                conv.__class__ = RectifiedConv2d
                setattr(module, after, nn.Identity())


def _in_onednn(weight: Tensor) -> bool:
    """Whether oneDNN computes a convolution by such weights, of which none is to learn."""
    # No public name: torch's compiler uses it. Without it all is computed as it is elsewhere.
    there = torch.backends.mkldnn.is_available() and hasattr(
        torch.ops.mkldnn, "_convolution_pointwise"
    )
    if not there or weight.requires_grad or weight.device.type != "cpu":
        return False
    if weight.dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return weight.dtype == torch.float32


def _pairs(
    network: Encoder | nn.Module,
) -> Iterator[tuple[nn.Module, tuple[str, nn.Conv2d], tuple[str, nn.BatchNorm2d]]]:
    """What has a convolution with a normalisation after it, and the names and modules of the two.

    What follows each other in a module is called in that order, in torchvision's as in ours.
    """
    for module in list(network.modules()):
        for (name, conv), (after, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                yield module, (name, conv), (after, norm)
