import json

import pytest

from lesion.formats.tables import load_numbers, load_table
from lesion.pipeline.errors import InputError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metrics").mkdir()
    return tmp_path / "metrics"


def test_ids_come_back_as_they_are_and_empty_fields_as_missing(folder):
    (folder / "x.csv").write_text("id,dice,notes\n0010,0.5,NA\nNA,,\n1e5,0.25,null\n")
    table = load_table("x")
    assert table["id"].tolist() == ["0010", "NA", "1e5"]
    assert table["dice"].isna().tolist() == [False, True, False] and table["dice"][2] == 0.25
    assert table["notes"].isna().tolist() == [False, True, False] and table["notes"][0] == "NA"


def test_a_table_without_those_columns_is_read_too(folder):
    (folder / "x.csv").write_text("threshold,iou\n0.5,0.8\n")
    assert load_table("x").to_dict("list") == {"threshold": [0.5], "iou": [0.8]}


def test_the_evaluation_is_what_was_written(folder):
    (folder / "evaluation.json").write_text(json.dumps({"test": {"dice": 0.5}}))
    assert load_numbers("evaluation") == {"test": {"dice": 0.5}}


def test_what_is_missing_is_named_with_what_to_do():
    for load in (lambda: load_table("scores"), lambda: load_numbers("evaluation")):
        with pytest.raises(
            InputError, match=r"metrics/\w+\.(csv|json): not found; run `dvc repro`"
        ):
            load()
