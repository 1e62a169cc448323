"""HTTP connections, which are closed where the other side takes too long, or there are too many."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from lesion.serving.limits import Limits


class Connection(H11Protocol):
    """uvicorn's, which by itself waits for ever where no request is at work: for a head, for the
    end of a body that was refused, which it reads on and drops, and for an answer to be taken."""

    limits = Limits()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._calm()

    def pause_writing(self) -> None:
        """So much waits that the other side has not taken yet."""
        super().pause_writing()
        self._calm()
        self._patience = self.loop.call_later(self.limits.take_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._calm()

    def send_400_response(self, msg: str) -> None:
        """As all that is refused: JSON of one line."""
        line = f"{msg} Expected HTTP/1.1, as curl and browsers speak it."
        body = json.dumps({"error": line}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # else an answer is on its way
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        """Counts the time in which no request is being answered but some of one is here."""
        if self.flow.write_paused:
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._calm()
        elif self._patience is None and not self.transport.is_closing():
            self._patience = self.loop.call_later(self.limits.head_seconds, self.transport.abort)

    def _calm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
