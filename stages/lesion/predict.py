"""From uint8 images to lesion probabilities."""

import torch
from torch import Tensor, nn

from lesion.device import autocast
from lesion.inputs import to_model_input, to_unit


class Predictor(nn.Module):
    """A network behind the simplest interface: photographs in, probabilities out."""

    def __init__(self, network: nn.Module, precision: str = "float32") -> None:
        super().__init__()
        self.network = network.eval()
        self.precision = precision

    def forward(self, images: Tensor) -> Tensor:
        """Probability of lesion for each pixel, float32 B×H×W, of uint8 RGB images, B×H×W×3."""
        inputs = to_model_input(to_unit(images))
        with autocast(images.device, self.precision):
            logits = self.network(inputs)
        return torch.sigmoid(logits.float())[:, 0]
