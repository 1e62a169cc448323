"""Random variation of a training batch, on the device, in one pass for geometry and one for colour.

A dermatoscope has no up or down and no fixed distance, and skin and lamps differ in colour: so
any rotation, mirror image, small zoom, shift, and change of brightness, contrast or hue of the
light shows the network another plausible photograph of the same lesion.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# Largest changes, each at augmentation strength 1.
ZOOM = 0.25  # natural logarithm of the scale
STRETCH = 0.10  # the same, of one axis against the other
SHIFT = 0.10  # share of half the image
BRIGHTNESS = 0.25  # share of full scale
CONTRAST = 0.25  # share of the image's own
LIGHT = 0.10  # share of each colour channel, as lamps differ


def augment(
    images: Tensor, masks: Tensor, strength: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """`images` (B×3×S×S, in [0, 1]) and `masks` (B×1×S×S of 0 and 1) varied alike.

    `strength` scales every change but mirroring and quarter turns; at 0 only those are left.
    `generator` lives on the CPU, so that a seed means the same on every device.
    """
    matrices = _affine(len(images), strength, generator).to(images.device)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    both = torch.cat([images, masks], dim=1)
    both = F.grid_sample(both, grid, padding_mode="reflection", align_corners=False)
    images, masks = both[:, :3], (both[:, 3:] > 0.5).to(masks.dtype)
    return _recolour(images, strength, generator), masks


def _affine(count: int, strength: float, generator: torch.Generator) -> Tensor:
    """`count`×2×3 matrices from output to input coordinates, both in [-1, 1]."""

    def uniform(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * (limit * strength)

    turn = torch.randint(4, (count,), generator=generator) * (math.pi / 2) + uniform(math.pi / 4)
    mirror = torch.randint(2, (count,), generator=generator) * 2 - 1
    scale, stretch = uniform(ZOOM).exp(), uniform(STRETCH).exp()
    cos, sin = turn.cos(), turn.sin()
    rows = [
        torch.stack([cos * scale * stretch * mirror, -sin * scale / stretch, uniform(SHIFT)], 1),
        torch.stack([sin * scale * stretch * mirror, cos * scale / stretch, uniform(SHIFT)], 1),
    ]
    return torch.stack(rows, dim=1)


def _recolour(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """`images` under another exposure, contrast and colour of the light, still in [0, 1]."""

    def uniform(limit: float, channels: int = 1) -> Tensor:
        shape = (len(images), channels, 1, 1)
        change = (torch.rand(shape, generator=generator) * 2 - 1) * (limit * strength)
        return change.to(images.device)

    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * (1 + uniform(CONTRAST)) + mean
    images = images * (1 + uniform(LIGHT, channels=3)) + uniform(BRIGHTNESS)
    return images.clamp(0, 1)
