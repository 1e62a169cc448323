"""Draws the data, the training, the scores and the predictions, and writes the report page and the
model card.

reads   metrics/*.csv, metrics/{evaluation,data,external}.json, predictions/, raw/,
        arrays/index.csv, model/unet.safetensors, model/predictor.json
writes  plots/report.html (all in one file, for a browser without a network) and, as PNG,
        plots/data, curves, panels, failures, scores, groups, thresholds, calibration,
        risk_coverage, area; model/README.md, the model card
knobs   panel_images; those of the training, to name them in the card (params.yaml)
"""

from __future__ import annotations

import lesion  # noqa: F401  before the libraries to which it says how to compute

# isort: split

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lesion.console.cli import run
from lesion.console.progress import Progress
from lesion.formats.arrays import load_index
from lesion.formats.groups import groups
from lesion.formats.header import WEIGHTS_FILE, Header, read_header
from lesion.formats.settings import SETTINGS_FILE, read_settings
from lesion.formats.splits import SCORED, SPLITS
from lesion.formats.tables import load_numbers, load_table
from lesion.parameters.plot import PlotParams
from lesion.parameters.reading import load_params
from lesion.parameters.train import TrainParams
from lesion.photos.archives import ArchiveReader
from lesion.pipeline.files import whole_folder
from lesion.pipeline.parallel import in_order
from lesion.report import score_figures
from lesion.report.card import CARD_FILE, Trained, write_card
from lesion.report.data_figure import data_report
from lesion.report.external import data_sets
from lesion.report.failures import reasons
from lesion.report.figures import (
    Example,
    curves,
    failures,
    panels,
    save_figure,
    score_distribution,
    to_svg,
)
from lesion.report.gallery import left_out, selected
from lesion.report.page import Case, write_page
from lesion.report.pictures import Picture, read_picture
from lesion.report.published import published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RAW = Path("raw")
ARRAYS = Path("arrays")
MODEL = Path("model")
PREDICTIONS = Path("predictions")
PLOTS = Path("plots")
SPLIT = "test"
LONGEST = 400  # pixels of a picture's longer side in the panels; enough for print
THUMBNAIL = 256  # and in the gallery
FAILURES = 8
NOT_ON_PAGE = ("hd95_share", "assd_share", "batch_iou")
# In the gallery, of each image.
SHOWN = ["dice", "iou", "boundary_f1", "hd95", "expected_dice", "lesion_share"]


def main() -> None:
    knobs = load_params(PlotParams)
    header = read_header(MODEL / WEIGHTS_FILE)
    settings = read_settings(MODEL / SETTINGS_FILE, MODEL / WEIGHTS_FILE)
    evaluation = load_numbers("evaluation")
    scores, per_image = load_table("scores"), load_table("per_image")
    indices = {split: load_index(ARRAYS, split) for split in SPLITS}
    index = pd.concat(indices[split] for split in reversed(SCORED))
    cases = per_image.merge(index, on=["id", "split", "synthetic"], validate="one_to_one")
    traits = groups(load_table("baselines").set_index("id").loc[cases["id"]])
    cases["traits"] = traits.rename(columns=lambda name: name.replace("_", " ")).to_dict("records")
    tested = cases[cases["split"] == SPLIT]
    synthetic = evaluation["origin"] == "synthetic"
    origin = " (synthetic sample)" if synthetic else ""
    note = f"{len(tested)} {SPLIT} images{origin}"

    figures = {
        "Training": ("curves", curves(load_table("history"), f"training{origin}")),
        "Scores of the test images": ("scores", score_distribution(tested, note)),
        **score_pictures(evaluation, tested, origin),
    }
    by_group = score_figures.by_group(scores[scores["split"] == SPLIT], note)
    data = load_table("data")
    external = data_sets(load_numbers("external")["external"], load_table("external"), scores)

    with whole_folder(PLOTS) as folder, ArchiveReader(RAW) as archives:
        for name, figure in figures.values():
            save_figure(figure, folder / f"{name}.png")
        save_figure(by_group, folder / "groups.png")
        save_figure(data_report(data, f"{len(data)} images{origin}"), folder / "data.png")

        read = partial(read_picture, archives=archives, predictions=PREDICTIONS)
        chosen = choose(tested, knobs.panel_images)
        shown = {name: examples(rows, read) for name, rows in chosen.items()}
        save_figure(panels(shown, note), folder / "panels.png")
        worst = tested.sort_values(["iou", "id"]).head(FAILURES)
        captions = [caption(row) for row in worst.itertuples()]
        save_figure(failures(examples(worst, read), captions, note), folder / "failures.png")

        write_page(
            folder / "report.html",
            title="Skin lesion segmentation",
            note=note,
            facts=facts(header, evaluation),
            scores=on_page(scores, synthetic),
            figures={title: to_svg(figure) for title, (_, figure) in figures.items()},
            cases=gallery(selected(cases), read),
            external=external,
            left_out=left_out(cases),
        )

    trained = Trained(
        header,
        settings,
        archives=sorted({name for rows in indices.values() for name in rows["image_archive"]}),
        parameters={name: getattr(knobs, name) for name in TrainParams.model_fields},
        data=load_numbers("data"),
    )
    write_card(MODEL / CARD_FILE, trained, evaluation, scores, external)

    print("plots:", ", ".join(sorted(path.name for path in PLOTS.iterdir())))


def score_pictures(
    evaluation: dict, tested: pd.DataFrame, origin: str
) -> dict[str, tuple[str, Figure]]:
    """The pictures of the scores: file name and figure by title."""
    validation, test = (f"{evaluation[s]['images']} {s} images{origin}" for s in SCORED)
    chosen, tests = evaluation["chosen"], evaluation[SPLIT]
    sweep, reliability, risk = map(load_table, ("thresholds", "calibration", "risk_coverage"))
    off, unsure = (tests.get(f"calibration_error_{kind}_pixels") for kind in ("all", "unsure"))
    figures = {
        "thresholds": score_figures.threshold_sweep(sweep, chosen["threshold"], validation),
        "calibration": score_figures.calibration(
            reliability, chosen["temperature"], off, unsure, test
        ),
        "risk_coverage": score_figures.risk_coverage(risk, tests.get("failures_in_review"), test),
        "area": score_figures.bland_altman(tested, test),
    }
    titles = ("Scores by threshold", "Calibration", "What review would leave", "Area of the lesion")
    return dict(zip(titles, figures.items(), strict=True))


def on_page(scores: pd.DataFrame, synthetic: bool) -> pd.DataFrame:
    """What the page's table compares: the test split, the network on validation, published results.

    Those are of photographs, and say nothing beside drawings.
    """
    own = (scores["split"] == SPLIT) | (scores["method"] == "network")
    shown = scores[own & ~scores["score"].isin(NOT_ON_PAGE)]
    return shown if synthetic else pd.concat([shown, published(SPLIT)])


def choose(rows: pd.DataFrame, count: int) -> dict[str, pd.DataFrame]:
    """The rows of the best, the middle and the worst images by IoU; none twice."""
    ranked = rows.sort_values(["iou", "id"], ascending=[False, True])
    if len(ranked) < 3:
        return {"all": ranked}
    count = min(count, len(ranked) // 3)
    middle = (len(ranked) - count) // 2
    return {
        "best": ranked[:count],
        "middle": ranked[middle : middle + count],
        "worst": ranked[-count:],
    }


def examples(rows: pd.DataFrame, read: Callable[..., Picture]) -> list[Example]:
    return [
        Example(row.id, row.dice, row.iou, **vars(read(row, longest=LONGEST)))
        for row in rows.itertuples()
    ]


def caption(row: Any) -> str:
    return "\n".join([f"{row.id}  IoU {row.iou:.2f}", *reasons(row, row.traits)])


def gallery(cases: pd.DataFrame, read: Callable[..., Picture]) -> Iterator[Case]:
    """The images, the test images first."""

    def case(row: Any) -> Case:
        scores = {name: getattr(row, name) for name in SHOWN}
        return Case(row.id, row.split, scores, row.traits, **vars(read(row, longest=THUMBNAIL)))

    ordered = cases.sort_values(["split", "id"])
    with Progress("report", len(ordered), "images") as progress:
        for found in in_order(case, ordered.itertuples()):
            progress.update()
            yield found


def facts(header: Header, evaluation: dict) -> dict[str, str]:
    """How the numbers were made, for the page."""
    chosen = evaluation["chosen"]
    return {
        "Network": f"U-Net, encoder {header.encoder}, width {header.width}, depth {header.depth}",
        "Input": f"{header.image_size}×{header.image_size} pixels ({header.resize})",
        "Weights": f"epoch {header.epoch}, {header.fingerprint[:12]}",
        "Chosen on validation": ", ".join(
            f"{name.replace('_', ' ')} {str(value).lower()}" for name, value in chosen.items()
        ),
        "Scored": "per image at its original size, mean over images; 95 % intervals where there "
        "are ten images or more",
    }


if __name__ == "__main__":
    run(main)
