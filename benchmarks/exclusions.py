"""Does it gain to leave suspects out of training, beside as many images drawn at random?

    python tools/suspects.py --images 120 --csv suspects.csv
    python benchmarks/exclusions.py ../shared/isic2018/train-512px suspects.csv runs

The preset `two-minutes` in `precision: portable` is trained from several seeds on all training
images, without the first suspects of the list, and without as many others, which each seed draws
anew. Suspects that are validation or test images stay there, as they do in the pipeline. A training
has one thread, and as many run side by side as there are cores. What was finished is not run again:
remove the folder `runs` to measure anew.

scores      of the test images at the original size, mean and deviation over the seeds
difference  to all images, with its 95 % interval over images and seeds (tools/compare.py)
"""

import argparse
import multiprocessing
import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pandas as pd
from measure import machine, measure, stages_in, table
from preset_values import preset_values

from lesion.experiments.compare import compare
from lesion.photos.exclusions import LEAVE_OUT
from lesion.pipeline.parallel import cores

PRESET = preset_values("two-minutes") | {"precision": "portable", "threads": 1}
ALL, SUSPECTS, RANDOM = "all images", "without suspects", "without random images"
SCORES = ("dice", "iou", "thresholded_iou")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with archives, as in sample/")
    parser.add_argument("suspects", type=Path, help="table with ids, the likeliest suspect first")
    parser.add_argument("runs", type=Path, help="folder for the results")
    parser.add_argument("--first", type=int, default=120, help="suspects to leave out")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()

    given.runs.mkdir(exist_ok=True)
    prepared(given.data, given.runs)
    training = images_of(given.runs / "base", "train")
    suspects = pd.read_csv(given.suspects)["id"].head(given.first)
    suspects = suspects[suspects.isin(training)]
    others = training[~training.isin(suspects)]
    left_out = {
        (seed, arm): ids
        for seed in range(given.seeds)
        for arm, ids in (
            (ALL, suspects.head(0)),
            (SUSPECTS, suspects),
            (RANDOM, others.sample(len(suspects), random_state=np.random.default_rng(seed))),
        )
    }
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores(), mp_context=context) as pool:
        runs = [pool.submit(run, given.runs, *key, ids) for key, ids in left_out.items()]
        for done in as_completed(runs):
            print(done.result(), file=sys.stderr, flush=True)

    tables = {
        arm: [per_image(given.runs, seed, arm) for seed in range(given.seeds)]
        for arm in (ALL, SUSPECTS, RANDOM)
    }
    print(f"{machine(['torch', 'torchvision'])}\n\n{given.seeds} seeds, ", end="")
    print(f"{len(suspects)} of the first {given.first} suspects are training images\n")
    print(table([row(arm, tables[arm], tables[ALL]) for arm in tables]))


def prepared(data: Path, runs: Path) -> None:
    """The stages before training, and what no image left out of it changes."""
    if (runs / "base").exists():
        return
    unfinished = runs / "base.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    stages_in(unfinished, **PRESET, data=data.resolve())
    for stage in ("download", "preprocess", "baseline", "encoder"):
        print(stage, file=sys.stderr)
        measure([sys.executable, f"stages/{stage}.py"], unfinished)
    unfinished.rename(runs / "base")


def images_of(project: Path, split: str) -> pd.Series:
    index = pd.read_csv(project / "arrays/index.csv")
    return index.loc[index["split"] == split, "id"]


def run(runs: Path, seed: int, arm: str, left_out: pd.Series) -> str:
    """Trains without these images and scores the test split; a line on it."""
    folder, base = runs / f"{arm}, seed {seed}", runs / "base"
    if not folder.exists():
        unfinished = folder.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        stages_in(unfinished, **PRESET, seed=seed)
        for name in ("raw", "pretrained"):
            shutil.copytree(base / name, unfinished / name, copy_function=os.link)
        (unfinished / "metrics").mkdir()
        shutil.copy(base / "metrics/baselines.csv", unfinished / "metrics")
        verdicts = pd.DataFrame({"id": left_out, "verdict": LEAVE_OUT, "reason": arm})
        verdicts.to_csv(unfinished / "exclude.csv", index=False)
        for stage in ("preprocess", "train", "evaluate"):
            measure([sys.executable, f"stages/{stage}.py"], unfinished)
        unfinished.rename(folder)
    trained, dice = images_of(folder, "train"), per_image(runs, seed, arm)["dice"].mean()
    return f"{folder.name}: {len(trained)} training images, Dice {dice:.4f}"


def per_image(runs: Path, seed: int, arm: str) -> pd.DataFrame:
    scored = pd.read_csv(runs / f"{arm}, seed {seed}/metrics/per_image.csv", dtype={"group": str})
    return scored[scored["split"] == "test"].fillna({"group": ""})


def row(arm: str, runs: list[pd.DataFrame], of_all: list[pd.DataFrame]) -> dict[str, str]:
    cells = {"trained on": arm}
    for score in SCORES:
        means = [run[score].mean() for run in runs]
        spread = f" ± {stdev(means):.4f}" if len(means) > 1 else ""
        cells[score] = f"{mean(means):.4f}{spread}"
    if arm == ALL:
        return cells | {"Dice, difference": ""}
    found = compare(of_all, runs).scores.set_index("score").loc["dice"]
    ends = f"{found['seeds_low']:+.4f} to {found['seeds_high']:+.4f}"
    return cells | {"Dice, difference": f"{found['difference']:+.4f} ({ends})"}


if __name__ == "__main__":
    main()
