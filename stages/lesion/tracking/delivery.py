"""From the spool to MLflow.

Every event may be sent again, after a process was killed between sending and noting it: MLflow
takes the same metric, parameter, tag, file and data set twice for once, runs are found by a tag of
their entry, and a model that was begun is finished. An entry is removed when its run was read back
and has everything.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from lesion.pipeline.errors import InputError
from lesion.tracking.address import DATABASES, in_words, scheme
from lesion.tracking.events import Event
from lesion.tracking.logged_model import log_model
from lesion.tracking.receipt import missing
from lesion.tracking.spool import Damaged, Entry, entries, status, tidy
from lesion.tracking.store import (
    NoExperiment,
    answered,
    open_store,
    require_active,
    run_with_id,
    search,
    store_lock,
    wanted_experiment,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run, RunTag

VALUES_A_REQUEST = 1000  # MLflow's limit for metrics
REASONS_SHOWN = 3

Wanted = dict[str, str]
Opener = Callable[[Wanted], tuple["MlflowClient", str]]


class Undelivered(InputError):
    """Not everything could be sent; the reasons, each once."""


def deliver_all() -> None:
    """Sends whatever waits, oldest first, and sets aside what is damaged.

    Raises:
        Undelivered: what was not sent stays, but keeps nothing else from being sent.
    """
    with suppress(OSError):
        tidy()
    errors: dict[Path, Exception] = {}
    opener = _once_for_each_experiment()
    for ended in (False, True):
        for entry in entries():
            try:
                if ended:
                    entry.end_if_abandoned()
                deliver(entry, opener)
                errors.pop(entry.folder, None)
            except Exception as error:  # whatever MLflow, its store or the network can raise
                errors[entry.folder] = error
    if errors:
        reasons = Counter(map(in_words, errors.values())).most_common()
        shown = [
            reason if count == 1 else f"{reason} ({count} runs)"
            for reason, count in reasons[:REASONS_SHOWN]
        ]
        if len(reasons) > REASONS_SHOWN:
            shown.append(f"and {len(reasons) - REASONS_SHOWN} other reasons")
        raise Undelivered("; ".join(shown))


def _once_for_each_experiment() -> Opener:
    """Opens the store; where that has failed, at once: a server that is down is waited for once."""
    failed: dict[frozenset[tuple[str, str]], InputError] = {}

    def opened(wanted: Wanted) -> tuple[MlflowClient, str]:
        key = frozenset(wanted.items())
        if key in failed:
            raise failed[key]
        try:
            return open_store(wanted)
        except InputError as error:
            failed[key] = error
            raise

    return opened


def deliver(entry: Entry, opener: Opener = open_store) -> None:
    """Sends what was not sent yet, unless another process is at it, and removes a complete entry.

    Raises:
        Exception: whatever MLflow raises; what was not sent stays.
    """
    with suppress(Timeout), entry.held(entry.sending):
        try:
            _deliver(entry, opener)
        except Damaged as damage:
            entry.set_aside(damage)
    if not entry.folder.exists():
        entry.tidy()


def _deliver(entry: Entry, opener: Opener) -> None:
    events = entry.events()
    if not events or (events[0]["event"] == "result" and not _ready(entry, events)):
        return
    complete = status(events) == "FINISHED"  # of what is sent here: more may come meanwhile
    if entry.sent()["count"] == len(events) and not complete:
        return
    delivery = Delivery(entry, events, opener)
    delivery.send_all()
    if complete:
        delivery.verify()
        entry.remove()


def _ready(entry: Entry, events: list[Event]) -> bool:
    """Whether a result is complete, and the training that it is to join is not waiting itself."""
    model_hash = events[0]["model_hash"]
    return status(events) == "FINISHED" and not any(
        event["event"] == "tags" and event["values"].get("model_hash") == model_hash
        for other in entries()
        if other.folder != entry.folder
        for event in _readable(other)
    )


def _readable(entry: Entry) -> list[Event]:
    try:
        return entry.events()
    except (Damaged, OSError):
        return []


def _store_of(opening: Event, opener: Opener) -> tuple[MlflowClient, str]:
    """The store, and the experiment that was named when a run was recorded.

    Where that was a number of another store's, the one that is named now.
    """
    wanted = opening.get("experiment") or wanted_experiment()
    try:
        return opener(wanted)
    except NoExperiment:
        if wanted == wanted_experiment():
            raise
        return opener(wanted_experiment())


class Delivery:
    """One entry on its way into one run."""

    def __init__(self, entry: Entry, events: list[Event], opener: Opener) -> None:
        opening = events[0]
        self.entry = entry
        self.events = events
        self.key = f"{entry.folder.name}-{opening['time']}"
        self.client, self.experiment = _store_of(opening, opener)
        self.over_network = scheme(self.client.tracking_uri) not in DATABASES
        self.sent = entry.sent()
        run = self.sent.get("run")
        # Another store, or this one made anew, does not know the run, which is opened there anew.
        if run is None or self.sent["count"] > len(events) or not run_with_id(self.client, run):
            self.sent = {"count": 0}

    def send_all(self) -> None:
        """Sends the events that were not sent yet."""
        waiting = self.events[self.sent["count"] :]
        for kind, group in groupby(waiting, key=lambda event: event["event"]):
            self.send(kind, list(group))

    def verify(self) -> None:
        """Reads the run back; if it lacks something, all is sent once more.

        Raises:
            InputError: it still does.
        """
        for again in (True, False):
            lacks = list(islice(self._missing(), 1))
            if not lacks:
                return
            self.sent["count"] = 0
            self.entry.note_sent(self.sent)
            if again:
                self.send_all()
        kind, name = lacks[0]
        raise InputError(
            f"MLflow took {kind} {name} of run {self.sent['run']}, and does not have it"
        )

    def _missing(self) -> Iterator[tuple[str, str]]:
        for kind, name in self._not_read_back():
            if [kind, name] not in self.sent.get("refused", []):
                yield kind, name

    def _not_read_back(self) -> Iterator[tuple[str, str]]:
        if self.sent.get("mode") == "linked":
            run = self.client.get_run(self.sent["run"])
            yield from (("tags", name) for name in self._links(run) if name not in run.data.tags)
        else:
            events = [event for event in self.events if self._is_sent(event["event"])]
            yield from missing(self.client, self.sent["run"], self.entry, events)

    def send(self, kind: str, events: list[Event]) -> None:
        """Sends events of one kind that follow each other, and notes it."""
        for part in _parts(kind, events):
            if self._is_sent(kind):
                self._try(kind, part)
            self.sent["count"] += len(part)
            self.entry.note_sent(self.sent)

    def _is_sent(self, kind: str) -> bool:
        mode = self.sent.get("mode")
        if kind == "history":
            # What a training has logged by itself needs no second time.
            return mode == "from outputs"
        return mode != "linked" or kind == "result"

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

        refused = self.sent.get("refused", [])
        things = [thing for thing in things if [kind, thing.key] not in refused]
        try:
            batch: dict[str, Any] = {kind: things}
            self.client.log_batch(self.sent["run"], **batch)
        except MlflowException as error:
            # What lies between here and a server may refuse for reasons of its own.
            by_mlflow = isinstance(error, RestException) or not self.over_network
            if error.error_code != "INVALID_PARAMETER_VALUE" or not by_mlflow:
                raise
            # What is sent to a deleted run is refused in the same way.
            require_active(self.client, self.sent["run"])
            if len(things) == 1:
                self._note_refusal(kind, things[0].key, error)
                return
            for half in _slices(things, (len(things) + 1) // 2):
                self._log(kind, half)

    def _note_refusal(self, kind: str, key: str, error: Exception) -> None:
        self.sent.setdefault("refused", []).append([kind, key])
        name = f"{kind.removesuffix('s')} {key!r} of run {self.sent['run']}"
        print(f"warning: MLflow refuses {name}: {in_words(error)}", flush=True)

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
                mode = run.data.tags.get("recorded", "from outputs")
            else:
                run, mode = self._run_of_result(opening, hashes)
        self.sent |= {"run": run.info.run_id, "mode": mode}
        if mode == "linked":
            self._set_tags(self._links(run))

    def _links(self, run: Run) -> dict[str, str]:
        """A tag for each other experiment that came to the result of a run again."""
        opening = self.events[0]
        experiment = opening["tags"].get("DVC_EXP_NAME")
        if opening["name"] == run.info.run_name or experiment == run.data.tags.get("DVC_EXP_NAME"):
            return {}
        base = opening["tags"].get("DVC_EXP_BASELINE_REV") or "workspace"
        return {f"linked.{opening['name']}": base}

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
        run = self.client.create_run(
            self.experiment,
            start_time=opening["time"],
            run_name=opening["name"],
            tags={"entry": self.key, **tags},
        )
        answered(run.info.run_id)
        return run

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
        self._log("metrics", _points(events))

    _system = _history = _metrics

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
        path = self.entry.kept(event["path"])
        if path.is_dir():
            self.client.log_artifacts(self.sent["run"], str(path), path.name)
        else:
            self.client.log_artifact(self.sent["run"], str(path))

    def _model(self, event: Event) -> None:
        if not event.get("settings"):  # by a version of before there were any
            self.sent.setdefault("refused", []).append(["model", event["path"]])
            print(
                f"warning: run {self.sent['run']} gets no model: it was recorded without the "
                "settings that complete it; `dvc repro` makes another",
                flush=True,
            )
            return
        files = (self.entry.kept(event[name]) for name in ("path", "settings"))
        model = log_model(self.client, self.sent["run"], *files)
        # Its page shows the numbers of the run.
        numbers = [e for e in self.events if e["event"] == "metrics" and e["step"] is None]
        refused = self.sent.get("refused", [])
        points = [
            point for point in _points(numbers, model) if ["metrics", point.key] not in refused
        ]
        for part in _slices(points, VALUES_A_REQUEST):
            self._log("metrics", part)

    def _end(self, event: Event) -> None:
        self.client.set_terminated(self.sent["run"], event["status"], event["time"])

    def _set_tags(self, values: dict[str, str]) -> None:
        self._log("tags", _run_tags(values))


def _run_tags(values: dict[str, str]) -> list[RunTag]:
    from mlflow.entities import RunTag

    return [RunTag(name, value) for name, value in values.items()]


def _points(events: Iterable[Event], model: str | None = None) -> list[Metric]:
    from mlflow.entities import Metric

    return [
        Metric(name, value, event["time"], event["step"] or 0, model_id=model)
        for event in events
        for name, value in event["values"].items()
    ]


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
