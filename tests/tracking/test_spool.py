import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lesion.tracking import spool
from lesion.tracking.spool import Damaged, Entry, entries

pytestmark = pytest.mark.long


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


def test_what_killed_processes_have_left_of_entries_that_are_gone_is_removed(project):
    running = training("running")
    for name in ("gone.writing", "gone.sending"):
        (project / "mlspool" / name).touch()
    (project / "mlspool/half.removed/files").mkdir(parents=True)
    (project / "mlspool/half.removed/events.jsonl").touch()
    assert [entry.folder.name for entry in entries()] == ["running"]
    spool.tidy()
    assert names(project / "mlspool") == ["running", "running.writing"]
    running.close()
    assert names(project / "mlspool") == ["running"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


WRITER = """
import os, sys
from pathlib import Path
from lesion.tracking.spool import Entry
inside = Path(sys.argv[1])
for turn in range(80):
    entry = Entry.open("a")
    if entry.folder.name != "a":  # another process writes it, or it is not sent yet
        entry.close()
        entry.remove()
        continue
    with open(inside, "x"):  # there, if two are at it at once
        entry.append("training", name="a", tags={})
        entry.append("end", status="FINISHED")
    inside.unlink()
    with entry.held(entry.sending):
        entry.remove()
    entry.close()
    entry.tidy()
"""


def test_of_many_processes_one_at_a_time_writes_an_entry_and_no_lock_is_left(project, root):
    environ = os.environ | {"PYTHONPATH": str(root / "stages")}
    command = [sys.executable, "-c", WRITER, project / "inside"]
    processes = [subprocess.Popen(command, env=environ) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert names(project / "mlspool") == []


EVENTS = (
    {"event": "training", "time": 1, "name": "a", "tags": {"a": "b"}},
    {"event": "metrics", "time": 2, "values": {"dice": 0.5}, "step": 1},
    {"event": "end", "time": 3, "status": "FINISHED"},
)


def changed(number: int, **fields: object) -> bytes:
    events = [dict(event) for event in EVENTS]
    events[number] |= fields
    return "".join(json.dumps(event) + "\n" for event in events).encode()


DAMAGE = {
    "garbage": b"\x00\xff\xfe" * 100,
    "another JSON": b"[]\n",
    "a deep JSON": b"[" * 100_000 + b"\n",
    "no opening": b"".join(changed(0).splitlines(keepends=True)[1:]),
    "a time that is none": changed(0, time="yesterday"),
    "no tags": changed(0, tags=None),
    "a number that is none": changed(1, values={"dice": "much"}),
    "a step that is none": changed(1, step=[1]),
    "an event of another kind": changed(1, event="miracle"),
    "a file that is missing": changed(1, event="file", path="none.csv"),
    "a file elsewhere": changed(1, event="file", path="../../../secret"),
    "a status that is none": changed(2, status="DONE"),
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_an_entry_that_is_damaged_says_so_and_a_training_of_its_name_begins_anew(
    project, capsys, content
):
    folder = project / "mlspool/a"
    (folder / "files").mkdir(parents=True)
    (folder / "events.jsonl").write_bytes(content)
    (project / "secret").touch()
    with pytest.raises(Damaged):
        Entry(folder).events()
    assert len(entries()) == 1
    entry = training("a")
    assert [event["event"] for event in entry.events()] == ["training"]
    assert (project / "mlspool/damaged/a/events.jsonl").read_bytes() == content
    said = capsys.readouterr().out
    assert said.startswith("warning: mlspool/a cannot be sent (") and said.count("\n") == 1


def test_damaged_entries_of_one_name_are_all_kept(project):
    for content in (b"[]\n", b"{}\n"):
        (project / "mlspool/a").mkdir(parents=True, exist_ok=True)
        (project / "mlspool/a/events.jsonl").write_bytes(content)
        Entry(project / "mlspool/a").set_aside(Damaged("it"))
    kept = [path.read_bytes() for path in (project / "mlspool/damaged").glob("*/events.jsonl")]
    assert sorted(kept) == [b"[]\n", b"{}\n"] and entries() == []


def test_what_a_process_writes_is_not_set_aside():
    entry = training("a")
    with pytest.raises(Damaged):
        Entry(entry.folder).set_aside(Damaged("it"))
    assert len(entries()) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b'{"count": 2, "ru', b"[2]", b'{"count": "2"}', b'{"count": -1}', b"\xff",
     b'{"count": 2, "run": 7}', b'{"count": 2, "run": "x", "refused": 5}'],
)  # fmt: skip
def test_what_was_sent_counts_as_nothing_where_that_cannot_be_read(content):
    entry = training("a")
    (entry.folder / "sent.json").write_bytes(content)
    assert entry.sent() == {"count": 0}


def test_what_lies_in_the_spool_by_chance_is_no_entry_and_stays(project):
    (project / "mlspool/folder/files").mkdir(parents=True)
    (project / "mlspool/file").touch()
    assert entries() == []
    spool.tidy()
    assert names(project / "mlspool") == ["file", "folder"]
