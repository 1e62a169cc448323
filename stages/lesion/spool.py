"""What is to go to MLflow, on disk first: a folder a run, in mlspool/ of the project's root.

A stage writes down what it logs before anybody tries to send it, so that no server, slow, refusing
or killed, costs a stage its time or a run a number. What was sent is remembered beside it; the
folder goes when all of it has been sent.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from lesion.files import write_json
from lesion.root import project_root

FOLDER = "mlspool"
FORGOTTEN = 30 * 24 * 3600  # seconds after which a training that was broken off is given up

Event = dict[str, Any]


def spool() -> Path:
    """The folder of all entries."""
    return project_root().resolve() / FOLDER


def entries() -> list[Entry]:
    """Whatever waits, oldest first."""
    folders = [path.parent for path in spool().glob("*/events.jsonl")]
    return sorted(map(Entry, folders), key=lambda entry: entry.opened)


def is_unfinished(name: str) -> bool:
    """Whether there is an entry of this name that somebody can go on with."""
    events = Entry(spool() / name).events()
    return bool(events) and status(events) != "FINISHED"


def status(events: list[Event]) -> str | None:
    """FINISHED, FAILED or KILLED; None while it is written. What was broken off may go on."""
    for event in reversed(events):
        if event["event"] != "system":  # measured in a thread, perhaps after the end
            return event.get("status")
    return None


class Entry:
    """The folder of one run: a line an event, files beside them, and how far they were sent.

    One process at a time writes it, and one sends it: each holds the lock of that name meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Beside the folder, which is removed in the end.
        self.writing = FileLock(folder.with_suffix(".writing"))
        self.sending = FileLock(folder.with_suffix(".sending"), thread_local=False)

    @classmethod
    def open(cls, name: str) -> Entry:
        """The entry of this name, locked for writing, to go on with where it was broken off.

        Where another process writes it, or it is complete and waits to be sent, a new one.
        """
        spool().mkdir(exist_ok=True)
        entry = cls(spool() / name)
        try:
            entry.writing.acquire(timeout=0)
            taken = status(entry.events()) == "FINISHED"
        except Timeout:
            taken = True
        if taken:
            entry.close()
            entry = cls(spool() / f"{name}-{uuid4().hex[:8]}")
            entry.writing.acquire(timeout=0)
        entry.folder.mkdir(exist_ok=True)
        events = entry.folder / "events.jsonl"
        if events.exists() and not events.read_bytes().endswith(b"\n"):
            # A killed process did not write its last line to the end.
            with events.open("a", encoding="utf-8") as file:
                file.write("\n")
        return entry

    def close(self) -> None:
        self.writing.release()

    @property
    def opened(self) -> float:
        events = self.events()
        return events[0]["time"] if events else 0

    def append(self, kind: str, **content: Any) -> None:
        """Writes down an event, with the time, in milliseconds, as MLflow counts it."""
        line = json.dumps({"event": kind, "time": round(time.time() * 1000), **content})
        with (self.folder / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def keep(self, path: Path) -> str:
        """Copies a file or folder into the entry; its name there."""
        target = self.folder / "files" / path.name
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(path, target)
        return path.name

    def events(self) -> list[Event]:
        """All events, but for those that a killed process did not write to their end."""
        try:
            lines = (self.folder / "events.jsonl").read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:  # removed by the process that has sent it
            return []
        return list(_parsed(lines))

    def sent(self) -> dict[str, Any]:
        """How far it was sent: `count` events, into `run`."""
        try:
            return json.loads((self.folder / "sent.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"count": 0}

    def note_sent(self, state: dict[str, Any]) -> None:
        write_json(self.folder / "sent.json", state)

    def end_if_abandoned(self) -> None:
        """Ends a training that was killed, which may yet go on; removes half a result."""
        try:
            with self.writing.acquire(timeout=0):
                events = self.events()
                if not events:
                    return
                if events[0]["event"] == "result" and status(events) != "FINISHED":
                    self.remove()
                elif status(events) is None:
                    self.append("end", status="KILLED")
                elif self._given_up(events[-1]):
                    self.remove()
        except Timeout:
            return

    def _given_up(self, last: Event) -> bool:
        sent = self.sent()["count"] == len(self.events())
        return sent and last["time"] / 1000 < time.time() - FORGOTTEN

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        for lock in (self.writing, self.sending):
            Path(lock.lock_file).unlink(missing_ok=True)


def _parsed(lines: list[str]) -> Iterator[Event]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue
