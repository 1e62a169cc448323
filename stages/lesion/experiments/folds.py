"""The folds of a cross-validation, which are experiments, joined: each image is tested on once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from lesion.pipeline.errors import InputError
from lesion.scoring.summary import summarise_network
from lesion.tracking.result import Result
from lesion.tracking.store import open_store, runs_with, search

SHOWN = ("dice", "iou", "thresholded_iou")


@dataclass(frozen=True)
class Pooled:
    """`images` has a row an image, of metrics/per_image.csv, with `fold`; `scores` a row a score.

    scores: score, value, low, high (95 % interval over images), spread (standard deviation between
            the folds' own values)
    folds:  a row a fold: fold, images, and SHOWN
    """

    images: pd.DataFrame
    scores: pd.DataFrame
    folds: pd.DataFrame


def choose(results: Mapping[str, Result]) -> dict[int, str]:
    """The name of each fold's experiment, in order of folds.

    Raises:
        InputError: they are not the folds of one cross-validation, each of them once.
    """
    if not results:
        raise InputError("no experiments with folds; expected some: see docs/evaluation.md")
    first, *others = results.items()
    for name, result in others:
        for knob, value in result.params.items():
            if knob != "fold" and value != (expected := first[1].params.get(knob)):
                raise InputError(
                    f"{first[0]} and {name}: {knob} is {expected} and {value}; expected folds that "
                    "differ in nothing but fold; name those that are meant"
                )
    by_fold: dict[int, str] = {}
    for name, result in results.items():
        fold = int(str(result.params["fold"]))
        other = by_fold.setdefault(fold, name)
        if results[other].hash != result.hash:
            raise InputError(f"{other} and {name}: both are fold {fold}; name one of them")
    count = int(str(first[1].params["folds"]))
    if missing := sorted(set(range(count)) - by_fold.keys()):
        raise InputError(
            f"{len(missing)} of {count} folds are missing, fold {missing[0]} for one; "
            f"`dvc exp run --queue -S folds={count} -S fold={missing[0]}`, then `dvc queue start`"
        )
    return dict(sorted(by_fold.items()))


def pool(tables: Mapping[int, pd.DataFrame]) -> Pooled:
    """Joins the test images of the folds' tables metrics/per_image.csv.

    Raises:
        InputError: an image is in two of them.
    """
    parts = [table[table["split"] == "test"].assign(fold=fold) for fold, table in tables.items()]
    images = pd.concat(parts, ignore_index=True).sort_values("id", ignore_index=True)
    if (twice := images["id"].duplicated()).any():
        raise InputError(
            f"{images['id'][twice].iloc[0]} is in two folds; expected folds of one data set and "
            "split_seed"
        )
    of_folds = [_fold(fold, part) for fold, part in zip(tables, parts, strict=True)]
    scores = summarise_network(images)
    values = pd.DataFrame([summarise_network(part).set_index("score")["value"] for part in parts])
    scores["spread"] = scores["score"].map(values.std())
    return Pooled(images, scores, pd.DataFrame(of_folds))


def _fold(fold: int, images: pd.DataFrame) -> dict[str, float]:
    return {"fold": fold, "images": len(images), **images[list(SHOWN)].mean()}


def with_folds(results: Mapping[str, Result], names: Iterable[str]) -> dict[str, Result]:
    """Those of `names`, or all that are folds."""
    chosen = list(names) or [name for name in results if results[name].params.get("folds")]
    for name in chosen:
        if not results[name].params.get("folds"):
            raise InputError(f"{name}: has no folds; expected an experiment with folds above 0")
    return {name: results[name] for name in chosen}


def whole(results: Mapping[str, Result], fold: Result) -> str | None:
    """The first of `results` of the folds' recipe and seed on the data set's own split, if any."""
    recipe = {**fold.params, "folds": 0, "fold": 0}
    return next((name for name, result in results.items() if result.params == recipe), None)


def record(pooled: Pooled, results: Mapping[int, Result]) -> str:
    """Makes the folds' runs in MLflow children of one run, which has the pooled scores; its id.

    The same folds have the same parent however often this is asked for.

    Raises:
        InputError: the store cannot be used, or a fold has no run in it.
    """
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

    client, experiment = open_store(make=False)
    children = [
        runs_with(client, experiment, result.hash, f"fold {fold}")[0].info.run_id
        for fold, result in results.items()
    ]
    together = [result.hash for result in results.values()]
    digest = hashlib.sha256("".join(together).encode()).hexdigest()
    found = search(client, experiment, folds_hash=digest)
    parent = (
        found[0]
        if found
        else client.create_run(
            experiment, tags={MLFLOW_RUN_NAME: f"{len(children)} folds", "folds_hash": digest}
        )
    )
    run_id = parent.info.run_id
    for row in pooled.scores.itertuples():
        client.log_metric(run_id, f"folds.{row.score}", row.value)
    for child in children:
        client.set_tag(child, MLFLOW_PARENT_RUN_ID, run_id)
    client.set_terminated(run_id)
    return run_id
