"""How time and memory grow: with the number of images, their size, the network's width, and runs.

    python benchmarks/growth.py images                              # 100, 1000 and 10,000
    python benchmarks/growth.py images --images 100 1000 10000 100000
    python benchmarks/growth.py sizes
    python benchmarks/growth.py store

images  Draws as many simple pairs, all different (repeated ones would be near-duplicates of each
        other, more than any real data set has), 64 pixels along the longer side. Then each stage
        of a clone of this project runs on them, as a process of its own: one epoch of a small
        network from scratch. What was made is committed to DVC, and `dvc repro` runs with nothing
        to do.
sizes   Training steps and predictions of random images in memory, for squares of 64 to 512 pixels
        and several widths, each in a process of its own.
store   MLflow's store, a new SQLite file, with no run in it and with 1000: the stage record of a
        small result, and a search. The runs between are copies of the first one.

Time and memory are those of whole processes, start-up included, but for `sizes`. Everything but
the picture is written to a temporary folder (in TMPDIR) and removed.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import SimpleNamespace

from measure import Measured, machine, measure, said, spread, table

from project import clone, run, set_params

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "growth.png"
STAGES = ("download", "collect", "preprocess", "baseline", "encoder", "train", "evaluate")
STAGES += ("external", "plot", "record")
SHOWN = ("preprocess", "baseline", "train", "evaluate", "plot")  # the others copy, or do nothing
SMALL = {"encoder": "none", "width": 8, "depth": 4, "epochs": 1, "batch_size": 32}
SMALL |= {"precision": "auto", "threads": 0}
NOTHING = "`dvc repro`, nothing to do"
NETWORKS = [("mobilenet_v2", 8), ("mobilenet_v2", 16), ("none", 16), ("none", 64)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    images = parts.add_parser("images", help="by the number of images")
    counts = {"type": int, "nargs": "+", "metavar": "N", "default": [100, 1000, 10_000]}
    images.add_argument("--images", **counts, help="sizes of the data set (100 1000 10000)")
    images.add_argument("--pixels", type=int, default=64, help="longer side of an image (64)")
    images.add_argument("--picture", type=Path, default=PICTURE, help="PNG to write (docs/images)")
    sizes = parts.add_parser("sizes", help="by size and width")
    sizes.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512])
    sizes.add_argument("--rounds", type=int, default=3)
    sizes.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # in a process of its own
    store = parts.add_parser("store", help="by the number of runs in MLflow's store")
    store.add_argument("--runs", type=int, default=1000)
    given = parser.parse_args()
    if given.part == "sizes" and given.one:
        encoder, width, side = given.one
        print(json.dumps(step_of(encoder, int(width), int(side), given.rounds)))
        return
    with tempfile.TemporaryDirectory(prefix="lesion-benchmark-") as temporary:
        PARTS[given.part](Path(temporary), given)


def by_images(temporary: Path, given: argparse.Namespace) -> None:
    counts = sorted(set(given.images))
    runs, sizes = {}, {}
    for count in counts:
        project = clone(temporary / f"{count}")
        runs[count] = all_stages(project, count, given.pixels)
        sizes[count] = {
            "arrays/": megabytes(project / "arrays"),
            "plots/report.html": megabytes(project / "plots/report.html"),
            "cache of DVC": megabytes(project / ".dvc/cache"),
        }
    print(f"{machine(['torch', 'dvc', 'numpy'])}\n")
    print(f"drawings {given.pixels} pixels wide, to {given.pixels}×{given.pixels}\n")
    rows = []
    for name in (*SHOWN, NOTHING):
        seconds = {count: runs[count][name].seconds for count in counts}
        more = {
            end: 1000 * (seconds[end] - seconds[start]) / (end - start)
            for start, end in pairwise(counts)
        }
        rows.append(
            {
                "": name,
                **{f"{count:,}, s": f"{seconds[count]:.1f}" for count in counts},
                "ms an image more": ", ".join(f"{value:.2f}" for value in more.values()),
                "peak MB": ", ".join(f"{runs[count][name].peak_mb:.0f}" for count in counts),
            }
        )
    print(table(rows))
    print()
    files = [
        {"MB": name, **{f"{count:,}": f"{sizes[count][name]:.1f}" for count in counts}}
        for name in sizes[counts[0]]
    ]
    print(table(files))
    draw(runs, given.picture)


def all_stages(project: Path, count: int, pixels: int) -> dict[str, Measured]:
    """Each stage, and DVC where nothing is to be done."""
    set_params(project, **SMALL, data="drawings", image_size=pixels)
    # In a process of its own, so that its memory is not counted as that of those below.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(draw_into, project, count, pixels).result()
    found = {
        stage: said(f"{count}, {stage}", measure([sys.executable, f"stages/{stage}.py"], project))
        for stage in STAGES
    }
    run(project, "dvc", "repro", "data.dvc")  # the sample, which is not used
    run(project, "dvc", "commit", "--force")
    nothing = said(f"{count}, {NOTHING}", measure(["dvc", "repro"], project))
    if "Running stage" in (project / "output.txt").read_text(encoding="utf-8"):
        sys.exit(f"{project}: `dvc repro` ran a stage; expected nothing to do")
    return found | {NOTHING: nothing}


def draw_into(project: Path, count: int, pixels: int) -> None:
    from drawings import put_drawings

    put_drawings(project, count, pixels)


def megabytes(path: Path) -> float:
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file()) / 1e6


def draw(runs: dict[int, dict[str, Measured]], path: Path) -> None:
    """Time and memory of each stage against the number of images."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from lesion.report.figures import STYLE, save_figure

    counts = list(runs)
    with rc_context({**STYLE, "font.size": 12}):
        figure = Figure(figsize=(9, 4), layout="constrained")
        time_axes, memory = figure.subplots(1, 2)
        for name in (*SHOWN, NOTHING):
            measured = [runs[count][name] for count in counts]
            label = name.replace("`", "")
            time_axes.loglog(counts, [one.seconds for one in measured], "o-", label=label)
            memory.semilogx(counts, [one.peak_mb for one in measured], "o-", label=label)
        time_axes.set(title="Time", ylabel="Seconds", ylim=(1, None))
        ticks = [1, 3, 10, 30, 100, 300, 1000]
        time_axes.set_yticks(ticks, [f"{seconds}" for seconds in ticks])
        time_axes.legend(loc="upper left", fontsize=9)
        memory.set(title="Peak memory", ylabel="MB", ylim=(0, None))
        for axes in (time_axes, memory):
            axes.set_xlabel("Images")
            axes.set_xticks(counts, [f"{count:,}" for count in counts])
            axes.minorticks_off()
        path.parent.mkdir(parents=True, exist_ok=True)
        save_figure(figure, path)


def by_size(temporary: Path, given: argparse.Namespace) -> None:
    del temporary
    rows = []
    for encoder, width in NETWORKS:
        for side in given.sizes:
            command = [sys.executable, __file__, "sizes", f"--rounds={given.rounds}"]
            command += ["--one", encoder, str(width), str(side)]
            output = subprocess.run(command, check=True, capture_output=True).stdout
            found = json.loads(output)
            print(f"{encoder}, {width}, {side}: {found}", file=sys.stderr)
            rows.append(
                {
                    "encoder, width": f"{encoder}, {width}",
                    "pixels": str(side),
                    "training, ms an image": spread(found["training"], 1),
                    "prediction, ms": spread(found["prediction"], 1),
                    "ns a pixel, training": f"{1e6 * median(found['training']) / side**2:.0f}",
                    "peak MB": f"{found['peak_mb']:.0f}",
                }
            )
    print(f"{machine(['torch'])}; batches of 8\n")
    print(table(rows))


def step_of(encoder: str, width: int, side: int, rounds: int) -> dict:
    """Milliseconds an image of a training step and of a prediction, and the most memory."""
    import resource

    from lesion.network.device import prepare
    from training import our_trainer, predictor, timed

    device = prepare(threads=0, precision="auto")
    given = SimpleNamespace(
        encoder=encoder, width=width, image_size=side, batch_size=8, precision="auto"
    )
    trainer = our_trainer(given, device)
    found: dict[str, object] = {}
    for name, step in (("training", trainer.advance), ("prediction", predictor(trainer, given))):
        step()
        once = timed(step, 1, device)
        steps = max(1, round(1 / once))  # a second or more
        found[name] = [1000 * timed(step, steps, device) / 8 for _ in range(rounds)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return found | {"peak_mb": peak}


def by_runs(temporary: Path, given: argparse.Namespace) -> None:
    project = clone(temporary / "project")
    all_stages(project, 100, 64)
    (project / "mlflow.db").unlink()
    record = [sys.executable, "stages/record.py"]
    first = said("record, no run", measure(record, project))

    filled = fill(project, given.runs)
    set_params(project, threshold=0.3)  # another result
    for stage in ("evaluate", "plot"):
        measure([sys.executable, f"stages/{stage}.py"], project)
    last = said(f"record, {given.runs} runs", measure(record, project))
    print(f"{machine(['mlflow'])}\n")
    rows = [
        {"runs": "0", "`record`, s": f"{first.seconds:.1f}", "peak MB": f"{first.peak_mb:.0f}"},
        {
            "runs": f"{given.runs}",
            "`record`, s": f"{last.seconds:.1f}",
            "peak MB": f"{last.peak_mb:.0f}",
        },
    ]
    print(table(rows))
    print(f"\nMB of mlflow.db: {filled['mb']:.1f}; a run written, ms: {filled['written']:.0f}")
    print(f"100 newest, s: {filled['newest']:.2f}; by a tag, s: {filled['by_tag']:.2f}")


def fill(project: Path, runs: int) -> dict[str, float]:
    """Copies of the store's one run, and what it then takes to search in them."""
    import mlflow
    from mlflow.entities import Metric, Param, RunTag

    address = project / "mlflow.db"
    client = mlflow.MlflowClient(f"sqlite:///{address}")
    (experiment,) = (one for one in client.search_experiments() if one.name != "Default")
    (original,) = client.search_runs([experiment.experiment_id])
    content = original.data
    history = {
        name: client.get_metric_history(original.info.run_id, name) for name in content.metrics
    }
    start = time.perf_counter()
    for number in range(runs):
        copied = client.create_run(experiment.experiment_id, run_name=f"copy {number}")
        client.log_batch(
            copied.info.run_id,
            metrics=[
                Metric(one.key, one.value, one.timestamp, one.step)
                for steps in history.values()
                for one in steps
            ],
            params=[Param(*item) for item in content.params.items()],
            tags=[
                RunTag(name, f"{value} {number}" if name.endswith("hash") else value)
                for name, value in content.tags.items()
            ],
        )
        client.set_terminated(copied.info.run_id)
    written = time.perf_counter() - start

    def seconds(**search: object) -> float:
        begun = time.perf_counter()
        client.search_runs([experiment.experiment_id], **search)
        return time.perf_counter() - begun

    tag = f"tags.result_hash = '{content.tags['result_hash']} {runs // 2}'"
    return {
        "mb": os.stat(address).st_size / 1e6,
        "written": 1000 * written / runs,
        "newest": seconds(max_results=100),
        "by_tag": seconds(filter_string=tag),
    }


PARTS = {"images": by_images, "sizes": by_size, "store": by_runs}

if __name__ == "__main__":
    main()
