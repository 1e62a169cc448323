"""The two sides of a comparison: the runs that are named, and the experiments beside them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from lesion.experiments.recipes import of_one_recipe, require_one, siblings
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
        InputError: there is no such revision, the runs of a side differ in more than their seed,
            those of both sides do not and `seeds` is asked for, or it finds none.
    """
    revisions = [_revisions(project, names) for names in (before, after)]
    alike = of_one_recipe(project, *(names[0] if names else None for names in revisions))
    if seeds and alike:
        raise InputError(
            f"{before} and {after or 'workspace'}: they differ in nothing but seed, and all such "
            "experiments would be on both sides; leave out --seeds"
        )
    one, other = (_side(project, named, seeds) for named in revisions)
    # What the seeds of one recipe do is to be counted once.
    return one, replace(other, siblings={}) if alike else other


def _side(project: Path, names: Sequence[str], seeds: bool) -> Side:
    if len(names) > 1:
        if seeds:
            raise InputError(f"{','.join(names)}: --seeds finds the others; expected one a side")
        require_one(project, names)
        return Side({name: per_image(project, name) for name in names}, {})
    name = names[0] if names else None
    runs = {name or "workspace": per_image(project, name)}
    more = beside(project, name)
    if not seeds:
        return Side(runs, more)
    if not more:
        raise InputError(
            f"{name or 'workspace'}: no experiment differs from it in nothing but seed; "
            "`dvc exp run --queue -S 'seed=range(1,4)'` and `dvc queue start` make some"
        )
    return Side(runs | more, {})


def beside(project: Path, revision: str | None) -> dict[str, pd.DataFrame]:
    """metrics/per_image.csv of the experiments that differ from a result in nothing but seed.

    None where the revision is no finished result of today, such as one of before there were some
    parameters.
    """
    try:
        names = siblings(project, revision)
    except InputError:
        return {}
    return {name: per_image(project, name) for name in names}


def _revisions(project: Path, names: str | None) -> list[str]:
    """Without any, the workspace is meant."""
    if names is None:
        return []
    try:
        commit_of(project, names)
        return [names]
    except InputError:
        named = [name.strip() for name in names.split(",")]
        if len(named) == 1 or not all(named):
            raise
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
