"""Recipes: all that a result depends on but its seed, and which experiments are of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ruamel.yaml import YAML

from lesion.experiments.revisions import commit_of, experiments, show
from lesion.pipeline.errors import InputError
from lesion.tracking.result import MODEL

STAGES = ("train", "evaluate")


@dataclass(frozen=True)
class Recipe:
    """Parameters without the seed, and the hashes of the data and code behind a result."""

    params: dict[str, object]
    inputs: dict[str, str]

    def unlike(self, other: Recipe) -> str:
        """What differs first, in words; empty where nothing does."""
        for name in sorted({*self.params, *other.params}):
            one, another = (recipe.params.get(name) for recipe in (self, other))
            if one != another:
                return f"{name} is {one} and {another}"
        for path in sorted({*self.inputs, *other.inputs}):
            if self.inputs.get(path) != other.inputs.get(path):
                return f"{path} is not the same"
        return ""


def recipe_of(project: Path, revision: str | None) -> tuple[Recipe, int]:
    """Recipe and seed of a revision; None is the workspace.

    Raises:
        InputError: it has no finished result, or none of DVC's.
    """
    commit = commit_of(project, revision) if revision else None
    try:
        params = YAML(typ="safe").load(_text(project, commit, "params.yaml"))
        seed = params.pop("seed")
        return Recipe(params, _inputs(_text(project, commit, "dvc.lock"))), seed
    except (InputError, OSError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{revision or 'workspace'}: no finished result of this pipeline ({error})"
        ) from None


def _text(project: Path, commit: str | None, name: str) -> str:
    return show(project, commit, name) if commit else (project / name).read_text(encoding="utf-8")


@cache  # it takes a while to read, and is asked for more than once
def _inputs(lock: str) -> dict[str, str]:
    stages = YAML(typ="safe").load(lock)["stages"]
    return {
        dep["path"]: dep["md5"]
        for stage in STAGES
        for dep in stages[stage]["deps"]
        if dep["path"] != MODEL.as_posix()
    }


def require_one(project: Path, revisions: Sequence[str]) -> None:
    """That revisions differ in their seed, and in nothing but it.

    Raises:
        InputError: they do not.
    """
    first, *others = revisions
    recipe, seed = recipe_of(project, first)
    names = {seed: first}
    for name in others:
        other, seed = recipe_of(project, name)
        if unlike := recipe.unlike(other):
            raise InputError(
                f"{first} and {name}: {unlike}; expected runs that differ in nothing but seed"
            )
        if seed in names:
            raise InputError(f"{names[seed]} and {name}: both are of seed {seed}; name one of them")
        names[seed] = name


def of_one_recipe(project: Path, revision: str | None, other: str | None) -> bool:
    """Whether two revisions differ in nothing but their seed, if in that; False if one has none."""
    try:
        recipes = [recipe_of(project, name)[0] for name in (revision, other)]
    except InputError:
        return False
    return recipes[0] == recipes[1]


def siblings(project: Path, revision: str | None) -> dict[str, str]:
    """Name and commit of the experiments that differ from a result in nothing but their seed.

    One for each other seed, by seed.

    Raises:
        InputError: the revision has no finished result.
    """
    recipe, own = recipe_of(project, revision)
    found: dict[int, tuple[str, str]] = {}
    for name, commit in sorted(experiments(project).items()):
        try:
            params = YAML(typ="safe").load(_text(project, commit, "params.yaml"))
            if params.pop("seed") == own or params != recipe.params:
                continue  # as most are
            other, seed = recipe_of(project, commit)
            if not recipe.unlike(other):
                found.setdefault(seed, (name, commit))
        except (InputError, KeyError, AttributeError):
            continue
    return dict(found[seed] for seed in sorted(found))
