"""Where and how precisely the network computes."""

import os
from contextlib import AbstractContextManager

import torch


def prepare(threads: int) -> torch.device:
    """Makes torch deterministic, gives it `threads` threads (0: all cores), picks the device.

    A GPU where there is one. Results repeat to the bit on the same machine and thread count; they
    differ in rounding between thread counts, which split sums differently.
    """
    if threads:
        torch.set_num_threads(threads)
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # CUDA's condition for repeatability
    # As torch.use_deterministic_algorithms does, but that loads torch's compiler: three seconds.
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # a twentieth of the time
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """A context that computes in bfloat16 where `precision` asks for it.

    `auto` takes bfloat16 where the processor multiplies it in hardware, and float32 elsewhere,
    where it would be emulated, and slower.
    """
    enabled = precision == "bfloat16" or (precision == "auto" and _has_bfloat16(device))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
