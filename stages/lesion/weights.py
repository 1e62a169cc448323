"""Files of weights: the trained network, safetensors with a header that says how to use it, and
those that an encoder begins with."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from lesion.errors import InputError
from lesion.files import write_bytes
from lesion.header import ENTRY, Header, read_header
from lesion.model import build_model
from lesion.unet import UNet


def save_weights(path: Path, state: dict[str, Tensor], header: Header) -> None:
    """Writes weights and header; equal arguments give equal bytes."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    write_bytes(path, save(tensors, metadata={ENTRY: json.dumps(asdict(header))}))


def load_model(path: Path, device: torch.device) -> tuple[UNet, Header]:
    """The network, ready to predict, and its header.

    Raises:
        InputError: the file is missing or is not one that `save_weights` wrote.
    """
    header = read_header(path)
    try:
        model = build_model(header)
        model.load_state_dict(load_file(path))
    except (InputError, SafetensorError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: its weights do not fit its header ({error}); train again"
        ) from None
    model = model.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    return model, header


def load_imagenet(path: Path) -> dict[str, Tensor]:
    """The weights of torchvision's classifier, as the stage encoder left them.

    Raises:
        InputError: the file is missing, or has no weights.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `dvc repro`, which fetches it") from None
    except Exception as error:  # torch raises many kinds for a file that is not its own
        raise InputError(f"{path}: no weights ({error}); run `dvc repro encoder`") from None
