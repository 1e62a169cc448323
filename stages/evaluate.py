"""Scores the trained network as the ISIC challenge does: per image, at its original resolution.

reads   model/, arrays/, raw/ (the original masks), metrics/baselines.csv
writes  metrics/evaluation.json (what was chosen on validation; the scores of both splits),
        metrics/scores.csv (with 95 % intervals, by group, and of masks that need no training;
        without interval where there are fewer than ten images),
        metrics/per_image.csv, metrics/choice.csv, metrics/thresholds.csv (validation),
        metrics/calibration.csv, metrics/risk_coverage.csv (test),
        predictions/<split>/X_segmentation.png (the challenge's format),
        model/predictor.json, what was chosen, with which the weights are complete
knobs   threshold, tta, largest_component, fill_holes, precision, threads (params.yaml)

What is `auto` is chosen on the validation split. After that the true masks of the test split are
read, once.
"""

import lesion  # noqa: F401  before the libraries to which it says how to compute

# isort: split

import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

import numpy as np
import pandas as pd

from lesion.console.cli import run
from lesion.console.progress import Progress
from lesion.formats.arrays import load_split
from lesion.formats.header import WEIGHTS_FILE
from lesion.formats.settings import SETTINGS_FILE, Settings, weights_hash
from lesion.formats.splits import SCORED
from lesion.formats.tables import METRICS, load_table
from lesion.network.device import prepare
from lesion.network.predict import Predictor, probability_maps
from lesion.network.weights import load_model
from lesion.parameters.evaluate import EvaluateParams
from lesion.parameters.reading import load_params
from lesion.photos.archives import ArchiveReader
from lesion.photos.images import encode_mask
from lesion.pipeline.errors import InputError
from lesion.pipeline.files import require_room, whole_folder, write_csv, write_json
from lesion.pipeline.parallel import in_order
from lesion.scoring.calibration import PixelCounts, calibrated, calibration_errors
from lesion.scoring.cases import case
from lesion.scoring.choice import choose, views
from lesion.scoring.confidence import NoLesion, reliance, review_limit, risk_coverage
from lesion.scoring.decision import Decision
from lesion.scoring.originals import Originals
from lesion.scoring.summary import summarise_split

RAW = Path("raw")
ARRAYS = Path("arrays")
MODEL = Path("model")
PREDICTIONS = Path("predictions")
NOTES = {"validation": ", on which epoch and rules were chosen: it flatters"}


def main() -> None:
    knobs = load_params(EvaluateParams)
    device = prepare(knobs.threads, knobs.precision)
    weights = MODEL / WEIGHTS_FILE
    predictor = Predictor(load_model(weights, device)[0], knobs.precision)
    baselines = load_table("baselines")
    splits = {split: load_split(ARRAYS, split) for split in SCORED}
    for index, _, _ in splits.values():
        require_rows(baselines, index)

    def predict(split: str, options: list[bool]) -> dict[bool, np.ndarray]:
        """Probabilities, N×S×S, for each of these values of `tta`."""
        images = splits[split][1]
        maps = probability_maps(predictor, images, device, options, knobs.threads)
        count, *square = images.shape[:3]
        what = f"{split}, 4 views" if any(options) else split
        by_option = stored(maps, (count, len(options), *square), folder, what).swapaxes(0, 1)
        return dict(zip(options, by_option, strict=True))

    with ArchiveReader(RAW) as archives, whole_folder(PREDICTIONS) as folder:
        originals = {
            split: Originals(index, archives, keep_truth=split == "validation")
            for split, (index, _, _) in splits.items()
        }
        by_tta = predict("validation", views(knobs))
        choice = choose(knobs, by_tta, originals["validation"], knobs.threads)
        rules = choice.rules

        maps = {"validation": by_tta[rules.tta], "test": predict("test", [rules.tta])[rules.tta]}
        pixels = {
            split: count_pixels(originals[split], maps[split], masks)
            for split, (_, _, masks) in splits.items()
        }
        temperature = pixels["validation"].temperature()
        empty = ~np.any(splits["validation"][2], axis=(1, 2))
        tops = highest(originals["validation"], maps["validation"], temperature)
        decision = Decision(rules, temperature, NoLesion.fitted(tops, empty))
        tables = {}
        for split in SCORED:
            (folder / split).mkdir()
            cases = score(originals[split], maps[split], decision, folder / split, knobs)
            tables[split] = splits[split][0][["id", "split", "synthetic", "group"]].join(cases)

    scores = pd.concat([summarise_split(table, baselines) for table in tables.values()])
    reliability = {split: counts.reliability(temperature) for split, counts in pixels.items()}
    synthetic = any(table["synthetic"].any() for table in tables.values())
    origin: Literal["synthetic", "photographs"] = "synthetic" if synthetic else "photographs"
    limit = round(review_limit(tables["validation"]["expected_dice"].to_numpy()), 6)
    chosen: dict[str, Any] = {**decision.named(), "review_limit": limit}
    evaluation: dict[str, Any] = {
        "origin": origin,
        "chosen": chosen,
        **{
            split: {
                **network_scores(scores, split),
                **reliance(table),
                **named("calibration_error", calibration_errors(reliability[split])),
                **named("uncalibrated_error", calibration_errors(pixels[split].reliability(1.0))),
                "images": len(table),
            }
            for split, table in tables.items()
        },
    }
    # What has no value, such as the share in review of failures where nothing failed, is left out.
    evaluation |= {
        split: {k: round(v, 6) for k, v in evaluation[split].items() if not math.isnan(v)}
        for split in SCORED
    }
    write_json(METRICS / "evaluation.json", evaluation)
    settings = Settings(
        weights=weights_hash(weights), precision=knobs.precision, origin=origin, **chosen
    )
    write_json(MODEL / SETTINGS_FILE, settings.model_dump())
    written = {
        "scores": scores,
        "per_image": pd.concat(tables.values()),
        "choice": choice.steps,
        "thresholds": choice.sweep,
        "calibration": reliability["test"],
        "risk_coverage": risk_coverage(tables["test"]),
    }
    for name, table in written.items():
        write_csv(METRICS / f"{name}.csv", table.round(6))

    report(evaluation, scores)


def require_rows(baselines: pd.DataFrame, index: pd.DataFrame) -> None:
    missing = index["id"][~index["id"].isin(baselines["id"])]
    if len(missing):
        raise InputError(
            f"{METRICS}/baselines.csv: no row for {missing.iloc[0]}, one of {len(missing)}; "
            "expected one an image; run `dvc repro baseline`"
        )


def stored(
    maps: Iterator[np.ndarray], shape: tuple[int, ...], folder: Path, what: str
) -> np.memmap:
    """The maps of N images (`shape` N×…, float32) in a nameless file: memory does not grow."""
    require_room(PREDICTIONS, math.prod(shape) * np.float32().nbytes)
    with TemporaryFile(dir=folder) as file, Progress(what, shape[0], "images") as progress:
        for found in maps:
            # Not through the map of the file: where the disk is full, that kills the process.
            file.write(found.astype(np.float32, copy=False).tobytes())
            progress.update()
        file.flush()
        return np.memmap(file, np.float32, "c", shape=shape)


def count_pixels(originals: Originals, maps: np.ndarray, masks: np.ndarray) -> PixelCounts:
    """The pixels of a split by probability, in the network's square, without its bars."""
    counts = PixelCounts()
    for row in range(len(originals)):
        counts.add(originals.shown(row, maps[row]), originals.shown(row, masks[row]))
    return counts


def highest(originals: Originals, maps: np.ndarray, temperature: float) -> np.ndarray:
    """The highest calibrated probability of each image."""
    shown = (originals.shown(row, maps[row]).max() for row in range(len(originals)))
    return calibrated(np.fromiter(shown, np.float32), temperature).astype(float)


def score(
    originals: Originals,
    maps: np.ndarray,
    decision: Decision,
    folder: Path,
    knobs: EvaluateParams,
) -> pd.DataFrame:
    """Writes the predicted mask of each image into `folder`; a row with its scores for each."""

    def one(row: int) -> dict[str, float]:
        truth = originals.truth(row)
        decided = originals.decided(row, maps[row], decision)
        name = f"{originals.rows[row].id}_segmentation.png"
        (folder / name).write_bytes(encode_mask(decided.mask))
        return case(decided, truth)

    rows = []
    with Progress(f"{folder.name}, scores", len(originals), "images") as progress:
        for found in in_order(one, range(len(originals)), knobs.threads):
            rows.append(found)
            progress.update()
    return pd.DataFrame(rows)


def network_scores(scores: pd.DataFrame, split: str) -> dict[str, float]:
    """The network's scores over all images of a split, by name."""
    own = scores[(scores["split"] == split) & (scores["method"] == "network")]
    return own[own["group"] == "all"].set_index("score")["value"].to_dict()


def named(prefix: str, numbers: dict[str, float]) -> dict[str, float]:
    return {f"{prefix}_{name}": number for name, number in numbers.items()}


def report(evaluation: dict, scores: pd.DataFrame) -> None:
    """Prints what was chosen and the challenge's scores of both splits."""
    print("chosen on validation:", ", ".join(f"{k} {v}" for k, v in evaluation["chosen"].items()))
    for split in SCORED:
        own = scores[(scores["split"] == split) & (scores["group"] == "all")]
        own = own[own["method"] == "network"].set_index("score")
        figures = []
        for name in ("dice", "iou", "thresholded_iou"):
            low, high = own.low[name], own.high[name]
            interval = "" if math.isnan(low) else f" ({low:.4f}–{high:.4f})"
            figures.append(f"{name} {own.value[name]:.4f}{interval}")
        what = f"{evaluation['origin']}, {evaluation[split]['images']} images"
        print(f"{split} ({what}{NOTES.get(split, '')}):", "  ".join(figures))


if __name__ == "__main__":
    run(main)
