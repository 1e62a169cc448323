"""tools/predict.py as somebody runs it who has photographs and a finished pipeline."""

import csv
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from project import copy, environment, run, wait_for

pytestmark = pytest.mark.long


def images_of(base: Path) -> Path:
    (name,) = {
        row["image_archive"] for row in rows(base / "raw/index.csv") if row["split"] == "test"
    }
    return base / "raw" / name


def predict(base: Path, folder: Path, *arguments: object, status: int = 0):
    tool = base / "tools/predict.py"
    return run(folder, sys.executable, str(tool), *map(str, arguments), status=status)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def found(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tool made of all test images, which it got as an archive."""
    folder = tmp_path_factory.mktemp("found")
    said = predict(base, folder, images_of(base), "-o", "out", "--submit", "--overlay").stdout
    assert f"16 masks in {folder}/out" in said
    return folder / "out"


def test_masks_and_confidence_are_those_of_the_stage_evaluate_to_the_bit(base, found):
    expected = {path.name: path for path in (base / "predictions/test").iterdir()}
    masks = {path.name: path for path in (found / "masks").rglob("*.png")}
    assert masks.keys() == expected.keys() and len(masks) == 16
    assert all(masks[name].read_bytes() == path.read_bytes() for name, path in expected.items())
    scored = {row["id"]: row for row in rows(base / "metrics/per_image.csv")}
    for row in rows(found / "predictions.csv"):
        assert row["expected_dice"] == scored[Path(row["id"]).name]["expected_dice"]
    assert rows(found / "rejected.csv") == []


def test_the_submission_and_the_overlays_are_there(found):
    with zipfile.ZipFile(found / "submission.zip") as archive:
        names = set(archive.namelist())
    assert names == {path.name for path in (found / "masks").rglob("*.png")}
    assert len(list((found / "overlays").rglob("*.jpg"))) == 16


def test_bad_files_are_named_at_the_end_with_exit_status_2(base, tmp_path):
    with zipfile.ZipFile(images_of(base)) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".jpg"))
        (tmp_path / "good.jpg").write_bytes(archive.read(name))
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:-20])
    result = predict(base, tmp_path, "good.jpg", "cut.jpg", "-o", "out", status=2)
    assert result.stderr.splitlines()[-1].startswith(f"predict: {tmp_path}/cut.jpg: Premature end")
    assert [row["file"] for row in rows(tmp_path / "out/rejected.csv")] == ["cut.jpg"]
    assert [row["id"] for row in rows(tmp_path / "out/predictions.csv")] == ["good"]


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        (["nowhere", "-o", "out"], 1, "nowhere: not found"),
        (["a.jpg", "-o", "out", "--model", "nowhere"], 1, "predictor.json: not found"),
        (["a.jpg", "-o", "out", "--model", "models:/none@champion"], 1, "mlflow.db"),
        (["a.jpg", "-o", "out", "--shard", "3/2"], 2, "expected K/N"),
        (["a.jpg", "-o", "out", "--shard", "1/2", "--submit"], 2, "without --shard"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    base, tmp_path, arguments, status, words
):
    (tmp_path / "a.jpg").write_bytes(b"")
    result = predict(base, tmp_path, *arguments, status=status)
    assert words in result.stderr.splitlines()[-1] and "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_killed_it_goes_on_where_it_was_and_ends_with_the_same_bytes(base, found, tmp_path):
    # As many photographs as take a while: the same ones in many folders.
    with zipfile.ZipFile(images_of(base)) as archive:
        for number in range(40):
            archive.extractall(tmp_path / f"in/{number}")
    command = [sys.executable, base / "tools/predict.py", "in", "-o", "out"]
    with subprocess.Popen(
        [*map(str, command)], cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: len(list((tmp_path / "out").rglob("*.png"))) > 50, pause=0.01)
        process.send_signal(signal.SIGKILL)
    noted = (tmp_path / "out/progress.jsonl").read_text().count('"id"')
    assert 0 < noted < 640 and not (tmp_path / "out/predictions.csv").exists()
    said = predict(base, tmp_path, "in", "-o", "out").stdout
    assert "640 masks" in said and "made earlier" in said
    expected = {path.name: path.read_bytes() for path in (found / "masks").rglob("*.png")}
    masks = list((tmp_path / "out/masks").rglob("*.png"))
    assert len(masks) == 640 and len(rows(tmp_path / "out/predictions.csv")) == 640
    assert all(path.read_bytes() == expected[path.name] for path in masks)
    assert not [path for path in (tmp_path / "out").rglob("*.part")]


def test_a_model_is_complete_by_itself(base, found, tmp_path):
    shutil.copytree(base / "model", tmp_path / "elsewhere")
    predict(base, tmp_path, images_of(base), "-o", "out", "--model", "elsewhere")
    assert (tmp_path / "out/predictions.csv").read_bytes() == (
        found / "predictions.csv"
    ).read_bytes()


@pytest.mark.slow
def test_the_champion_is_such_a_model_too(base, found, tmp_path):
    project = copy(base, tmp_path)
    for command in ("stages/record.py", "tools/champion.py"):
        run(project, "python", command)
    champion = "models:/skin-lesion-unet@champion"
    predict(project, tmp_path, images_of(base), "-o", "out", "--model", champion)
    assert (tmp_path / "out/predictions.csv").read_bytes() == (
        found / "predictions.csv"
    ).read_bytes()
