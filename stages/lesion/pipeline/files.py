"""Outputs that are written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from lesion.pipeline.errors import FULL

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `path` when the block ends well.

    When it does not, `path` stays as it was. The folder lies beside `path`, because a rename is
    atomic only within a file system; what a killed run left there is removed first.
    """
    part = _beside(path)
    shutil.rmtree(part, ignore_errors=True)
    try:
        with naming(part, path):
            part.mkdir(parents=True)
            yield part
            shutil.rmtree(path, ignore_errors=True)
            part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replaces `path`, so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path)
    try:
        with naming(part, path, len(content)):
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # or a power cut could leave the new name with no content
            os.replace(part, path)
    finally:
        with suppress(OSError):  # on a read-only disk even of a file that is not there
            part.unlink()


def write_json(path: Path, values: dict) -> None:
    """Like `write_bytes`, of indented JSON."""
    write_bytes(path, (json.dumps(values, indent=2) + "\n").encode())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Like `write_bytes`, of a CSV with a header and without the table's index."""
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


def copy_file(source: Path, path: Path) -> None:
    """Writes a copy of `source`, which is no link to it."""
    size = source.stat().st_size
    require_room(path, size)
    try:
        shutil.copyfile(source, path)
    except OSError as error:
        if error.errno in FULL:  # names the file that was read
            error.filename = str(path)
            _say_room(error, path, size)
        raise


def require_room(path: Path, size: int) -> None:
    """That there are `size` bytes for `path` and what comes beside it, before long work for them.

    Raises:
        OSError: as when the disk is full.
    """
    state = os.statvfs(_existing(path))
    if state.f_bavail * state.f_frsize < size and state.f_blocks:  # not every disk tells
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        _say_room(error, path, size)
        raise error


@contextmanager
def naming(part: Path, path: Path, size: int | None = None) -> Iterator[None]:
    """Makes an OSError of `part`, or of what lies in it, one of `path`.

    One of a full disk that names no file, as it comes of writing to an open one, is of `path` too.
    It says how much there was to write (`size`, bytes), if that is known, and what room there was.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str):
            found = Path(error.filename).absolute()
            if found.is_relative_to(part.absolute()):
                error.filename = str(path / found.relative_to(part.absolute()))
        elif error.errno in FULL:
            error.filename = str(path)
        if error.errno in FULL:
            _say_room(error, part, size)
        raise


def _say_room(error: OSError, part: Path, size: int | None) -> None:
    """Adds to what an error of a full disk says; `part` is what was written till then."""
    if error.errno is None or error.strerror != os.strerror(error.errno):
        return  # said already, where more was known
    said = [] if size is None else [f"{tqdm.format_sizeof(size, 'B')} to write"]
    with suppress(OSError):
        if error.errno == errno.ENOSPC:  # else it is a quota or a limit that is used up
            state = os.statvfs(_existing(part))
            free = state.f_bavail * state.f_frsize
            if part.is_file():
                free += part.stat().st_blocks * 512
            said.append(f"{tqdm.format_sizeof(free, 'B')} free")
            if size is not None and size > free:
                said.append(f"{tqdm.format_sizeof(size - free, 'B')} missing")
            if state.f_files and not state.f_favail:
                said.append("but for no further file (`df -i`)")
    error.strerror = ": ".join(filter(None, [error.strerror, ", ".join(said)]))


def _existing(path: Path) -> Path:
    """The nearest folder of `path` that is there."""
    return next(folder for folder in path.absolute().parents if folder.exists())


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
