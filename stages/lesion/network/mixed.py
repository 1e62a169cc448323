"""Which operations stay in float32 where the others are computed in bfloat16."""

import torch
from torch import Tensor, nn

from lesion.network.device import in_bfloat16
from lesion.network.folding import NormalisedConv2d


class Float32Conv2d(nn.Conv2d):
    """A convolution that is computed in float32 whatever its surroundings are."""

    def forward(self, images: Tensor) -> Tensor:
        """B×C×H×W of any floating type in, float32 out."""
        with torch.autocast(images.device.type, enabled=False):
            return super().forward(images.float())


class Float32NormalisedConv2d(Float32Conv2d, NormalisedConv2d):
    """The same, with the normalisation after it."""

    plain = Float32Conv2d


_IN_FLOAT32 = {nn.Conv2d: Float32Conv2d, NormalisedConv2d: Float32NormalisedConv2d}


def keep_in_float32(network: nn.Module, device: torch.device, precision: str) -> None:
    """Takes out of bfloat16, in place, what a processor computes much faster in float32.

    Weights and their names stay. By a rule and not by a measurement at the start, which would
    choose otherwise from one run to the next, and so give other bytes.
    """
    if device.type != "cpu" or not in_bfloat16(device, precision):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _is_strided_depthwise(module):
            module.__class__ = _IN_FLOAT32[type(module)]  # in place, whatever holds it


def _is_strided_depthwise(conv: nn.Conv2d) -> bool:
    """One filter a channel, with a stride: oneDNN has no fast gradient of it in bfloat16, which
    takes 12 to 52 times as long as in float32, with AMX and without (docs/recipe.md)."""
    return conv.groups == conv.in_channels > 1 and max(conv.stride) > 1
