"""Whether the mask of a photograph that EXIF turns was drawn upright, or on the stored pixels.

Some tools turn a photograph before one draws on it, others show the stored pixels, and the mask's
file seldom says which. Its shape tells where the photograph is no square and is turned by a
quarter. Else the colours do: of the two readings the right one parts lesion from skin.
"""

import math
from dataclasses import dataclass

import numpy as np

SAME = 0.95  # Dice from which two readings are one
FLAT = 1e-3  # share of the variance that is noise in any photograph


@dataclass(frozen=True)
class Turn:
    """What tells how the mask of a turned photograph was drawn.

    `by` is the photograph's EXIF orientation. `favour` is above 0 where turning the mask as the
    photograph fits better than leaving it as it is: the logarithm of the ratio of the colours'
    variance that either leaves unexplained, infinite where the shape fits one of them only. `same`
    says that both are one mask, `declared` that the mask's own EXIF calls it upright.
    """

    by: int
    favour: float
    same: bool = False
    declared: bool = False

    @classmethod
    def compared(
        cls, by: int, image: np.ndarray, as_it_is: np.ndarray, turned: np.ndarray, declared: bool
    ) -> "Turn":
        """From an image, H×W×3 uint8, and two readings of its mask, H×W uint8 of 0 and 1."""
        favour = math.log(_unexplained(image, as_it_is) / _unexplained(image, turned))
        both = as_it_is.sum() + turned.sum()
        same = 2 * (as_it_is & turned).sum() >= SAME * both
        return cls(by, favour, bool(same), declared)


def _unexplained(image: np.ndarray, mask: np.ndarray) -> float:
    """Share of the colours' variance that is left when the mask's two parts have their means."""
    pixels, inside = image.reshape(-1, 3).astype(float), mask.ravel() > 0
    whole = pixels.var(axis=0).sum()
    if not whole or inside.all() or not inside.any():
        return 1.0
    left = sum(len(part) * part.var(axis=0).sum() for part in (pixels[inside], pixels[~inside]))
    return float(left / len(pixels) / whole) + FLAT
