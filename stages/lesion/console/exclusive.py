"""One process a stage in a workspace: `dvc repro`, killed alone, leaves its stage at work."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from lesion.pipeline.errors import InputError


@contextmanager
def alone(script: Path) -> Iterator[None]:
    """Within the block no other process can run this stage in this workspace.

    The lock is on the stage's own script: no file is made for it, and it ends with the process,
    whatever ends that. Of a training by torchrun the first process, which writes, holds it. Where
    a file system knows no locks, nobody is kept out.

    Raises:
        InputError: another process runs it; says which.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK") != "0":
        yield
        return
    file = None
    try:
        file = _opened(script)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"runs in this folder already: {_holder(script)}; two would write the same files"
        ) from None
    except OSError:
        pass
    try:
        yield
    finally:
        if file:
            file.close()


def _opened(script: Path) -> BinaryIO:
    with suppress(OSError):
        return script.open("r+b")  # NFS gives exclusive locks only to those who may write
    return script.open("rb")


def _holder(script: Path) -> str:
    import psutil

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            opened = process.pid != os.getpid() and process.open_files()
            if any(Path(file.path) == script for file in opened or ()):
                found.append((process.create_time(), process.pid, " ".join(process.cmdline())))
    if not found:
        return "another user's process, or one on another machine; wait for its end"
    started, pid, command = min(found)
    since = datetime.fromtimestamp(started).strftime("%H:%M:%S")
    return f"process {pid} ({command}), since {since}; wait for its end, or: kill {pid}"
