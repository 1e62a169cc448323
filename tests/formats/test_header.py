import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lesion.formats.header import ENTRY, Header, read_header
from lesion.pipeline.errors import InputError

FIELDS = {
    "encoder": "none",
    "width": 2,
    "depth": 1,
    "image_size": 16,
    "resize": "stretch",
    "fingerprint": "f" * 64,
    "epoch": 3,
}


def written(folder: Path, fields: dict) -> Path:
    path = folder / "unet.safetensors"
    save_file({"weight": np.zeros(1)}, path, metadata={ENTRY: json.dumps(fields)})
    return path


@pytest.mark.parametrize("encoder", ["none", "mobilenet_v2"])
def test_header_is_read_as_it_was_written(tmp_path, encoder):
    fields = FIELDS | {"encoder": encoder}
    assert read_header(written(tmp_path, fields)) == Header(**fields)


@pytest.mark.parametrize("name", FIELDS)
def test_a_header_without_one_of_its_fields_is_refused(tmp_path, name):
    fields = {key: value for key, value in FIELDS.items() if key != name}
    path = written(tmp_path, fields)
    with pytest.raises(InputError, match=name) as error:
        read_header(path)
    assert str(path) in str(error.value) and "train again" in str(error.value)


def test_a_header_with_a_field_that_is_not_known_is_refused(tmp_path):
    with pytest.raises(InputError, match="decoder"):
        read_header(written(tmp_path, FIELDS | {"decoder": "other"}))


@pytest.mark.parametrize("name", ["width", "depth", "image_size"])
@pytest.mark.parametrize("value", [0, -1, 10**30, 1.0, "1", True, None], ids=repr)
def test_a_size_that_no_training_can_have_is_refused(tmp_path, name, value):
    path = written(tmp_path, FIELDS | {name: value})
    with pytest.raises(InputError, match=r"expected .* whole numbers from 1 to") as error:
        read_header(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        json.dumps(FIELDS).replace("3", "9" * 5000),
        json.dumps(FIELDS).replace('"depth": 1', '"depth": NaN'),
        json.dumps(FIELDS).replace('"depth": 1', '"depth": 1e999'),
        json.dumps(FIELDS | {"mean": [float("nan")] * 3}),
        json.dumps(FIELDS | {"mean": 5}),
    ],
    ids=["brackets", "braces", "5000 digits", "NaN", "infinity", "mean of NaN", "one mean"],
)
def test_json_that_is_no_header_is_refused(tmp_path, text):
    path = tmp_path / "unet.safetensors"
    save_file({"weight": np.zeros(1)}, path, metadata={ENTRY: text})
    with pytest.raises(InputError, match="train again") as error:
        read_header(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epoch", value) for value in (True, "3", 3.0, float("nan"), None)),
        *(("resize", value) for value in (1, None, ["stretch"], "\x1b[31mred")),
        *(("fingerprint", value) for value in (1, None, "two\nlines")),
    ],
    ids=repr,
)
def test_what_is_shown_of_a_header_is_of_the_kind_that_it_should_be(tmp_path, name, value):
    path = written(tmp_path, FIELDS | {name: value})
    with pytest.raises(InputError, match=f"found .* as {name}.*train again"):
        read_header(path)


def test_header_is_read_without_torch(tmp_path, root):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from lesion.formats.header import read_header\n"
        "read_header(Path(sys.argv[1]))\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    command = [sys.executable, "-c", script, str(written(tmp_path, FIELDS))]
    subprocess.run(command, cwd=root / "stages", check=True)
