"""Where photographs lie in the network's squares and what shape they have: what turning must know.

A photograph of 4:3 that `stretch` made a square is narrower there than it was, and a lesion that is
turned in that square changes its shape. `letterbox` keeps the shape, and puts black bars beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Frames:
    """Of N photographs; x, to the right, and y, down, go from -1 to 1 over the square.

    They stay on the CPU, where it is drawn what happens to the images.
    """

    boxes: Tensor  # N×2×2: x and y of the photograph's middle; half its width and its height
    aspects: Tensor  # N: width by height, in the photograph, of what is a pixel of the square

    @classmethod
    def whole(cls, count: int, aspect: float = 1.0) -> Frames:
        """Photographs without bars."""
        boxes = torch.tensor([[0.0, 0], [1, 1]]).repeat(count, 1, 1)
        return cls(boxes, torch.full((count,), aspect))

    @classmethod
    def of(cls, index: Mapping[str, Sequence[int]], side: int) -> Frames:
        """From the columns of arrays/index.csv, for squares of `side` pixels."""

        def pairs(box: str, *fields: str) -> np.ndarray:
            return np.stack([np.asarray(index[f"{box}_{field}"]) for field in fields], axis=1)

        source, target = (pairs(box, "width", "height") for box in ("source", "target"))
        half = target / side
        middle = 2 * pairs("target", "left", "top") / side - 1 + half
        pixel = source / target
        return cls(
            torch.from_numpy(np.stack([middle, half], axis=1)).float(),
            torch.from_numpy(pixel[:, 0] / pixel[:, 1]).float(),
        )

    @property
    def have_bars(self) -> bool:
        """Whether any of them leaves a part of its square black."""
        return bool((self.boxes[:, 1] < 1).any())

    def __getitem__(self, rows: np.ndarray | slice | Sequence[int]) -> Frames:
        return Frames(self.boxes[rows], self.aspects[rows])
