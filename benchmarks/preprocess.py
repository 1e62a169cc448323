"""How fast the stage preprocess is, beside the loop that one would write, and the bare decoders.

    python benchmarks/preprocess.py ../shared/isic2018/train-native

All are whole processes, so that each number has the start of Python and its imports in it, and each
is run once a round, in turn. Numbers are medians over the rounds, with the least and the greatest;
"processor ms" an image are those of all cores together, "× (a)" and "× (b)" compare images a second
round by round. The files are in the page cache, having just been written, if the memory holds them.

stage     python stages/preprocess.py, from zip archives in raw/ to arrays/, with every check,
          hash, measurement and report that it makes
loop      (a) one process, no archives and no checks: cv2.imread in full size, BGR to RGB,
          cv2.resize to the side; the mask likewise, as grey; lists, np.stack, np.save; OpenCV has
          as many threads as it likes
decoders  (b) files in memory, decoded by a thread a core as the stage does (JPEG at the smallest
          scale that is large enough, PNG in full) and dropped; reading the distinct files into
          memory, some 0.1 s, is in it
JPEG      (b) of the images alone
start-up  python stages/preprocess.py --help, which imports everything and does nothing

The pairs of the folder are repeated under new ids until there are as many as asked for: bytes and
pixels are real, but near-duplicates, which the stage looks for, are far more than in real data.
The loop and the decoders go over the distinct files as often. Everything is written to a temporary
folder (in TMPDIR) and removed.
"""

import argparse
import io
import json
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from measure import (
    Measured,
    cores,
    machine,
    measure,
    measure_preprocess,
    put_raw,
    said,
    spread,
    stages_in,
    table,
    training_pairs,
)

# What only the rivals need is imported in them: a process starts with its parent's memory.


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="archives of a training split, as in sample/")
    parser.add_argument("--images", type=int, default=500, help="pairs to compare on (500)")
    parser.add_argument("--many", type=int, default=5000, help="pairs for the stage alone (5000)")
    parser.add_argument("--image-size", type=int, default=256, help="side of the square (256)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (3)")
    parser.add_argument("--rival", choices=RIVALS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rival:  # in a process that `compare` started
        RIVALS[options.rival](options.folder, options.images, options.image_size)
        return
    with tempfile.TemporaryDirectory(prefix="lesion-benchmark-") as temporary:
        compare(Path(temporary), options)


def compare(temporary: Path, options: argparse.Namespace) -> None:
    """Runs everything and prints the tables."""
    count, many, side = options.images, options.many, options.image_size
    few = stages_in(temporary / "few", image_size=side, resize="stretch")
    lots = stages_in(temporary / "many", image_size=side, resize="stretch")
    files = temporary / "files"
    distinct, size = extract(options.folder, files)
    require_space(temporary, (count + many) * (size + 8 * side**2))
    put_raw(few, [options.folder], count)
    put_raw(lots, [options.folder], many)

    startup_command = [sys.executable, "stages/preprocess.py", "--help"]
    command = [sys.executable, __file__, str(files), f"--images={count}", f"--image-size={side}"]
    startup, stage, stage_many = [], [], []
    rivals: dict[str, list[Measured]] = {name: [] for name in RIVALS}
    for _ in range(options.rounds):
        startup.append(said("start-up", measure(startup_command, few)))
        stage.append(said("stage", measure_preprocess(few)))
        for name, runs in rivals.items():
            runs.append(said(name, measure([*command, f"--rival={name}"], temporary)))
        stage_many.append(said(f"stage, {many} images", measure_preprocess(lots)))
    typical = json.loads((few / "metrics/data.json").read_text(encoding="utf-8"))["train"]

    print(f"{machine()}\n")
    print(
        f"{distinct} distinct pairs of {size / 1e6:.2f} MB, in the median "
        f"{typical['median_width']:.0f}×{typical['median_height']:.0f}, to {side}×{side}; median "
        f"(least–greatest) of {options.rounds} rounds; load at the end {os.getloadavg()[0]:.1f}\n"
    )
    rows = [
        (f"stage, {many} images", stage_many, many),
        (f"stage, {count} images", stage, count),
        (f"(a) loop, {count} images", rivals["loop"], count),
        (f"(b) decoders, {count} images", rivals["decoders"], count),
        (f"(b) JPEG alone, {count} images", rivals["jpeg"], count),
    ]
    rates = {name: [n / run.seconds for run in runs] for name, runs, n in rows}
    loop, decoders = rates[rows[2][0]], rates[rows[3][0]]
    print(
        table(
            [
                {
                    "": name,
                    "images/s": spread(rates[name], 1),
                    "ms an image": f"{1000 / median(rates[name]):.1f}",
                    "processor ms": f"{median(1000 * run.cpu_seconds / n for run in runs):.1f}",
                    "× (a)": spread(ratios(rates[name], loop), 2),
                    "× (b)": spread(ratios(rates[name], decoders), 2),
                    "peak MB": spread([run.peak_mb for run in runs], 0),
                }
                for name, runs, n in rows
            ]
        )
    )
    seconds = spread([run.seconds for run in startup], 2)
    peak = spread([run.peak_mb for run in startup], 0)
    print(f"\nThe stage's start-up, which is in its numbers above: {seconds} s, {peak} MB")


def ratios(rates: list[float], others: list[float]) -> list[float]:
    """Round by round, as both had the same neighbours then."""
    return [rate / other for rate, other in zip(rates, others, strict=True)]


def extract(folder: Path, files: Path) -> tuple[int, float]:
    """Writes the pairs as <number>.jpg and .png; returns their number and the mean bytes of one."""
    files.mkdir()
    pairs = training_pairs(folder)
    size = 0
    for number, (image, mask) in enumerate(pairs):
        size += (files / f"{number:05}.jpg").write_bytes(image())
        size += (files / f"{number:05}.png").write_bytes(mask())
    return len(pairs), size / len(pairs)


def require_space(folder: Path, needed: float) -> None:
    """Ends unless the disk has that many bytes, and a tenth more."""
    free = shutil.disk_usage(folder).free
    if free < 1.1 * needed:
        sys.exit(
            f"{folder}: {free / 1e9:.1f} GB are free, about {1.1 * needed / 1e9:.1f} GB needed; "
            "set TMPDIR to a folder on a larger disk, or ask for fewer with --many"
        )
    print(f"{needed / 1e9:.1f} GB of {free / 1e9:.1f} GB free in {folder}", file=sys.stderr)


def loop(files: Path, count: int, side: int) -> None:
    """(a) What one writes first."""
    import cv2
    import numpy as np

    images, masks = [], []
    for path in islice(cycle(sorted(files.glob("*.jpg"))), count):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        images.append(cv2.resize(image, (side, side)))
        mask = cv2.imread(str(path.with_suffix(".png")), cv2.IMREAD_GRAYSCALE)
        masks.append(cv2.resize(mask, (side, side)))
    np.save(files.parent / "images.npy", np.stack(images))
    np.save(files.parent / "masks.npy", np.stack(masks))


def decoders(files: Path, count: int, side: int) -> None:
    """(b) No faster than this with these decoders."""
    from PIL import Image

    def decode(content: tuple[bytes, bytes]) -> None:
        decode_jpeg(content[0], side)
        Image.open(io.BytesIO(content[1])).load()

    paths = sorted(files.glob("*.jpg"))
    contents = [(path.read_bytes(), path.with_suffix(".png").read_bytes()) for path in paths]
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(decode, islice(cycle(contents), count)))


def jpeg(files: Path, count: int, side: int) -> None:
    """(b) of the images alone."""
    contents = [path.read_bytes() for path in sorted(files.glob("*.jpg"))]
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(lambda content: decode_jpeg(content, side), islice(cycle(contents), count)))


def decode_jpeg(content: bytes, side: int) -> None:
    import simplejpeg

    simplejpeg.decode_jpeg(content, min_height=side, min_width=side)


RIVALS = {"loop": loop, "decoders": decoders, "jpeg": jpeg}

if __name__ == "__main__":
    main()
