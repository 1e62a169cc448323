"""Encoders with the layers of torchvision's ImageNet classifiers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import ResNet, get_model
from torchvision.ops import Conv2dNormActivation

from lesion.pipeline.errors import InputError

PROBE = 256  # pixels, enough for any encoder's last level


class TorchvisionEncoder(nn.Module):
    """The layers of a torchvision classifier that lead to its features, down to level `depth`.

    The levels begin at 1, or at 2 for ConvNeXt, whose first layer quarters the resolution.
    """

    def __init__(self, name: str, depth: int, weights: dict[str, Tensor] | None = None) -> None:
        """`weights` are the classifier's; without them the values are random, to be loaded later.

        Raises:
            InputError: `weights` are of another network, or the encoder cannot have that depth.
        """
        super().__init__()
        classifier = get_model(name, weights=None)
        if weights is not None:
            try:
                classifier.load_state_dict(weights)
            except (RuntimeError, TypeError):
                raise InputError(f"the weights are not those of {name}; run `dvc repro`") from None
        levels = _levels(_layers(classifier))
        if not min(levels) < depth <= max(levels):
            raise InputError(
                f"depth {depth}: expected {min(levels) + 1} to {max(levels)} for encoder {name}"
            )
        kept = [level for level in levels if level <= depth]
        self.blocks = nn.ModuleList(nn.Sequential(*levels[level][0]) for level in kept)
        self.channels = {level: levels[level][1] for level in kept}
        for module in self.modules():
            # To learn, torch copies the input of what works in place, ReLU's apart.
            if hasattr(module, "inplace") and not isinstance(module, nn.ReLU):
                module.inplace = False  # type: ignore[assignment]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of each level, finest first, of normalised images, B×3×H×W."""
        x, features = images, []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return features


def _layers(classifier: nn.Module) -> list[nn.Module]:
    """What leads, one after the other, from the image to the features of the classifier."""
    if isinstance(classifier, ResNet):
        first = ("conv1", "bn1", "relu", "maxpool")
        return [getattr(classifier, part) for part in (*first, *(f"layer{n}" for n in range(1, 5)))]
    features = classifier.features
    assert isinstance(features, nn.Sequential)  # as in all others of ENCODERS
    layers = list(features)
    # A last 1×1 convolution only multiplies the channels, for the thousand classes of ImageNet.
    return layers[:-1] if isinstance(layers[-1], Conv2dNormActivation) else layers


@torch.no_grad()
def _levels(layers: list[nn.Module]) -> dict[int, tuple[list[nn.Module], int]]:
    """The layers in order, by how often their output is halved, and its number of channels."""
    x = torch.zeros(1, 3, PROBE, PROBE)
    levels: dict[int, tuple[list[nn.Module], int]] = {}
    for layer in layers:
        x = layer.eval()(x)  # a layer in training would keep statistics of the zeros
        layer.train()
        level = (PROBE // x.shape[-1]).bit_length() - 1
        before = levels[level][0] if level in levels else []
        levels[level] = ([*before, layer], x.shape[1])
    return levels
