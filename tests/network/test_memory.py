import platform
import sys

import pytest
import torch

from lesion.network.memory import memory_named
from lesion.pipeline.errors import InputError
from project import ROOT, run

CPU = torch.device("cpu")


def allocate() -> None:
    torch.empty(2**60)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), 0])
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_running_out_of_memory_is_bad_input_that_names_the_parameters(error, where):
    with pytest.raises(InputError) as caught, memory_named(torch.device(where), 16, 64):
        if error:
            raise error
        allocate()
    assert str(caught.value) == (
        f"out of memory on the {where}: lower batch_size (now 16), then image_size or width "
        "(now 64)"
    )


def test_an_allocation_that_fails_is_no_memory_error_of_its_own_in_torch():
    with pytest.raises(RuntimeError) as caught:
        allocate()
    assert not isinstance(caught.value, torch.OutOfMemoryError | MemoryError)


def test_other_errors_go_through_and_work_that_ends_well_is_left_alone():
    for error in (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("memory")):
        with pytest.raises(type(error)) as caught, memory_named(CPU, 16, 64):
            raise error
        assert caught.value is error
    with memory_named(CPU, 16, 64):
        result = 1
    assert result == 1


KEPT = """
import sys
sys.path.insert(0, "stages")
import psutil, torch
from lesion.network.memory import memory_kept

def resident():
    return psutil.Process().memory_info().rss

before = resident()
try:
    with memory_kept():
        torch.ones(2**26)
        print(resident() - before)
        raise ValueError
except ValueError:
    print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="without glibc nothing is changed")
def test_memory_of_a_tensor_that_was_freed_is_kept_until_the_end_even_by_an_error():
    kept, at_the_end = map(int, run(ROOT, sys.executable, "-c", KEPT).stdout.split())
    assert at_the_end < 2**27 < 2**28 <= kept  # the tensor has 2**28 bytes
