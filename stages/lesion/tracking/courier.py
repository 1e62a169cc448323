"""Sends beside a stage's work what the stage writes into the spool.

    python -m lesion.tracking.courier mlspool/NAME [--machine]

is what a stage starts, with one line on standard input when it ends: the time by `time.monotonic`,
which is one for all processes of a machine, and the two patiences of `Courier.finish`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from lesion.console.cli import PROJECT, parser
from lesion.tracking.address import in_words
from lesion.tracking.delivery import deliver, deliver_all
from lesion.tracking.machine import Machine
from lesion.tracking.spool import FOLDER, Entry, noted

INTERVAL = 1.0  # seconds between looks at what a stage has written down
PAUSE = 30.0  # seconds after a failure
TOO_SLOW = "it is too slow"
GRACE = 5.0  # seconds after which a courier that does not end by itself is ended


class Courier:
    """Sends an entry while a stage writes it, from a process of its own.

    So the stage never waits, MLflow is imported beside its work, and whatever a courier waits for,
    a server that sends a byte a minute or a database that says nothing, it can be ended. In the end
    all that waits is sent, also of earlier runs.
    """

    def __init__(self, entry: Entry, measure_machine: bool) -> None:
        paths = [str(PROJECT / "stages"), os.environ.get("PYTHONPATH")]
        command = [sys.executable, "-P", "-m", "lesion.tracking.courier", str(entry.folder)]
        self._process = None
        try:
            self._process = subprocess.Popen(
                [*command, *["--machine"] * measure_machine],
                stdin=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
                process_group=0,  # Ctrl-C is for the stage alone
            )
        except OSError as error:
            _warn(in_words(error))

    def finish(self, patience: float, most: float) -> None:
        """Has the rest sent; ends it where nothing was taken for `patience` seconds, or after
        `most` in all.
        """
        if (process := self._process) is None:
            return
        try:
            assert process.stdin is not None  # a pipe
            with suppress(BrokenPipeError):
                process.stdin.write(f"{time.monotonic()} {patience} {most}\n".encode())
                process.stdin.flush()
            if ended := process.wait(most + GRACE):
                _warn(f"the process that sends it has ended with {ended}")
        except subprocess.TimeoutExpired:
            _warn(TOO_SLOW)
        finally:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)


class Sender:
    """What a courier's process does."""

    def __init__(self, entry: Entry, measure_machine: bool) -> None:
        self.written = threading.Event()
        self._entry = entry
        self._measures = measure_machine
        self._machine: Machine | None = None
        self._warned = False

    def work(self) -> None:
        """Sends an entry until it is `written`, and then all that waits."""
        rest_until = 0.0
        written = False
        while not written:
            self._measure()
            written = self.written.wait(INTERVAL)
            if written or time.monotonic() >= rest_until:
                try:
                    if written:
                        deliver_all()
                    else:
                        deliver(self._entry)
                except Exception as error:  # whatever MLflow, its store or the network can raise
                    self.warn(in_words(error))
                    rest_until = time.monotonic() + PAUSE
                else:
                    self._revoke(written)

    def warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            _warn(reason)

    def _revoke(self, written: bool) -> None:
        if self._warned and written:
            print("note: MLflow has everything now", flush=True)

    def _measure(self) -> None:
        if not self._measures:
            return
        try:
            self._machine = self._machine or Machine(self._entry)
            self._machine.measure()
        except Exception as error:  # a full disk, say: the rest is still to be sent
            self._measures = False
            print(f"warning: the machine is not measured: {in_words(error)}", flush=True)

    def obey(self) -> None:
        """Ends this process when the stage is gone, or its patience."""
        if line := sys.stdin.readline():
            threading.Thread(target=self._watch, args=map(float, line.split()), daemon=True).start()
            self.written.set()
            sys.stdin.readline()
        os._exit(1)

    def _watch(self, begin: float, patience: float, most: float) -> None:
        # A machine that is busy is given time as long as something comes of it; a server that
        # sends a byte now and then is not.
        since, known = begin, noted()
        while (left := min(since + patience, begin + most) - time.monotonic()) > 0:
            time.sleep(min(left, INTERVAL))
            if (now := noted()) != known:
                since, known = time.monotonic(), now
        self.warn(TOO_SLOW)
        os._exit(0)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("entry", type=Path)
    arguments.add_argument("--machine", action="store_true", help="measure the machine too")
    given = arguments.parse_args()
    sender = Sender(Entry(given.entry), given.machine)
    threading.Thread(target=sender.obey, daemon=True).start()
    sender.work()
    # At once: some library may have a thread that still waits for an answer.
    os._exit(0)


def _warn(reason: str) -> None:
    print(
        f"warning: MLflow did not take everything ({reason}); the rest waits in {FOLDER}/ for the "
        "next run, or `python tools/deliver.py`",
        flush=True,
    )


if __name__ == "__main__":
    main()
