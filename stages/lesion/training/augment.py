"""Random variation of a training batch, on the device, in one pass for geometry and one for colour.

A dermatoscope has no up or down and no fixed distance, and skin and lamps differ in colour: so
any rotation, mirror image, zoom, shift, and change of exposure or of the light's colour shows the
network another plausible photograph of the same lesion; some of them behind hairs.

All of that happens to the photograph in its own shape, whatever the network's square made of it: a
round lesion stays round. What comes in from outside is the photograph's reflection, and bars are as
black as they are in evaluation. With a quarter turn, a photograph with bars turns its frame too, as
one taken upright would lie in the square. One that was stretched keeps its frame, since in the
other the lesion would have another shape, and so loses its two ends: of 4:3, an eighth at each.

What is random is drawn on the CPU and apart from its use, so that a seed means the same on every
device, and processes that share a batch can draw all of it and use their part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from lesion.training.frames import Frames

# Largest changes of geometry, each at strength 1.
ZOOM = 0.25  # natural logarithm of the scale
STRETCH = 0.10  # the same, of one axis against the other
SHIFT = 0.10  # share of half the image
ROTATION = math.pi / 4  # radians, beside the quarter turns
CROP = 0.7  # natural logarithm of the enlargement of a random part that fills the square
CROPPED = 0.2  # share of the images to which that happens, at any strength above 0

# Largest changes of colour, each at strength 1.
BRIGHTNESS = 0.25  # share of full scale
CONTRAST = 0.25  # share of the image's own
SATURATION = 0.3  # natural logarithm of the factor
HUE = 0.3  # radians, in the plane of the two colour-difference axes
LIGHT = 0.10  # share of each colour channel, as lamps differ

HAIR_LAYERS = 64  # drawn once, and then placed at random
HAIRS = 12  # at most, in a layer
OPACITY = (0.5, 1.0)
DARKEST_TO_LIGHTEST = (0.0, 0.3)  # of a hair, share of full scale

# Luma and the two colour differences of ITU-R BT.601 from RGB.
YCBCR = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)


@dataclass(frozen=True)
class Variation:
    """What happens to each of B images. Coordinates go from -1 to 1 over the square."""

    geometry: Tensor  # B×2×3: affine, from output to input coordinates
    source: Tensor  # B×2×2: middle and half the size, x and y, of the photograph in the input
    target: Tensor  # B×2×2: and in the output
    colour: Tensor  # B×3×3: of RGB as columns
    contrast: Tensor  # B: factor on the distance from the image's mean
    brightness: Tensor  # B: share of full scale, added
    layer: Tensor  # B: which of the hair layers lies over it
    hair: Tensor  # B: how much that covers, 0: none
    tone: Tensor  # B: how light its hairs are, share of full scale

    def __iter__(self) -> Iterator[Tensor]:
        return (getattr(self, field.name) for field in fields(self))

    def __getitem__(self, rows: slice) -> Variation:
        return Variation(*(value[rows] for value in self))

    def to(self, device: torch.device) -> Variation:
        return Variation(*(value.to(device, non_blocking=True) for value in self))


class Augmentation:
    """Varies the images of a batch, and their masks alike.

    `orientations`: mirror images and quarter turns, eight views of equal chance. `geometry` and
    `colour` are the strengths, in [0, 1], of the changes that the constants above name. `hairs` is
    the share of the images over which hairs are drawn. `bars` says whether any photograph leaves
    bars; where none does, keeping them black need not cost anything.
    """

    def __init__(
        self, orientations: bool, geometry: float, colour: float, hairs: float, bars: bool = False
    ) -> None:
        self.orientations, self.geometry = orientations, geometry
        self.colour, self.hairs = colour, hairs
        self.bars = bars
        self._layers: dict[int, Tensor] = {}  # by the side of the images

    def draw(
        self, count: int, generator: torch.Generator, frames: Frames | None = None
    ) -> Variation:
        """The variation of `count` images; `generator` lives on the CPU.

        What is drawn does not depend on their `frames`; None: square photographs without bars.
        """

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(count, *shape, generator=generator)

        def around_0(limit: float, *shape: int) -> Tensor:
            return uniform(-limit, limit, *shape)

        covered = torch.rand(count, generator=generator) < self.hairs
        frames = frames or Frames.whole(count)
        geometry, target = self._affine(count, generator, frames)
        return Variation(
            geometry=geometry,
            source=frames.boxes,
            target=target,
            colour=_colour_matrices(
                turn=around_0(HUE * self.colour),
                factor=around_0(SATURATION * self.colour).exp(),
                light=1 + around_0(LIGHT * self.colour, 3),
            ),
            contrast=1 + around_0(CONTRAST * self.colour),
            brightness=around_0(BRIGHTNESS * self.colour),
            layer=torch.randint(HAIR_LAYERS, (count,), generator=generator),
            hair=covered * uniform(*OPACITY),
            tone=uniform(*DARKEST_TO_LIGHTEST),
        )

    def __call__(
        self, images: Tensor, masks: Tensor, variation: Variation
    ) -> tuple[Tensor, Tensor]:
        """`images` (B×3×S×S, in [0, 1]) and `masks` (B×1×S×S of 0 and 1), varied.

        Results are of the same kind, and both 0 in bars.
        """
        shown = _shown(variation.target, images.shape[-1]) if self.bars else None

        def with_bars(values: Tensor) -> Tensor:
            return values if shown is None else values * shown

        if self.orientations or self.geometry:
            grid = F.affine_grid(variation.geometry, list(images.shape), align_corners=False)
            if self.bars:
                grid = _reflected(grid, variation.source)
            both = torch.cat([images, masks], dim=1)
            both = F.grid_sample(both, grid, padding_mode="reflection", align_corners=False)
            both = with_bars(both)
            images, masks = both[:, :3], (both[:, 3:] > 0.5).to(masks.dtype)
        if self.hairs:
            images = with_bars(self._behind_hairs(images, variation))
        if self.colour:
            images = with_bars(_recolour(images, variation))
        return images, masks

    def _affine(
        self, count: int, generator: torch.Generator, frames: Frames
    ) -> tuple[Tensor, Tensor]:
        """The transforms, and where the photographs lie after them."""

        def uniform(limit: float) -> Tensor:
            return _centred(count, generator) * limit * self.geometry

        quarters = torch.randint(4, (count,), generator=generator) * self.orientations
        turn = quarters * (math.pi / 2) + uniform(ROTATION)
        flip = torch.randint(2, (count,), generator=generator) * 2 - 1
        flip = flip if self.orientations else torch.ones(count)
        scale, stretch = uniform(ZOOM).exp(), uniform(STRETCH).exp()
        x, y = uniform(SHIFT), uniform(SHIFT)

        cropped = torch.rand(count, generator=generator) < CROPPED
        part = torch.where(cropped, (-uniform(CROP).abs()).exp(), 1.0)
        scale, room = scale * part, 1 - part
        x, y = x + room * _centred(count, generator), y + room * _centred(count, generator)

        # Turned where x and y are equally long.
        cos, sin, aspect = turn.cos(), turn.sin(), frames.aspects
        rows = [
            torch.stack([cos * scale * stretch * flip, -sin * scale / stretch / aspect], 1),
            torch.stack([sin * scale * stretch * flip * aspect, cos * scale / stretch], 1),
        ]
        linear = torch.stack(rows, dim=1)
        sideways = (quarters % 2 == 1)[:, None, None]
        target = torch.where(sideways, frames.boxes.flip(2), frames.boxes)
        (middle, half), (new_middle, _) = frames.boxes.unbind(1), target.unbind(1)
        shift = torch.stack([x, y], dim=1) * half
        shift = shift + middle - (linear @ new_middle[..., None])[..., 0]
        return torch.cat([linear, shift[..., None]], dim=2), target

    def _behind_hairs(self, images: Tensor, variation: Variation) -> Tensor:
        side = images.shape[-1]
        if side not in self._layers:
            self._layers[side] = hair_layers(HAIR_LAYERS, side).to(images.device)
        cover = self._layers[side][variation.layer] * variation.hair.view(-1, 1, 1, 1)
        return images.lerp(variation.tone.view(-1, 1, 1, 1).expand_as(images), cover)


def _centred(count: int, generator: torch.Generator) -> Tensor:
    """`count` values spread evenly over [-1, 1]."""
    return torch.rand(count, generator=generator) * 2 - 1


def _reflected(grid: Tensor, boxes: Tensor) -> Tensor:
    """Coordinates (B×S×S×2) beyond the photograph's border (`boxes`, B×2×2) reflected at it."""
    middle, half = boxes[:, None, None].unbind(-2)
    place = (grid - middle) / half
    place = ((place - 1) % 4 - 2).abs() - 1  # there and back, again and again
    # Up to the middle of its last pixels: beyond, they would be mixed with the bars.
    last = half - 1 / grid.shape[1]
    return middle + (place * half).clamp(-last, last)


def _shown(boxes: Tensor, side: int) -> Tensor:
    """1 where the photograph is, 0 in bars: B×1×side×side."""
    middle, half = boxes.unbind(1)
    pixels = (2 * torch.arange(side, device=boxes.device) + 1) / side - 1
    inside = (pixels[:, None] - middle[:, None]).abs() < half[:, None]  # B×side×2
    return (inside[:, None, None, :, 0] & inside[:, None, :, None, 1]).float()


def _colour_matrices(turn: Tensor, factor: Tensor, light: Tensor) -> Tensor:
    """B×3×3 matrices that turn the hue by `turn` radians, multiply the saturation by `factor`, and
    then each channel by `light` (B×3), as another lamp does."""
    cos, sin = factor * turn.cos(), factor * turn.sin()
    chroma = torch.zeros(len(turn), 3, 3)
    chroma[:, 0, 0] = 1  # luma stays
    chroma[:, 1, 1], chroma[:, 1, 2] = cos, -sin
    chroma[:, 2, 1], chroma[:, 2, 2] = sin, cos
    return light[:, :, None] * (torch.linalg.inv(YCBCR) @ chroma @ YCBCR)


def _recolour(images: Tensor, variation: Variation) -> Tensor:
    """`images` under another light and exposure, still in [0, 1]."""
    matrices = variation.colour * variation.contrast.view(-1, 1, 1)
    # Contrast is about the photograph's mean, without bars, which the other light has moved.
    mean = images.mean((2, 3)) / variation.target[:, 1].prod(1, keepdim=True)
    mean = (variation.colour @ mean[..., None]).mean(1)  # B×1
    offset = mean * (1 - variation.contrast[:, None]) + variation.brightness[:, None]
    pixels = images.permute(0, 2, 3, 1).flatten(1, 2)  # B×HW×3
    pixels = torch.baddbmm(offset[:, None], pixels, matrices.mT)
    return pixels.clamp_(0, 1).view(images.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)


def hair_layers(count: int, side: int, seed: int = 0) -> Tensor:
    """`count` drawings of up to `HAIRS` bent hairs: count×1×side×side, 1 where a hair covers."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(count, HAIRS, 3, 1, 2, generator=generator) * 1.4 - 0.2
    t = torch.linspace(0, 1, 3 * side)[:, None]
    start, middle, end = points.unbind(2)
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end  # Bézier
    columns, rows = (curve * side).long().unbind(-1)  # count×HAIRS×3S
    number = torch.randint(1, HAIRS + 1, (count, 1, 1), generator=generator)
    drawn = (torch.arange(HAIRS)[None, :, None] < number).expand_as(rows)
    drawn = drawn & (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    layer = torch.arange(count)[:, None, None].expand_as(rows)

    layers = torch.zeros(count, 1, side, side)
    layers[layer[drawn], 0, rows[drawn], columns[drawn]] = 1
    thick = 2 * (side // 300) + 1
    layers = F.max_pool2d(layers, thick, stride=1, padding=thick // 2)
    return F.avg_pool2d(layers, 3, stride=1, padding=1).mul_(2).clamp_(max=1)  # soft edges
