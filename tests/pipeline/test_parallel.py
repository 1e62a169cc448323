import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lesion.pipeline import parallel
from lesion.pipeline.parallel import AHEAD, cores, in_order


@pytest.fixture(params=[1, 2, 5])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(parallel, "cores", lambda: request.param)
    return request.param


class Count:
    """How many items were taken and not given back yet, and the most there ever were."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def items(self, number: int) -> Iterator[int]:
        for item in range(number):
            self.now += 1
            self.most = max(self.most, self.now)
            yield item


def test_there_is_at_least_one_core():
    assert cores() >= 1


@pytest.mark.parametrize("number", [0, 1, 3, 100])
def test_results_are_in_the_order_of_the_items(threads, number):
    assert list(in_order(lambda item: item * item, range(number))) == [
        item * item for item in range(number)
    ]


def test_order_is_kept_where_an_early_item_ends_last(threads):
    last = 2 * threads  # is under way beside the first
    ended = threading.Event()

    def wait_for_a_later_one(item: int) -> int:
        if item == 0 and threads > 1:
            assert ended.wait(60)
        if item == last:
            ended.set()
        return item

    assert list(in_order(wait_for_a_later_one, range(60))) == list(range(60))


def test_few_items_are_under_way_however_slowly_the_results_are_taken(threads):
    count = Count()
    for _ in in_order(lambda item: item, count.items(200)):
        count.now -= 1
    assert count.now == 0
    assert threads <= count.most <= AHEAD * threads + 1


def test_items_are_worked_on_at_the_same_time_by_so_many_threads(threads):
    # Each waits for the others: with fewer threads the barrier would break.
    barrier = threading.Barrier(threads)
    results = in_order(lambda item: barrier.wait(60), range(3 * threads))
    assert sorted(results) == sorted(list(range(threads)) * 3)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_threads_can_be_set(workers):
    barrier = threading.Barrier(workers)
    list(in_order(lambda item: barrier.wait(60), range(2 * workers), workers))
    names = in_order(lambda item: threading.get_ident(), range(50), workers)
    assert len(set(names)) <= workers


def test_an_exception_is_passed_on_in_its_turn_and_the_threads_end(threads):
    before = threading.active_count()

    def fail(item: int) -> int:
        if item == 7:
            raise ValueError("seven")
        return item

    taken = []
    with pytest.raises(ValueError, match="seven"):
        for item in in_order(fail, range(100)):
            taken.append(item)
    assert taken == list(range(7))
    assert threading.active_count() == before


def test_an_exception_of_the_items_is_passed_on_and_the_threads_end(threads):
    before = threading.active_count()

    def items() -> Iterator[int]:
        yield from range(50)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(in_order(lambda item: item, items()))
    assert threading.active_count() == before


def test_stopping_early_drops_what_has_not_begun_and_ends_the_threads(threads):
    before = threading.active_count()
    begun = []
    results = in_order(begun.append, range(1000))
    next(results)
    results.close()
    assert len(begun) <= AHEAD * threads + 1
    assert threading.active_count() == before


def test_what_has_not_begun_is_dropped_when_one_fails(monkeypatch):
    go, begun = threading.Event(), []

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            go.set()
            super().shutdown(wait=wait)

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise ValueError
        assert go.wait(60)

    monkeypatch.setattr(parallel, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(parallel, "cores", lambda: 1)
    with pytest.raises(ValueError):
        list(in_order(work, range(100)))
    assert begun in ([0], [0, 1])
