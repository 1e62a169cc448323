"""The champion where this project is not: in a process of another's, and behind MLflow's server."""

import json
import re
import shlex
import zipfile
from base64 import b64decode
from pathlib import Path
from urllib.request import urlopen

import pandas as pd
import pytest

from project import ROOT, copy, run
from servers import answering, free_port

pytestmark = pytest.mark.long

TRACKING = (ROOT / "docs/tracking.md").read_text(encoding="utf-8")
# What stands on the page, of which the store's address and the photograph's name are others here.
FOREIGN = re.search(r"```python\n(import mlflow\n.*?)```", TRACKING, re.S)[1]
SERVE = re.search(r"^mlflow models serve [^\n]*", TRACKING, re.M)[0]
CURL = re.search(r"^\{ printf .*?invocations$", TRACKING, re.M | re.S)[0]


@pytest.fixture(scope="module")
def project(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose model is the champion of its store."""
    project = copy(base, tmp_path_factory.mktemp("served"))
    for command in ("stages/record.py", "tools/champion.py"):
        run(project, "python", command)
    return project


def photographs_of(project: Path, folder: Path) -> dict[str, Path]:
    """Those of the test split, by id, unpacked into a folder."""
    index = pd.read_csv(project / "raw/index.csv")
    found = {}
    for row in index[index["split"] == "test"].itertuples():
        with zipfile.ZipFile(project / "raw" / row.image_archive) as archive:
            found[row.id] = Path(archive.extract(row.image, folder))
    return found


@pytest.fixture
def photographs(project: Path, tmp_path: Path) -> dict[str, Path]:
    return photographs_of(project, tmp_path)


def address(project: Path) -> str:
    return f"sqlite:///{project}/mlflow.db"


def assert_as_evaluated(project: Path, name: str, mask: bytes, row: dict) -> None:
    """The mask to the byte, and what is told of it as the tables round it."""
    assert mask == (project / f"predictions/test/{name}_segmentation.png").read_bytes()
    case = pd.read_csv(project / "metrics/per_image.csv").set_index("id").loc[name]
    assert round(row["expected_dice"], 6) == case["expected_dice"]
    assert round(row["lesion_share"], 6) == case["predicted_share"]
    limit = json.loads((project / "model/predictor.json").read_text())["review_limit"]
    assert row["review"] == (row["expected_dice"] <= limit)


def test_masks_in_a_process_of_another_s_are_those_of_the_pipeline(project, photographs, tmp_path):
    code = FOREIGN.replace("sqlite:////path/to/project/mlflow.db", address(project))
    code = code.replace('["photograph.jpg"]', repr([*map(str, photographs.values())]))
    code += "import lesion\nprint(lesion.__file__)\n"
    code += "found.drop(columns='mask').to_json('rest.json', orient='records')\n"
    code += "for row, mask in enumerate(found['mask']):\n"
    code += "    open(f'{row}.png', 'wb').write(mask)\n"
    said = run(tmp_path, "python", "-c", code).stdout
    assert Path(said.split()[-1]).is_relative_to(project / "mlartifacts")
    assert len(photographs) > 3
    rows = json.loads((tmp_path / "rest.json").read_text())
    for row, (name, values) in enumerate(zip(photographs, rows, strict=True)):
        assert_as_evaluated(project, name, (tmp_path / f"{row}.png").read_bytes(), values)


def test_a_result_without_settings_is_not_recorded_and_one_line_says_so(base, tmp_path):
    folder = copy(base, tmp_path)
    (folder / "model/predictor.json").unlink()
    said = run(folder, "python", "stages/record.py", status=1).stderr.strip()
    assert said.count("\n") == 0 and "model/predictor.json: not found" in said
    assert not (folder / "mlflow.db").exists() and not list(folder.glob("mlspool/*"))


@pytest.mark.slow
def test_a_photograph_sent_to_mlflow_s_server_comes_back_as_the_pipeline_s_mask(
    project, photographs, tmp_path
):
    port = free_port()
    ask = CURL.replace("5001", str(port))
    serve = shlex.split(SERVE.replace("5001", str(port)))
    with answering(serve, port, tmp_path, {"MLFLOW_TRACKING_URI": address(project)}):
        for name, path in photographs.items():
            answer = json.loads(
                run(tmp_path, "sh", "-c", ask.replace("photograph.jpg", str(path))).stdout
            )
            (row,) = answer["predictions"]
            assert_as_evaluated(project, name, b64decode(row["mask"]), row)
        (tmp_path / "no image").write_text("no image")
        refused = run(tmp_path, "sh", "-c", ask.replace("photograph.jpg", "no\\ image")).stdout
        assert "image of row 0: not an image" in json.loads(refused)["message"]
        with urlopen(f"http://127.0.0.1:{port}/version") as version:
            assert version.status == 200
