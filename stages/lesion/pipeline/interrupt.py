"""SIGTERM and Ctrl-C as a wish that a loop can ask about, instead of its sudden end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """`signal` is the one that came, or None. A second one ends the process as it always would."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        for caught in SIGNALS:
            signal.signal(
                caught, signal.default_int_handler if caught == signal.SIGINT else signal.SIG_DFL
            )


@contextmanager
def noted() -> Iterator[Interrupt]:
    """Within the block, the first signal is noted and nothing else happens."""
    interrupt = Interrupt()
    before = {number: signal.signal(number, interrupt.note) for number in SIGNALS}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
