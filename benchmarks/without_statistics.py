"""Trainings that leave the statistics of the encoder's batch normalisations as they came."""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from lesion.network.mixed import Float32Conv2d
from lesion.training.trainer import Trainer


class Folded(Trainer):
    """The encoder's batch normalisations keep what ImageNet gave them, and their scales and shifts
    are learned as parts of the convolutions before them: a step has none of them to compute."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)
        for layers in self.model.encoder.modules():
            if isinstance(layers, nn.Sequential):
                for conv, norm in pairwise(layers):
                    if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                        conv.forward = partial(folded, conv, norm)
                        norm.forward = lambda images: images


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d, images: Tensor) -> Tensor:
    """The convolution, then the normalisation by the statistics that it has."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight, bias = conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
    if isinstance(conv, Float32Conv2d):
        with torch.autocast(images.device.type, enabled=False):
            return conv._conv_forward(images.float(), weight, bias)
    return conv._conv_forward(images, weight, bias)
