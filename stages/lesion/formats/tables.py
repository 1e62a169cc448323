"""The numbers in metrics/, as stages read what earlier ones wrote."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pandas as pd

from lesion.pipeline.errors import InputError

METRICS = Path("metrics")
_TEXT = ("id", "group", "notes", "twin", "twin_split")


def load_table(name: str) -> pd.DataFrame:
    """metrics/`name`.csv; an id may look like anything, also like a number or "NA".

    Raises:
        InputError: it is not there.
    """
    with _found(METRICS / f"{name}.csv") as path:
        return read_table(path)


def read_table(source: Path | TextIO) -> pd.DataFrame:
    """A table as the stages write them."""
    types = dict.fromkeys(_TEXT, str)
    table = pd.read_csv(source, dtype=types, keep_default_na=False, na_values=[""])
    return table.fillna({"group": ""})


def load_numbers(name: str) -> dict:
    """metrics/`name`.json.

    Raises:
        InputError: it is not there.
    """
    with _found(METRICS / f"{name}.json") as path:
        return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def _found(path: Path) -> Iterator[Path]:
    try:
        yield path
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run `dvc repro`, which makes it") from None
