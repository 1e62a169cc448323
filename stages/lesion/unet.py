"""The U-Net of Ronneberger, Fischer and Brox (2015, https://arxiv.org/abs/1505.04597), padded.

Shape letters: B images, C channels, H and W pixels.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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


class UNet(nn.Module):
    """Contracting path, expanding path, and a skip connection at each of `depth` resolutions.

    `width` is the number of channels at full resolution; it doubles with each halving. `UNet()`,
    with width 64 and depth 4, has the 31 million parameters of the paper's network.
    """

    def __init__(self, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(depth + 1)]
        self.stem = DoubleConv(3, channels[0])
        self.down = nn.ModuleList(DoubleConv(fine, coarse) for fine, coarse in pairwise(channels))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, kernel_size=2, stride=2)
            for fine, coarse in pairwise(channels)
        )
        self.merge = nn.ModuleList(DoubleConv(2 * fine, fine) for fine in channels[:-1])
        self.head = nn.Conv2d(channels[0], 1, kernel_size=1)
        self.multiple = 2**depth
        # The paper's section 3: weights drawn with variance 2/N, as ReLU needs (He et al., 2015).
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, B×1×H×W, of normalised images, B×3×H×W, of any H and W."""
        height, width = images.shape[-2:]
        x, (top, left) = _pad_to_multiple(images, self.multiple)

        x = self.stem(x)
        skips = []
        for block in self.down:
            skips.append(x)  # B×C×h×w
            x = block(F.max_pool2d(x, 2))  # B×2C×h/2×w/2

        for upsample, block, skip in zip(
            reversed(self.up), reversed(self.merge), reversed(skips), strict=True
        ):
            x = block(torch.cat([skip, upsample(x)], dim=1))  # B×C×h×w

        return self.head(x)[..., top : top + height, left : left + width]


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
