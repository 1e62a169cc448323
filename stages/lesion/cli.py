"""How every stage and tool starts, how it speaks, and how it fails."""

import argparse
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from lesion.errors import ImageError, InputError
from lesion.shown import one_line

PROJECT = Path(__file__).resolve().parents[2]


def run(stage: Callable[[], None]) -> None:
    """Runs `stage`, which has no arguments; its module's docstring is what `--help` shows."""
    parser(sys.modules[stage.__module__].__doc__).parse_args()
    with in_project():
        stage()


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows `description` as it is written, whatever terminal is to show it."""
    sys.stdout, sys.stderr = map(_heard_or_not, (sys.stdout, sys.stderr))
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


@contextmanager
def in_project() -> Iterator[None]:
    """Goes to the project's root; bad input ends the process with one line and exit status 1."""
    os.chdir(PROJECT)
    try:
        yield
    except (InputError, ImageError) as error:
        sys.exit(f"{Path(sys.argv[0]).stem}: {one_line(error)}")
    except UnicodeEncodeError as error:
        name = error.object[max(0, error.start - 40) : error.end + 40]
        sys.exit(
            f"{Path(sys.argv[0]).stem}: {name!r}: cannot be written in {error.encoding}, this "
            "system's encoding of file names; set PYTHONUTF8=1, or rename it"
        )
    except KeyboardInterrupt:
        sys.exit(130)


def _heard_or_not(stream: TextIO | None) -> TextIO | None:
    """A standard stream to which anything can be written, as often as one likes.

    What its encoding lacks becomes a question mark. Where nobody reads any more, as after
    `| head -1` or when a terminal was closed, the rest goes nowhere: it ends no work.
    """
    if stream not in (sys.__stdout__, sys.__stderr__) or stream is None:
        return stream  # a test listens, or there is none
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
    """An open file that becomes one which nobody reads, when nobody reads it."""

    def write(self, content: bytes) -> int | None:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            # For what other code, and processes that are started, would write there as well.
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            return len(content)
