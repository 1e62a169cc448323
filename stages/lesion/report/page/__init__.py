"""The report page: the numbers, the figures and every image in one HTML file that needs no network.

The numbers and figures are plain HTML, so that they show at once, print, and need no script. The
gallery's script, page.js, draws an image only when it is near the window: a page of 1000 images
stays quick.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from lesion.pipeline.files import write_bytes
from lesion.report.page.cases import Case, record
from lesion.report.page.frame import render
from lesion.report.page.numbers import HEADLINE, SCORES, described, headline, methods, panels

if TYPE_CHECKING:
    from lesion.report.external import DataSet

__all__ = ["Case", "write_page"]
WIDE = 1.9  # width by height from which a figure gets a row of its own


@dataclass(frozen=True)
class Drawing:
    """A figure for the template; `name` is the id of its title, `wide` gives it a whole row."""

    title: str
    name: str
    svg: Markup
    wide: bool


def write_page(
    path: Path,
    *,
    title: str,
    note: str,
    facts: dict[str, str],
    scores: pd.DataFrame,
    figures: dict[str, str],
    cases: Iterable[Case],
    external: Sequence["DataSet"] = (),
    left_out: Sequence[str] = (),
) -> None:
    """Writes the page whole or, where anything fails, not at all; equal input gives equal bytes.

    `note` is a line under the title, `facts` say how the numbers were made, and `figures` are SVG
    by title, inlined, so that what they draw in `currentColor` suits a light and a dark page.

    `scores` has a row each of split, group ("all", or as "size: small"), method ("network", then
    what it is compared with) and score, with the columns images, value, low and high. `low` to
    `high` is the 95 % interval, NaN where there is none; `published`, if there is such a column, is
    true of results of others. `cases` are taken one at a time, so that memory holds few images in
    full size. `external` are the test split and other data sets, to compare them. `left_out` says
    which images are no cases.

    Raises:
        ValueError: a score has two rows, a figure is no SVG, or a mask has not its image's shape.
    """
    entries = [record(case) for case in cases]
    names = dict.fromkeys(name for entry in entries for name in entry["scores"])
    data = {"scores": {name: described(name) for name in names}, "cases": entries}
    page = render(
        "page",
        title=title,
        note=note,
        facts=facts,
        headline=headline(scores),
        methods=methods(scores),
        panels=panels(scores),
        external=external,
        compared=[SCORES[name] for name in HEADLINE],
        figures=[_drawing(*item, f"figure-{i}") for i, item in enumerate(figures.items(), 1)],
        images=len(entries),
        left_out=left_out,
        data=data,
        fade=50,
        predicted=False,
    )
    write_bytes(path, page)


def _drawing(title: str, svg: str, name: str) -> Drawing:
    """The <svg> element of a figure alone, with ids that no other figure has."""
    found = re.search(r"<svg\b.*</svg>", svg, re.DOTALL)
    if not found:
        raise ValueError(f"figure {title!r}: found no <svg> element; expected the text of an SVG")
    # Matplotlib's <style> would hold for the whole page; page.css says the same for figures.
    svg = re.sub(r"<(metadata|style|script)\b.*?</\1\s*>", "", found[0], flags=re.DOTALL)
    svg = re.sub(r"""(\bid=["']|href=["']#|url\(["']?#)""", rf"\g<1>{name}-", svg)
    svg = svg.replace("<svg", f'<svg role="img" aria-labelledby="{name}"', 1)
    box = re.search(r'viewBox="[\d.+-]+ [\d.+-]+ ([\d.]+) ([\d.]+)"', svg)
    wide = box is not None and float(box[1]) >= WIDE * float(box[2])
    return Drawing(title, name, Markup(svg), wide)
