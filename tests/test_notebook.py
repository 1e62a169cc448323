"""notebooks/tour.ipynb runs from its first cell to its last, where it lies and opened alone."""

import json
from pathlib import Path

import pytest

from project import ROOT, copy, environment

NOTEBOOK = ROOT / "notebooks/tour.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_the_notebook_is_kept_without_what_came_out_of_it():
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert code and all(cell["outputs"] == [] and not cell["execution_count"] for cell in code)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("where", ["in the project", "alone"])
def test_the_notebook_runs_and_shows_its_pictures_and_its_table(where, base, tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="needs requirements-notebook.txt")
    nbclient = pytest.importorskip("nbclient", reason="needs requirements-notebook.txt")
    pytest.importorskip("ipykernel", reason="needs requirements-notebook.txt")
    project = copy(base, tmp_path)
    folder = project / "notebooks" if where == "in the project" else tmp_path / "alone"
    folder.mkdir(exist_ok=True)
    notebook = nbformat.read(NOTEBOOK, 4)
    if where == "alone":
        (first, *_) = [cell for cell in notebook.cells if cell.cell_type == "code"]
        first.source = first.source.replace('REPOSITORY = ""', f'REPOSITORY = "{project}"')
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute(env=environment() | {"PIP_DRY_RUN": "1"})  # what is missing is for others to install
    shown = [
        output.data
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type in ("display_data", "execute_result")
    ]
    assert sum("image/png" in data for data in shown) == 3
    (table,) = [data["text/html"] for data in shown if "text/html" in data]
    assert "thresholded_iou" in table
    assert Path(folder / "lesions").exists() == (where == "alone")
