import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version

import numpy as np
import pytest
import torch

from lesion.network import device
from lesion.network.device import (
    ALIKE,
    arithmetic,
    autocast,
    bfloat16_unit,
    not_portable,
    prepare,
)
from lesion.pipeline.errors import InputError
from project import ROOT, environment

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
    prepare(threads, "auto")
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
    prepare(1, "auto")
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_processor_computes():
    assert prepare(1, "auto") == CPU


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
    assert prepare(1, "auto") == torch.device("cuda", int(rank or 0)) == taken[0]
    assert not torch.backends.cudnn.allow_tf32


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match="3 processes or more for 2 GPUs"):
        prepare(1, "auto")


VERSIONS = {
    "torch": torch.__version__,
    "torchvision": version("torchvision"),
    "numpy": np.__version__,
}


def test_arithmetic_names_versions_instructions_and_threads():
    torch.set_num_threads(2)
    assert arithmetic(CPU, "float32") == {
        **VERSIONS,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "processor_threads": 2,
    }


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_arithmetic_in_bfloat16_names_what_multiplies_it(precision):
    assert arithmetic(CPU, precision)["bfloat16"] == bfloat16_unit(CPU)


def test_arithmetic_of_a_gpu_is_named_by_the_gpu(monkeypatch):
    names = {torch.device("cuda", 0): "NVIDIA T4", torch.device("cuda", 1): "NVIDIA H200"}
    monkeypatch.setattr(torch.cuda, "get_device_name", names.__getitem__)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    found = arithmetic(torch.device("cuda", 1), "auto")
    assert found["processor"] == "NVIDIA H200" and found["bfloat16"] == "gpu"


def machine(monkeypatch, system: str = "linux", avx2: bool = True) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: avx2)


def test_portable_names_no_machine(monkeypatch):
    machine(monkeypatch)
    torch.set_num_threads(2)
    expected = {**VERSIONS, "processor": ALIKE, "processor_threads": 2}
    assert arithmetic(CPU, "portable") == expected


@pytest.mark.parametrize(("system", "avx2"), [("linux", False), ("darwin", True), ("win32", True)])
def test_where_portable_cannot_hold_it_names_the_machine_and_says_so(
    monkeypatch, capsys, system, avx2
):
    machine(monkeypatch, system, avx2)
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    prepare(0, "portable")
    said = capsys.readouterr().out
    assert said == (
        "precision portable: this is no Linux on a processor with AVX2: results will repeat on "
        "this machine, and differ in rounding from those of others\n"
    )
    assert torch.get_num_threads() == 1 and "ATEN_CPU_CAPABILITY" not in os.environ
    assert arithmetic(CPU, "portable")["processor"] == torch.backends.cpu.get_cpu_capability()


def test_on_a_gpu_portable_cannot_hold(monkeypatch):
    assert not_portable(torch.device("cuda", 0)) == "a GPU computes"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA T4")
    assert arithmetic(torch.device("cuda", 0), "portable")["processor"] == "NVIDIA T4"


HELD = """
import sys
sys.path.insert(0, "stages")
import lesion
import cv2, numpy, scipy.linalg, torch
from numpy._core._multiarray_umath import __cpu_features__
from lesion.network.device import prepare

if sys.argv[1] == "late":
    torch.ones(100).exp()
prepare(int(sys.argv[2]), sys.argv[1] if sys.argv[1] != "late" else "portable")
images = torch.ones(2, 8, 32, 32).to(memory_format=torch.channels_last)
torch.nn.Conv2d(8, 16, 3).to(memory_format=torch.channels_last)(images)
print(torch.get_num_threads(), torch.backends.cpu.get_cpu_capability())
print([name for name in ("X86_V4", "AVX512_ICL", "AVX512_SPR") if __cpu_features__[name]])
print(cv2.ipp.getIppVersion())
"""


def held(precision: str, threads: int = 1, **environ: str) -> subprocess.CompletedProcess[str]:
    verbose = {"OPENBLAS_VERBOSE": "2", "ONEDNN_VERBOSE": "1", "MKL_VERBOSE": "1"}
    return subprocess.run(
        [sys.executable, "-c", HELD, precision, str(threads)],
        cwd=ROOT,
        env=environment() | verbose | environ,
        capture_output=True,
        text=True,
    )


needs_avx2 = pytest.mark.skipif(
    bool(not_portable(CPU)), reason="bytes are promised for Linux on a processor with AVX2 only"
)


@needs_avx2
def test_portable_holds_every_library_to_avx2_whatever_the_user_has_set():
    found = held("portable", 0, ATEN_CPU_CAPABILITY="default", ONEDNN_MAX_CPU_ISA="SSE41")
    assert found.returncode == 0, found.stderr
    assert "1 AVX2\n[]\n" in found.stdout and "AVX2 (l9)" in found.stdout
    assert "onednn_verbose,v1,info,cpu,isa:Intel AVX2\n" in found.stdout
    assert {line for line in found.stderr.splitlines() if "Core:" in line} == {"Core: Haswell"}


@needs_avx2
def test_what_torch_computed_before_would_not_be_portable():
    found = held("late", ATEN_CPU_CAPABILITY="default")
    assert found.returncode == 1 and "torch has computed something" in found.stderr
    (advice,) = re.findall("begin Python with (.*)$", found.stderr, re.M)
    environ = dict(variable.split("=") for variable in advice.split())
    assert held("late", **environ).returncode == 0


def test_another_precision_leaves_torch_as_fast_as_it_is():
    found = held("auto", 1, ATEN_CPU_CAPABILITY="default", ONEDNN_MAX_CPU_ISA="SSE41")
    assert "DEFAULT" in found.stdout and "isa:Intel SSE4.1\n" in found.stdout


@pytest.mark.parametrize("stage", ["preprocess", "baseline", "train", "evaluate", "plot"])
def test_a_stage_that_computes_imports_lesion_before_the_libraries_that_it_holds(root, stage):
    code = ast.parse((root / f"stages/{stage}.py").read_text(encoding="utf-8"))
    imports = [node for node in code.body if isinstance(node, ast.Import | ast.ImportFrom)]
    first = next(node for node in imports if getattr(node, "module", "") != "__future__")
    assert isinstance(first, ast.Import) and first.names[0].name == "lesion"


@pytest.mark.parametrize(
    ("precision", "unit", "expected"),
    [
        ("portable", "amx", torch.float32),
        ("float32", "amx", torch.float32),
        ("bfloat16", "none", torch.bfloat16),
        ("auto", "amx", torch.bfloat16),
        ("auto", "avx512", torch.bfloat16),
        ("auto", "none", torch.float32),
    ],
)
def test_auto_takes_bfloat16_where_the_processor_has_it(monkeypatch, precision, unit, expected):
    monkeypatch.setattr(device, "bfloat16_unit", lambda device: unit)
    with autocast(CPU, precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("amx", "avx512", "unit"),
    [(0, 0, "none"), (1, 0, "amx"), (1, 1, "amx"), (0, 1, "avx512")],
)
def test_a_processor_multiplies_bfloat16_with_either_set_of_instructions(
    monkeypatch, amx, avx512, unit
):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: bool(amx))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bool(avx512))
    assert bfloat16_unit(CPU) == unit


def test_a_gpu_that_emulates_bfloat16_does_not_have_it(monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    assert bfloat16_unit(torch.device("cuda", 0)) == "none"
