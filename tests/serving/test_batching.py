import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait

import numpy as np
import pytest

from lesion.photos.images import encode_mask
from lesion.pipeline.errors import ImageError
from lesion.prediction.segmenter import Segmentation, Segmenter
from lesion.serving.answers import as_mask
from lesion.serving.batching import Batches, Rendered
from lesion.serving.limits import Limits, Refused
from lesion.synthetic import lesion_image
from picture_files import jpeg, png
from small_model import write_model

PHOTOGRAPHS = [jpeg(lesion_image(seed, 48, 64)[0]) for seed in range(12)]


class Gated(Segmenter):
    """Begins a pass only when it may, and notes what was in each."""

    def several(
        self, contents: Sequence[bytes], thresholds: Sequence[float | None] = ()
    ) -> Iterator[Segmentation | ImageError]:
        self.passes.append(list(contents))
        self.begun.release()
        assert self.gate.wait(30)
        yield from super().several(contents, thresholds)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Gated:
    return Gated.of_folder(write_model(tmp_path_factory.mktemp("model"), tta=False))


@pytest.fixture
def segmenter(model: Gated) -> Gated:
    model.passes, model.begun, model.gate = [], threading.Semaphore(0), threading.Event()
    return model


def submit(batches: Batches, contents: Sequence[bytes]) -> list[Future[Rendered]]:
    return [batches.submit(content, None, as_mask) for content in contents]


def mask(segmenter: Gated, content: bytes) -> bytes:
    return encode_mask(Segmenter.__call__(segmenter, content).decided.mask)


def test_what_waits_goes_into_one_pass_and_each_gets_its_own_mask(segmenter):
    with Batches(segmenter, Limits(), threads=1) as batches:
        answers = submit(batches, PHOTOGRAPHS[:1])
        segmenter.begun.acquire()
        answers += submit(batches, PHOTOGRAPHS[1:])
        assert batches.waiting == 12
        segmenter.gate.set()
        found = [answer.result(30) for answer in answers]
    assert [len(one) for one in segmenter.passes] == [1, 8, 3] and segmenter.together == 8
    assert found == [(mask(segmenter, content), "image/png") for content in PHOTOGRAPHS]


def test_threads_work_beside_each_other(segmenter):
    with Batches(segmenter, Limits(), threads=2) as batches:
        answers = submit(batches, PHOTOGRAPHS[:1])
        segmenter.begun.acquire()
        answers += submit(batches, PHOTOGRAPHS[1:2])
        segmenter.begun.acquire()  # while the first one is held
        segmenter.gate.set()
        assert wait(answers, 30).not_done == set()


def test_beyond_the_limit_nobody_is_let_in_to_wait(segmenter):
    with Batches(segmenter, Limits(waiting=3), threads=1) as batches:
        answers = submit(batches, PHOTOGRAPHS[:3])
        with pytest.raises(Refused, match="3 photographs wait already") as refused:
            submit(batches, PHOTOGRAPHS[3:4])
        assert refused.value.status == 503 and refused.value.retry_after
        segmenter.gate.set()
        wait(answers, 30)
    assert sum(map(len, segmenter.passes)) == 3


def test_large_photographs_are_not_worked_on_beside_others_and_small_ones_are(segmenter):
    large = png(np.zeros((40, 50, 3), np.uint8))
    small = png(np.zeros((10, 10, 3), np.uint8))
    segmenter.gate.set()
    with Batches(segmenter, Limits(working_pixels=2000), threads=1) as batches:
        segmenter.gate.clear()
        answers = submit(batches, [small])
        segmenter.begun.acquire()
        answers += submit(batches, [large, small, large, large, small, small])
        segmenter.gate.set()
        assert wait(answers, 30).not_done == set()
    sizes = [[len(content) == len(large) for content in one] for one in segmenter.passes]
    assert sizes == [[False], [True], [False], [True], [True], [False, False]]


def test_one_that_nobody_waits_for_any_more_is_left_out(segmenter):
    with Batches(segmenter, Limits(), threads=1) as batches:
        (first,) = submit(batches, PHOTOGRAPHS[:1])
        segmenter.begun.acquire()
        second, third = submit(batches, PHOTOGRAPHS[1:3])
        assert second.cancel()
        segmenter.gate.set()
        assert wait([first, third], 30).not_done == set()
    assert segmenter.passes == [[PHOTOGRAPHS[0]], [PHOTOGRAPHS[2]]]


def test_a_damaged_file_fails_alone_and_one_that_is_no_image_does_not_wait(segmenter):
    segmenter.gate.set()
    with Batches(segmenter, Limits(), threads=1) as batches:
        good, cut = submit(batches, [PHOTOGRAPHS[0], PHOTOGRAPHS[1][:-200]])
        assert good.result(30)[0] == mask(segmenter, PHOTOGRAPHS[0])
        assert isinstance(cut.exception(30), ImageError)
        with pytest.raises(ImageError, match="not an image"):
            batches.submit(b"words", None, as_mask)


def test_what_goes_wrong_in_a_pass_is_told_to_all_of_it_and_the_thread_lives(segmenter):
    def failing(found: Segmentation) -> Rendered:
        raise MemoryError

    segmenter.gate.set()
    with Batches(segmenter, Limits(), threads=1) as batches:
        assert isinstance(batches.submit(PHOTOGRAPHS[0], None, failing).exception(30), MemoryError)
        assert submit(batches, PHOTOGRAPHS[:1])[0].result(30)[1] == "image/png"
    assert batches.waiting == 0


def test_at_the_end_what_waits_is_cancelled_and_nothing_more_is_taken(segmenter):
    with Batches(segmenter, Limits(), threads=1) as batches:
        answers = submit(batches, PHOTOGRAPHS[:1])
        segmenter.begun.acquire()
        answers += submit(batches, PHOTOGRAPHS[1:3])
        threading.Timer(0.05, segmenter.gate.set).start()
    assert [answer.cancelled() for answer in answers] == [False, True, True]
    with pytest.raises(Refused):
        submit(batches, PHOTOGRAPHS[:1])
