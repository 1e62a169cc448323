"""The process that sends beside a stage, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from lesion.tracking import courier, runs
from lesion.tracking.courier import Courier
from lesion.tracking.spool import Entry, entries
from project import environment, wait_for

pytestmark = pytest.mark.long

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


@contextmanager
def dripping_server(head: bytes) -> Iterator[tuple[str, Event]]:
    """The address of a server that goes on for ever, byte by byte, and whether somebody waits."""
    asked = Event()

    def drip(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.recv(1000)
            connection.sendall(head)
            asked.set()
            while True:
                time.sleep(0.2)
                connection.sendall(b" ")

    def serve() -> None:
        with suppress(OSError):
            while True:
                Thread(target=drip, args=[server.accept()[0]], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(HEAD + b"X-Long:", id="header"),
        pytest.param(HEAD + b"\r\n", id="body", marks=pytest.mark.slow),
    ],
)
def test_a_server_that_sends_byte_by_byte_holds_no_stage(head, monkeypatch, capfd):
    monkeypatch.setattr(runs, "PATIENCE", 1.0)
    with dripping_server(head) as (address, asked):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with runs.training("dripping") as log:
            log.metrics({"dice": 0.5}, step=1)
            assert asked.wait(120)
        assert_the_rest_waits("it is too slow", capfd)
    (waiting,) = entries()
    kinds = [event["event"] for event in waiting.events() if event["event"] != "system"]
    assert kinds == ["training", "metrics", "end"]


def test_a_courier_that_has_no_time_to_begin_says_that_it_is_too_slow(capfd):
    entry = Entry.open("a")
    entry.append("training", name="a", tags={})
    Courier(entry, measure_machine=False).finish(0.1, 60)
    assert_the_rest_waits("it is too slow", capfd)


class Clock:
    """Of a machine on which something is taken after every 50 seconds, so many times."""

    def __init__(self, entry: Entry, times: int) -> None:
        self.entry, self.times, self.now = entry, times, 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now // 50 <= self.times:
            count = int(self.now // 50)
            self.entry.note_sent({"count": count})
            os.utime(self.entry.folder / "sent.json", (count, count))


@pytest.mark.parametrize(("times", "end"), [(0, 60), (2, 160), (9, 300)])
def test_what_is_taken_renews_the_patience_within_its_bounds(monkeypatch, capfd, times, end):
    entry = Entry.open("a")
    entry.append("training", name="a", tags={})
    entry.note_sent({"count": 0})
    os.utime(entry.folder / "sent.json", (0, 0))
    clock, ended = Clock(entry, times), []
    monkeypatch.setattr(courier, "time", clock)
    monkeypatch.setattr(courier.os, "_exit", lambda status: ended.append(clock.now))
    courier.Sender(entry, measure_machine=False)._watch(0.0, 60.0, 300.0)
    assert ended == [pytest.approx(end, abs=2)]
    assert_the_rest_waits("it is too slow", capfd)


def test_a_courier_that_is_killed_costs_one_warning(capfd):
    entry = Entry.open("a")
    sending = Courier(entry, measure_machine=False)
    sending._process.kill()
    sending.finish(60, 60)
    assert_the_rest_waits(f"has ended with -{signal.SIGKILL.value}", capfd)


def test_a_courier_that_cannot_be_started_costs_one_warning(monkeypatch, capfd):
    monkeypatch.setattr(sys, "executable", "none")
    Courier(Entry.open("a"), measure_machine=False).finish(60, 60)
    assert_the_rest_waits("No such file or directory: 'none'", capfd)


def assert_the_rest_waits(reason: str, capfd: pytest.CaptureFixture) -> None:
    said = "".join(capfd.readouterr())
    assert said.startswith("warning: MLflow did not take everything (") and said.count("\n") == 1
    assert reason in said and "the rest waits in mlspool/" in said


STAGE = """
from lesion.tracking import courier
from lesion.tracking import runs
with runs.training("killed"):
    print("working", flush=True)
    input()
"""


@pytest.mark.parametrize("waits_for_it", [False, True])
def test_a_courier_ends_with_a_stage_that_is_killed(root, waits_for_it):
    with dripping_server(HEAD + b"X-Long:") as (address, asked):
        own = {"PYTHONPATH": "stages", "MLFLOW_TRACKING_URI": address, "DVC_ROOT": str(root)}
        stage = subprocess.Popen(
            [sys.executable, "-c", STAGE],
            env=environment() | own,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with stage:
            assert stage.stdout.readline() == b"working\n"
            (sender,) = psutil.Process(stage.pid).children()
            if waits_for_it:
                assert asked.wait(120)
                stage.stdin.write(b"\n")
                stage.stdin.flush()
                time.sleep(1)
            assert stage.poll() is None and sender.is_running()
            stage.kill()
        wait_for(lambda: not sender.is_running() or sender.status() == "zombie", 60)
