"""What one GPU makes of the data: Dice by seconds of training, images a second, and the waiting.

    python benchmarks/gpu.py images.zip masks.zip arrays/index.csv --weights mobilenet_v2-….pth

It needs torch, torchvision and numpy and nothing else, so that it runs on a machine without DVC and
MLflow; index.csv is what the stage preprocess wrote, for its splits. Images are decoded before the
clock starts. Scores are per test image, at the size that the archives have.

seconds    of training: from building the network to the last step, validation included
first      of those, up to the end of the first step: kernels are loaded then
scored     seconds from the process's start to the test scores, in its first training
images/s   in the steps of the last epoch
bf16       share of the rate of large bfloat16 matrix products that a step's operations reach
waiting    share of a step's time in which the GPU computes nothing (torch.profiler)
"""

import time

STARTED = time.perf_counter()  # before torch is imported

import argparse
import csv
import io
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from torchvision.io import ImageReadMode, decode_image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from preset_values import preset_values

from lesion.network.device import prepare
from lesion.network.model import build_model
from lesion.network.predict import Predictor
from lesion.training.batches import Split
from lesion.training.frames import Frames
from lesion.training.trainer import Trainer
from lesion.training.validation import dice_and_iou


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument(
        "--weights", type=Path, required=True, help="torchvision's file for the encoder"
    )
    parser.add_argument("--presets", nargs="+", default=["notebook", "ten-seconds", "gpu"])
    parser.add_argument("--epochs", type=int, help="instead of a preset's own")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()

    device = prepare(threads=0, precision="auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    print(f"{name}, torch {torch.__version__}")
    weights = torch.load(given.weights, map_location="cpu", weights_only=True)
    originals = read_splits(given.images, given.masks, given.index)
    for name in given.presets:
        for seed in range(given.seeds):
            knobs = SimpleNamespace(**preset_values(name), seed=seed)
            knobs.epochs = given.epochs or knobs.epochs
            print(name, f"seed {seed}", measure(knobs, originals, weights, device))


def measure(
    knobs: SimpleNamespace,
    originals: dict[str, Split],
    weights: dict[str, torch.Tensor],
    device: torch.device,
) -> str:
    splits = {name: shrunk(split, knobs.image_size) for name, split in originals.items()}
    imagenet = None if knobs.encoder == "none" else weights
    finish(device)
    start = time.perf_counter()
    trainer = Trainer(knobs, splits["train"], splits["validation"], device, imagenet)
    marks = []
    while trainer.step < trainer.steps:
        if trainer.step % trainer.steps_per_epoch in (0, trainer.steps_per_epoch - 1):
            finish(device)
            marks.append((trainer.step, time.perf_counter()))
        trainer.advance()
        if trainer.step == 1:
            finish(device)
            first_step = time.perf_counter() - start
    finish(device)
    seconds = time.perf_counter() - start
    (first, begin), (last, end) = marks[-2:]
    rate = (last - first) * trainer.batch_size / (end - begin)

    network = build_model(knobs).to(device, memory_format=torch.channels_last)
    network.load_state_dict(trainer.best)
    predictor = Predictor(network, knobs.precision)
    dice, iou = test_scores(predictor, knobs.tta, originals, splits)
    scored = time.perf_counter() - STARTED
    thresholded = torch.where(iou >= 0.65, iou, 0)
    return (
        f"{seconds:.1f} s (first {first_step:.1f}, scored {scored:.1f}), {rate:.0f} images/s, "
        f"test Dice {dice.mean():.4f} IoU {iou.mean():.4f} thresholded {thresholded.mean():.4f}"
        + on_gpu(knobs, splits, device, rate, imagenet)
    )


def on_gpu(
    knobs: SimpleNamespace,
    splits: dict[str, Split],
    device: torch.device,
    rate: float,
    imagenet: dict[str, torch.Tensor] | None,
) -> str:
    """Share of the bfloat16 rate, and of the time that the GPU waits."""
    if device.type != "cuda":
        return ""
    trainer = Trainer(knobs, splits["train"], splits["validation"], device, imagenet)
    with FlopCounterMode(display=False) as counter:
        trainer.advance()
    for _ in range(5):
        trainer.advance()
    finish(device)
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        start = time.perf_counter()
        for _ in range(20):
            trainer.advance()
        finish(device)
        wall = time.perf_counter() - start
    busy = sum(event.self_device_time_total for event in profiled.key_averages()) / 1e6
    share = counter.get_total_flops() * rate / trainer.batch_size / matrix_rate(device)
    return f", bf16 {share:.1%}, waiting {1 - busy / wall:.0%}"


def read_splits(images: Path, masks: Path, index: Path) -> dict[str, Split]:
    """The pairs of each split in the size that they have, which has to be the same for all."""
    with index.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def decoded(
        archive: zipfile.ZipFile, members: list[str], mode: ImageReadMode
    ) -> list[torch.Tensor]:
        contents = [np.frombuffer(archive.read(member), np.uint8).copy() for member in members]
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda one: decode_image(torch.from_numpy(one), mode), contents))

    splits = {}
    for name in ("train", "validation", "test"):
        own = [row for row in rows if row["split"] == name]
        with (
            zipfile.ZipFile(io.BytesIO(images.read_bytes())) as photographs,
            zipfile.ZipFile(io.BytesIO(masks.read_bytes())) as outlines,
        ):
            pixels = decoded(photographs, [row["image"] for row in own], ImageReadMode.RGB)
            lesions = decoded(outlines, [row["mask"] for row in own], ImageReadMode.GRAY)
        splits[name] = Split(
            torch.stack(pixels).permute(0, 2, 3, 1).contiguous().numpy(),
            (torch.cat(lesions) > 127).byte().numpy(),
            [row["id"] for row in own],
        )
    return splits


def shrunk(split: Split, side: int) -> Split:
    """The split in squares of `side` pixels, means over areas."""
    if split.images.shape[1] == side:
        return split

    def resize(array: np.ndarray) -> torch.Tensor:
        values = torch.from_numpy(array).view(len(array), *array.shape[1:3], -1)
        with ThreadPoolExecutor() as pool:
            parts = pool.map(
                lambda part: F.interpolate(part.permute(0, 3, 1, 2).float(), side, mode="area"),
                values.split(64),
            )
            return torch.cat(list(parts)).permute(0, 2, 3, 1)

    images = resize(split.images).round().byte().contiguous().numpy()
    masks = (resize(split.masks)[..., 0] >= 0.5).byte().numpy()
    height, width = split.images.shape[1:3]
    return Split(images, masks, split.ids, Frames.whole(len(split), width / height))


@torch.no_grad()
def test_scores(
    predictor: Predictor, tta: bool, originals: dict[str, Split], splits: dict[str, Split]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Dice and Jaccard of each test image at its original size."""
    device, count = next(predictor.parameters()).device, len(splits["test"])
    together = 8 if tta else 32  # 32 views, as in training: other sizes would need other kernels
    scores = []
    for start in range(0, count, together):
        rows = np.arange(start, start + together) % count
        images = torch.from_numpy(splits["test"].images[rows]).to(device)
        truth = torch.from_numpy(originals["test"].masks[rows]).to(device)[:, None] > 0
        enlarged = F.interpolate(predictor(images, tta)[:, None], truth.shape[-2:], mode="bilinear")
        scores.append(torch.stack(dice_and_iou(enlarged >= 0.5, truth)))
    dice, iou = torch.cat(scores, dim=1)[:, :count].cpu()
    return dice, iou


def matrix_rate(device: torch.device, side: int = 8192) -> float:
    """Operations a second in products of large bfloat16 matrices."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    finish(device)
    start = time.perf_counter()
    for _ in range(10):
        a @ b
    finish(device)
    return 10 * 2 * side**3 / (time.perf_counter() - start)


def finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
