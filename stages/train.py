"""Trains the U-Net and keeps the weights of its best epoch.

reads   arrays/, pretrained/
writes  model/unet.safetensors, metrics/history.csv (a row an epoch, as it happens),
        metrics/train.json (the best epoch), a run in MLflow
knobs   train_fraction, split_seed, resize, encoder, width, depth, seed, epochs, batch_size, lr,
        encoder_lr, encoder_statistics, schedule, loss, weight_decay, average_decay, orientations,
        geometry, colour, hairs, precision, threads (params.yaml)

A training that was broken off goes on from the last step that was saved; SIGTERM and Ctrl-C save
before they end it. One that was over when DVC was killed only has its outputs written again. With
several GPUs or machines: torchrun --nproc-per-node=2 stages/train.py, then
`dvc commit --force train`.
"""

import lesion  # noqa: F401  before the libraries to which it says how to compute

# isort: split

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from lesion.console.cli import run
from lesion.console.progress import Progress
from lesion.formats.arrays import INDEX, load_index, load_split, training_arrays
from lesion.formats.fingerprint import data_hash, fingerprint, md5
from lesion.formats.header import WEIGHTS_FILE, Header
from lesion.formats.splits import fraction_of
from lesion.network.device import arithmetic, prepare
from lesion.network.memory import memory_kept, memory_named
from lesion.network.weights import load_imagenet, save_weights
from lesion.parameters.reading import load_params
from lesion.parameters.train import TrainParams
from lesion.pipeline import interrupt
from lesion.pipeline.files import write_csv, write_json
from lesion.tracking import runs
from lesion.tracking.result import data_params
from lesion.training.batches import Split
from lesion.training.checkpoint import Checkpoint
from lesion.training.distributed import Process, joined
from lesion.training.trainer import EpochRecord, Trainer
from lesion.upkeep import finished

ARRAYS = Path("arrays")
IMAGENET = Path("pretrained/imagenet.pth")
MODEL = Path("model")
HISTORY = Path("metrics/history.csv")
METRICS = Path("metrics/train.json")


def main() -> None:
    knobs = load_params(TrainParams)
    device = prepare(knobs.threads, knobs.precision)
    files = training_arrays(ARRAYS)
    pretrained = knobs.encoder != "none"
    named = memory_named(device, knobs.batch_size, knobs.width)
    with joined() as process, memory_kept(), named:
        trainer = Trainer(
            knobs,
            part(load("train"), knobs, [*load_index(ARRAYS, "train")["group"]]),
            load("validation"),
            device,
            imagenet=load_imagenet(IMAGENET) if pretrained else None,
            process=process,
        )
        machine = arithmetic(device, knobs.precision) | {"processes": process.count}
        # The index says which shape the photographs have.
        identity = fingerprint(knobs, [*files, ARRAYS / INDEX, *[IMAGENET] * pretrained], machine)
        checkpoint = Checkpoint(finished.CHECKPOINT, identity)
        if process.writes:
            finished.remove_if_cached()
        if state := process.from_first(checkpoint.load() if process.writes else None):
            trainer.load_state_dict(state)
        if not process.writes:
            fit(trainer, process)
            return

        logged = trainer.step == trainer.steps and finished.is_marked(identity)
        if not logged:
            finished.unmark()
        if trainer.step:
            print(f"going on after step {trainer.step} of {trainer.steps}", flush=True)
        with runs.training(identity, logged) as log:
            log.params(data_params() | knobs.model_dump())
            log.tags({"data_hash": data_hash(files), **machine})
            fit(trainer, process, checkpoint, log)
            finished.mark(identity, keep_best(trainer, identity, log))
        if "DVC_STAGE" not in os.environ:
            finished.remove()  # nobody has to note anything


def fit(
    trainer: Trainer,
    process: Process,
    checkpoint: Checkpoint | None = None,
    log: runs.Run | None = None,
) -> None:
    """Runs the steps that are left. The process that has a checkpoint and a log keeps both."""
    with (
        interrupt.noted() as wish,
        Progress("train", trainer.steps, "steps", trainer.step, checkpoint is None) as progress,
    ):
        if checkpoint and trainer.history:
            write_history(trainer)  # DVC removes it before a run
        while trainer.step < trainer.steps:
            record = trainer.advance()
            progress.update()
            if checkpoint and log and record:
                write_history(trainer)
                log.metrics(rounded(record), step=record.epoch)
                progress.say(line(record, trainer))
            stop = process.any(wish.signal is not None)
            due = checkpoint is not None and checkpoint.is_due(at_rest=record is not None)
            if stop or process.any(due) or trainer.step == trainer.steps:
                state = trainer.state_dict()  # in all processes: it may find a loss not finite
                if checkpoint:
                    checkpoint.save(state)
            if stop:
                if checkpoint:
                    progress.say(f"stopped after step {trainer.step}; the next run goes on there")
                sys.exit(128 + (wish.signal or 0))


def write_history(trainer: Trainer) -> None:
    write_csv(HISTORY, pd.DataFrame([rounded(record) for record in trainer.history]))


def keep_best(trainer: Trainer, identity: str, log: runs.Run) -> str:
    """Writes weights and scores of the best epoch; the MD5 of the weights file."""
    knobs, best = trainer.params, trainer.best_record
    side = trainer.train.images.shape[1]
    header = Header(
        knobs.encoder, knobs.width, knobs.depth, side, knobs.resize, identity, best.epoch
    )
    save_weights(MODEL / WEIGHTS_FILE, trainer.best, header)
    numbers = {f"best_{name}": value for name, value in rounded(best).items()}
    del numbers["best_learning_rate"]  # the schedule's, no result
    write_json(METRICS, numbers)
    log.metrics(numbers)
    # Last: by this the stage record finds the run of the training.
    model_hash = md5(MODEL / WEIGHTS_FILE)
    log.tags({"model_hash": model_hash})
    return model_hash


def load(split: str) -> Split:
    return Split.of(*load_split(ARRAYS, split))


def part(split: Split, knobs: TrainParams, groups: Sequence[str] = ()) -> Split:
    """The share of the training images that is asked for, groups of one patient, say, whole."""
    if knobs.train_fraction == 1:
        return split  # as it is: mapped from disk, not in memory
    rows = fraction_of(split.ids, knobs.train_fraction, knobs.split_seed, groups)
    return split.part(rows)


def line(record: EpochRecord, trainer: Trainer) -> str:
    return (
        f"epoch {record.epoch:3}/{trainer.params.epochs}  "
        f"train loss {record.train_loss:.4f} dice {record.train_dice:.4f}  "
        f"validation loss {record.val_loss:.4f} dice {record.val_dice:.4f}"
        f"{'  best so far' if record is trainer.best_record else ''}"
    )


def rounded(record: EpochRecord) -> dict[str, float]:
    """The record with six significant digits, as it is written everywhere."""
    return {
        name: value if isinstance(value, int) else float(f"{value:.6g}")
        for name, value in asdict(record).items()
    }


if __name__ == "__main__":
    run(main)
