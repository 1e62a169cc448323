"""Weights in the place of ImageNet's, for what measures time: their values do not change it."""

import torch
from torch import Tensor


def random_weights(encoder: str) -> dict[str, Tensor] | None:
    """Those of the classifier that `encoder` is part of; None where there is no such encoder."""
    if encoder == "none":
        return None
    from torchvision.models import get_model  # takes seconds to import

    torch.manual_seed(0)
    return get_model(encoder, weights=None).state_dict()
