"""The model card: what the weights are, what they reached and what they are not for, beside them.

In Hugging Face's format, so that the folder of the model can be published as it is: metadata in
YAML, then the sections of their template that apply
(https://huggingface.co/docs/hub/model-card-annotated).
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from ruamel.yaml import YAML

from lesion.formats.header import Header
from lesion.formats.settings import Settings
from lesion.formats.splits import SPLITS
from lesion.pipeline.files import write_bytes
from lesion.report.external import DataSet
from lesion.report.page.numbers import ALL, NETWORK, SCORES, SPLIT

CARD_FILE = "README.md"  # as Hugging Face wants it
NAME = "skin-lesion-unet"
TAGS = ["dermatology", "dermoscopy", "medical", "pytorch", "skin-lesion-segmentation", "unet"]
INDEXED = (
    "dice",
    "iou",
    "thresholded_iou",
    "accuracy",
    "sensitivity",
    "specificity",
)  # the challenge's
TABLE = (*INDEXED, "failed", "boundary_f1", "hd95", "assd", "pooled_dice", "pooled_iou")
BY_GROUP = ("dice", "iou", "thresholded_iou")
FEWEST = 10  # images that have an interval


@dataclass(frozen=True)
class Trained:
    """What a model was made of.

    `archives` are the names of those that the images came from, `parameters` those of the training
    by their names, `data` is metrics/data.json.
    """

    header: Header
    settings: Settings
    archives: list[str]
    parameters: dict[str, object]
    data: dict


def write_card(
    path: Path,
    trained: Trained,
    evaluation: dict,
    scores: pd.DataFrame,
    external: Sequence[DataSet] = (),
) -> None:
    """Writes the card whole or not at all; equal input gives equal bytes.

    `evaluation` is metrics/evaluation.json, `scores` metrics/scores.csv; `external` are the test
    split and other data sets, to compare them.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent, encoding="utf-8"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    synthetic = trained.settings.origin == "synthetic"
    rows = scores.set_index(["split", "group", "method", "score"]).to_dict("index")
    own = scores[(scores["split"] == SPLIT) & (scores["method"] == NETWORK)]
    groups = [group for group in own["group"].drop_duplicates() if group != ALL]
    counts = own[own["score"] == "dice"].set_index("group")["images"]
    methods = scores.loc[(scores["split"] == SPLIT) & (scores["group"] == ALL), "method"]
    text = environment.get_template("card.md").render(
        name=NAME,
        metadata=_yaml(metadata(trained, evaluation)),
        synthetic=synthetic,
        header=trained.header,
        settings=trained.settings,
        archives=[_code(name) for name in trained.archives],
        data=trained.data,
        splits=SPLITS,
        parameters={name: _plain(trained.parameters[name]) for name in sorted(trained.parameters)},
        test=evaluation[SPLIT],
        scores=[
            (SCORES[name], *(_cell(rows, split, ALL, NETWORK, name) for split in reversed(SPLITS)))
            for name in TABLE
        ],
        methods=[
            (method, [_cell(rows, SPLIT, ALL, method, name) for name in BY_GROUP])
            for method in methods.drop_duplicates()
        ],
        groups=[
            (group, counts[group], [_cell(rows, SPLIT, group, NETWORK, name) for name in BY_GROUP])
            for group in groups
        ],
        few=[group for group in groups if counts[group] < FEWEST],
        fewest=FEWEST,
        external=external,
        code=_code,
    )
    write_bytes(path, text.encode())


def metadata(trained: Trained, evaluation: dict) -> dict:
    """The card's front matter, as https://github.com/huggingface/hub-docs/blob/main/modelcard.md
    asks for it."""
    synthetic = trained.settings.origin == "synthetic"
    encoder = trained.header.encoder
    names = list(dict.fromkeys(map(_slug, trained.archives)))
    images = "+".join(names)
    what = "drawings, not photographs" if synthetic else "dermoscopic photographs"
    return {
        "license": "mit",
        "library_name": "pytorch",
        "pipeline_tag": "image-segmentation",
        "tags": [*TAGS, *([] if encoder == "none" else [encoder]), *["synthetic"] * synthetic],
        "datasets": names,
        "metrics": list(INDEXED),
        "model-index": [
            {
                "name": NAME,
                "results": [
                    {
                        "task": {"type": "image-segmentation", "name": "Skin lesion segmentation"},
                        "dataset": {"type": images, "name": f"{images}: {what}", "split": SPLIT},
                        "metrics": [
                            {
                                "type": score,
                                "value": evaluation[SPLIT][score],
                                "name": f"{SCORES[score].label}, mean over images",
                            }
                            for score in INDEXED
                        ],
                    }
                ],
            }
        ],
    }


def _slug(archive: str) -> str:
    """The name of a data set by that of one of its archives: ISIC2018_Task1-2_….zip is isic2018."""
    first = re.split(r"[_.]", archive.lower())[0]
    return re.sub(r"[^a-z0-9]+", "-", first).strip("-") or "images"


def _yaml(values: dict) -> str:
    yaml, text = YAML(), io.StringIO()
    yaml.width = 1000
    yaml.dump(values, text)
    return text.getvalue()


def _cell(rows: dict, split: str, group: str, method: str, score: str) -> str:
    """A value with its 95 % interval, as far as there are such."""
    row = rows.get((split, group, method, score))
    if row is None or math.isnan(row["value"]):
        return "–"
    numbers = [f"{row[name]:.{SCORES[score].digits}f}" for name in ("value", "low", "high")]
    known = math.isfinite(row["low"]) and math.isfinite(row["high"])
    return f"{numbers[0]} ({numbers[1]}–{numbers[2]})" if known else numbers[0]


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _code(text: str) -> str:
    """`text` as code that ends where it ends, also in a cell of a table."""
    return f"`{re.sub(r'[`|]', '_', text)}`"
