"""The ordered concurrent map: no frame waits for another's end, and memory stays bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from lidarprep.errors import FormatError, StorageError
from lidarprep.prepare.ordered_map import Admission, MemoryBudget, ordered_map

PATIENCE_S = 20


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def submitting(
    pool: ThreadPoolExecutor, work: Callable[[int], int] = lambda task: task
) -> Callable[[int, Admission], Future[int]]:
    return lambda task, _: pool.submit(work, task)


def test_one_that_takes_long_keeps_no_other_from_being_done(pool: ThreadPoolExecutor) -> None:
    """The first ends only when all others have: results that wait for their turn count for nothing."""
    others = threading.Semaphore(0)

    def work(task: int) -> int:
        if task == 0:
            for _ in range(39):
                assert others.acquire(timeout=PATIENCE_S)
        else:
            others.release()
        return task

    budget = MemoryBudget(5, 5, expected=1)
    assert list(ordered_map(submitting(pool, work), range(40), budget)) == list(range(40))


def test_results_that_are_held_count_until_the_next_is_asked_for(pool: ThreadPoolExecutor) -> None:
    taken: list[int] = []
    given = 0

    def tasks() -> Iterator[int]:
        for task in range(20):
            taken.append(task)
            assert len(taken) - given <= 3
            yield task

    for _ in ordered_map(submitting(pool), tasks(), MemoryBudget(3, 3, expected=1), hold=lambda _: 1):
        given += 1
    assert len(taken) == given == 20


def test_after_a_failure_no_more_are_begun_and_it_is_raised_in_its_turn(pool: ThreadPoolExecutor) -> None:
    failed = threading.Event()

    def work(task: int) -> int:
        if task == 0:
            assert failed.wait(PATIENCE_S)
        if task == 1:
            raise FormatError("a", found="bad")
        return task

    def tasks() -> Iterator[int]:
        yield 0
        yield 1
        failed.set()
        yield from range(2, 1000)

    left = tasks()
    results = ordered_map(submitting(pool, work), left, MemoryBudget(3, 3, expected=0))
    assert next(results) == 0
    with pytest.raises(FormatError):
        next(results)
    assert next(left) < 999


def test_a_store_that_fails_ends_it_at_once_whatever_is_before(pool: ThreadPoolExecutor) -> None:
    closed = threading.Event()

    def work(task: int) -> int:
        if task == 0:
            assert closed.wait(PATIENCE_S)
        if task == 1:
            raise StorageError("no space")
        return task

    with pytest.raises(StorageError, match="no space"):
        list(ordered_map(submitting(pool, work), range(4), MemoryBudget(3, 3, expected=0), on_error=closed.set))


def test_after_an_error_nothing_is_under_way_any_more(pool: ThreadPoolExecutor) -> None:
    ended: list[int] = []
    begun = threading.Barrier(3)

    def work(task: int) -> int:
        begun.wait(PATIENCE_S)
        if task == 0:
            raise FormatError("a", found="bad")
        threading.Event().wait(0.05)
        ended.append(task)
        return task

    with pytest.raises(FormatError):
        list(ordered_map(submitting(pool, work), range(3), MemoryBudget(3, 3, expected=0)))
    assert sorted(ended) == [1, 2]


def test_one_that_is_closed_waits_for_nothing_and_begins_no_more(pool: ThreadPoolExecutor) -> None:
    go_on = threading.Event()

    def work(task: int) -> int:
        assert task == 0 or go_on.wait(PATIENCE_S)
        return task

    results = ordered_map(submitting(pool, work), range(99), MemoryBudget(9, 9, expected=0))
    assert next(results) == 0
    results.close()  # while four are under way, and others are queued
    go_on.set()


def admit(budget: MemoryBudget) -> Admission:
    admission = budget.admit()
    assert admission is not None
    return admission


class TestMemoryBudget:
    def test_one_is_admitted_however_large_it_is(self) -> None:
        budget = MemoryBudget(4, 4, most_bytes=10, expected=1000)
        admit(budget)
        assert budget.admit() is None

    def test_as_long_as_no_size_is_known_one_is_admitted_at_a_time(self) -> None:
        budget = MemoryBudget(4, 4, most_bytes=100)
        first = admit(budget)
        assert budget.admit() is None
        first.encoded(40, 40)
        admit(budget)
        assert budget.admit() is None  # 40 each, and no third fits

    def test_no_more_are_prepared_at_once_than_there_are_workers(self) -> None:
        budget = MemoryBudget(2, 9, most_bytes=100, expected=1)
        first, second = admit(budget), admit(budget)
        assert budget.admit() is None
        first.encoded(1, 1)
        admit(budget)
        assert budget.admit() is None
        second.release()
        admit(budget)

    def test_no_more_are_held_than_may_be_stored_at_once(self) -> None:
        budget = MemoryBudget(2, 3, most_bytes=100, expected=1)
        held = [admit(budget), admit(budget)]
        for one in held:
            one.encoded(1, 1)
        admit(budget)
        assert budget.admit() is None
        held[0].release()
        held[0].release()  # once is enough
        admit(budget)
        assert budget.admit() is None

    def test_what_waits_to_be_stored_leaves_less_space(self) -> None:
        budget = MemoryBudget(9, 9, most_bytes=100, expected=30)
        waiting = [admit(budget) for _ in range(3)]
        assert budget.admit() is None
        for one in waiting:
            one.encoded(30, 10)
        admit(budget)
        admit(budget)
        assert budget.admit() is None  # 90 are held
        waiting[0].release()
        assert budget.admit() is None
        waiting[1].release()
        admit(budget)

    def test_the_largest_is_what_the_next_is_estimated_at(self) -> None:
        budget = MemoryBudget(9, 9, most_bytes=100, expected=10)
        admit(budget).encoded(60, 60)
        assert budget.admit() is None
        budget = MemoryBudget(9, 9, most_bytes=130, expected=60)
        admit(budget).encoded(10, 10)
        admit(budget)
        admit(budget)
        assert budget.admit() is None

    def test_whoever_waits_is_woken_by_what_has_changed_since(self) -> None:
        budget = MemoryBudget(1, 1, expected=1)
        admission, seen = admit(budget), budget.changes
        threading.Thread(target=admission.release).start()
        budget.wait_for_change(seen)
        admit(budget)
