"""What stages log of a run: into the spool at once, and from there to MLflow beside the work.

A training and its result are one MLflow run. The stage train opens it and logs as it goes; the
stage record adds what the later stages made, or finds the run again where DVC restored the training
from its cache. Whatever goes wrong costs one warning, never the stage; but where a result cannot
even be written down, the stage record, which is there for nothing else, fails, to be run again.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lesion.pipeline.errors import InputError
from lesion.tracking.address import in_words
from lesion.tracking.courier import Courier
from lesion.tracking.spool import Entry, is_unfinished, spool
from lesion.tracking.store import wanted_experiment

# Seconds that the end of a stage waits for what is still to be sent; the rest stays on disk.
PATIENCE = 60.0  # from one thing that is taken to the next
PATIENCE_IN_ALL = 300.0
PATIENCE_IF_STOPPED = 5.0


class Run:
    """Writes down what a stage logs, until the disk refuses, which it reports once.

    Where that is all that the stage is for (`required`), its refusal ends it.
    """

    def __init__(self, name: str, logged: bool = False, required: bool = False) -> None:
        self.works = True
        self.required = required
        self._entry: Entry | None = None
        self.logged = -1
        self._attempt(self._open, name, logged)

    def _open(self, name: str, logged: bool) -> None:
        if logged and not is_unfinished(name):
            self.works = False  # nothing is to be added
            return
        self._entry = Entry.open(name)
        # A training that starts anew logs the steps again that it had logged before it was killed.
        steps = [event["step"] or 0 for event in self.entry.events() if event["event"] == "metrics"]
        self.logged = max(steps, default=-1)

    @property
    def entry(self) -> Entry:
        assert self._entry is not None  # it has been opened where the run works
        return self._entry

    def params(self, values: dict[str, Any]) -> None:
        """Parameters; of one that the run has already, the first value stays."""
        self.append("params", values={name: str(value) for name, value in values.items()})

    def tags(self, values: dict[str, Any]) -> None:
        self.append("tags", values={name: str(value) for name, value in values.items()})

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        """Numbers of one step, or, without a step, of the run."""
        if step is None or step > self.logged:
            self.append("metrics", values=values, step=step)

    def history(self, rows: list[dict[str, float]]) -> None:
        """The numbers of each epoch, for a run that has not logged them itself."""
        for row in rows:
            self.append("history", values=row, step=int(row["epoch"]))

    def dataset(self, name: str, digest: str, source: str, images: dict[str, int]) -> None:
        """What was trained and scored on, with the number of images of each split."""
        self.append("dataset", name=name, digest=digest, source=source, images=images)

    def file(self, path: Path) -> None:
        """Keeps a copy of a file, or of a folder under its own name."""
        self._keep("file", path)

    def model(self, weights: Path, settings: Path) -> None:
        """Keeps weights and what was chosen for them, as a model that MLflow can load."""
        self._keep("model", weights, settings=settings)

    def append(self, kind: str, **content: Any) -> None:
        self._attempt(lambda: self.entry.append(kind, **content))

    def _keep(self, kind: str, path: Path, **beside: Path) -> None:
        def keep() -> None:
            kept = {name: self.entry.keep(file) for name, file in {"path": path, **beside}.items()}
            self.entry.append(kind, **kept)

        self._attempt(keep)

    def _attempt(self, action: Callable, *args: Any) -> None:
        if not self.works:
            return
        try:
            action(*args)
        except OSError as error:
            self.works = False
            if self.required:
                raise InputError(
                    f"{spool()}: this result is not recorded: {in_words(error)}; make room there, "
                    "or mend what it says, and run it again"
                ) from None
            print(f"warning: this run is not recorded from here on: {in_words(error)}", flush=True)


@contextmanager
def training(fingerprint: str, logged: bool = False) -> Iterator[Run]:
    """The run of a training, which a training that was broken off goes on with.

    The fingerprint, of all that the training depends on, tells one from the other. What was
    `logged` to its end before gets no second run: nothing is logged, unless that run was not ended.
    """
    tags = {"fingerprint": fingerprint}
    with _spooled(fingerprint[:16], "training", tags, logged) as run:
        yield run


@contextmanager
def result(model_hash: str, result_hash: str) -> Iterator[Run]:
    """The run of a result: that of the training that gave its model, if it has no other result yet.

    Where there is a run with this very result, it is tagged with the experiment that came to it
    again, and nothing else is added.

    Raises:
        InputError: it cannot be written down, on a full disk for instance.
    """
    with _spooled(
        result_hash[:16], "result", {}, model_hash=model_hash, result_hash=result_hash
    ) as run:
        yield run


@contextmanager
def _spooled(
    name: str, kind: str, tags: dict[str, str], logged: bool = False, **content: Any
) -> Iterator[Run]:
    run = Run(name, logged, required=kind == "result")
    shown = os.environ.get("DVC_EXP_NAME") or name[:8]
    tags = tags | _circumstances()
    courier, status = None, "FINISHED"
    try:
        run.append(kind, name=shown, tags=tags, experiment=wanted_experiment(), **content)
        if run.works:
            courier = Courier(run.entry, measure_machine=kind == "training")
        yield run
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        raise
    finally:
        run.append("end", status=status)
        if courier:
            try:
                if status == "KILLED":
                    courier.finish(PATIENCE_IF_STOPPED, PATIENCE_IF_STOPPED)
                else:
                    courier.finish(PATIENCE, PATIENCE_IN_ALL)
            finally:
                run.entry.close()
        if run.required and not run.works:
            run.entry.remove()  # half a result


def _circumstances() -> dict[str, str]:
    """Who and what came to a run, as tags; those that start with mlflow are what its pages show."""
    commit = _git_commit()
    tags = {
        "git_commit": commit,
        "DVC_EXP_NAME": os.environ.get("DVC_EXP_NAME"),
        "DVC_EXP_BASELINE_REV": os.environ.get("DVC_EXP_BASELINE_REV"),
        "mlflow.source.git.commit": commit,
        "mlflow.source.name": Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
    }
    with suppress(OSError, KeyError):  # a container's user may have no name
        tags["mlflow.user"] = getpass.getuser()
    return {name: value for name, value in tags.items() if value}


def _git_commit() -> str | None:
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, encoding="utf-8", check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
