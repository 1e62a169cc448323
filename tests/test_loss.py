import math

import pytest
import torch

from lesion.loss import segmentation_loss, soft_dice_loss


def tensor(*rows: list[float]) -> torch.Tensor:
    """B×1×1×W of B rows."""
    return torch.tensor(rows, dtype=torch.float32)[:, None, None]


def test_soft_dice_is_that_computed_by_hand():
    # Probabilities 0.5 at 4 pixels, 2 of them lesion: 1 - (2 * 1 + 1) / (2 + 2 + 1).
    assert soft_dice_loss(tensor([0] * 4), tensor([1, 1, 0, 0])).item() == pytest.approx(0.4)


def test_loss_is_cross_entropy_plus_soft_dice():
    logits, masks = tensor([math.log(3), -math.log(3)]), tensor([1, 0])
    # Probabilities 3/4 and 1/4: cross-entropy ln(4/3), Dice (2 * 0.75 + 1) / (1 + 1 + 1).
    expected = math.log(4 / 3) + 1 - 2.5 / 3
    assert segmentation_loss(logits, masks).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mask", [[0, 0, 0], [1, 1, 1], [1, 0, 1]])
def test_loss_is_0_where_the_prediction_is_perfect_and_sure(mask):
    masks = tensor(mask)
    assert segmentation_loss((masks * 2 - 1) * 100, masks).item() == pytest.approx(0, abs=1e-6)


def test_loss_is_the_mean_of_the_images_losses():
    logits, masks = tensor([2, -1, 0.5], [-3, 1, 1]), tensor([1, 0, 0], [0, 0, 0])
    alone = [segmentation_loss(logits[[i]], masks[[i]]).item() for i in range(2)]
    assert segmentation_loss(logits, masks).item() == pytest.approx(sum(alone) / 2, abs=1e-6)


@pytest.mark.parametrize("logit", [0.0, 1e4, -1e4, 1e30, -1e30])
@pytest.mark.parametrize("mask", [0, 1])
def test_loss_and_gradient_are_finite_for_empty_and_full_masks_and_extreme_logits(logit, mask):
    logits = torch.full((2, 1, 4, 4), logit, requires_grad=True)
    loss = segmentation_loss(logits, torch.full((2, 1, 4, 4), mask))
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_loss_is_computed_in_float32_whatever_the_logits_are(dtype):
    logits = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    masks = logits > 0.5
    loss = segmentation_loss(logits, masks)
    assert loss.dtype == torch.float32
    assert loss.item() == segmentation_loss(logits.float(), masks.float()).item()


def test_soft_dice_lies_in_0_to_1():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        logits = torch.randn(1, 1, 3, 3, generator=generator) * 5
        masks = torch.randint(2, (1, 1, 3, 3), generator=generator).float()
        assert 0 <= soft_dice_loss(logits, masks).item() <= 1


def test_loss_falls_as_a_logit_moves_to_its_true_side():
    masks = tensor([1, 0])
    losses = [segmentation_loss(tensor([x, -x]), masks).item() for x in (-4, -1, 0, 1, 4)]
    assert losses == sorted(losses, reverse=True)
