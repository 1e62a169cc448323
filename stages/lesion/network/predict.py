"""From uint8 images to lesion probabilities."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lesion.network.device import autocast
from lesion.network.folding import folded, rectify
from lesion.network.inputs import to_model_input, to_unit
from lesion.pipeline.parallel import in_order

MIRRORS = ((), (3,), (2,), (2, 3))  # axes of B×C×H×W to turn round
TOGETHER = {"cpu": 8, "cuda": 32}  # views a forward pass


class Predictor(nn.Module):
    """A network behind the simplest interface: photographs in, probabilities out.

    It has a copy of the network as it was given, made faster: without BatchNorm, in bfloat16 where
    `precision` asks for that, and on a processor without ReLU.
    """

    def __init__(self, network: nn.Module, precision: str = "float32") -> None:
        super().__init__()
        self.network = folded(network)
        self.precision = precision
        device = next(network.parameters()).device
        with autocast(device, precision):
            if torch.is_autocast_enabled(device.type):
                _convert_weights(self.network)
        rectify(self.network)

    def forward(self, images: Tensor, tta: bool = False) -> Tensor:
        """Probability of lesion for each pixel, float32 B×H×W, of uint8 RGB images, B×H×W×3.

        `tta` (test-time augmentation): the mean over the image and its three mirror images.
        """
        return _mean(self.views(images, tta))

    def views(self, images: Tensor, tta: bool) -> list[Tensor]:
        """As `forward`, by the image alone; with `tta` also by each of its mirror images alone."""
        mirrors = MIRRORS if tta else MIRRORS[:1]
        inputs = to_model_input(to_unit(images))
        with autocast(images.device, self.precision):
            logits = self.network(torch.cat([inputs.flip(axes) for axes in mirrors]))  # VB×1×H×W
        # In float64, as torch rounds the last pixels of a batch otherwise than those before them.
        views = torch.sigmoid(logits.double()).float().unflatten(0, (len(mirrors), -1))
        return [view.flip(axes)[:, 0] for view, axes in zip(views, mirrors, strict=True)]


def images_a_pass(device: torch.device, mirrored: bool) -> int:
    """Of how many images a forward pass is, `mirrored` those with their mirror images."""
    return TOGETHER[device.type] // (len(MIRRORS) if mirrored else 1)


def probability_maps(
    predictor: Predictor,
    images: np.ndarray,
    device: torch.device,
    tta: Sequence[bool] = (False,),
    workers: int = 0,
) -> Iterator[np.ndarray]:
    """Lesion probabilities of each of N×H×W×3 uint8 images, in their order.

    Those of an image are K×H×W float32: for each of K values of `tta` by the image alone, or the
    mean over it and its mirror images. No view is predicted twice.

    On a processor an image's probabilities are the same to the bit whatever images lie beside it,
    whatever else is asked for, and however many `workers` (0: one a core) share the work: each
    forward pass is of equally many views, on one thread.
    """
    mirrored = any(tta)
    together = images_a_pass(device, mirrored)

    def predict(start: int) -> np.ndarray:
        torch.set_num_threads(1)  # of this worker
        batch = images[start : start + together]
        rows = np.arange(together) % len(batch)  # the last ones are repeated to fill it up
        with torch.no_grad():  # which is set in each thread by itself
            views = predictor.views(torch.from_numpy(batch[rows]).to(device), mirrored)
            maps = torch.stack([_mean(views if mean else views[:1]) for mean in tta], dim=1)
        return maps[: len(batch)].cpu().numpy()

    starts = range(0, len(images), together)
    for maps in in_order(predict, starts, workers if device.type == "cpu" else 1):
        yield from maps


def _mean(views: list[Tensor]) -> Tensor:
    # Torch's own mean may add in another order at the end of the memory than before it.
    return sum(views[1:], start=views[0]) / len(views)


def _convert_weights(network: nn.Module) -> None:
    """Weights that autocast takes in bfloat16, and would convert at each forward pass."""
    for module in network.modules():
        if type(module) in (nn.Conv2d, nn.ConvTranspose2d, nn.Linear):  # not those of mixed.py
            module.bfloat16()
