"""The stages collect and external: the trained model on data sets that it has never seen."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import collect
import download
import external
import preprocess
from lesion.formats.tables import load_table
from lesion.photos.archives import ArchiveReader
from lesion.photos.images import decode_image
from lesion.photos.inventory import KEPT
from lesion.photos.masks import decode_mask
from lesion.photos.overlap import NEAR, SAME_ID
from lesion.pipeline.errors import InputError
from lesion.prediction.job import Job
from lesion.prediction.photographs import find_sources
from lesion.prediction.segmenter import Segmenter
from lesion.report.external import data_sets
from lesion.scoring.scores import Confusion, ImageScores
from lesion.synthetic import write_archives
from project import ROOT, copy, copy_of_stages, environment, run, set_params
from public_data import drawn, encoded, ph2, write
from small_model import write_model

pytestmark = pytest.mark.long

IMAGES = "PH2Dataset/PH2 Dataset images"


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a model, whose square and resize are not those of params.yaml, and the data
    that it is said to have learnt from."""
    project = copy_of_stages(tmp_path_factory.mktemp("learnt") / "project")
    shutil.copytree(ROOT / "tools", project / "tools")
    write_archives(project / "data", {"train": 12, "validation": 4, "test": 4}, size=96, seed=3)
    set_params(project, image_size=32, resize="stretch", threads=1)
    write_model(project / "model")
    (project / "metrics").mkdir()
    shutil.copy(ROOT / "metrics/scores.csv", project / "metrics")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        download.main()
        preprocess.main()
    return project


@pytest.fixture
def project(learnt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which the process is."""
    folder = Path(shutil.copytree(learnt, tmp_path / "project"))
    monkeypatch.chdir(folder)
    return folder


def own(split: str, number: int, change: Callable = lambda pixels: pixels) -> dict[str, object]:
    """The pixels and mask of one of the project's own images, changed, and its id."""
    index = pd.read_csv("arrays/index.csv", dtype=str)
    row = index[index["split"] == split].iloc[number]
    with ArchiveReader(Path("raw")) as archives:
        image = decode_image(archives.read(row["image_archive"], row["image"])).pixels
        mask = decode_mask(archives.read(row["mask_archive"], row["mask"]))
    return {"id": row["id"], "image": change(image), "mask": change(mask.view(np.uint8)) > 0}


def in_ph2(name: str, pair: dict) -> dict[str, bytes]:
    """A pair as files of PH2."""
    top = f"{IMAGES}/{name}/{name}"
    return {
        f"{top}_Dermoscopic_Image/{name}.bmp": encoded(pair["image"], "BMP"),
        f"{top}_lesion/{name}_lesion.bmp": encoded(pair["mask"], "BMP"),
    }


def smaller(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    return cv2.resize(pixels, (width * 3 // 4, height * 3 // 4), interpolation=cv2.INTER_AREA)


def scored(**knobs: object) -> dict:
    """The numbers of each data set, once the stages have run."""
    set_params(Path(), **knobs)
    collect.main()
    external.main()
    return json.loads(Path("metrics/external.json").read_text())["external"]


def refusal(stage: Callable[[], None]) -> str:
    with pytest.raises(InputError) as error:
        stage()
    return str(error.value)


@pytest.fixture
def with_ph2(project: Path) -> Path:
    """PH2 of 12 drawings, with copies of own images: of training (one by id), and of test."""
    overlapping = {
        **in_ph2("IMD101", own("train", 0, smaller)),
        **in_ph2("IMD102", own("validation", 0, smaller)),
        **in_ph2("IMD103", own("test", 0, smaller)),
        **in_ph2((pair := own("train", 1))["id"], pair),
    }
    write(project / "data/external/ph2", ph2(12) | overlapping)
    return project


def test_made_up_ph2_is_scored_without_what_was_learnt_from(with_ph2, capsys):
    numbers = scored(external="[ph2]")["ph2"]
    assert {name: numbers[name] for name in list(numbers)[-5:]} == {
        "images": 13,
        "rejected": 0,
        "left_out_same_id": 1,
        "left_out_near_duplicate": 2,
        "also_in_test": 1,
    }
    data = load_table("external_data").set_index("id")
    assert data.loc[data["reason"] == SAME_ID].index.tolist() == [own("train", 1)["id"]]
    near = data[data["reason"] == NEAR]
    assert near["twin"].to_dict() == {
        "IMD101": own("train", 0)["id"],
        "IMD102": own("validation", 0)["id"],
    }
    assert (
        data.loc["IMD103", "twin"] == own("test", 0)["id"] and data.loc["IMD103", "state"] == KEPT
    )
    images = load_table("external_per_image")
    assert images["id"].tolist() == sorted(data.index[data["state"] == KEPT])
    said = capsys.readouterr().out
    assert "ph2 (13 images, 1 left out by id, 2 left out as near-duplicates" in said
    assert "_roi/" in said  # passed over

    # The bytes that tools/predict.py writes, scored at the photographs' own size.
    photographs = [Path("data/external/ph2", IMAGES, name) for name in images["id"]]
    sources = [source for source in find_sources(photographs) if "Dermoscopic" in source.name]
    job = Job(with_ph2 / "found", Segmenter.of_folder())
    assert all(done.row for done in job.run(sources))
    scores = []
    for source, row in zip(sources, images.itertuples(), strict=True):
        mask = Path("external_predictions/ph2", f"{row.id}_segmentation.png").read_bytes()
        assert mask == job.mask_path(source).read_bytes()
        truth = next(source.path.parents[1].glob("*_lesion/*.bmp")).read_bytes()
        scores.append(asdict(ImageScores.of(Confusion.between(*map(decode_mask, (mask, truth))))))
    means = pd.DataFrame(scores).mean()
    assert {name: numbers[name] for name in means.index} == pytest.approx(means.to_dict(), abs=1e-6)

    table = load_table("external").set_index("score")
    tested = load_table("scores").query(
        "split == 'test' and method == 'network' and group == 'all'"
    )
    dice = tested.set_index("score")["value"]["dice"]
    assert table["difference"]["dice"] == pytest.approx(numbers["dice"] - dice, abs=1e-6)
    assert table["low"]["dice"] < numbers["dice"] < table["high"]["dice"]

    # And by hand.
    command = [sys.executable, "tools/score.py", "data/external/ph2", "--entry", "ph2"]
    said = run(with_ph2, *command, "--csv", "by_hand.csv", "--masks", "masks").stdout
    assert f"| dice | {numbers['dice']:.4f} |" in said
    assert "13 images scored, 1 left out by id, 2 left out as near-duplicates, 1 also" in said
    by_hand, by_stage = (
        pd.read_csv(path) for path in ("by_hand.csv", "metrics/external_per_image.csv")
    )
    pd.testing.assert_frame_equal(by_hand, by_stage.drop(columns="dataset"))


def test_a_folder_without_an_entry_is_one_by_its_names_with_groups_and_splits(project):
    for name in ("plain", "archives"):
        (project / "data/external" / name).mkdir(parents=True)
    for number in range(12):
        image, mask = drawn(500 + number)
        files = {f"X{number}.jpg": image, f"X{number}_segmentation.png": encoded(mask, "PNG")}
        write(project / "data/external/plain", files)
    table = "".join(f"X{number},P{number // 4}\n" for number in range(12))
    (project / "data/external/plain/metadata.csv").write_text(f"isic_id,patient_id\n{table}")
    # Its ids are those of other drawings here.
    counts = {"validation": 2, "test": 3}
    write_archives(project / "data/external/archives", counts, size=64, seed=9)
    found = scored(external="[plain, archives]")
    assert found["plain"]["images"] == 12 and "left_out_same_id" in found["plain"]
    scores = load_table("external")
    # Three patients are too few for an interval, though twelve images are not.
    assert scores.loc[scores["dataset"] == "plain", "low"].isna().sum() > 10
    assert found["archives"]["images"] + found["archives"]["left_out_same_id"] == 5
    assert found["archives"]["also_in_test"] == 3


def test_where_everything_overlaps_nothing_is_scored_and_that_is_said(project, capsys):
    files = {}
    for number in range(3):
        pair = own("train", number)
        files |= {
            f"{pair['id']}.png": encoded(pair["image"], "PNG"),
            f"{pair['id']}_segmentation.png": encoded(pair["mask"], "PNG"),
        }
    write(project / "data/external/same", files)
    numbers = scored(external="[same]")
    assert numbers["same"] == {
        "images": 0,
        "rejected": 0,
        "left_out_same_id": 3,
        "left_out_near_duplicate": 0,
        "also_in_test": 0,
    }
    assert "same (0 images, 3 left out by id): none is left" in capsys.readouterr().out
    _, row = data_sets(numbers, load_table("external"), load_table("scores"))
    assert row.images == 0 and {cell.value for cell in row.cells} == {"–"}


def test_without_further_data_sets_torch_is_not_loaded_and_tables_have_their_headers(project):
    code = "import sys; sys.path.insert(0, 'stages'); import collect, external; collect.main();"
    code += "external.main(); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), cwd=project)
    assert done.returncode == 0
    assert json.loads(Path("metrics/external.json").read_text()) == {"external": {}}
    for name in ("external", "external_per_image", "external_data"):
        table = load_table(name)
        assert table.empty and table.columns[0] == "dataset" and len(table.columns) > 9
    assert data_sets({}, load_table("external"), load_table("scores")) == []


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            "[nowhere]",
            "'external': found 'nowhere'; expected a data set of datasets.yaml (isic2018",
        ),
        ("[ph2]", "data/external/ph2: not found; register at https://www.fc.up.pt"),
        ("[ph2, ph2]", "'external': found 'ph2' 2 times; expected each name once"),
        ("['../raw']", "'external': found ['../raw']; expected a list of names"),
        ("ph2", "'external': found 'ph2'; expected a list of names"),
    ],
)
def test_what_cannot_be_collected_stops_with_one_line_and_leaves_what_was_there(
    project, names, said
):
    collect.main()
    before = Path("external_raw/index.csv").read_bytes()
    set_params(project, external=names)
    message = refusal(collect.main)
    assert said in message and "\n" not in message
    assert Path("external_raw/index.csv").read_bytes() == before


def test_a_pair_that_cannot_be_used_stops_by_name_and_reason_unless_it_may(with_ph2):
    image = next((with_ph2 / "data/external/ph2").rglob("IMD005.bmp"))
    image.write_bytes(image.read_bytes()[:-99])
    set_params(with_ph2, external="[ph2]")
    collect.main()
    message = refusal(external.main)
    assert message.startswith(
        "external_raw/ph2: 1 of 16 pairs cannot be used, the first being IMD005"
    )
    data = load_table("external_data").set_index("id")
    assert "image: " in data.loc["IMD005", "reason"]
    assert not Path("metrics/external.json").exists()
    assert not Path("external_predictions").exists()
    numbers = scored(max_rejected=0.1)["ph2"]
    assert (numbers["rejected"], numbers["images"]) == (1, 12)


@pytest.mark.slow
def test_an_experiment_scores_them_from_dvc_to_mlflow(base, tmp_path):
    from mlflow import MlflowClient

    folder = copy(base, tmp_path)
    write(folder / "data/external/ph2", ph2(12))
    run(folder, "dvc", "add", "data/external/ph2")
    run(folder, "git", "commit", "--quiet", "--all", "--message", "PH2")
    run(folder, "dvc", "exp", "run", "--temp", "--name", "elsewhere", "-S", "external=[ph2]")
    run(folder, "dvc", "exp", "apply", "elsewhere")
    numbers = json.loads((folder / "metrics/external.json").read_text())["external"]["ph2"]
    assert numbers["images"] == 12
    shown = run(folder, "dvc", "metrics", "show", "--md").stdout
    assert "external.ph2.dice" in shown
    assert "On other data sets" in (folder / "plots/report.html").read_text()
    assert "| ph2 | 12" in (folder / "model/README.md").read_text()
    run_id = run(folder, "python", "tools/find_run.py", "elsewhere").stdout.split()[1]
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    assert client.get_run(run_id).data.metrics["external.ph2.dice"] == numbers["dice"]
    for command in (["plots", "show"], ["plots", "diff", "HEAD"], ["metrics", "diff", "HEAD"]):
        assert "failed to load" not in (done := run(folder, "dvc", *command)).stdout + done.stderr
