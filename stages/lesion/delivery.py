"""From the spool to MLflow.

Every event may be sent again, after a process was killed between sending and noting it: MLflow
takes the same metric, parameter, tag, file and data set twice for once, runs are found by a tag of
their entry, and of models the first one stays.
"""

from __future__ import annotations

import json
import math
import threading
import time
import warnings
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from lesion.spool import FOLDER, Entry, Event, entries, root, status
from lesion.store import open_store, search

if TYPE_CHECKING:
    from mlflow.entities import Run

MODEL_NAME = "unet"

INTERVAL = 1.0  # seconds between looks at what a stage has written down
PAUSE = 30.0  # seconds after a failure
SAMPLING = 10.0  # seconds between measurements of the machine

VALUES_A_REQUEST = 1000  # MLflow's limit for metrics


class Courier:
    """Sends an entry while a stage writes it, in a thread, so that the stage never waits.

    MLflow is imported there too, beside the stage's work. In the end all that waits is sent, also
    of earlier runs.
    """

    def __init__(self, entry: Entry, measure_machine: bool) -> None:
        self._entry = entry
        self._measure = measure_machine
        self._written = threading.Event()
        self._deadline = math.inf
        self._warned = False
        self._thread = threading.Thread(target=self._work, name="MLflow", daemon=True)
        self._thread.start()

    def finish(self, patience: float) -> None:
        """Sends the rest, but begins nothing after so many seconds."""
        self._deadline = time.monotonic() + patience
        self._written.set()
        # To the end: Python must not exit while another thread computes in torch.
        self._thread.join()

    def _work(self) -> None:
        machine = Machine(self._entry) if self._measure else None
        rest_until = 0.0
        written = False
        while not written:
            if machine:
                machine.measure()
            written = self._written.wait(INTERVAL)
            if written or time.monotonic() >= rest_until:
                try:
                    if written:
                        deliver_all(self._deadline)
                    else:
                        deliver(self._entry)
                except Exception as error:  # whatever MLflow, its store or the network can raise
                    self._warn(str(error) or type(error).__name__)
                    rest_until = time.monotonic() + PAUSE

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            print(
                f"warning: MLflow did not take everything ({' '.join(reason.split())[:200]}); the "
                f"rest waits in {FOLDER}/ for the next run, or `python tools/deliver.py`",
                flush=True,
            )


class Machine:
    """Measures processor, memory, disk, network and GPUs as MLflow does, into an entry.

    MLflow's own loop would end where the store fails for the first time.
    """

    def __init__(self, entry: Entry) -> None:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        self._entry = entry
        self._monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        try:
            from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

            self._monitors.append(GPUMonitor())
        except Exception:  # no GPU, or not the package that reads it
            pass
        self._step = sum(event["event"] == "system" for event in entry.events())
        self._due = 0.0

    def measure(self) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + SAMPLING
        values = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            values |= {f"system/{k}": v for k, v in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
        self._entry.append("system", values=values, step=self._step)
        self._step += 1


def deliver_all(deadline: float = math.inf) -> None:
    """Sends whatever waits, oldest first, until a `deadline` of `time.monotonic`.

    Raises:
        TimeoutError: it has passed.
        Exception: whatever MLflow raises; what was not sent stays.
    """
    for entry in entries():
        deliver(entry, deadline)
    for entry in entries():
        entry.end_if_abandoned()
        deliver(entry, deadline)


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
    if sent["count"] < len(events):
        delivery = Delivery(entry, sent, f"{entry.folder.name}-{events[0]['time']}", deadline)
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


class Delivery:
    """One entry on its way into one run."""

    def __init__(self, entry: Entry, sent: dict[str, Any], key: str, deadline: float) -> None:
        self.entry = entry
        self.sent = sent
        self.key = key
        self.deadline = deadline
        self.client, self.experiment = open_store()

    def send(self, kind: str, events: list[Event]) -> None:
        """Sends events of one kind that follow each other, and notes it."""
        for part in _parts(kind, events):
            if time.monotonic() > self.deadline:
                raise TimeoutError("it is too slow")
            if self.sent.get("mode") != "linked" or kind in ("training", "result"):
                self._try(kind, part)
            self.sent["count"] += len(part)
            self.entry.note_sent(self.sent)

    def _try(self, kind: str, events: list[Event]) -> None:
        from mlflow.exceptions import MlflowException

        try:
            getattr(self, f"_{kind}")(*events)
        except MlflowException as error:
            # What MLflow will never take must not keep the rest from it.
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            print(f"warning: MLflow refuses {kind} of {self.key}: {error}", flush=True)

    def _training(self, *openings: Event) -> None:
        opening = openings[-1]
        if "run" not in self.sent:
            run = self._run_of_this_entry() or self._create(opening)
            self.sent["run"] = run.info.run_id
        self.client.update_run(self.sent["run"], status="RUNNING")
        self._set_tags(opening["tags"])

    def _result(self, *openings: Event) -> None:
        opening = openings[-1]
        hashes = {name: opening[name] for name in ("model_hash", "result_hash")}
        # Two results of one model at once must not both take its training's run for theirs.
        with FileLock(root() / "mlflow.db.lock", timeout=60):
            if run := self._run_of_this_entry():
                mode = run.data.tags["recorded"]
            else:
                run, mode = self._run_of_result(opening, hashes)
            self.sent |= {"run": run.info.run_id, "mode": mode}
            if mode == "linked":
                # A tag for each experiment that came to this result again.
                name, base = opening["name"], opening["tags"].get("DVC_EXP_BASELINE_REV", "")
                if name != run.info.run_name:
                    self._set_tags({f"linked.{name}": base or "workspace"})
                return
            self._set_tags({"recorded": mode, "result": self.key, **hashes, **opening["tags"]})

    def _run_of_result(self, opening: Event, hashes: dict[str, str]) -> tuple[Run, str]:
        runs = search(self.client, self.experiment, model_hash=hashes["model_hash"])
        for run in runs:
            if run.data.tags.get("result_hash") == hashes["result_hash"]:
                return run, "linked"
        for run in runs:
            if "result_hash" not in run.data.tags:
                return run, "by training"
        run = self._create(opening)
        if runs:
            self.client.set_tag(run.info.run_id, "trained_by", runs[0].info.run_id)
        return run, "from outputs"

    def _run_of_this_entry(self) -> Run | None:
        """The run, where a killed process has opened it without noting that."""
        for tag in ("entry", "result"):
            for run in search(self.client, self.experiment, **{tag: self.key}):
                return run
        return None

    def _create(self, opening: Event) -> Run:
        return self.client.create_run(
            self.experiment,
            start_time=opening["time"],
            run_name=opening["name"],
            tags={"entry": self.key, **opening["tags"]},
        )

    def _params(self, *events: Event) -> None:
        from mlflow.entities import Param

        # MLflow refuses to change a parameter.
        known = self.client.get_run(self.sent["run"]).data.params
        values = {k: v for event in events for k, v in event["values"].items() if k not in known}
        for part in _slices([Param(name, value) for name, value in values.items()], 100):
            self.client.log_batch(self.sent["run"], params=part)

    def _tags(self, *events: Event) -> None:
        for event in events:
            self._set_tags(event["values"])

    def _metrics(self, *events: Event) -> None:
        from mlflow.entities import Metric

        self.client.log_batch(
            self.sent["run"],
            metrics=[
                Metric(name, value, event["time"], event["step"] or 0)
                for event in events
                for name, value in event["values"].items()
            ],
        )

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
        from mlflow.entities import RunTag

        tags = [RunTag(name, value) for name, value in values.items()]
        self.client.log_batch(self.sent["run"], tags=tags)


def log_model(run_id: str, weights: Path) -> None:
    """Adds a weights file to a run as a model that takes any number of uint8 images B×H×W×3.

    It gives probabilities, B×H×W, and needs nothing of this project to be loaded.
    """
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    from lesion.predict import Predictor
    from lesion.weights import load_model

    network, header = load_model(weights, "cpu")
    side = header.image_size
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype(np.uint8), (-1, side, side, 3))]),
        Schema([TensorSpec(np.dtype(np.float32), (-1, side, side))]),
    )
    requirements = [
        line for line in _requirements() if line.startswith(("torch", "numpy", "mlflow"))
    ]
    with warnings.catch_warnings(), mlflow.start_run(run_id):
        warnings.simplefilter("ignore")
        mlflow.pytorch.log_model(
            Predictor(network),
            name=MODEL_NAME,
            signature=signature,
            # Two images: one alone would freeze the number of images at one.
            input_example=np.zeros((2, side, side, 3), np.uint8),
            pip_requirements=requirements,
        )


def _requirements() -> list[str]:
    return Path("requirements.txt").read_text().split()


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
