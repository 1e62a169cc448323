"""What a run in MLflow has of its entry, read back from the store.

An answer alone is no proof: what stands between here and a store may say yes to everything, and a
store may be put back to what it was before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator
from functools import partial
from typing import TYPE_CHECKING

from lesion.tracking.events import Event
from lesion.tracking.logged_model import has_model
from lesion.tracking.spool import Entry, status
from lesion.tracking.store import unlisted

if TYPE_CHECKING:
    from mlflow import MlflowClient


def missing(
    client: MlflowClient, run_id: str, entry: Entry, events: list[Event]
) -> Iterator[tuple[str, str]]:
    """What a run lacks of what these events have sent to it: kind and name, one by one.

    The kinds are those of the events. Of a metric with several steps each is looked for.
    """
    run = client.get_run(run_id)
    if run.info.run_id != run_id:
        yield "run", run_id
        return
    if run.info.status != status(events):
        yield "end", str(status(events))
    datasets = run.inputs.dataset_inputs if run.inputs else []
    has: dict[str, Container[str]] = {
        "params": run.data.params,
        "tags": run.data.tags,
        "metrics": run.data.metrics,
        "dataset": {use.dataset.name for use in datasets},
    }
    for kind, name in dict.fromkeys(_names(events)):
        if name not in has[kind]:
            yield kind, name
    for name, expected in _steps(events).items():
        if len(expected) > 1 and name in run.data.metrics:
            found = {point.step for point in client.get_metric_history(run_id, name)}
            if expected - found:
                yield "metrics", name
    for event in events:
        if event["event"] == "file":
            list_files = partial(client.list_artifacts, run_id)
            for name in unlisted(entry.kept(event["path"]), entry.kept(""), list_files):
                yield "file", name
        if event["event"] == "model" and not has_model(client, run):
            yield "model", event["path"]


def _names(events: list[Event]) -> Iterator[tuple[str, str]]:
    for event in events:
        match event["event"]:
            case "training" | "result":
                hashes = {"model_hash", "result_hash"} & event.keys()
                # Servers have their own way with MLflow's tags.
                names = (name for name in event["tags"] if not name.startswith("mlflow."))
                yield from (("tags", name) for name in (*names, *hashes))
            case "params" | "tags" as kind:
                yield from ((kind, name) for name in event["values"])
            case "metrics" | "history" | "system":
                yield from (("metrics", name) for name in event["values"])
            case "dataset":
                yield from (("dataset", f"{event['name']} {split}") for split in event["images"])


def _steps(events: list[Event]) -> dict[str, set[int]]:
    steps = defaultdict(set)
    for event in events:
        if event["event"] in ("metrics", "history", "system"):
            for name in event["values"]:
                steps[name].add(event["step"] or 0)
    return steps
