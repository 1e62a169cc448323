"""How much the server takes on at once, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass

from lesion.photos.images import MOST_PIXELS


@dataclass(frozen=True)
class Limits:
    """What one photograph and all of them together may cost; what is beyond is refused.

    body_bytes     of one photograph's file
    held_bytes     of all files that are being sent or wait
    waiting        photographs that are wholly here and wait, or are being worked on
    working_pixels of all photographs that are being worked on, unless it is one alone: so that
                   beside one of the most pixels that an image may have there is room for some
    connections    open at once; further ones are closed
    head_seconds   in which a request's head has to be here
    pause_seconds  that its sender may pause within a body
    body_seconds   in which a body has to be here
    take_seconds   in which the other side has to take what it was answered
    """

    body_bytes: int = 64 * 2**20
    held_bytes: int = 512 * 2**20
    waiting: int = 64
    working_pixels: int = MOST_PIXELS * 3 // 2
    connections: int = 256
    head_seconds: float = 10
    pause_seconds: float = 10
    body_seconds: float = 120
    take_seconds: float = 30


class Refused(Exception):
    """A request that gets no photograph's answer: its HTTP status, and why in one line.

    `retry_after`, seconds, where the same request may do better later.
    """

    def __init__(self, status: int, line: str, retry_after: int | None = None) -> None:
        super().__init__(line)
        self.status, self.line, self.retry_after = status, line, retry_after


def busy(what: str) -> Refused:
    return Refused(503, f"{what}; wait a moment and send it again", retry_after=1)
