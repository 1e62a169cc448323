"""How far long work has come."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

QUIET = 10.0  # seconds between lines where nobody watches: in a log, a bar is one line an update


def progress(items: Iterable[T], what: str, total: int, unit: str) -> Iterator[T]:
    """`items`, with a bar that shows count, rate and time left."""
    return iter(bar(what, total, unit, items))


def bar(what: str, total: int, unit: str, items: Iterable | None = None) -> tqdm:
    """A progress bar to be advanced by hand, or by going through `items`."""
    watched = sys.stderr.isatty()
    return tqdm(
        items,
        desc=what,
        total=total,
        unit=f" {unit}",
        mininterval=0.2 if watched else QUIET,
        ascii=not watched,
        ncols=None if watched else 80,
        dynamic_ncols=watched,
        leave=True,
    )
