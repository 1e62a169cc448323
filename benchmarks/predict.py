"""How fast tools/predict.py is on photographs of native size, and its memory.

    python benchmarks/predict.py ../shared/isic2018/train-native --model model

The folder's photographs are repeated under new names. Runs are whole processes, start-up included;
beside them, in the same round and on the same number of threads, are

decoder   decoding the JPEG files alone, as large as they are, to RGB (libjpeg-turbo)
network   predicting alone, from the network's squares, with `tta` as evaluation chose it
one       one photograph, from the file to its mask, start-up included

Everything is written to a temporary folder (in TMPDIR) and removed.
"""

import argparse
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path

from measure import Measured, machine, measure, said, spread, table, training_pairs

TOOL = Path(__file__).resolve().parents[1] / "tools/predict.py"
PACKAGES = ("torch", "simplejpeg", "opencv-python-headless", "numpy")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="archives of a training split, as in sample/")
    parser.add_argument("--model", type=Path, default=Path("model"), help="weights and settings")
    parser.add_argument("--images", type=int, nargs="+", default=[100, 500, 2000])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lesion-benchmark-") as temporary:
        folders = photographs(Path(temporary), given.folder, [1, *given.images])
        runs: dict[int, list[Measured]] = {count: [] for count in folders}
        alone: dict[str, list[float]] = {"decoder": [], "network": []}
        for _ in range(given.rounds):
            for count, folder in folders.items():
                runs[count].append(said(f"{count} images", predict(folder, given.model)))
            # In a process of its own: the memory of a child is never below its parent's.
            with ProcessPoolExecutor(1, get_context("spawn")) as other:
                found = other.submit(bare, folders[given.images[0]], given.model).result()
            for what, seconds in found.items():
                alone[what].append(given.images[0] / seconds)
    print(f"{machine(PACKAGES)}\n")
    rows = [
        {
            "": "one" if count == 1 else f"{count} images",
            "seconds": spread([run.seconds for run in measured], 2),
            "images/s": spread([count / run.seconds for run in measured], 1),
            "peak MB": spread([run.peak_mb for run in measured], 0),
        }
        for count, measured in runs.items()
    ]
    rows += [
        {"": what, "seconds": "", "images/s": spread(rates, 1), "peak MB": ""}
        for what, rates in alone.items()
    ]
    print(table(rows))


def photographs(parent: Path, data: Path, counts: list[int]) -> dict[int, Path]:
    """Folders of so many photographs; nothing lies on the disk twice."""
    originals = parent / "originals"
    originals.mkdir()
    for number, (image, _) in enumerate(training_pairs(data)):
        (originals / f"{number}.jpg").write_bytes(image())
    folders = {}
    for count in counts:
        folders[count] = parent / str(count)
        folders[count].mkdir()
        for number, path in enumerate(islice(cycle(sorted(originals.iterdir())), count)):
            (folders[count] / f"{number}.jpg").hardlink_to(path)
    return folders


def predict(folder: Path, model: Path) -> Measured:
    """One run of the tool in a folder that it did not fill before."""
    out = folder.with_name("out")
    shutil.rmtree(out, ignore_errors=True)
    command = [
        sys.executable,
        str(TOOL),
        str(folder),
        "-o",
        str(out),
        "--model",
        str(model.resolve()),
    ]
    return measure(command, folder.parent)


def bare(folder: Path, model: Path) -> dict[str, float]:
    """Seconds that decoding takes, and predicting, of all photographs in a folder."""
    import numpy as np

    from lesion.network.predict import probability_maps
    from lesion.photos.images import decode_image
    from lesion.photos.square import to_square
    from lesion.pipeline.parallel import in_order
    from lesion.prediction.segmenter import Segmenter

    segmenter = Segmenter.of_folder(model)
    header = segmenter.header
    contents = [path.read_bytes() for path in folder.iterdir()]
    squares = np.stack(
        [to_square(content, header.resize, header.image_size).pixels for content in contents]
    )
    start = time.perf_counter()
    for _ in in_order(decode_image, contents):
        pass
    decoded = time.perf_counter()
    tta = [segmenter.settings.tta]
    for _ in probability_maps(segmenter.predictor, squares, segmenter.device, tta):
        pass
    return {"decoder": decoded - start, "network": time.perf_counter() - decoded}


if __name__ == "__main__":
    main()
