"""Batches of a split, on the device: out of its memory where the split fits into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lesion.inputs import to_unit


@dataclass(frozen=True)
class Split:
    """Images (N×H×W×3) and masks (N×H×W of 0 and 1) of one split, uint8, and their ids.

    They are arrays in memory, arrays mapped from disk, or tensors on a GPU.
    """

    images: np.ndarray | Tensor
    masks: np.ndarray | Tensor
    ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.images)


def resident(split: Split, device: torch.device) -> Split:
    """The split in a GPU's memory, where it takes up less than half of what is free there."""
    if device.type != "cuda" or isinstance(split.images, Tensor):
        return split
    free, _ = torch.cuda.mem_get_info(device)
    if split.images.nbytes + split.masks.nbytes > free / 2:
        return split
    images, masks = (
        torch.from_numpy(np.array(array)).to(device) for array in (split.images, split.masks)
    )
    return Split(images, masks, split.ids)


def load_batch(split: Split, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (B×3×H×W in [0, 1]) and masks (B×1×H×W of 0 and 1) of `rows`, float32."""
    if isinstance(split.images, Tensor):
        where = torch.from_numpy(rows).to(device, non_blocking=True)
        images, masks = split.images[where], split.masks[where]
    else:
        images, masks = (
            torch.from_numpy(array[rows]).to(device, non_blocking=True)
            for array in (split.images, split.masks)
        )
    return to_unit(images), masks[:, None].float()
