"""Sends beside a stage's work what the stage writes into the spool."""

from __future__ import annotations

import math
import threading
import time

from lesion.address import in_words
from lesion.delivery import deliver, deliver_all
from lesion.machine import Machine
from lesion.spool import FOLDER, Entry

INTERVAL = 1.0  # seconds between looks at what a stage has written down
PAUSE = 30.0  # seconds after a failure


class Courier:
    """Sends an entry while a stage writes it, in a thread, so that the stage never waits.

    MLflow is imported there too, beside the stage's work. In the end all that waits is sent, also
    of earlier runs.
    """

    def __init__(self, entry: Entry, measure_machine: bool) -> None:
        self._entry = entry
        self._measures = measure_machine
        self._machine: Machine | None = None
        self._written = threading.Event()
        self._deadline = math.inf
        self._warned = False
        self._thread = threading.Thread(target=self._work, name="MLflow", daemon=True)
        self._thread.start()

    def finish(self, patience: float) -> None:
        """Sends the rest, but begins nothing after so many seconds."""
        self._deadline = time.monotonic() + patience
        self._written.set()
        # To the end: Python must not exit while another thread computes in torch.
        self._thread.join()

    def _work(self) -> None:
        rest_until = 0.0
        written = False
        while not written:
            self._measure()
            written = self._written.wait(INTERVAL)
            if written or time.monotonic() >= rest_until:
                try:
                    if written:
                        deliver_all(self._deadline)
                    else:
                        deliver(self._entry)
                except Exception as error:  # whatever MLflow, its store or the network can raise
                    self._warn(in_words(error))
                    rest_until = time.monotonic() + PAUSE

    def _measure(self) -> None:
        if not self._measures:
            return
        try:
            self._machine = self._machine or Machine(self._entry)
            self._machine.measure()
        except Exception as error:  # a full disk, say: the rest is still to be sent
            self._measures = False
            self._warn(f"the machine is not measured: {in_words(error)}")

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            print(
                f"warning: MLflow did not take everything ({reason}); the rest waits in {FOLDER}/ "
                "for the next run, or `python tools/deliver.py`",
                flush=True,
            )
