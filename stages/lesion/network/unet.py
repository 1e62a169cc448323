"""The U-Net of Ronneberger, Fischer and Brox (2015, https://arxiv.org/abs/1505.04597), padded.

Its contracting path may be another network's: an encoder that was trained on ImageNet.

Shape letters: B images, C channels, H and W pixels. Level l is where height and width have been
halved l times.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Encoder(Protocol):
    """What a U-Net asks of its contracting path.

    `channels` says how many channels the features of each level have; levels follow each other
    without a gap, and the first need not be 0. Called on B×3×H×W, H and W multiples of 2 to the
    last level, it gives the features of those levels in that order.
    """

    channels: dict[int, int]

    def __call__(self, images: Tensor) -> list[Tensor]: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def modules(self) -> Iterator[nn.Module]: ...


class DoubleConv(nn.Sequential):
    """Twice 3x3 convolution, batch normalisation, ReLU; B×C×H×W in, B×`out_channels`×H×W out.

    The paper's convolutions are unpadded and come without BatchNorm, which was not in use yet.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            # BatchNorm subtracts the mean, so that a bias before it would have no effect.
            layers += [
                nn.Conv2d(channels, out_channels, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class ContractingPath(nn.Module):
    """The paper's encoder: levels 0 to `depth`, `width` channels at level 0, doubled at each."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.channels = {level: width * 2**level for level in range(depth + 1)}
        sizes = [3, *self.channels.values()]
        self.blocks = nn.ModuleList(DoubleConv(fine, coarse) for fine, coarse in pairwise(sizes))
        initialise(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        x, features = images, []
        for level, block in enumerate(self.blocks):
            x = block(F.max_pool2d(x, 2) if level else x)  # B×2C×H/2×W/2
            features.append(x)
        return features


class UNet(nn.Module):
    """Contracting path, expanding path, and a skip connection at each level between them.

    The expanding path has `width` × 2^l channels at level l. `UNet()`, with width 64 and depth 4,
    has the 31 million parameters of the paper's network. Where the encoder's features begin below
    full resolution, logits are made there and enlarged.
    """

    def __init__(self, width: int = 64, depth: int = 4, encoder: Encoder | None = None) -> None:
        super().__init__()
        self.encoder: Encoder = encoder or ContractingPath(width, depth)
        levels = sorted(self.encoder.channels)
        self.multiple = 2 ** levels[-1]

        self.up, self.merge = nn.ModuleList(), nn.ModuleList()
        channels = self.encoder.channels[levels[-1]]
        for level in reversed(levels[:-1]):
            out = width * 2**level
            self.up.append(nn.ConvTranspose2d(channels, out, kernel_size=2, stride=2))
            self.merge.append(DoubleConv(self.encoder.channels[level] + out, out))
            channels = out
        self.head = nn.Conv2d(channels, 1, kernel_size=1)
        initialise(self.merge)
        initialise(self.head)
        assert self.head.bias is not None  # it was not told to have none
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, B×1×H×W, of normalised images, B×3×H×W, of any H and W."""
        height, width = images.shape[-2:]
        padded, (top, left) = _pad_to_multiple(images, self.multiple)

        *skips, x = self.encoder(padded)
        for upsample, block, skip in zip(self.up, self.merge, reversed(skips), strict=True):
            x = block(torch.cat([skip, upsample(x)], dim=1))  # B×C×2h×2w

        logits = self.head(x)
        if logits.shape[-2:] != padded.shape[-2:]:
            logits = _enlarge(logits, padded.shape[-2:])
        return logits[..., top : top + height, left : left + width]


def initialise(part: nn.Module) -> None:
    """Draws the convolutions' weights with variance 2/N, as ReLU needs (the paper's section 3)."""
    for module in part.modules():
        if isinstance(module, nn.Conv2d):  # He et al., 2015, https://arxiv.org/abs/1502.01852
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def _enlarge(logits: Tensor, size: torch.Size) -> Tensor:
    """`logits` with H and W as in `size`, bilinear."""
    if not logits.is_cuda:
        return F.interpolate(logits, size=size, mode="bilinear")
    # Two products give the same; interpolate's repeatable gradient takes a GPU a tenth of a step.
    rows, columns = (
        _bilinear(old, new, logits.device) for old, new in zip(logits.shape[-2:], size, strict=True)
    )
    return rows @ logits @ columns.mT


@cache
def _bilinear(old: int, new: int, device: torch.device) -> Tensor:
    """new×old: by which `old` values in a row become `new` ones."""
    return F.interpolate(torch.eye(old, device=device)[None], size=new, mode="linear")[0].mT


def _pad_to_multiple(images: Tensor, multiple: int) -> tuple[Tensor, tuple[int, int]]:
    """`images` with H and W a multiple of `multiple`, and where the original's corner lies."""
    height, width = images.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if not down and not right:
        return images, (0, 0)
    top, left = down // 2, right // 2
    padding = (left, right - left, top, down - top)
    # The edge repeated: zeros would look like a dark rim, and a reflection has a least size.
    return F.pad(images, padding, mode="replicate"), (top, left)
