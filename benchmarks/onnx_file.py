"""What the model as an ONNX file scores, how fast it is beside torch, and whether fewer bits pay.

    pip install -r requirements-export.txt
    python benchmarks/onnx_file.py                    # of this project's model/, arrays/ and raw/
    python benchmarks/onnx_file.py --project FOLDER   # of another copy of it

All predict the squares of the same test images, on one thread, in batches of one size, a round each
in turn; numbers are medians over the rounds, with the least and the greatest. Dice is the mean over
the whole test split at the original sizes, as the stage evaluate has it.

torch          lesion.network.predict.probability_maps, which evaluate runs
onnxruntime    the file that tools/export.py writes
int8, static   onnxruntime's quantisation of weights and activations, whose ranges are those of 64
               validation images
int8, dynamic  the same, with ranges taken anew from each batch
float16        weights and activations as float16
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

from measure import machine, spread, table

import lesion  # noqa: F401  before the libraries to which it says how to compute

# isort: split

import json

import numpy as np
import onnx
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from lesion.formats.arrays import load_split
from lesion.network.device import prepare
from lesion.network.predict import Predictor, images_a_pass, probability_maps
from lesion.network.weights import load_model
from lesion.photos.archives import ArchiveReader
from lesion.prediction.onnx_file import INPUT, OUTPUT, export
from lesion.scoring.calibration import calibrated
from lesion.scoring.originals import Originals
from lesion.scoring.postprocess import Rules
from lesion.scoring.scores import Confusion, ImageScores

CALIBRATION = 64  # images
PACKAGES = ("torch", "onnxruntime", "numpy")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--project", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=64, help="of the test split, in a round")
    given = parser.parse_args()
    os.chdir(given.project)
    device = prepare(threads=1, precision="float32")
    index, images, _ = load_split(Path("arrays"), "test")
    images = np.array(images)
    with tempfile.TemporaryDirectory(prefix="lesion-benchmark-") as folder:
        files = variants(Path(folder))
        rules, temperature = read_rules(files["onnxruntime"])
        together = images_a_pass(device, rules.tta)
        predictor = Predictor(load_model(Path("model/unet.safetensors"), device)[0])

        def by_torch(squares: np.ndarray) -> np.ndarray:
            found = probability_maps(predictor, squares, device, [rules.tta], workers=1)
            return calibrated(np.concatenate(list(found)), temperature)

        ways = {"torch": by_torch}
        ways |= {name: in_onnxruntime(path, together) for name, path in files.items()}
        maps = {name: way(images) for name, way in ways.items()}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, way in ways.items():
                start = time.perf_counter()
                way(images[: given.images])
                seconds[name].append(time.perf_counter() - start)
            print(f"load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        sizes = {name: path.stat().st_size for name, path in files.items()}
    sizes["torch"] = Path("model/unet.safetensors").stat().st_size
    evaluated = json.loads(Path("metrics/evaluation.json").read_text(encoding="utf-8"))["test"][
        "dice"
    ]
    count = min(given.images, len(images))
    print(f"{machine(PACKAGES)}, one thread\n")
    print(f"{len(images)} test images of {images.shape[1]} pixels, tta {str(rules.tta).lower()}; ")
    print(f"evaluate's Dice {evaluated:.6f}; load at the end {os.getloadavg()[0]:.1f}\n")
    with ArchiveReader(Path("raw")) as archives:
        originals = Originals(index, archives, keep_truth=True)
        rows = [
            {
                "": name,
                "images/s": spread([count / second for second in seconds[name]], 1),
                "× torch": spread(
                    [a / b for a, b in zip(seconds["torch"], seconds[name], strict=True)], 2
                ),
                "MB": f"{sizes[name] / 1e6:.1f}",
                "Dice": f"{dice(originals, maps[name], rules):.6f}",
                "greatest difference": f"{np.abs(maps[name] - maps['torch']).max():.1e}",
            }
            for name in ways
        ]
    print(table(rows))


def variants(folder: Path) -> dict[str, Path]:
    """The file, and those with fewer bits."""
    names = ("onnxruntime", "prepared", "int8, static", "int8, dynamic", "float16")
    paths = {name: folder / f"{name}.onnx" for name in names}
    export(Path("model"), paths["onnxruntime"])
    quant_pre_process(paths["onnxruntime"], paths["prepared"], skip_symbolic_shape=True)
    squares = load_split(Path("arrays"), "validation")[1][:CALIBRATION]
    quantize_static(paths["prepared"], paths["int8, static"], Squares(squares), per_channel=True)
    quantize_dynamic(paths["prepared"], paths["int8, dynamic"])
    half = convert_float_to_float16(onnx.load(paths["onnxruntime"]), keep_io_types=True)
    onnx.save(half, paths["float16"])
    return {name: path for name, path in paths.items() if name != "prepared"}


class Squares(CalibrationDataReader):
    """What ranges of activations are taken from."""

    def __init__(self, images: np.ndarray) -> None:
        self.rest: Iterator[np.ndarray] = iter(np.array(images))

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self.rest, None)
        return None if image is None else {INPUT: image[None]}


def in_onnxruntime(path: Path, together: int) -> Callable[[np.ndarray], np.ndarray]:
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(squares: np.ndarray) -> np.ndarray:
        starts = range(0, len(squares), together)
        parts = [session.run([OUTPUT], {INPUT: squares[s : s + together]})[0] for s in starts]
        return np.concatenate(parts)

    return predict


def read_rules(path: Path) -> tuple[Rules, float]:
    """Rules for the file's own, calibrated probabilities; and the temperature."""
    said = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    rules = Rules(**{field.name: json.loads(said[field.name]) for field in fields(Rules)})
    return rules, float(said["temperature"])


def dice(originals: Originals, maps: np.ndarray, rules: Rules) -> float:
    """Mean over the images, at their original sizes."""
    found = [
        ImageScores.of(
            Confusion.between(rules.mask(originals.enlarged(row, square)), originals.truth(row))
        ).dice
        for row, square in enumerate(maps)
    ]
    return float(np.mean(found))


if __name__ == "__main__":
    main()
