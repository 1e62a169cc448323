"""How fast training and prediction are, beside segmentation-models-pytorch, and what a step spends.

    pip install segmentation-models-pytorch && python benchmarks/training.py

Both train a U-Net with the same encoder on random images that lie in memory, in this one process, a
round each in turn; numbers are medians over the rounds, with the least and the greatest.

ours       lesion.training.trainer.Trainer: whole steps, from uint8 images to averaged weights, with
           augmentation; prediction by lesion.network.predict.Predictor
given back the same without lesion.network.memory.memory_kept, as glibc is by itself
by batch   ours with encoder_statistics batch; the others are with imagenet
theirs     smp.Unet as its documentation uses it: float32, contiguous; Adam; cross-entropy plus
           Dice; float images that are on the device already; no augmentation
expert     theirs in channels-last, and in the precision of ours
outside    share of our step's time outside forward (with the loss), backward and optimiser: batch,
           augmentation, normalisation, gradient clipping, weight averaging, scores
floor      what convolutions and matrix products alone would take, at the rate of products of large
           matrices in the same precision (operations are counted by torch.utils.flop_counter), and
           what moving would alone: all that each operation reads and writes, at the rate of copying
           a large tensor; fused operations and caches can go below the second
kinds      of operations in our step, by the time that each takes by itself, with the two floors of
           its kind
"""

import argparse
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from types import SimpleNamespace

import numpy as np
import torch
from measure import machine, spread, table
from operations import Operations
from random_weights import random_weights

import lesion.training.trainer
from lesion.network.device import in_bfloat16, prepare
from lesion.network.memory import memory_kept
from lesion.network.predict import Predictor
from lesion.training.batches import Split
from lesion.training.trainer import Trainer

IMAGES = 512


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="mobilenet_v2")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--precision", default="auto", help="of ours and of the expert's")
    parser.add_argument("--threads", type=int, default=0, help="0: a thread a core")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="in a round")
    given = parser.parse_args()
    device = prepare(given.threads, given.precision)

    trainer = our_trainer(given, device)
    contenders = {"ours": lambda: trainer.advance(), "ours, given back": lambda: trainer.advance()}
    if given.encoder != "none":
        by_batch = our_trainer(given, device, "batch")
        contenders["ours, by batch"] = lambda: by_batch.advance()
    contenders["ours, prediction"] = predictor(trainer, given)
    contenders |= theirs(given, device)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(given.rounds):
        for name, step in contenders.items():
            with as_trained(name):
                step()
                seconds[name].append(timed(step, given.steps, device))

    rates = {
        name: [given.batch_size / value for value in values] for name, values in seconds.items()
    }
    print(machine(["torch", "torchvision"]))
    print(f"\n{given.encoder}, {given.image_size} pixels, batches of {given.batch_size}\n")
    print(table([row(name, rates) for name in rates]))
    print(f"\noutside forward, backward and optimiser: {outside(trainer, device):.1%} of a step")
    kinds = {name: precision_of(name, given, device) for name in contenders}
    products = {kind: matrix_rate(kind, device) for kind in set(kinds.values())}
    copying = copy_rate(device)
    found = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {kind}" for kind, rate in products.items())
    print(f"matrix products: {found}; copying: {copying / 1e9:.1f} GB/s\n")
    images = given.batch_size
    rows = [
        floors(name, step, median(seconds[name]), images, products[kinds[name]], copying)
        for name, step in contenders.items()
    ]
    print(table(rows))
    for name in ("ours", "ours, prediction"):
        if device.type == "cpu":  # a GPU computes later
            print(f"\n{name}: ms an image, by kinds of operations\n")
            print(table(by_kinds(name, contenders[name], images, products[kinds[name]], copying)))


def as_trained(name: str) -> AbstractContextManager[None]:
    """As the stage `train` computes, for ours; nothing for others."""
    return memory_kept() if name in ("ours", "ours, by batch") else nullcontext()


def precision_of(name: str, given: argparse.Namespace, device: torch.device) -> torch.dtype:
    """In which a contender multiplies matrices."""
    half = "theirs" not in name and in_bfloat16(device, given.precision)
    return torch.bfloat16 if half else torch.float32


def floors(
    name: str,
    step: Callable[[], object],
    seconds: float,
    images: int,
    products: float,
    copying: float,
) -> dict[str, str]:
    """What a contender's image takes, and what its arithmetic and its bytes alone would.

    A step is of `images` and took `seconds`; `products` are operations a second, `copying` bytes.
    """
    with Operations() as operations:
        step()
    whole = operations.whole
    arithmetic, moving = whole.operations / products, whole.bytes / copying
    return {
        "": name,
        "ms an image": f"{1000 * seconds / images:.1f}",
        "GFLOP": f"{whole.operations / images / 1e9:.2f}",
        "arithmetic alone, ms": f"{1000 * arithmetic / images:.1f}",
        "share": f"{arithmetic / seconds:.0%}",
        "MB": f"{whole.bytes / images / 1e6:.0f}",
        "moving alone, ms": f"{1000 * moving / images:.1f}",
    }


def by_kinds(
    name: str,
    step: Callable[[], object],
    images: int,
    products: float,
    copying: float,
    steps: int = 9,
) -> list[dict[str, str]]:
    """What kinds of operations take of a step, the longest first; as of `floors`."""
    runs = []
    with as_trained(name):
        step()
        for _ in range(steps):
            with Operations() as operations:
                step()
            runs.append(operations.kinds)
    rows = {
        kind: (
            median(run[kind].seconds for run in runs),
            one.operations / products,
            one.bytes / copying,
        )
        for kind, one in runs[0].items()
    }
    titles = ("ms", "arithmetic alone", "moving alone")
    return [
        {"": kind}
        | {title: f"{1000 * value / images:.1f}" for title, value in zip(titles, row, strict=True)}
        for kind, row in sorted(rows.items(), key=lambda item: -item[1][0])
    ]


def row(name: str, rates: dict[str, list[float]]) -> dict[str, str]:
    """A contender's rate, and how many times as fast ours is, by the medians."""
    own = rates["ours, prediction" if "prediction" in name else "ours"]
    return {
        "": name,
        "images/s": spread(rates[name], 1),
        "ours :": f"{median(own) / median(rates[name]):.1f}",
    }


def our_trainer(
    given: argparse.Namespace, device: torch.device, statistics: str = "imagenet"
) -> Trainer:
    rng = np.random.default_rng(0)
    side = given.image_size
    split = Split(
        rng.integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8),
        rng.integers(0, 2, (IMAGES, side, side), dtype=np.uint8),
        [str(number) for number in range(IMAGES)],
    )
    params = SimpleNamespace(
        encoder=given.encoder,
        width=given.width,
        depth=4 if given.encoder == "none" else 5,
        batch_size=given.batch_size,
        precision=given.precision,
        epochs=10**6,
        seed=0,
        lr=1e-3,
        encoder_lr=0.3,
        encoder_statistics=statistics,
        schedule="constant",
        loss="bce_dice",
        weight_decay=0.01,
        average_decay=0.99,
        orientations=True,
        geometry=0.5,
        colour=0.5,
        hairs=0.1,
    )
    validation = Split(split.images[:1], split.masks[:1], ["0"])
    return Trainer(params, split, validation, device, random_weights(given.encoder))


def predictor(trainer: Trainer, given: argparse.Namespace) -> Callable[[], object]:
    predict = Predictor(trainer.averaged, given.precision)
    images = torch.as_tensor(trainer.train.images[: given.batch_size]).to(trainer.device)

    @torch.no_grad()
    def step() -> None:
        predict(images)

    return step


def theirs(given: argparse.Namespace, device: torch.device) -> dict[str, Callable[[], object]]:
    try:
        import segmentation_models_pytorch as smp
    except ImportError:
        print("segmentation-models-pytorch is not installed: ours alone")
        return {}
    shape = (given.batch_size, 3, given.image_size, given.image_size)
    losses = (smp.losses.SoftBCEWithLogitsLoss(), smp.losses.DiceLoss("binary"))

    def steps(name: str, memory: torch.memory_format, half: bool) -> dict:
        torch.manual_seed(0)
        model = smp.Unet(given.encoder, encoder_weights=None).to(device, memory_format=memory)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
        images = torch.randn(shape, device=device).to(memory_format=memory)
        masks = (torch.rand(shape, device=device)[:, :1] > 0.5).float()

        def forward() -> torch.Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                return model(images).float()

        def train() -> None:
            model.train()
            logits = forward()
            loss = sum(loss(logits, masks) for loss in losses)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        @torch.no_grad()
        def predict() -> None:
            model.eval()
            forward().sigmoid()

        return {name: train, f"{name}, prediction": predict}

    half = in_bfloat16(device, given.precision)
    return steps("theirs", torch.contiguous_format, False) | steps(
        "expert", torch.channels_last, half
    )


def timed(step: Callable[[], object], steps: int, device: torch.device) -> float:
    """Seconds a step."""
    finish(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    finish(device)
    return (time.perf_counter() - start) / steps


def outside(trainer: Trainer, device: torch.device, steps: int = 9) -> float:
    """Median share of a step's time that is not spent in forward, backward and optimiser."""
    inside = 0.0

    def counted(function: Callable) -> Callable:
        def call(*args: object, **keywords: object) -> object:
            nonlocal inside
            finish(device)
            start = time.perf_counter()
            result = function(*args, **keywords)
            finish(device)
            inside += time.perf_counter() - start
            return result

        return call

    places = (
        (trainer.network, "forward"),
        (trainer.optimizer, "step"),
        (torch.Tensor, "backward"),
        (lesion.training.trainer, "LOSSES"),
    )
    originals = [getattr(*place) for place in places]
    *functions, losses = originals
    for place, function in zip(places, functions, strict=False):
        setattr(*place, counted(function))
    lesion.training.trainer.LOSSES = {name: counted(loss) for name, loss in losses.items()}
    shares = []
    for _ in range(steps):
        inside = 0.0
        whole = timed(trainer.advance, 1, device)
        shares.append(1 - inside / whole)
    for place, original in zip(places, originals, strict=True):
        setattr(*place, original)
    return median(shares)


def matrix_rate(kind: torch.dtype, device: torch.device, side: int = 2048) -> float:
    """Operations a second in products of square matrices."""
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    return 2 * side**3 / min(timed(lambda: a @ b, 3, device) for _ in range(9))


def copy_rate(device: torch.device) -> float:
    """Bytes a second that are read and written."""
    source = torch.ones(2**26, device=device)  # 256 MB
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(timed(lambda: target.copy_(source), 3, device) for _ in range(3))


def finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
