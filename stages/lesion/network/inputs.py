"""From the bytes of a photograph to the numbers that the network takes."""

from functools import cache

import torch
from torch import Tensor

from lesion.formats.imagenet import DEVIATION, MEAN


def to_unit(images: Tensor) -> Tensor:
    """uint8 RGB images, B×H×W×3, as float32 in [0, 1], B×3×H×W.

    The memory stays in place: B×H×W×3 seen as B×3×H×W is what torch calls channels-last.
    """
    return images.permute(0, 3, 1, 2).float() / 255


def to_model_input(images: Tensor) -> Tensor:
    """`images`, B×3×H×W in [0, 1], with the mean and deviation that the network expects."""
    on_gpu = images.device.type == "cuda"
    mean, deviation = (_kept_statistics if on_gpu else _statistics)(images.device)
    return ((images - mean) / deviation).contiguous(memory_format=torch.channels_last)


def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    mean, deviation = (
        torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, DEVIATION)
    )
    return mean, deviation


# Copying them to a GPU waits for it. Not on the processor: torch.export, which traces the network
# with stand-ins for tensors, would leave one of those here.
_kept_statistics = cache(_statistics)
