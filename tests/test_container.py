"""The images of Dockerfile and what compose.yaml makes of them."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import mlflow
import pandas as pd
import pytest
from ruamel.yaml import YAML

from container import Container, context, fresh_root, steps, targets
from modules import all_imported
from project import ROOT, clone
from servers import free_port
from test_served_model import photographs_of

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = YAML(typ="safe").load(ROOT / "compose.yaml")
SERVING = (ROOT / "requirements-serving.txt").read_text().split()
PINNED = (ROOT / "requirements.txt").read_text().split()
# By the name that they are imported by.
DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python-headless"}

needs_root = pytest.mark.skipif(
    os.getuid() != 0 or not all(map(shutil.which, ("debootstrap", "unshare", "chroot"))),
    reason="needs root and Debian's debootstrap",
)


def operands(target: str, instruction: str) -> list[str]:
    return [found for name, found in steps(DOCKERFILE, target) if name == instruction]


def test_serving_installs_what_its_modules_import_and_nothing_else_as_it_is_pinned():
    tool = ROOT / "tools/app.py"
    packages = set()
    for file in {tool, *all_imported(tool)}:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                packages |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                packages.add(str(node.module).partition(".")[0])
    packages -= {"lesion", "_typeshed", *sys.stdlib_module_names}
    assert {line.partition("==")[0] for line in SERVING} == {
        DISTRIBUTIONS.get(name, name) for name in packages
    }
    assert set(SERVING) <= set(PINNED)


@pytest.mark.parametrize("target", ["address", "mlflow"])
def test_an_image_runs_as_somebody_who_is_not_root_and_says_whether_it_is_well(target):
    assert operands(target, "USER")[-1:] == ["lesion"]
    assert len(operands(target, "HEALTHCHECK")) == len(operands(target, "CMD")) == 1


def test_the_address_is_what_is_made_unless_another_is_asked_for():
    assert targets(DOCKERFILE)[-1] == "address"


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_of_compose_is_an_image_of_the_dockerfile_whose_port_this_machine_alone_reaches(
    name,
):
    service = COMPOSE["services"][name]
    (port,) = operands(service["build"]["target"], "EXPOSE")
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    for volume in service.get("volumes", []):
        kept, folder = volume.split(":")
        assert kept in COMPOSE["volumes"]
        assert f"--owner=lesion {folder}" in operands(service["build"]["target"], "RUN")[-1]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fresh_root(tmp_path_factory.mktemp("debian") / "root")


def made(target: str, project: Path, debian: Path, folder: Path, port: int) -> Container:
    """A target of the Dockerfile at another port than the usual, which may be taken here."""
    root = folder / "root"
    subprocess.run(["cp", "-a", debian, root], check=True)  # which knows devices for what they are
    wheels, files = folder / "wheels", context(project, folder / "context")
    requirements = SERVING if target == "address" else [_mlflow()]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "-d", wheels, *requirements], check=True
    )
    (exposed,) = operands(target, "EXPOSE")
    text = DOCKERFILE.replace(exposed, str(port))
    return Container(root, wheels).build(text, target, files)


def _mlflow() -> str:
    return next(line for line in PINNED if re.match("mlflow==", line))


@pytest.mark.long
@pytest.mark.slow
@needs_root
def test_a_photograph_sent_to_the_container_comes_back_as_the_pipeline_s_mask(
    base, debian, tmp_path
):
    port = free_port()
    container = made("address", base, debian, tmp_path, port)
    with container.running() as process:
        assert set(process.uids()) == {10001}
        for name, path in photographs_of(base, tmp_path).items():
            asked = Request(
                f"http://127.0.0.1:{port}/v1/segment",
                path.read_bytes(),
                {"Accept": "image/png", "Content-Type": "application/octet-stream"},
            )
            with urlopen(asked) as answer:
                mask = base / f"predictions/test/{name}_segmentation.png"
                assert answer.read() == mask.read_bytes()
    owned = subprocess.run(
        ["find", container.root, "-uid", "10001", "-type", "f"], capture_output=True, text=True
    )
    assert owned.stdout == ""  # photographs are stored nowhere


@pytest.mark.long
@pytest.mark.slow
@needs_root
def test_runs_that_mlflow_s_container_took_are_there_when_it_starts_again(debian, tmp_path):
    port = free_port()
    container = made("mlflow", clone(tmp_path / "project"), debian, tmp_path, port)
    client = mlflow.MlflowClient(f"http://127.0.0.1:{port}")
    (tmp_path / "table.csv").write_text("a,b\n")
    with container.running() as process:
        assert set(process.uids()) == {10001}
        run = client.create_run("0")
        client.log_artifact(run.info.run_id, str(tmp_path / "table.csv"))
    with container.running():
        assert client.get_run(run.info.run_id).info.status == "RUNNING"
        found = client.download_artifacts(run.info.run_id, "table.csv", str(tmp_path / "root"))
        assert pd.read_csv(found).columns.to_list() == ["a", "b"]
