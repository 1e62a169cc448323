"""The network that parameters, or a weights file's header, describe."""

from torch import Tensor

from lesion.formats.architecture import Architecture
from lesion.network.unet import UNet


def build_model(architecture: Architecture, imagenet: dict[str, Tensor] | None = None) -> UNet:
    """The U-Net, with random weights but for the encoder's where `imagenet` has them.

    `imagenet` holds the weights of the classifier of which the encoder is a part.
    """
    width, depth = architecture.width, architecture.depth
    if architecture.encoder == "none":
        return UNet(width, depth)
    from lesion.network.encoders import TorchvisionEncoder  # torchvision takes seconds to import

    return UNet(width, depth, TorchvisionEncoder(architecture.encoder, depth, imagenet))
