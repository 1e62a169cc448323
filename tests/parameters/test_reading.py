import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from lesion.formats.architecture import ENCODERS
from lesion.parameters.model import StageParams
from lesion.parameters.reading import load_params, read_params
from lesion.parameters.train import TrainParams
from lesion.parameters.whole import ALL_STAGES
from lesion.pipeline.errors import InputError

pytestmark = pytest.mark.long

NUMBERS = ["image_size", "width", "depth", "epochs", "batch_size", "panel_images"]
SEEDS = ["seed", "split_seed", "threads"]
SHARES = ["val_fraction", "test_fraction", "max_rejected", "average_decay"]
STRENGTHS = ["max_empty", "encoder_lr", "geometry", "colour", "hairs"]
BOOLEANS = ["drop_leaks", "orientations", "tta"]
CHOICES = {
    "resize": "stretch, letterbox, crop",
    "encoder": "none, mobilenet_v2, mobilenet_v3_small",
    "encoder_statistics": "batch, imagenet",
    "schedule": "one_cycle, constant",
    "loss": "bce_dice, bce",
    "precision": "portable, auto, float32, bfloat16",
}
REALS = [*SHARES, "lr", "weight_decay", *STRENGTHS, "threshold"]
STAGE_OF = {name: model for model in ALL_STAGES for name in model.model_fields}


@pytest.fixture
def write(tmp_path, root):
    """Writes the project's params.yaml with some values replaced (None: left out) and a tail."""
    original = (root / "params.yaml").read_text()

    def write(tail: str = "", **values: str | None) -> Path:
        text = original
        for name, value in values.items():
            line = "" if value is None else f"{name}: {value}"
            text, count = re.subn(rf"(?m)^{name}:.*$", line.replace("\\", r"\\"), text)
            assert count == 1
        path = tmp_path / "params.yaml"
        path.write_text(text + tail)
        return path

    return write


def refusal(path: Path, stage: type[StageParams] = TrainParams) -> str:
    with pytest.raises(InputError) as error:
        load_params(stage, path)
    return str(error.value)


def test_projects_parameters_are_valid_and_are_those_of_the_stages(root):
    for stage in ALL_STAGES:
        load_params(stage, root / "params.yaml")
    assert read_params(root / "params.yaml").keys() == STAGE_OF.keys()


@pytest.mark.parametrize("text", ["1e-5", "1E-5", "1.0e-5", "0.00001", "+1e-5"])
def test_scientific_notation_is_a_number(write, text):
    lr = load_params(TrainParams, write(lr=text)).lr
    assert isinstance(lr, float) and lr == 1e-5


def test_a_whole_number_is_taken_where_a_number_is_expected(write):
    loaded = load_params(TrainParams, write(lr="1", weight_decay="0"))
    assert (loaded.lr, loaded.weight_decay) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("image_size", ["16", "4096"]),
        ("width", ["1", "1024"]),
        ("depth", ["1", "8"]),
        ("seed", ["0", "4294967295"]),
        ("threads", ["0", "1024"]),
        ("val_fraction", ["0", "0.999"]),
        ("average_decay", ["0", "0.9999"]),
        *((name, ["0", "1", "0.5"]) for name in STRENGTHS),
        *((name, ["true", "false"]) for name in BOOLEANS),
        *((name, choices.split(", ")) for name, choices in CHOICES.items()),
        ("threshold", ["0.001", "0.999"]),
        ("encoder", ["resnet18", "efficientnet_b0", "efficientnet_v2_s", "convnext_tiny"]),
        ("panel_images", ["1", "20"]),
    ],
)
def test_values_at_the_edge_of_what_is_allowed_are_taken(write, name, values):
    for value in values:
        path = write(**{name: value})
        assert getattr(load_params(STAGE_OF[name], path), name) == read_params(path)[name]


@pytest.mark.parametrize(
    ("name", "value", "found", "allowed"),
    [
        *((name, "true", "True", "whole number") for name in NUMBERS + SEEDS),
        *((name, "false", "False", "number") for name in REALS),
        *((name, "1.0", "1.0", "whole number") for name in NUMBERS + SEEDS),
        *((name, "'3'", "'3'", "number") for name in NUMBERS + SEEDS + REALS),
        *((name, "", "None", "number") for name in NUMBERS + SEEDS + REALS),
        *((name, "[1]", "[1]", "number") for name in NUMBERS + REALS),
        *((name, "-1", "-1", "at least") for name in NUMBERS + SEEDS + SHARES),
        *((name, "0", "0", "at least 1") for name in NUMBERS[1:]),
        *((name, "1", "1", "below 1") for name in SHARES),
        *((name, ".nan", "nan", "number") for name in REALS),
        *((name, ".inf", "inf", "number") for name in REALS),
        ("image_size", "15", "15", "at least 16 and at most 4096"),
        ("image_size", "4097", "4097", "at least 16 and at most 4096"),
        ("epochs", "1e3", "1000.0", "whole number at least 1"),
        ("seed", "4294967296", "4294967296", "below 4294967296"),
        ("lr", "0", "0", "above 0 and at most 10"),
        ("lr", "11", "11", "above 0 and at most 10"),
        *((name, "1.01", "1.01", "at least 0 and at most 1") for name in STRENGTHS),
        *((name, "-0.1", "-0.1", "at least 0") for name in STRENGTHS),
        *((name, "1", "1", "true or false") for name in BOOLEANS),
        *((name, "'yes'", "'yes'", "true or false") for name in BOOLEANS),
        *((name, "zzz", "'zzz'", f"one of {choices}") for name, choices in CHOICES.items()),
        *((name, "", "None", f"one of {choices}") for name, choices in CHOICES.items()),
        ("encoder", "resnet", "'resnet'", "resnet18, resnet34"),
        ("threshold", "0", "0", "above 0 and below 1"),
        ("threshold", "1", "1", "above 0 and below 1"),
        ("precision", "float16", "'float16'", "portable, auto, float32, bfloat16"),
        ("precision", "true", "True", "portable, auto, float32, bfloat16"),
        ("source", "3", "3", "name"),
        ("source", "''", "''", "name"),
    ],
)
def test_a_wrong_value_is_refused_with_file_key_value_and_what_is_allowed(
    write, name, value, found, allowed
):
    path = write(**{name: value})
    message = refusal(path)
    before, expected = message.split("; expected ")
    assert before == f"{path}: parameter '{name}': found {found}"
    assert allowed in expected


@pytest.mark.parametrize("name", sorted(STAGE_OF))
def test_a_missing_parameter_is_named_whichever_stage_runs(write, name):
    for stage in ALL_STAGES:
        assert f"parameter '{name}': missing; expected" in refusal(write(**{name: None}), stage)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("widht", "'width'"),
        ("batchsize", "'batch_size'"),
        ("zzz", "one of average_decay, batch_size"),
        ("augmentation", ""),
    ],
)
def test_an_unknown_parameter_is_refused_with_a_suggestion(write, name, hint):
    message = refusal(write(tail=f"\n{name}: 1\n"))
    assert f"unknown parameter '{name}'" in message and hint in message


@pytest.mark.parametrize("key", ["1", "null", "true", "2020-01-01", "[1]", "1.5"])
def test_a_key_that_is_no_name_is_refused(write, key):
    assert "unknown parameter" in refusal(write(tail=f"\n{key}: 1\n"))


def test_a_key_given_twice_is_refused_with_its_line(write):
    path = write(tail="\nseed: 1\n")
    line = path.read_text().splitlines().index("seed: 1") + 1
    message = refusal(path)
    assert "duplicate key" in message and '"seed"' in message
    assert re.search(rf"line ({line}|{line + 1}):", message)


@pytest.mark.parametrize(
    "text",
    ["", "null", "- 1", "3", "seed", "seed: [", 'seed: "a', "\tseed: 1", "seed: *a", "a: 1\n---\n"],
)
def test_what_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    message = refusal(path)
    assert str(path) in message and "expected" in message


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"seed: \x00\n", id="control character"),
        pytest.param(b"# \xe9\nseed: 1\n", id="latin-1"),
        pytest.param(b"seed: 2021-13-45\n", id="impossible date"),
        pytest.param(b"seed: " + b"9" * 5000 + b"\n", id="endless number"),
    ],
)
def test_content_that_yaml_cannot_read_is_refused(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    assert str(path) in refusal(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x {seed: 3}\n<<: *x", "line 1: found a reference"),
        ("<<: {seed: 3}", "line 1: found a merged mapping"),
        ("seed: &x 1", "line 1: found a reference"),
        ("seed: !!int 1", "line 1: found a tag"),
        ("seed: 1\nwidth: !width 1", "line 2: found a tag"),
        ("seed: " + "[" * 20_000, "depth"),
        ("seed: " + "{a: " * 20_000, "depth"),
        ("- " * 20_000, "depth"),
        ("seed: 1\n---\nseed: 2", "document"),
        ("seed: 0x" + "f" * 6000, "found a number of more than 64 bits"),
        ("seed: -1" + "0" * 400, "found a number of more than 64 bits"),
        ("seed: 1\n#" + " " * 2**20, "expected at most 1048576"),
    ],
    ids=lambda value: value[:20],
)
def test_what_can_be_another_thing_than_it_looks_is_refused(tmp_path, text, said):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    message = refusal(path)
    assert str(path) in message and said in message and "expected" in message
    assert len(message) < 500


@pytest.mark.parametrize("kind", ["folder", "FIFO"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    path = tmp_path / "params.yaml"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    assert f"{path}: no file; expected one" in refusal(path)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "limit", "seed", "lr", "width"])
@pytest.mark.parametrize("value", [10**18, "1e400", ".inf", "-.inf", ".nan"])
def test_no_number_is_without_bounds(write, name, value):
    assert f"parameter '{name}': found" in refusal(write(**{name: value}))


@pytest.mark.parametrize(
    ("folds", "fold", "words"),
    [
        (1, 0, "'folds': found 1; expected 0 (none) or from 2 to 100"),
        (0, 1, "'fold': found 1; expected 0, as folds is"),
        (5, 5, "'fold': found 5; expected below folds, which is 5"),
        (101, 0, "at least 0 and at most 100"),
    ],
)
def test_a_fold_that_is_none_of_the_folds_is_refused(write, folds, fold, words):
    assert words in refusal(write(folds=folds, fold=fold))


@pytest.mark.parametrize("name", ["data", "source"])
@pytest.mark.parametrize("value", ['"a\\0"', '"\\e[31m"', '"a\\nb"', '"a\\rb"', '"\\x9b"'])
def test_a_name_with_a_control_character_is_refused(write, name, value):
    message = refusal(write(**{name: value}))
    assert f"parameter '{name}': found" in message and message.isprintable()


def test_an_object_tag_is_refused_and_not_run(tmp_path, write):
    mark = tmp_path / "mark"
    refusal(write(tail=f"\nx: !!python/object/apply:pathlib.Path.touch ['{mark}']\n"))
    assert not mark.exists()


def test_a_missing_file_is_named(tmp_path):
    assert "none.yaml: No such file or directory; expected in" in refusal(tmp_path / "none.yaml")


def test_parameters_cannot_be_changed(root):
    loaded = load_params(TrainParams, root / "params.yaml")
    with pytest.raises(ValidationError):
        loaded.seed = 1


def test_parameter_that_two_stages_share_has_one_definition():
    for model in ALL_STAGES:
        for name, field in model.model_fields.items():
            other = STAGE_OF[name].model_fields[name]
            assert (field.annotation, field.metadata) == (other.annotation, other.metadata)


def test_every_encoder_that_can_be_named_is_one_that_torchvision_has():
    from torchvision.models import list_models

    assert ENCODERS[0] == "none" and set(ENCODERS[1:]) <= set(list_models())
