"""Which images belong together: of one patient, one lesion, one visit.

By a table beside the images, as the ISIC archive's own tool writes metadata.csv, or by their names.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lesion.pipeline.errors import InputError

METADATA = "metadata.csv"  # beside the archives or folders of the parameter `data`
UNKNOWN = ("", "nan", "none", "null", "unknown", "n/a")


class Groups(BaseModel):
    """Either a table and its columns, or a pattern.

    table    CSV in the folder of the parameter `data`, which DVC watches
    id       its column with the images' ids, or their files' names
    columns  those that tell what belongs together; images that share a value of any of them do
    pattern  a regular expression that is searched in an id: its first group in brackets, or what it
             matches, is the same for images that belong together
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: Annotated[str, Field(min_length=1)] | None = None
    id: str = "isic_id"
    columns: tuple[str, ...] = ("patient_id", "lesion_id")
    pattern: Annotated[str, Field(min_length=1)] | None = None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return pattern

    @field_validator("table")
    @classmethod
    def _stays_inside(cls, table: str | None) -> str | None:
        if table and (Path(table).is_absolute() or ".." in Path(table).parts):
            raise ValueError("expected a file in the folder that the parameter data names")
        return table

    @model_validator(mode="after")
    def _one_of_both(self) -> Groups:
        if (self.table is None) == (self.pattern is None):
            raise ValueError("expected either table or pattern")
        return self


def find_groups(ids: Sequence[str], rule: Groups | None, data: Path) -> dict[str, str]:
    """A name of its group for each id that has one.

    Without a rule, the table metadata.csv in the folder `data` is one, where it is there and has
    the ISIC archive's columns.

    Raises:
        InputError: the table is not there, or has not these columns.
    """
    if rule is None:
        if not (data / METADATA).is_file():
            return {}
        rule = Groups(table=METADATA)
        rows = _rows(data / METADATA)
        columns = [name for name in rule.columns if rows and name in rows[0]]
        if not columns or rule.id not in rows[0]:
            return {}
        rule = Groups(table=METADATA, columns=tuple(columns))
    if rule.pattern:
        return _by_pattern(ids, rule.pattern)
    assert rule.table
    path = data / rule.table
    return _by_table(ids, _rows(path), rule, path)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise InputError(f"{path}: not found; groups in datasets.yaml names it") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no CSV in UTF-8 ({error})") from None


def _by_pattern(ids: Iterable[str], pattern: str) -> dict[str, str]:
    found = {name: re.search(pattern, name) for name in ids}
    return {
        name: match[1] if match.re.groups else match[0]
        for name, match in found.items()
        if match and (match[1] if match.re.groups else match[0])
    }


def _by_table(
    ids: Sequence[str], rows: Sequence[Mapping[str, str]], rule: Groups, path: Path
) -> dict[str, str]:
    """Images that share a value of any column are one group, and so are groups that share one."""
    for name in (rule.id, *rule.columns):
        if rows and name not in rows[0]:
            raise InputError(
                f"{path}: no column {name}; found {', '.join(rows[0])}; name the right ones under "
                "groups in datasets.yaml"
            )
    known = set(ids)
    leader: dict[str, str] = {}  # of each value, another that belongs to it, or itself

    def find(value: str) -> str:
        while leader.setdefault(value, value) != value:
            leader[value] = value = leader[leader[value]]
        return value

    of_image: dict[str, str] = {}
    for row in rows:
        name = row[rule.id] if row[rule.id] in known else Path(row[rule.id] or "").stem
        values = [f"{column} {row[column]}" for column in rule.columns if _is_known(row[column])]
        if name not in known or not values:
            continue
        if name in of_image:  # a table may have several rows of an image
            values.append(of_image[name])
        first, *others = sorted(map(find, values))
        for other in others:
            leader[other] = first
        of_image[name] = first
    return {name: find(value) for name, value in of_image.items()}


def _is_known(value: str | None) -> bool:
    return value is not None and value.strip().lower() not in UNKNOWN
