"""Outputs of a commit, such as an experiment's: files of DVC's cache, named by their MD5."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ruamel.yaml import YAML

from lesion.experiments.revisions import show
from lesion.pipeline.errors import InputError

FOLDER = ".dir"  # how DVC ends the MD5 of an output that is a folder


def cached_folder(project: Path, commit: str, output: str) -> dict[str, Path]:
    """The files of an output that is a folder, by their paths in it, as they lie in the cache.

    They are for reading: the cache is what other commits have them from.

    Raises:
        InputError: the commit has no such output, or the cache does not have all of it.
    """
    lock = YAML(typ="safe").load(show(project, commit, "dvc.lock"))
    hashes = {
        out["path"]: out["md5"]
        for stage in lock["stages"].values()
        for out in stage.get("outs", ())
    }
    where = f"{output} of {commit[:7]}"
    if not hashes.get(output, "").endswith(FOLDER):
        raise InputError(f"{where}: not in its dvc.lock; expected a finished run of this pipeline")
    path_of = _cache(project)
    listing = _there(path_of(hashes[output]), where).read_text(encoding="utf-8")
    entries = {entry["relpath"]: entry["md5"] for entry in json.loads(listing)}
    return {name: _there(path_of(md5), f"{where}, {name}") for name, md5 in entries.items()}


def link(files: dict[str, Path], folder: Path) -> None:
    """Puts links to such files into a folder, under their paths, for code that reads one."""
    for name, path in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(path)


def _cache(project: Path) -> Callable[[str], Path]:
    """Where a file of that MD5 lies."""
    from dvc.repo import Repo

    cache = Repo(project).cache.local
    return lambda md5: Path(cache.oid_to_path(md5))


def _there(path: Path, where: str) -> Path:
    if not path.is_file():
        raise InputError(
            f"{where}: no longer in DVC's cache; `dvc exp pull` brings it where a remote has it, "
            "otherwise run the experiment again"
        )
    return path
