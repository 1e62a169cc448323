"""The two sides of a comparison: the runs that people name, and the experiments that belong to them."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from lesion.experiments.recipes import require_one, siblings
from lesion.experiments.revisions import commit_of, show
from lesion.formats.tables import load_table, read_table
from lesion.pipeline.errors import InputError

PER_IMAGE = "metrics/per_image.csv"


@dataclass(frozen=True)
class Side:
    """Runs that differ in their seed alone, and more of them that only say what a seed does.

    Each is metrics/per_image.csv by the name of its run.
    """

    runs: dict[str, pd.DataFrame]
    siblings: dict[str, pd.DataFrame]

    @property
    def tells(self) -> bool:
        """Whether it says itself what a seed does."""
        return max(len(self.runs), len(self.siblings)) > 1

    def __str__(self) -> str:
        names = ", ".join(self.runs)
        if not self.siblings:
            return names
        return f"{names}, of the recipe of {', '.join(self.siblings)}"


def sides(
    project: Path, before: str | None, after: str | None, seeds: bool = False
) -> tuple[Side, Side]:
    """Of two lists of revisions, with commas between them; None is the workspace.

    With `seeds`, all experiments that differ from the named one in their seed alone are runs too;
    without, they are siblings where one is named.

    Raises:
        InputError: there is no such revision, its runs differ in more than their seed, a run is on
            both sides, or `seeds` finds none.
    """
    one, other = (_side(project, names, seeds) for names in (before, after))
    if seeds and (both := one.runs.keys() & other.runs.keys()):
        raise InputError(
            f"{min(both)}: on both sides, since these differ in nothing but seed; leave out --seeds"
        )
    # Of one recipe: what its seeds do is to be counted once.
    if {*one.runs, *one.siblings} & {*other.runs, *other.siblings}:
        other = replace(other, siblings={})
    return one, other


def _side(project: Path, names: str | None, seeds: bool) -> Side:
    revisions = _revisions(project, names)
    runs = {name or "workspace": per_image(project, name) for name in revisions}
    if len(revisions) > 1:
        if seeds:
            raise InputError(f"{names}: --seeds finds the others; expected one run on each side")
        require_one(project, revisions)
        return Side(runs, {})
    try:
        more = {name: per_image(project, name) for name in siblings(project, revisions[0])}
    except InputError:
        if seeds:
            raise
        more = {}  # such as a result of before there were some parameters
    if not seeds:
        return Side(runs, more)
    if not more:
        raise InputError(
            f"{names or 'workspace'}: no experiment differs from it in nothing but seed; "
            "`dvc exp run --queue -S 'seed=range(1,4)'` and `dvc queue start` make some"
        )
    return Side(runs | more, {})


def _revisions(project: Path, names: str | None) -> list[str | None]:
    if names is None:
        return [None]
    try:
        commit_of(project, names)
        return [names]
    except InputError:
        if "," not in names:
            raise
    named: list[str | None] = [name.strip() for name in names.split(",") if name.strip()]
    return named


def per_image(project: Path, revision: str | None) -> pd.DataFrame:
    """metrics/per_image.csv of a revision; None: the one in the workspace.

    Raises:
        InputError: it has none.
    """
    if revision is None:
        return load_table("per_image")
    commit = commit_of(project, revision)
    try:
        return read_table(io.StringIO(show(project, commit, PER_IMAGE)))
    except InputError as error:
        raise InputError(
            f"{revision}: no {PER_IMAGE} there ({error}); expected a finished run"
        ) from None
