import json
import os
import time
from pathlib import Path

import pytest

from lesion import spool
from lesion.spool import Entry, entries


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def training(name: str, *, status: str | None = None) -> Entry:
    entry = Entry.open(name)
    entry.append("training", name=name, tags={})
    if status:
        entry.append("end", status=status)
    return entry


def test_events_come_back_in_order_with_their_time_in_milliseconds():
    entry = training("a")
    before = time.time() * 1000
    entry.append("metrics", values={"dice": 0.1}, step=3)
    opening, event = entry.events()
    assert opening["event"] == "training" and opening["time"] <= event["time"]
    assert event == {"event": "metrics", "time": event["time"], "values": {"dice": 0.1}, "step": 3}
    assert abs(event["time"] - before) < 60_000


def test_a_line_that_a_killed_process_did_not_finish_costs_that_event_alone(project):
    entry = training("a")
    entry.append("tags", values={"a": "1"})
    entry.close()
    events = project / "mlspool/a/events.jsonl"
    events.write_bytes(events.read_bytes()[:-10])
    again = Entry.open("a")
    again.append("tags", values={"b": "2"})
    assert [event.get("values") for event in again.events()] == [None, {"b": "2"}]


def test_what_was_broken_off_goes_on_and_what_is_complete_does_not():
    training("a", status="KILLED").close()
    again = Entry.open("a")
    assert [event["event"] for event in again.events()] == ["training", "end"]
    again.append("end", status="FINISHED")
    again.close()
    assert spool.status(again.events()) == "FINISHED"
    assert Entry.open("a").events() == []
    assert spool.status(again.events()) == "FINISHED"


def test_the_machine_may_be_measured_after_the_end():
    entry = training("a", status="FINISHED")
    entry.append("system", values={}, step=1)
    assert spool.status(entry.events()) == "FINISHED"


def test_an_entry_that_another_process_writes_is_left_to_it():
    first = training("a")
    second = Entry.open("a")
    assert second.folder != first.folder and second.events() == []


def test_entries_are_listed_oldest_first(project):
    for name, opened in (("a", 30), ("b", 10), ("c", 20)):
        (project / "mlspool" / name).mkdir(parents=True)
        line = json.dumps({"event": "training", "time": opened, "name": name, "tags": {}})
        (project / "mlspool" / name / "events.jsonl").write_text(line + "\n")
    assert [entry.folder.name for entry in entries()] == ["b", "c", "a"]


def test_no_entries_where_there_is_no_spool():
    assert entries() == []


def test_files_and_folders_are_copied_so_that_they_may_go_afterwards(project):
    entry = training("a")
    (project / "plots").mkdir()
    (project / "plots/a.png").write_bytes(b"draft")
    entry.keep(project / "plots")  # by a process that was killed then
    (project / "plots/a.png").write_bytes(b"png")
    (project / "unet.safetensors").write_bytes(b"weights")
    names = [entry.keep(project / name) for name in ("plots", "unet.safetensors")]
    (project / "unet.safetensors").unlink()
    assert names == ["plots", "unet.safetensors"]
    kept = entry.folder / "files"
    assert (kept / "plots/a.png").read_bytes() == b"png"
    assert (kept / "unet.safetensors").read_bytes() == b"weights"


def test_what_was_sent_is_remembered():
    entry = training("a")
    assert entry.sent() == {"count": 0}
    entry.note_sent({"count": 2, "run": "x"})
    assert Entry(entry.folder).sent() == {"count": 2, "run": "x"}


@pytest.mark.parametrize("sender_is_last", [True, False])
def test_of_what_was_sent_and_closed_nothing_is_left(project, sender_is_last):
    entry, sender = training("a"), Entry(project / "mlspool/a")
    with sender.held(sender.sending):
        if sender_is_last:
            entry.close()
        sender.remove()
    entry.close()
    sender.tidy()
    assert list((project / "mlspool").iterdir()) == [] and entry.events() == []


def test_a_training_whose_process_is_gone_ends_as_killed_and_one_that_runs_does_not():
    running, gone = training("running"), training("gone")
    gone.close()
    for entry in entries():
        entry.end_if_abandoned()
    assert gone.events()[-1]["status"] == "KILLED"
    assert "status" not in running.events()[-1]


def test_half_a_result_is_removed_and_a_complete_one_stays():
    for name, status in (("half", None), ("whole", "FINISHED")):
        entry = Entry.open(name)
        entry.append("result", name=name, tags={}, model_hash="m", result_hash="r")
        if status:
            entry.append("end", status=status)
        entry.close()
    for entry in entries():
        entry.end_if_abandoned()
    assert [entry.folder.name for entry in entries()] == ["whole"]


@pytest.mark.parametrize(("age", "sent", "left"), [(1.01, 2, 0), (0.99, 2, 1), (1.01, 1, 1)])
def test_a_training_that_was_broken_off_and_sent_is_given_up_after_a_month(
    monkeypatch, age, sent, left
):
    entry = training("a", status="KILLED")
    entry.note_sent({"count": sent})
    entry.close()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + age * spool.FORGOTTEN)
    for entry in entries():
        entry.end_if_abandoned()
    assert len(entries()) == left


def test_without_dvc_the_spool_is_in_the_working_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("DVC_ROOT")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    training("a")
    assert os.listdir() == ["mlspool"]
