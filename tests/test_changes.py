"""What a change costs: the stages that DVC calls changed, as docs/architecture.md has them."""

import re
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import pytest
from dvc.repo import Repo

from modules import ROOMS
from project import ROOT, copy, set_params

pytestmark = pytest.mark.long

STAGES = (
    *("download", "collect", "preprocess", "baseline", "encoder", "train", "evaluate", "external"),
    *("plot", "record"),
)
# A parameter of each stage that has some, and another value of it.
PARAMETERS = {
    "download": ("source", "isic2018"),
    "collect": ("external", "[ph2]"),
    "preprocess": ("max_rejected", 0.5),
    "encoder": ("encoder", "mobilenet_v2"),
    "train": ("lr", 0.01),
    "evaluate": ("threshold", 0.4),
    "plot": ("panel_images", 3),
}


def documented(pattern: str) -> dict[str, list[str]]:
    """Of each row that fits, what it stands for and the stages in its last column."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = {}
    for name, cell in re.findall(pattern, text, re.M):
        named = re.findall(r"\w+", cell)
        everything = [stage for stage in STAGES if stage not in named]
        table[name] = everything if named[:2] == ["all", "stages"] else named
        table[name] = [] if named == ["no", "stage"] else table[name]
    return table


@pytest.fixture(scope="module")
def project(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy(base, tmp_path_factory.mktemp("changes"))


@contextmanager
def changed(path: Path) -> Iterator[None]:
    """Puts a file back as it was."""
    before = path.read_bytes()
    yield
    path.write_bytes(before)


def stages_to_run(project: Path) -> list[str]:
    with chdir(project), Repo() as repo:
        found = repo.status()
    return [stage for stage in STAGES if stage in found]


def row(what: str, stages: list[str], capsys: pytest.CaptureFixture) -> None:
    with capsys.disabled():
        print(f"\n{what:28} → {', '.join(stages) or 'no stage'}", end="")


@pytest.mark.parametrize("name", ROOMS)
def test_a_change_in_a_room_runs_the_stages_that_the_page_names(name, project, capsys):
    module = sorted((project / "stages/lesion" / name).glob("*.py"))[-1]
    with changed(module):
        module.write_text(module.read_text() + "# another thing\n")
        found = stages_to_run(project)
    row(f"{name}/", found, capsys)
    assert found == documented(r"^\| `(\w+)/` \|.*\| ([^|]+) \|$")[name]
    assert stages_to_run(project) == []


@pytest.mark.parametrize("stage", PARAMETERS)
def test_a_stages_parameter_runs_the_stages_that_the_page_names(stage, project, capsys):
    with changed(project / "params.yaml"):
        name, value = PARAMETERS[stage]
        set_params(project, **{name: value})
        found = stages_to_run(project)
    row(f"a parameter of {stage}", found, capsys)
    assert found == documented(r"^\| (\w+) \| ([^|]+) \|$")[stage]


def test_a_new_parameter_of_one_stage_leaves_the_others_alone(project):
    files = [project / name for name in ("params.yaml", "dvc.yaml")]
    module = project / "stages/lesion/parameters/plot.py"
    with changed(files[0]), changed(files[1]), changed(module):
        set_params(project, columns=3)
        text = files[1].read_text()
        assert "[panel_images, " in text
        files[1].write_text(text.replace("[panel_images, ", "[panel_images, columns, "))
        module.write_text(module.read_text() + "    columns: int\n")
        assert stages_to_run(project) == ["plot", "record"]
