"""What decides the network's shape."""

from typing import Literal, Protocol, get_args

# Those of torchvision whose layers follow each other and halve the resolution five times.
EncoderName = Literal[
    "none",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_s",
    "efficientnet_v2_m",
    "efficientnet_v2_l",
    "convnext_tiny",
    "convnext_small",
    "convnext_base",
    "convnext_large",
]

ENCODERS: tuple[str, ...] = get_args(EncoderName)


class Architecture(Protocol):
    """Parameters, or a weights file's header."""

    @property
    def encoder(self) -> EncoderName: ...

    @property
    def width(self) -> int: ...

    @property
    def depth(self) -> int: ...
