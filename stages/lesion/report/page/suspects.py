"""The page on which a person judges the truth of suspects, by keyboard, into a file of verdicts."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from lesion.pipeline.files import write_bytes
from lesion.report.page.cases import Case, record
from lesion.report.page.frame import render
from lesion.report.page.numbers import described

LONGEST = 512  # pixels of a picture's longer side: an outline is to be judged, not found


def write_suspects(path: Path, *, title: str, note: str, cases: Iterable[Case]) -> None:
    """Writes the page whole or not at all; equal input gives equal bytes.

    `cases` come in the order in which they are to be judged, one at a time; of their traits
    `difference` and `reason` are shown and become the reason in the file. Verdicts are kept in the
    browser under the hash of what is judged, so that the page of other suspects starts afresh.

    Raises:
        ValueError: a mask has not its image's shape.
    """
    entries = [record(case, LONGEST) for case in cases]
    names = dict.fromkeys(name for entry in entries for name in entry["scores"])
    data = {
        "scores": {name: described(name) for name in names},
        "cases": entries,
        "key": hashlib.sha256(json.dumps(entries).encode()).hexdigest()[:16],
    }
    page = render(
        "suspects",
        data=data,
        style="suspects.css",
        title=title,
        note=note,
        images=len(entries),
        fade=0,
        predicted=True,
    )
    write_bytes(path, page)
