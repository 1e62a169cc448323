"""What git knows of results: each experiment of DVC is a commit, under refs/exps.

The project may be a folder of a larger repository, which others have experiments in too.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML

from lesion.parameters.record import RecordParams
from lesion.pipeline.errors import InputError
from lesion.tracking.result import MODEL, Result, flat_metrics, in_workspace


def git(project: Path, *arguments: str) -> str:
    """What a git command says.

    Raises:
        InputError: it failed.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=project,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",  # a branch may have any bytes for its name
    )
    if done.returncode:
        raise InputError(done.stderr.strip() or f"git {arguments[0]} failed")
    return done.stdout


def show(project: Path, commit: str, path: str) -> str:
    """The text of a file of the project, by its path in there, as a commit has it.

    Raises:
        InputError: it has none.
    """
    return git(project, "show", f"{commit}:./{path}")


def place(project: Path) -> tuple[Path, Path]:
    """The root of the repository that the project is in, and the project's path from there.

    Raises:
        InputError: it is in none.
    """
    root = Path(git(project, "rev-parse", "--show-toplevel").removesuffix("\n"))
    return root, Path(git(project, "rev-parse", "--show-prefix").removesuffix("\n"))


def experiments(project: Path) -> dict[str, str]:
    """Name and commit of each of DVC's experiments in this repository."""
    listed = git(project, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    found = (line.split() for line in listed.splitlines())
    # refs/exps/<baseline's first two digits>/<the rest>/<name>; others are DVC's own.
    return {
        ref.split("/")[4]: commit
        for ref, commit in found
        if ref.count("/") == 4 and len(ref.split("/")[3]) == 38
    }


def branches(project: Path) -> dict[str, str]:
    """Name and commit of each branch and tag."""
    # An annotated tag is an object of its own, which names the commit.
    commit = "%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)"
    listed = git(
        project, "for-each-ref", f"--format=%(refname:short) {commit}", "refs/heads", "refs/tags"
    )
    return dict(line.rsplit(" ", 1) for line in listed.splitlines())


def commit_of(project: Path, name: str) -> str:
    """The commit of an experiment, branch, tag or abbreviated commit.

    Raises:
        InputError: there is none.
    """
    if commit := experiments(project).get(name):
        return commit
    try:
        return git(project, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
    except InputError:
        raise InputError(
            f"{name}: no experiment, branch, tag or commit; `dvc exp list -A` lists experiments"
        ) from None


def result_of(project: Path, name: str | None) -> Result:
    """The result of an experiment, branch, tag or commit; of the workspace, where it is None.

    Raises:
        InputError: there is none.
    """
    return result_at(project, commit_of(project, name)) if name else in_workspace()


def result_at(project: Path, commit: str) -> Result:
    """The result that a commit holds.

    Raises:
        InputError: it holds none.
    """

    def read(path: str) -> str:
        return show(project, commit, path)

    yaml = YAML(typ="safe")
    try:
        lock = yaml.load(read("dvc.lock"))
        outputs = {out["path"]: out["md5"] for out in lock["stages"]["train"]["outs"]}
        knobs = RecordParams(**yaml.load(read("params.yaml"))).model_dump()
        metrics = flat_metrics(lambda name: json.loads(read(f"metrics/{name}.json")))
        return Result(knobs, outputs[MODEL.as_posix()], metrics)
    except (InputError, ValidationError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{commit[:7]}: no finished result of this pipeline ({reason})") from None


def finished(project: Path) -> dict[str, Result]:
    """The results of the experiments that hold one, by name; in a larger repository not all do."""
    found = {}
    for name, commit in sorted(experiments(project).items()):
        with suppress(InputError):
            found[name] = result_at(project, commit)
    return found


def holding(project: Path, result_hash: str) -> Iterator[tuple[str, str]]:
    """Name and commit of the experiments, branches and tags that hold a result."""
    for name, commit in {**experiments(project), **branches(project)}.items():
        try:
            if result_at(project, commit).hash == result_hash:
                yield name, commit
        except InputError:
            continue
