import subprocess
import sys
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from lesion import training
from lesion.augment import augment
from lesion.checkpoint import load_checkpoint, save_checkpoint
from lesion.errors import InputError
from lesion.params import TrainParams
from lesion.scores import Confusion
from lesion.training import Split, Trainer, dice_and_iou, evaluate_split
from lesion.unet import UNet

CPU = torch.device("cpu")


def settings(**changes: object) -> TrainParams:
    defaults = {
        "seed": 0,
        "threads": 1,
        "precision": "float32",
        "width": 4,
        "depth": 2,
        "epochs": 4,
        "batch_size": 4,
        "lr": 1e-2,
        "weight_decay": 0.01,
        "average_decay": 0.9,
        "augmentation": 0.5,
    }
    return TrainParams(**{**defaults, **changes})


@pytest.fixture
def trainer(train_split, validation_split):
    def trainer(train: Split = train_split, **changes: object) -> Trainer:
        return Trainer(settings(**changes), train, validation_split, CPU)

    return trainer


def finish(trainer: Trainer) -> Trainer:
    while trainer.epoch < trainer.params.epochs:
        trainer.run_epoch()
    return trainer


def first(split: Split, count: int) -> Split:
    return Split(split.images[:count], split.masks[:count])


def assert_same(one: object, other: object) -> None:
    """Equal bit for bit, through all the levels of a state."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == other


def test_two_trainings_are_equal_bit_for_bit(trainer):
    assert_same(finish(trainer()).state_dict(), finish(trainer()).state_dict())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("stop", [1, 3])
def test_a_training_that_goes_on_ends_bit_for_bit_as_the_uninterrupted_one(
    trainer, tmp_path, stop, precision
):
    whole = finish(trainer(precision=precision))
    broken_off = trainer(precision=precision)
    for _ in range(stop):
        broken_off.run_epoch()
    save_checkpoint(tmp_path / "train.pt", "same", broken_off.state_dict())
    torch.rand(7)  # the global generator may have moved on

    resumed = trainer(precision=precision)
    resumed.load_state_dict(load_checkpoint(tmp_path / "train.pt", "same"))
    assert resumed.epoch == stop
    assert_same(resumed.state_dict(), broken_off.state_dict())
    finish(resumed)
    assert resumed.history == whole.history
    assert_same(resumed.state_dict(), whole.state_dict())


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"lr": 2e-2}, {"augmentation": 0.0}, {"weight_decay": 1.0}], ids=str
)
def test_every_setting_counts(trainer, change):
    one, other = trainer(epochs=1), trainer(epochs=1, **change)
    one.run_epoch()
    other.run_epoch()
    assert not torch.equal(one.model.head.weight, other.model.head.weight)


def test_mapped_arrays_give_what_arrays_in_memory_give(trainer, train_split, tmp_path):
    mapped = []
    for name, array in vars(train_split).items():
        np.save(tmp_path / f"{name}.npy", array)
        mapped.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    assert_same(
        finish(trainer(Split(*mapped), epochs=1)).state_dict(),
        finish(trainer(epochs=1)).state_dict(),
    )


def test_loss_falls_and_dice_rises_on_a_few_synthetic_images(trainer):
    trained = finish(trainer(epochs=15, width=8, augmentation=0.0))
    start, end = trained.history[0], trained.history[-1]
    assert end.train_loss < start.train_loss - 0.4
    assert end.train_dice > start.train_dice + 0.2
    assert trained.best_record.val_dice > start.val_dice + 0.1


@pytest.mark.parametrize(("images", "batch_size"), list(product([1, 2, 5], [1, 3, 64])))
def test_any_number_of_images_can_be_trained_on_with_any_batch_size(
    trainer, train_split, images, batch_size
):
    trained = finish(trainer(first(train_split, images), batch_size=batch_size, epochs=2))
    losses = [(record.train_loss, record.val_loss) for record in trained.history]
    assert np.shape(losses) == (2, 2) and np.isfinite(losses).all()


@pytest.mark.parametrize("epochs", range(1, 13))
@pytest.mark.parametrize("images", [1, 3])
def test_any_number_of_epochs_and_steps_has_a_schedule(trainer, train_split, images, epochs):
    schedule = trainer(first(train_split, images), batch_size=1, epochs=epochs).schedule
    rates = []
    for _ in range(images * epochs):
        rates.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    assert all(0 < rate <= 1e-2 + 1e-12 for rate in rates)
    assert len(rates) < 5 or max(rates) > 5e-3


@pytest.mark.parametrize(("side", "depth", "images"), [(16, 4, 1), (32, 8, 1), (16, 5, 3)])
def test_a_batch_that_the_network_would_halve_to_one_pixel_in_all_is_refused(
    trainer, train_split, side, depth, images
):
    part = np.s_[:images, :side, :side]
    small = Split(train_split.images[part], train_split.masks[part])
    with pytest.raises(InputError, match="depth"):
        finish(trainer(small, depth=depth, width=1, batch_size=1, epochs=5))


def test_on_step_is_called_after_each_step(trainer):
    steps = []
    running = trainer(batch_size=3)
    running.run_epoch(on_step=lambda: steps.append(running.model.head.weight.detach().clone()))
    assert len(steps) == running.steps_per_epoch == 2
    assert not torch.equal(steps[0], steps[1])


def test_images_left_over_in_one_epoch_are_seen_in_another(trainer, train_split):
    running = trainer(batch_size=3)
    seen = set()
    for _ in range(4):
        rows = np.concatenate(running._batches())
        assert len(set(rows)) == len(rows) == 6
        seen |= set(rows.tolist())
        running.run_epoch()
    assert seen == set(range(len(train_split)))


def test_best_weights_are_those_of_the_first_epoch_of_the_highest_validation_dice(
    trainer, validation_split
):
    running = trainer(epochs=5)
    averages = []
    for _ in range(5):
        running.run_epoch()
        averages.append({k: v.clone() for k, v in running.averaged.state_dict().items()})
    dices = [record.val_dice for record in running.history]
    best = int(np.argmax(dices))
    assert running.best_record is running.history[best]
    assert [record.epoch for record in running.history] == [1, 2, 3, 4, 5]
    assert_same(running.best, averages[best])

    network = UNet(4, 2).eval()
    network.load_state_dict(running.best)
    loss, dice, iou = evaluate_split(network, validation_split, 4, CPU, "float32")
    record = running.best_record
    assert (loss, dice, iou) == pytest.approx((record.val_loss, record.val_dice, record.val_iou))


def test_an_epoch_that_is_no_better_leaves_the_best_weights_alone(trainer):
    running = trainer()
    record = running.run_epoch()
    running.history = [replace(record, val_dice=dice) for dice in (0.2, 1.0, 1.0, 0.1)]
    assert running.best_record is running.history[1]
    running.best = kept = {"head.bias": torch.zeros(1)}
    running.run_epoch()
    assert running.best is kept


def test_augmentation_differs_from_step_to_step_epoch_to_epoch_and_seed_to_seed(
    trainer, monkeypatch
):
    seeds = []

    def noting(images, masks, strength, generator):
        seeds.append(generator.initial_seed())
        return augment(images, masks, strength, generator)

    monkeypatch.setattr(training, "augment", noting)
    for seed in (0, 1):
        finish(trainer(seed=seed, epochs=3))
    assert len(seeds) == len(set(seeds)) == 2 * 3 * 2


def test_average_decay_0_takes_the_weights_as_they_are(trainer):
    running = trainer(average_decay=0.0)
    running.run_epoch()
    assert_same(running.averaged.state_dict(), running.model.state_dict())


def test_averaged_weights_follow_the_moving_average(trainer, train_split):
    running = trainer(first(train_split, 4), average_decay=0.15)
    expected = running.model.head.weight.detach().clone()
    for step in range(3):
        running.run_epoch()
        decay = min(0.15, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * running.model.head.weight.detach()
    torch.testing.assert_close(running.averaged.head.weight, expected)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_evaluation_does_not_depend_on_the_batch_size(train_split, validation_split, batch_size):
    torch.manual_seed(0)
    network = UNet(2, 2).eval()
    for split in (train_split, validation_split):
        whole = evaluate_split(network, split, len(split), CPU, "float32")
        assert evaluate_split(network, split, batch_size, CPU, "float32") == pytest.approx(whole)


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


def test_training_loop_needs_neither_mlflow_nor_anything_that_reads_files(root):
    code = (
        "import sys; sys.path.insert(0, 'stages'); import lesion.training; "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    unwanted = {"mlflow", "dvc", "pandas", "pydantic", "ruamel", "cv2", "PIL", "safetensors"}
    assert not unwanted & set(result.stdout.split())
