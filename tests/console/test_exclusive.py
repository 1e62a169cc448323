import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lesion.console.exclusive import alone
from lesion.pipeline.errors import InputError
from project import ROOT

HOLDER = """
import subprocess, sys
from pathlib import Path
from lesion.console.exclusive import alone

with alone(Path(sys.argv[1])):
    child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text("pass\n")
    return path


@pytest.fixture
def holder(script: Path):
    """A process that holds the stage, and has started another one."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, script],
        cwd=ROOT / "stages",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(process.stdout.readline())
    yield process
    process.kill()
    process.communicate()
    os.kill(child, signal.SIGKILL)


def test_a_second_process_is_told_of_the_first(script, holder):
    with pytest.raises(InputError) as error, alone(script):
        pass
    said = str(error.value)
    assert said.startswith(f"runs in this folder already: process {holder.pid} (")
    assert f"kill {holder.pid}" in said and "train.py" in said


def test_the_end_of_the_first_frees_the_stage_however_it_ends(script, holder):
    holder.kill()
    holder.wait()  # its child lives on
    with alone(script):
        pass


def test_other_stages_and_other_workspaces_are_free(script, holder, tmp_path):
    for path in (tmp_path / "plot.py", tmp_path / "copy/train.py"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("pass\n")
        with alone(path):
            pass


def test_of_a_training_by_torchrun_the_first_process_holds_it_for_all(script, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")
    monkeypatch.setenv("RANK", "0")
    with alone(script):
        for rank in "12":
            monkeypatch.setenv("RANK", rank)
            with alone(script):
                pass
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(InputError), alone(script):
            pass


@pytest.mark.parametrize("variables", [{"RANK": "1"}, {}])
def test_without_torchrun_a_rank_means_nothing(script, monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with alone(script), pytest.raises(InputError), alone(script):
        pass


def test_nothing_is_made_or_changed_for_it(script, tmp_path):
    before = script.stat()
    with alone(script):
        assert list(tmp_path.iterdir()) == [script]
    after = script.stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_where_there_is_nothing_to_lock_nobody_is_kept_out(tmp_path):
    with alone(tmp_path / "train.py"):
        pass


def test_an_error_within_frees_the_stage(script):
    with pytest.raises(ZeroDivisionError), alone(script):
        raise ZeroDivisionError
    with alone(script):
        pass
