from pathlib import Path

import pytest

from lesion.tracking import machine
from lesion.tracking.machine import Machine
from lesion.tracking.spool import Entry

pytestmark = pytest.mark.long


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    opened = Entry.open("a")
    opened.append("training", name="a", tags={})
    return opened


def steps(entry: Entry) -> list[int]:
    return [event["step"] for event in entry.events()[1:]]


def test_the_machine_is_measured_every_ten_seconds_however_often_that_is_asked_for(
    entry, monkeypatch
):
    measured = Machine(entry)
    for _ in range(3):
        measured.measure()
    assert steps(entry) == [0]
    monkeypatch.setattr(machine.time, "monotonic", lambda: measured._due + 0.1)
    measured.measure()
    assert steps(entry) == [0, 1]


def test_a_training_that_goes_on_counts_on(entry):
    Machine(entry).measure()
    Machine(entry).measure()
    assert steps(entry) == [0, 1]
    values = entry.events()[-1]["values"]
    assert 0 < values["system/system_memory_usage_percentage"] <= 100
