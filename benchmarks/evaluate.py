"""How fast the stage evaluate is on photographs of native size, what it spends, and its memory.

    python benchmarks/evaluate.py ../shared/isic2018/train-native --weights model/unet.safetensors

The pairs of the folder are repeated under new ids until there are as many as asked for; most of
them become test images. Runs are whole processes of `python stages/evaluate.py`, start-up included,
with `threshold` and the like as params.yaml has them. Shares are of processor time on one thread,
over the distinct pairs: what one image of the test split costs.

inference   from the network's square of uint8 pixels to probabilities
decoding    the true mask, from PNG
mask        enlarging the probabilities, threshold, holes and components, the PNG that is written
scoring     counts, boundary scores, expected Dice

Everything is written to a temporary folder (in TMPDIR) and removed.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from measure import machine, measure, put_raw, said, spread, stages_in, table

PACKAGES = ("torch", "opencv-python-headless", "scipy", "numpy")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="archives of a training split, as in sample/")
    parser.add_argument("--weights", type=Path, required=True, help="of a trained network")
    parser.add_argument("--images", type=int, nargs="+", default=[250, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lesion-benchmark-") as temporary:
        folders = {n: prepared(Path(temporary) / str(n), n, given) for n in given.images}
        runs = {count: [] for count in folders}
        for _ in range(given.rounds):
            for count, folder in folders.items():
                command = [sys.executable, "stages/evaluate.py"]
                runs[count].append(said(f"{count} images", measure(command, folder)))
        print(f"{machine(PACKAGES)}\n")
        rows = []
        for count, measured in runs.items():
            done = scored(folders[count])
            rows.append(
                {
                    "images": f"{count}, of which scored {sum(done.values())}",
                    "seconds": spread([run.seconds for run in measured], 1),
                    "images/s": spread([sum(done.values()) / run.seconds for run in measured], 1),
                    "peak MB": spread([run.peak_mb for run in measured], 0),
                }
            )
        print(table(rows) + "\n")
        parts = shares(folders[given.images[0]])
    whole = sum(parts.values())
    print(
        table(
            [
                {"": name, "ms an image": f"{1000 * value:.1f}", "share": f"{value / whole:.0%}"}
                for name, value in parts.items()
            ]
        )
    )


def prepared(project: Path, count: int, given: argparse.Namespace) -> Path:
    """A project in which all stages before evaluate have run, but train."""
    from lesion.formats.header import read_header

    header = read_header(given.weights)
    stages_in(
        project, image_size=header.image_size, resize=header.resize, test_fraction=0.9,
        val_fraction=0.05, encoder=header.encoder, width=header.width, depth=header.depth,
    )  # fmt: skip
    put_raw(project, [given.folder], count)
    for stage in ("preprocess", "baseline"):
        measure([sys.executable, f"stages/{stage}.py"], project)
    (project / "model").mkdir()
    shutil.copy(given.weights, project / "model/unet.safetensors")
    return project


def scored(project: Path) -> dict[str, int]:
    numbers = json.loads((project / "metrics/evaluation.json").read_text(encoding="utf-8"))
    return {split: numbers[split]["images"] for split in ("validation", "test")}


def shares(project: Path) -> dict[str, float]:
    """Median seconds an image of each part, on one thread."""
    import torch

    from lesion.formats.arrays import load_split
    from lesion.network.predict import Predictor, probability_maps
    from lesion.network.weights import load_model
    from lesion.photos.archives import ArchiveReader
    from lesion.photos.images import encode_mask
    from lesion.scoring.boundary import BoundaryScores
    from lesion.scoring.calibration import calibrated
    from lesion.scoring.confidence import NoLesion, expected_dice
    from lesion.scoring.originals import Originals
    from lesion.scoring.postprocess import Rules
    from lesion.scoring.scores import Confusion

    chosen = json.loads((project / "metrics/evaluation.json").read_text(encoding="utf-8"))["chosen"]
    temperature = chosen.pop("temperature")
    no_lesion = NoLesion(chosen.pop("no_lesion_odds"), chosen.pop("no_lesion_slope"))
    rules, cpu = Rules(**chosen), torch.device("cpu")
    network, _ = load_model(project / "model/unet.safetensors", cpu)
    index, images, _ = load_split(project / "arrays", "test")
    images = images[:64]

    start = time.perf_counter()
    predictor = Predictor(network, "auto")
    maps = [found for (found,) in probability_maps(predictor, images, cpu, [rules.tta], workers=1)]
    spent: dict[str, list[float]] = {
        "inference": [(time.perf_counter() - start) / len(images)],
        "decoding": [],
        "mask": [],
        "scoring": [],
    }

    def timed(name: str, function: Callable[[], object]) -> object:
        start = time.perf_counter()
        result = function()
        spent[name].append(time.perf_counter() - start)
        return result

    with ArchiveReader(project / "raw") as archives:
        originals = Originals(index, archives)
        for row, found in enumerate(maps):
            truth = timed("decoding", lambda row=row: originals.truth(row))

            def mask(row: int = row, found: object = found) -> object:
                result = rules.mask(originals.enlarged(row, found))
                encode_mask(result)
                return result

            prediction = timed("mask", mask)

            def score(
                row: int = row, found: object = found, pair: tuple = (prediction, truth)
            ) -> None:
                Confusion.between(*pair)
                BoundaryScores.between(*pair)
                shown = originals.shown(row, found)
                expected_dice(calibrated(shown, temperature), rules.mask(shown), no_lesion)

            timed("scoring", score)
    return {name: median(values) for name, values in spent.items()}


if __name__ == "__main__":
    main()
