"""Which is the better use of cores: threads, processes that share a training, or two trainings?

    python benchmarks/scale_out.py ../shared/isic2018/train-512px

Runs the stage train of a preset on two cores in four ways, a round each in turn, and prints
medians. What it writes goes to a temporary folder (in TMPDIR) and is removed.

one thread            python stages/train.py with threads: 1
two threads           the same with threads: 2
two processes         torchrun --nproc-per-node=2 stages/train.py, of a thread each, which share
                      each batch and exchange gradients by gloo
two trainings at once of a thread each, as `dvc queue start -j 2` runs seeds and folds

seconds      wall clock of one training from start to end; of two at once, of both
trainings/h  how many of them the two cores do so in an hour
loss         of the validation split after each epoch, and its largest difference to one thread's
"""

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import pandas as pd
from measure import Measured, machine, measure, said, spread, stages_in, table
from preset_values import preset_values

ALONE, THREADS, SHARED = "one thread", "two threads", "two processes"
BESIDE = "two trainings at once"
TRAIN = [sys.executable, "stages/train.py"]
TOGETHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
WAYS = {  # command, threads and how many at once
    ALONE: (TRAIN, 1, 1),
    THREADS: (TRAIN, 2, 1),
    SHARED: ([*TOGETHER, "stages/train.py"], 1, 1),
    BESIDE: (TRAIN, 1, 2),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with archives, as in sample/")
    parser.add_argument("--preset", default="two-minutes")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    losses: dict[str, pd.Series] = {}
    with tempfile.TemporaryDirectory(prefix="lesion-benchmark-") as temporary:
        folders = {
            way: [prepared(Path(temporary) / f"{way} {i}", given, threads, i) for i in range(count)]
            for way, (_, threads, count) in WAYS.items()
        }
        for _ in range(given.rounds):
            for way, (command, _, _) in WAYS.items():
                runs = at_once(command, folders[way])
                seconds[way].append(max(said(way, run).seconds for run in runs))
        for way, (folder, *_) in folders.items():
            losses[way] = pd.read_csv(folder / "metrics/history.csv")["val_loss"]
    print(f"{machine(['torch'])}; preset {given.preset}\n")
    print(table([row(way, seconds[way], losses[way], losses[ALONE]) for way in WAYS]))


def prepared(folder: Path, given: argparse.Namespace, threads: int, seed: int) -> Path:
    values = preset_values(given.preset) | {"threads": threads, "seed": seed}
    stages_in(folder, **values, data=given.data.resolve())
    for stage in ("download", "preprocess", "encoder"):
        measure([sys.executable, f"stages/{stage}.py"], folder)
    return folder


def at_once(command: list[str], folders: list[Path]) -> list[Measured]:
    with ThreadPoolExecutor(len(folders)) as pool:
        return [*pool.map(lambda folder: measure(command, folder), folders)]


def row(way: str, seconds: list[float], loss: pd.Series, alone: pd.Series) -> dict[str, str]:
    trainings = WAYS[way][2]
    return {
        "": way,
        "seconds": spread(seconds, 1),
        "trainings/h": f"{3600 * trainings / median(seconds):.0f}",
        "loss": ", ".join(f"{value:.4f}" for value in loss),
        "differs by": f"{(loss - alone).abs().max():.1e}",
    }


if __name__ == "__main__":
    main()
