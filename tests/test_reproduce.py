"""For which machines tools/reproduce.py promises the bytes of a run."""

import importlib.util
from types import ModuleType, SimpleNamespace

import pytest
import torch

from lesion.network import device
from lesion.network.device import ALIKE, arithmetic
from project import ROOT

pytestmark = pytest.mark.long

CPU = torch.device("cpu")


@pytest.fixture
def tool(monkeypatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("reproduce", ROOT / "tools/reproduce.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    monkeypatch.setattr(device, "not_portable", lambda device: "")
    monkeypatch.setattr(found, "prepare", lambda threads, precision: CPU)
    return found


def run_of(precision: str, **tags: object) -> SimpleNamespace:
    made = arithmetic(CPU, precision) | tags
    params = {"precision": precision, "threads": "1"}
    tags = {name: str(value) for name, value in made.items()}
    return SimpleNamespace(data=SimpleNamespace(params=params, tags=tags))


def test_a_portable_run_is_promised_everywhere(tool):
    run = run_of("portable")
    assert run.data.tags["processor"] == ALIKE
    assert tool.promise(run) == "promised on every Linux machine with AVX2, as this is"


def test_another_run_is_promised_on_machines_alike(tool):
    assert tool.promise(run_of("auto")) == "promised on a machine alike, as this is"


@pytest.mark.parametrize(
    ("precision", "where", "name", "then"),
    [
        ("portable", "every Linux machine with AVX2", "torch", "2.0"),
        ("auto", "a machine alike", "processor", "Z80"),
    ],
)
def test_what_the_run_was_made_with_and_is_not_here_is_named(tool, precision, where, name, then):
    here = arithmetic(CPU, precision)[name]
    expected = f"promised on {where}; but it was made with {name} {then}, here {here}"
    assert tool.promise(run_of(precision, **{name: then})) == expected
