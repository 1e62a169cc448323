"""Training images that a person leaves out: the file that `exclude` names, a verdict a row."""

import csv
import io
from collections.abc import Collection
from pathlib import Path

from lesion.pipeline.errors import InputError

KEEP, LEAVE_OUT, UNSURE = VERDICTS = ("keep", "leave out", "unsure")
COLUMNS = ("id", "verdict", "reason")


def read_exclusions(path: Path, ids: Collection[str]) -> dict[str, str]:
    """The reason of each id whose verdict is `leave out`; `ids` are all of the data set's.

    An id that the data set does not have is an error and no note: a misspelt one would be trained
    on, and nobody would know.

    Raises:
        InputError: there is no such file, or a row of it is not as it should be.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets begin with a mark
    except FileNotFoundError:
        raise InputError(
            f"{path}: not found; expected the file that `exclude` names: a table of "
            f"{', '.join(COLUMNS)}, or its header alone"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not in UTF-8; save it as CSV in UTF-8") from None
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
        found = ",".join(rows.fieldnames or ()) or "an empty file"
        raise InputError(
            f"{path}: no column {missing[0]}; found {found!r}, expected a CSV of "
            f"{','.join(COLUMNS)}"
        )
    verdicts: dict[str, str] = {}
    reasons: dict[str, str] = {}
    known = set(ids)
    for row in rows:
        where, name = f"{path}, line {rows.line_num}", row["id"]
        if name not in known:
            raise InputError(
                f"{where}: found id {name!r}, which none of the {len(known)} pairs in raw/ has; "
                "correct or remove the row (with limit above 0, not all pairs are there)"
            )
        if name in verdicts:
            raise InputError(f"{where}: {name} is there twice; remove one of the rows")
        verdicts[name] = row["verdict"]
        if row["verdict"] not in VERDICTS:
            raise InputError(
                f"{where}: {name} has verdict {row['verdict']!r}; expected one of "
                f"{', '.join(VERDICTS)}"
            )
        if row["verdict"] == LEAVE_OUT:
            reasons[name] = row["reason"] or ""
    return reasons
