"""From the spool to MLflow.

Every event may be sent again, after a process was killed between sending and noting it: MLflow
takes the same metric, parameter, tag, file and data set twice for once, runs are found by a tag of
their entry, and of models the first one stays.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from lesion.address import DATABASES, in_words, scheme
from lesion.logged_model import log_model
from lesion.spool import Entry, Event, entries, status
from lesion.store import open_store, require_active, search, store_lock

if TYPE_CHECKING:
    from mlflow.entities import Run, RunTag

VALUES_A_REQUEST = 1000  # MLflow's limit for metrics


def deliver_all(deadline: float = math.inf) -> None:
    """Sends whatever waits, oldest first, until a `deadline` of `time.monotonic`.

    Raises:
        Exception: what MLflow raised first, or that the deadline has passed; what was not sent
            stays, but keeps nothing else from being sent.
    """
    errors = []
    for ended in (False, True):
        for entry in entries():
            if ended:
                entry.end_if_abandoned()
            try:
                deliver(entry, deadline)
            except Exception as error:  # whatever MLflow, its store or the network can raise
                errors.append(error)
    if errors:
        raise errors[0]


def deliver(entry: Entry, deadline: float = math.inf) -> None:
    """Sends what was not sent yet, unless another process is at it, and removes a complete entry.

    Raises:
        TimeoutError: the `deadline` of `time.monotonic` has passed.
        Exception: whatever MLflow raises; what was not sent stays.
    """
    try:
        with entry.sending.acquire(timeout=0):
            _deliver(entry, deadline)
            if not entry.folder.exists():
                entry.remove()  # its locks, which may have come back
    except Timeout:
        return


def _deliver(entry: Entry, deadline: float) -> None:
    events = entry.events()
    if not events or (events[0]["event"] == "result" and not _ready(entry, events)):
        return
    sent = entry.sent()
    if "run" not in sent:
        sent = {"count": 0}  # whatever was counted went nowhere
    if sent["count"] < len(events):
        _heed(deadline)
        delivery = Delivery(entry, sent, events[0], deadline)
        for kind, group in groupby(events[sent["count"] :], key=lambda event: event["event"]):
            delivery.send(kind, list(group))
    if status(events) == "FINISHED":  # of what was sent: more may have come meanwhile
        entry.remove()


def _ready(entry: Entry, events: list[Event]) -> bool:
    """Whether a result is complete, and the training that it is to join is not waiting itself."""
    model_hash = events[0]["model_hash"]
    trainings = [
        event
        for other in entries()
        if other.folder != entry.folder
        for event in other.events()
        if event["event"] == "tags" and event["values"].get("model_hash") == model_hash
    ]
    return status(events) == "FINISHED" and not trainings


def _heed(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError("it is too slow")


class Delivery:
    """One entry on its way into one run."""

    def __init__(self, entry: Entry, sent: dict[str, Any], opening: Event, deadline: float) -> None:
        self.entry = entry
        self.sent = sent
        self.key = f"{entry.folder.name}-{opening['time']}"
        self.deadline = deadline
        self.client, self.experiment = open_store(opening.get("experiment"))
        self.over_network = scheme(self.client.tracking_uri) not in DATABASES

    def send(self, kind: str, events: list[Event]) -> None:
        """Sends events of one kind that follow each other, and notes it."""
        for part in _parts(kind, events):
            _heed(self.deadline)
            if self.sent.get("mode") != "linked" or kind in ("training", "result"):
                self._try(kind, part)
            self.sent["count"] += len(part)
            self.entry.note_sent(self.sent)

    def _try(self, kind: str, events: list[Event]) -> None:
        from mlflow.exceptions import MlflowException

        try:
            getattr(self, f"_{kind}")(*events)
        except MlflowException:
            if "run" in self.sent:
                require_active(self.client, self.sent["run"])
            raise

    def _log(self, kind: str, things: list) -> None:
        """Logs metrics, params or tags, but for single ones that MLflow will never take."""
        from mlflow.exceptions import MlflowException, RestException

        try:
            self.client.log_batch(self.sent["run"], **{kind: things})
        except MlflowException as error:
            # What lies between here and a server may refuse for reasons of its own.
            by_mlflow = isinstance(error, RestException) or not self.over_network
            if error.error_code != "INVALID_PARAMETER_VALUE" or not by_mlflow:
                raise
            # What is sent to a deleted run is refused in the same way.
            require_active(self.client, self.sent["run"])
            if len(things) == 1:
                name = f"{kind.removesuffix('s')} {things[0].key!r} of run {self.sent['run']}"
                print(f"warning: MLflow refuses {name}: {in_words(error)}", flush=True)
                return
            for half in _slices(things, (len(things) + 1) // 2):
                _heed(self.deadline)
                self._log(kind, half)

    def _training(self, *openings: Event) -> None:
        opening = openings[-1]
        if "run" not in self.sent:
            run = self._run_of_this_entry() or self._create(opening, opening["tags"])
            self.sent["run"] = run.info.run_id
        self.client.update_run(self.sent["run"], status="RUNNING")
        self._set_tags(opening["tags"])

    def _result(self, *openings: Event) -> None:
        opening = openings[-1]
        hashes = {name: opening[name] for name in ("model_hash", "result_hash")}
        # Two results of one model at once must not both take its training's run for theirs.
        with store_lock():
            if run := self._run_of_this_entry():
                mode = run.data.tags["recorded"]
            else:
                run, mode = self._run_of_result(opening, hashes)
        self.sent |= {"run": run.info.run_id, "mode": mode}
        # A tag for each experiment that came to this result again.
        if mode == "linked" and opening["name"] != run.info.run_name:
            base = opening["tags"].get("DVC_EXP_BASELINE_REV") or "workspace"
            self._set_tags({f"linked.{opening['name']}": base})

    def _run_of_result(self, opening: Event, hashes: dict[str, str]) -> tuple[Run, str]:
        """The run that a result goes to, and what it is to that: linked, by training, from outputs.

        What marks the run as this result's is in it at once, lest a process that is killed leave it
        unmarked.
        """
        marks = {"result": self.key, **hashes, **opening["tags"]}
        runs = search(self.client, self.experiment, model_hash=hashes["model_hash"])
        for run in runs:
            if run.data.tags.get("result_hash") == hashes["result_hash"]:
                return run, "linked"
        for run in runs:
            if "result_hash" not in run.data.tags:
                mode = "by training"
                tags = _run_tags({"recorded": mode, **marks})
                self.client.log_batch(run.info.run_id, tags=tags)
                return run, mode
        if runs:
            marks["trained_by"] = runs[0].info.run_id
        mode = "from outputs"
        return self._create(opening, {"recorded": mode, **marks}), mode

    def _run_of_this_entry(self) -> Run | None:
        """The run, where a killed process has opened it without noting that."""
        for tag in ("entry", "result"):
            for run in search(self.client, self.experiment, **{tag: self.key}):
                return run
        return None

    def _create(self, opening: Event, tags: dict[str, str]) -> Run:
        return self.client.create_run(
            self.experiment,
            start_time=opening["time"],
            run_name=opening["name"],
            tags={"entry": self.key, **tags},
        )

    def _params(self, *events: Event) -> None:
        from mlflow.entities import Param

        # MLflow refuses to change a parameter.
        known = self.client.get_run(self.sent["run"]).data.params
        values = {k: v for event in events for k, v in event["values"].items() if k not in known}
        for part in _slices([Param(name, value) for name, value in values.items()], 100):
            self._log("params", part)

    def _tags(self, *events: Event) -> None:
        for event in events:
            self._set_tags(event["values"])

    def _metrics(self, *events: Event) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, event["time"], event["step"] or 0)
            for event in events
            for name, value in event["values"].items()
        ]
        self._log("metrics", metrics)

    _system = _metrics

    def _history(self, *events: Event) -> None:
        # What a training has logged by itself needs no second time.
        if self.sent["mode"] == "from outputs":
            self._metrics(*events)

    def _dataset(self, event: Event) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"uri": event["source"]})
        inputs = [
            DatasetInput(
                Dataset(
                    f"{event['name']} {split}",
                    f"{event['digest'][:32]}",
                    "local",
                    source,
                    profile=json.dumps({"images": count}),
                ),
                [InputTag("mlflow.data.context", split)],
            )
            for split, count in event["images"].items()
        ]
        self.client.log_inputs(self.sent["run"], inputs)

    def _file(self, event: Event) -> None:
        path = self.entry.folder / "files" / event["path"]
        if path.is_dir():
            self.client.log_artifacts(self.sent["run"], str(path), path.name)
        else:
            self.client.log_artifact(self.sent["run"], str(path))

    def _model(self, event: Event) -> None:
        if not self.client.get_run(self.sent["run"]).outputs.model_outputs:
            log_model(self.sent["run"], self.entry.folder / "files" / event["path"])

    def _end(self, event: Event) -> None:
        self.client.set_terminated(self.sent["run"], event["status"], event["time"])

    def _set_tags(self, values: dict[str, str]) -> None:
        self._log("tags", _run_tags(values))


def _run_tags(values: dict[str, str]) -> list[RunTag]:
    from mlflow.entities import RunTag

    return [RunTag(name, value) for name, value in values.items()]


def _parts(kind: str, events: list[Event]) -> Iterator[list[Event]]:
    """What may go together in one request."""
    if kind in ("metrics", "system", "history"):
        most = max(len(event["values"]) for event in events)
        yield from _slices(events, max(1, VALUES_A_REQUEST // max(1, most)))
    elif kind in ("params", "tags"):
        yield events
    else:
        yield from ([event] for event in events)


def _slices(things: list, size: int) -> Iterator[list]:
    for start in range(0, len(things), size):
        yield things[start : start + size]
