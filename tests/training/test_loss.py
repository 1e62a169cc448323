import math
from typing import get_args

import pytest
import torch

from lesion.parameters.train import TrainParams
from lesion.training.loss import LOSSES, cross_entropy, cross_entropy_and_dice, soft_dice_loss

each_loss = pytest.mark.parametrize("loss_of", LOSSES.values(), ids=LOSSES)


def tensor(*rows: list[float]) -> torch.Tensor:
    """B×1×1×W of B rows."""
    return torch.tensor(rows, dtype=torch.float32)[:, None, None]


def test_there_is_a_loss_for_each_that_params_allow():
    assert set(LOSSES) == set(get_args(TrainParams.model_fields["loss"].annotation))


def test_soft_dice_is_that_computed_by_hand():
    # Probabilities 0.5 at 4 pixels, 2 of them lesion: 1 - (2 * 1 + 1) / (2 + 2 + 1).
    assert soft_dice_loss(tensor([0] * 4), tensor([1, 1, 0, 0])).item() == pytest.approx(0.4)


@pytest.mark.parametrize(("name", "dice"), [("bce", 0), ("bce_dice", 1 - 2.5 / 3)])
def test_loss_is_cross_entropy_plus_soft_dice_where_its_name_says_so(name, dice):
    logits, masks = tensor([math.log(3), -math.log(3)]), tensor([1, 0])
    # Probabilities 3/4 and 1/4: cross-entropy ln(4/3), Dice (2 * 0.75 + 1) / (1 + 1 + 1).
    expected = math.log(4 / 3) + dice
    assert LOSSES[name](logits, masks).item() == pytest.approx(expected, abs=1e-6)


def test_cross_entropy_counts_pixels_and_dice_counts_images():
    # A small lesion is missed, a large one is found: Dice counts that as half.
    logits = tensor([-50] * 100, [50] * 100)
    masks = tensor([1] + [0] * 99, [1] * 100)
    assert cross_entropy(logits, masks).item() == pytest.approx(50 / 200, rel=1e-5)
    assert soft_dice_loss(logits, masks).item() == pytest.approx((1 - 1 / 2) / 2, rel=1e-5)


@each_loss
@pytest.mark.parametrize("mask", [[0, 0, 0], [1, 1, 1], [1, 0, 1]])
def test_loss_is_0_where_the_prediction_is_perfect_and_sure(loss_of, mask):
    masks = tensor(mask)
    assert loss_of((masks * 2 - 1) * 100, masks).item() == pytest.approx(0, abs=1e-6)


@each_loss
def test_loss_is_the_mean_of_the_images_losses(loss_of):
    logits, masks = tensor([2, -1, 0.5], [-3, 1, 1]), tensor([1, 0, 0], [0, 0, 0])
    alone = [loss_of(logits[[i]], masks[[i]]).item() for i in range(2)]
    assert loss_of(logits, masks).item() == pytest.approx(sum(alone) / 2, abs=1e-6)


@each_loss
@pytest.mark.parametrize("logit", [0.0, 1e4, -1e4, 1e30, -1e30])
@pytest.mark.parametrize("mask", [0, 1])
def test_loss_and_gradient_are_finite_for_empty_and_full_masks_and_extreme_logits(
    loss_of, logit, mask
):
    logits = torch.full((2, 1, 4, 4), logit, requires_grad=True)
    loss = loss_of(logits, torch.full((2, 1, 4, 4), mask))
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize("loss_of", [cross_entropy, soft_dice_loss, cross_entropy_and_dice])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_loss_is_computed_in_float32_whatever_the_logits_are(loss_of, dtype):
    logits = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    masks = logits > 0.5
    loss = loss_of(logits, masks)
    assert loss.dtype == torch.float32 and loss.shape == ()
    assert loss.item() == loss_of(logits.float(), masks.float()).item()


def test_soft_dice_lies_in_0_to_1():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        logits = torch.randn(1, 1, 3, 3, generator=generator) * 5
        masks = torch.randint(2, (1, 1, 3, 3), generator=generator).float()
        assert 0 <= soft_dice_loss(logits, masks).item() <= 1


@each_loss
def test_loss_falls_as_a_logit_moves_to_its_true_side(loss_of):
    masks = tensor([1, 0])
    losses = [loss_of(tensor([x, -x]), masks).item() for x in (-4, -1, 0, 1, 4)]
    assert losses == sorted(losses, reverse=True) and losses[0] > losses[-1] + 1
