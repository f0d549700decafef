"""How frames are taken up, told of and given: none waits for another's end, and memory stays bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from lidarprep.pipeline.in_flight import Flight, InFlight
from lidarprep.pipeline.in_order import in_order

from lidarprep.errors import FormatError, StorageError

PATIENCE_S = 20


@dataclass(frozen=True)
class Made:
    job: int
    in_memory: int = 0


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def submitting(pool: ThreadPoolExecutor, work: Callable[[int], Made]) -> Callable[[int, Flight], Future[Made]]:
    return lambda job, _: pool.submit(work, job)


def test_one_that_takes_long_keeps_no_other_from_being_done(pool: ThreadPoolExecutor) -> None:
    """The first ends only when all others have: results that wait for their turn count for nothing."""
    others = threading.Semaphore(0)

    def work(job: int) -> Made:
        if job == 0:
            for _ in range(39):
                assert others.acquire(timeout=PATIENCE_S)
        else:
            others.release()
        return Made(job, in_memory=1)

    told: list[int] = []
    results = in_order(
        submitting(pool, work), range(40), InFlight(5, expected=1), on_done=lambda made: told.append(made.job)
    )
    assert [made.job for made in results] == list(range(40))
    assert sorted(told) == list(range(40))


def test_results_that_are_held_count_until_the_next_is_asked_for(pool: ThreadPoolExecutor) -> None:
    taken: list[int] = []
    given = 0

    def jobs() -> Iterator[int]:
        for job in range(20):
            taken.append(job)
            assert len(taken) - given <= 3
            yield job

    for _ in in_order(submitting(pool, Made), jobs(), InFlight(3, expected=1), held=True):
        given += 1
    assert len(taken) == given == 20


def test_after_a_failure_no_more_are_taken_up_and_it_is_raised_in_its_turn(pool: ThreadPoolExecutor) -> None:
    failed = threading.Event()

    def work(job: int) -> Made:
        if job == 0:
            assert failed.wait(PATIENCE_S)
        if job == 1:
            raise FormatError("a", found="bad")
        return Made(job)

    def jobs() -> Iterator[int]:
        yield 0
        yield 1
        failed.set()
        yield from range(2, 1000)

    left = jobs()
    results = in_order(submitting(pool, work), left, InFlight(3, expected=0))
    assert next(results) == Made(0)
    with pytest.raises(FormatError):
        next(results)
    assert next(left) < 999


def test_a_store_that_fails_ends_it_at_once_whatever_is_before(pool: ThreadPoolExecutor) -> None:
    stopped = threading.Event()

    def work(job: int) -> Made:
        if job == 0:
            assert stopped.wait(PATIENCE_S)
        if job == 1:
            raise StorageError("no room")
        return Made(job)

    with pytest.raises(StorageError, match="no room"):
        list(in_order(submitting(pool, work), range(4), InFlight(3, expected=0), on_stop=stopped.set))


def test_what_was_under_way_is_told_of_when_nobody_takes_more(pool: ThreadPoolExecutor) -> None:
    told: list[int] = []
    results = in_order(
        submitting(pool, Made), range(9), InFlight(4, expected=0), on_done=lambda made: told.append(made.job)
    )
    next(results)
    results.close()
    assert sorted(told) == list(range(len(told)))
    assert told


def test_one_that_cannot_be_recorded_loses_no_other(pool: ThreadPoolExecutor) -> None:
    told: list[int] = []

    def record(made: Made) -> None:
        told.append(made.job)
        raise StorageError("an earlier record was not stored")

    together = threading.Barrier(3)

    def work(job: int) -> Made:
        together.wait(10)
        return Made(job)

    futures: list[Future[Made]] = []

    def submit(job: int, flight: Flight) -> Future[Made]:
        futures.append(pool.submit(work, job))
        if len(futures) == 3:
            for future in futures:
                future.result()
            raise KeyboardInterrupt  # when all are done, and none was told of
        return futures[-1]

    with pytest.raises(KeyboardInterrupt):
        list(in_order(submit, range(3), InFlight(3, expected=0), on_done=record))
    assert sorted(told) == [0, 1]


class TestInFlight:
    def test_one_that_is_measured_when_it_has_ended_takes_no_room(self) -> None:
        flights = InFlight(9, most_bytes=100, expected=1)
        flight = flights.begin()
        flight.end()
        flight.measure(60)
        flight.put_by(60)
        flights.begin()
        assert not flights.has_room  # what one of 60 needs beside another
        assert flights._bytes == 60

    def test_one_is_taken_up_however_large_it_is(self) -> None:
        flights = InFlight(4, most_bytes=10, expected=1000)
        assert flights.has_room
        flights.begin()
        assert not flights.has_room

    def test_as_long_as_nobody_knows_how_large_they_are_one_is_taken_up_at_a_time(self) -> None:
        flights = InFlight(4, most_bytes=100)
        first = flights.begin()
        assert not flights.has_room
        first.measure(40)
        assert flights.has_room
        flights.begin()
        assert not flights.has_room  # 40 each, and no third fits

    def test_no_more_are_worked_on_than_was_asked_for(self) -> None:
        flights = InFlight(2, most_bytes=100, expected=1)
        first, second = flights.begin(), flights.begin()
        assert not flights.has_room
        first.put_by(1)
        assert flights.has_room
        flights.begin()
        assert not flights.has_room
        second.end()
        assert flights.has_room

    def test_what_waits_to_be_put_leaves_less_room(self) -> None:
        flights = InFlight(9, most_bytes=100, expected=30)
        waiting = [flights.begin() for _ in range(3)]
        assert not flights.has_room
        for flight in waiting:
            flight.put_by(10)
        assert flights.has_room
        flights.begin()
        flights.begin()
        assert not flights.has_room  # 90 are held
        waiting[0].end()
        waiting[0].end()  # once is enough: 80 are held
        assert not flights.has_room
        waiting[1].end()
        assert flights.has_room

    def test_none_is_taken_up_while_too_much_waits(self) -> None:
        flights = InFlight(9, most_bytes=1000, expected=1)
        slow = [flights.begin() for _ in range(4)]
        for flight in slow[:3]:
            flight.put_by(100)
        assert flights.has_room
        slow[3].put_by(1)
        assert not flights.has_room
        slow[0].end()
        assert flights.has_room

    def test_the_largest_is_what_the_next_is_reckoned_with(self) -> None:
        flights = InFlight(9, most_bytes=100, expected=10)
        flights.begin().measure(60)
        assert not flights.has_room
        flights = InFlight(9, most_bytes=100, expected=60)
        flights.begin().measure(10)
        assert flights.has_room
        flights.begin()
        assert not flights.has_room

    def test_who_waits_is_woken_by_what_has_changed_since_it_looked(self) -> None:
        flights = InFlight(1, expected=1)
        flight = flights.begin()
        flights.look()
        threading.Thread(target=flight.end).start()
        flights.wait()
        assert flights.has_room
