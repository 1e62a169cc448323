"""One training by two processes, as `torchrun` starts them, on the processor."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import download
import encoder
import preprocess
from lesion.synthetic import write_archives
from lesion.training.distributed import ALONE, Process, joined
from project import copy_of_stages, environment, set_params

pytestmark = pytest.mark.long

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")

SCRIPT = """
import sys
from pathlib import Path

sys.path[:0] = {folders!r}
import torch
from torch import distributed, nn

from conftest import synthetic_split
from lesion.training.distributed import ALONE, WholeBatchNorm, joined, synchronise_batch_norm
from lesion.training.trainer import Trainer
from test_trainer import settings

torch.set_num_threads(1)
result = {{}}


def train(process, steps, **changes):
    params = settings(batch_size=4, width=2, epochs=50, **changes)
    trainer = Trainer(
        params, synthetic_split(8, 0), synthetic_split(3, 100), torch.device("cpu"), None, process
    )
    losses, drawn = [], []
    trainer.model.register_forward_hook(lambda *_: drawn.append(torch.rand(1).item()))
    for step in range(steps):
        trainer.advance()
        losses.append(trainer.scores[step % 2].tolist())
        if step == 0:
            first = [trainer.optimizer.state[p]["exp_avg"] for p in trainer.model.parameters()]
            first = [values.clone() for values in first]
            statistics = {{k: v.clone() for k, v in trainer.model.state_dict().items()}}
    return {{
        "scores": torch.tensor(losses),
        "drawn": drawn,
        "first": first,
        "statistics": statistics,
        "model": trainer.model.state_dict(),
        "averaged": trainer.averaged.state_dict(),
        "history": torch.tensor(
            [[r.train_loss, r.train_dice, r.val_loss, r.val_dice, r.val_iou]
             for r in trainer.history]
        ),
    }}


def norm(x, scale, process):
    torch.manual_seed(1)
    layer = nn.BatchNorm2d(3, momentum=0.3, eps=1e-3)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2)
        layer.bias.uniform_(-1, 1)
    if process.count > 1:
        network = nn.Sequential(layer)
        synchronise_batch_norm(network)
        assert type(network[0]) is WholeBatchNorm
    part = process.part(len(x))
    x = x[part].clone().requires_grad_()
    y = layer(x)
    (y.square() * scale[part]).sum().backward()
    values = {{"y": y.detach(), "x": x.grad, **layer.state_dict()}}
    values["weight.grad"] = process.total(layer.weight.grad)
    values["bias.grad"] = process.total(layer.bias.grad)
    values["evaluated"] = layer.eval()(x).detach()
    return values


with joined() as process:
    torch.manual_seed(0)
    x, scale = torch.randn(6, 3, 5, 4) * 3 + 7, torch.rand(6, 3, 5, 4)
    result["norm"], result["whole norm"] = norm(x, scale, process), norm(x, scale, ALONE)
    result["any"] = [process.any(process.rank == rank) for rank in (0, 1, 2)]
    result["from first"] = process.from_first({{"rank": torch.tensor(process.rank)}})
    result["total"] = process.total(torch.tensor([1.0 + process.rank]))
    result["mean"] = process.mean(torch.tensor([1.0 + process.rank]))
    result["ranks"] = (process.rank, process.count, process.writes)
    result["two"] = train(process, 10)
    if process.writes:
        result["one"] = train(ALONE, 10)
    torch.save(result, Path({folder!r}) / f"{{process.rank}}.pt")
"""


def launch(folder: Path, *command: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        (*TORCHRUN, *command),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == status, result.stdout + result.stderr
    return result


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory, root: Path) -> tuple[dict, dict]:
    """What the script above gave in each of two processes."""
    folder = tmp_path_factory.mktemp("two")
    script = folder / "script.py"
    folders = [str(root / name) for name in ("stages", "tests", "tests/training")]
    script.write_text(SCRIPT.format(folders=folders, folder=str(folder)))
    launch(folder, str(script))
    return tuple(torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1))


def test_each_process_knows_its_number_and_the_first_one_writes(ranks):
    assert [result["ranks"] for result in ranks] == [(0, 2, True), (1, 2, False)]


def test_all_processes_get_the_same_answer(ranks):
    for result in ranks:
        assert result["any"] == [True, True, False]
        assert result["from first"] == {"rank": torch.tensor(0)}
        assert (result["total"].item(), result["mean"].item()) == (3.0, 1.5)


@pytest.mark.parametrize(
    "name", ["weight.grad", "bias.grad", "running_mean", "running_var", "num_batches_tracked"]
)
def test_batch_normalisation_learns_and_keeps_what_it_would_of_the_whole_batch(ranks, name):
    for result in ranks:
        torch.testing.assert_close(result["norm"][name], result["whole norm"][name])


@pytest.mark.parametrize("name", ["y", "x", "evaluated"])
def test_batch_normalisation_and_its_gradient_are_those_of_the_whole_batch(ranks, name):
    parts = torch.cat([result["norm"][name] for result in ranks])
    torch.testing.assert_close(parts, ranks[0]["whole norm"][name], atol=1e-5, rtol=1e-5)


def test_weights_and_scores_are_equal_to_the_bit_in_all_processes(ranks):
    one, other = (result["two"] for result in ranks)
    assert torch.equal(one["scores"], other["scores"])
    assert torch.equal(one["history"], other["history"])
    for part in ("model", "averaged"):
        for name, values in one[part].items():
            assert torch.equal(values, other[part][name]), name


def test_the_first_step_is_that_of_one_process_but_for_rounding(ranks):
    two, one = ranks[0]["two"], ranks[0]["one"]
    torch.testing.assert_close(two["first"], one["first"], rtol=1e-4, atol=1e-7)
    for name, values in one["statistics"].items():
        if "running" in name or "tracked" in name:
            torch.testing.assert_close(two["statistics"][name], values, msg=name)


def test_losses_and_dice_are_those_of_one_process_but_for_rounding(ranks):
    two, one = ranks[0]["two"], ranks[0]["one"]
    # Measured: at most 2e-4 after ten steps, and 4e-6 after nine; AdamW divides rounding by it.
    losses, expected = two["scores"][:, 0], one["scores"][:, 0]
    torch.testing.assert_close(losses[:6], expected[:6], rtol=0, atol=3e-5)
    torch.testing.assert_close(losses, expected, rtol=0, atol=2e-3)
    # Running scores of the weights before each step, and those of the validation split.
    torch.testing.assert_close(two["history"][:3], one["history"][:3], rtol=0, atol=1e-4)
    assert not torch.equal(one["scores"][1:], one["scores"][:-1])


def test_each_process_draws_the_blocks_to_skip_by_itself_and_the_first_as_one_alone(ranks):
    first, second = (result["two"]["drawn"] for result in ranks)
    assert not set(first) & set(second)
    assert first == ranks[0]["one"]["drawn"]


@pytest.mark.parametrize(("rank", "count"), [(0, 1), (0, 2), (1, 2), (3, 4)])
def test_parts_of_a_batch_follow_each_other(rank, count):
    rows = list(range(8))
    assert rows[Process(rank, count).part(8)] == rows[8 // count * rank : 8 // count * (rank + 1)]


def test_a_process_alone_shares_nothing(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")  # which other launchers leave in the environment
    model, values = torch.nn.BatchNorm2d(2), torch.ones(2)
    with joined() as process:
        assert process == ALONE and process.writes
        assert process.wrap(model) is model and type(model) is torch.nn.BatchNorm2d
        assert process.total(values) is values and torch.equal(process.mean(values), values)
        assert process.any(True) and not process.any(False)
        assert process.from_first(model) is model


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_of_stages(tmp_path_factory.mktemp("project") / "project")
    write_archives(folder / "data", {"train": 8, "validation": 3, "test": 1}, size=32, seed=1)
    set_params(folder, image_size=32, width=4, depth=2, epochs=20, batch_size=2, threads=1)
    set_params(folder, precision="float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (download, preprocess, encoder):
            stage.main()
    (folder / "mlflow.db").mkdir()  # without MLflow, which takes as long as the rest
    return folder


@pytest.mark.slow
def test_a_training_that_is_stopped_in_all_processes_goes_on_and_is_written_by_one(project):
    training = subprocess.Popen(
        (*TORCHRUN, "stages/train.py"),
        cwd=project,
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    for line in training.stdout:
        said.append(line)
        if line.startswith("epoch   2/20"):
            break
    training.send_signal(signal.SIGTERM)
    out, errors = training.communicate(timeout=120)
    said = "".join(said) + out
    assert training.returncode != 0
    stopped = re.findall(r"^stopped after step (\d+); the next run goes on there$", said, re.M)
    assert len(stopped) == 1, said + errors

    said += launch(project, "stages/train.py").stdout
    assert re.findall(r"^going on after step (\d+) of 80$", said, re.M) == stopped
    assert [int(n) for n in re.findall(r"^epoch +(\d+)/20 ", said, re.M)] == list(range(1, 21))
    assert (project / "model/unet.safetensors").exists()
    assert len(pd.read_csv(project / "metrics/history.csv")) == 20
    assert 0 <= json.loads((project / "metrics/train.json").read_text())["best_val_dice"] <= 1
    assert not (project / "checkpoint/train.pt").exists()
    assert os.listdir(project / "model") == ["unet.safetensors"]
