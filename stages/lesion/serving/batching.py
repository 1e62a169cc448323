"""Photographs that wait are worked on together, by a few threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType

from lesion.photos.images import photograph_shape
from lesion.pipeline.errors import ImageError
from lesion.pipeline.parallel import cores
from lesion.prediction.segmenter import Segmentation, Segmenter
from lesion.serving.limits import Limits, busy

Rendered = tuple[bytes, str]  # a body and its media type


@dataclass(frozen=True)
class _Job:
    content: bytes
    pixels: int
    threshold: float | None
    render: Callable[[Segmentation], Rendered]
    answer: Future[Rendered] = field(default_factory=Future)


class Batches:
    """A queue before the model: what waits when a thread gets free goes into one forward pass.

    A pass of as many photographs as `Segmenter.together` says costs what a pass of one does. No
    more than `Limits.working_pixels` are worked on at once: masks of large photographs are large.
    """

    def __init__(self, segmenter: Segmenter, limits: Limits, threads: int = 0) -> None:
        """`threads`: 0 is one a core."""
        self.segmenter, self.limits = segmenter, limits
        self._queue: deque[_Job] = deque()
        self._working = 0  # photographs
        self._pixels = 0  # of those
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"batches-{number}", daemon=True)
            for number in range(threads or cores())
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the threads once they have done what they are at; what waits is cancelled."""
        with self._changed:
            self._closed = True
            for job in self._queue:
                job.answer.cancel()
            self._queue.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    @property
    def waiting(self) -> int:
        """Photographs that wait or are being worked on."""
        with self._changed:
            return len(self._queue) + self._working

    def submit(
        self,
        content: bytes,
        threshold: float | None,
        render: Callable[[Segmentation], Rendered],
    ) -> Future[Rendered]:
        """What `render` makes of a photograph's segmentation; cancelled, it costs nothing more.

        `threshold` in place of the one chosen on validation, where it is not None.

        Raises:
            ImageError: by its header it is no whole image.
            Refused: too many wait.
        """
        height, width = photograph_shape(content)
        job = _Job(content, height * width, threshold, render)
        with self._changed:
            found = len(self._queue) + self._working
            if self._closed or found >= self.limits.waiting:
                raise busy(f"{found} photographs wait already")
            self._queue.append(job)
            self._changed.notify()
        return job.answer

    def _work(self) -> None:
        while batch := self._next():
            try:
                self._answer(batch)
            finally:
                with self._changed:
                    self._working -= len(batch)
                    self._pixels -= sum(job.pixels for job in batch)
                    self._changed.notify_all()

    def _next(self) -> list[_Job]:
        """The photographs of a pass, once some wait that may be worked on; none at the end."""
        with self._changed:
            while not (batch := self._taken()) and not self._closed:
                self._changed.wait()
            return batch

    def _taken(self) -> list[_Job]:
        batch: list[_Job] = []
        while self._queue and len(batch) < self.segmenter.together:
            job = self._queue[0]
            if self._working and self._pixels + job.pixels > self.limits.working_pixels:
                break
            self._queue.popleft()
            if job.answer.set_running_or_notify_cancel():
                batch.append(job)
                self._working += 1
                self._pixels += job.pixels
        return batch

    def _answer(self, batch: list[_Job]) -> None:
        try:
            contents = [job.content for job in batch]
            found = self.segmenter.several(contents, [job.threshold for job in batch])
            for job, segmentation in zip(batch, found, strict=True):
                if isinstance(segmentation, ImageError):
                    job.answer.set_exception(segmentation)
                else:
                    job.answer.set_result(job.render(segmentation))
        except BaseException as error:  # whoever waits for an answer gets one, and the thread lives
            for job in batch:
                if not job.answer.done():
                    job.answer.set_exception(error)
