"""How the time and memory of the stage preprocess grow with the number of images.

    python benchmarks/scaling.py

Draws as many synthetic images as the largest size asks for, all different (repeated ones would be
near-duplicates of each other, which the stage looks for: more than any real data set has). The
smaller sizes are the first of them. That takes most of the time: 0.04 s an image of 256 pixels and
core. Then the stage runs on each size in turn, a few rounds; a number is the median.

Time and memory are those of the whole process, `python stages/preprocess.py`, start-up included;
"ms an image more" is the time beyond the next smaller size, so without it. The exponent is the
slope of log time against log images: 1 is proportional, below it the start-up weighs on the small
sizes. The images are small, so the seconds are not those of photographs: for those see
preprocess.py.

Everything but the picture is written to a temporary folder (in TMPDIR) and removed.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import linear_regression, median

from measure import (
    Measured,
    cores,
    environment,
    machine,
    measure_preprocess,
    put_raw,
    said,
    spread,
    stages_in,
    table,
)

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "preprocess-scaling.png"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = {"type": int, "nargs": "+", "metavar": "N", "default": [500, 2000, 8000]}
    parser.add_argument("--images", **sizes, help="sizes of the data set (500 2000 8000)")
    parser.add_argument("--pixels", type=int, default=256, help="longer side of an image (256)")
    parser.add_argument("--image-size", type=int, default=256, help="side of the square (256)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each size (3)")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="PNG to write (docs/images)")
    options = parser.parse_args()
    counts = sorted(set(options.images))
    if len(counts) < 2:
        parser.error("--images: at least two sizes are needed to see how anything grows")
    with tempfile.TemporaryDirectory(prefix="lesion-benchmark-") as temporary:
        runs, near = grow(Path(temporary), counts, options)
    report(runs, near, options)
    draw(runs, options.picture, f"{machine().split(';')[0]}; {options.pixels}-pixel images")


def grow(
    temporary: Path, counts: list[int], options: argparse.Namespace
) -> tuple[dict[int, list[Measured]], dict[int, int]]:
    """The runs of each size, and how many of its images have a near-duplicate."""
    drawn = draw_images(temporary, counts[-1], options.pixels)
    projects = {}
    for count in counts:
        projects[count] = stages_in(temporary / str(count), image_size=options.image_size)
        put_raw(projects[count], drawn, count)
    runs: dict[int, list[Measured]] = {count: [] for count in counts}
    for _ in range(options.rounds):
        for count, project in projects.items():
            runs[count].append(said(f"{count} images", measure_preprocess(project)))
    reports = {
        count: json.loads((project / "metrics/data.json").read_text(encoding="utf-8"))
        for count, project in projects.items()
    }
    return runs, {count: found["near_duplicates"] for count, found in reports.items()}


def draw_images(temporary: Path, count: int, pixels: int) -> list[Path]:
    """At least `count` synthetic pairs, drawn by a process a core, each into a folder."""
    share = math.ceil(count / cores())
    folders = [temporary / f"drawn-{seed}" for seed in range(cores())]
    command = [sys.executable, "-m", "lesion.synthetic", f"--train={share}", "--validation=0"]
    command += ["--test=0", f"--size={pixels}"]
    processes = [
        subprocess.Popen(
            [*command, f"--seed={seed}", str(folder)],
            env=environment() | {"PYTHONPATH": str(ROOT / "stages")},
            stderr=subprocess.DEVNULL if seed else None,  # one bar is enough
        )
        for seed, folder in enumerate(folders)
    ]
    if any([process.wait() for process in processes]):
        sys.exit("lesion.synthetic failed")
    return folders


def report(
    runs: dict[int, list[Measured]], near: dict[int, int], options: argparse.Namespace
) -> None:
    """Prints the table and the exponent."""
    times = {count: median(run.seconds for run in of_size) for count, of_size in runs.items()}
    more = {b: (times[b] - times[a]) / (b - a) for a, b in pairwise(times)}
    print(f"{machine()}\n")
    print(
        f"synthetic images {options.pixels} pixels wide, to {options.image_size}×"
        f"{options.image_size}; median (least–greatest) of {options.rounds} rounds; "
        f"load at the end {os.getloadavg()[0]:.1f}\n"
    )
    rows = [
        {
            "images": str(count),
            "seconds": spread([run.seconds for run in of_size], 2),
            "ms an image": f"{1000 * times[count] / count:.2f}",
            "ms an image more": f"{1000 * more[count]:.2f}" if count in more else "",
            "processor seconds": f"{median(run.cpu_seconds for run in of_size):.2f}",
            "peak MB": spread([run.peak_mb for run in of_size], 0),
            "with a near-duplicate": str(near[count]),
        }
        for count, of_size in runs.items()
    ]
    print(table(rows))
    print(f"\ntime ∝ images^{exponent(times):.2f}")


def exponent(times: dict[int, float]) -> float:
    """The slope of log seconds against log images."""
    return linear_regression([math.log(n) for n in times], [math.log(t) for t in times.values()])[0]


def draw(runs: dict[int, list[Measured]], path: Path, note: str) -> None:
    """Time beside a line in proportion, and memory, against the number of images."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    from lesion.report.figures import BLUE, GREY, ORANGE, STYLE, save_figure

    counts = list(runs)
    times = {count: median(run.seconds for run in of_size) for count, of_size in runs.items()}
    peaks = {count: median(run.peak_mb for run in of_size) for count, of_size in runs.items()}
    with rc_context({**STYLE, "font.size": 12}):
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        time, memory = figure.subplots(1, 2)
        measured = f"measured, ∝ images$^{{{exponent(times):.2f}}}$"
        time.loglog(counts, times.values(), "o-", color=BLUE, label=measured)
        straight = [times[counts[-1]] * count / counts[-1] for count in counts]
        time.loglog(counts, straight, "--", color=GREY, label="in proportion")
        time.set(title="Time", ylabel="Seconds", ylim=(straight[0] / 2, 2.5 * max(times.values())))
        time.legend(loc="lower right")
        time.yaxis.set_major_formatter(ScalarFormatter())
        memory.semilogx(counts, peaks.values(), "o-", color=ORANGE)
        memory.set(title="Peak memory", ylabel="MB", ylim=(0, 1.3 * max(peaks.values())))
        for axes, values, digits in ((time, times, 1), (memory, peaks, 0)):
            axes.set(xlabel="Images", xlim=(counts[0] / 1.4, counts[-1] * 1.4))
            axes.set_xticks(counts, [str(count) for count in counts])
            axes.minorticks_off()
            for count, value in values.items():
                axes.annotate(
                    f"{value:.{digits}f}",
                    (count, value),
                    (0, 8),
                    textcoords="offset points",
                    horizontalalignment="center",
                )
        figure.suptitle(note, fontsize=10, color=GREY)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_figure(figure, path)


if __name__ == "__main__":
    main()
