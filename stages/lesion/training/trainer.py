"""The training loop: uint8 arrays and parameters in, a record per epoch out.

It needs torch, torchvision and numpy only, so that it also runs where neither DVC nor MLflow is
installed. Everything random derives from (seed, epoch, step): a run that was stopped after any
step and goes on from there ends, bit for bit, where the uninterrupted one does.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from lesion.network.device import autocast
from lesion.network.folding import fix_statistics
from lesion.network.inputs import to_model_input
from lesion.network.mixed import suit_bfloat16
from lesion.network.model import build_model
from lesion.network.unet import UNet
from lesion.pipeline.errors import InputError
from lesion.training.augment import Augmentation, Variation
from lesion.training.batches import Split, load_batch, resident
from lesion.training.distributed import ALONE, Process
from lesion.training.graph import Recorded
from lesion.training.loss import LOSSES
from lesion.training.schedule import SCHEDULES
from lesion.training.validation import dice_and_iou, score_batch, score_rows

if TYPE_CHECKING:
    from lesion.parameters.train import TrainParams

LARGEST_GRADIENT = 1.0  # norm; gradients beyond it are scaled down to it
SECOND_MOMENT_DECAY = 0.999  # AdamW's
STEPS_UNREAD = 50  # on a GPU, after so many the losses are read; reading waits for the device


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch (counted from 1) ended with; Dice and IoU are means over images.

    The training values are running ones, of the weights as they change and of augmented images;
    the validation values are those of the averaged weights. `learning_rate` is the first step's.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_dice: float
    val_loss: float
    val_dice: float
    val_iou: float


class Trainer:
    """A U-Net with its optimiser and averaged weights, advanced a step at a time.

    Several processes, each with a `process` of its own, share each batch and end with equal
    weights: those of one process but for rounding, and for blocks that EfficientNet and ConvNeXt
    skip at random. `advance` is then called in all of them.
    """

    def __init__(
        self,
        params: TrainParams,
        train: Split,
        validation: Split,
        device: torch.device,
        imagenet: dict[str, Tensor] | None = None,
        process: Process = ALONE,
    ) -> None:
        """`imagenet` holds the weights of the classifier that `params.encoder` names."""
        self.params, self.device, self.process = params, device, process
        self.train, self.validation = resident(train, device), resident(validation, device)
        self.batch_size = min(params.batch_size, len(train))
        self.steps_per_epoch = len(train) // self.batch_size
        self.steps = params.epochs * self.steps_per_epoch
        self._check_input()

        torch.manual_seed(params.seed)
        self.model = build_model(params, imagenet).to(device).to(memory_format=torch.channels_last)
        if imagenet and params.encoder_statistics == "imagenet":
            fix_statistics(self.model.encoder)
        suit_bfloat16(self.model, device, params.precision)
        self.averaged = copy.deepcopy(self.model).eval().requires_grad_(False)
        self._averages = paired(self.averaged, self.model, torch.is_floating_point)
        # BatchNorm's count of batches.
        self._counts = paired(
            self.averaged, self.model, lambda value: not value.is_floating_point()
        )
        self.network = process.wrap(self.model)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, params.encoder_lr if imagenet else 1.0),
            weight_decay=params.weight_decay,
            fused=True,
        )
        self.augmentation = Augmentation(
            params.orientations,
            params.geometry,
            params.colour,
            params.hairs,
            bars=train.frames is not None and train.frames.have_bars,
        )

        self._gradients: Callable[..., Tensor] = self._compute_gradients
        self._score: Callable[..., Tensor] = partial(score_batch, self.averaged, params)
        if device.type == "cuda" and process.count == 1:
            self._gradients, self._score = Recorded(self._gradients), Recorded(self._score)

        self.step = 0  # number of steps completed, in all epochs
        self.history: list[EpochRecord] = []
        self.best: dict[str, Tensor] = {}  # averaged weights after the epoch of highest val_dice
        # Loss and Dice of the epoch's batches. They stay on the device until they are needed.
        self.scores = torch.zeros(self.steps_per_epoch, 2, device=device)

    @property
    def epoch(self) -> int:
        """Number of epochs completed."""
        return len(self.history)

    @property
    def best_record(self) -> EpochRecord:
        """The epoch that the best weights are from: the first of the highest validation Dice."""
        return max(self.history, key=lambda record: record.val_dice)

    def advance(self) -> EpochRecord | None:
        """One optimiser step; after an epoch's last one, its record.

        Raises:
            InputError: the loss is not finite. On a GPU it says so some steps later.
        """
        step = self.step % self.steps_per_epoch
        self.network.train()
        self.scores[step] = self._step(step)
        self.step += 1
        if self.device.type == "cpu" or self.step % STEPS_UNREAD == 0:
            self._check_losses()
        return self._end_epoch() if step == self.steps_per_epoch - 1 else None

    def _step(self, step: int) -> Tensor:
        """Loss and mean Dice of the epoch's batch number `step`, as a tensor of 2 on the device."""
        seed = np.random.SeedSequence((self.params.seed, self.epoch, step)).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(seed))
        # For encoders that skip some of their blocks at random, for each image by itself.
        torch.manual_seed(int(seed) + self.process.rank)

        # Every process draws for the whole batch and takes its part.
        rows = self._batch(step)
        mine = self.process.part(len(rows))
        frames = self.train.frames[rows] if self.train.frames else None
        variation = self.augmentation.draw(len(rows), generator, frames)[mine]
        images, masks = load_batch(self.train, rows[mine], self.device)
        scores = self._gradients(images, masks, *variation)
        self._set_rates()
        self.optimizer.step()
        self._average_weights()
        return self.process.mean(scores)

    def _compute_gradients(self, images: Tensor, masks: Tensor, *variation: Tensor) -> Tensor:
        """Leaves a batch's gradients with the weights. Loss and mean Dice, as a tensor of 2.

        Nothing here may depend on a value that changes with the step, other than the arguments':
        a GPU records it once.
        """
        changes = Variation(*variation).to(self.device)
        images, masks = self.augmentation(images, masks, changes)
        with autocast(self.device, self.params.precision):
            logits = self.network(to_model_input(images))
        loss = LOSSES[self.params.loss](logits, masks)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT, foreach=True)
        dice, _ = dice_and_iou(logits.detach() > 0, masks > 0.5)
        return torch.stack([loss.detach(), dice.mean()])

    def _batch(self, step: int) -> np.ndarray:
        """Row numbers of a batch of this epoch; images left over wait for another epoch."""
        order = np.random.default_rng((self.params.seed, self.epoch)).permutation(len(self.train))
        # Sorted, so that a memory-mapped file is read in order.
        return np.sort(order[step * self.batch_size : (step + 1) * self.batch_size])

    def _set_rates(self) -> None:
        share, momentum = self._schedule(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.params.lr * group["share"] * share
            group["betas"] = (momentum, SECOND_MOMENT_DECAY)

    @torch.no_grad()
    def _average_weights(self) -> None:
        """Exponential moving average; early on it forgets faster: the first weights are noise."""
        decay = min(self.params.average_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(*self._averages, 1 - decay)
        torch._foreach_copy_(*self._counts)

    def _end_epoch(self) -> EpochRecord:
        self._check_losses()
        train_loss, train_dice = self.scores.mean(0).tolist()
        record = EpochRecord(
            self.epoch + 1,
            self._rate(self.epoch * self.steps_per_epoch),
            train_loss,
            train_dice,
            *self._validate(),
        )
        if not math.isfinite(record.val_loss):
            raise InputError(
                f"epoch {record.epoch}: the loss on the validation split is {record.val_loss}; "
                f"expected a finite value: lower lr (now {self.params.lr:g})"
            )
        self.history.append(record)
        if record is self.best_record:
            state = self.averaged.state_dict()
            self.best = {name: tensor.clone() for name, tensor in state.items()}
        return record

    def _validate(self) -> list[float]:
        """Loss, Dice and IoU of the validation split, each the mean over its images."""
        mine = np.arange(len(self.validation))[self.process.rank :: self.process.count]
        totals = score_rows(self._score, self.validation, mine, self.batch_size, self.device)
        return (self.process.total(totals) / len(self.validation)).tolist()

    def _rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0 over all epochs."""
        return self.params.lr * self._schedule(step)[0]

    def _schedule(self, step: int) -> tuple[float, float]:
        """Share of the learning rate, and momentum, of a step, counted from 0 over all epochs."""
        return SCHEDULES[self.params.schedule](step / self.steps)

    def _check_losses(self) -> None:
        first = self.epoch * self.steps_per_epoch
        losses = self.scores[: self.step - first, 0]
        if losses.isfinite().all():
            return
        step = int((~losses.isfinite()).nonzero()[0])
        ids = ", ".join(self.train.ids[row] for row in self._batch(step))
        raise InputError(
            f"epoch {self.epoch + 1}, step {step + 1} of {self.steps_per_epoch}: the loss is "
            f"{losses[step]:.4g} at a learning rate of {self._rate(first + step):.3g}, on {ids}; "
            f"expected a finite value: lower lr (now {self.params.lr:g})"
        )

    def _check_input(self) -> None:
        size, side, depth = self.batch_size, self.train.images.shape[1], self.params.depth
        if size % self.process.count:
            raise InputError(
                f"batch_size {size}: {self.process.count} processes cannot have equal parts of it; "
                f"expected a multiple of {self.process.count}"
            )
        if size * math.ceil(side / 2**depth) ** 2 < 2:
            raise InputError(
                f"batch_size {size}, image_size {side} and depth {depth} leave one value a "
                "channel, which cannot be normalised; raise batch_size or image_size, or lower "
                "depth"
            )

    def state_dict(self) -> dict:
        """All that a new Trainer with the same parameters and data needs to go on from here.

        Raises:
            InputError: the loss of a step was not finite: from there nothing can go on.
        """
        self._check_losses()
        return {
            "step": self.step,
            "scores": self.scores,
            "history": [asdict(record) for record in self.history],
            "best": self.best,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Takes over what `state_dict` gave."""
        self.step = state["step"]
        self.scores.copy_(state["scores"])
        self.history = [EpochRecord(**record) for record in state["history"]]
        self.best = state["best"]
        for part in ("model", "averaged", "optimizer"):
            getattr(self, part).load_state_dict(state[part])


def parameter_groups(model: UNet, encoder_share: float) -> list[dict]:
    """The encoder's parameters and the others', with the share of the learning rate of each."""
    encoder = set(model.encoder.parameters())
    others = [parameter for parameter in model.parameters() if parameter not in encoder]
    return [
        {"params": list(model.encoder.parameters()), "share": encoder_share},
        {"params": others, "share": 1.0},
    ]


def paired(
    one: nn.Module, other: nn.Module, chosen: Callable[[Tensor], bool]
) -> tuple[list[Tensor], list[Tensor]]:
    """The chosen weights and buffers of two networks of one architecture, in the same order."""
    first, second = (
        [value for value in network.state_dict().values() if chosen(value)]
        for network in (one, other)
    )
    return first, second
