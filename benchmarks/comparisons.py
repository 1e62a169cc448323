"""Which changes pay in the preset `two-minutes`: each is trained from the same seeds.

    python benchmarks/comparisons.py ../shared/isic2018/train-512px runs

A training has one thread, and as many run side by side as there are cores. What was finished is not
run again: remove the folder `runs` to measure anew. The test split decides nothing and is not read.

processor s   of the training, its validation included
scores        per validation image at the original size, threshold 0.5, mean over the images and
              the seeds; `4 views` are means over four mirror images
gain          in Dice with four views over the base of the same seed, which has the same images in
              the same order; seed by seed
"""

import argparse
import json
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from types import SimpleNamespace

import torch
from measure import machine, measure, stages_in, table
from preset_values import preset_values
from torch import Tensor, nn
from torch.nn import functional as F

from lesion.formats.arrays import load_split
from lesion.network.device import prepare
from lesion.network.predict import Predictor, probability_maps
from lesion.photos.archives import ArchiveReader
from lesion.pipeline.files import write_json
from lesion.pipeline.parallel import cores
from lesion.scoring.originals import Originals
from lesion.scoring.scores import Confusion, ImageScores
from lesion.training.batches import Split
from lesion.training.loss import LOSSES, cross_entropy_and_dice
from lesion.training.trainer import Trainer

# The preset as it was: two things have become a part of it since.
BASE = preset_values("two-minutes") | {"lr": 1e-3, "encoder_statistics": "batch"}
SIZES = (64, 96, 128)  # pixels, an epoch each, of Progressive
SCORES = ("dice", "iou", "thresholded_iou")
VIEWS = {"one": "", "four": ", 4 views"}  # predicted together, in this order


class Progressive(Trainer):
    """Smaller images first, larger ones last: an epoch each."""

    def __init__(self, *given: object, by_size: dict[int, Split], **named: object) -> None:
        super().__init__(*given, **named)
        self.by_size = by_size

    def _step(self, step: int) -> Tensor:
        self.train = self.by_size[SIZES[self.epoch * len(SIZES) // self.params.epochs]]
        return super()._step(step)


class Frozen(Trainer):
    """The encoder keeps ImageNet's weights for the first 15 % of the steps."""

    def _step(self, step: int) -> Tensor:
        self.model.encoder.requires_grad_(self.step >= 0.15 * self.steps)
        return super()._step(step)


class RecentStatistics(Trainer):
    """BatchNorm's running mean and variance forget three times as fast."""

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **named)
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.3


class DeepSupervision(Trainer):
    """Each coarser level of the expanding path has to find the mask too, at a weight of 0.4."""

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **named)
        self.features: list[Tensor] = []
        blocks = list(self.model.merge)[:-1]
        self.heads = nn.ModuleList(nn.Conv2d(block[0].out_channels, 1, 1) for block in blocks)
        for block in blocks:
            block.register_forward_hook(lambda *call: self.features.append(call[-1]))
        self.optimizer.add_param_group({"params": self.heads.parameters(), "share": 1.0})
        LOSSES["deep"] = self._loss
        self.params.loss = "deep"

    def _loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        loss = cross_entropy_and_dice(logits, masks)
        for head, features in zip(self.heads, self.features, strict=False):  # none in validation
            coarse = F.interpolate(head(features), masks.shape[-2:], mode="bilinear")
            loss = loss + 0.4 * cross_entropy_and_dice(coarse, masks)
        self.features.clear()
        return loss


class HardImages(Trainer):
    """An image counts in its batch as much as its loss is high."""

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **named)
        LOSSES["hard"] = self._loss
        self.params.loss = "hard"

    @staticmethod
    def _loss(logits: Tensor, masks: Tensor) -> Tensor:
        pairs = zip(logits.split(1), masks.split(1), strict=True)
        losses = torch.stack([cross_entropy_and_dice(*pair) for pair in pairs])
        weights = losses.detach()
        return (losses * weights).sum() / weights.sum()


@dataclass(frozen=True)
class Change:
    """Other values of parameters, or another way to train, and why it may be better."""

    expected: str
    values: dict[str, object]
    trainer: Callable[..., Trainer] = Trainer


CHANGES = {
    "base": Change("", {}),
    "lr 3e-3": Change("more in few steps", {"lr": 3e-3}),
    "lr 3e-3, the encoder too": Change(
        "the encoder adapts faster", {"lr": 3e-3, "encoder_lr": 1.0}
    ),
    "64, 96, 128 pixels": Change("coarse first costs less", {"image_size": 128}, Progressive),
    "encoder frozen for 15 %": Change("cheaper steps, features kept", {}, Frozen),
    "batch 32, lr 2e-3": Change("fewer, fuller steps", {"batch_size": 32, "lr": 2e-3}),
    "batch 8, lr 7e-4": Change("more steps", {"batch_size": 8, "lr": 7e-4}),
    "BatchNorm momentum 0.3": Change("statistics of the present weights", {}, RecentStatistics),
    "deep supervision": Change("gradients reach coarse levels sooner", {}, DeepSupervision),
    "images weighted by their loss": Change("hard images are what is left", {}, HardImages),
    "mirror images alone": Change("less to learn in few steps", {"geometry": 0.0, "colour": 0.0}),
    # Multiples of 32: others are padded to the next one, and cost as much.
    "64 pixels, 6 epochs": Change("more looks, less detail", {"image_size": 64, "epochs": 6}),
    "128 pixels, 2 epochs": Change("fewer looks, more detail", {"image_size": 128, "epochs": 2}),
    "cross-entropy alone": Change("Dice loss needs a start", {"loss": "bce"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with archives, as in sample/")
    parser.add_argument("runs", type=Path, help="folder for the results")
    parser.add_argument("--changes", nargs="+", choices=CHANGES, metavar="CHANGE", default=CHANGES)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()

    given.runs.mkdir(exist_ok=True)
    names = dict.fromkeys(("base", *given.changes))
    for side in sorted({*SIZES, *(knobs(name, seed=0).image_size for name in names)}):
        prepare_arrays(given.data, project(given.runs, side), side)
    missing = [
        (given.runs, name, seed)
        for seed in range(given.seeds)
        for name in names
        if not result(given.runs, name, seed).exists()
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores(), mp_context=context) as pool:
        for done in as_completed([pool.submit(train, *training) for training in missing]):
            print(done.result(), file=sys.stderr, flush=True)

    print(f"{machine(['torch', 'torchvision'])}\n\n{given.seeds} seeds\n")
    results = {
        name: [measured(given.runs, name, seed) for seed in range(given.seeds)] for name in names
    }
    print(table([row(name, runs, results["base"]) for name, runs in results.items()]))


def project(runs: Path, side: int) -> Path:
    return runs / f"{side}-pixels"


def result(runs: Path, name: str, seed: int) -> Path:
    return runs / f"{name}, seed {seed}.json"


def measured(runs: Path, name: str, seed: int) -> dict:
    return json.loads(result(runs, name, seed).read_text(encoding="utf-8"))


def prepare_arrays(data: Path, folder: Path, side: int) -> None:
    if folder.exists():
        return
    values = BASE | {"image_size": side}
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    stages_in(unfinished, **values, data=data.resolve())
    for stage in ("download", "preprocess", "encoder"):
        print(f"{folder.name}: {stage}", file=sys.stderr)
        measure([sys.executable, f"stages/{stage}.py"], unfinished)
    unfinished.rename(folder)


def train(runs: Path, name: str, seed: int) -> str:
    """Trains and writes what was measured; a line on it."""
    device = torch.device("cpu")
    prepare(threads=1, precision="auto")
    own = knobs(name, seed)
    folder = project(runs, own.image_size)
    imagenet = torch.load(folder / "pretrained/imagenet.pth", weights_only=True)
    splits = [split(folder, part) for part in ("train", "validation")]
    kind = CHANGES[name].trainer
    extra = {"by_size": {side: split(project(runs, side), "train") for side in SIZES}}
    start = time.process_time()
    trainer = kind(own, *splits, device, imagenet, **extra if kind is Progressive else {})
    while trainer.step < trainer.steps:
        trainer.advance()
    seconds = time.process_time() - start

    trainer.averaged.load_state_dict(trainer.best)
    scores = validation_scores(Predictor(trainer.averaged), folder)
    write_json(result(runs, name, seed), {"seconds": seconds, **scores})
    return f"{name}, seed {seed}: {seconds:.0f} s, Dice {scores['four']['dice']:.4f}"


def knobs(name: str, seed: int) -> SimpleNamespace:
    return SimpleNamespace(**BASE | CHANGES[name].values | {"seed": seed})


def split(folder: Path, name: str) -> Split:
    return Split.of(*load_split(folder / "arrays", name))


def validation_scores(predictor: Predictor, folder: Path) -> dict[str, dict[str, float]]:
    """Mean scores by one view and by four."""
    index, images, _ = load_split(folder / "arrays", "validation")
    cpu, tta = torch.device("cpu"), [False, True]
    rows: dict[str, list[dict[str, float]]] = {views: [] for views in VIEWS}
    with ArchiveReader(folder / "raw") as archives:
        originals = Originals(index, archives)
        for row, maps in enumerate(probability_maps(predictor, images, cpu, tta, workers=1)):
            truth = originals.truth(row)
            for views, found in zip(VIEWS, maps, strict=True):
                prediction = originals.enlarged(row, found) >= 0.5
                rows[views].append(asdict(ImageScores.of(Confusion.between(prediction, truth))))
    return {
        views: {score: mean(row[score] for row in of_views) for score in SCORES}
        for views, of_views in rows.items()
    }


def row(name: str, runs: list[dict], base: list[dict]) -> dict[str, str]:
    pairs = zip(runs, base, strict=True)
    gains = [run["four"]["dice"] - other["four"]["dice"] for run, other in pairs]
    scores = {
        f"{score}{words}": f"{mean(run[views][score] for run in runs):.4f}"
        for views, words in VIEWS.items()
        for score in SCORES
    }
    return {
        "change": name,
        "expected": CHANGES[name].expected,
        "processor s": f"{mean(run['seconds'] for run in runs):.0f}",
        **scores,
        "gain": "" if name == "base" else ", ".join(f"{gain:+.4f}" for gain in gains),
    }


if __name__ == "__main__":
    main()
