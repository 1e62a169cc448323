"""How fast the presets train in each precision, and which operations are slower in bfloat16.

    python benchmarks/precisions.py                          # images a second of training
    python benchmarks/precisions.py --operations laptop      # milliseconds of each convolution

Images are random and lie in memory. The first takes whole steps of Trainer, as the stage train
does: a process for each precision, a round each in turn; medians, with the least and the greatest.
The second takes the convolutions of one step, forward and backward, in float32, in bfloat16, and in
bfloat16 as training computes it: what torch is slow at belongs into stages/lesion/network/mixed.py.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

from measure import machine, spread, table, users_environment
from preset_values import PRESETS, preset_values

FILE = Path(__file__).resolve()
PRECISIONS = ("portable", "float32", "auto")
WARM_UP = 2  # steps before those that count


def main() -> None:
    names = sorted(path.name for path in PRESETS.iterdir())
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--presets", nargs="+", default=names, choices=names)
    parser.add_argument("--operations", choices=names, help="of this preset's step alone")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5, help="in a round")
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="steps before (2)")
    parser.add_argument("--precision", help=argparse.SUPPRESS)  # of this process
    given = parser.parse_args()
    if given.precision:
        print(rate(given))
        return
    print(machine(["torch", "torchvision"]))
    print(f"{instructions()}, threads {given.threads}\n")
    print(table(operations(given) if given.operations else speeds(given)))


def speeds(given: argparse.Namespace) -> list[dict]:
    """A row a preset: images a second in each precision."""
    rows = []
    for name in given.presets:
        rates: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
        for _ in range(given.rounds):
            for precision, measured in rates.items():
                options = ["--precision", precision, "--threads", str(given.threads)]
                options += ["--presets", name, "--steps", str(given.steps)]
                options += ["--warm-up", str(given.warm_up)]
                measured.append(float(of_process(options)))
                print(f"{name} {precision}: {measured[-1]:.2f}", file=sys.stderr)
        gain = median(rates["auto"]) / median(rates["float32"])
        digits = 1 if median(rates["float32"]) > 1 else 2
        row = {precision: spread(measured, digits) for precision, measured in rates.items()}
        rows.append({"images/s": name, **row, "auto : float32": f"{gain:.2f}"})
    return rows


def of_process(options: list[str]) -> str:
    command = [sys.executable, str(FILE), *options]
    return subprocess.run(
        command, env=users_environment(), stdout=subprocess.PIPE, encoding="utf-8", check=True
    ).stdout.splitlines()[-1]


def rate(given: argparse.Namespace) -> float:
    """Images a second of the preset's training in this process, by the median step."""
    steps = given.warm_up + given.steps
    trainer = trainer_of(given.presets[0], given.precision, given.threads, steps)
    for _ in range(given.warm_up):
        trainer.advance()
    seconds = []
    for _ in range(given.steps):
        start = time.perf_counter()
        trainer.advance()
        seconds.append(time.perf_counter() - start)
    return trainer.batch_size / median(seconds)


def trainer_of(preset: str, precision: str, threads: int, steps: int = 1) -> Any:
    import numpy as np
    from random_weights import random_weights

    from lesion.network.device import prepare
    from lesion.parameters.reading import PARAMS_FILE, read_params
    from lesion.training.batches import Split
    from lesion.training.trainer import Trainer

    device = prepare(threads, precision)
    knobs = SimpleNamespace(**read_params(FILE.parents[1] / PARAMS_FILE))
    vars(knobs).update(preset_values(preset), precision=precision)
    # More batches than steps: no epoch ends, and nothing is validated.
    count, side = knobs.batch_size * (steps + 1), knobs.image_size
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    split = Split(images, images[..., 0] % 2, [str(number) for number in range(count)])
    return Trainer(knobs, split, split, device, random_weights(knobs.encoder))


def operations(given: argparse.Namespace) -> list[dict]:
    """A row for each kind of convolution of a step, the slowest in float32 first."""
    import torch
    from torch import nn

    from lesion.network.memory import memory_kept
    from lesion.network.mixed import suit_bfloat16

    seen: dict[tuple, tuple[nn.Module, torch.Tensor, int]] = {}

    def note(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        key = (str(module), tuple(inputs[0].shape))
        count = seen[key][2] + 1 if key in seen else 1
        seen[key] = (module, inputs[0].detach(), count)

    trainer = trainer_of(given.operations, "float32", given.threads)
    for module in trainer.model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(note)
    trainer.advance()
    measured = []
    with memory_kept():
        for (name, shape), (module, images, count) in seen.items():
            module._forward_hooks.clear()
            full, half = (milliseconds(module, images, k) for k in (torch.float32, torch.bfloat16))
            usual = type(module)
            suit_bfloat16(module, trainer.device, "bfloat16")
            changed = type(module) is not usual
            ours = milliseconds(module, images, torch.bfloat16) if changed else half
            measured.append((name, shape, count, full, half, ours))
    return [
        {
            "convolution": name,
            "input": "×".join(map(str, shape)),
            "number": str(count),
            "float32 ms": f"{full:.2f}",
            "bfloat16 ms": f"{half:.2f}",
            "as trained ms": f"{ours:.2f}",
            "as trained : float32": f"{ours / full:.2f}",
        }
        for name, shape, count, full, half, ours in sorted(
            measured, key=lambda row: -row[2] * row[3]
        )
    ]


def milliseconds(module: Any, images: Any, kind: Any, times: int = 5) -> float:
    """Of forward and backward, the median."""
    import torch

    images = images.to(kind).requires_grad_()
    measured = []
    for _ in range(times):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=kind is torch.bfloat16):
            output = module(images)
        output.backward(torch.ones_like(output))
        measured.append(time.perf_counter() - start)
    return 1000 * median(measured)


def instructions() -> str:
    import torch

    from lesion.network.device import bfloat16_unit

    cpu = torch.device("cpu")
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{capability}, bfloat16: {bfloat16_unit(cpu)}"


if __name__ == "__main__":
    main()
