"""Runs the addresses on this machine until somebody ends it."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import webbrowser

import uvicorn
from fastapi import FastAPI

from lesion.pipeline.errors import InputError
from lesion.serving.connections import Connection
from lesion.serving.limits import Limits

GRACE = 5  # seconds that requests have when the server is to end


class Server(uvicorn.Server):
    """One that says when it answers."""

    def __init__(
        self, app: FastAPI, listening: socket.socket, limits: Limits | None = None
    ) -> None:
        """`listening`: see `bound`."""
        protocol = type("Connection", (Connection,), {"limits": limits or Limits()})
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE,
            )
        )
        self.listening = listening
        self.answering = threading.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        super().run(sockets or [self.listening])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any that is free.

    Raises:
        InputError: the port is in use, or the host is none of this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address, family=family, backlog=128)
    except socket.gaierror as error:
        raise InputError(
            f"--host {host}: {error.strerror}; expected an address of this machine, 127.0.0.1 say"
        ) from None
    except OSError as error:
        advice = {
            errno.EADDRINUSE: f"--port {port}: in use; name another, --port {port + 1} say",
            errno.EACCES: f"--port {port}: not allowed to this user; name one from 1024 on",
            errno.EADDRNOTAVAIL: f"--host {host}: none of this machine's; 127.0.0.1 is",
        }
        if error.errno not in advice:
            raise
        raise InputError(advice[error.errno]) from None


def address(listening: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    host, port = listening.getsockname()[:2]
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
    named = everywhere.get(host) or (f"[{host}]" if ":" in host else host)
    return f"http://{named}:{port}/"


def open_when_answering(server: Server, where: str) -> None:
    """Shows the page in a browser, if there is one, without waiting for it."""
    if sys.platform == "linux" and not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}:
        return  # there may be one that would show it in the terminal

    def show() -> None:
        server.answering.wait()
        webbrowser.open(where)

    threading.Thread(target=show, daemon=True).start()
