"""What is to go to MLflow, on disk first: a folder a run, in mlspool/ of the project's root.

A stage writes down what it logs before anybody tries to send it, so that no server, slow, refusing
or killed, costs a stage its time or a run a number. What was sent is remembered beside it; the
folder goes when MLflow has all of it. What can never be sent is kept in mlspool/damaged/.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from lesion.pipeline.files import write_json
from lesion.pipeline.root import project_root
from lesion.tracking.events import Event, fault, kept_by, state_fault

FOLDER = "mlspool"
ASIDE = "damaged"
LOCKS = (".writing", ".sending")  # what their names end with
REMOVED = ".removed"  # and that of a folder in the moment before it goes
FORGOTTEN = 30 * 24 * 3600  # seconds after which a training that was broken off is given up
# Seconds to wait for a process that only looks into an entry: of a stage, and of who sends it.
GLANCE = 1.0
MOMENT = 0.1


class Damaged(Exception):
    """An entry that can never be sent, and why."""


def spool() -> Path:
    """The folder of all entries."""
    return project_root().resolve() / FOLDER


def entries() -> list[Entry]:
    """Whatever waits, oldest first."""
    folders = [path.parent for path in spool().glob("*/events.jsonl")]
    folders = [folder for folder in folders if folder.suffix != REMOVED]
    return sorted(map(Entry, folders), key=lambda entry: entry.opened)


def noted() -> dict[str, int]:
    """When it was last noted of each entry how far it was sent: another answer is progress."""
    times = {}
    for path in spool().glob("*/sent.json"):
        with suppress(FileNotFoundError):
            times[path.parent.name] = path.stat().st_mtime_ns
    return times


def is_unfinished(name: str) -> bool:
    """Whether there is an entry of this name that somebody can go on with."""
    try:
        events = Entry(spool() / name).events()
    except Damaged:
        return False
    return bool(events) and status(events) != "FINISHED"


def status(events: list[Event]) -> str | None:
    """FINISHED, FAILED or KILLED; None while it is written. What was broken off may go on."""
    for event in reversed(events):
        if event["event"] != "system":  # measured by another process, perhaps after the end
            return event.get("status")
    return None


def tidy() -> None:
    """Removes what killed processes have left of entries that are gone."""
    for gone in spool().glob(f"*{REMOVED}"):
        shutil.rmtree(gone, ignore_errors=True)
    for path in spool().glob("*"):
        folder = path.with_suffix("")
        if path.suffix in LOCKS and not folder.exists():
            Entry(folder).tidy()


class Entry:
    """The folder of one run: a line an event, files beside them, and how far they were sent.

    One process at a time writes it, and one sends it: each holds the lock of that name meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Beside the folder, which is removed in the end. Who holds one removes its file, and nobody
        # else does; who has locked a file that is gone then tries again, which filelock sees to.
        self.writing, self.sending = (
            FileLock(f"{folder}{suffix}", thread_local=False) for suffix in LOCKS
        )

    @classmethod
    def open(cls, name: str) -> Entry:
        """The entry of this name, locked for writing, to go on with where it was broken off.

        Where another process writes it, or it is complete and waits to be sent, a new one.
        """
        spool().mkdir(exist_ok=True)
        entry = cls(spool() / name)
        if not entry._is_to_be_written():
            entry = cls(spool() / f"{name}-{uuid4().hex[:8]}")
            entry.writing.acquire(timeout=0)
        entry.folder.mkdir(exist_ok=True)
        events = entry.folder / "events.jsonl"
        if events.exists() and not events.read_bytes().endswith(b"\n"):
            # A killed process did not write its last line to the end.
            with events.open("a", encoding="utf-8") as file:
                file.write("\n")
        return entry

    def _is_to_be_written(self) -> bool:
        """Whether it is this process that goes on with it, which has locked it then."""
        try:
            self.writing.acquire(timeout=GLANCE)
        except Timeout:
            return False
        try:
            complete = status(self.events()) == "FINISHED"
        except Damaged as damage:
            self._move_aside(damage)
            complete = self.folder.exists()
        if complete:
            self.close()
        return not complete

    def close(self) -> None:
        self._release(self.writing)

    @contextmanager
    def held(self, lock: FileLock) -> Iterator[None]:
        """One of its two locks, for the block.

        Raises:
            filelock.Timeout: another process holds it.
        """
        lock.acquire(timeout=MOMENT)
        try:
            yield
        finally:
            self._release(lock)

    def _release(self, lock: FileLock) -> None:
        if lock.is_locked:
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()

    def tidy(self) -> None:
        """Removes the locks that a killed process has left."""
        for lock in (self.writing, self.sending):
            with suppress(Timeout):
                lock.acquire(timeout=0)
            self._release(lock)

    @property
    def opened(self) -> float:
        """When, in milliseconds since 1970; 0 where that cannot be read."""
        try:
            return self.events()[0]["time"]
        except (Damaged, OSError, IndexError):
            return 0

    def append(self, kind: str, **content: Any) -> None:
        """Writes down an event, with the time, in milliseconds, as MLflow counts it."""
        line = json.dumps({"event": kind, "time": round(time.time() * 1000), **content})
        with (self.folder / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def keep(self, path: Path) -> str:
        """Copies a file or folder into the entry; its name there."""
        target = self.kept(path.name)
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(path, target)
        return path.name

    def kept(self, name: str) -> Path:
        """Where a copy is."""
        return self.folder / "files" / name

    def events(self) -> list[Event]:
        """All events, but for those that a killed process did not write to their end.

        Raises:
            Damaged: something else stands there, or a file is missing that one of them names.
        """
        try:
            content = (self.folder / "events.jsonl").read_bytes()
        except (FileNotFoundError, NotADirectoryError):  # removed by the process that has sent it
            return []
        except IsADirectoryError:
            raise Damaged("events.jsonl is a folder") from None
        events = list(_parsed(content))
        if content.strip() and not events:
            raise Damaged("events.jsonl has no event")
        files = {path.name for path in self.kept("").glob("*")}
        for event in events:
            if wrong := fault(event):
                raise Damaged(f"an event in events.jsonl is none: {wrong}")
            if lost := [name for name in kept_by(event) if name not in files]:
                raise Damaged(f"files/{lost[0]} is not there")
        if events and events[0]["event"] not in ("training", "result"):
            raise Damaged("the first event in events.jsonl does not say of which run they are")
        return events

    def sent(self) -> dict[str, Any]:
        """How far it was sent: `count` events, into `run`. Nothing, where that cannot be read."""
        with suppress(OSError, ValueError, RecursionError):
            state = json.loads((self.folder / "sent.json").read_bytes())
            if not state_fault(state):
                return state
        return {"count": 0}

    def note_sent(self, state: dict[str, Any]) -> None:
        if self.folder.exists():  # else somebody has given the run up
            write_json(self.folder / "sent.json", state)

    def end_if_abandoned(self) -> None:
        """Ends a training that was killed, which may yet go on; removes half a result."""
        with suppress(Timeout, Damaged), self.held(self.writing):
            events = self.events()
            half = not events or events[0]["event"] == "result"
            if half and status(events) != "FINISHED":
                self.remove()
            elif status(events) is None:
                self.append("end", status="KILLED")
            elif self._given_up(events):
                self.remove()

    def _given_up(self, events: list[Event]) -> bool:
        sent = self.sent()["count"] == len(events)
        return sent and events[-1]["time"] / 1000 < time.time() - FORGOTTEN

    def remove(self) -> None:
        """Removes it at once: what a kill leaves of it, `tidy` removes."""
        gone = Path(f"{self.folder}{REMOVED}")
        shutil.rmtree(gone, ignore_errors=True)
        with suppress(FileNotFoundError):
            self.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def set_aside(self, damage: Damaged) -> None:
        """Keeps it where nobody looks for what to send, and says so.

        Raises:
            Damaged: a process writes it.
        """
        try:
            with self.held(self.writing):
                self._move_aside(damage)
        except Timeout:
            raise damage from None

    def _move_aside(self, damage: Damaged) -> None:
        place = spool() / ASIDE / self.folder.name
        if place.exists():
            place = place.with_name(f"{place.name}-{uuid4().hex[:8]}")
        place.parent.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            self.folder.rename(place)
            print(
                f"warning: {FOLDER}/{self.folder.name} cannot be sent ({damage}); it is kept in "
                f"{FOLDER}/{ASIDE}/{place.name}",
                flush=True,
            )


def _parsed(content: bytes) -> Iterator[Any]:
    for line in content.split(b"\n"):
        # Cut by a kill or a full disk, or zeros after a power cut.
        with suppress(ValueError, RecursionError):
            yield json.loads(line)
