"""Scores of a network while it is trained: at its own resolution, on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from lesion.network.device import autocast
from lesion.network.inputs import to_model_input
from lesion.training.batches import Split, load_batch
from lesion.training.loss import LOSSES

if TYPE_CHECKING:
    from lesion.parameters.train import TrainParams


def score_rows(
    score: Callable[[Tensor, Tensor], Tensor],
    split: Split,
    rows: np.ndarray,
    batch_size: int,
    device: torch.device,
) -> Tensor:
    """What `score` gives for batches of the images `rows`, summed: 3 values, float64."""
    totals = torch.zeros(3, dtype=torch.float64, device=device)
    for start in range(0, len(rows), batch_size):
        stop = min(start + batch_size, len(rows))
        # For another size a GPU would make other kernels, which takes seconds: a last batch is
        # filled up with images before it.
        first = max(0, stop - batch_size) if device.type == "cuda" else start
        images, masks = load_batch(split, rows[first:stop], device)
        totals += score(images, masks[start - first :])
    return totals


@torch.no_grad()
def score_batch(model: nn.Module, params: TrainParams, images: Tensor, masks: Tensor) -> Tensor:
    """Loss, Dice and IoU at the images' own resolution, summed over a batch: a tensor of 3.

    `masks` are those of the last images; where they are fewer, the others do not count.
    """
    with autocast(images.device, params.precision):
        logits = model(to_model_input(images))[-len(masks) :]
    loss = LOSSES[params.loss](logits, masks)
    dice, iou = dice_and_iou(logits > 0, masks > 0.5)
    return torch.stack([loss * len(masks), dice.sum(), iou.sum()])


def dice_and_iou(predictions: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Dice and Jaccard (IoU) of each image, in [0, 1]; two empty masks agree, hence 1.

    Both arguments are B×1×H×W and bool; both results have B elements.
    """
    pixels = (1, 2, 3)
    overlap = (predictions & masks).sum(pixels)
    total = predictions.sum(pixels) + masks.sum(pixels)
    union = total - overlap
    dice = torch.where(total > 0, 2 * overlap / total, 1.0)
    iou = torch.where(union > 0, overlap / union, 1.0)
    return dice, iou
