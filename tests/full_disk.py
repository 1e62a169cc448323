"""What each stage does on a full disk: `python tests/full_disk.py` prints it as a table.

Every stage runs on a file system in memory that has no room left, half of what the stage needs, and
all of that but a block, so that its last write fails; then again with room enough. Of `--free 0 4`
those numbers of blocks are left instead. Linux only, for who may mount in a namespace of mounts.
"""

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace

from project import ROOT, environment, set_params

sys.path.insert(0, str(ROOT / "stages"))

BLOCK = 4096  # bytes of tmpfs
ENOUGH = 2**18  # blocks
# The one for root, who need not be allowed to make users; the other for everybody else.
NAMESPACES = (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"])
FOLDERS = (  # whole or not
    *("raw", "external_raw", "arrays", "thumbnails", "pretrained", "model", "predictions"),
    *("external_predictions", "plots", "record"),
)
# What a stage that fails may leave, to go on from there: what was trained and logged.
KEPT = ("checkpoint", "mlspool", "mlflow.db", "mlflow.db.lock", "mlartifacts")
HISTORY = "metrics/history.csv"  # grows by whole lines
PLACES = ("at its start", "in its middle", "at its last write")


@dataclass(frozen=True)
class Case:
    """A stage, and the knobs in which it differs from the others."""

    name: str
    stage: str
    knobs: dict[str, object] = field(default_factory=dict)


CASES = [
    Case("download", "download"),
    Case("download of a sample", "download", {"limit": 5}),
    Case("collect", "collect"),
    Case("preprocess", "preprocess"),
    Case("baseline", "baseline"),
    Case("encoder", "encoder"),
    Case("encoder with weights", "encoder", {"encoder": "mobilenet_v2"}),
    Case("train", "train"),
    Case("evaluate", "evaluate"),
    Case("external", "external"),
    Case("plot", "plot"),
    Case("record", "record"),
]


@dataclass(frozen=True)
class Outcome:
    """What a stage said where so many blocks were free, and whatever was not as it should be."""

    case: str
    place: str
    free: int
    said: str
    faults: list[str]


def namespace() -> list[str] | None:
    """The command in whose namespace this user may mount, if there is one."""
    for command in NAMESPACES:
        probe = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        if shutil.which(command[0]) and not subprocess.run(probe, capture_output=True).returncode:
            return command
    return None


def outcomes(*arguments: str) -> list[Outcome]:
    """Those that the command line asks for, of a process that may mount."""
    result = subprocess.run(
        [*namespace(), sys.executable, __file__, "--json", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return [Outcome(**fields) for fields in json.loads(result.stdout)]


class Disk:
    """A file system in memory, with a project on it."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self.place, self.project = place, place / "project"
        self._mount()

    def _mount(self) -> None:
        _call("mount", "-t", "tmpfs", "-o", f"size={ENOUGH * BLOCK}", "tmpfs", str(self.place))

    def fill(self, project: Path) -> None:
        """Puts a copy of a project there, and nothing else."""
        self.close()
        self._mount()
        shutil.copytree(project, self.project)

    def used(self) -> int:
        state = os.statvfs(self.place)
        return state.f_blocks - state.f_bfree

    def leave(self, blocks: int) -> None:
        """Leaves so many blocks free."""
        size = (self.used() + blocks) * BLOCK
        _call("mount", "-o", f"remount,size={size}", str(self.place))

    def close(self) -> None:
        _call("umount", str(self.place))


def _call(*command: str) -> None:
    subprocess.run(command, check=True)


@dataclass(frozen=True)
class End:
    """How a stage ended; `most`: the most blocks that were seen in use meanwhile."""

    status: int
    said: str
    complained: str
    most: int


def run(stage: str, disk: Disk) -> End:
    """Runs a stage in a copy of this process, which has imported all that it needs."""
    from lesion.console import cli

    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        process = os.fork()
        if process == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(complained.fileno(), 2)
            cli.PROJECT = disk.project
            sys.argv = [f"stages/{stage}.py"]
            status = 1
            try:
                cli.run(sys.modules[stage].main)
                status = 0
            except SystemExit as end:
                print(end, file=sys.stderr)
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        most, ended = disk.used(), 0
        while not ended:
            ended, status = os.waitpid(process, os.WNOHANG)
            most = max(most, disk.used())
            time.sleep(0.001)
        for file in (said, complained):
            file.seek(0)
        status = os.waitstatus_to_exitcode(status)
        return End(status, said.read().decode(), complained.read().decode(), most)


class Bench:
    """The pipeline, run once undisturbed, and what was there before and after each stage."""

    def __init__(self, folder: Path, cases: list[Case]) -> None:
        from lesion.synthetic import write_archives

        self.folder = folder
        data, project = folder / "data", folder / "0"
        write_archives(data, {"train": 6, "validation": 3, "test": 3}, size=48, seed=1)
        project.mkdir()
        for name in ("params.yaml", "datasets.yaml", "exclude.csv", "requirements.txt"):
            shutil.copy(ROOT / name, project)
        set_params(project, data=data, limit=0, image_size=32, threads=1)
        set_params(project, width=4, depth=2, epochs=2, batch_size=3)
        if not {case.stage for case in cases} & {"train", "record"}:
            (project / "mlflow.db").mkdir()  # a store that fails: it takes longer than the rest
        self.disk = Disk(folder / "disk")
        self.before: dict[str, Path] = {}
        self.after: dict[str, dict[str, bytes]] = {}
        self.runs: dict[str, list[tuple]] = {}
        self.needs: dict[str, int] = {}
        last = max(map(CASES.index, cases))
        for number, case in enumerate(CASES[: last + 1], 1):
            before = project
            if case.knobs:
                before = folder / f"{number} before"
                shutil.copytree(project, before)
                set_params(before, **case.knobs)
            self.disk.fill(before)
            used = self.disk.used()
            end = run(case.stage, self.disk)
            assert end.status == 0, end.complained
            self.before[case.name], self.needs[case.name] = before, end.most - used
            self.after[case.name] = content(self.disk.project)
            self.runs[case.name] = runs(self.disk.project)
            if not case.knobs:
                project = folder / str(number)
                shutil.copytree(self.disk.project, project)

    def least(self, case: Case) -> int:
        """The fewest free blocks with which a stage ends well, sought near what it used."""

        def passes(free: int) -> bool:
            self.disk.fill(self.before[case.name])
            self.disk.leave(free)
            return run(case.stage, self.disk).status == 0

        low, high, step = self.needs[case.name] - 1, self.needs[case.name], 1
        while not passes(high):
            low, high, step = high, high + step, 2 * step
        step = 1
        while low > 0 and passes(low):
            low, high, step = max(0, low - step), low, 2 * step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if passes(middle) else (middle, high)
        return high

    def outcome(self, case: Case, place: str, free: int) -> Outcome:
        self.disk.fill(self.before[case.name])
        before, after = content(self.disk.project), self.after[case.name]
        self.disk.leave(free)
        end = run(case.stage, self.disk)
        left = content(self.disk.project)
        faults = []
        if end.status:
            one = end.complained.startswith(f"{case.stage}: ") and end.complained.count("\n") == 1
            if end.status != 1 or not one or "Traceback" in end.said:
                faults.append(f"status {end.status}: {end.said}{end.complained}")
            faults += halves(before, left, after)
        elif place:
            faults.append("ended well")
        if end.status or list(self.disk.project.glob("mlspool/*/")):  # what waits there, too
            self.disk.leave(ENOUGH)
            with_room = run(case.stage, self.disk)
            if with_room.status:
                faults.append(f"with room, status {with_room.status}: {with_room.complained}")
            left = content(self.disk.project)
        faults += [
            f"in the end, {name}"
            for name in {*left, *after}
            if top(name) not in KEPT and left.get(name) != after.get(name)
        ]
        if case.stage in ("train", "record") and self.runs[case.name] != runs(self.disk.project):
            faults.append(f"MLflow has {runs(self.disk.project)}, not {self.runs[case.name]}")
        return Outcome(case.name, place, free, end.complained.strip(), faults)


def content(project: Path) -> dict[str, bytes]:
    """All files by their paths; of folders, none."""
    paths = sorted(project.rglob("*"))
    return {
        path.relative_to(project).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in paths
    }


def top(name: str) -> str:
    return name.split("/")[0]


def halves(before: dict[str, bytes], left: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """What a stage that failed left and should not have: half a file, half a folder, or another."""
    found = []
    for name, now in left.items():
        grown = name == HISTORY and after[name].startswith(now) and now.endswith(b"\n")
        known = [files[name] for files in (before, after) if name in files]
        if top(name) not in KEPT and now not in known and not grown:
            found.append(f"left {name}")
    for folder in FOLDERS:
        was, now, whole = (
            {name for name in files if top(name) == folder} for files in (before, left, after)
        )
        # A file alone is written into a folder that is there before.
        if now not in (was, whole, was | {folder}):
            found.append(f"left a part of {folder}")
    return found


def runs(project: Path) -> list[tuple]:
    """The state of each run in MLflow, how many numbers and parameters it has, what still waits."""
    if not (project / "mlflow.db").is_file():
        return []
    waits = sorted(path.name for path in project.glob("mlspool/*/"))
    query = (
        "select status, (select count(distinct key || step) from metrics m where m.run_uuid = "
        "r.run_uuid and key not like 'system/%'), (select count(*) from params p where p.run_uuid ="
        " r.run_uuid), (select count(*) from logged_models l where l.source_run_id = r.run_uuid and"
        " l.status = 2) from runs r"
    )
    with closing(sqlite3.connect(project / "mlflow.db")) as store:
        return [*sorted(store.execute(query).fetchall()), *waits]


def prepare(folder: Path) -> None:
    """Imports what the stages need, and puts weights where the stage encoder looks for some."""
    import mlflow.pytorch
    import torch

    import baseline
    import collect
    import download
    import encoder
    import evaluate
    import external
    import plot
    import preprocess
    import record
    import train
    from lesion.fetching import pretrained

    stages = (download, encoder, evaluate, plot, preprocess, record, baseline, train)
    stages += (collect, external)
    assert {stage.__name__ for stage in stages} == {case.stage for case in CASES} and mlflow
    torch.set_num_threads(1)
    os.environ.pop("DVC_ROOT", None)
    os.environ["TORCH_HOME"] = str(folder)
    weights = bytes(5 * BLOCK)
    name = f"tiny-{hashlib.sha256(weights).hexdigest()[:8]}.pth"
    path = folder / "hub/checkpoints" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(weights)
    pretrained.imagenet_weights = lambda _: SimpleNamespace(url=f"https://example.org/{name}")


def table(found: list[Outcome], folder: Path) -> str:
    lines = ["| stage | full | free | what it says | held |", "|---|---|--:|---|---|"]
    for row in found:
        said = row.said.replace(f"{folder}/disk/project/", "")
        held = "; ".join(row.faults).replace("\n", " ") or "yes"
        lines.append(f"| {row.case} | {row.place} | {4 * row.free} kB | `{said}` | {held} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--free", type=int, nargs="+", metavar="BLOCKS")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cases", nargs="+", default=[case.name for case in CASES])
    given = parser.parse_args()
    if not given.json:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        if not (command := namespace()):
            sys.exit("full_disk: this user may not mount, not even in a namespace")
        if "IN_NAMESPACE" not in os.environ:
            os.environ["IN_NAMESPACE"] = "1"
            os.execvp(command[0], [*command, sys.executable, *sys.argv])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder / "torch")
        cases = [case for case in CASES if case.name in given.cases]
        bench = Bench(folder, cases)
        found = []
        for case in cases:
            places = [("", blocks) for blocks in given.free or ()]
            if not places:
                least = bench.least(case)
                # What writes a single block has one place alone.
                blocks = dict.fromkeys((0, least // 2, least - 1))
                places = list(zip(PLACES, blocks, strict=False))
            found += [bench.outcome(case, *place) for place in places]
            print(f"{case.name} done", file=sys.stderr, flush=True)
        bench.disk.close()
    print(json.dumps([asdict(row) for row in found]) if given.json else table(found, folder))


if __name__ == "__main__":
    main()
