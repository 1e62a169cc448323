"""The network that parameters, or a weights file's header, describe."""

from typing import Protocol

from torch import Tensor

from lesion.unet import UNet


class Architecture(Protocol):
    """What decides the network's shape."""

    encoder: str  # "none" or a name that torchvision knows
    width: int
    depth: int


def build_model(architecture: Architecture, imagenet: dict[str, Tensor] | None = None) -> UNet:
    """The U-Net, with random weights but for the encoder's where `imagenet` has them.

    `imagenet` holds the weights of the classifier of which the encoder is a part.
    """
    width, depth = architecture.width, architecture.depth
    if architecture.encoder == "none":
        return UNet(width, depth)
    from lesion.encoders import TorchvisionEncoder  # torchvision takes seconds to import

    return UNet(width, depth, TorchvisionEncoder(architecture.encoder, depth, imagenet))
