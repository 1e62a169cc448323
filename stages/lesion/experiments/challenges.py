"""Challenges of the champion on one validation set: which there were, and the level of the next.

A model that is no better wins one challenge in forty at the level 0.05, and so one of forty sooner
or later. So the error is spent over all challenges on the same images, of which the k-th has the
level 0.05 · 6 / (π² k²): together they are 0.05, however many there will be ("alpha-spending";
Tian and Ramdas, 2021, "Online control of the familywise error rate", Statistical Methods in Medical
Research 30, 976–993). Other validation images start anew.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

import pandas as pd

ERROR = 0.05
PREFIX = "challenge"


def level(number: int) -> float:
    """Of the challenge of this number, from 1, the p below which it is won."""
    return ERROR * 6 / (math.pi * number) ** 2


def images_of(table: pd.DataFrame, split: str = "validation") -> str:
    """The images of a split of metrics/per_image.csv, in 12 hexadecimal digits."""
    return _digest(table.loc[table["split"] == split, "id"])


def runs_of(tables: Iterable[pd.DataFrame]) -> str:
    """The tables that a challenge compares, likewise."""
    return _digest(table.to_csv(index=False) for table in tables)


def tag(images: str, runs: str) -> str:
    """The name of a version's tag, whose value is the number of the challenge."""
    return f"{PREFIX}.{images}.{runs}"


def number(tags: Iterable[Mapping[str, str]], images: str, runs: str) -> int:
    """Which challenge on these images it is, from 1, by the tags of all versions.

    The same runs again are the same challenge, with the same end.
    """
    numbers = {
        name: int(value)
        for of_version in tags
        for name, value in of_version.items()
        if name.startswith(tag(images, ""))
    }
    return numbers.get(tag(images, runs)) or 1 + max(numbers.values(), default=0)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:12]
