"""How every stage and tool starts, how it speaks, and how it fails."""

from __future__ import annotations

import argparse
import errno
import gc
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lesion.console.exclusive import alone
from lesion.console.shown import one_line
from lesion.pipeline.errors import ImageError, InputError, of_file

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PROJECT = Path(__file__).resolve().parents[3]


def run(stage: Callable[[], None]) -> None:
    """Runs `stage`, which has no arguments; its module's docstring is what `--help` shows.

    One process at a time runs it in a workspace.
    """
    module = sys.modules[stage.__module__]
    parser(module.__doc__).parse_args()
    os.chdir(PROJECT)
    assert module.__file__ is not None  # a stage is a script
    with in_one_line(), alone(PROJECT / "stages" / Path(module.__file__).name):
        stage()  # what it says is also in its outputs, where that was not heard


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows `description` as it is written, whatever terminal is to show it."""
    _open_closed()
    sys.stdout, sys.stderr = map(_heard_or_not, (sys.stdout, sys.stderr))
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


@contextmanager
def in_project() -> Iterator[None]:
    """Goes to the project's root; bad input ends the process with one line and exit status 1.

    So does output that could not be written, since that is what a tool works for.
    """
    os.chdir(PROJECT)
    with in_one_line():
        yield
        sys.stdout.flush()
        buffer = getattr(sys.stdout, "buffer", None)
        pipe = getattr(buffer, "raw", buffer)
        if isinstance(pipe, _Pipe) and pipe.error:
            raise pipe.error


@contextmanager
def in_one_line(name: str | None = None) -> Iterator[None]:
    """Ends the process by a line that begins with a program's name, not by a traceback, where that
    is of no use: at what a person has to mend."""
    name = name or Path(sys.argv[0]).stem
    gc.freeze()  # what was imported stays: to go through it takes 0.7 s at the end, of torch
    try:
        yield
    except (InputError, ImageError) as error:
        sys.exit(f"{name}: {one_line(error)}")
    except UnicodeEncodeError as error:
        text = error.object[max(0, error.start - 40) : error.end + 40]
        sys.exit(
            f"{name}: {text!r}: cannot be written in {error.encoding}, this system's encoding of "
            "file names; set PYTHONUTF8=1, or rename it"
        )
    except OSError as error:
        if not (line := of_file(error)):
            raise
        sys.exit(f"{name}: {one_line(line)}")
    except KeyboardInterrupt:
        sys.exit(130)


def _open_closed() -> None:
    """Opens what was closed of standard input, output and errors, to nowhere, and for good.

    Else the next file that is opened would get that number, and what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number


def _heard_or_not(stream: TextIO | None) -> TextIO:
    """A standard stream to which anything can be written, as often as one likes.

    What its encoding lacks becomes a question mark. Where nobody reads any more, as after
    `| head -1` or when a terminal was closed, the rest goes nowhere: it ends no work. Nor does a
    full disk, on which there are gaps in what was said.
    """
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper) or stream not in (sys.__stdout__, sys.__stderr__):
        return stream  # a test listens
    strict = stream.errors in ("strict", "surrogateescape")
    pipe = _Pipe(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        pipe if stream.write_through else io.BufferedWriter(pipe),  # as `python -u` has it
        encoding=stream.encoding,
        errors="replace" if strict else stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Pipe(io.FileIO):
    """An open file that becomes one which nobody reads, when nobody reads it.

    `error` is why something could not be written for another reason, such as a full disk.
    """

    error: OSError | None = None

    def write(self, content: ReadableBuffer, /) -> int:
        try:
            while (count := super().write(content)) is None:
                select.select([], [self], [])  # a pipe that does not wait for its reader
            return count
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.EIO):
                # For what other code, and processes that are started, would write there as well.
                with open(os.devnull, "wb") as nowhere:
                    os.dup2(nowhere.fileno(), self.fileno())
            else:
                self.error = OSError(error.errno, error.strerror, "standard output")
            return memoryview(content).nbytes
