import json
import re

import pytest

from lesion.formats.settings import SETTINGS_FILE, Settings, read_settings, weights_hash
from lesion.pipeline.errors import InputError

GOOD = {
    "precision": "portable",
    "origin": "photographs",
    "threshold": 0.45,
    "tta": True,
    "largest_component": False,
    "fill_holes": True,
    "temperature": 1.2,
    "no_lesion_odds": 0.0,
    "no_lesion_slope": 1.0,
    "review_limit": 0.8,
}


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "unet.safetensors"
    path.write_bytes(b"weights")
    return path


def write(file, **changes):
    path = file.with_name(SETTINGS_FILE)
    values = {"weights": weights_hash(file), **GOOD, **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
    return path


def refusal(path, weights) -> str:
    with pytest.raises(InputError) as error:
        read_settings(path, weights)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_settings_come_back_as_they_were_written(weights):
    assert read_settings(write(weights), weights) == Settings(weights=weights_hash(weights), **GOOD)


@pytest.mark.parametrize(
    "name, value",
    [
        ("threshold", 1.5),
        ("threshold", "0.5"),
        ("tta", 1),
        ("temperature", 0.0),
        ("precision", "double"),
        ("origin", "elsewhere"),
        ("no_lesion_odds", -1.0),
        ("review_limit", None),
        ("weights", "abc"),
        ("another", 1),
    ],
)
def test_what_evaluation_would_not_write_is_named(weights, name, value):
    path = write(weights, **{name: value})
    assert re.search(rf"predictor\.json: {name}: .*dvc repro evaluate", refusal(path, weights))


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"weights": ', "[" * 100_000])
def test_what_is_no_settings_file_is_told(weights, text):
    path = weights.with_name(SETTINGS_FILE)
    path.write_text(text)
    assert "dvc repro evaluate" in refusal(path, weights)


def test_settings_of_other_weights_are_refused(weights):
    path = write(weights)
    weights.write_bytes(b"trained again")
    assert "belongs to weights" in refusal(path, weights)


def test_missing_files_are_told_apart(weights):
    assert "predictor.json: not found" in refusal(weights.with_name(SETTINGS_FILE), weights)
    path = write(weights)
    weights.unlink()
    assert "unet.safetensors: not found" in refusal(path, weights)
