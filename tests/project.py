"""A copy of this project in a temporary folder, and commands run in it as a user would."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"  # real photographs and weights, where there are any

# Parameters with which the whole pipeline takes seconds.
SMALL = {"limit": 16, "image_size": 32, "width": 2, "depth": 2, "epochs": 2, "threads": 1}

# As on a fresh machine: no settings of git, DVC or MLflow from outside the copy, nor of the make
# that may run the tests, nor of how libraries compute.
_FOREIGN = ("DVC_", "MLFLOW_", "GIT_", "MAKE", "MFLAGS")
_FOREIGN += ("NPY_", "OPENBLAS_", "OPENCV_", "ATEN_", "ONEDNN_", "MKL_")
_IDENTITY = {
    "GIT_AUTHOR_NAME": "A User",
    "GIT_AUTHOR_EMAIL": "user@example.org",
    "GIT_COMMITTER_NAME": "A User",
    "GIT_COMMITTER_EMAIL": "user@example.org",
}


def environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    # One thread: tests run beside each other, and two threads wait for the slower core.
    return {**own, **_IDENTITY, "PATH": path, "OMP_NUM_THREADS": "1"}


def run(folder: Path, *command: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a command in `folder`; fails with its output unless it exits with `status`."""
    result = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=600
    )
    output = f"{result.stdout}\n{result.stderr}"
    assert result.returncode == status, f"{' '.join(command)}: {result.returncode}\n{output}"
    return result


def clone(folder: Path) -> Path:
    """A fresh clone of the repository, with what is not committed yet as a commit on top."""
    run(ROOT, "git", "clone", "--quiet", str(ROOT), str(folder))
    run(folder, "git", "checkout", "--quiet", "-B", "main")
    files = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    run(folder, "git", "add", "--all")
    if run(folder, "git", "status", "--porcelain").stdout:
        run(folder, "git", "commit", "--quiet", "--message", "Working tree")
    return folder


def copy(project: Path, folder: Path) -> Path:
    """A copy of a whole project, with its cache."""
    return Path(shutil.copytree(project, folder / "project", symlinks=True))


def copy_of_stages(folder: Path) -> Path:
    """The stages and their settings, without git, DVC or data, which are to lie in data/ itself."""
    shutil.copytree(
        ROOT / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("params.yaml", "datasets.yaml", "exclude.csv", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    set_params(folder, data="data")
    return folder


def set_params(folder: Path, **values: object) -> None:
    """Changes lines of params.yaml; values are written as they are."""
    path = folder / "params.yaml"
    lines = path.read_text().splitlines()
    for name, value in values.items():
        lines = [line for line in lines if not line.startswith(f"{name}:")] + [f"{name}: {value}"]
    path.write_text("\n".join(lines) + "\n")


def without_utf8_flag(archive: bytes) -> bytes:
    """A zip archive that does not say that its names are UTF-8, as a Mac packs."""
    content = bytearray(archive)
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = content.find(signature)
        while start >= 0:
            content[start + place + 1] &= ~0x08
            start = content.find(signature, start + 1)
    return bytes(content)


def wait_for(condition: Callable[[], bool], seconds: float = 600, pause: float = 0.5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(pause)
