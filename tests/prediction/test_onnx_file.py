"""The ONNX file, in onnxruntime, held to what the project itself predicts."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lesion.formats.header import WEIGHTS_FILE, Header
from lesion.formats.settings import SETTINGS_FILE, Settings, weights_hash
from lesion.network.model import build_model
from lesion.network.predict import Predictor
from lesion.network.unet import UNet
from lesion.network.weights import load_model, save_weights
from lesion.parameters.reading import read_params
from lesion.parameters.train import TrainParams
from lesion.pipeline.errors import InputError
from lesion.prediction.onnx_file import PACKAGES, TOLERANCE, export
from lesion.prediction.segmenter import Segmenter
from lesion.scoring.calibration import calibrated
from lesion.scoring.postprocess import Rules
from lesion.scoring.scores import Confusion, ImageScores
from lesion.synthetic import lesion_image
from lesion.training.trainer import Trainer
from project import ROOT, run

pytestmark = pytest.mark.long

SIDE = 24
# Encoder and depth, whether mirror images are predicted, threshold and temperature.
KINDS = {
    "classic": ("none", 2, False, 0.5, 1.0),
    "classic, deeper than its square divides": ("none", 4, True, 0.37, 0.6),
    "encoder": ("mobilenet_v3_small", 3, True, 0.6, 1.7),
    "encoder from a quarter on": ("convnext_tiny", 3, False, 0.5, 1.3),
}
NAMES = [field.name for field in fields(Rules)]


def save(folder: Path, network: UNet, header: Header, **chosen: object) -> Path:
    """A model as the pipeline leaves it."""
    folder.mkdir()
    save_weights(folder / WEIGHTS_FILE, network.state_dict(), header)
    values = {
        "precision": "float32",
        "origin": "synthetic",
        "threshold": 0.5,
        "tta": False,
        "largest_component": False,
        "fill_holes": True,
        "temperature": 1.0,
        "no_lesion_odds": 0.0,
        "no_lesion_slope": 1.0,
        "review_limit": 0.7,
    }
    settings = Settings(weights=weights_hash(folder / WEIGHTS_FILE), **(values | chosen))
    (folder / SETTINGS_FILE).write_text(settings.model_dump_json())
    return folder


def header_of(encoder: str, depth: int, width: int = 4) -> Header:
    return Header(encoder, width, depth, SIDE, "stretch", "f" * 64, epoch=3)


SLOW = {"classic", "encoder from a quarter on"}


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in KINDS],
)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder, depth, tta, threshold, temperature = KINDS[request.param]
    torch.manual_seed(0)
    header = header_of(encoder, depth)
    network = build_model(header)
    network(torch.randn(2, 3, 64, 64))  # moves the running statistics off their start
    folder = tmp_path_factory.mktemp("model") / "model"
    return save(folder, network, header, tta=tta, threshold=threshold, temperature=temperature)


@pytest.fixture(scope="module")
def session(model: Path) -> object:
    onnxruntime = needed("onnxruntime")
    checked = export(model, model / "model.onnx")
    assert checked.difference <= TOLERANCE and len(set(checked.shapes)) > 2
    return onnxruntime.InferenceSession(model / "model.onnx")


def needed(name: str) -> object:
    for package in PACKAGES:
        pytest.importorskip(package)
    return sys.modules[name]


def photographs(batch: int, height: int, width: int) -> np.ndarray:
    side = max(height, width, 16)  # the least that is drawn
    return np.stack([lesion_image(seed, side, side)[0] for seed in range(batch)])[
        :, :height, :width
    ]


def properties(session: object) -> dict[str, str]:
    return session.get_modelmeta().custom_metadata_map


@pytest.mark.parametrize(
    "shape", [(1, SIDE, SIDE), (7, SIDE, SIDE), (2, 64, 96), (3, 31, 50), (1, 5, 77), (2, 1, 1)]
)
def test_batches_of_any_size_get_the_projects_calibrated_probabilities(model, session, shape):
    images = photographs(*shape)
    settings = json.loads((model / SETTINGS_FILE).read_text())
    network, _ = load_model(model / WEIGHTS_FILE, "cpu")
    with torch.no_grad():
        own = Predictor(network)(torch.from_numpy(images), settings["tta"]).numpy()
    (found,) = session.run(None, {"images": images})
    assert found.dtype == np.float32 and found.shape == shape
    assert np.allclose(found, calibrated(own, settings["temperature"]), rtol=0, atol=1e-4)
    # The threshold in the file, on calibrated probabilities, is the one on those of the network.
    sure = np.abs(own - settings["threshold"]) > 1e-4
    over = found >= float(properties(session)["threshold"])
    assert np.array_equal(over[sure], own[sure] >= settings["threshold"])


def test_axes_and_values_have_names(session):
    (images,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type) == ("images", "tensor(uint8)")
    assert images.shape == ["batch", "height", "width", 3]
    assert (probabilities.name, probabilities.type) == ("probabilities", "tensor(float)")
    assert probabilities.shape == ["batch", "height", "width"]


def test_the_file_says_what_its_settings_say(model, session):
    said = properties(session)
    settings = json.loads((model / SETTINGS_FILE).read_text())
    del settings["precision"]
    as_chosen = settings.keys() - {"threshold"}
    for name in as_chosen:
        assert said[name] == (
            settings[name] if isinstance(settings[name], str) else json.dumps(settings[name])
        )
    of_weights = {"image_size": str(SIDE), "resize": "stretch", "licence": "MIT"}
    assert said == {name: said[name] for name in (*settings, *of_weights)}
    assert said.items() >= of_weights.items()
    assert session.get_modelmeta().producer_name == "pytorch"
    assert "Not a medical device" in session.get_modelmeta().description


def test_batch_norm_is_folded_and_nothing_says_where_it_was_made(model, session):
    onnx = needed("onnx")
    graph = onnx.load(model / "model.onnx").graph
    assert "Conv" in {node.op_type for node in graph.node}
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    content = (model / "model.onnx").read_bytes()
    assert b".py" not in content and str(ROOT).encode() not in content


def test_a_file_that_fails_its_check_takes_nobodys_place(tmp_path):
    needed("onnx")
    header = header_of("none", 1)
    network = build_model(header)
    with torch.no_grad():
        for weights in network.encoder.parameters():
            weights.mul_(1e30)  # finite, but no sum of their products is
    folder, path = save(tmp_path / "model", network, header), tmp_path / "model.onnx"
    path.write_bytes(b"the one before")
    with pytest.raises(InputError, match=r"model\.onnx: not written, .*; expected at most"):
        export(folder, path)
    assert path.read_bytes() == b"the one before"
    assert {entry.name for entry in tmp_path.iterdir()} == {"model", "model.onnx"}


@pytest.mark.parametrize("missing", [*zip(PACKAGES, strict=True), PACKAGES], ids=str)
def test_without_its_packages_it_says_in_a_line_what_to_install(tmp_path, monkeypatch, missing):
    for name in PACKAGES:
        there = name not in missing
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__spec__=name) if there else None)
    with pytest.raises(InputError) as refused:
        export(tmp_path, tmp_path / "model.onnx")
    assert str(refused.value) == (
        f"{' and '.join(missing)} not installed; run `pip install -r requirements-export.txt`"
    )
    assert not list(tmp_path.iterdir())


def test_the_packages_to_install_are_pinned():
    lines = (ROOT / "requirements-export.txt").read_text().splitlines()
    assert [line.split("==")[0] for line in lines] == sorted(PACKAGES)
    assert all(re.fullmatch(r"\w+==[\d.]+", line) for line in lines)


def test_the_tool_names_a_file_that_is_missing_and_prints_a_line_of_one_that_is_written(
    tmp_path, trained
):
    needed("onnxruntime")
    tool = str(ROOT / "tools/export.py")
    said = run(tmp_path, "python", tool, "model.onnx", "--model", "nowhere", status=1).stderr
    assert re.fullmatch(r"export: .*nowhere/predictor\.json: not found; .*\n", said)
    said = run(tmp_path, "python", tool, "model.onnx", "--model", str(trained)).stdout
    assert re.fullmatch(
        r"model\.onnx: [\d.]+ MB; greatest difference from torch \d\.\de-\d\d, of images .*\n", said
    )
    export(trained, tmp_path / "again.onnx")  # equal models give equal bytes
    assert (tmp_path / "model.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()


@pytest.fixture(scope="module")
def trained(train_split, validation_split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows lesions a little, all of whose settings ask for something."""
    values = read_params(ROOT / "params.yaml")
    values |= {"width": 8, "depth": 2, "epochs": 60, "threads": 1, "precision": "float32"}
    own = {name: values[name] for name in TrainParams.model_fields}
    trainer = Trainer(TrainParams(**own), train_split, validation_split, torch.device("cpu"))
    while trainer.step < trainer.steps:
        trainer.advance()
    header = Header("none", 8, 2, 32, "stretch", "f" * 64, epoch=1)
    network = build_model(header)
    network.load_state_dict(trainer.best)
    chosen = {"tta": True, "threshold": 0.4, "largest_component": True, "temperature": 0.8}
    return save(tmp_path_factory.mktemp("trained") / "model", network, header, **chosen)


def test_the_pages_example_comes_to_the_projects_masks_without_the_project(trained, tmp_path):
    needed("onnxruntime")
    export(trained, tmp_path / "model.onnx")
    page = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    assert "lesion" not in re.findall(r"^(?:import|from) (\w+)", code, re.M)
    segmenter = Segmenter.of_folder(trained)
    for number in range(2):
        image, _ = lesion_image(100 + number, 150, 200)
        _, content = cv2.imencode(".jpg", image[..., ::-1])
        (tmp_path / "photograph.jpg").write_bytes(content.tobytes())
        subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True)
        with Image.open(tmp_path / "mask.png") as mask:
            found = np.asarray(mask)
        own = segmenter(content.tobytes()).decided.mask
        assert 0.01 < own.mean() < 0.9
        assert ImageScores.of(Confusion.between(found > 0, own)).dice > 0.99
