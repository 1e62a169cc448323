from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lesion.scoring import choice as chosen_by
from lesion.scoring.choice import (
    COMPARED,
    OF_OPTION,
    OF_THRESHOLD,
    at_thresholds,
    choose,
    gain,
    sweeps,
    tidyings,
    views,
)
from lesion.scoring.postprocess import Rules
from lesion.scoring.scores import Confusion, ImageScores

AUTO = {"tta": "auto", "threshold": "auto", "largest_component": "auto", "fill_holes": "auto"}


class Squares:
    """Images whose original size is the network's, with true masks in memory."""

    def __init__(self, truths: list[np.ndarray], groups: list[str] | None = None) -> None:
        self.truths = truths
        self.groups = groups or [""] * len(truths)

    def __len__(self) -> int:
        return len(self.truths)

    def truth(self, row: int) -> np.ndarray:
        return self.truths[row]

    def enlarged(self, row: int, probabilities: np.ndarray) -> np.ndarray:
        return probabilities


def knobs(**values: object) -> SimpleNamespace:
    return SimpleNamespace(**{**AUTO, **values})


def lesions(count: int = 12, side: int = 24) -> list[np.ndarray]:
    y, x = np.mgrid[:side, :side]
    return [np.hypot(y - 11, x - 12) < 5 + number % 4 for number in range(count)]


def blurred(truths: list[np.ndarray], inside: float, outside: float) -> np.ndarray:
    """Probabilities `inside` and `outside` the lesions."""
    return np.where(np.stack(truths), np.float32(inside), np.float32(outside))


@pytest.mark.parametrize(
    ("value", "expected"), [("auto", [False, True]), (True, [True]), (False, [False])]
)
def test_predictions_are_needed_for_what_can_be_chosen(value, expected):
    assert views(knobs(tta=value)) == expected


@pytest.mark.parametrize("seed", range(5))
def test_counts_at_thresholds_are_those_of_the_masks(seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.random((13, 9)).astype(np.float32).round(2)  # some on a threshold
    truth = rng.random((13, 9)) < 0.4
    thresholds = sorted({0.05, 0.3, 0.33, 0.5, 0.95, *rng.random(3).round(2).tolist()})
    for threshold, counted in zip(
        thresholds, at_thresholds(probabilities, truth, thresholds), strict=True
    ):
        mask = Rules(False, threshold, False, False).mask(probabilities)
        assert counted == Confusion.between(mask, truth)


@pytest.mark.parametrize("pixels", [1, 20, 1000])
def test_counts_do_not_depend_on_how_many_pixels_are_taken_at_once(monkeypatch, pixels):
    rng = np.random.default_rng(0)
    probabilities, truth = rng.random((13, 9)).astype(np.float32), rng.random((13, 9)) < 0.4
    whole = at_thresholds(probabilities, truth, (0.2, 0.5, 0.9))
    monkeypatch.setattr(chosen_by, "STRIP", pixels)
    assert at_thresholds(probabilities, truth, (0.2, 0.5, 0.9)) == whole


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_maps_of_one_value_are_counted_too(value):
    probabilities, truth = np.full((4, 4), value, np.float32), np.eye(4) > 0
    for threshold, counted in zip(
        (0.2, 0.5, 0.9), at_thresholds(probabilities, truth, (0.2, 0.5, 0.9)), strict=True
    ):
        assert counted == Confusion.between(probabilities >= threshold, truth)


def test_a_sweep_has_the_scores_of_each_image_at_each_threshold():
    truths, rng = lesions(4), np.random.default_rng(0)
    maps = rng.random((4, 24, 24)).astype(np.float32)
    table = sweeps({False: maps}, Squares(truths), [0.2, 0.6])[False]
    for threshold in (0.2, 0.6):
        scores = [
            ImageScores.of(Confusion.between(found >= np.float32(threshold), truth))
            for found, truth in zip(maps, truths, strict=True)
        ]
        for name in COMPARED:
            assert table[threshold][name].tolist() == [getattr(score, name) for score in scores]


def test_each_variant_has_the_scores_of_the_masks_that_its_rules_make():
    truths, rng = lesions(5), np.random.default_rng(0)
    maps = rng.random((5, 24, 24)).astype(np.float32)
    for asked in ([(False, False), (False, True), (True, False), (True, True)], [(True, False)]):
        found = tidyings(Rules(False, 0.4, False, False), maps, Squares(truths), asked)
        assert list(found) == asked
        for variant, table in found.items():
            rules = Rules(False, 0.4, *variant)
            scores = [
                ImageScores.of(Confusion.between(rules.mask(square), truth))
                for square, truth in zip(maps, truths, strict=True)
            ]
            for name in COMPARED:
                assert table[name].tolist() == [getattr(score, name) for score in scores]


def test_where_nothing_is_better_all_stays_as_it_is():
    truths = lesions()
    perfect = blurred(truths, 0.99, 0.01)
    choice = choose(knobs(), {False: perfect, True: perfect}, Squares(truths))
    assert choice.rules == Rules(False, 0.5, False, False)
    assert choice.sweep["iou"].tolist() == [1.0] * 19
    assert choice.steps.groupby("question")["option"].nunique().eq(2).all()


def test_a_gain_that_may_be_chance_is_not_taken_and_one_on_all_images_is():
    truths = lesions()
    lucky = blurred(truths, 0.9, 0.1)
    lucky[0][0, :] = 0.9  # one image is better with mirror images, the others are equal
    better = blurred(truths, 0.9, 0.1)
    choice = choose(knobs(), {False: lucky, True: better}, Squares(truths))
    asked = choice.steps[choice.steps["question"] == "tta"].set_index("option")
    assert asked.loc["true", "iou"] > asked.loc["false", "iou"]
    assert not choice.rules.tta
    lucky[:, 0, :] = 0.9
    assert choose(knobs(), {False: lucky, True: better}, Squares(truths)).rules.tta


@pytest.mark.parametrize(("count", "taken"), [(3, False), (9, False), (10, True)])
def test_of_fewer_than_ten_images_no_gain_is_enough(count, taken):
    truths = lesions(count)
    bad, good = blurred(truths, 0.42, 0.38), blurred(truths, 0.9, 0.1)
    for view in good:
        view[10:13, 11:14] = 0.1  # a hole
        view[0, :2] = 0.9  # a speck
    found = choose(knobs(), {False: bad, True: good}, Squares(truths)).rules
    assert found == (Rules(True, 0.5, True, True) if taken else Rules(False, 0.5, False, False))


def scores(*iou: float) -> pd.DataFrame:
    return pd.DataFrame({"iou": iou})


def test_more_evidence_for_an_option_never_speaks_against_it():
    rng = np.random.default_rng(3)
    before = scores(*rng.random(30))
    after = before + rng.normal(0, 0.05, (30, 1))
    for share in (OF_THRESHOLD, OF_OPTION):
        at_first = gain(after, before, [""] * 30, share)
        assert gain(after + 0.01, before, [""] * 30, share) > at_first
        twice = [pd.concat([table, table]) for table in (after, before)]
        surer = gain(*twice, [""] * 60, share)
        assert surer >= at_first, "the same on twice as many images"


def test_images_of_one_group_are_one_piece_of_evidence():
    rng = np.random.default_rng(4)
    before, after = scores(*rng.random(12)), scores(*rng.random(12))
    groups = [f"patient {number}" for number in range(12)]
    thrice = [table.loc[table.index.repeat(3)].reset_index(drop=True) for table in (after, before)]
    of_groups = gain(*thrice, [name for name in groups for _ in range(3)], OF_OPTION)
    assert of_groups == pytest.approx(gain(after, before, groups, OF_OPTION))
    assert of_groups < gain(*thrice, [""] * 36, OF_OPTION)
    assert gain(*thrice, [name for name in groups[:9] for _ in range(4)], OF_OPTION) == -np.inf


@pytest.mark.parametrize("better", [1, 2])
def test_no_image_decides_alone_that_an_option_is_taken(better):
    truths = lesions(40)
    specks = blurred(truths, 0.9, 0.1)
    specks[:better, 0, :2] = 0.9
    choice = choose(knobs(tta=False), {False: specks}, Squares(truths))
    assert choice.rules.largest_component == (better > 1)


def test_no_patient_with_two_images_decides_alone_either():
    truths = lesions(40)
    specks = blurred(truths, 0.9, 0.1)
    specks[:2, 0, :2] = 0.9
    pairs = [f"patient {number // 2}" for number in range(40)]
    for groups, taken in ((None, True), (pairs, False)):
        found = choose(knobs(tta=False), {False: specks}, Squares(truths, groups))
        assert found.rules.largest_component == taken


def test_mirror_images_are_taken_if_they_are_better():
    truths = lesions()
    bad, good = blurred(truths, 0.4, 0.1), blurred(truths, 0.9, 0.1)
    assert choose(knobs(), {False: bad, True: good}, Squares(truths)).rules.tta
    assert not choose(knobs(), {False: good, True: bad}, Squares(truths)).rules.tta


def test_what_is_asked_later_is_asked_of_what_was_taken():
    truths = lesions()
    bad, good = blurred(truths, 0.4, 0.1), blurred(truths, 0.9, 0.1)
    for view in good:
        view[10:13, 11:14] = 0.1  # a hole
        view[0, :2] = 0.9  # a speck
    choice = choose(knobs(), {False: bad, True: good}, Squares(truths))
    assert choice.rules == Rules(True, 0.5, True, True)
    steps = choice.steps.set_index(["question", "option"])["iou"]
    assert steps["tta", "true"] == steps["threshold", "0.5"] == steps["largest_component", "false"]
    assert steps["largest_component", "true"] == steps["fill_holes", "false"]
    assert steps["fill_holes", "true"] == 1
    assert choice.sweep.set_index("threshold").loc[0.5, "iou"] == steps["tta", "true"]


@pytest.mark.parametrize(("inside", "outside"), [(0.42, 0.38), (0.82, 0.78)])
def test_the_threshold_that_parts_lesion_from_skin_is_taken(inside, outside):
    truths = lesions()
    maps = blurred(truths, inside, outside)
    choice = choose(knobs(tta=False), {False: maps}, Squares(truths))
    assert choice.rules.threshold == pytest.approx(round((inside + outside) / 2, 1))
    asked = choice.steps[choice.steps["question"] == "threshold"]
    assert asked["option"].tolist() == ["0.5", str(choice.rules.threshold)]
    assert asked["taken"].tolist() == [False, True] and asked["iou"].iloc[1] == 1


def test_the_largest_component_is_taken_where_specks_are_wrong_and_left_where_they_are_right():
    truths = lesions()
    specks = [truth.copy() for truth in truths]
    for mask in specks:
        mask[0, :2] = True
    maps = blurred(specks, 0.9, 0.1)
    assert choose(knobs(tta=False), {False: maps}, Squares(truths)).rules.largest_component
    assert not choose(knobs(tta=False), {False: maps}, Squares(specks)).rules.largest_component


def test_holes_are_filled_where_they_are_wrong_and_left_where_they_are_right():
    truths = lesions()
    rings = [truth.copy() for truth in truths]
    for mask in rings:
        mask[10:13, 11:14] = False
    maps = blurred(rings, 0.9, 0.1)
    assert choose(knobs(tta=False), {False: maps}, Squares(truths)).rules.fill_holes
    assert not choose(knobs(tta=False), {False: maps}, Squares(rings)).rules.fill_holes


def test_what_is_fixed_is_not_asked_and_noted():
    truths = lesions()
    maps = blurred([~truth for truth in truths], 0.9, 0.1)  # anything would be better
    fixed = {"tta": True, "threshold": 0.37, "largest_component": True, "fill_holes": False}
    choice = choose(knobs(**fixed), {True: maps}, Squares(truths))
    assert choice.rules == Rules(**fixed)
    assert choice.steps["option"].tolist() == ["true", "0.37", "true", "false"]
    assert choice.steps["taken"].all() and 0.37 in choice.sweep["threshold"].tolist()


def test_steps_name_each_question_with_its_options_and_scores():
    truths = lesions()
    maps = blurred(truths, 0.42, 0.38)
    steps = choose(knobs(), {False: maps, True: maps}, Squares(truths)).steps
    assert steps.columns.tolist() == ["question", "option", *COMPARED, "taken"]
    assert steps.groupby("question", sort=False)["option"].agg(list).to_dict() == {
        "tta": ["false", "true"],
        "threshold": ["0.5", "0.4"],
        "largest_component": ["false", "true"],
        "fill_holes": ["false", "true"],
    }
    assert steps.groupby("question")["taken"].sum().eq(1).all()


def test_the_order_of_the_images_changes_nothing():
    rng = np.random.default_rng(1)
    truths = lesions(13)
    maps = {tta: rng.random((13, 24, 24)).astype(np.float32) for tta in (False, True)}
    order = rng.permutation(13)
    one = choose(knobs(), maps, Squares(truths))
    mixed = {tta: found[order] for tta, found in maps.items()}
    other = choose(knobs(), mixed, Squares([truths[row] for row in order]))
    assert one.rules == other.rules
    pd.testing.assert_frame_equal(one.steps, other.steps)


def test_workers_change_nothing():
    rng = np.random.default_rng(0)
    truths = lesions(9)
    maps = {tta: rng.random((9, 24, 24)).astype(np.float32) for tta in (False, True)}
    one, other = (choose(knobs(), maps, Squares(truths), workers) for workers in (1, 5))
    assert one.rules == other.rules
    pd.testing.assert_frame_equal(one.steps, other.steps, check_exact=True)
    pd.testing.assert_frame_equal(one.sweep, other.sweep, check_exact=True)
