"""A request's body, within limits of size, time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from lesion.serving.limits import Limits, Refused, busy


class Bodies:
    """The bodies that are being received or kept; they share one allowance of memory."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held = 0  # bytes

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, which counts as held till the block ends.

        Raises:
            Refused: it is empty, too large, too slow, or no memory is left for it.
            ClientDisconnect: the sender has gone.
        """
        self._require_size(request.headers.get("content-length"))
        chunks: list[bytes] = []
        try:
            try:
                async with asyncio.timeout(self.limits.body_seconds):
                    await self._receive(request, chunks)
            except TimeoutError:
                raise Refused(
                    408,
                    f"the body was not whole after {self.limits.body_seconds:g} s, or nothing came "
                    f"for {self.limits.pause_seconds:g} s; send it again",
                ) from None
            chunks[:] = [b"".join(chunks)]  # of which nothing is kept twice
            if not chunks[0]:
                raise Refused(
                    400, "found an empty body; expected the bytes of an image's file; send them"
                )
            yield chunks[0]
        finally:
            self.held -= sum(map(len, chunks))

    async def _receive(self, request: Request, chunks: list[bytes]) -> None:
        stream = aiter(request.stream())
        size = 0
        while True:
            try:
                async with asyncio.timeout(self.limits.pause_seconds):
                    chunk = await anext(stream)
            except StopAsyncIteration:
                return
            size += len(chunk)
            self._require_size(str(size))
            if self.held + len(chunk) > self.limits.held_bytes:
                raise busy("the memory for photographs is full")
            self.held += len(chunk)
            chunks.append(chunk)

    def _require_size(self, size: str | None) -> None:
        most = self.limits.body_bytes
        if size is not None and size.isdecimal() and int(size) > most:
            raise Refused(
                413,
                f"found {int(size):,} bytes; expected at most {most:,}; send a smaller file",
            )
