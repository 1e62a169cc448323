"""With `precision: portable` a processor of another kind gives the same bytes: by emulation.

QEMU's user mode runs the stages on processors of other makers, with other instructions and sizes of
caches, some hundred times slower. It emulates no AVX-512: what a processor that has it would do
otherwise is switched off, as tests/network/test_device.py holds.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from project import ROOT, copy, environment, run

pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs QEMU (qemu-user)"),
]

STAGES = ["download", "collect", "preprocess", "baseline", "encoder", "train", "evaluate"]
STAGES += ["external", "plot", "record"]
PYTHON = """#!/bin/sh
echo "$@" >> {log}
exec qemu-x86_64 -cpu {processor} {python} "$@"
"""
every_processor = pytest.mark.parametrize("processor", ["Haswell", "EPYC-Rome", "max"])


@every_processor
def test_the_pipeline_ends_with_the_lock_file_that_was_committed(
    base: Path, tmp_path: Path, processor: str
) -> None:
    project = copy(base, tmp_path)
    log, emulated = tmp_path / "log", tmp_path / "bin/python"
    emulated.parent.mkdir()
    emulated.write_text(PYTHON.format(log=log, processor=processor, python=sys.executable))
    emulated.chmod(0o755)
    own = environment()
    subprocess.run(
        [f"{Path(sys.executable).parent}/dvc", "repro", "--force"],
        cwd=project,
        env=own | {"PATH": f"{emulated.parent}{os.pathsep}{own['PATH']}"},
        check=True,
    )
    assert log.read_text().split() == [f"stages/{stage}.py" for stage in STAGES]
    assert (project / "dvc.lock").read_bytes() == (base / "dvc.lock").read_bytes()
    assert not run(project, "git", "status", "--porcelain").stdout


# Layers of the size that presets have, which blocked algorithms may cut by the size of a cache.
STEPS = """
import sys
sys.path.insert(0, "stages")
import lesion
import hashlib
from types import SimpleNamespace
import numpy as np
import torch
from torchvision.models import get_model
from lesion.network.device import prepare
from lesion.network.predict import Predictor
from lesion.training.batches import Split
from lesion.training.trainer import Trainer

device = prepare(1, "portable")
for encoder, side, count in (
    ("none", 128, 1), ("mobilenet_v2", 96, 2), ("resnet18", 64, 2), ("convnext_tiny", 64, 1)
):
    pixels = np.random.default_rng(0).integers(0, 256, (2 * count, 8, 8, 3), dtype=np.uint8)
    images = pixels.repeat(side // 8, 1).repeat(side // 8, 2)
    masks = (images[..., 0] > 99).astype(np.uint8)
    split = Split(images, masks, [str(n) for n in range(2 * count)])
    params = SimpleNamespace(
        precision="portable", encoder=encoder, width=16, depth=4 if encoder == "none" else 5,
        batch_size=count, epochs=9, seed=0, lr=1e-3, encoder_lr=0.3, encoder_statistics="imagenet",
        schedule="one_cycle", loss="bce_dice", weight_decay=0.01, average_decay=0.9,
        orientations=True, geometry=0.5, colour=0.5, hairs=0.5,
    )
    torch.manual_seed(0)
    imagenet = None if encoder == "none" else get_model(encoder).state_dict()
    trainer = Trainer(params, split, split, device, imagenet)
    trainer.advance()
    digest = hashlib.sha256()
    for tensor in trainer.model.state_dict().values():
        digest.update(tensor.contiguous().numpy().tobytes())
    with torch.no_grad():
        digest.update(Predictor(trainer.model)(torch.from_numpy(images[:1])).numpy().tobytes())
    print(encoder, digest.hexdigest(), flush=True)
"""


@pytest.fixture(scope="module")
def native() -> list[str]:
    return steps()


def steps(*emulator: str) -> list[str]:
    """A line a network: its hash after a step of training and a prediction."""
    command = [*emulator, sys.executable, "-c", STEPS]
    found = subprocess.run(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    return found.stdout.splitlines()


@every_processor
def test_large_layers_learn_and_predict_to_the_same_bits(native: list[str], processor: str) -> None:
    assert len(native) == 4
    assert steps("qemu-x86_64", "-cpu", processor) == native
