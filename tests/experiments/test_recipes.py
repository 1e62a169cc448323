import shutil
from pathlib import Path

import pytest

from lesion.experiments.recipes import recipe_of, require_one, siblings
from lesion.experiments.revisions import experiments
from lesion.experiments.sides import sides
from lesion.pipeline.errors import InputError
from project import ROOT, run, set_params


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Experiments of two recipes, as DVC keeps them, all with the metrics of this repository."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("params.yaml", "dvc.lock"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "metrics", folder / "metrics")
    run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    commit(folder)
    for name, values in {
        "b-two": {"seed": 2},
        "a-one": {"seed": 1},
        "again-one": {"seed": 1},
        "fast": {"seed": 0, "lr": 0.5},
        "fast-four": {"seed": 4, "lr": 0.5},
        "fast-five": {"seed": 5, "lr": 0.5},
    }.items():
        set_params(folder, **values)
        keep(folder, name)
    set_params(folder, seed=7)
    lock = folder / "dvc.lock"
    lock.write_text(lock.read_text().replace(recipe_of(folder, "main")[0].inputs["arrays"], "0"))
    keep(folder, "other-data")
    (folder / "dvc.lock").unlink()
    keep(folder, "unfinished")
    return folder


def commit(folder: Path) -> str:
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "Result")
    return run(folder, "git", "rev-parse", "HEAD").stdout.strip()


def keep(folder: Path, name: str) -> None:
    made = commit(folder)
    base = run(folder, "git", "rev-parse", "HEAD~").stdout.strip()
    run(folder, "git", "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/{name}", made)
    run(folder, "git", "reset", "--quiet", "--hard", base)


def test_siblings_differ_in_nothing_but_the_seed_and_are_one_a_seed(project):
    assert len(experiments(project)) == 8
    assert [*siblings(project, "main")] == ["a-one", "b-two"]
    assert [*siblings(project, "a-one")] == ["b-two"]  # main is no experiment
    assert [*siblings(project, "fast")] == ["fast-four", "fast-five"]
    assert [*siblings(project, None)] == ["a-one", "b-two"]
    with pytest.raises(InputError, match="unfinished: no finished result"):
        siblings(project, "unfinished")


def test_runs_that_are_named_together_are_of_one_recipe_and_of_other_seeds(project):
    require_one(project, ["main", "a-one", "b-two"])
    for names, said in (
        (["main", "fast"], "main and fast: lr is 0.002 and 0.5; expected runs that differ"),
        (["main", "other-data"], "main and other-data: arrays is not the same"),
        (["main", "a-one", "again-one"], "a-one and again-one: both are of seed 1"),
    ):
        with pytest.raises(InputError, match=said):
            require_one(project, names)


def test_a_side_has_the_runs_that_are_named_or_all_seeds(project):
    one, other = sides(project, "main,b-two", "fast")
    assert ([*one.runs], [*one.siblings]) == (["main", "b-two"], [])
    assert ([*other.runs], [*other.siblings]) == (["fast"], ["fast-four", "fast-five"])
    one, other = sides(project, "main", "fast-four", seeds=True)
    assert [*one.runs] == ["main", "a-one", "b-two"] and one.siblings == {}
    assert [*other.runs] == ["fast-four", "fast", "fast-five"]


def test_of_one_recipe_on_both_sides_the_seeds_count_once(project):
    one, other = sides(project, "a-one", None)
    assert [*one.siblings] == ["b-two"] and other.siblings == {}


def test_sides_that_cannot_be_are_refused(project):
    for names, seeds, said in (
        (("nowhere", None), False, "nowhere: no experiment, branch"),
        (("main,nowhere", None), False, "nowhere: no experiment, branch"),
        (("main,", None), False, "main,: no experiment, branch"),
        (("main,main", None), False, "main and main: both are of seed 0"),
        (("main,a-one", "fast"), True, "--seeds finds the others"),
        (("other-data", "fast"), True, "other-data: no experiment differs from it in nothing but"),
        (("main", "a-one"), True, "on both sides"),
    ):
        with pytest.raises(InputError, match=said):
            sides(project, *names, seeds)
