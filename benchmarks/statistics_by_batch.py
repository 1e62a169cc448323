"""Trainings whose encoder normalises by the statistics of each batch, as it learned to."""

from types import SimpleNamespace

import torch
from torch import Tensor

from lesion.network.encoders import TorchvisionEncoder
from lesion.training.batches import Split
from lesion.training.trainer import Trainer


class BatchStatistics(Trainer):
    """With ImageNet's weights, but not with the statistics that came with them."""

    def __init__(
        self,
        params: SimpleNamespace,
        train: Split,
        validation: Split,
        device: torch.device,
        imagenet: dict[str, Tensor],
    ) -> None:
        super().__init__(params, train, validation, device)  # statistics of random weights move
        encoder = TorchvisionEncoder(params.encoder, params.depth, imagenet)
        for network in (self.model, self.averaged):
            network.encoder.load_state_dict(encoder.state_dict())
        self.optimizer.param_groups[0]["share"] = params.encoder_lr
