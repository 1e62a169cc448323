import numpy as np
import pytest

from lesion.formats.settings import Settings
from lesion.photos.placement import from_square, place
from lesion.scoring.calibration import calibrated
from lesion.scoring.confidence import NoLesion, expected_dice, review_limit
from lesion.scoring.decision import Decision
from lesion.scoring.postprocess import Rules

RULES = Rules(tta=False, threshold=0.4, largest_component=True, fill_holes=True)
DECISION = Decision(RULES, 1.7, NoLesion(0.3, 1.2))


@pytest.mark.parametrize("policy", ["stretch", "letterbox", "crop"])
def test_masks_are_of_the_photograph_and_confidence_of_what_the_square_shows(policy):
    shape, side = (45, 80), 24
    square = np.random.default_rng(0).random((side, side), np.float32)
    placement = place(policy, *shape, side)
    found = DECISION.of(square, placement, shape)
    assert np.array_equal(found.mask, RULES.mask(from_square(square, placement, *shape)))
    shown = square[placement.target.slices]
    assert np.array_equal(found.probabilities, calibrated(shown, 1.7))
    assert found.expected_dice == expected_dice(
        found.probabilities, RULES.mask(shown), DECISION.no_lesion
    )


def test_a_decision_is_the_same_through_its_settings():
    other = {"weights": "0" * 64, "precision": "auto", "origin": "synthetic", "review_limit": 0.7}
    settings = Settings(**DECISION.named(), **other)
    assert Decision.by(settings) == DECISION


@pytest.mark.parametrize("count, below", [(1, 1), (10, 1), (11, 2), (40, 4), (41, 5)])
def test_a_tenth_of_the_validation_images_would_be_reviewed(count, below):
    expected = np.random.default_rng(count).permutation(count) / count
    assert np.count_nonzero(expected <= review_limit(expected)) == below
