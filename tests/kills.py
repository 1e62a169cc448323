"""Kills the pipeline and runs it again: `python tests/kills.py` prints what was held as a table.

    python tests/kills.py                       # 206 kills, by two workers
    python tests/kills.py train=5 DVC=10        # so many of these only
    python tests/kills.py --seed 1 --keep DIR   # other moments; keeps what did not hold

A small pipeline has run to its end. In a copy, one stage's outputs are taken away, and what DVC and
MLflow know of them. `dvc repro STAGE` makes them and is killed at a random moment of that stage, or
while DVC itself is at work. Then `dvc repro` is run, after `make doctor` where DVC cannot read its
own files any more. Held means: dvc.lock and all outputs are byte for byte those of the undisturbed
pipeline, MLflow has one run, FINISHED, whose model is READY and can be loaded, git sees no change,
and nothing is left behind: no checkpoint, no half-written file, no lock, no process.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from project import SMALL, clone, environment, run, set_params

PARAMETERS = SMALL | {"limit": 8}
COUNTS = {
    "download": 30,
    "collect": 10,
    "preprocess": 30,
    "baseline": 26,
    "encoder": 26,
    "train": 20,
    "evaluate": 10,
    "external": 6,
    "plot": 8,
    "record": 12,
    "DVC": 44,
}
QUICK = ("download", "collect", "preprocess", "baseline", "encoder")
# Signal and whom it meets: DVC with its stage, as a closed terminal or Ctrl-C do, or one of them.
WAYS = {
    "SIGKILL": (signal.SIGKILL, "both"),
    "SIGKILL, DVC alone": (signal.SIGKILL, "DVC"),
    "SIGKILL, stage alone": (signal.SIGKILL, "stage"),
    "SIGTERM": (signal.SIGTERM, "both"),
    "Ctrl-C": (signal.SIGINT, "both"),
}
BUSY = "runs in this folder already"
TIMES: dict[str, tuple[float, float, float]] = {}  # of each stage, as measured once
MLFLOW = threading.Lock()  # is imported once, and loads one model at a time


@dataclass(frozen=True)
class Moment:
    """When to kill: so long after something was seen."""

    name: str
    seen: Callable[["Attack"], bool]
    delay: float = 0.0
    look: float = 0.001  # seconds between two looks


class Attack:
    """A `dvc repro` of one stage that is to be killed."""

    def __init__(self, project: Path, stage: str, whole: int) -> None:
        self.project, self.whole = project, whole  # size of dvc.lock
        self.dvc = subprocess.Popen(
            ["dvc", "repro", "--single-item", stage],
            cwd=project,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def stage(self) -> psutil.Process | None:
        """The stage that DVC runs now."""
        with suppress(psutil.Error):
            for process in psutil.Process(self.dvc.pid).children(recursive=True):
                if any(word.startswith("stages/") for word in process.cmdline()):
                    return process
        return None

    def wait(self, moment: Moment) -> bool:
        """Until the moment; whether it came before the end."""
        while not moment.seen(self):
            if self.dvc.poll() is not None:
                return False
            time.sleep(moment.look)
        time.sleep(moment.delay)
        return self.dvc.poll() is None

    def kill(self, number: signal.Signals, whom: str) -> None:
        with suppress(ProcessLookupError, psutil.Error):
            if whom == "both":
                os.killpg(self.dvc.pid, number)
            elif whom == "DVC":
                os.kill(self.dvc.pid, number)
            elif stage := self.stage():
                stage.send_signal(number)
        if whom == "DVC":
            self.dvc.wait()
        else:
            self.dvc.communicate(timeout=900)

    def size(self, name: str) -> int:
        with suppress(FileNotFoundError):
            return (self.project / name).stat().st_size
        return -1


MAKE_STORE = (
    "import sys; sys.path.append('stages'); from lesion.tracking import store; store.open_store()"
)


def made(folder: Path) -> Path:
    """A small pipeline, undisturbed."""
    clone(folder)
    set_params(folder, **PARAMETERS)
    # Its order of stages is the one in which they were written first; now it is DVC's.
    (folder / "dvc.lock").unlink()
    run(folder, "dvc", "repro")
    run(folder, "python", "tools/deliver.py")  # a slow machine may have left something to send
    run(folder, "git", "commit", "--quiet", "--all", "--message", "Small")
    return folder


class Project:
    """A folder in which the small pipeline has run, and is put back to before one of its stages."""

    def __init__(self, folder: Path, made: Path) -> None:
        """`made` is such a pipeline, which is copied."""
        self.folder = folder
        self.path, self.base, self.store = folder / "project", folder / "base", folder / "empty.db"
        folder.mkdir()
        self.copy(made, self.path)
        for file in self.path.glob("mlflow.db*"):
            file.unlink()
        run(self.path, "python", "-c", MAKE_STORE)
        (self.path / "mlflow.db").rename(self.store)
        self.copy(made, self.base)
        self.lock = (self.base / "dvc.lock").read_bytes()
        self.stages = YAML(typ="safe").load(self.lock)["stages"]

    def copy(self, of: Path, to: Path) -> None:
        """Links within the project stay links."""
        shutil.rmtree(to, ignore_errors=True)
        run(self.folder, "cp", "--archive", str(of), str(to))

    def before(self, stage: str, store: bool = True) -> None:
        """As if all but this stage had run; of its model, MLflow knows nothing then.

        `store`: it has a store, which takes seconds to make.
        """
        self.clear()
        self.copy(self.base, self.path)
        of_model = stage in ("train", "record")
        for name in {stage, "record"} if of_model else {stage}:
            for out in self.stages[name]["outs"]:
                self.forget(out)
        for path in (self.path / ".dvc/cache/runs").rglob("*"):
            if path.is_file() and f"cmd: python stages/{stage}.py\n" in path.read_text():
                path.unlink()  # or DVC would restore what is to be made
        if of_model:
            shutil.rmtree(self.path / "mlartifacts")
            for file in self.path.glob("mlflow.db*"):
                file.unlink()
            if store:
                shutil.copy(self.store, self.path / "mlflow.db")

    def clear(self) -> None:
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
                process.wait()
        shutil.rmtree(self.path, ignore_errors=True)

    def forget(self, out: dict) -> None:
        """Takes an output away, from the cache too."""
        path, cache = self.path / out["path"], self.path / ".dvc/cache/files/md5"
        entry = cache / out["md5"][:2] / out["md5"][2:]
        if path.is_dir():
            for file in json.loads(entry.read_text()):
                (cache / file["md5"][:2] / file["md5"][2:]).unlink(missing_ok=True)
            shutil.rmtree(path)
        else:
            path.unlink()
        entry.unlink(missing_ok=True)

    def measure(self, stage: str) -> tuple[float, float, float]:
        """Seconds of DVC before the stage, of the stage, and of DVC after it."""
        if stage not in TIMES:
            self.before(stage)
            start, seen = time.monotonic(), []
            attack = Attack(self.path, stage, len(self.lock))
            while attack.dvc.poll() is None:
                if running := attack.stage():
                    with suppress(psutil.Error):
                        if stage in " ".join(running.cmdline()):
                            seen.append(time.monotonic())
                time.sleep(0.02)
            attack.dvc.communicate()
            TIMES[stage] = (seen[0] - start, seen[-1] - seen[0], time.monotonic() - seen[-1])
        return TIMES[stage]

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if Path(process.cwd()).is_relative_to(self.path):
                    found.append(process)
        return found

    def again(self) -> bool:
        """Runs the pipeline to its end; whether DVC's files had to be mended first."""
        mended = False
        for _ in range(4):
            result = subprocess.run(
                ["dvc", "repro"],
                cwd=self.path,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=1800,
            )
            said = result.stdout + result.stderr
            if result.returncode == 0:
                if any((self.path / "mlspool").iterdir()):  # too slow for the stage's patience
                    run(self.path, "python", "tools/deliver.py")
                return mended
            if BUSY in said:
                wait_until_none(self.processes)
            else:
                assert not mended, said
                run(self.path, "python", "tools/doctor.py")
                mended = True
        raise AssertionError(said)

    def faults(self) -> Iterator[str]:
        """In what this project differs from the undisturbed one."""
        if (self.path / "dvc.lock").read_bytes() != self.lock:
            yield "dvc.lock differs"
        for name, stage in self.stages.items():
            for out in stage["outs"]:
                if contents(self.path / out["path"]) != contents(self.base / out["path"]):
                    yield f"{out['path']} of {name} differs"
        if changed := run(self.path, "git", "status", "--porcelain").stdout:
            yield f"git sees {changed}"
        for pattern in (".*.part", ".*.tmp"):
            for path in self.path.rglob(pattern):
                if ".git" not in path.parts:
                    yield f"left: {path.relative_to(self.path)}"
        yield from (f"left: {path.name}" for path in (self.path / "checkpoint").iterdir())
        yield from (f"left: {path.name}" for path in (self.path / "mlspool").iterdir())
        yield from (f"at work: {process}" for process in self.processes())
        with closing(sqlite3.connect(self.path / "mlflow.db")) as store:
            runs = store.execute("select status from runs").fetchall()
            models = store.execute("select status from logged_models").fetchall()
        if (runs, models) != ([("FINISHED",)], [(2,)]):
            yield f"MLflow: runs {runs}, models {models}"
        loaded = list(self.path.glob("mlartifacts/**/MLmodel"))
        if len(loaded) != 1:
            yield f"MLflow: {len(loaded)} models"
        with MLFLOW:
            import mlflow

            for path in loaded:
                mlflow.pyfunc.load_model(str(path.parent))


def contents(path: Path) -> dict[str, bytes]:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def wait_until_none(things: Callable[[], list]) -> None:
    end = time.monotonic() + 900
    while things():
        assert time.monotonic() < end, things()
        time.sleep(0.1)


def moments(project: Project, victim: str, chance: random.Random) -> tuple[str, Moment]:
    """A stage that is to be made, and when to kill."""
    if victim != "DVC":
        _, during, _ = project.measure(victim)

        def runs(attack: Attack) -> bool:
            stage = attack.stage()
            with suppress(psutil.Error):
                return bool(stage) and f"stages/{victim}.py" in stage.cmdline()
            return False

        if victim == "train" and chance.random() < 0.4:
            over = Moment("over", lambda attack: attack.size("checkpoint/finished.json") > 0)
            return victim, replace(over, delay=chance.uniform(0, during / 3))
        return victim, Moment("during", runs, chance.uniform(0, during), look=0.03)

    stage = chance.choice([*QUICK, *QUICK, "train", "record"])
    before, _, after = project.measure(stage)

    def ran(attack: Attack, state: dict[int, bool] = {}) -> bool:  # noqa: B006 - a memory
        running = attack.stage() is not None
        state[id(attack)] = state.get(id(attack), False) or running
        return state[id(attack)] and not running

    return stage, chance.choice(
        [
            Moment("before the stage", lambda attack: True, chance.uniform(0, before)),
            Moment("after the stage", ran, chance.uniform(0, min(after, 2)), 0.03),
            Moment("writes dvc.lock", lambda attack: attack.size("dvc.lock") < attack.whole),
            Moment("writes its rwlock", lambda attack: attack.size(".dvc/tmp/rwlock") == 0, look=0),
        ]
    )


@dataclass(frozen=True)
class Outcome:
    victim: str
    moment: str
    way: str
    came: bool  # before the end of `dvc repro`
    mended: bool
    faults: list[str]
    seconds: float


def outcome(project: Project, victim: str, way: str, chance: random.Random) -> Outcome:
    """Kills once, and runs again."""
    stage, moment = moments(project, victim, chance)
    start = time.monotonic()
    project.before(stage, store=chance.random() < 0.8)
    attack = Attack(project.path, stage, len(project.lock))
    number, whom = WAYS[way]
    try:
        if came := attack.wait(moment):
            attack.kill(number, "DVC" if (victim, whom) == ("DVC", "stage") else whom)
            if whom == "DVC" and chance.random() < 0.5:
                wait_until_none(project.processes)  # the stage ends well, and nobody sees it
        else:
            attack.dvc.communicate()
        mended = project.again()
        faults = list(project.faults())
    except Exception as error:
        mended, faults = False, [f"{type(error).__name__}: {error}"]
    seconds = time.monotonic() - start
    name = f"{moment.name} ({stage})" if victim == "DVC" else moment.name
    return Outcome(victim, name, way, came, mended, faults, seconds)


def attacks(counts: dict[str, int]) -> list[tuple[str, str]]:
    """Every victim by every way in turn."""
    ways = list(WAYS)
    return [(name, ways[i % len(ways)]) for name, count in counts.items() for i in range(count)]


def table(outcomes: list[Outcome]) -> str:
    rows = ["| killed in | kills | of which DVC needed `make doctor` | held |", "|---|--:|--:|--:|"]
    groups = defaultdict(list)
    for one in outcomes:
        groups[one.victim].append(one)
    groups["all"] = outcomes
    for name, group in groups.items():
        held, mended = sum(not one.faults for one in group), sum(one.mended for one in group)
        rows.append(f"| {name} | {len(group)} | {mended} | {held} |")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("counts", nargs="*", metavar="STAGE=KILLS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="where what did not hold is moved to")
    arguments = parser.parse_args()
    counts = {name: int(count) for name, count in (c.split("=") for c in arguments.counts)}
    plan = list(enumerate(attacks(counts or COUNTS)))
    random.Random(arguments.seed).shuffle(plan)
    outcomes: list[Outcome] = []

    def work(worker: int) -> None:
        project = Project(Path(folder) / str(worker), small)
        while plan:
            with suppress(IndexError):
                number, (victim, way) = plan.pop()
                chance = random.Random(f"{arguments.seed} {number}")
                one = outcome(project, victim, way, chance)
                if not one.came:  # the end was faster than the moment: another one
                    plan.append((number + 10**6, (victim, way)))
                    continue
                outcomes.append(one)
                print(len(outcomes), one, flush=True)
                if one.faults and arguments.keep:
                    project.path.rename(arguments.keep / f"{victim}-{number}")
        project.clear()

    with TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.workers) as pool:
        small = made(Path(folder) / "made")
        for done in [pool.submit(work, worker) for worker in range(arguments.workers)]:
            done.result()
    outcomes.sort(key=lambda one: list(COUNTS).index(one.victim))
    print(table(outcomes))
    return 1 if any(one.faults for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
