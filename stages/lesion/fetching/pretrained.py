"""torchvision's files of weights that were trained on ImageNet.

Nothing here falls back to other weights: what cannot be had, or is not what its name says, stops.
"""

import hashlib
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse

import torch
from torchvision.models import WeightsEnum, get_model_weights

from lesion.pipeline.errors import FULL, InputError
from lesion.pipeline.files import naming


def fetch_weights(name: str) -> Path:
    """Where torchvision's ImageNet weights of `name` lie, after they were fetched if need be.

    torchvision's own loader fetches them, into `TORCH_HOME`. The hash in the file's name is
    compared also with a file that was there before, which torchvision would not do.

    Raises:
        InputError: they cannot be fetched, or are not what the file's name says.
    """
    weights = imagenet_weights(name)
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name
    if not path.exists():
        try:
            with naming(path, path):
                weights.get_state_dict(progress=False, check_hash=True)
        except (OSError, HTTPException, RuntimeError) as error:  # the last: another hash
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            raise InputError(
                f"{weights.url}: {error}; expected the ImageNet weights of encoder {name}: "
                f"put that file at {path}, or set TORCH_HOME to a folder with "
                f"hub/checkpoints/{path.name}"
            ) from None
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    wanted = path.stem.rpartition("-")[2]
    if not found.startswith(wanted):
        raise InputError(
            f"{path}: its SHA-256 begins with {found[: len(wanted)]}, expected {wanted}; "
            "remove it, and it is fetched again"
        )
    return path


def imagenet_weights(name: str) -> WeightsEnum:
    """torchvision's entry for the weights: the first ones, which each of its networks has."""
    return get_model_weights(name).IMAGENET1K_V1
