import math
from itertools import pairwise
from typing import get_args

import pytest
import torch

from lesion.parameters.train import TrainParams
from lesion.training.schedule import (
    END,
    LEAST,
    MOMENTUM,
    MOST,
    SCHEDULES,
    START,
    WARM_UP,
    one_cycle,
)

DONE = [step / 1000 for step in range(1000)]
JUST_BEFORE_1 = math.nextafter(1, 0)


def test_there_is_a_schedule_for_each_that_params_allow():
    assert set(SCHEDULES) == set(get_args(TrainParams.model_fields["schedule"].annotation))


@pytest.mark.parametrize("name", SCHEDULES)
def test_rate_is_a_positive_share_and_momentum_below_1(name):
    for rate, momentum in map(SCHEDULES[name], [*DONE, JUST_BEFORE_1]):
        assert 0 < rate <= 1 and 0 < momentum < 1


def test_constant_stays_at_the_highest_rate_and_at_the_momentum_that_adamw_has_by_default():
    assert {SCHEDULES["constant"](done) for done in DONE} == {(1.0, MOMENTUM)}
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    assert optimizer.defaults["betas"][0] == MOMENTUM


@pytest.mark.parametrize(
    ("done", "rate", "momentum"),
    [
        (0, START, MOST),
        (WARM_UP / 2, (START + 1) / 2, (MOST + LEAST) / 2),
        (WARM_UP, 1, LEAST),
        ((1 + WARM_UP) / 2, (1 + END) / 2, (MOST + LEAST) / 2),
        (JUST_BEFORE_1, END, MOST),
    ],
)
def test_one_cycle_at_its_ends_its_peak_and_halfway_between(done, rate, momentum):
    assert one_cycle(done) == pytest.approx((rate, momentum), rel=1e-9)


def test_one_cycle_climbs_to_its_one_peak_and_falls_from_there_and_momentum_the_other_way():
    for earlier, later in pairwise([*DONE, JUST_BEFORE_1]):
        up = later <= WARM_UP
        assert (one_cycle(earlier)[0] < one_cycle(later)[0]) == up
        assert (one_cycle(earlier)[1] > one_cycle(later)[1]) == up


def test_one_cycle_has_no_jump():
    steps = [*DONE, JUST_BEFORE_1]
    steepest = math.pi / 2 / WARM_UP / 1000  # of half a cosine that rises by 1
    for earlier, later in pairwise(map(one_cycle, steps)):
        assert abs(later[0] - earlier[0]) <= steepest
        assert abs(later[1] - earlier[1]) <= steepest * (MOST - LEAST)


def test_one_cycle_is_torchs_with_the_same_settings():
    count, highest = 4000, 0.02
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], betas=(0.9, 0.99))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=highest,
        total_steps=count,
        pct_start=0.25,
        anneal_strategy="cos",
        base_momentum=0.85,
        max_momentum=0.95,
        div_factor=25,
        final_div_factor=1e5 / 25,
    )
    for step in range(count):
        rate, momentum = one_cycle(step / count)
        group = optimizer.param_groups[0]
        # Torch counts the steps between the first and the last, one less than there are.
        assert rate == pytest.approx(group["lr"] / highest, abs=0.002)
        assert momentum == pytest.approx(group["betas"][0], abs=0.0002)
        optimizer.step()
        if step < count - 1:
            scheduler.step()
    assert group["lr"] == pytest.approx(END * highest)
