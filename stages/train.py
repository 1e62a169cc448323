"""Trains the U-Net and keeps the weights of its best epoch.

reads   arrays/
writes  model/unet.safetensors, metrics/history.csv (a row an epoch, as it happens),
        metrics/train.json (the best epoch), a run in MLflow
knobs   width, depth, epochs, batch_size, lr, weight_decay, average_decay, augmentation,
        seed, precision, threads (params.yaml)

A training that was broken off goes on from its last epoch.
"""

import math
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from lesion import params, tracking
from lesion.arrays import array_path, load_arrays
from lesion.checkpoint import load_checkpoint, save_checkpoint
from lesion.cli import run
from lesion.device import prepare
from lesion.errors import InputError
from lesion.files import write_csv, write_json
from lesion.fingerprint import data_hash, fingerprint
from lesion.header import WEIGHTS_FILE, Header
from lesion.predict import Predictor
from lesion.progress import Progress
from lesion.training import EpochRecord, Split, Trainer
from lesion.weights import load_model, save_weights

ARRAYS = Path("arrays")
MODEL = Path("model")
HISTORY = Path("metrics/history.csv")
METRICS = Path("metrics/train.json")
CHECKPOINT = Path("checkpoint/train.pt")  # outside the outputs, which DVC removes before a run


def main() -> None:
    knobs = params.load(params.TrainParams)
    device = prepare(knobs.threads)
    train = Split(*load_arrays(ARRAYS, "train"))
    validation = Split(*load_arrays(ARRAYS, "validation"))
    identity = fingerprint(knobs, array_files())

    trainer = Trainer(knobs, train, validation, device)
    if state := load_checkpoint(CHECKPOINT, identity):
        trainer.load_state_dict(state)
        print(f"going on after epoch {trainer.epoch} of {knobs.epochs}")

    with tracking.track(identity, resume_finished=False) as log:
        log.params(
            params.load(params.DownloadParams).model_dump()
            | params.load(params.PreprocessParams).model_dump()
            | knobs.model_dump()
        )
        log.tags({"data_hash": data_hash(array_files())})
        fit(trainer, identity, log)

        best = trainer.best_record
        side = train.images.shape[1]
        header = Header(knobs.width, knobs.depth, side, identity, best.epoch)
        save_weights(MODEL / WEIGHTS_FILE, trainer.best, header)
        numbers = {f"best_{name}": value for name, value in rounded(best).items()}
        del numbers["best_learning_rate"]  # the schedule's, no result
        write_json(METRICS, numbers)
        log.metrics(numbers)
        log.model(Predictor(load_model(MODEL / WEIGHTS_FILE, "cpu")[0]), side)
    CHECKPOINT.unlink(missing_ok=True)


def fit(trainer: Trainer, identity: str, log: tracking.Tracker) -> None:
    """Runs the epochs that are left; after each, everything is saved and logged."""
    epochs, steps = trainer.params.epochs, trainer.steps_per_epoch
    with Progress("train", epochs * steps, "steps") as progress:
        progress.update(trainer.epoch * steps)
        while trainer.epoch < epochs:
            record = trainer.run_epoch(on_step=progress.update)
            if not math.isfinite(record.train_loss) or not math.isfinite(record.val_loss):
                HISTORY.unlink(missing_ok=True)
                raise InputError(
                    f"epoch {record.epoch}: the loss is {record.train_loss} in training, "
                    f"{record.val_loss} in validation; expected finite values: "
                    f"lower lr (now {trainer.params.lr})"
                )
            save_checkpoint(CHECKPOINT, identity, trainer.state_dict())
            write_csv(HISTORY, pd.DataFrame([rounded(past) for past in trainer.history]))
            log.metrics(rounded(record), step=record.epoch)
            progress.say(
                f"epoch {record.epoch:3}/{epochs}  "
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


def array_files() -> list[Path]:
    return [
        array_path(ARRAYS, split, kind)
        for split in ("train", "validation")
        for kind in ("images", "masks")
    ]


if __name__ == "__main__":
    run(main)
