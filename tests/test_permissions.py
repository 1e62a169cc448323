"""A user who may not write, or has no home, no name and no folder for temporary files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from full_disk import namespace
from project import copy_of_stages, environment, set_params

pytestmark = pytest.mark.long

STAGES = (
    *("download", "collect", "preprocess", "baseline", "encoder", "train", "evaluate", "external"),
    *("plot", "record"),
)
# A user of this number, without rights beyond those of the files; nobody has given it a name.
NAMELESS = ("unshare", "--user", "--map-user=54321")
BARE = {"HOME": "", "TMPDIR": "/proc", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}


def is_allowed() -> bool:
    return bool(shutil.which("unshare")) and not subprocess.run([*NAMELESS, "true"]).returncode


needs_namespace = pytest.mark.skipif(not is_allowed(), reason="no namespaces of users here")
needs_mount = pytest.mark.skipif(namespace() is None, reason="this user may not mount")


@pytest.fixture
def project(sample: Path, tmp_path: Path) -> Path:
    folder = copy_of_stages(tmp_path / "project")
    shutil.copytree(sample, folder / "data")
    set_params(folder, image_size=32, width=2, depth=2, epochs=1, threads=1)
    return folder


def stage(project: Path, name: str, *before: str, **variables: str) -> subprocess.CompletedProcess:
    environ = {key: value for key, value in (environment() | variables).items() if value}
    return subprocess.run(
        [*before, sys.executable, f"stages/{name}.py"],
        cwd=project,
        env=environ,
        capture_output=True,
        text=True,
        timeout=600,
    )


def read_only(project: Path) -> tuple[str, ...]:
    script = f'mount --bind "{project}" "{project}" && mount -o remount,ro,bind "{project}" && '
    return (*namespace(), "sh", "-c", f'{script} cd "{project}" && exec "$@"', "sh")


def assert_one_line(done: subprocess.CompletedProcess, name: str, words: str) -> None:
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"{name}: ") and words in done.stderr


@needs_namespace
def test_libraries_are_imported_without_a_word_where_there_is_no_home(tmp_path):
    code = "import lesion, matplotlib, mlflow, os; print(os.listdir())"
    environ = environment() | {"PYTHONPATH": str(Path(__file__).parents[1] / "stages")} | BARE
    done = subprocess.run(
        [*NAMELESS, sys.executable, "-c", code],
        cwd=tmp_path,
        env={key: value for key, value in environ.items() if value},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


@needs_namespace
def test_a_folder_of_somebody_else_is_named_in_one_line(project):
    project.chmod(0o555)
    assert_one_line(stage(project, "download", *NAMELESS), "download", "raw: Permission denied")
    project.chmod(0o755)
    for path in (project / "data").iterdir():
        path.chmod(0)
    assert_one_line(stage(project, "download", *NAMELESS), "download", "zip: Permission denied")


@needs_mount
def test_a_disk_that_is_read_only_is_named_in_one_line(project):
    done = stage(project, "download", *read_only(project))
    assert_one_line(done, "download", "raw: Read-only file system")


@pytest.mark.slow
@needs_namespace
@needs_mount
def test_every_stage_works_without_home_and_name_and_is_one_line_where_it_may_not_write(project):
    for name in STAGES:
        done = stage(project, name, *NAMELESS, **BARE)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        assert "warning" not in done.stdout
    for name in STAGES:
        assert_one_line(stage(project, name, *read_only(project)), name, "Read-only file system")
    for folder, _, _ in os.walk(project):
        Path(folder).chmod(0o555)
    for name in STAGES:
        assert_one_line(stage(project, name, *NAMELESS), name, "Permission denied")
    for folder, _, _ in os.walk(project):
        Path(folder).chmod(0o755)
