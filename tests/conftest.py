from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from filelock import FileLock

from lesion.synthetic import lesion_image, write_archives
from project import SMALL, clone, run, set_params

if TYPE_CHECKING:
    from lesion.training.batches import Split

ROOT = Path(__file__).resolve().parents[1]
LONG = re.compile(r"^pytestmark = \[?pytest\.mark\.long\b", re.M)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file of long tests is not even imported where they are left out: that alone takes long."""
    if "not long" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    return bool(LONG.search(collection_path.read_text(encoding="utf-8"))) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those of whole stages and pipelines, which take longest, come first: so no core idles."""
    items.sort(key=lambda item: item.path.parent != ROOT / "tests")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    import torch  # not by the process that only hands out the tests

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root, where params.yaml and dvc.yaml lie."""
    return ROOT


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic archives in the official layout: 3 training, 2 validation, 2 test pairs."""
    folder = tmp_path_factory.mktemp("sample")
    write_archives(folder, {"train": 3, "validation": 2, "test": 2}, size=32, seed=0)
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A clone with small parameters, all of whose stages have run, and no store of MLflow.

    To read and to copy: the processes that test beside each other share it.
    """
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    with FileLock(shared / "base.lock"):
        if not (shared / "base").exists():
            make_base(shared / "unfinished").rename(shared / "base")
    return shared / "base"


def make_base(folder: Path) -> Path:
    clone(folder)
    set_params(folder, **SMALL)
    run(folder, "dvc", "repro")
    run(folder, "git", "commit", "--quiet", "--all", "--message", "Small")
    for name in ("mlflow.db", "mlflow.db.lock"):
        (folder / name).unlink()
    shutil.rmtree(folder / "mlartifacts")
    return folder


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Of a browser without a window; where there is none, tests that need it are skipped."""
    from browser import chromium

    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="session")
def train_split() -> Split:
    return synthetic_split(8, first_seed=0)


@pytest.fixture(scope="session")
def validation_split() -> Split:
    return synthetic_split(3, first_seed=100)


def synthetic_split(count: int, first_seed: int, side: int = 32) -> Split:
    from lesion.training.batches import Split

    pairs = [lesion_image(first_seed + i, side, side) for i in range(count)]
    masks = np.stack([mask for _, mask in pairs])
    ids = [f"ISIC_{first_seed + i:07}" for i in range(count)]
    return Split(np.stack([image for image, _ in pairs]), masks.astype(np.uint8), ids)
