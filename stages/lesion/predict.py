"""From uint8 images to lesion probabilities."""

import torch
from torch import Tensor, nn

from lesion.device import autocast
from lesion.inputs import to_model_input, to_unit

MIRRORS = ((), (3,), (2,), (2, 3))  # axes of B×C×H×W to turn round


class Predictor(nn.Module):
    """A network behind the simplest interface: photographs in, probabilities out."""

    def __init__(self, network: nn.Module, precision: str = "float32", tta: bool = False) -> None:
        """`tta` (test-time augmentation): the mean over the image and its three mirror images."""
        super().__init__()
        self.network = network.eval()
        self.precision = precision
        self.mirrors = MIRRORS if tta else MIRRORS[:1]

    def forward(self, images: Tensor) -> Tensor:
        """Probability of lesion for each pixel, float32 B×H×W, of uint8 RGB images, B×H×W×3."""
        inputs = to_model_input(to_unit(images))
        total = torch.zeros_like(inputs[:, 0])
        for axes in self.mirrors:
            with autocast(images.device, self.precision):
                logits = self.network(inputs.flip(axes))
            total += torch.sigmoid(logits.float()).flip(axes)[:, 0]
        return total / len(self.mirrors)
