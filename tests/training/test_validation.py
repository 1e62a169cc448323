from functools import partial
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lesion.network.predict import Predictor
from lesion.network.unet import UNet
from lesion.scoring.scores import Confusion
from lesion.training.batches import Split, load_batch
from lesion.training.loss import LOSSES
from lesion.training.validation import dice_and_iou, score_batch, score_rows

CPU = torch.device("cpu")
PARAMS = SimpleNamespace(precision="float32", loss="bce_dice")


def means(network: UNet, split: Split, batch_size: int) -> list[float]:
    rows = np.arange(len(split))
    totals = score_rows(partial(score_batch, network, PARAMS), split, rows, batch_size, CPU)
    return (totals / len(split)).tolist()


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_evaluation_does_not_depend_on_the_batch_size(train_split, validation_split, batch_size):
    torch.manual_seed(0)
    network = UNet(2, 2).eval()
    for split in (train_split, validation_split):
        whole = means(network, split, len(split))
        assert means(network, split, batch_size) == pytest.approx(whole)


def test_sums_over_parts_of_a_split_are_the_sum_over_all(train_split):
    torch.manual_seed(0)
    score, rows = partial(score_batch, UNet(2, 2).eval(), PARAMS), np.arange(len(train_split))
    whole, *parts = (
        score_rows(score, train_split, part, 3, CPU)
        for part in (rows, rows[0::3], rows[1::3], rows[2::3], rows[:0])
    )
    torch.testing.assert_close(sum(parts), whole)
    assert not parts[-1].any()


def test_images_without_a_mask_do_not_count(train_split):
    torch.manual_seed(0)
    network = UNet(2, 2).eval()
    images, masks = load_batch(train_split, np.arange(5), CPU)
    last = score_batch(network, PARAMS, images[2:], masks[2:])
    torch.testing.assert_close(score_batch(network, PARAMS, images, masks[2:]), last)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_scores_are_those_of_the_probabilities_that_the_predictor_gives(
    train_split, precision, loss
):
    torch.manual_seed(0)
    network, count = UNet(2, 2).eval(), len(train_split)
    params = SimpleNamespace(precision=precision, loss=loss)
    score = partial(score_batch, network, params)
    totals = score_rows(score, train_split, np.arange(count), count, CPU)
    assert not totals.requires_grad

    with torch.no_grad():
        probabilities = Predictor(network, precision)(torch.from_numpy(train_split.images))
    masks = torch.from_numpy(train_split.masks)
    mean = LOSSES[loss](probabilities.logit()[:, None], masks[:, None]).item()
    confusions = [
        Confusion.between(prediction, mask)
        for prediction, mask in zip(probabilities.numpy() > 0.5, masks.numpy() > 0, strict=True)
    ]
    dice, iou = (sum(getattr(each, name) for each in confusions) for name in ("dice", "iou"))
    assert totals.tolist() == pytest.approx([mean * count, dice, iou], rel=1e-5)


def test_dice_and_iou_agree_with_the_scores():
    rng = np.random.default_rng(0)
    shares = list(product([0, 0.2, 0.7, 1], repeat=2))
    predictions, masks = (
        np.stack([rng.random((6, 7)) < pair[which] for pair in shares])[:, None]
        for which in range(2)
    )
    dice, iou = dice_and_iou(torch.from_numpy(predictions), torch.from_numpy(masks))
    assert dice.shape == iou.shape == (16,)
    for row, (prediction, mask) in enumerate(zip(predictions, masks, strict=True)):
        confusion = Confusion.between(prediction, mask)
        assert dice[row].item() == pytest.approx(confusion.dice)
        assert iou[row].item() == pytest.approx(confusion.iou)
