"""The header of a weights file: what one needs to use the network, and what it was made from."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import SafetensorError, safe_open

from lesion.formats.architecture import ENCODERS, EncoderName
from lesion.formats.imagenet import DEVIATION, MEAN
from lesion.pipeline.errors import InputError

WEIGHTS_FILE = "unet.safetensors"

MOST = (1024, 8, 4096)  # width, depth and image size that the parameters allow; more would hang

# The file's only entry: safetensors does not keep the order of several, and equal weights are to
# be equal bytes.
ENTRY = "lesion"


@dataclass(frozen=True)
class Header:
    """What was trained, and from what: `fingerprint` is the hash of all that the weights depend on.

    The network takes float images, B×3×H×W RGB in [0, 1], less `mean`, divided by `deviation`,
    and gives B×1×H×W logits. It was trained on squares of `image_size` pixels, made as `resize`
    says.
    """

    encoder: EncoderName
    width: int
    depth: int
    image_size: int
    resize: str
    fingerprint: str
    epoch: int
    architecture: str = "unet"
    mean: tuple[float, ...] = MEAN
    deviation: tuple[float, ...] = DEVIATION


def read_header(path: Path) -> Header:
    """The header of a weights file, without torch, which takes seconds to import.

    Raises:
        InputError: the file is missing, or is not one of this project.
    """
    try:
        path.open("rb").close()  # safetensors takes one that may not be read for missing
        with safe_open(path, framework="numpy") as file:
            header = Header(**json.loads(file.metadata()[ENTRY]))
        header = replace(header, mean=tuple(header.mean), deviation=tuple(header.deviation))
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `dvc repro`, which trains it") from None
    except PermissionError:
        raise
    # A RecursionError is of nested brackets, which json follows a thousand deep.
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: no weights of this project ({error}); train again") from None
    numbers = (header.width, header.depth, header.image_size)
    known = all(
        type(number) is int and 0 < number <= most
        for number, most in zip(numbers, MOST, strict=True)
    )
    if header.encoder not in ENCODERS or not known:
        raise InputError(
            f"{path}: found encoder {header.encoder!r}, and {numbers} as width, depth and image "
            f"size; expected a known encoder and whole numbers from 1 to {MOST}; train again"
        )
    if not _is_text(header.resize, header.fingerprint) or type(header.epoch) is not int:
        raise InputError(
            f"{path}: found {header.resize!r} as resize, {header.fingerprint!r} as fingerprint and "
            f"{header.epoch!r} as epoch; expected a word, a hash and a whole number; train again"
        )
    found = (header.architecture, header.mean, header.deviation)
    if found != ("unet", MEAN, DEVIATION):
        raise InputError(
            f"{path}: found {found}; expected a unet with mean {MEAN} and deviation {DEVIATION}; "
            "train again"
        )
    return header


def _is_text(*values: object) -> bool:
    return all(isinstance(value, str) and value.isprintable() for value in values)
