"""The model card: what Hugging Face reads of it, and what a person does."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from lesion.formats.header import Header
from lesion.formats.settings import Settings
from lesion.report.card import INDEXED, TABLE, Trained, write_card
from lesion.report.external import Cell, DataSet

HEADER = Header("mobilenet_v2", 8, 5, 96, "letterbox", "f" * 64, epoch=3)
SETTINGS = Settings(
    weights="a" * 64,
    precision="portable",
    origin="photographs",
    threshold=0.37,
    tta=True,
    largest_component=False,
    fill_holes=True,
    temperature=1.31,
    no_lesion_odds=0.0,
    no_lesion_slope=1.0,
    review_limit=0.8123,
)
SPLIT = {"median_width": 600.0, "median_height": 450.0, "median_lesion_share": 0.1234}
DATA = {
    "pairs": 1243,
    "rejected": 4,
    "left_out": 5,
    "excluded": 7,
    "near_duplicates_across_splits": 6,
    **{
        name: {"kept": count, **SPLIT}
        for name, count in (("train", 987), ("validation", 98), ("test", 149))
    },
}
TRAINED = Trained(
    HEADER,
    SETTINGS,
    archives=["ISIC2018_Task1-2_Test_Input.zip", "ISIC2018_Task1-2_Training_Input.zip"],
    parameters={"lr": 0.003, "encoder": "mobilenet_v2", "orientations": True},
    data=DATA,
)
DRAWN = replace(TRAINED, settings=SETTINGS.model_copy(update={"origin": "synthetic"}))
TEST = {score: 0.5 + number / 100 for number, score in enumerate(TABLE)} | {
    "calibration_error_all_pixels": 0.0123,
    "uncalibrated_error_all_pixels": 0.0456,
}
WHERE_ALL_GOES = {
    "calibration_error_unsure_pixels": 0.0789,
    "uncalibrated_error_unsure_pixels": 0.0987,
    "confidence_correlation": 0.654,
    "failures_in_review": 0.75,
}
NAN = float("nan")


def row(split: str, group: str, method: str, score: str, images: int, *interval: float) -> tuple:
    return split, group, method, score, images, TEST[score], *(interval or (NAN, NAN))


SCORES = pd.DataFrame(
    [
        *(row("validation", "all", "network", score, 98) for score in TABLE),
        *(row("test", "all", "network", score, 149, 0.1, 0.9) for score in TABLE),
        row("test", "all", "otsu", "dice", 149, 0.2, 0.3),
        *(row("test", "hair: yes", "network", score, 7) for score in ("dice", "iou")),
        *(row("test", "hair: no", "network", score, 142, 0.4, 0.6) for score in ("dice", "iou")),
    ],
    columns=["split", "group", "method", "score", "images", "value", "low", "high"],
)


def card(
    folder: Path, trained: Trained = TRAINED, external: Sequence[DataSet] = (), **more: float
) -> str:
    write_card(folder / "README.md", trained, {"test": TEST | more}, SCORES, external)
    return (folder / "README.md").read_text(encoding="utf-8")


def parts(text: str) -> tuple[dict, str]:
    """Front matter and Markdown, told apart as Hugging Face does."""
    front, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", text, re.S).groups()
    return YAML(typ="safe").load(front), body


def rows(body: str, heading: str) -> list[list[str]]:
    """The first table below a heading."""
    _, _, below = body.partition(f"# {heading}\n")
    table = re.search(r"^\|(?:.*\n\|)*.*\n", below, re.M)[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


@pytest.mark.parametrize("trained", [TRAINED, DRAWN], ids=["photographs", "drawings"])
def test_metadata_has_what_hugging_face_asks_for(tmp_path, trained):
    metadata, _ = parts(card(tmp_path, trained))
    assert metadata["license"] == "mit"
    assert metadata["pipeline_tag"] == "image-segmentation"
    for name in ("tags", "datasets", "metrics"):
        assert metadata[name] and all(type(entry) is str for entry in metadata[name])
        assert len(set(metadata[name])) == len(metadata[name])
    assert metadata["datasets"] == ["isic2018"]
    assert ("synthetic" in metadata["tags"]) == (trained is DRAWN)
    (model,) = metadata["model-index"]
    (result,) = model["results"]
    assert type(model["name"]) is str and result["task"]["type"] == "image-segmentation"
    assert result["dataset"]["type"] == "isic2018" and result["dataset"]["split"] == "test"
    assert ("drawings" in result["dataset"]["name"]) == (trained is DRAWN)
    assert {found["type"]: found["value"] for found in result["metrics"]} == {
        score: TEST[score] for score in INDEXED
    }


def test_hugging_faces_own_reader_takes_it(tmp_path):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    read = huggingface_hub.ModelCard(card(tmp_path)).data
    found = {result.metric_type: result.metric_value for result in read.eval_results}
    assert found == {score: TEST[score] for score in INDEXED}
    assert (read.license, read.model_name) == ("mit", "skin-lesion-unet")


def test_scores_stand_with_their_intervals_and_without_where_there_is_none(tmp_path):
    _, body = parts(card(tmp_path))
    head, _, *table = rows(body, "Results")
    assert head == ["photographs", "test (149 images)", "validation (98 images)"]
    assert len(table) == len(TABLE)
    assert table[0] == ["Dice", "0.500 (0.100–0.900)", "0.500"]
    methods = rows(body, "Beside masks that need no training")
    assert ["otsu", "0.500 (0.200–0.300)", "–", "–"] in methods
    _, _, *groups = rows(body, "By group")
    assert groups == [
        ["hair: yes", "7", "0.500", "0.510", "–"],
        ["hair: no", "142", "0.500 (0.400–0.600)", "0.510 (0.400–0.600)", "–"],
    ]
    assert "Groups of fewer than 10 test images" in body and ": hair: yes.\n" in body


def test_other_data_sets_stand_beside_the_test_split_where_there_are_some(tmp_path):
    assert "other data sets" not in card(tmp_path)
    cells = [Cell("0.812", "0.800–0.820", "−0.100", "−0.120 to −0.080"), Cell("–", "", "", "")]
    ph2 = DataSet("ph2", 190, ["4 left out by id"], cells)
    tested = DataSet("test split", 149, [], [Cell("0.912", "", "", "")])
    _, body = parts(card(tmp_path, external=[tested, ph2]))
    _, _, *table = rows(body, "On other data sets")
    assert table == [
        ["test split", "149", "0.912"],
        ["ph2", "190, 4 left out by id", "0.812 (0.800–0.820) / −0.100 (−0.120 to −0.080)", "–"],
    ]


def test_it_says_what_data_parameters_settings_and_weights_are(tmp_path):
    _, body = parts(card(tmp_path))
    _, _, *splits = rows(body, "Training Data")
    assert [row[:2] for row in splits] == [
        ["train", "987"],
        ["validation", "98"],
        ["test", "149"],
    ]
    assert splits[0][2:] == ["600×450", "12.3 %"]
    for name in TRAINED.archives:
        assert f"`{name}`" in body
    _, _, *parameters = rows(body, "Training Hyperparameters")
    assert parameters == [
        ["`encoder`", "`mobilenet_v2`"],
        ["`lr`", "`0.003`"],
        ["`orientations`", "`true`"],
    ]
    for said in (SETTINGS.weights, HEADER.fingerprint, "0.37", "1.31", "0.8123", "letterbox"):
        assert said in body
    assert "Finetuned from model:** torchvision's mobilenet_v2" in body
    assert "Not a medical device" in body


def test_drawings_are_said_to_be_drawings_before_any_heading_but_the_first(tmp_path):
    drawn, photographed = (parts(card(tmp_path, trained))[1] for trained in (DRAWN, TRAINED))
    assert "tested on drawings" in drawn.partition("\n## ")[0]
    assert "not photographs" in drawn.partition("### Training Data")[2].partition("\n#")[0]
    assert "ISIC 2018" not in drawn.partition("## Citation")[2]
    assert "drawing" not in photographed.lower()
    assert "ISIC 2018" in photographed.partition("## Citation")[2]


@pytest.mark.parametrize("left_out", [*WHERE_ALL_GOES, None])
def test_what_has_no_value_is_not_spoken_of(tmp_path, left_out):
    said = {
        "calibration_error_unsure_pixels": "0.079",
        "uncalibrated_error_unsure_pixels": "0.099",
        "confidence_correlation": "0.65",
        "failures_in_review": "75 %",
    }
    there = {name: value for name, value in WHERE_ALL_GOES.items() if name != left_out}
    text = card(tmp_path, **there).partition("#### Calibration")[2].partition("\n## ")[0]
    assert {name for name, number in said.items() if number in text} == there.keys()


def test_an_archives_name_cannot_end_code_or_a_cell(tmp_path):
    metadata, body = parts(card(tmp_path, replace(TRAINED, archives=["a`|b: [x](y).zip", "-.zip"])))
    assert "from `a__b: [x](y).zip`, `-.zip`." in body
    assert metadata["datasets"] == ["a-b-x-y", "images"]


def test_equal_input_gives_equal_bytes_whatever_the_order_of_the_parameters(tmp_path):
    turned = replace(TRAINED, parameters=dict(reversed(TRAINED.parameters.items())))
    assert card(tmp_path) == card(tmp_path, turned)
