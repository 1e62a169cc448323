import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from torchvision.models import get_model

from lesion.network.device import prepare
from lesion.network.model import build_model
from lesion.network.unet import UNet
from lesion.parameters.train import TrainParams
from lesion.pipeline.errors import InputError
from lesion.training import trainer as module
from lesion.training.augment import Augmentation
from lesion.training.batches import Split
from lesion.training.checkpoint import Checkpoint
from lesion.training.distributed import Process
from lesion.training.frames import Frames
from lesion.training.graph import Recorded
from lesion.training.loss import LOSSES
from lesion.training.trainer import EpochRecord, Trainer
from lesion.training.validation import dice_and_iou, score_batch, score_rows

CPU = torch.device("cpu")
ENCODER = {"encoder": "mobilenet_v3_small", "depth": 3}


def settings(**changes: object) -> TrainParams:
    defaults = {
        "train_fraction": 1.0,
        "split_seed": 0,
        "seed": 0,
        "threads": 1,
        "precision": "float32",
        "resize": "stretch",
        "encoder": "none",
        "width": 4,
        "depth": 2,
        "epochs": 4,
        "batch_size": 4,
        "lr": 1e-2,
        "encoder_lr": 0.3,
        "encoder_statistics": "batch",
        "schedule": "one_cycle",
        "loss": "bce_dice",
        "weight_decay": 0.01,
        "average_decay": 0.9,
        "orientations": True,
        "geometry": 0.5,
        "colour": 0.5,
        "hairs": 0.3,
    }
    return TrainParams(**{**defaults, **changes})


@pytest.fixture
def trainer(train_split, validation_split):
    def trainer(
        train: Split = train_split,
        pretrained: bool = False,
        alone: bool = True,
        device: torch.device = CPU,
        **changes: object,
    ) -> Trainer:
        params = settings(**changes)
        imagenet = classifier(params.encoder) if pretrained else None
        process = Process(0, 1) if alone else Process(0, 2)
        return Trainer(params, train, validation_split, device, imagenet, process)

    return trainer


@pytest.fixture
def gpu() -> Iterator[torch.device]:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    yield prepare(threads, "float32")
    torch.set_deterministic_debug_mode(mode)


def classifier(name: str) -> dict[str, torch.Tensor]:
    """Weights in the place of ImageNet's."""
    torch.manual_seed(7)
    return get_model(name, weights=None).state_dict()


def end_epoch(trainer: Trainer) -> EpochRecord:
    while not (record := trainer.advance()):
        pass
    return record


def finish(trainer: Trainer) -> Trainer:
    while trainer.step < trainer.steps:
        trainer.advance()
    return trainer


def first(split: Split, count: int) -> Split:
    return Split(split.images[:count], split.masks[:count], split.ids[:count])


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


@pytest.mark.parametrize("network", [{}, {**ENCODER, "pretrained": True}], ids=["unet", "encoder"])
def test_two_trainings_are_equal_bit_for_bit(trainer, network):
    assert_same(
        finish(trainer(epochs=2, **network)).state_dict(),
        finish(trainer(epochs=2, **network)).state_dict(),
    )


@pytest.mark.long
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("network", "stops"),
    [
        ({}, range(4)),
        ({"encoder": "efficientnet_b0", "depth": 3}, (1, 2)),
        ({**ENCODER, "pretrained": True, "encoder_statistics": "imagenet"}, (1, 3)),
    ],
    ids=["unet", "efficientnet", "pretrained"],
)
def test_a_training_that_goes_on_from_any_step_ends_bit_for_bit_as_the_uninterrupted_one(
    trainer, tmp_path, precision, network, stops
):
    # EfficientNet skips blocks at random; 8 images in batches of 3 leave two over.
    options = {"precision": precision, "batch_size": 3, "epochs": 2, **network}
    whole = trainer(**options)
    assert whole.steps == 4
    for step in range(whole.steps):
        Checkpoint(tmp_path / f"{step}.pt", "same").save(whole.state_dict())
        whole.advance()
    for step in stops:
        torch.rand(7)  # the global generator may have moved on
        resumed = trainer(**options)
        resumed.load_state_dict(Checkpoint(tmp_path / f"{step}.pt", "same").load())
        assert (resumed.step, resumed.epoch) == (step, step // 2)
        finish(resumed)
        assert resumed.history == whole.history
        assert_same(resumed.state_dict(), whole.state_dict())


def test_a_finished_training_comes_back_whole(trainer, tmp_path):
    whole = finish(trainer(epochs=2))
    Checkpoint(tmp_path / "train.pt", "same").save(whole.state_dict())
    resumed = trainer(epochs=2)
    resumed.load_state_dict(Checkpoint(tmp_path / "train.pt", "same").load())
    assert resumed.step == resumed.steps and resumed.best_record == whole.best_record
    assert_same(resumed.best, whole.best)


def test_a_record_comes_after_the_last_step_of_each_epoch_and_nothing_before(trainer):
    running = trainer(batch_size=3, epochs=3)
    came = [running.advance() for _ in range(running.steps)]
    assert [bool(record) for record in came] == [False, True] * 3
    assert running.history == came[1::2]
    assert [record.epoch for record in running.history] == [1, 2, 3]


def test_training_scores_of_an_epoch_are_means_over_its_steps(trainer, monkeypatch):
    running, scores = trainer(batch_size=3, epochs=2), []
    step = running._step
    monkeypatch.setattr(running, "_step", lambda number: scores.append(step(number)) or scores[-1])
    for _ in range(2):
        scores.clear()
        record = end_epoch(running)
        expected = torch.stack(scores).mean(0)
        assert (record.train_loss, record.train_dice) == pytest.approx(expected.tolist())
        assert not torch.equal(scores[0], scores[1])


def test_scores_of_a_step_are_those_of_the_logits_that_it_learns_from(trainer):
    running = trainer(orientations=False, geometry=0.0, colour=0.0, hairs=0.0)
    seen = []
    running.model.register_forward_hook(lambda *call: seen.append(call[-1].detach()))
    masks = torch.from_numpy(running.train.masks[running._batch(0)])[:, None]
    scores = running._step(0).tolist()
    dice, _ = dice_and_iou(seen[0] > 0, masks > 0)
    expected = [LOSSES["bce_dice"](seen[0], masks).item(), dice.mean().item()]
    assert scores == pytest.approx(expected)


def test_what_a_network_draws_at_random_depends_on_seed_and_step_alone(trainer):
    drawn = []
    for _ in range(2):
        running = trainer(epochs=1)
        running.model.register_forward_hook(lambda *_: drawn.append(torch.rand(1).item()))
        for _ in range(running.steps):
            torch.rand(len(drawn))  # the global generator may have moved on
            running.advance()
    assert drawn[:2] == drawn[2:] and drawn[0] != drawn[1]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"lr": 2e-2},
        {"weight_decay": 1.0},
        {"schedule": "constant"},
        {"loss": "bce"},
        {"orientations": False},
        {"geometry": 0.0},
        {"colour": 0.0},
        {"hairs": 0.0},
        {"precision": "bfloat16"},
        {"encoder_lr": 0.5},
        {"encoder_statistics": "imagenet"},
    ],
    ids=str,
)
def test_every_setting_counts(trainer, change):
    of_encoder = any(name.startswith("encoder_") for name in change)
    options = {"epochs": 1, **({**ENCODER, "pretrained": True} if of_encoder else {})}
    one, other = (finish(trainer(**{**options, **setting})) for setting in ({}, change))
    assert not torch.equal(one.model.head.weight, other.model.head.weight)


def test_without_any_variation_the_images_come_as_they_are(trainer, train_split, monkeypatch):
    seen = []
    monkeypatch.setattr(
        module, "to_model_input", lambda images: seen.append(images.clone()) or images
    )
    running = trainer(orientations=False, geometry=0.0, colour=0.0, hairs=0.0, batch_size=3)
    rows = running._batch(0)
    running.advance()
    images = torch.from_numpy(train_split.images[rows]).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(seen[0], images)


@pytest.mark.parametrize("name", ["one_cycle", "constant"])
def test_each_step_has_the_rate_and_momentum_of_the_schedule(trainer, name):
    running = trainer(schedule=name, epochs=3, pretrained=True, **ENCODER)
    for step in range(running.steps):
        share, momentum = module.SCHEDULES[name](step / running.steps)
        record = running.advance()
        encoder, others = running.optimizer.param_groups
        assert others["lr"] == pytest.approx(1e-2 * share)
        assert encoder["lr"] == pytest.approx(0.3e-2 * share)
        assert others["betas"] == encoder["betas"] == (pytest.approx(momentum), 0.999)
        if record:
            start = module.SCHEDULES[name]((step - 1) / running.steps)[0]
            assert record.learning_rate == pytest.approx(1e-2 * start)


def moved(trainer: Trainer) -> tuple[float, float]:
    """The largest changes of a parameter, of the encoder and of the rest, in one step."""
    parts = [list(group["params"]) for group in trainer.optimizer.param_groups]
    before = [[parameter.detach().clone() for parameter in part] for part in parts]
    trainer.advance()
    return tuple(
        max((new - old).abs().max().item() for new, old in zip(now, then, strict=True))
        for now, then in zip(parts, before, strict=True)
    )


# AdamW's first step moves each parameter by the learning rate, whatever its gradient.
@pytest.mark.parametrize(("pretrained", "share"), [(True, 0.25), (True, 0.0), (False, 1.0)])
def test_a_pretrained_encoder_learns_with_its_share_of_the_rate_and_a_random_one_with_all(
    trainer, pretrained, share
):
    running = trainer(
        **ENCODER, pretrained=pretrained, encoder_lr=share if pretrained else 0.25, lr=1e-3,
        schedule="constant", weight_decay=0.0, loss="bce",
    )  # fmt: skip
    encoder, others = moved(running)
    assert others == pytest.approx(1e-3, rel=0.01)
    assert encoder == pytest.approx(1e-3 * share, rel=0.01)


def test_every_parameter_belongs_to_one_group(trainer):
    running = trainer(**ENCODER)
    grouped = [p for group in running.optimizer.param_groups for p in group["params"]]
    assert len(grouped) == len(set(grouped)) and set(grouped) == set(running.model.parameters())


def test_an_encoder_begins_with_the_weights_that_are_given(trainer):
    running = trainer(**ENCODER, pretrained=True)
    given = classifier(ENCODER["encoder"])
    own = next(running.model.encoder.parameters())
    assert torch.equal(own, given["features.0.0.weight"])


@pytest.mark.parametrize("pretrained", [True, False])
@pytest.mark.parametrize("by", ["imagenet", "batch"])
def test_an_encoder_keeps_the_statistics_that_came_with_its_weights_if_it_is_to(
    trainer, pretrained, by
):
    running = trainer(**ENCODER, pretrained=pretrained, encoder_statistics=by, epochs=1)
    before = copy.deepcopy(running.model.state_dict())
    finish(running)
    for state in (running.model.state_dict(), running.averaged.state_dict(), running.best):
        changed = {name for name in state if not torch.equal(state[name], before[name])}
        statistics = {name for name in state if "running_" in name or "num_batches" in name}
        fixed = pretrained and by == "imagenet"
        kept = {name for name in statistics if fixed and name.startswith("encoder.")}
        assert changed & statistics == statistics - kept
        assert changed >= {name for name in state if name.endswith("bias")} - statistics


def test_the_best_weights_alone_score_what_validation_saw_of_a_pretrained_encoder(
    trainer, validation_split
):
    running = finish(trainer(**ENCODER, pretrained=True, encoder_statistics="imagenet", epochs=2))
    network = build_model(running.params).eval()
    network.load_state_dict(running.best)
    score = partial(score_batch, network, running.params)
    totals = score_rows(score, validation_split, np.arange(len(validation_split)), 4, CPU)
    record = running.best_record
    expected = [record.val_loss, record.val_dice, record.val_iou]
    assert (totals / len(validation_split)).tolist() == pytest.approx(expected, abs=1e-4)


def test_mapped_arrays_give_what_arrays_in_memory_give(trainer, train_split, tmp_path):
    mapped = []
    for name in ("images", "masks"):
        np.save(tmp_path / f"{name}.npy", getattr(train_split, name))
        mapped.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    assert_same(
        finish(trainer(Split(*mapped, train_split.ids), epochs=1)).state_dict(),
        finish(trainer(epochs=1)).state_dict(),
    )


@pytest.mark.long
@pytest.mark.parametrize("network", [{"width": 8}, {**ENCODER, "pretrained": True}], ids=str)
def test_loss_falls_and_dice_rises_on_a_few_synthetic_images(trainer, network):
    still = {"orientations": False, "geometry": 0.0, "colour": 0.0, "hairs": 0.0}
    trained = finish(trainer(epochs=15, **still, **network))
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


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("value", [0, 1], ids=["empty", "full"])
def test_masks_of_one_class_are_learnt(train_split, value, loss):
    masks = np.full_like(train_split.masks, value)
    split = Split(train_split.images, masks, train_split.ids)
    trained = finish(Trainer(settings(loss=loss, epochs=8), split, split, CPU))
    losses = [(record.train_loss, record.val_loss) for record in trained.history]
    assert np.isfinite(losses).all() and losses[-1][0] < losses[0][0] - 0.1


@pytest.mark.parametrize("schedule", module.SCHEDULES)
@pytest.mark.parametrize("images", [1, 3])
def test_any_number_of_epochs_and_steps_has_a_schedule(trainer, train_split, images, schedule):
    for epochs in range(1, 13):
        running = trainer(
            first(train_split, images), batch_size=1, epochs=epochs, schedule=schedule
        )
        rates = [running._rate(step) for step in range(running.steps)]
        assert all(0 < rate <= 1e-2 + 1e-12 for rate in rates)
        assert len(rates) < 5 or max(rates) > 5e-3


@pytest.mark.parametrize(("side", "depth", "images"), [(16, 4, 1), (32, 8, 1), (16, 5, 3)])
def test_a_batch_that_the_network_would_halve_to_one_pixel_in_all_is_refused(
    trainer, train_split, side, depth, images
):
    part = np.s_[:images, :side, :side]
    small = Split(train_split.images[part], train_split.masks[part], train_split.ids[:images])
    with pytest.raises(InputError, match=f"image_size {side} and depth {depth} leave one value"):
        trainer(small, depth=depth, width=1, batch_size=1)


@pytest.mark.parametrize(("side", "depth", "images"), [(16, 3, 1), (17, 4, 1), (16, 4, 2)])
def test_two_values_a_channel_are_enough(trainer, train_split, side, depth, images):
    part = np.s_[:images, :side, :side]
    small = Split(train_split.images[part], train_split.masks[part], train_split.ids[:images])
    record = end_epoch(trainer(small, depth=depth, width=1))
    assert np.isfinite(record.train_loss)


@pytest.mark.parametrize(("images", "batch_size", "found"), [(8, 3, 3), (5, 64, 5)])
def test_a_batch_that_processes_cannot_share_equally_is_refused(
    trainer, train_split, images, batch_size, found
):
    with pytest.raises(InputError, match=rf"batch_size {found}: 2 processes .* multiple of 2$"):
        trainer(first(train_split, images), alone=False, batch_size=batch_size)


def test_a_batch_reads_its_rows_in_the_order_of_the_file(trainer):
    running = trainer(batch_size=3)
    assert all((np.diff(running._batch(step)) > 0).all() for step in range(2))


def test_images_left_over_in_one_epoch_are_seen_in_another(trainer, train_split):
    running = trainer(batch_size=3)
    seen = set()
    for _ in range(4):
        rows = np.concatenate([running._batch(step) for step in range(2)])
        assert len(set(rows)) == len(rows) == 6
        seen |= set(rows.tolist())
        end_epoch(running)
    assert seen == set(range(len(train_split)))


def test_best_weights_are_those_of_the_first_epoch_of_the_highest_validation_dice(
    trainer, validation_split
):
    running = trainer(epochs=5)
    averages = []
    for _ in range(5):
        end_epoch(running)
        averages.append({k: v.clone() for k, v in running.averaged.state_dict().items()})
    best = int(np.argmax([record.val_dice for record in running.history]))
    assert running.best_record is running.history[best]
    assert_same(running.best, averages[best])

    network = UNet(4, 2).eval()
    network.load_state_dict(running.best)
    record = running.best_record
    expected = (record.val_loss, record.val_dice, record.val_iou)
    rows = np.arange(len(validation_split))
    score = partial(score_batch, network, running.params)
    totals = score_rows(score, validation_split, rows, 4, CPU)
    assert (totals / len(validation_split)).tolist() == pytest.approx(expected)


def test_an_epoch_that_is_no_better_leaves_the_best_weights_alone(trainer):
    running = trainer()
    record = end_epoch(running)
    running.history = [replace(record, val_dice=dice) for dice in (0.2, 1.0, 1.0)]
    running.step = 3 * running.steps_per_epoch
    assert running.best_record is running.history[1]
    running.best = kept = {"head.bias": torch.zeros(1)}
    end_epoch(running)
    assert running.best is kept


def test_variation_and_order_differ_from_step_to_step_epoch_to_epoch_and_seed_to_seed(
    trainer, monkeypatch
):
    seeds, orders = [], []
    draw = Augmentation.draw

    def noting(self, count, generator, frames):
        seeds.append(generator.initial_seed())
        return draw(self, count, generator, frames)

    monkeypatch.setattr(Augmentation, "draw", noting)
    for seed in (0, 1):
        running = trainer(seed=seed, epochs=3)
        for _ in range(3):
            orders.append(running._batch(0).tolist())
            end_epoch(running)
    assert len(seeds) == len(set(seeds)) == 2 * 3 * 2
    assert len(set(map(tuple, orders))) == 6


def test_each_image_is_varied_in_its_own_frame(trainer, train_split, monkeypatch):
    frames = Frames.whole(8)
    frames.boxes[3:, 1, 1] = 0.5  # the others have no bars
    frames.aspects[:] = torch.linspace(0.5, 1.5, 8)
    given = []
    draw = Augmentation.draw

    def noting(self, count, generator, frames):
        given.append(frames)
        return draw(self, count, generator, frames)

    monkeypatch.setattr(Augmentation, "draw", noting)
    assert not trainer(replace(train_split, frames=Frames.whole(8))).augmentation.bars
    running = trainer(replace(train_split, frames=frames))
    assert running.augmentation.bars
    order = running._batch(0)
    running.advance()
    assert torch.equal(given[0].boxes, frames.boxes[order])
    assert torch.equal(given[0].aspects, frames.aspects[order])


def test_average_decay_0_takes_the_weights_as_they_are(trainer):
    running = trainer(average_decay=0.0)
    end_epoch(running)
    assert_same(running.averaged.state_dict(), running.model.state_dict())


@pytest.mark.parametrize("decay", [0.15, 0.9])
def test_averaged_weights_follow_the_moving_average(trainer, decay):
    running = trainer(average_decay=decay)
    names = ("head.weight", "encoder.blocks.0.1.running_mean")
    expected = {name: running.model.state_dict()[name].clone() for name in names}
    for step in range(4):
        running.advance()
        kept = min(decay, (1 + step) / (10 + step))
        for name in names:
            now = running.model.state_dict()[name]
            expected[name] = kept * expected[name] + (1 - kept) * now
    state = running.averaged.state_dict()
    for name in names:
        torch.testing.assert_close(state[name], expected[name])
    assert state["encoder.blocks.0.1.num_batches_tracked"] == 4


def test_gradients_are_scaled_down_to_the_largest_norm(trainer):
    for factor in (1, 1e-6):
        running = trainer(train_split_of_noise(), loss="bce")
        torch.nn.init.constant_(running.model.head.bias, 100.0 * factor)
        torch.nn.init.constant_(running.model.head.weight, 100.0 * factor)
        running.advance()
        gradients = [parameter.grad for parameter in running.model.parameters()]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        assert norm == pytest.approx(1, abs=1e-3) if factor == 1 else norm < 0.99


def train_split_of_noise() -> Split:
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    return Split(images, np.zeros((4, 16, 16), np.uint8), list("abcd"))


@pytest.mark.parametrize(("value", "said"), [(float("inf"), "nan|inf"), (float("nan"), "nan")])
@pytest.mark.parametrize("step", [1, 2])
def test_a_loss_that_is_not_finite_stops_and_names_step_rate_value_and_images(
    trainer, train_split, value, said, step
):
    running = trainer(schedule="constant")
    for _ in range(step - 1):
        running.advance()
    with torch.no_grad():
        running.model.head.bias.fill_(value)
    ids = ", ".join(train_split.ids[row] for row in running._batch(step - 1))
    expected = (
        rf"epoch 1, step {step} of 2: the loss is ({said}) at a learning rate of 0\.01, on {ids}; "
        r"expected a finite value: lower lr \(now 0\.01\)"
    )
    for go_on in (running.advance, running.state_dict):  # nor is such a state given away
        with pytest.raises(InputError) as error:
            go_on()
        assert re.fullmatch(expected, str(error.value))
    assert running.history == []


def test_a_training_whose_averaged_weights_diverge_stops_after_the_epoch(trainer):
    running = trainer(lr=10.0, weight_decay=10.0, schedule="constant", epochs=20)
    with pytest.raises(InputError, match=r"epoch \d+: the loss on the validation split is nan"):
        finish(running)
    assert running.epoch < 19


def test_where_reading_a_loss_waits_it_is_read_now_and_then_and_at_each_epochs_end(
    trainer, monkeypatch
):
    read = []
    monkeypatch.setattr(module, "STEPS_UNREAD", 3)
    running = trainer(
        batch_size=1, epochs=1, orientations=False, geometry=0.0, colour=0.0, hairs=0.0
    )
    monkeypatch.setattr(running, "_check_losses", lambda: read.append(running.step))
    monkeypatch.setattr(running, "_step", lambda step: torch.zeros(2))
    running.device = torch.device("cuda")  # only looked at: the steps above do nothing
    monkeypatch.setattr(running, "_validate", lambda: [0.0, 0.0, 0.0])
    finish(running)
    assert read == [3, 6, 8]


def test_nothing_is_recorded_on_a_processor(trainer):
    made = trainer()
    assert not isinstance(made._gradients, Recorded) and not isinstance(made._score, Recorded)


NETWORKS = {
    "none": {},
    "mobilenet_v2": {"depth": 5, "pretrained": True, "encoder_statistics": "imagenet"},
    "efficientnet_b0": {"depth": 3},  # both of them skip blocks at random
    "convnext_tiny": {"depth": 3},
}


@pytest.mark.filterwarnings("ignore:.*deterministic")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("encoder", NETWORKS)
def test_a_gpu_that_replays_a_recording_ends_bit_for_bit_as_one_that_does_not(
    trainer, gpu, monkeypatch, encoder, precision
):
    # 3 images to validate with leave a last batch of one.
    options = {"device": gpu, "encoder": encoder, "precision": precision, "batch_size": 2}
    options |= NETWORKS[encoder]
    replayed = trainer(**options)
    states = []
    while replayed.step < replayed.steps:
        states.append(copy.deepcopy(replayed.state_dict()))
        replayed.advance()
    assert isinstance(replayed._gradients, Recorded)

    resumed = trainer(**options)
    resumed.load_state_dict(states[3])
    assert_same(finish(resumed).state_dict(), replayed.state_dict())

    monkeypatch.setattr(module, "Recorded", lambda function: function)
    assert_same(finish(trainer(**options)).state_dict(), replayed.state_dict())


def test_a_gpu_whose_memory_is_too_small_for_a_recording_goes_on_without(gpu, capsys):
    def double(values: torch.Tensor) -> torch.Tensor:
        if torch.cuda.is_current_stream_capturing():
            torch.empty(2**50, device=gpu)
        return 2 * values.to(gpu)

    call = Recorded(double)
    assert [call(torch.tensor([n])).item() for n in range(4)] == [0, 2, 4, 6]
    assert capsys.readouterr().out.count("GPU memory") == 1


@pytest.mark.long
def test_training_loop_needs_neither_mlflow_nor_anything_that_reads_files(root):
    code = (
        "import sys; sys.path.insert(0, 'stages'); import lesion.training.trainer; "
        "print(*{name.split('.')[0] for name in sys.modules}); import lesion.network.encoders; "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    without, with_encoder = map(str.split, result.stdout.splitlines())
    unwanted = {"mlflow", "dvc", "pandas", "pydantic", "ruamel", "cv2", "safetensors"}
    assert not unwanted & set(with_encoder) and "torchvision" in with_encoder
    assert not {"torchvision", "PIL"} & set(without)  # they take seconds
