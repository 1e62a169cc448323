"""Where and how precisely the network computes."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from importlib.metadata import version

import torch

from lesion.pipeline.errors import InputError

PORTABLE = "portable"  # the precision that is float32, and computed alike on many processors
ALIKE = "any with AVX2"
# What torch, oneDNN and MKL look up when they compute for the first time. MKL would otherwise tell
# Intel's processors from AMD's.
_HELD = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE"}


def prepare(threads: int, precision: str) -> torch.device:
    """Makes torch deterministic, gives it `threads` threads (0: all cores), picks the device.

    A GPU where there is one; among several processes, each its own. Results repeat to the bit on
    the same machine and thread count; they differ in rounding between thread counts, which split
    sums differently. With `precision` portable, when 0 threads are one, they are the same on all
    processors with AVX2; where that cannot hold, a line says so. It has to be called before torch
    computes anything.
    """
    device = _device()
    if precision == PORTABLE:
        threads = threads or 1
        if why := not_portable(device):
            print(
                f"precision portable: {why}: results will repeat on this machine, and differ in "
                "rounding from those of others",
                flush=True,
            )
        else:
            _hold()
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
    return device


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False  # float32 is to mean float32
    rank, count = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if rank >= count:
        raise InputError(f"{rank + 1} processes or more for {count} GPUs; expected one for each")
    device = torch.device("cuda", rank)
    torch.cuda.set_device(device)
    return device


def not_portable(device: torch.device) -> str:
    """Why results on `device` have other bytes than elsewhere; empty where they need not have."""
    if device.type != "cpu":
        return "a GPU computes"
    if sys.platform != "linux" or not torch.cpu._is_avx2_supported():
        return "this is no Linux on a processor with AVX2"
    return ""


def _hold() -> None:
    os.environ |= _HELD
    if _instructions() != "AVX2":
        held = " ".join(f"{name}={value}" for name, value in _HELD.items())
        raise RuntimeError(
            "precision portable: torch has computed something before it was told how; load the "
            f"model before that, or begin Python with {held}"
        )


def arithmetic(device: torch.device, precision: str) -> dict[str, str | int]:
    """What random numbers and rounding depend on: versions, the processor, its threads."""
    if precision == PORTABLE and not not_portable(device):
        processor: dict[str, str | int] = {"processor": ALIKE}
    else:
        on_gpu = device.type == "cuda"
        name = torch.cuda.get_device_name(device) if on_gpu else _instructions()
        processor = {"processor": name}
        if precision in ("auto", "bfloat16"):
            processor["bfloat16"] = bfloat16_unit(device)
    return {
        "torch": torch.__version__,  # with the version of CUDA
        **{package: version(package) for package in ("torchvision", "numpy")},
        **processor,
        "processor_threads": torch.get_num_threads(),
    }


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """A context that computes in bfloat16 where `precision` asks for it.

    `auto` takes bfloat16 where the processor multiplies it in hardware, and float32 elsewhere,
    where it would be emulated, and slower.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=in_bfloat16(device, precision))


def in_bfloat16(device: torch.device, precision: str) -> bool:
    """Whether `precision` asks for bfloat16 on this device."""
    return precision == "bfloat16" or (precision == "auto" and bfloat16_unit(device) != "none")


def bfloat16_unit(device: torch.device) -> str:
    """What multiplies bfloat16 in hardware: gpu, amx or avx512; none, if nothing does."""
    if device.type == "cuda":
        return "gpu" if torch.cuda.is_bf16_supported(including_emulation=False) else "none"
    if torch.cpu._is_amx_tile_supported():
        return "amx"
    return "avx512" if torch.cpu._is_avx512_bf16_supported() else "none"


def _instructions() -> str:
    """The widest vector instructions that torch computes with, e.g. AVX2."""
    return torch.backends.cpu.get_cpu_capability()
