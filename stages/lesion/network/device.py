"""Where and how precisely the network computes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version

import torch

from lesion.pipeline.errors import InputError


def prepare(threads: int) -> torch.device:
    """Makes torch deterministic, gives it `threads` threads (0: all cores), picks the device.

    A GPU where there is one; among several processes, each its own. Results repeat to the bit on
    the same machine and thread count; they differ in rounding between thread counts, which split
    sums differently.
    """
    if threads:
        torch.set_num_threads(threads)
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # CUDA's condition for repeatability
    # As torch.use_deterministic_algorithms does, but that loads torch's compiler: three seconds.
    torch.set_deterministic_debug_mode("warn")
    # Saves a twentieth of the time. A property of the module's own class, which has no types.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False  # float32 is to mean float32
    rank, count = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if rank >= count:
        raise InputError(f"{rank + 1} processes or more for {count} GPUs; expected one for each")
    device = torch.device("cuda", rank)
    torch.cuda.set_device(device)
    return device


def arithmetic(device: torch.device) -> dict[str, str | int]:
    """What random numbers and rounding depend on: versions, the processor, its threads."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _instructions()
    return {
        "torch": torch.__version__,  # with the version of CUDA
        **{package: version(package) for package in ("torchvision", "numpy")},
        "processor": name,
        "bfloat16": int(has_bfloat16(device)),
        "processor_threads": torch.get_num_threads(),
    }


@contextmanager
def memory_named(device: torch.device, batch_size: int, width: int) -> Iterator[None]:
    """Turns running out of memory into an InputError that says which parameters to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # On a processor torch raises a plain RuntimeError.
        exhausted = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not exhausted and "can't allocate memory" not in str(error):
            raise
        raise InputError(
            f"out of memory on the {device.type}: lower batch_size (now {batch_size}), "
            f"then image_size or width (now {width})"
        ) from None


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """A context that computes in bfloat16 where `precision` asks for it.

    `auto` takes bfloat16 where the processor multiplies it in hardware, and float32 elsewhere,
    where it would be emulated, and slower.
    """
    enabled = precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def _instructions() -> str:
    """The widest vector instructions that torch computes with, e.g. AVX2."""
    return torch.backends.cpu.get_cpu_capability()
