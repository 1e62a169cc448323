"""What only shows, checks or writes down decides nothing: no output depends on it.

That is why no stage but record has the rooms console, parameters, tracking and upkeep among its
dependencies: here they are replaced by ones that show, check and write down nothing.
"""

import shutil
from pathlib import Path

import pytest

from lesion.formats.fingerprint import DECIDES_NOTHING
from modules import LESION, all_imported, imported, room
from project import ROOT, copy, run

pytestmark = pytest.mark.long

STAGES = (
    *("download", "collect", "preprocess", "baseline", "encoder", "train", "evaluate", "external"),
    "plot",
)
OUTPUTS = ("raw", "arrays", "thumbnails", "pretrained", "model", "predictions", "plots", "metrics")
OUTPUTS += ("external_raw", "external_predictions")
CLI = """
import os
from pathlib import Path

def run(stage):
    os.chdir(Path(__file__).parents[3])
    stage()
"""
SHOWN = """
def one_line(text):
    return ""
"""
PROGRESS = """
from contextlib import nullcontext

class Progress(nullcontext):
    def __init__(self, *arguments, **options):
        super().__init__(self)

    def update(self, n=1):
        pass

    def say(self, line):
        pass
"""
READING = """
from pathlib import Path
from types import SimpleNamespace
from ruamel.yaml import YAML

PARAMS_FILE = Path("params.yaml")

class Values(SimpleNamespace):
    def model_dump(self):
        return {name: getattr(self, name) for name in sorted(self.own)}

def load_params(model):
    return Values(own=list(model.model_fields), **YAML(typ="safe").load(PARAMS_FILE))
"""
RUNS = """
from contextlib import contextmanager

class Run:
    def __getattr__(self, name):
        return lambda *arguments, **options: None

@contextmanager
def training(*arguments):
    yield Run()
"""
RESULT = """
def data_params():
    return {}
"""
FINISHED = """
from pathlib import Path

CHECKPOINT = Path("checkpoint/train.pt")

def is_marked(fingerprint):
    return False

def nothing(*arguments):
    pass

mark = unmark = remove = remove_if_cached = nothing
"""
SILENT = {
    "console/cli.py": CLI,
    "console/shown.py": SHOWN,
    "console/progress.py": PROGRESS,
    "parameters/reading.py": READING,
    "tracking/runs.py": RUNS,
    "tracking/result.py": RESULT,
    "upkeep/finished.py": FINISHED,
}
MODELS = {f"parameters/{name}.py" for name in (*STAGES, "model")}  # classes with types, no more


def contents(project: Path) -> dict[str, bytes]:
    files = [path for name in OUTPUTS for path in (project / name).rglob("*") if path.is_file()]
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in files}


def test_outputs_are_the_same_where_nothing_is_shown_checked_or_written_down(base, tmp_path):
    project = copy(base, tmp_path)
    for name in (*OUTPUTS, "mlspool"):
        shutil.rmtree(project / name)
    for name, code in SILENT.items():
        (project / "stages/lesion" / name).write_text(code)
    for stage in STAGES:
        run(project, "python", f"stages/{stage}.py")
    assert contents(project) == contents(base)
    assert not (project / "mlspool").exists()


def test_what_stages_use_of_those_rooms_is_replaced_there():
    used = set()
    for stage in STAGES:
        script = ROOT / f"stages/{stage}.py"
        deciding = {script, *all_imported(script, lambda path: room(path) not in DECIDES_NOTHING)}
        used |= set().union(*map(imported, deciding)) - deciding
    names = {path.relative_to(LESION).as_posix() for path in used}
    assert {name for name in names if not name.endswith("__init__.py")} - MODELS == set(SILENT)
