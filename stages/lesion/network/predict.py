"""From uint8 images to lesion probabilities."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from lesion.network.device import autocast
from lesion.network.inputs import to_model_input, to_unit
from lesion.pipeline.parallel import in_order

MIRRORS = ((), (3,), (2,), (2, 3))  # axes of B×C×H×W to turn round
TOGETHER = {"cpu": 8, "cuda": 32}  # images a forward pass


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


def probability_maps(
    predictor: Predictor, images: np.ndarray, device: torch.device, workers: int = 0
) -> Iterator[np.ndarray]:
    """Lesion probabilities, H×W float32, of each of N×H×W×3 uint8 images, in their order.

    On a processor an image's probabilities are the same to the bit whatever images lie beside it
    and however many `workers` (0: one a core) share the work: each forward pass is of equally many
    images, on one thread. It is also faster than all threads at one forward pass.
    """
    together = TOGETHER[device.type]

    def predict(start: int) -> np.ndarray:
        torch.set_num_threads(1)  # of this worker
        batch = images[start : start + together]
        rows = np.arange(together) % len(batch)  # the last ones are repeated to fill it up
        with torch.no_grad():  # which is set in each thread by itself
            maps = predictor(torch.from_numpy(batch[rows]).to(device))
        return maps[: len(batch)].cpu().numpy()

    starts = range(0, len(images), together)
    for maps in in_order(predict, starts, workers if device.type == "cpu" else 1):
        yield from maps
