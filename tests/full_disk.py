"""What each stage does on a disk that is full: `python tests/full_disk.py` prints it as a table.

Every stage runs on a file system in memory that has no room left, half of what the stage needs, and
all of that but its last block; then again with room enough. With --every, with each number of
blocks from none to what it needs. Linux only, where a user may mount in a namespace of mounts.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from project import ROOT, environment, set_params

sys.path.insert(0, str(ROOT / "stages"))

BLOCK = 4096  # bytes of tmpfs
ENOUGH = 2**18  # blocks
# The one for root, who need not be allowed to make users; the other for everybody else.
NAMESPACES = (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"])
OUTPUTS = ("raw", "arrays", "pretrained", "model", "metrics", "predictions", "plots", "record")
# What a stage that fails may leave, so that it can go on: what was downloaded, trained and logged.
KEPT = ("downloads", "checkpoint", "mlspool", "mlflow.db", "mlflow.db.lock", "mlartifacts")


@dataclass(frozen=True)
class Case:
    """A stage as it is run; `knobs` are those in which it differs from the others."""

    name: str
    stage: str
    knobs: dict[str, object]


@dataclass(frozen=True)
class Outcome:
    """What a stage said on a disk with so many free blocks, and what should not be."""

    case: str
    needs: int
    free: int
    said: str
    faults: list[str]


def namespace() -> list[str] | None:
    """The command in whose namespace this user may mount, if there is one."""
    for command in NAMESPACES:
        try:
            probe = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
            if subprocess.run(probe, capture_output=True).returncode == 0:
                return command
        except OSError:
            continue
    return None


def outcomes(*arguments: str) -> list[Outcome]:
    """Of a process that may mount, with these arguments of the command line."""
    result = subprocess.run(
        [*namespace(), sys.executable, __file__, "--json", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return [Outcome(**fields) for fields in json.loads(result.stdout)]


class Disk:
    """A file system in memory with a project on it; goes with its namespace."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.project = place / "project"
        self._mount()

    def _mount(self) -> None:
        call("mount", "-t", "tmpfs", "-o", f"size={ENOUGH * BLOCK}", "tmpfs", str(self.place))

    def fill(self, project: Path) -> None:
        """Puts a copy of a project there, and nothing else."""
        call("umount", str(self.place))
        self._mount()
        shutil.copytree(project, self.project)

    def leave(self, blocks: int) -> None:
        """Leaves so many blocks free."""
        state = os.statvfs(self.place)
        size = (state.f_blocks - state.f_bfree + blocks) * BLOCK
        call("mount", "-o", f"remount,size={size}", str(self.place))


def call(*command: str) -> None:
    subprocess.run(command, check=True)


def run(case: Case, project: Path) -> tuple[int, str, str]:
    """Status, output and errors of a stage, in a process that has all it imports already."""
    from lesion import cli, fetch

    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        process = os.fork()
        if process == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(complained.fileno(), 2)
            cli.PROJECT = project
            fetch.SPARE = -(2**60)  # or it would refuse to begin
            sys.argv = [f"stages/{case.stage}.py"]
            status = 0
            try:
                cli.run(sys.modules[case.stage].main)
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 1
                print(end.code, file=sys.stderr)
            except BaseException:
                status = 1
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        for file in (said, complained):
            file.seek(0)
        return status, said.read().decode(), complained.read().decode()


def content(project: Path) -> dict[str, bytes]:
    """All files, by their paths; a folder has no content."""
    return {
        path.relative_to(project).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in sorted(project.rglob("*"))
        if path.relative_to(project).parts[0] != "data"
    }


def of_outputs(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: files[name] for name in files if name.split("/")[0] in OUTPUTS}


def of_stage(name: str, after: dict[str, bytes], before: dict[str, bytes]) -> str:
    """Its output, a folder or a file, that `name` belongs to."""
    folder = name.split("/")[0]
    return name if folder in ("metrics",) else folder


def held(
    case: Case, disk: Disk, before: Path, after: dict[str, bytes], free: int, needs: int
) -> Outcome:
    disk.fill(before)
    start = content(disk.project)
    disk.leave(free)
    status, said, complained = run(case, disk.project)
    faults = []
    if status != 1:
        faults.append(f"status {status}")
    if (
        complained.count("\n") != 1
        or not complained.startswith(f"{case.stage}: ")
        or "Error" in said
    ):
        faults.append(f"said {said}{complained}")
    left = content(disk.project)
    for name, found in left.items():
        if name.split("/")[0] in OUTPUTS:
            if found not in (start.get(name), after.get(name)):
                if name != "metrics/history.csv" or not after[name].startswith(found):
                    faults.append(f"half {name}")
        elif name.split("/")[0] not in KEPT and name not in start:
            faults.append(f"left {name}")
    for folder in OUTPUTS:
        if folder == "metrics":
            continue
        there, was, whole = (
            {n for n in f if n.split("/")[0] == folder} for f in (left, start, after)
        )
        if there not in (was, whole, was | {folder}):
            faults.append(f"half {folder}")
    disk.leave(ENOUGH)
    status, _, errors = run(case, disk.project)
    if status:
        faults.append(f"with room: status {status}, {errors}")
    end = content(disk.project)
    if of_outputs(end) != of_outputs(after):
        faults.append("with room: other results")
    if extra := [
        n
        for n in end
        if n not in after and n.split("/")[0] not in ("mlflow.db", "mlartifacts", "mlspool")
    ]:
        faults.append(f"with room: left {extra}")
    if case.stage in ("train", "record"):
        runs = recorded(disk.project)
        if runs != recorded_after[case.name]:
            faults.append(f"in MLflow: {runs}, expected {recorded_after[case.name]}")
        spool = [n for n in end if n.startswith("mlspool/") and n.count("/") == 1]
        if spool:
            faults.append(f"waiting: {spool}")
    return Outcome(case.name, needs, free, complained.strip(), faults)


recorded_after: dict[str, object] = {}


def recorded(project: Path) -> list[tuple]:
    with closing(sqlite3.connect(project / "mlflow.db")) as store:
        return [
            (
                status,
                *(
                    store.execute(
                        f"select count(distinct key || ' ' || {step}) from {table} where run_uuid = ?",
                        (run,),
                    ).fetchone()[0]
                    for table, step in (("metrics", "step"), ("params", "0"))
                ),
            )
            for run, status in store.execute(
                "select run_uuid, status from runs order by start_time"
            ).fetchall()
        ]


def needed(case: Case, disk: Disk, before: Path) -> int:
    """The fewest free blocks with which a stage ends well."""

    def passes(free: int) -> bool:
        disk.fill(before)
        disk.leave(free)
        return run(case, disk.project)[0] == 0

    high = 1
    while not passes(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--every", type=int, default=0)
    parser.add_argument("--free", type=int, nargs="*")
    parser.add_argument("cases", nargs="*")
    given = parser.parse_args()
    import logging

    os.environ.pop("DVC_ROOT", None)
    import download, encoder, evaluate, plot, preprocess, record, reference, train
    import lesion.tracking, mlflow, torch
    import lesion.store
    import mlflow.pytorch

    torch.set_num_threads(1)
    from lesion.synthetic import write_archives

    with tempfile.TemporaryDirectory(dir="/work/h/tmp-disk") as temporary:
        folder = Path(temporary)
        data = folder / "data"
        write_archives(data, {"train": 6, "validation": 3, "test": 3}, size=48, seed=1)
        start = folder / "0"
        start.mkdir()
        for name in ("params.yaml", "datasets.yaml", "requirements.txt"):
            shutil.copy(ROOT / name, start)
        set_params(
            start, data=data, image_size=32, width=4, depth=2, epochs=2, threads=1, batch_size=3
        )
        (folder / "disk").mkdir()
        disk = Disk(folder / "disk")
        before, after = {}, {}
        now = start
        cases = [
            Case(s, s, {})
            for s in (
                "download",
                "preprocess",
                "reference",
                "encoder",
                "train",
                "evaluate",
                "plot",
                "record",
            )
        ]
        import time

        for number, case in enumerate(cases):
            before[case.name] = now
            disk.fill(now)
            t = time.time()
            status, said, errors = run(case, disk.project)
            print(case.name, round(time.time() - t, 2), file=sys.stderr)
            assert status == 0, errors
            now = folder / str(number + 1)
            shutil.copytree(disk.project, now)
            after[case.name] = content(now)
            if case.stage in ("train", "record"):
                recorded_after[case.name] = recorded(now)
                print(recorded_after, file=sys.stderr)
        rows = []
        for case in cases:
            if given.cases and case.name not in given.cases:
                continue
            t = time.time()
            needs = max(given.free) + 1 if given.free else needed(case, disk, before[case.name])
            print(case.name, needs, round(time.time() - t, 2), file=sys.stderr)
            frees = (
                range(0, needs, given.every) if given.every else sorted({0, needs // 2, needs - 1})
            )
            for free in frees:
                t = time.time()
                row = held(case, disk, before[case.name], after[case.name], free, needs)
                print(
                    row.case,
                    row.free,
                    row.needs,
                    row.said,
                    row.faults and str(row.faults),
                    round(time.time() - t, 2),
                    file=sys.stderr,
                )
                rows.append(row)
        call("umount", str(disk.place))
        if given.json:
            print(json.dumps([asdict(r) for r in rows]))


if __name__ == "__main__":
    main()
