"""The memory in which the network computes."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lesion.pipeline.errors import InputError

# Numbers of glibc's malloc.h for mallopt, with what each is when a program has freed much.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_USUAL = {_TRIM_THRESHOLD: 2**26, _MMAP_THRESHOLD: 2**25, _MMAP_MAX: 2**16}
_KEPT = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_MAX: 0}


@contextmanager
def memory_kept() -> Iterator[None]:
    """Until its end, memory of tensors that are freed is kept for the next ones.

    By itself glibc gives back at once what is above 32 MB, and for the same tensor of the next step
    the kernel maps and clears new pages: a twentieth to a tenth of a step at 256 pixels
    (docs/benchmarks.md). Without glibc nothing is changed.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    glibc = ctypes.CDLL(None)
    for option, value in _KEPT.items():
        glibc.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _USUAL.items():
            glibc.mallopt(option, value)
        glibc.malloc_trim(0)


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
