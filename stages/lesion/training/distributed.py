"""One training by several processes, on one machine or more, as `torchrun` starts them.

Each has its part of every batch; gradients and the statistics of batch normalisation are those of
the whole batch, so that the weights are those of one process but for rounding (and for blocks that
an encoder skips at random). Each process has to call what shares, at the same step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

Value = TypeVar("Value")


@dataclass(frozen=True)
class Process:
    """One of `count` processes; `rank`, from 0, is its number among them. 0 writes what is kept."""

    rank: int
    count: int

    @property
    def writes(self) -> bool:
        return self.rank == 0

    def part(self, size: int) -> slice:
        """This process's part of a batch; `size` is a multiple of `count`."""
        share = size // self.count
        return slice(self.rank * share, (self.rank + 1) * share)

    def wrap(self, model: nn.Module) -> nn.Module:
        """What to call in place of `model`, so that gradients are those of the whole batch.

        `model` is changed: its batch normalisation then counts the whole batch too.
        """
        if self.count == 1:
            return model
        synchronise_batch_norm(model)
        # What batch normalisation keeps is equal everywhere already.
        return DistributedDataParallel(model, forward_sync_buffers=False)

    def total(self, values: Tensor) -> Tensor:
        """The sum of all processes' `values`."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def mean(self, values: Tensor) -> Tensor:
        """The mean of all processes' `values`."""
        return self.total(values) / self.count

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in one of the processes; the same answer in all."""
        return bool(self.total(torch.tensor(int(flag)))) if self.count > 1 else flag

    def from_first(self, value: Value) -> Value:
        """What process 0 has as `value`."""
        if self.count == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]


ALONE = Process(0, 1)


@contextmanager
def joined() -> Iterator[Process]:
    """This process among those that `torchrun` started; alone, where it did not start it."""
    if not distributed.is_torchelastic_launched():
        yield ALONE
        return
    # Flags and checkpoints travel between processors, gradients between GPUs.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Process(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def synchronise_batch_norm(model: nn.Module) -> None:
    """Makes the model's batch normalisation, in training, that of all processes' images."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = WholeBatchNorm  # with the parameters and statistics that it has


class WholeBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by mean and variance over the images of all processes.

    torch.nn.SyncBatchNorm does the same, on GPUs only.
    """

    # Never None in a layer that keeps statistics, with a momentum.
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        channels = (1, -1, 1, 1)
        values = x.float()
        mean = _mean_of_all(values.mean((0, 2, 3)))
        values = values - mean.view(channels)
        variance = _mean_of_all(values.square().mean((0, 2, 3)))
        with torch.no_grad():
            count = x.numel() // len(mean) * distributed.get_world_size()
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (values * scale.view(channels) + self.bias.view(channels)).to(x.dtype)


class _Sum(torch.autograd.Function):
    """The sum of all processes' values. Each value is in every process's sum, so that its gradient
    is the sum of theirs."""

    @staticmethod
    def forward(context: object, values: Tensor) -> Tensor:
        values = values.clone()
        distributed.all_reduce(values)
        return values

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return _Sum.forward(context, gradient)


def _mean_of_all(values: Tensor) -> Tensor:
    return _Sum.apply(values) / distributed.get_world_size()
