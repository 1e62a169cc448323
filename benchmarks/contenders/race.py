"""What all contenders share: which files they get, and the clock that keeps their weights.

FOLDER/train, FOLDER/validation and FOLDER/test have `images/ID.jpg` and `masks/ID.png`, in their
original size, mask values 0 and 255. Time runs from the start of the process. After the first step
beyond each mark the weights are kept; after training each of them predicts the test images, into
masks of the original size in the challenge's format, OUT/SECONDS/ID_segmentation.png.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

MARKS = (30, 60, 120, 180, 300, 450, 600, 900, 1350, 1800, 2700)  # seconds
WARM_UP = 2  # steps that the rate leaves out

PACKAGES = ("segmentation_models_pytorch", "monai", "nnunetv2")


def versions() -> dict[str, str]:
    """Of the contenders' packages, as far as they are installed."""
    installed = {found.metadata["Name"]: found.version for found in distributions()}
    return {package: installed[package] for package in PACKAGES if package in installed}


class Race:
    """One contender's run: its command line, its files and its clock."""

    def __init__(self) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("folder", type=Path, help="with train/, validation/ and test/")
        parser.add_argument("out", type=Path, help="an empty folder")
        parser.add_argument("--minutes", type=float, default=45)
        parser.add_argument("--steps", type=int, help="to end after so many, and predict nothing")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--started", type=float, default=time.monotonic())
        parser.add_argument("--expert", action="store_true")
        self.given = parser.parse_args()
        self.expert: bool = self.given.expert
        self.workers = len(os.sched_getaffinity(0))
        self.notes: list[str] = []
        self.measured: dict[str, object] = {}
        self._steps = self._images = 0
        self._warm: tuple[float, int] | None = None
        self._end = 60 * self.given.minutes
        self._marks = [*(mark for mark in MARKS if mark < self._end), self._end]
        if self.given.steps:
            self._marks = []  # only its speed is asked for
        self._kept: dict[int, Path] = {}
        torch.manual_seed(self.given.seed)
        np.random.seed(self.given.seed)

    def pairs(self, split: str) -> list[tuple[Path, Path]]:
        """Image and mask of each pair, by id."""
        images = sorted((self.given.folder / split / "images").iterdir())
        masks = self.given.folder / split / "masks"
        return [(image, masks / f"{image.stem}.png") for image in images]

    def goes_on(self, model: nn.Module, images: int) -> bool:
        """To be called after each step of so many images; False once the time is up."""
        now = self.seconds()
        self._steps += 1
        self._images += images
        if self._steps == 1:
            self.measured["first_step"] = now
        if self._steps == WARM_UP:
            self._warm = (now, self._images)
        if self._marks and now >= self._marks[0]:
            second = round(now)
            self._kept[second] = self.given.out / f"weights-{second}.pt"
            torch.save(model.state_dict(), self._kept[second])
            self._marks = [mark for mark in self._marks if mark > now]
        return now < self._end and self._steps != self.given.steps

    def seconds(self) -> float:
        """Since the start of the process."""
        return time.monotonic() - self.given.started

    def end(
        self,
        model: nn.Module,
        prepare: Callable[[Path], torch.Tensor],
        probabilities: Callable[[torch.Tensor], torch.Tensor],
        batch: int = 16,
    ) -> None:
        """Predicts the test images from the weights of each mark, and writes what was measured.

        `prepare` makes an image file a tensor, C×H×W; `probabilities` makes of a batch of them
        that of lesion, N×1×H×W. Images of different shapes need a `batch` of 1.
        """
        now = self.seconds()
        if self._warm and self._steps > WARM_UP:
            then, images = self._warm
            self.measured["images_per_second"] = (self._images - images) / (now - then)
        self.measured |= {"seconds": now, "steps": self._steps, "images": self._images}
        for second, weights in self._kept.items():
            model.load_state_dict(torch.load(weights))
            weights.unlink()
            model.eval()
            start = time.monotonic()
            count = self._predict(second, batch, prepare, probabilities)
            self.measured["predicted_per_second"] = count / (time.monotonic() - start)
        self.write()

    def write(self) -> None:
        """Leaves what was measured in OUT/race.json."""
        self.measured |= {"versions": versions(), "notes": self.notes}
        self.measured["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        self.measured["train_images"] = len(self.pairs("train"))
        written = json.dumps(self.measured, indent=2) + "\n"
        (self.given.out / "race.json").write_text(written, encoding="utf-8")

    @torch.no_grad()
    def _predict(self, second: int, batch: int, prepare: Callable, probabilities: Callable) -> int:
        folder = self.given.out / str(second)
        folder.mkdir()
        paths = [image for image, _ in self.pairs("test")]
        for first in range(0, len(paths), batch):
            part = paths[first : first + batch]
            found = probabilities(torch.stack([prepare(path) for path in part]))
            for path, probability in zip(part, found, strict=True):
                with Image.open(path) as image:
                    width, height = image.size
                whole = F.interpolate(probability[None].float(), (height, width), mode="bilinear")
                mask = ((whole[0, 0] > 0.5).numpy() * 255).astype(np.uint8)
                Image.fromarray(mask).save(folder / f"{path.stem}_segmentation.png")
        return len(paths)
