import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from lesion.pipeline.errors import InputError
from lesion.serving.server import address, bound
from lesion.synthetic import lesion_image
from picture_files import jpeg
from project import ROOT, environment, wait_for
from small_model import write_model

TOOL = [sys.executable, str(ROOT / "tools/app.py"), "--no-browser"]


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("localhost", "http://"),
        ("0.0.0.0", "http://127.0.0.1:"),
    ],
)
def test_the_address_is_one_that_this_machine_can_open(host, shown):
    with bound(host, 0) as listening:
        where = address(listening)
        port = int(where.rstrip("/").rpartition(":")[2])
        assert where.startswith(shown) and port > 0
        socket.create_connection(("localhost", port), 5).close()


def test_a_port_in_use_and_a_host_that_is_none_are_named_with_what_to_do():
    with bound("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: in use; name another, --port"):
            bound("127.0.0.1", port)
    with pytest.raises(InputError, match=r"--host 192\.0\.2\.1: none of this machine's"):
        bound("192.0.2.1", 0)
    with pytest.raises(InputError, match="--host no such host"):
        bound("no such host", 0)


@contextmanager
def started(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """The tool in another folder than the project's, and the address that it prints."""
    command = [*TOOL, "--port", "0", *options]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell starts in the background, perhaps these tests, has no Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield process, process.stdout.readline().split(" ")[0].rstrip("/")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.long
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_tool_serves_a_model_that_lies_anywhere_stores_nothing_and_ends_when_told(
    tmp_path, end
):
    write_model(tmp_path / "my model")
    before = status()
    with started(tmp_path, "--model", "my model") as (process, where):
        photograph = jpeg(lesion_image(0, 60, 80)[0])
        answer = requests.post(f"{where}/v1/segment", photograph, timeout=60)
        assert answer.json()["width"] == 80
        process.send_signal(end)
        _, said = process.communicate(timeout=30)
        assert said == ""
        assert process.returncode == (130 if end == signal.SIGINT else -signal.SIGTERM)
    assert status() == before
    assert [path.name for path in tmp_path.iterdir()] == ["my model"]


def status() -> str:
    return subprocess.run(
        ["git", "status", "--porcelain", "--ignored"], cwd=ROOT, capture_output=True, text=True
    ).stdout


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "nowhere"], "nowhere/predictor.json: not found"),
        (["--port", "70000"], "invalid port value: '70000'"),
        (["--host", "no such host"], "--host no such host"),
    ],
)
def test_what_cannot_be_served_is_one_line(tmp_path, options, words):
    found = subprocess.run(
        [*TOOL, *options], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert found.returncode in (1, 2) and words in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr


@pytest.mark.long
def test_what_is_being_worked_on_is_answered_before_the_end(tmp_path):
    write_model(tmp_path)
    photograph = jpeg(lesion_image(0, 60, 80)[0])
    with started(tmp_path, "--model", ".") as (process, where):
        wait_for(lambda: requests.get(f"{where}/health", timeout=30).ok, 30, 0.1)
        host, port = where.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 30) as connection:
            head = f"POST /v1/segment HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(photograph)}"
            connection.sendall(f"{head}\r\n\r\n".encode() + photograph[:100])
            requests.get(f"{where}/health", timeout=30)  # so that the server has read it
            process.send_signal(signal.SIGTERM)
            connection.sendall(photograph[100:])
            assert connection.recv(20).startswith(b"HTTP/1.1 200 ")
        process.communicate(timeout=30)
