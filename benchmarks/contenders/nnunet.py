"""nnU-Net v2: its planner and preprocessing of the training images, then steps of its own trainer.

It would take 1000 epochs of 250 steps, so a few steps are measured, and nothing is predicted.
Planner and preprocessing see a share of the images, and their time is that of all by proportion.
"""

import json
import os
import shutil
import time
from pathlib import Path

from race import Race

STEPS = 3
IMAGES = 400  # of fewer the planner would make smaller batches

race = Race()
folders = {
    name: str(race.given.out / name)
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
}
os.environ |= folders | {"nnUNet_n_proc_DA": str(race.workers)}

import torch
from nnunetv2.experiment_planning.plan_and_preprocess_api import (
    extract_fingerprints,
    plan_experiments,
    preprocess,
)
from nnunetv2.run.run_training import get_trainer_from_args
from PIL import Image

NAME = "Dataset001_Lesions"


def convert(pairs: list[tuple[Path, Path]]) -> None:
    """The folder as nnU-Net wants it: RGB files, masks of 0 and 1, and dataset.json."""
    raw = Path(folders["nnUNet_raw"]) / NAME
    for kind in ("imagesTr", "labelsTr"):
        (raw / kind).mkdir(parents=True)
    for image, mask in pairs:
        Image.open(image).convert("RGB").save(raw / "imagesTr" / f"{image.stem}_0000.png")
        lesion = Image.open(mask).convert("L").point(lambda value: value > 127)
        lesion.save(raw / "labelsTr" / f"{image.stem}.png")
    described = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": len(pairs),
        "file_ending": ".png",
    }
    (raw / "dataset.json").write_text(json.dumps(described), encoding="utf-8")


def main() -> None:
    every = race.pairs("train")
    share = every[:: -(-len(every) // IMAGES)]
    convert(share)
    extract_fingerprints([1], num_processes=race.workers)
    plans = plan_experiments([1])
    preprocess([1], plans, configurations=("2d",), num_processes=[race.workers])
    prepared = race.seconds()

    trainer = get_trainer_from_args(
        "1", "2d", 0, plans_identifier=plans, device=torch.device("cpu")
    )
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    seconds = []
    for _ in range(STEPS):
        start = time.monotonic()
        trainer.train_step(next(trainer.dataloader_train))
        seconds.append(time.monotonic() - start)
    step = min(seconds)
    batch, patch = trainer.batch_size, trainer.configuration_manager.patch_size
    steps = trainer.num_epochs * trainer.num_iterations_per_epoch
    hours = step * steps / 3600
    planned = prepared / len(share) * len(every)
    race.notes.append(
        f"{batch} images of {patch[0]}×{patch[1]} a step, which took {step:.0f} s; so its "
        f"{trainer.num_epochs} epochs of {trainer.num_iterations_per_epoch} steps would take "
        f"{hours:.0f} hours after {planned / 60:.0f} minutes of planning (extrapolated from "
        f"{STEPS} steps and {len(share)} images)"
    )
    race.measured |= {"seconds": race.seconds(), "steps": STEPS, "images": STEPS * batch}
    race.measured |= {"images_per_second": batch / step, "first_step": prepared + seconds[0]}
    race.write()
    for place in folders.values():
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
