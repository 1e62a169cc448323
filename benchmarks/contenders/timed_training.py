"""This project's stage train, which it runs, with the clock at its steps: timed_training.py STEPS.

Writes into the file STEPS when the first two steps and the last were over, on the machine's
monotonic clock. It runs with this project's own environment, in a folder with its stages.
"""

import json
import runpy
import sys
import time
from pathlib import Path

sys.path.insert(0, "stages")

import lesion  # noqa: F401  before the libraries to which it says how to compute

# isort: split

from lesion.training.trainer import Trainer

times: list[float] = []
advance = Trainer.advance


def timed(trainer: Trainer) -> object:
    result = advance(trainer)
    times[2:] = []
    times.append(time.monotonic())
    return result


Trainer.advance = timed  # type: ignore[method-assign]
steps = Path(sys.argv[1])
sys.argv = ["stages/train.py"]
runpy.run_path("stages/train.py", run_name="__main__")
steps.write_text(json.dumps(times), encoding="utf-8")
