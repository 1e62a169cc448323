"""What kills leave: found, mended, and nothing else touched."""

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from dvc.lock import make_lock
from filelock import FileLock
from ruamel.yaml import YAML

from lesion.pipeline.errors import InputError
from lesion.pipeline.files import write_bytes
from lesion.upkeep import doctor
from project import ROOT, clone, environment, run

pytestmark = pytest.mark.long

RWLOCK = '{"write": {"raw": {"pid": 1, "cmd": "dvc repro"}}, "read": {}}'  # 1 is always there
CONTROL = ".dvc/tmp/exps/celery/broker/control/celery.exchange"
WAITS = ".dvc/tmp/exps/celery/broker/in/1_2.celery.msg"
RAN = ".dvc/tmp/exps/run/abc/abc.run"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clone(tmp_path_factory.mktemp("doctor") / "project")
    run(folder, "dvc", "stage", "list", "--quiet")  # DVC makes its files
    return folder


@pytest.fixture
def project(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shutil.copytree(clean, tmp_path / "project", symlinks=True)
    for name in (CONTROL, WAITS, RAN):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("[]")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return folder


def cut(name: str, kept: int = 0) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:kept])

    return damage


def cut_in_a_word(name: str) -> Callable[[Path], None]:
    """So that it is no YAML; cut between two lines it may be, and DVC makes good what it lacks."""

    def damage(folder: Path) -> None:
        path = folder / name
        words = list(re.finditer(rb"\n +m(?=d5)", path.read_bytes()))
        cut(name, words[len(words) // 2].end())(folder)

    return damage


def written(name: str, content: str = "x") -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)

    return damage


def database_of(folder: Path) -> Path:
    ask = (sys.executable, "-c", "from dvc.repo import Repo; print(Repo().site_cache_dir)")
    return Path(run(folder, *ask).stdout.strip()) / "hashes/local/cache.db"


def broken_database(folder: Path) -> None:
    database = database_of(folder)
    run(folder, "dvc", "status", "data.dvc")  # fills it
    with closing(sqlite3.connect(database)) as store:
        store.execute("pragma wal_checkpoint(truncate)")
    database.write_bytes(database.read_bytes()[:5000])


# Together, as far as each is of another file.
DAMAGES = (
    {
        "cache.db: damaged": broken_database,  # needs DVC
        "tmp/rwlock: cut": written(".dvc/tmp/rwlock", ""),
        "exps/rwlock: cut": written(".dvc/tmp/exps/rwlock", ""),
        "celery.exchange: cut": cut(CONTROL, 1),
        "celery.msg: cut": cut(WAITS),
        "abc.run: cut": cut(RAN, 1),
        "dvc.lock: cut": cut("dvc.lock"),
        "data.dvc: cut": cut_in_a_word("data.dvc"),
        ".raw.part: left": written(".raw.part/a.zip"),
        "metrics/.history.csv.part: left": written("metrics/.history.csv.part"),
        ".train.pt.part: left": written("checkpoint/.train.pt.part"),
        ".0123456789abcdefghi-_A.tmp: left": written("metrics/.0123456789abcdefghi-_A.tmp"),
        "0123.writing: a lock": written("mlspool/0123.writing", ""),
    },
    {
        "rwlock: cut": written(".dvc/tmp/rwlock", '{"write"'),
        "dvc.lock: cut": cut_in_a_word("dvc.lock"),
    },
    {"rwlock: cut": written(".dvc/tmp/rwlock", '{"write": 1}')},
    {"rwlock: named processes that are gone": written(".dvc/tmp/rwlock", RWLOCK)},
)


@pytest.mark.parametrize("damages", DAMAGES, ids=["whole", "cut", "form", "processes"])
def test_each_damage_is_found_mended_and_not_found_again(
    project: Path, damages: dict[str, Callable]
) -> None:
    for damage in damages.values():
        damage(project)
    findings = list(doctor.examine())
    for words in damages:
        (finding,) = [one for one in findings if words in str(one) and one.mended]
        findings.remove(finding)
    assert findings == [] == list(doctor.examine())
    assert run(project, "git", "status", "--porcelain").stdout == ""


@pytest.mark.parametrize(
    "name", [".dvc/tmp/rwlock", pytest.param("dvc.lock", marks=pytest.mark.slow)]
)
def test_dvc_works_again(project: Path, name: str) -> None:
    written(name, "")(project)
    assert subprocess.run(["dvc", "status"], env=environment()).returncode != 0
    assert run(project, "python", "tools/doctor.py").stdout.endswith("\n1 mended, 0 to do\n")
    run(project, "dvc", "status")


def test_a_cut_lock_file_without_git_is_set_aside(project: Path) -> None:
    shutil.rmtree(project / ".git")
    cut_in_a_word("dvc.lock")(project)
    (finding,) = doctor.examine()
    assert finding.mended and not (project / "dvc.lock").exists()
    assert (project / ".dvc/tmp/damaged/dvc.lock").stat().st_size > 0


def test_what_is_set_aside_never_replaces_what_was_before(project: Path) -> None:
    contents = ["a", "b", ""]
    for content in contents:
        written("dvc.lock", content)(project)
        assert len(list(doctor.examine())) == 1
    aside = (project / ".dvc/tmp/damaged").iterdir()
    assert sorted(path.read_text() for path in aside) == sorted(contents)


BY_HAND = {
    "dvc.lock": "<<<<<<< HEAD\nschema: '2.0'\n=======\nschema: '3'\n>>>>>>> other\n",
    "data/mine.dvc": "outs:\n- md5: 0123\n  pa",  # git does not have it
    ".git/index.lock": "",
}


@pytest.mark.parametrize("name", BY_HAND)
def test_what_only_a_person_can_decide_is_said_and_left(project: Path, name: str) -> None:
    written(name, BY_HAND[name])(project)
    (finding,) = doctor.examine()
    assert not finding.mended and str(finding).startswith(f"{name}: ")
    assert (project / name).read_text() == BY_HAND[name]


def test_what_is_left_to_do_is_in_the_exit_status(project: Path) -> None:
    written(".git/index.lock")(project)
    said = run(project, "python", "tools/doctor.py", status=1).stdout
    assert said.endswith("\n0 mended, 1 to do\n")


def test_what_is_whole_or_somebodys_own_is_not_touched(project: Path) -> None:
    own = (
        *(".notes.part", "metrics/.mine.csv.part", "data/.raw.part", "downloads/a.zip.part"),
        *("metrics/.short.tmp", "mlspool/0123/events.jsonl", "mlspool/0123.writing"),
        *("checkpoint/train.pt", ".dvc/tmp/exps/tmpabc/.dvc/tmp/rwlock", CONTROL),
    )
    for name in own:
        written(name, "[]")(project)
    written(".dvc/tmp/rwlock", "{}")(project)
    with FileLock("mlspool/4567.sending"):
        assert list(doctor.examine()) == []
    assert all((project / name).read_text() == "[]" for name in own)


def test_every_output_of_the_pipeline_is_looked_for(project: Path) -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].values()
    outputs = [
        Path(output if isinstance(output, str) else next(iter(output)))
        for stage in stages
        for kind in ("outs", "metrics", "plots")
        for output in stage.get(kind, [])
    ]
    # The names are those of lesion.pipeline.files, killed before it renames.
    run(project, "python", "-c", KILLED, *map(str, outputs))
    left = {path.with_name(f".{path.name}.part") for path in outputs}
    assert all(path.exists() for path in left)
    assert {finding.path for finding in doctor.examine()} == left


KILLED = f"""
import os, sys
from pathlib import Path
sys.path.append({str(ROOT / "stages")!r})
from lesion.pipeline.files import {write_bytes.__name__}

os.replace = lambda *_: os.kill(os.getpid(), 9)
for name in sys.argv[1:]:
    if (process := os.fork()) == 0:
        write_bytes(Path(name), b"half")
    os.waitpid(process, 0)
"""


@pytest.mark.parametrize("command", ["stages/train.py", "tools/dvc"])
def test_nothing_is_done_while_dvc_or_a_stage_is_at_work(project: Path, command: str) -> None:
    (project / command).write_text("input()")
    cut("dvc.lock")(project)
    at_work = subprocess.Popen(
        [sys.executable, command], cwd=project, env=environment(), stdin=subprocess.PIPE
    )
    try:
        line = run(project, "python", "tools/doctor.py", status=1).stderr
    finally:
        at_work.communicate(b"\n")
    assert line.startswith(f"doctor: at work here: process {at_work.pid} (") and command in line
    assert (project / "dvc.lock").read_bytes() == b""


def test_nothing_is_done_while_somebody_holds_dvcs_lock(project: Path) -> None:
    cut("dvc.lock")(project)
    with make_lock(".dvc/tmp/lock"), pytest.raises(InputError, match=r"holds \.dvc/tmp/lock"):
        list(doctor.examine())
    assert (project / "dvc.lock").read_bytes() == b""


def test_before_the_first_command_of_dvc_there_is_nothing_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone(tmp_path / "project"))
    assert list(doctor.examine()) == []
