"""Batches of a split, on the device: out of its memory where the split fits into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lesion.network.inputs import to_unit
from lesion.training.frames import Frames


@dataclass(frozen=True)
class Split:
    """Images (N×H×W×3) and masks (N×H×W of 0 and 1) of one split, uint8, and their ids.

    They are arrays in memory, arrays mapped from disk, or tensors on a GPU.
    """

    images: np.ndarray | Tensor
    masks: np.ndarray | Tensor
    ids: Sequence[str]
    frames: Frames | None = None  # None: square photographs, which fill their squares

    @classmethod
    def of(cls, index: Mapping[str, Sequence], images: np.ndarray, masks: np.ndarray) -> Split:
        """A split of arrays/, `index` being the columns of its rows in index.csv."""
        return cls(images, masks, list(index["id"]), Frames.of(index, side=images.shape[1]))

    def part(self, rows: Sequence[int]) -> Split:
        """Some of its images, in memory."""
        return Split(
            self.images[rows],
            self.masks[rows],
            [self.ids[row] for row in rows],
            self.frames[rows] if self.frames else None,
        )

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
    return replace(split, images=images, masks=masks)


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
