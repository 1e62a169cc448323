"""What trainings cost each other that run at the same time, by threads and how those wait.

    python benchmarks/side_by_side.py

Trainings with the parameters of params.yaml, on random images, each a process of its own: one
alone, then four at once, all ways in turn, a few rounds. A number is the median over trainings and
rounds of the median step of a training, with the least and the greatest.

one     `threads: 1`
sleep   all cores, and a thread that waits for another sleeps (OMP_WAIT_POLICY=PASSIVE, which the
        stages set)
busy    all cores, and it keeps its core busy for a while, as OpenMP does unasked
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

if "busy" in sys.argv:
    import torch  # noqa: F401 (before lesion, which says how torch's threads wait)

from measure import machine, spread, table, users_environment

WAYS = ("one", "sleep", "busy")
FILE = Path(__file__)
IMAGES = 1000
WARM_UP = 2  # steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="of a training in a round")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)  # of a child
    given = parser.parse_args()
    if given.way:
        print(train(given.way, given.seconds))
        return

    steps: dict[tuple[str, int], list[float]] = {}
    for _ in range(given.rounds):
        for way in WAYS:
            for count in given.at_once:
                found = at_once(count, way, given.seconds)
                steps.setdefault((way, count), []).extend(found)
                print(f"{way}, {count} at once: {median(found):.3f} s", file=sys.stderr)
    print(f"{machine(['torch'])}\n\n{given.rounds} rounds\n")
    heads = {count: f"s a step, {count} at once" for count in given.at_once}
    rows = [
        {"threads": way} | {head: spread(steps[way, count], 2) for count, head in heads.items()}
        for way in WAYS
    ]
    print(table(rows))


def at_once(count: int, way: str, seconds: float) -> list[float]:
    """The median step of each of so many trainings."""
    command = [sys.executable, str(FILE), "--way", way, "--seconds", str(seconds)]
    running = [
        subprocess.Popen(command, env=users_environment(), stdout=subprocess.PIPE, encoding="utf-8")
        for _ in range(count)
    ]
    return [float(process.communicate()[0]) for process in running]


def train(way: str, seconds: float) -> float:
    """The median step, in seconds, of a training that goes on for so long."""
    import numpy as np

    from lesion.network.device import prepare
    from lesion.parameters.reading import PARAMS_FILE, load_params, read_params
    from lesion.parameters.train import TrainParams
    from lesion.training.batches import Split
    from lesion.training.trainer import Trainer

    path = FILE.parents[1] / PARAMS_FILE
    knobs, side = load_params(TrainParams, path), read_params(path)["image_size"]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    split = Split(images, images[..., 0] % 2, [str(number) for number in range(IMAGES)])
    device = prepare(1 if way == "one" else 0, "float32")
    trainer = Trainer(knobs, split, split, device)
    for _ in range(WARM_UP):
        trainer.advance()
    steps = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not steps:
        start = time.perf_counter()
        trainer.advance()
        steps.append(time.perf_counter() - start)
    return median(steps)


if __name__ == "__main__":
    main()
