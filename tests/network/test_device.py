import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version

import numpy as np
import pytest
import torch

from lesion.network import device
from lesion.network.device import arithmetic, autocast, has_bfloat16, memory_named, prepare
from lesion.pipeline.errors import InputError

pytestmark = pytest.mark.long

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def as_before(monkeypatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    mode, threads = torch.get_deterministic_debug_mode(), torch.get_num_threads()
    yield
    torch.set_deterministic_debug_mode(mode)
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("threads", "expected"), [(1, 1), (2, 2), (0, 3)])
def test_as_many_threads_as_are_asked_for_and_0_leaves_them_to_torch(threads, expected):
    torch.set_num_threads(3)
    prepare(threads)
    assert torch.get_num_threads() == expected


@pytest.mark.parametrize(
    ("stage", "own", "expected"),
    [
        ("train", {}, 0),
        ("evaluate", {"OMP_WAIT_POLICY": "ACTIVE"}, 30_000_000_000),
        pytest.param("evaluate", {}, 0, marks=pytest.mark.slow),
        pytest.param("train", {"GOMP_SPINCOUNT": "77"}, 77, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_waiting_threads_sleep_in_every_stage_with_torch_unless_the_user_wants_otherwise(
    root, stage, own, expected
):
    waiting = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environ = {name: value for name, value in os.environ.items() if name not in waiting}
    # OpenMP says what it goes by when torch loads it: how often a thread looks before it sleeps.
    said = subprocess.run(
        [sys.executable, f"stages/{stage}.py", "--help"],
        cwd=root,
        env={**environ, "OMP_DISPLAY_ENV": "VERBOSE", **own},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert f"GOMP_SPINCOUNT = '{expected}'" in said


def test_what_is_computed_is_repeatable(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    torch.backends.cudnn.benchmark = True
    prepare(1)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_processor_computes():
    assert prepare(1) == CPU


@pytest.mark.parametrize("rank", [None, "0", "3"])
def test_each_process_takes_a_gpu_of_its_own(monkeypatch, rank):
    taken = []
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert prepare(1) == torch.device("cuda", int(rank or 0)) == taken[0]
    assert not torch.backends.cudnn.allow_tf32


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match="3 processes or more for 2 GPUs"):
        prepare(1)


def test_arithmetic_names_versions_instructions_and_threads():
    torch.set_num_threads(2)
    found = arithmetic(CPU)
    assert found == {
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "numpy": np.__version__,
        "bfloat16": int(has_bfloat16(CPU)),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "processor_threads": 2,
    }


def test_arithmetic_of_a_gpu_is_named_by_the_gpu(monkeypatch):
    names = {torch.device("cuda", 0): "NVIDIA T4", torch.device("cuda", 1): "NVIDIA H200"}
    monkeypatch.setattr(torch.cuda, "get_device_name", names.__getitem__)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert arithmetic(torch.device("cuda", 1))["processor"] == "NVIDIA H200"


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


@pytest.mark.parametrize(
    ("precision", "has", "expected"),
    [
        ("float32", True, torch.float32),
        ("bfloat16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
    ],
)
def test_auto_takes_bfloat16_where_the_processor_has_it(monkeypatch, precision, has, expected):
    monkeypatch.setattr(device, "has_bfloat16", lambda device: has)
    with autocast(CPU, precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize(("amx", "avx512"), [(False, False), (True, False), (False, True)])
def test_a_processor_has_bfloat16_with_either_set_of_instructions(monkeypatch, amx, avx512):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert has_bfloat16(CPU) == (amx or avx512)


def test_a_gpu_that_emulates_bfloat16_does_not_have_it(monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    assert not has_bfloat16(torch.device("cuda", 0))
