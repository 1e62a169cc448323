"""Running commands under the clock, and putting data sets of any size before the stages.

Time is that of the whole process, start-up included; memory the most that was resident (the kernel
counts it). A child's memory is never below what its parent held when it started it, so the
benchmarks import nothing large themselves. Linux only.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from platform import python_version
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from lesion.photos.archives import find_archives
from lesion.photos.members import ArchiveMembers, listings, pack
from lesion.photos.names import join_members
from lesion.pipeline.parallel import cores
from project import copy_of_stages, environment, run, set_params

IMAGE_PACKAGES = ("pillow", "simplejpeg", "opencv-python-headless", "numpy")
FIRST_ID = 9_000_000  # far above the ids of real ISIC images


Pair = tuple[Callable[[], bytes], Callable[[], bytes]]  # what gives an image, and its mask


@dataclass(frozen=True)
class Measured:
    """One run of a command: wall clock and processor time, and peak resident memory."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def said(what: str, run: Measured) -> Measured:
    """`run`, after a line on it to whoever waits."""
    load = os.getloadavg()[0]
    print(f"{what}: {run.seconds:.2f} s, {run.peak_mb:.0f} MB (load {load:.1f})", file=sys.stderr)
    return run


def users_environment() -> dict[str, str]:
    """As in the tests, but with the threads that a user has: those allow one."""
    return {name: value for name, value in environment().items() if not name.startswith("OMP_")}


def measure(command: list[str], folder: Path) -> Measured:
    """Runs a command in `folder`, with what it prints in output.txt there, and ends if it fails."""
    output = folder / "output.txt"
    environ = users_environment()
    os.sync()  # what was written before is no part of it
    with output.open("w", encoding="utf-8") as file:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=file, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = output.read_text(encoding="utf-8")
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}\n{said}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def stages_in(folder: Path, **values: object) -> Path:
    """A copy of the stages and of params.yaml with these values, which later edits do not touch."""
    folder.mkdir()
    copy_of_stages(folder)
    set_params(folder, source="data", limit=0, max_rejected=0.0, **values)
    return folder


def training_pairs(folder: Path) -> list[Pair]:
    """What reads the image and what reads the mask of each pair, in a folder laid out as data/."""
    found = find_archives(folder)["train"]
    (images,), (masks,) = map(ArchiveMembers, found.images), map(ArchiveMembers, found.masks)
    pairs = join_members(listings([images]), listings([masks]))
    return [
        (partial(images.read, image.name), partial(masks.read, mask.name))
        for image, mask in pairs.values()
    ]


def put_raw(project: Path, folders: list[Path], count: int) -> None:
    """Leaves `count` pairs in the project's raw/, by way of data/ and the stage download.

    The pairs of `folders` follow each other under new ids; after the last comes the first again.
    """
    pairs = [pair for folder in folders for pair in training_pairs(folder)]
    put_pairs(project, islice(cycle(pairs), count), "data")


def put_pairs(project: Path, pairs: Iterable[Pair], data: str) -> None:
    """Leaves pairs in the project's raw/, by way of the folder `data` and the stage download.

    A pair is what gives the bytes of its image and of its mask, one in memory at a time. Nothing
    lies on the disk twice: raw/ has links to `data`.
    """
    for name in (data, "raw", "arrays"):
        shutil.rmtree(project / name, ignore_errors=True)
    (project / data).mkdir()
    pairs = list(pairs)
    for stem, kind, suffix in (
        ("ISIC2018_Task1-2_Training_Input", 0, ".jpg"),
        ("ISIC2018_Task1_Training_GroundTruth", 1, "_segmentation.png"),
    ):
        members = (
            (f"{stem}/ISIC_{FIRST_ID + i}{suffix}", pair[kind]()) for i, pair in enumerate(pairs)
        )
        archive = project / data / f"{stem}.zip"
        pack(archive, members)
        archive.chmod(0o444)  # is linked then, not copied
    run(project, sys.executable, "stages/download.py")


def measure_preprocess(project: Path) -> Measured:
    """One run of the stage preprocess, as on a machine where it did not run before."""
    shutil.rmtree(project / "arrays", ignore_errors=True)
    return measure([sys.executable, "stages/preprocess.py"], project)


def spread(values: list[float], digits: int) -> str:
    """The median, with the least and the greatest where those differ as they are written."""
    low, middle, high = (f"{of(values):.{digits}f}" for of in (min, median, max))
    return middle if low == high else f"{middle} ({low}–{high})"


def table(rows: list[dict[str, str]]) -> str:
    """Rows in Markdown, the first column to the left and the others to the right."""
    lines = [list(rows[0]), ["---", *["---:"] * (len(rows[0]) - 1)]]
    lines += [list(row.values()) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(packages: Iterable[str] = IMAGE_PACKAGES) -> str:
    """Processor, cores and versions of Python and of `packages`, in one line."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{cores()} cores of {names[0] if names else 'an unnamed processor'}; "
        f"Python {python_version()}, {versions}"
    )
