"""Outputs that are written whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `path` when the block ends well.

    When it does not, `path` stays as it was. The folder lies beside `path`, because a rename is
    atomic only within a file system; what a killed run left there is removed first.
    """
    part = _beside(path)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
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
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the new name with no content
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, values: dict) -> None:
    """Like `write_bytes`, of indented JSON."""
    write_bytes(path, (json.dumps(values, indent=2) + "\n").encode())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Like `write_bytes`, of a CSV with a header and without the table's index."""
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
