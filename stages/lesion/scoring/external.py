"""The figures of a data set that the network was neither trained nor chosen on."""

from __future__ import annotations

import pandas as pd

from lesion.scoring.cases import COLUMNS as CASE_COLUMNS
from lesion.scoring.intervals import difference
from lesion.scoring.summary import GROUPED, PIXELS, shares, summarise_network

IMAGE_COLUMNS = ["id", "split", "synthetic", "group", *CASE_COLUMNS]
SUMMARY_COLUMNS = ["group", "score", "images", "value", "low", "high"]
DIFFERENCES = ["difference", "difference_low", "difference_high"]


def summarise_external(rows: pd.DataFrame) -> pd.DataFrame:
    """The scores of all images, and Dice and IoU of each of the data set's own splits, where it has
    several: a row a score, with SUMMARY_COLUMNS; `rows` has IMAGE_COLUMNS and may be empty."""
    parts = [pd.DataFrame(columns=SUMMARY_COLUMNS)]
    if len(rows):
        parts = [summarise_network(rows).assign(group="all", images=len(rows))]
    if rows["split"].nunique() > 1:
        for split, own in rows.groupby("split", sort=False):
            part = shares(own[list(GROUPED)], [*own["group"]])
            parts.append(part.assign(group=f"split: {split}", images=len(own)))
    return pd.concat(parts, ignore_index=True)[SUMMARY_COLUMNS]


def against_test(scores: pd.DataFrame, tested: pd.DataFrame) -> pd.DataFrame:
    """`scores` with DIFFERENCES: how much more each is than on the pipeline's own test split.

    `tested` is of metrics/scores.csv. Distances in pixels, which depend on the photographs' size,
    have none.
    """
    network = (tested["split"] == "test") & (tested["method"] == "network")
    own = tested[network & (tested["group"] == "all") & ~tested["score"].isin(PIXELS)]
    columns = ["value", "low", "high"]
    other = own.set_index("score")[columns].reindex(scores["score"])
    apart = difference(scores[columns].astype(float), other.set_axis(scores.index).astype(float))
    return scores.assign(**dict(zip(DIFFERENCES, (apart[name] for name in columns), strict=True)))
