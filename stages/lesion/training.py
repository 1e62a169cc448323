"""The training loop: uint8 arrays and parameters in, a record per epoch out.

It needs torch and numpy only, so that it also runs where neither DVC nor MLflow is installed.
Everything random derives from (seed, epoch, step): a run that was stopped and goes on from its
last epoch ends, bit for bit, where the uninterrupted one does.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from lesion.augment import augment
from lesion.device import autocast
from lesion.errors import InputError
from lesion.inputs import to_model_input, to_unit
from lesion.loss import segmentation_loss
from lesion.unet import UNet

if TYPE_CHECKING:
    from lesion.params import TrainParams

LARGEST_GRADIENT = 1.0  # norm; gradients beyond it are scaled down to it
WARM_UP = 0.25  # share of the steps in which the one-cycle schedule climbs to `lr`


@dataclass(frozen=True)
class Split:
    """Images (N×H×W×3) and masks (N×H×W of 0 and 1) of one split, uint8, in memory or mapped."""

    images: np.ndarray
    masks: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch (counted from 1) ended with; Dice and IoU are means over images.

    The training values are running ones, of the weights as they change and of augmented images;
    the validation values are those of the averaged weights.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_dice: float
    val_loss: float
    val_dice: float
    val_iou: float


class Trainer:
    """A U-Net with its optimiser, schedule and averaged weights, advanced an epoch at a time."""

    def __init__(
        self, params: TrainParams, train: Split, validation: Split, device: torch.device
    ) -> None:
        self.params, self.train, self.validation, self.device = params, train, validation, device
        self.batch_size = min(params.batch_size, len(train))
        self.steps_per_epoch = len(train) // self.batch_size
        self.history: list[EpochRecord] = []
        self.best: dict[str, Tensor] = {}  # averaged weights after the epoch of highest val_dice

        coarsest = math.ceil(train.images.shape[1] / 2**params.depth)
        if self.batch_size * coarsest**2 < 2:
            raise InputError(
                f"batch_size {self.batch_size}, image_size {train.images.shape[1]} and depth "
                f"{params.depth} leave one value a channel, which cannot be normalised; "
                "raise batch_size or image_size, or lower depth"
            )
        torch.manual_seed(params.seed)
        model = UNet(params.width, params.depth)
        self.model = model.to(device, memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=params.lr, weight_decay=params.weight_decay, fused=True
        )
        # Smith and Topin, 2018, https://arxiv.org/abs/1708.07120
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            max_lr=params.lr,
            # With fewer than 5 steps its warm-up would have none, and it divides by their number.
            total_steps=max(5, params.epochs * self.steps_per_epoch + 1),
            pct_start=WARM_UP,
        )

    @property
    def epoch(self) -> int:
        """Number of epochs completed."""
        return len(self.history)

    @property
    def best_record(self) -> EpochRecord:
        """The epoch that the best weights are from: the first of the highest validation Dice."""
        return max(self.history, key=lambda record: record.val_dice)

    def run_epoch(self, on_step: Callable[[], None] = lambda: None) -> EpochRecord:
        """Passes over the training images once, then scores the validation split.

        `on_step` is called after each optimiser step.
        """
        self.model.train()
        learning_rate = self.schedule.get_last_lr()[0]
        # Sums stay on the device: reading one in the loop would wait for the device at each step.
        sums = torch.zeros(2, device=self.device)
        for step, batch in enumerate(self._batches()):
            sums += self._step(step, batch)
            on_step()
        train_loss, train_dice = (sums / self.steps_per_epoch).tolist()
        validation = evaluate_split(
            self.averaged, self.validation, self.batch_size, self.device, self.params.precision
        )
        record = EpochRecord(self.epoch + 1, learning_rate, train_loss, train_dice, *validation)
        self.history.append(record)
        if record is self.best_record:
            state = self.averaged.state_dict()
            self.best = {name: tensor.clone() for name, tensor in state.items()}
        return record

    def _batches(self) -> list[np.ndarray]:
        """Row numbers of this epoch's batches; the images left over wait for another epoch."""
        order = np.random.default_rng((self.params.seed, self.epoch)).permutation(len(self.train))
        used = self.steps_per_epoch * self.batch_size
        # Sorted within a batch, so that a memory-mapped file is read in order.
        return [np.sort(rows) for rows in order[:used].reshape(-1, self.batch_size)]

    def _step(self, step: int, rows: np.ndarray) -> Tensor:
        """One optimiser step; loss and mean Dice of the batch, as a tensor of 2 on the device."""
        seed = np.random.SeedSequence((self.params.seed, self.epoch, step)).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(seed))
        images, masks = load_batch(self.train, rows, self.device)
        images, masks = augment(images, masks, self.params.augmentation, generator)

        with autocast(self.device, self.params.precision):
            logits = self.model(to_model_input(images))
        loss = segmentation_loss(logits, masks)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        self.schedule.step()
        self._average_weights(self.epoch * self.steps_per_epoch + step)

        dice, _ = dice_and_iou(logits.detach() > 0, masks > 0.5)
        return torch.stack([loss.detach(), dice.mean()])

    @torch.no_grad()
    def _average_weights(self, step: int) -> None:
        """Exponential moving average; early on it forgets faster: the first weights are noise."""
        decay = min(self.params.average_decay, (1 + step) / (10 + step))
        for mean, value in zip(
            self.averaged.state_dict().values(), self.model.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def state_dict(self) -> dict:
        """All that a new Trainer with the same parameters and data needs to go on from here."""
        return {
            "history": [asdict(record) for record in self.history],
            "best": self.best,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Takes over what `state_dict` gave."""
        self.history = [EpochRecord(**record) for record in state["history"]]
        self.best = state["best"]
        for part in ("model", "averaged", "optimizer", "schedule"):
            getattr(self, part).load_state_dict(state[part])


def load_batch(split: Split, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (B×3×H×W in [0, 1]) and masks (B×1×H×W of 0 and 1) of `rows`, float32."""
    images = torch.from_numpy(split.images[rows]).to(device, non_blocking=True)
    masks = torch.from_numpy(split.masks[rows]).to(device, non_blocking=True)
    return to_unit(images), masks[:, None].float()


@torch.no_grad()
def evaluate_split(
    model: nn.Module, split: Split, batch_size: int, device: torch.device, precision: str
) -> tuple[float, float, float]:
    """Loss, Dice and IoU at the arrays' own resolution, each the mean over the images."""
    totals = torch.zeros(3, dtype=torch.float64, device=device)
    for start in range(0, len(split), batch_size):
        rows = np.arange(start, min(start + batch_size, len(split)))
        images, masks = load_batch(split, rows, device)
        with autocast(device, precision):
            logits = model(to_model_input(images))
        loss = segmentation_loss(logits, masks)
        dice, iou = dice_and_iou(logits > 0, masks > 0.5)
        totals += torch.stack([loss * len(rows), dice.sum(), iou.sum()])
    loss, dice, iou = (totals / len(split)).tolist()
    return loss, dice, iou


def dice_and_iou(predictions: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Dice and Jaccard (IoU) of each image, in [0, 1]; two empty masks agree, hence 1.

    Both arguments are B×1×H×W and bool; both results have B elements.
    """
    pixels = (1, 2, 3)
    overlap = (predictions & masks).sum(pixels)
    total = predictions.sum(pixels) + masks.sum(pixels)
    union = total - overlap
    dice = torch.where(total > 0, 2 * overlap / total, 1.0)
    iou = torch.where(union > 0, overlap / union, 1.0)
    return dice, iou
