"""This project beside what else one would take, on the same images, split and machine.

    python benchmarks/peers.py ../shared/isic2018/train-512px runs            # 60 minutes
    python benchmarks/peers.py FOLDER runs --minutes 45 --seeds 3             # some 13 hours

Each contender is a script in contenders/, written as its own documentation says and run in the
environment .peers, which is made where there is none (6 GB). All get the files of one split, and
all masks are scored at the original size by this project's scorer. Contenders follow each other,
seed by seed, each alone with all cores. What was finished is not run again: remove the folder
`runs` to measure anew.

This project is the preset with that many epochs, by its stages download, preprocess, encoder and
train: a training whose rate falls to its end is not half as good in the middle, so each length is
a run of its own. Peers train until their time is up, and their weights are scored at marks (30 s,
60 s, …).

seconds      of wall clock from the start of the first process, imports included
to Dice      for peers in a straight line between the marks around it, for this project the whole
             time of the shortest run that reached it
after        of this project the Dice of the longest run that was over by then, of a peer the last
             mark's, if that took 0.75 of the time at least
images/s     of training, loader included, without the first two steps
peak         most memory of the main process, workers apart
lines        that a user writes: lines of code of the contender's script
2 of 3       of the seeds have a figure, and it is the median and range of those
"""

import argparse
import ast
import json
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

import numpy as np
import pandas as pd
from measure import measure, stages_in
from peers_page import MINUTES, draw, into_page, tables
from PIL import Image
from preset_values import preset_values

from lesion.photos.archives import ArchiveReader
from lesion.scoring.scores import Confusion

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PAGE, PICTURE = Path("benchmarks.md"), Path("images/peers.png")  # in docs/
PEERS_FOLDER, REQUIREMENTS = ROOT / ".peers", HERE / "contenders" / "requirements.txt"
PYTHON = PEERS_FOLDER / "bin" / "python"
STAGES = ("download", "preprocess", "encoder", "train")  # all that a network needs

# Name in the table, preset, and what is changed of it.
OURS = {
    "two-minutes, half an epoch": ("two-minutes", {"epochs": 1, "train_fraction": 0.5}),
    "two-minutes, 1 epoch": ("two-minutes", {"epochs": 1}),
    "two-minutes": ("two-minutes", {}),
    "two-minutes, 6 epochs": ("two-minutes", {"epochs": 6}),
    "laptop": ("laptop", {}),
}
TOO_LONG = ("laptop",)  # for an hour
PEERS = {
    "segmentation-models-pytorch": ("smp_unet.py",),
    "the same, as an expert": ("smp_unet.py", "--expert"),
    "MONAI BasicUNet": ("monai_unet.py",),
    "torchvision LR-ASPP": ("torchvision_lraspp.py",),
}
SHARES = {"the usual notebook": ("notebook.py", "--steps", "5"), "nnU-Net": ("nnunet.py",)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*OURS, *PEERS, *SHARES]
    parser.add_argument("data", type=Path, help="folder with archives, as in sample/")
    parser.add_argument("runs", type=Path, help="folder for the results")
    parser.add_argument("--minutes", type=float, default=6, help="of training, for each peer (6)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="with the page to fill in")
    given = parser.parse_args()
    make_environment()
    whole = given.minutes >= MINUTES[-1]
    chosen = given.only or [name for name in names if whole or name not in TOO_LONG]

    given.runs.mkdir(exist_ok=True)
    split = laid_out(given.data, given.runs)
    for seed in range(given.seeds):
        for name in chosen:
            folder = given.runs / f"{name}, seed {seed}"
            if folder.exists():
                continue
            unfinished = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(unfinished, ignore_errors=True)
            print(f"{name}, seed {seed}", file=sys.stderr, flush=True)
            if name in OURS:
                ours(given.data, unfinished, seed, *OURS[name])
            else:
                peer(split, unfinished, seed, given.minutes, *(PEERS | SHARES)[name])
            unfinished.rename(folder)
    results = {
        name: [
            json.loads((folder / "result.json").read_text(encoding="utf-8"))
            for folder in sorted(given.runs.glob(f"{name}, seed ?"))
        ]
        for name in names
    }
    results = {name: runs for name, runs in results.items() if runs}
    written = tables(results, OURS)
    print(written)
    into_page(written, given.docs / PAGE)
    draw(results, OURS, given.docs / PICTURE)


def make_environment() -> None:
    """An environment of the contenders' own, made whole or not at all."""
    if PEERS_FOLDER.exists():
        return
    print(f"installing {REQUIREMENTS.name} into {PEERS_FOLDER.name}", file=sys.stderr)
    try:
        venv.create(PEERS_FOLDER, with_pip=True)
        subprocess.run([PYTHON, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)
    except BaseException:
        shutil.rmtree(PEERS_FOLDER, ignore_errors=True)
        raise


def laid_out(data: Path, runs: Path) -> Path:
    """The files of each split, as contenders get them; the truth is in masks/ of test/."""
    split = runs / "split"
    if split.exists():
        return split
    project, unfinished = runs / "base", runs / "split.part"
    for folder in (project, unfinished):
        shutil.rmtree(folder, ignore_errors=True)
    stages_in(project, **preset_values("two-minutes"), data=data.resolve())
    for stage in ("download", "preprocess"):
        measure([sys.executable, f"stages/{stage}.py"], project)
    with ArchiveReader(project / "raw") as archives:
        for row in pd.read_csv(project / "arrays/index.csv").itertuples():
            for kind, archive, member in (
                ("images", row.image_archive, row.image),
                ("masks", row.mask_archive, row.mask),
            ):
                folder = unfinished / row.split / kind
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"{row.id}{Path(member).suffix}"
                path.write_bytes(archives.read(archive, member))
    unfinished.rename(split)
    return split


def ours(data: Path, folder: Path, seed: int, preset: str, changes: dict[str, float]) -> None:
    """A run of this project's stages, with what it took and scores."""
    values = preset_values(preset) | changes | {"seed": seed}
    stages_in(folder, **values, data=data.resolve())
    started, took = time.monotonic(), {}
    for stage in (*STAGES, "baseline", "evaluate"):
        script = f"stages/{stage}.py"
        if stage == "train":
            script = str(HERE / "contenders" / "timed_training.py")
        took[stage] = measure(
            [sys.executable, script, *["steps.json"] * (stage == "train")], folder
        )
    first, second, last = json.loads((folder / "steps.json").read_text(encoding="utf-8"))
    seconds = sum(took[stage].seconds for stage in STAGES)
    index = pd.read_csv(folder / "arrays/index.csv")
    epochs = values["epochs"] * values.get("train_fraction", 1)
    images = round(epochs * (index["split"] == "train").sum())
    masks = folder.parent / "split" / "test" / "masks"
    result = {
        "seconds": seconds,
        "stages": {stage: run.seconds for stage, run in took.items()},
        "first_step": first - started,
        "epochs": epochs,
        "images_per_second": (images - 2 * values["batch_size"]) / (last - second),
        "peak_mb": max(took[stage].peak_mb for stage in STAGES),
        "marks": {f"{seconds:.1f}": score(folder / "predictions" / "test", masks)},
        "lines": 1,
        "notes": [],
    }
    write(folder, result)


def peer(split: Path, folder: Path, seed: int, minutes: float, script: str, *options: str) -> None:
    """A run of a contender, with what it took and scores."""
    folder.mkdir()
    command = [str(PYTHON.absolute()), str(HERE / "contenders" / script), str(split.resolve())]
    command += [str(folder.resolve()), f"--minutes={minutes}", f"--seed={seed}"]
    command += [f"--started={time.monotonic()}", *options]
    measure(command, folder)
    race = json.loads((folder / "race.json").read_text(encoding="utf-8"))
    marks = [path for path in folder.iterdir() if path.name.isdigit()]
    result = race | {
        "epochs": race["images"] / race["train_images"],
        "marks": {path.name: score(path, split / "test" / "masks") for path in marks},
        "lines": lines_of(HERE / "contenders" / script),
    }
    write(folder, result)


def write(folder: Path, result: dict) -> None:
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def score(predictions: Path, truths: Path) -> dict[str, float]:
    """Means over all images with a truth, each of which has to be predicted."""
    found = []
    for path in sorted(truths.iterdir()):
        with Image.open(predictions / f"{path.stem}_segmentation.png") as image:
            predicted = np.asarray(image) > 127
        with Image.open(path) as image:
            truth = np.asarray(image.convert("L")) > 127
        counts = Confusion.between(predicted, truth)
        found.append((counts.dice, counts.iou, counts.thresholded_iou))
    means = np.mean(found, axis=0)
    return dict(zip(("dice", "iou", "thresholded_iou"), means.tolist(), strict=True))


def lines_of(script: Path) -> int:
    """Lines with code on them, without text in quotes that stands by itself."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            lines |= {node.lineno}
        elif isinstance(node, ast.expr):
            lines |= set(range(node.lineno, node.end_lineno + 1))
    doc = tree.body[0]
    return len(lines - set(range(doc.lineno, doc.end_lineno + 1)))


if __name__ == "__main__":
    main()
