"""Which changes of the preset `laptop` pay: each is tested on every image, over folds.

    python benchmarks/quality.py ../shared/isic2018/train-512px runs

The recipe is `laptop` made shorter: 96 pixels and 4 epochs, a tenth of its work. Each change is
trained once a fold and seed, from the same first weights and on the same images in the same order
as the recipe without it, and tested on the fold's own images, at the original size with four views
and threshold 0.5. A training has one thread, and as many run side by side as there are cores. What
was finished is not run again: remove the folder `runs` to measure anew.

processor s   of a training, its validation included; mean
scores        per image, mean over all images of all folds
gain          in Dice and in thresholded IoU over the recipe without the change: the mean of the
              folds' gains, with the 95 % interval of that mean by Student's t over folds and seeds,
              so that other images and other trainings are both in it
"""

import argparse
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import torch
from measure import machine, measure, stages_in, table
from preset_values import preset_values
from scipy import stats
from torch import Tensor, nn

from lesion.formats.arrays import load_split
from lesion.network.device import prepare
from lesion.network.inputs import to_model_input
from lesion.network.predict import Predictor, probability_maps
from lesion.photos.archives import ArchiveReader
from lesion.photos.exclusions import LEAVE_OUT
from lesion.pipeline.files import write_csv
from lesion.pipeline.parallel import cores
from lesion.scoring.originals import Originals
from lesion.scoring.scores import Confusion, ImageScores
from lesion.training.augment import Augmentation, Variation
from lesion.training.batches import Split, load_batch
from lesion.training.loss import LOSSES, cross_entropy
from lesion.training.trainer import Trainer

FOLDS = 5
VERDICTS = Path(__file__).with_name("verdicts.csv")  # on the 120 images of lowest Dice
BASE = preset_values("laptop") | {"image_size": 96, "epochs": 4, "average_decay": 0.98}
GAMMA = 0.4  # natural logarithm of the exponent, at most
EQUALISED = 0.2  # share of the images whose contrast is equalised
SCORES = ("dice", "iou", "thresholded_iou")


class Contrast(Augmentation):
    """Another gamma for each image, and for some an equalised contrast (CLAHE of the lightness)."""

    def __call__(
        self, images: Tensor, masks: Tensor, variation: Variation
    ) -> tuple[Tensor, Tensor]:
        images, masks = super().__call__(images, masks, variation)
        # The trainer seeds torch's own generator anew in each step.
        exponents = (torch.rand(len(images), 1, 1, 1) * 2 - 1).mul(GAMMA).exp()
        chosen = torch.rand(len(images)) < EQUALISED
        images = images.clamp(min=1e-3) ** exponents
        for row in chosen.nonzero()[:, 0].tolist():
            images[row] = equalised(images[row])
        return images, masks


def equalised(image: Tensor) -> Tensor:
    """3×S×S in [0, 1], with the contrast of each eighth of the square made alike."""
    pixels = (image.permute(1, 2, 0) * 255).round().byte().contiguous().numpy()
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(lab[..., 0])
    return torch.from_numpy(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)).permute(2, 0, 1) / 255


def augmented_by(kind: type[Augmentation]) -> Callable[..., Trainer]:
    """A trainer with that augmentation."""

    def trainer(params: SimpleNamespace, *given: object) -> Trainer:
        made = Trainer(params, *given)
        made.augmentation = kind(params.orientations, params.geometry, params.colour, params.hairs)
        return made

    return trainer


def without_judged_wrong(params: SimpleNamespace, train: Split, *given: object) -> Trainer:
    """A trainer without the images that verdicts.csv leaves out, judged by eye; so the order of the
    others is another."""
    verdicts = pd.read_csv(VERDICTS).set_index("id")["verdict"]
    left_out = set(verdicts.index[verdicts == LEAVE_OUT])
    return Trainer(
        params,
        train.part([row for row, name in enumerate(train.ids) if name not in left_out]),
        *given,
    )


def cross_entropy_and_iou(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross-entropy and 1 - IoU of the probabilities, in place of Dice."""
    pixels = (1, 2, 3)
    probabilities, masks = logits.float().sigmoid(), masks.float()
    overlap = (probabilities * masks).sum(pixels)
    union = probabilities.sum(pixels) + masks.sum(pixels) - overlap
    return cross_entropy(logits, masks) + (1 - (overlap + 1) / (union + 1)).mean()


LOSSES["bce_iou"] = cross_entropy_and_iou


class Styled(Trainer):
    """The network is told in which style a truth was drawn, and in use that it is the mean style.

    Features at the coarsest level are shifted by a learned vector a measure of style. Both measures
    are 0 in the mean, which is what the averaged weights, those in use, are told.
    """

    def __init__(self, params: SimpleNamespace, train: Split, *given: object) -> None:
        super().__init__(params, train, *given)
        self.styles = torch.tensor(params.styles.loc[train.ids].to_numpy(np.float32))
        encoder = self.model.encoder
        self.shift = nn.Linear(self.styles.shape[1], [*encoder.channels.values()][-1], bias=False)
        nn.init.zeros_(self.shift.weight)
        self.optimizer.add_param_group({"params": self.shift.parameters(), "share": 1.0})
        encoder.register_forward_hook(self._shifted)

    def _batch(self, step: int) -> np.ndarray:
        rows = super()._batch(step)
        self.style = self.styles[rows]
        return rows

    def _shifted(self, encoder: nn.Module, images: object, features: list[Tensor]) -> list[Tensor]:
        *skips, coarsest = features
        return [*skips, coarsest + self.shift(self.style)[..., None, None].to(coarsest.dtype)]


class Averaged:
    """Three trainings from the same first weights, on the images in other orders, and the mean of
    their weights. BatchNorm's statistics are taken anew, of its features."""

    def __init__(self, params: SimpleNamespace, train: Split, *given: object) -> None:
        self.trainers = [Trainer(params, train, *given) for _ in range(3)]
        for number, trainer in enumerate(self.trainers):
            trainer.params = SimpleNamespace(**vars(params) | {"seed": params.seed + 100 * number})
        self.averaged = self.trainers[0].averaged
        self.steps, self.step = 3 * self.trainers[0].steps, 0

    def advance(self) -> None:
        self.trainers[self.step % 3].advance()
        self.step += 1

    @property
    def best(self) -> dict[str, Tensor]:
        first, *others = (trainer.best for trainer in self.trainers)
        mean = {
            name: torch.stack([value, *(other[name] for other in others)]).mean(0)
            if value.is_floating_point()
            else value
            for name, value in first.items()
        }
        self.averaged.load_state_dict(mean)
        self._take_statistics()
        return self.averaged.state_dict()

    @torch.no_grad()
    def _take_statistics(self, batches: int = 40) -> None:
        trainer = self.trainers[0]
        for module in self.averaged.modules():
            if type(module) is nn.BatchNorm2d:  # the expanding path's
                module.reset_running_stats()
                module.momentum = None  # the mean of all batches
        self.averaged.train()
        for step in range(min(batches, trainer.steps_per_epoch)):
            rows = trainer._batch(step)
            images, masks = load_batch(trainer.train, rows, trainer.device)
            variation = trainer.augmentation.draw(len(rows), torch.Generator().manual_seed(step))
            self.averaged(to_model_input(trainer.augmentation(images, masks, variation)[0]))
        self.averaged.eval()


def styles(runs: Path, seed: int) -> pd.DataFrame:
    """Of each image two measures of its truth's style, mean 0 and deviation 1: how much larger it
    is than what networks that were trained without it found, and how many corners it has."""
    scored = pd.concat(
        [pd.read_csv(result(runs, "base", seed, fold)) for fold in range(FOLDS)]
    ).set_index("id")
    larger = np.log((scored["truth_share"] + 1e-3) / (scored["predicted_share"] + 1e-3))
    measures = pd.DataFrame({"larger": larger.clip(-1, 1), "corners": np.log(scored["corners"])})
    return (measures - measures.mean()) / measures.std()


def corners(mask: np.ndarray) -> float:
    """Of an outline, a hundred pixels of it, where it may be a pixel off."""
    outlines, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    length = sum(len(line) for line in outlines)
    return 100 * sum(len(cv2.approxPolyDP(line, 1.0, closed=True)) for line in outlines) / length


@dataclass(frozen=True)
class Change:
    """Other values of parameters, or another way to train, and why it may be better."""

    expected: str
    values: dict[str, object] = field(default_factory=dict)
    trainer: Callable[..., "Trainer | Averaged"] = Trainer


CHANGES = {
    "base": Change(""),
    "gamma and CLAHE": Change("lamps and cameras differ so", trainer=augmented_by(Contrast)),
    "told the truth's style": Change("style is no longer noise", trainer=Styled),
    "each batch's statistics": Change(
        "nearer to these photographs", {"encoder_statistics": "batch"}
    ),
    "without truths judged wrong": Change(
        "41 are wrong, or in the wide style", trainer=without_judged_wrong
    ),
    "three trainings averaged": Change("a flatter, wider minimum", trainer=Averaged),
    "cross-entropy and IoU": Change("nearer to what is scored", {"loss": "bce_iou"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with archives, as in sample/")
    parser.add_argument("runs", type=Path, help="folder for the results")
    parser.add_argument("--changes", nargs="+", choices=CHANGES, metavar="CHANGE", default=CHANGES)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()

    given.runs.mkdir(exist_ok=True)
    names = [*dict.fromkeys(("base", *given.changes))]
    folds = [(seed, fold) for seed in range(given.seeds) for fold in range(FOLDS)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores(), mp_context=context) as pool:
        ready = [pool.submit(prepare_arrays, given.data, given.runs, k) for k in range(FOLDS)]
        for done in ready:
            done.result()
        for together in (["base"], names[1:]):  # of the first's results the others may make use
            missing = [
                (given.runs, name, *of)
                for name in together
                for of in folds
                if not result(given.runs, name, *of).exists()
            ]
            for done in as_completed([pool.submit(train, *training) for training in missing]):
                print(done.result(), file=sys.stderr, flush=True)

    results = {
        name: pd.concat(
            [pd.read_csv(result(given.runs, name, *of)).assign(of=str(of)) for of in folds]
        )
        for name in names
    }
    print(f"{machine(['torch', 'torchvision'])}\n")
    print(f"{FOLDS} folds, {given.seeds} seeds, {results['base']['id'].nunique()} images\n")
    print(table([row(name, scored, results["base"]) for name, scored in results.items()]))


def project(runs: Path, fold: int) -> Path:
    return runs / f"fold {fold}"


def result(runs: Path, name: str, seed: int, fold: int) -> Path:
    return runs / f"{name}, seed {seed}, fold {fold}.csv"


def prepare_arrays(data: Path, runs: Path, fold: int) -> None:
    folder = project(runs, fold)
    if folder.exists():
        return
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    stages_in(unfinished, **BASE, folds=FOLDS, fold=fold, data=data.resolve())
    for stage in ("download", "preprocess", "encoder"):
        measure([sys.executable, f"stages/{stage}.py"], unfinished)
    unfinished.rename(folder)


def train(runs: Path, name: str, seed: int, fold: int) -> str:
    """Trains and writes the scores of the fold's images; a line on them."""
    device = torch.device("cpu")
    prepare(threads=1, precision="auto")
    cv2.setNumThreads(1)
    change, folder = CHANGES[name], project(runs, fold)
    imagenet = torch.load(folder / "pretrained/imagenet.pth", weights_only=True)
    splits = [Split.of(*load_split(folder / "arrays", part)) for part in ("train", "validation")]
    start = time.process_time()
    values = SimpleNamespace(**BASE | change.values | {"seed": seed})
    if change.trainer is Styled:
        values.styles = styles(runs, seed)
    trainer = change.trainer(values, *splits, device, imagenet)
    while trainer.step < trainer.steps:
        trainer.advance()
    seconds = time.process_time() - start

    trainer.averaged.load_state_dict(trainer.best)
    scores = test_scores(Predictor(trainer.averaged, "auto"), folder).assign(seconds=seconds)
    write_csv(result(runs, name, seed, fold), scores)
    return f"{name}, seed {seed}, fold {fold}: {seconds:.0f} s, Dice {scores['dice'].mean():.4f}"


def test_scores(predictor: Predictor, folder: Path) -> pd.DataFrame:
    """A row an image of the fold: id, its scores, and what `styles` is made of."""
    index, images, _ = load_split(folder / "arrays", "test")
    maps = probability_maps(predictor, images, torch.device("cpu"), [True], workers=1)
    rows = []
    with ArchiveReader(folder / "raw") as archives:
        originals = Originals(index, archives)
        for row, (found,) in enumerate(maps):
            prediction, truth = originals.enlarged(row, found) >= 0.5, originals.truth(row)
            style = {
                "truth_share": truth.mean(),
                "predicted_share": prediction.mean(),
                "corners": corners(truth),
            }
            scores = asdict(ImageScores.of(Confusion.between(prediction, truth)))
            rows.append({"id": originals.rows[row].id, **scores, **style})
    return pd.DataFrame(rows)


def row(name: str, scored: pd.DataFrame, base: pd.DataFrame) -> dict[str, str]:
    cells = {
        "change": name,
        "expected": CHANGES[name].expected,
        "processor s": f"{scored['seconds'].mean():.0f}",
        **{score: f"{scored[score].mean():.4f}" for score in SCORES},
    }
    gains = {score: "" if name == "base" else gain(scored, base, score) for score in SCORES}
    return cells | {f"gain, {score}": gains[score] for score in ("dice", "thresholded_iou")}


def gain(scored: pd.DataFrame, base: pd.DataFrame, score: str) -> str:
    """With its 95 % interval over folds and seeds."""
    gains = (scored.groupby("of")[score].mean() - base.groupby("of")[score].mean()).to_numpy()
    half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
    middle = gains.mean()
    return f"{middle:+.4f} ({middle - half:+.4f} to {middle + half:+.4f})"


if __name__ == "__main__":
    main()
