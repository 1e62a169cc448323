"""Files of weights: the trained network, safetensors with a header that says how to use it, and
those that an encoder begins with."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lesion.formats.header import ENTRY, Header, read_header
from lesion.network.model import build_model
from lesion.network.unet import UNet
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import write_bytes

_KINDS = {torch.float32: "F32", torch.int64: "I64"}  # weights; how many batches there were


def save_weights(path: Path, state: dict[str, Tensor], header: Header) -> None:
    """Writes weights and header; equal arguments give equal bytes."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    write_bytes(path, save(tensors, metadata={ENTRY: json.dumps(asdict(header))}))


def load_model(path: Path, device: torch.device | str) -> tuple[UNet, Header]:
    """The network, ready to predict, and its header.

    Raises:
        InputError: the file is missing or is not one that `save_weights` wrote.
    """
    header = read_header(path)
    try:
        # On the meta device a tensor has a shape and no memory: a header of a few bytes may imply
        # terabytes, and is believed only once the file has all those tensors.
        with torch.device("meta"), _Undrawn():
            model = build_model(header)
        _require_tensors(path, model)
        state = {name: tensor.clone() for name, tensor in load_file(path).items()}
        _require_finite(state)
        model.load_state_dict(state, assign=True)
    except (InputError, SafetensorError, RuntimeError, TypeError, ValueError, OSError) as error:
        raise InputError(
            f"{path}: its weights do not fit its header ({error}); train again"
        ) from None
    model = model.to(device).to(memory_format=torch.channels_last)
    return model.eval().requires_grad_(False), header


class _Undrawn(TorchFunctionMode):
    """Draws no numbers: to do so on the meta device, torch imports for seconds."""

    def __torch_function__(
        self,
        function: Callable,
        types: object,
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if function in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return function(*args, **(kwargs or {}))


def _require_tensors(path: Path, model: UNet) -> None:
    """Raises ValueError where the file's own table has not exactly the model's tensors."""
    wanted = {name: (_KINDS[t.dtype], list(t.shape)) for name, t in model.state_dict().items()}
    with safe_open(path, framework="pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        found = {name: (part.get_dtype(), part.get_shape()) for name, part in slices.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"{name}: found {_in_words(found.get(name))}; "
                f"expected {_in_words(wanted.get(name))}"
            )


def _in_words(tensor: tuple[str, list[int]] | None) -> str:
    return f"{tensor[0]} of {tensor[1]}" if tensor else "no such tensor"


def _require_finite(state: dict[str, Tensor]) -> None:
    """Raises ValueError for a number that no training leaves."""
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} has numbers that are not finite")


def load_imagenet(path: Path) -> dict[str, Tensor]:
    """The weights of torchvision's classifier, as the stage encoder left them.

    Raises:
        InputError: the file is missing, or has other things than finite float32 weights.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, tensor in dict(state).items():
            if not isinstance(tensor, Tensor) or tensor.dtype not in _KINDS:
                raise ValueError(f"{name}: expected a tensor of float32")
        _require_finite(state)
        return state
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `dvc repro`, which fetches it") from None
    except Exception as error:  # torch raises many kinds for a file that is not its own
        raise InputError(f"{path}: no weights ({error}); run `dvc repro encoder`") from None
