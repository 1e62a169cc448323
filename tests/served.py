"""The server over a model, as other programs meet it: on a port of this machine."""

from __future__ import annotations

import csv
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import requests

from lesion.photos.archives import ArchiveReader
from lesion.prediction.segmenter import Segmenter
from lesion.serving.application import application
from lesion.serving.limits import Limits
from lesion.serving.outline import Ring
from lesion.serving.server import Server, address, bound
from project import ROOT, environment, wait_for


@contextmanager
def served(
    segmenter: Segmenter, limits: Limits | None = None, names: Collection[str] = ()
) -> Iterator[str]:
    """The address of a server that ends with the block."""
    limits = limits or Limits()
    listening = bound("127.0.0.1", 0)
    server = Server(application(segmenter, limits, names), listening, limits)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.answering.wait(30)
        yield address(listening).rstrip("/")
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def started(model: Path, port: int = 0) -> Iterator[str]:
    """The address of the app over a model's folder, killed at the end.

    It is a process of its own, as a user starts it, and so computes as the model says: with the
    precision portable that is settled once for a process, before torch computes anything.
    """
    command = [sys.executable, str(ROOT / "tools/app.py"), "--no-browser", "--model", str(model)]
    process = subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.PIPE, text=True, env=environment()
    )
    try:
        where = process.stdout.readline().split()[0].rstrip("/")
        wait_for(lambda: answers(where), 60, 0.1)
        yield where
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()


def answers(where: str) -> bool:
    try:
        return requests.get(f"{where}/health", timeout=5).ok
    except requests.ConnectionError:
        return False


def evaluated(project: Path) -> dict[str, tuple[bytes, bytes]]:
    """Of each test image of a project that was run, by its id: its file, and the mask's that
    evaluate wrote."""
    rows = csv.DictReader((project / "arrays/index.csv").read_text().splitlines())
    with ArchiveReader(project / "raw") as raw:
        return {
            row["id"]: (
                raw.read(row["image_archive"], row["image"]),
                (project / f"predictions/test/{row['id']}_segmentation.png").read_bytes(),
            )
            for row in rows
            if row["split"] == "test"
        }


def filled(outline: list[Ring], height: int, width: int) -> np.ndarray:
    """The pixels, H×W bool, whose middles lie inside by the rule evenodd."""
    inside = np.zeros((2 * height + 1, 2 * width + 1), bool)  # at halves of pixels
    for ring in outline:
        one = np.zeros(inside.shape, np.uint8)
        cv2.fillPoly(one, [np.rint(2 * np.array(ring)).astype(int)], 1)
        inside ^= one.astype(bool)
    return inside[1::2, 1::2]


def connected(where: str) -> socket.socket:
    """A connection to the server, to write to byte by byte."""
    found = urlsplit(where)
    return socket.create_connection((found.hostname, found.port), timeout=30)
