"""The trained model as one ONNX file, for programs that have neither torch nor this project.

All from the photograph's square to calibrated probabilities is inside: scaling, mean and deviation,
padding, the network without BatchNorm, mirror images where they were chosen, and the temperature.
What follows, from probabilities to a mask, are the file's metadata properties.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from lesion.formats.header import WEIGHTS_FILE, Header
from lesion.formats.settings import SETTINGS_FILE, Settings, read_settings
from lesion.network.folding import folded
from lesion.network.inputs import to_model_input, to_unit
from lesion.network.predict import MIRRORS, Predictor
from lesion.network.unet import UNet
from lesion.network.weights import load_model
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import write_bytes
from lesion.scoring.calibration import LARGEST, calibrated

if TYPE_CHECKING:
    from onnx import ModelProto

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
REQUIREMENTS = "requirements-export.txt"
INPUT, OUTPUT = "images", "probabilities"
AXES = ("batch", "height", "width")
TOLERANCE = 1e-4  # of a probability; float32 in another order differs by some 1e-7
_LEAST = 1 / (1 + np.exp(LARGEST))  # the probability of the least logit that calibration tells


class Calibrated(nn.Module):
    """What `Predictor` and calibration do, in operations that ONNX has, for any B, H and W."""

    def __init__(self, network: UNet, settings: Settings) -> None:
        super().__init__()
        self.network = folded(network)  # without BatchNorm
        self.multiple = network.multiple
        self.mirrors = MIRRORS if settings.tta else MIRRORS[:1]
        self.temperature = settings.temperature

    def forward(self, images: Tensor) -> Tensor:
        """Calibrated probability of lesion, float32 B×H×W, of uint8 RGB images, B×H×W×3."""
        unit = to_unit(images)
        inputs = torch.cat([unit.flip(axes) for axes in self.mirrors])
        # As the network pads, but by indices: whether it has to is no question for a graph.
        inside = []
        for axis in (2, 3):
            length = inputs.shape[axis]
            padded = (length + self.multiple - 1) // self.multiple * self.multiple
            first = (padded - length) // 2
            places = torch.arange(padded).sub(first).clamp(0, length - 1)
            inputs = inputs.index_select(axis, places)
            inside.append(torch.arange(length) + first)
        logits = self.network(to_model_input(inputs))
        for axis, places in zip((2, 3), inside, strict=True):
            logits = logits.index_select(axis, places)
        views = torch.sigmoid(logits).unflatten(0, (len(self.mirrors), -1))  # V×B×1×H×W
        turned = [view.flip(axes)[:, 0] for view, axes in zip(views, self.mirrors, strict=True)]
        mean = sum(turned[1:], start=turned[0]) / len(turned)
        return torch.sigmoid(torch.logit(mean, eps=_LEAST) / self.temperature)


@dataclass(frozen=True)
class Checked:
    """How far onnxruntime's probabilities are from torch's, at most, and what was compared."""

    difference: float
    shapes: tuple[tuple[int, int, int], ...]  # B, H and W


def export(folder: Path, path: Path) -> Checked:
    """Writes the model in `folder`, weights and settings, to `path`; equal models, equal bytes.

    Raises:
        InputError: a package or a file of the model is missing, or the file's probabilities are not
            those of torch. `path` is then as it was.
    """
    _require_packages()
    settings = read_settings(folder / SETTINGS_FILE, folder / WEIGHTS_FILE)
    network, header = load_model(folder / WEIGHTS_FILE, "cpu")
    content = to_onnx(network, header, settings).SerializeToString(deterministic=True)
    checked = check(content, network, header, settings)
    if not checked.difference <= TOLERANCE:  # nor is one that is no number
        raise InputError(
            f"{path}: not written, as onnxruntime's probabilities differ from torch's by "
            f"{checked.difference:.2g}; expected at most {TOLERANCE:g}; install the versions of "
            f"{REQUIREMENTS}, or train again"
        )
    write_bytes(path, content)
    return checked


def to_onnx(network: UNet, header: Header, settings: Settings) -> ModelProto:
    """The model with its metadata properties, and without notes on the code that it came from."""
    import onnx

    multiple = network.multiple
    example = torch.zeros(2, 3 * multiple - 1, 4 * multiple - 1, 3, dtype=torch.uint8)
    # Tracing tells images of one or two of the coarsest pixels from others; the graph does not.
    axes = {
        number: torch.export.Dim(name, min=2 * multiple + 1 if number else 1)
        for number, name in enumerate(AXES)
    }
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of what torch itself will leave out one day
        traced = torch.export.export(
            Calibrated(network, settings).eval(),
            (example,),
            dynamic_shapes=(axes,),
            # It cannot tell by itself that an image three channels wide is no image of one pixel.
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        program = torch.onnx.export(
            traced, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False
        )
    assert program is not None  # it was given no path
    model = program.model_proto
    _forget_code(model)
    _name_axes(model)
    model.doc_string = (
        "Probability of skin lesion for each pixel. Not a medical device: nothing here may be used "
        "for diagnosis or treatment."
    )
    onnx.helper.set_model_props(model, properties(header, settings))
    onnx.checker.check_model(model, full_check=True)
    return model


def properties(header: Header, settings: Settings) -> dict[str, str]:
    """What a program needs besides the graph; numbers and truth values as JSON has them.

    `threshold` is of the calibrated probabilities, which the file gives.
    """
    threshold = calibrated(np.array(settings.threshold, np.float32), settings.temperature)
    values = settings.model_dump(exclude={"precision"}) | {
        "threshold": float(f"{threshold:.7g}"),
        "image_size": header.image_size,
        "resize": header.resize,
        "licence": "MIT",
    }
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in sorted(values.items())
    }


def check(content: bytes, network: UNet, header: Header, settings: Settings) -> Checked:
    """Compares the file in onnxruntime with what the stage evaluate takes, on images of all kinds
    of shapes: the square that the network was trained on, and others, padded or not."""
    from onnxruntime import InferenceSession

    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    predictor, side, multiple = Predictor(network), header.image_size, network.multiple
    shapes = (
        (1, side, side),
        (3, side, side),
        (2, 2 * multiple, 3 * multiple),
        (1, multiple + 1, 3 * multiple - 1),
        (4, 1, multiple // 2),
    )
    difference = 0.0
    for shape, images in zip(shapes, _images(shapes), strict=True):
        (found,) = session.run([OUTPUT], {INPUT: images})
        with torch.no_grad():
            expected = predictor(torch.from_numpy(images), settings.tta).numpy()
        expected = calibrated(expected, settings.temperature)
        gap = np.abs(found - expected).max() if found.shape == shape else np.inf
        difference = float(np.maximum(difference, gap))  # one that is no number is the greatest
    return Checked(difference, shapes)


def _images(shapes: tuple[tuple[int, int, int], ...]) -> Iterator[np.ndarray]:
    """Smooth images with noise, uint8 B×H×W×3, of every brightness: not all pixels are sure."""
    rng = np.random.default_rng(0)
    for batch, height, width in shapes:
        coarse = rng.uniform(-50, 300, (batch, 4, 4, 3))
        rows, columns = (np.arange(length) * 4 // length for length in (height, width))
        noise = rng.normal(0, 10, (batch, height, width, 3))
        yield (coarse[:, rows][:, :, columns] + noise).clip(0, 255).astype(np.uint8)


def _forget_code(model: ModelProto) -> None:
    """Takes out where in torch's and this project's code each operation was called.

    With it go the shapes of what lies between, which whoever needs them infers.
    """
    graph = model.graph
    graph.ClearField("value_info")
    for part in (graph, *graph.node, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for tensor in graph.initializer:
        tensor.ClearField("metadata_props")


def _name_axes(model: ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, AXES, strict=False):
            axis.dim_param = name


def _require_packages() -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(
            f"{' and '.join(missing)} not installed; run `pip install -r {REQUIREMENTS}`"
        )
