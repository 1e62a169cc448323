"""Draws the data, the training curves, the best and worst predictions, and the scores' spread.

reads   metrics/data.csv, metrics/history.csv, metrics/per_image.csv, predictions/, raw/,
        arrays/index.csv, model/
writes  plots/data.png, plots/curves.png, plots/panels.png, plots/scores.png
knobs   panel_images (params.yaml)
"""

from pathlib import Path

import pandas as pd

from lesion import params, tracking
from lesion.archives import ArchiveReader
from lesion.arrays import load_index
from lesion.cli import run
from lesion.data_figure import data_report
from lesion.figures import Example, curves, panels, save_figure, score_distribution
from lesion.files import whole_folder
from lesion.header import WEIGHTS_FILE, read_header
from lesion.images import decode_image, decode_mask, resize_image, resize_mask

RAW = Path("raw")
ARRAYS = Path("arrays")
MODEL = Path("model")
PREDICTIONS = Path("predictions")
DATA = Path("metrics/data.csv")
HISTORY = Path("metrics/history.csv")
PER_IMAGE = Path("metrics/per_image.csv")
PLOTS = Path("plots")
SPLIT = "test"
LONGEST = 400  # pixels of a picture's longer side in the panels; enough for print


def main() -> None:
    knobs = params.load(params.PlotParams)
    scores = pd.read_csv(PER_IMAGE, dtype={"id": str}, keep_default_na=False)
    scores = scores[scores["split"] == SPLIT]
    origin = " (synthetic sample)" if scores["synthetic"].any() else ""
    note = f"{len(scores)} {SPLIT} images{origin}"
    data = pd.read_csv(DATA, dtype={"id": str, "notes": str, "twin": str, "twin_split": str})

    with whole_folder(PLOTS) as folder:
        save_figure(data_report(data, f"{len(data)} images{origin}"), folder / "data.png")
        save_figure(curves(pd.read_csv(HISTORY), f"training{origin}"), folder / "curves.png")
        save_figure(score_distribution(scores, note), folder / "scores.png")
        groups = {name: examples(rows) for name, rows in choose(scores, knobs.panel_images).items()}
        save_figure(panels(groups, note), folder / "panels.png")

    with tracking.track(read_header(MODEL / WEIGHTS_FILE).fingerprint, resume_finished=True) as log:
        log.file(PLOTS)
    print("plots:", ", ".join(sorted(path.name for path in PLOTS.iterdir())))


def choose(scores: pd.DataFrame, count: int) -> dict[str, pd.DataFrame]:
    """The rows of the best, the middle and the worst images by IoU; none twice."""
    ranked = scores.sort_values(["iou", "id"], ascending=[False, True])
    if len(ranked) < 3:
        return {"all": ranked}
    count = min(count, len(ranked) // 3)
    middle = (len(ranked) - count) // 2
    return {
        "best": ranked[:count],
        "middle": ranked[middle : middle + count],
        "worst": ranked[-count:],
    }


def examples(rows: pd.DataFrame) -> list[Example]:
    """Images and masks of some rows, at a size for pictures."""
    rows = rows.merge(load_index(ARRAYS, SPLIT), on=["id", "split", "synthetic"])
    found = []
    with ArchiveReader(RAW) as archives:
        for row in rows.itertuples():
            scale = min(1, LONGEST / max(row.height, row.width))
            height, width = round(row.height * scale), round(row.width * scale)
            image = decode_image(archives.read(row.image_archive, row.image)).pixels
            truth = decode_mask(archives.read(row.mask_archive, row.mask))
            predicted = decode_mask(
                (PREDICTIONS / SPLIT / f"{row.id}_segmentation.png").read_bytes()
            )
            found.append(
                Example(
                    row.id,
                    row.dice,
                    row.iou,
                    resize_image(image, height, width),
                    resize_mask(truth, height, width),
                    resize_mask(predicted, height, width),
                )
            )
    return found


if __name__ == "__main__":
    run(main)
