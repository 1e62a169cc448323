"""From the network's probabilities to a mask at the photograph's size, and how sure it is.

What `evaluate` scores and whatever else uses the model decide by the same lines.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np

from lesion.formats.settings import Settings
from lesion.photos.placement import Placement, from_square
from lesion.scoring.calibration import calibrated
from lesion.scoring.confidence import NoLesion, expected_dice
from lesion.scoring.postprocess import Rules


@dataclass(frozen=True)
class Decided:
    """`mask` is H×W bool, at the photograph's size.

    `probabilities` is the part of the square that shows the photograph, float32 in [0, 1],
    calibrated; `expected_dice` that of the mask, in [0, 1].
    """

    mask: np.ndarray
    probabilities: np.ndarray
    expected_dice: float


@dataclass(frozen=True)
class Decision:
    """All that is chosen on validation once a network is trained."""

    rules: Rules
    temperature: float
    no_lesion: NoLesion

    @classmethod
    def by(cls, settings: Settings) -> Decision:
        rules = Rules(**{field.name: getattr(settings, field.name) for field in fields(Rules)})
        no_lesion = NoLesion(settings.no_lesion_odds, settings.no_lesion_slope)
        return cls(rules, settings.temperature, no_lesion)

    def named(self) -> dict[str, float | bool]:
        """Its numbers under the names that `Settings` has for them."""
        no_lesion = {f"no_lesion_{name}": value for name, value in asdict(self.no_lesion).items()}
        return {**asdict(self.rules), "temperature": self.temperature, **no_lesion}

    def of(self, square: np.ndarray, placement: Placement, shape: tuple[int, int]) -> Decided:
        """For a photograph of `shape` (height, width), whose probabilities are `square`, S×S."""
        mask = self.rules.mask(from_square(square, placement, *shape))
        shown = square[placement.target.slices]
        probabilities = calibrated(shown, self.temperature)
        expected = expected_dice(probabilities, self.rules.mask(shown), self.no_lesion)
        return Decided(mask, probabilities, expected)
