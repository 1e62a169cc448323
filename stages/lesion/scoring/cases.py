"""All that is said of one image's predicted mask."""

from __future__ import annotations

from dataclasses import asdict, fields

import numpy as np

from lesion.scoring.boundary import BoundaryScores
from lesion.scoring.decision import Decided
from lesion.scoring.scores import Confusion, ImageScores

# As `case` gives them, in its order.
COLUMNS = [
    *(field.name for kind in (ImageScores, BoundaryScores) for field in fields(kind)),
    *("expected_dice", "lesion_share", "predicted_share"),
    *(field.name for field in fields(Confusion)),
]


def case(decided: Decided, truth: np.ndarray) -> dict[str, float]:
    """A row of metrics/per_image.csv, of what was decided and the true mask, H×W bool."""
    confusion = Confusion.between(decided.mask, truth)
    return {
        **asdict(ImageScores.of(confusion)),
        **asdict(BoundaryScores.between(decided.mask, truth)),
        "expected_dice": decided.expected_dice,
        "lesion_share": (confusion.tp + confusion.fn) / confusion.pixels,
        "predicted_share": (confusion.tp + confusion.fp) / confusion.pixels,
        **asdict(confusion),
    }
