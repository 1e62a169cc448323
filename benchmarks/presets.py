"""What the presets reach on real images: time of training, and scores on the test split.

    python benchmarks/presets.py ../shared/isic2018/train-512px runs two-minutes laptop sketch

Each preset is trained from each seed by the stages themselves, in a copy of this project in the
folder `runs`, from the archives to the scores. What was finished is not run again: remove the
folder to measure anew. Nothing is chosen on the test split here or by the stages.

minutes    wall clock of `python stages/train.py`, start-up and MLflow included
scores     per image at the original size, mean over the test images; mean and standard deviation
           over the seeds
difference to the last preset named, or with --before to the same preset in that folder, of another
           version of this project, say: of each image's mean over the seeds; mean over the images,
           with the 95 % interval of 10000 bootstrap samples of the images
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pandas as pd
from measure import machine, measure, stages_in, table
from preset_values import preset_values

SCORES = ("dice", "iou", "thresholded_iou")
STAGES = ("download", "preprocess", "baseline", "encoder", "train", "evaluate")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with archives, as in sample/")
    parser.add_argument("runs", type=Path, help="folder for the results")
    parser.add_argument("presets", nargs="+", help="names of files in presets/")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of the presets' own")
    parser.add_argument("--precision", help="instead of the presets' own")
    parser.add_argument("--threads", type=int, help="instead of the presets' own")
    parser.add_argument("--before", type=Path, help="folder of other results, to compare with")
    given = parser.parse_args()
    options = ("epochs", "precision", "threads")
    changes = {name: value for name in options if (value := getattr(given, name)) is not None}

    results = {
        preset: [run(given.data, given.runs, preset, seed, changes) for seed in range(given.seeds)]
        for preset in given.presets
    }
    others = {preset: results[given.presets[-1]] for preset in results}
    if given.before:
        others = {
            preset: [given.before / folder.name for folder in runs]
            for preset, runs in results.items()
        }
    print(f"{machine(['torch', 'torchvision'])}\n\n{given.seeds} seeds\n")
    print(table([row(preset, runs, per_image(others[preset])) for preset, runs in results.items()]))


def run(data: Path, runs: Path, preset: str, seed: int, changes: dict[str, object]) -> Path:
    """The folder with the results of a preset and seed, which are made if they are not there."""
    changed = (f"{name}={value}" for name, value in changes.items())
    folder = runs / "-".join((preset, str(seed), *changed))
    done = folder / "seconds.json"
    if done.exists():
        return folder
    # Of a run that was broken off, a training that goes on would be timed in part.
    shutil.rmtree(folder, ignore_errors=True)
    runs.mkdir(exist_ok=True)
    stages_in(folder, **preset_values(preset) | changes, seed=seed, data=data.resolve())
    seconds = {}
    for stage in STAGES:
        print(f"{preset}, seed {seed}: {stage}", file=sys.stderr)
        seconds[stage] = measure([sys.executable, f"stages/{stage}.py"], folder).seconds
    done.write_text(json.dumps(seconds, indent=2) + "\n", encoding="utf-8")
    return folder


def per_image(runs: list[Path]) -> pd.DataFrame:
    """A row a test image, with the mean of each score over the seeds."""
    tables = [pd.read_csv(folder / "metrics/per_image.csv") for folder in runs]
    rows = pd.concat([table[table["split"] == "test"] for table in tables])
    return rows.groupby("id")[list(SCORES)].mean()


def row(preset: str, runs: list[Path], against: pd.DataFrame) -> dict[str, str]:
    minutes = [load(run / "seconds.json")["train"] / 60 for run in runs]
    tests = [load(run / "metrics/evaluation.json")["test"] for run in runs]
    difference = per_image(runs) - against
    return (
        {"preset": preset, "minutes": over_seeds(minutes, 1)}
        | {score: over_seeds([test[score] for test in tests], 4) for score in SCORES}
        | {f"{score} less": interval(difference[score].to_numpy()) for score in SCORES}
    )


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def over_seeds(numbers: list[float], digits: int) -> str:
    if len(numbers) == 1:
        return f"{numbers[0]:.{digits}f}"
    return f"{mean(numbers):.{digits}f} ± {stdev(numbers):.{digits}f}"


def interval(differences: np.ndarray) -> str:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(differences), (10_000, len(differences)))
    low, high = np.percentile(differences[rows].mean(1), (2.5, 97.5))
    return f"{differences.mean():+.4f} ({low:+.4f} to {high:+.4f})"


if __name__ == "__main__":
    main()
