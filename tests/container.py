"""A Dockerfile's steps in a fresh Debian root, for want of an engine of containers.

In place of the image `python:3.11-slim-bookworm`: Debian bookworm with its Python 3.11, and pip in
/usr/local. Packages come from a folder of wheels, and nothing else of this machine is in it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from project import wait_for

IMAGE = "python:3.11-slim-bookworm"
DEBIAN = ("bookworm", "python3,python3-venv,ca-certificates")
# In namespaces of its own, so that what is mounted and started goes with it.
ENTER = """
mount -t proc proc "$1/proc" && mount -t tmpfs -o mode=1777 shm "$1/dev/shm" &&
mount --bind "$2" "$1/mnt" && root=$1 user=$3 && shift 3 &&
exec chroot --userspec="$user" "$root" "$@"
"""


def steps(text: str, target: str) -> list[tuple[str, str]]:
    """Instruction and operands, one by one, of all that a target of a Dockerfile is made of."""
    stages: dict[str, list[tuple[str, str]]] = {IMAGE: []}
    current: list[tuple[str, str]] = []
    for line in text.replace("\\\n", "").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        instruction, operands = line.split(maxsplit=1)
        if instruction == "FROM":
            parent, _, name = operands.partition(" AS ")
            current = stages[name] = [*stages[parent]]
        else:
            current.append((instruction, operands))
    return stages[target]


def targets(text: str) -> list[str]:
    return [line.partition(" AS ")[2] for line in text.splitlines() if line.startswith("FROM")]


def fresh_root(folder: Path) -> Path:
    """A root with nothing in it but Debian and its Python."""
    suite, packages = DEBIAN
    command = ["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["chroot", folder, "python3", "-m", "venv", "/usr/local"], check=True)
    return folder


def context(project: Path, folder: Path) -> Path:
    """What of a project .dockerignore lets into the building of an image."""
    lines = (project / ".dockerignore").read_text().split("\n")
    assert "*" in lines
    for name in (line[1:] for line in lines if line.startswith("!")):
        source, place = project / name, folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, place)
    return folder


@dataclass
class Container:
    """What a target of a Dockerfile comes to, in `root`; `wheels` are the packages there are."""

    root: Path
    wheels: Path
    user: str = "root"
    place: str = "/"
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/bin"}
    )
    arguments: dict[str, str] = field(default_factory=dict)

    def build(self, text: str, target: str, files: Path) -> Container:
        """Does what is written there, of `files`."""
        for instruction, operands in steps(text, target):
            match instruction:
                case "ENV":
                    self.environ |= dict(part.split("=", 1) for part in shlex.split(operands))
                case "ARG":
                    self.arguments |= dict([operands.split("=", 1)])
                case "WORKDIR":
                    self.place = operands
                    self._inside(operands).mkdir(parents=True, exist_ok=True)
                case "COPY":
                    self._copy(*(files / source for source in operands.split()[:-1]), operands)
                case "RUN":
                    self._run(operands)
                case "USER":
                    self.user = operands
                case "HEALTHCHECK":
                    self.health = json.loads(operands.partition(" CMD ")[2])
                case "CMD":
                    self.command = json.loads(operands)
                case "EXPOSE":
                    pass
                case _:
                    raise ValueError(f"{instruction}: the tests do not know how")
        return self

    def _inside(self, path: str) -> Path:
        return self.root / os.path.join(self.place, path).lstrip("/")

    def _copy(self, *given: Path | str) -> None:
        *sources, operands = given
        target = str(operands).split()[-1]
        for source in map(Path, sources):
            place = self._inside(target)
            if source.is_dir():
                shutil.copytree(source, place, dirs_exist_ok=True)
            else:
                place = place / source.name if target.endswith(("/", ".")) else place
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)

    def _run(self, line: str) -> None:
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/mnt"}
        done = subprocess.run(
            self.enter("sh", "-c", line),
            env=self.environ | self.arguments | pip,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"

    def enter(self, *command: str) -> list[str]:
        """The command in there, as the user who is it now."""
        spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        inside = ["env", f"--chdir={self.place}", *command]
        given = [str(self.root), str(self.wheels), self.user]
        return [*spaces, "sh", "-c", ENTER, "sh", *given, *inside]

    @contextmanager
    def running(self) -> Iterator[psutil.Process]:
        """CMD's process, once HEALTHCHECK says that it is well; in the end it is told to stop."""
        process = subprocess.Popen(self.enter(*self.command), env=self.environ)
        try:
            wait_for(lambda: self.healthy() or process.poll() is not None, pause=1)
            assert process.poll() is None, "it has ended"
            (first,) = psutil.Process(process.pid).children()
            yield first
            first.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()

    def healthy(self) -> bool:
        asked = self.enter(*self.health)
        return subprocess.run(asked, env=self.environ, capture_output=True).returncode == 0
