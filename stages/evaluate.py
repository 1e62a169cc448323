"""Scores the trained network as the ISIC challenge does: per image, at its original resolution.

reads   model/, arrays/, raw/ (the original masks)
writes  metrics/evaluation.json (validation and test: means over images, and pooled pixels),
        metrics/per_image.csv, predictions/<split>/X_segmentation.png (the challenge's format)
knobs   threshold, tta, precision, threads (params.yaml)
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lesion import params, tracking
from lesion.archives import ArchiveReader
from lesion.arrays import load_split
from lesion.cli import run
from lesion.device import prepare
from lesion.files import whole_folder, write_csv, write_json
from lesion.header import WEIGHTS_FILE
from lesion.images import decode_mask, encode_mask
from lesion.placement import Placement, from_square
from lesion.predict import Predictor
from lesion.progress import Progress
from lesion.scores import Confusion, ImageScores, summarise
from lesion.weights import load_model

RAW = Path("raw")
ARRAYS = Path("arrays")
MODEL = Path("model")
PREDICTIONS = Path("predictions")
METRICS = Path("metrics/evaluation.json")
PER_IMAGE = Path("metrics/per_image.csv")
SPLITS = ("validation", "test")
BATCH = 16  # images a forward pass


def main() -> None:
    knobs = params.load(params.EvaluateParams)
    device = prepare(knobs.threads)
    network, header = load_model(MODEL / WEIGHTS_FILE, device)
    predictor = Predictor(network, knobs.precision, knobs.tta)

    summaries: dict[str, dict] = {}
    tables = []
    with whole_folder(PREDICTIONS) as folder:
        for split in SPLITS:
            (folder / split).mkdir()
            index, images, _ = load_split(ARRAYS, split)
            maps = probability_maps(predictor, images, device, split)
            confusions = score_split(index, maps, knobs.threshold, folder / split)
            summaries[split] = summarise(confusions)
            tables.append(per_image(index, confusions))

    table = pd.concat(tables)
    origin = "synthetic" if table["synthetic"].any() else "photographs"
    write_json(METRICS, {"origin": origin, **summaries})
    write_csv(PER_IMAGE, table)
    with tracking.track(header.fingerprint, resume_finished=True) as log:
        log.tags({"origin": origin, "threshold": knobs.threshold, "tta": knobs.tta})
        for split, summary in summaries.items():
            log.metrics({f"{split}_{name}": value for name, value in summary.items()})
        log.file(PER_IMAGE)
    for split, summary in summaries.items():
        print(
            f"{split} ({origin}): "
            + "  ".join(f"{name} {value:.4g}" for name, value in summary.items())
        )


def probability_maps(
    predictor: Predictor, images: np.ndarray, device: torch.device, what: str
) -> Iterator[np.ndarray]:
    """Lesion probabilities of N×H×W×3 uint8 images, a batch (B×H×W float32) at a time."""
    with Progress(what, len(images), "images") as progress:
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(images[start : start + BATCH].copy())
            yield predictor(batch.to(device)).cpu().numpy()
            progress.update(len(batch))


def score_split(
    index: pd.DataFrame, maps: Iterator[np.ndarray], threshold: float, folder: Path
) -> list[Confusion]:
    """Writes each image's predicted mask into `folder`, and counts its pixels by the true one."""

    def score(row: tuple, probabilities: np.ndarray) -> Confusion:
        placement = Placement.from_row(row)
        prediction = from_square(probabilities, placement, row.height, row.width) >= threshold
        (folder / f"{row.id}_segmentation.png").write_bytes(encode_mask(prediction))
        truth = decode_mask(archives.read(row.mask_archive, row.mask))
        return Confusion.between(prediction, truth)

    rows = index.itertuples(index=False)
    confusions: list[Confusion] = []
    # A batch at a time, so that memory does not grow with the number of images.
    with ArchiveReader(RAW) as archives, ThreadPoolExecutor() as pool:
        for batch in maps:
            confusions += pool.map(score, islice(rows, len(batch)), batch)
    return confusions


def per_image(index: pd.DataFrame, confusions: list[Confusion]) -> pd.DataFrame:
    """A row an image: id, split, synthetic or not, scores, and the lesion's share of the pixels."""
    rows = [
        {
            **asdict(ImageScores.of(confusion)),
            "lesion_share": (confusion.tp + confusion.fn) / confusion.pixels,
            "predicted_share": (confusion.tp + confusion.fp) / confusion.pixels,
        }
        for confusion in confusions
    ]
    return index[["id", "split", "synthetic"]].join(pd.DataFrame(rows).round(6))


if __name__ == "__main__":
    run(main)
