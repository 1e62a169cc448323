"""What a kill or a full disk leaves that stops the next run: found, and mended where that is safe.

DVC writes several of its files in place. One that was cut meanwhile stops every later command of
DVC, with words like "JSON structure is corrupted". Nothing here removes what somebody may miss:
what DVC can make again is removed, the rest is moved to `.dvc/tmp/damaged/`.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from dvc.dirs import site_cache_dir
from dvc.exceptions import DvcException
from dvc.lock import make_lock
from dvc.repo import Repo
from dvc.rwlock import SCHEMA as RWLOCK
from dvc.schema import COMPILED_LOCKFILE_SCHEMA, COMPILED_SINGLE_STAGE_SCHEMA
from dvc.utils.serialize import load_json, load_yaml
from filelock import FileLock, Timeout
from voluptuous import Invalid

from lesion.pipeline.errors import InputError
from lesion.pipeline.files import write_bytes
from lesion.tracking.spool import spool
from lesion.upkeep import finished

DVC = Path(".dvc/tmp")
DAMAGED = DVC / "damaged"
DVC_LEFT = re.compile(r"\.[\w-]{22}\.tmp")  # the names under which DVC copies a file
QUEUE = (".run", ".json", ".msg", ".exchange")


@dataclass(frozen=True)
class Finding:
    """Something in the way: where, what, and what was done, or is to be done by hand."""

    path: Path
    what: str
    mended: bool = True

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def examine() -> Iterator[Finding]:
    """Mends the project in the working directory, finding by finding.

    Raises:
        InputError: DVC or a stage is at work there, whose files are not damaged but being written.
    """
    if busy := at_work():
        raise InputError(f"at work here: {'; '.join(busy)}; wait for the end, or kill it")
    if not DVC.exists():  # no command of DVC has run yet
        yield from _left_behind()
        return
    lock = make_lock(str(DVC / "lock"), tmp_dir=str(DVC))
    try:
        lock.lock()
    except DvcException:
        raise InputError(f"another user's DVC is at work here: it holds {lock.lockfile}") from None
    try:
        # Files before databases: without them DVC does not say where those are.
        for look in (_rwlocks, _queue, _lock_files, _databases, _left_behind, _git):
            yield from look()
    finally:
        lock.unlock()


def at_work() -> list[str]:
    """The processes of DVC, and the stages, that run in the working directory or below it."""
    here, me = Path.cwd(), psutil.Process()
    mine = {me.pid, *(parent.pid for parent in me.parents())}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            words = process.cmdline()
            inside = Path(process.cwd()).is_relative_to(here)
            if inside and process.pid not in mine and _is_dvc_or_stage(words):
                found.append(f"process {process.pid} ({' '.join(words)})")
    return found


def _is_dvc_or_stage(words: list[str]) -> bool:
    program, *rest = map(Path, words)
    if "python" not in program.name:
        return program.name == "dvc"
    names = {"dvc", *(path.name for path in Path("stages").glob("*.py"))}
    return any(word.name in names or word.match("dvc/__main__.py") for word in rest[:3])


def _rwlocks() -> Iterator[Finding]:
    """Who reads and writes what: of processes that are gone, whose numbers others may have now."""
    for path in (DVC / "rwlock", DVC / "exps/rwlock"):
        if not path.exists():
            continue
        if not _can_be_read(path, load_json, RWLOCK):
            path.unlink()
            yield Finding(path, "cut, so that DVC could not read it; removed, DVC makes it anew")
        elif any(load_json(path).values()):
            path.unlink()
            yield Finding(path, "named processes that are gone; removed, DVC makes it anew")


def _queue() -> Iterator[Finding]:
    """What DVC notes of experiments that wait, run, or have run."""
    for folder in ("run", "celery"):
        for path in sorted((DVC / "exps" / folder).rglob("*")):
            if path.suffix not in QUEUE or not path.is_file():
                continue
            try:
                json.loads(path.read_bytes())
            except ValueError:
                yield Finding(
                    path, f"cut; moved to {_set_aside(path)}, `dvc queue status` says more"
                )


def _lock_files() -> Iterator[Finding]:
    """dvc.lock and *.dvc, which hold the hashes of results and data."""
    files = [Path("dvc.lock"), *sorted(Path().glob("*.dvc")), *sorted(Path("data").glob("*.dvc"))]
    for path in filter(Path.is_file, files):
        is_lock = path.name == "dvc.lock"
        schema = COMPILED_LOCKFILE_SCHEMA if is_lock else COMPILED_SINGLE_STAGE_SCHEMA
        if _can_be_read(path, load_yaml, schema):
            continue
        if "<<<<<<<" in path.read_text(encoding="utf-8", errors="replace"):
            yield Finding(path, "has both sides of a merge; take one of them", mended=False)
        elif content := _as_git_has_it(path):
            aside = _set_aside(path)
            write_bytes(path, content.encode())
            newer = ", from which `dvc repro` goes on with what its cache has" if is_lock else ""
            yield Finding(path, f"cut; moved to {aside}, and taken from git{newer}")
        elif is_lock:
            yield Finding(path, f"cut; moved to {_set_aside(path)}, DVC makes it anew")
        else:
            yield Finding(path, "cut, and git does not have it: `dvc add` it again", mended=False)


def _databases() -> Iterator[Finding]:
    """Where DVC keeps which file had which hash, outside the project."""
    try:
        folder = _site_cache()
    except DvcException:  # without git, say: DVC does nothing here, and says why
        return
    for path in sorted(folder.rglob("*.db")):
        try:
            with closing(sqlite3.connect(path)) as database:
                sound = database.execute("pragma quick_check").fetchone() == ("ok",)
        except sqlite3.DatabaseError:
            sound = False
        if not sound:
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink()
            yield Finding(path, "damaged; removed, DVC makes it anew")


def _site_cache() -> Path:
    """The folder of this project's databases."""
    variable = "DVC_SITE_CACHE_DIR"
    before = os.environ.get(variable)
    with TemporaryDirectory() as elsewhere:
        os.environ[variable] = elsewhere  # DVC opens them before it says where they are
        try:
            with closing(Repo()) as repo:
                name = Path(repo.site_cache_dir).name
                configured = repo.config["core"].get("site_cache_dir")
        finally:
            del os.environ[variable]
            os.environ.update({variable: before} if before else {})
    return Path(site_cache_dir(configured), "repo", name)


def _left_behind() -> Iterator[Finding]:
    """What killed processes were writing."""
    stages = load_yaml("dvc.yaml")["stages"].values()
    kinds = ("outs", "metrics", "plots")
    entries = [entry for stage in stages for kind in kinds for entry in stage.get(kind, [])]
    written = [Path(entry if isinstance(entry, str) else next(iter(entry))) for entry in entries]
    written += [finished.CHECKPOINT, finished.MARK]
    parts = {path.with_name(f".{path.name}.part") for path in written}
    copies = {
        path
        for folder in {path.parent for path in written if path.parent.is_dir()}
        for path in folder.iterdir()
        if DVC_LEFT.fullmatch(path.name)
    }
    for path in sorted(parts | copies):
        if path.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            yield Finding(path, "left by a process that was killed; removed")
    for path in [*spool().glob("*.writing"), *spool().glob("*.sending")]:
        if not path.with_suffix("").exists():
            with suppress(Timeout), FileLock(path).acquire(timeout=0):
                path.unlink()
                yield Finding(path, "a lock without its run; removed")


def _git() -> Iterator[Finding]:
    folder = _output("git", "rev-parse", "--git-dir").strip()
    path = Path(folder or ".git") / "index.lock"
    if path.exists():
        yield Finding(path, "stops git; if no git is at work, remove it", mended=False)


def _can_be_read(path: Path, load: Callable, schema: Callable) -> bool:
    try:
        schema(load(path))
    except (DvcException, Invalid):
        return False
    return True


def _as_git_has_it(path: Path) -> str:
    return _output("git", "show", f":./{path}") or _output("git", "show", f"HEAD:./{path}")


def _output(*command: str) -> str:
    """What a command says; nothing where it fails or is missing."""
    with suppress(OSError):
        result = subprocess.run(command, capture_output=True, encoding="utf-8")
        if result.returncode == 0:
            return result.stdout
    return ""


def _set_aside(path: Path) -> Path:
    DAMAGED.mkdir(exist_ok=True)
    names = (f"{path.name}{number or ''}" for number in range(10**6))
    target = next(DAMAGED / name for name in names if not (DAMAGED / name).exists())
    return path.rename(target)
