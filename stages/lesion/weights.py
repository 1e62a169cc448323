"""The trained network as a file: safetensors, with what one needs to use it in its header."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lesion.errors import InputError
from lesion.files import write_bytes
from lesion.inputs import DEVIATION, MEAN
from lesion.unet import UNet

WEIGHTS_FILE = "unet.safetensors"
# One entry only: safetensors does not keep the order of several, and equal weights are to be
# equal bytes.
_ENTRY = "lesion"


@dataclass(frozen=True)
class Header:
    """What was trained, and from what: `fingerprint` is the hash of data, parameters and code.

    The network takes float images, B×3×H×W RGB in [0, 1], less `mean`, divided by `deviation`,
    and gives B×1×H×W logits. It was trained on squares of `image_size` pixels.
    """

    width: int
    depth: int
    image_size: int
    fingerprint: str
    epoch: int
    architecture: str = "unet"
    mean: tuple[float, ...] = MEAN
    deviation: tuple[float, ...] = DEVIATION


def save_weights(path: Path, state: dict[str, Tensor], header: Header) -> None:
    """Writes weights and header; equal arguments give equal bytes."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    write_bytes(path, save(tensors, metadata={_ENTRY: json.dumps(asdict(header))}))


def read_header(path: Path) -> Header:
    """The header alone.

    Raises:
        InputError: the file is missing or is not one that `save_weights` wrote.
    """
    return _read(path)[0]


def load_model(path: Path, device: torch.device) -> tuple[UNet, Header]:
    """The network, ready to predict, and its header.

    Raises:
        InputError: the file is missing or is not one that `save_weights` wrote.
    """
    header, state = _read(path)
    try:
        model = UNet(header.width, header.depth)
        model.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: its weights do not fit its header ({error}); train again"
        ) from None
    model = model.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    return model, header


def _header(entries: dict) -> Header:
    header = Header(**entries)
    header = replace(header, mean=tuple(header.mean), deviation=tuple(header.deviation))
    if (header.architecture, header.mean, header.deviation) != ("unet", MEAN, DEVIATION):
        raise ValueError("another architecture, mean or deviation")
    return header


def _read(path: Path) -> tuple[Header, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = _header(json.loads(file.metadata()[_ENTRY]))
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `dvc repro`, which trains it") from None
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: no weights of this project ({error}); train again") from None
