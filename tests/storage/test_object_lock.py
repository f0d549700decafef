"""The lock in a store of objects: one has it, whatever is late, lost, asleep, dead, or wrong about the time."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from lidarprep.storage.holder import Holder
from lidarprep.storage.lock import locked
from lidarprep.storage.object_lock import LOCK_KEY

import lidarprep as lp
from lidarprep.errors import StorageError
from lidarprep.storage import object_lock
from tests.storage.memory import MemoryStore
from tests.storage.s3_stores import counted, opened


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_lock, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(object_lock, "SETTLE_SECONDS", 0.05)


def never_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the thread that renews a lock had died."""
    monkeypatch.setattr(object_lock.ObjectLock, "_beat", lambda self: None)


def held(**fields: Any) -> bytes:
    now = {"id": "other", "host": "elsewhere", "machine": "another", "pid": 7, "started": 1, "since": time.time()}
    return json.dumps(now | {"beat": 1} | fields).encode()


def left_by_a_dead_process() -> bytes:
    """The lock of a process of this machine that has ended."""
    script = "from lidarprep.storage.holder import Holder; print(Holder.this().written().decode())"
    return subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True).stdout


def put(store: MemoryStore, data: bytes, age: float = 0.0) -> None:
    store.objects[LOCK_KEY] = data
    store.put_at[LOCK_KEY] = time.monotonic() - age


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_lost(lock: Any) -> bool:
    try:
        lock.check()
    except lp.StorageError as error:
        return "process 7 on elsewhere" in str(error)
    return False


def winners(stores: Sequence[Any]) -> int:
    """How many of those who ask for the lock at the same time, each by a store of its own, get it."""
    together, ended, inside = threading.Barrier(len(stores)), threading.Barrier(len(stores)), list[Any]()

    def run(store: Any) -> None:
        together.wait()
        try:
            with locked(store):
                inside.append(store)
                ended.wait()
        except lp.StorageError:
            ended.wait()

    threads = [threading.Thread(target=run, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(inside)


class Hooked(MemoryStore):
    """A store that calls `before`, then does what it is asked for, then calls `after`; by the name of what is asked."""

    def __init__(self, heeds_conditions: bool = True) -> None:
        super().__init__(heeds_conditions)
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda name: None
        self.after: Callable[[str], None] = lambda name: None

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name not in ("get_tagged", "put_if", "discard_if"):
            return value

        def hooked(*arguments: Any) -> Any:
            self.asked.append(name)
            self.before(name)
            result = value(*arguments)
            self.after(name)
            return result

        return hooked


# ---- taking over -----------------------------------------------------------------------------------------------------


def test_the_lock_of_a_process_that_is_no_more_is_taken_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_lock, "BEAT_SECONDS", 3600.0)
    monkeypatch.setattr(object_lock, "SETTLE_SECONDS", 3600.0)
    store = MemoryStore()
    put(store, left_by_a_dead_process())
    with locked(store):
        found = Holder.read(store.objects[LOCK_KEY])
        assert found is not None
        assert found.machine == Holder.this().machine
    assert store.objects == {}


# By what is left in the place. Made when a test runs: a time in its name would be another in each worker.
LEFT = {"another's": held, "empty": lambda: b"", "nothing said": lambda: b"{}", "no text": lambda: b"\xff"}


@pytest.mark.parametrize("name", LEFT)
def test_one_that_has_not_been_renewed_for_long_is_watched_and_taken_over(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_lock, "BEAT_SECONDS", 0.2)
    store = MemoryStore()
    put(store, LEFT[name](), age=61)
    begun = time.monotonic()
    with locked(store):
        assert time.monotonic() - begun >= 0.2
    assert store.objects == {}


@pytest.mark.parametrize("name", LEFT)
def test_one_that_is_younger_is_respected_whatever_it_says(name: str) -> None:
    store = MemoryStore()
    put(store, LEFT[name](), age=40)
    with pytest.raises(lp.StorageError, match=r"another run is storing at[\s\S]*runs out in 20 seconds"), locked(store):
        raise AssertionError("not reached")
    assert store.objects[LOCK_KEY] == LEFT[name]() or name == "another's"


def test_one_that_is_renewed_while_it_is_watched_is_left_alone() -> None:
    store = Hooked()
    put(store, held(), age=1000)
    looks = iter(range(10))
    store.before = lambda name: put(store, held(beat=2), age=1000) if next(looks) == 1 else None
    with pytest.raises(lp.StorageError, match="process 7 on elsewhere"), locked(store):
        raise AssertionError("not reached")
    assert json.loads(store.objects[LOCK_KEY])["beat"] == 2
    assert store.asked == ["get_tagged", "get_tagged"]


def test_who_is_late_to_take_over_does_not_take_the_lock_of_who_was_first() -> None:
    """However long the second one was held up between seeing that the lock was a dead one's and his own put."""
    store = Hooked()
    put(store, left_by_a_dead_process())
    with ExitStack() as first:

        def another_is_first(name: str) -> None:
            if name == "put_if":
                store.before = lambda name: None
                first.enter_context(locked(store))

        store.before = another_is_first
        with pytest.raises(lp.StorageError, match="another run is storing"), locked(store):
            raise AssertionError("not reached")
        assert LOCK_KEY in store.objects
    assert store.objects == {}


@pytest.mark.parametrize("left", [None, b"{}"])
def test_of_many_who_come_at_once_one_takes_it(left: bytes | None) -> None:
    for _ in range(15):
        store = MemoryStore()
        if left is not None:
            put(store, left, age=1000)
        assert winners([store] * 8) == 1
        assert store.objects == {}


def test_a_lock_that_goes_while_one_asks_for_it_is_taken() -> None:
    store = Hooked()
    put(store, held(), age=1000)
    store.before = lambda name: store.objects.clear() if name == "put_if" and store.asked.count("put_if") == 1 else None
    with locked(store):
        assert Holder.read(store.objects[LOCK_KEY]) is not None
    assert store.objects == {}


# ---- holding ---------------------------------------------------------------------------------------------------------


def test_it_is_renewed_by_one_put_a_beat() -> None:
    store = Hooked()
    with locked(store):
        begun = len(store.asked)
        wait_until(lambda: len(store.asked) >= begun + 5)
        assert set(store.asked[begun:]) == {"put_if"}
    assert store.asked[-1] == "discard_if"


def test_who_has_lost_the_lock_is_told_at_the_next_beat_and_leaves_it_alone() -> None:
    store = Hooked()
    with locked(store) as lock:
        lock.check()
        put(store, held())
        wait_until(lambda: is_lost(lock))
        assert is_lost(lock)
    assert json.loads(store.objects[LOCK_KEY])["host"] == "elsewhere"


def test_a_lock_that_is_gone_is_lost() -> None:
    """Who has slept cannot tell whether another run has taken it over, finished, and let it go."""

    def is_gone(lock: Any) -> bool:
        try:
            lock.check()
        except lp.StorageError as error:
            return "another process" in str(error)
        return False

    store = Hooked()
    with locked(store) as lock:
        del store.objects[LOCK_KEY]
        wait_until(lambda: is_gone(lock))
    assert store.objects == {}


def test_who_slept_past_its_lock_does_nothing_before_it_has_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    never_renewed(monkeypatch)
    store = MemoryStore()
    with locked(store) as lock:
        put(store, held())
        lock.check()  # within the time that is its own
        monkeypatch.setattr(object_lock, "HOLD_SECONDS", 0.0)
        with pytest.raises(lp.StorageError, match="process 7 on elsewhere"):
            lock.check()
    assert json.loads(store.objects[LOCK_KEY])["host"] == "elsewhere"


def test_a_thread_that_dies_is_made_up_for_when_the_run_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    never_renewed(monkeypatch)
    monkeypatch.setattr(object_lock, "HOLD_SECONDS", 0.2)
    store = Hooked()
    with locked(store) as lock:
        begun = len(store.asked)
        lock.check()
        assert len(store.asked) == begun
        time.sleep(0.25)
        lock.check()
        assert store.asked[begun:] == ["put_if"]
        lock.check()
        assert len(store.asked) == begun + 1
    assert store.objects == {}


def test_a_store_that_cannot_be_asked_when_a_lock_has_run_out_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    never_renewed(monkeypatch)
    store = Hooked()
    with locked(store) as lock:
        monkeypatch.setattr(object_lock, "HOLD_SECONDS", 0.0)
        store.before = out_of_order
        with pytest.raises(lp.StorageError, match="out of order"):
            lock.check()
        store.before = lambda name: None
        lock.check()
    assert store.objects == {}


def out_of_order(name: str) -> None:
    raise StorageError("the store is out of order")


@pytest.mark.parametrize("by", [3600, -3600])
@pytest.mark.parametrize("whose", ["the holder's", "the other's"])
def test_a_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch, by: float, whose: str) -> None:
    store, clock = MemoryStore(), time.time
    with locked(store) as lock:
        monkeypatch.setattr(time, "time", lambda: clock() + by)
        before = store.objects[LOCK_KEY]
        wait_until(lambda: store.objects[LOCK_KEY] != before)
        lock.check()
        if whose == "the holder's":
            monkeypatch.setattr(time, "time", clock)
        with pytest.raises(lp.StorageError, match="another run"), locked(store):
            raise AssertionError("not reached")
        lock.check()
    put(store, held(since=clock() + by), age=1000)
    with locked(store):
        pass
    assert store.objects == {}


# ---- answers that are lost ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dead", [True, False])
def test_a_put_whose_answer_was_lost_and_that_was_sent_again_is_known_as_ones_own(dead: bool) -> None:
    """The second attempt is refused, since the first has succeeded."""

    store = MemoryStore()
    if dead:
        put(store, held(), age=1000)
    lost = [True]

    def put_if(key: str, data: bytes, tag: str | None) -> str | None:
        found = MemoryStore.put_if(store, key, data, tag)
        return None if found is not None and lost and lost.pop() else found

    store.put_if = put_if  # type: ignore[method-assign]
    with locked(store) as lock:
        assert not lost
        lock.check()
        lost.append(True)
        wait_until(lambda: not lost)
        before = store.objects[LOCK_KEY]
        wait_until(lambda: store.objects[LOCK_KEY] != before)
        lock.check()
    assert store.objects == {}


def test_a_renewal_that_failed_but_was_done_is_known_as_ones_own() -> None:
    store = Hooked()
    with locked(store) as lock:
        failed: list[str] = []

        def fail_once(name: str) -> None:
            if not failed:
                failed.append(name)
                raise StorageError("the answer is lost")

        store.after = fail_once
        wait_until(lambda: bool(failed))
        before = store.objects[LOCK_KEY]
        wait_until(lambda: store.objects[LOCK_KEY] != before)
        lock.check()
    assert store.objects == {}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_store_that_fails_while_a_lock_is_taken_leaves_none(number: int) -> None:
    store = Hooked()

    def fail(name: str) -> None:
        if len(store.asked) == number:
            out_of_order(name)

    store.after = fail
    with pytest.raises(lp.StorageError, match="out of order"), locked(store):
        raise AssertionError("not reached")
    # Whose answer was lost is left: its process is known to be dead, or its time runs out.
    assert set(store.objects) == ({LOCK_KEY} if number == 2 else set())


# ---- stores that know no conditions ---------------------------------------------------------------------------------


def test_where_no_conditions_are_heeded_who_is_overtaken_sees_it_before_he_begins() -> None:
    store = Hooked(heeds_conditions=False)
    store.after = lambda name: put(store, held()) if name == "put_if" and store.asked.count("put_if") == 2 else None
    with pytest.raises(lp.StorageError, match="process 7 on elsewhere"), locked(store):
        raise AssertionError("not reached")
    assert json.loads(store.objects[LOCK_KEY])["host"] == "elsewhere"


def test_where_no_conditions_are_heeded_a_holder_looks_before_it_renews() -> None:
    store = Hooked(heeds_conditions=False)
    with locked(store) as lock:
        begun = len(store.asked)
        wait_until(lambda: len(store.asked) >= begun + 4)
        assert "get_tagged" in store.asked[begun : begun + 2]
        lock.check()
        put(store, held())
        wait_until(lambda: is_lost(lock))
    assert json.loads(store.objects[LOCK_KEY])["host"] == "elsewhere"


# ---- S3 -------------------------------------------------------------------------------------------------------------


def test_on_s3_a_lock_takes_three_requests_and_one_a_beat(
    bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_lock, "BEAT_SECONDS", 3600.0)
    store = opened(moto)
    asked = counted(store)
    with locked(store) as lock:
        assert asked == ["GetObject", "PutObject", "PutObject"]
        monkeypatch.setattr(object_lock, "HOLD_SECONDS", 0.0)
        lock.check()
        assert asked[3:] == ["PutObject"]
        monkeypatch.setattr(object_lock, "HOLD_SECONDS", 60.0)
        with pytest.raises(lp.StorageError, match=r"runs out in (60|59|58) seconds"), locked(opened(moto)):
            raise AssertionError("not reached")
    assert asked[4:] == ["DeleteObject"]
    assert not list(bucket.objects.all())


@pytest.mark.parametrize("heeds", ["conditions", "those of puts", "none, and says so", "none, and says nothing"])
def test_on_s3_a_dead_runs_lock_is_taken_over_and_a_live_ones_is_not(
    bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch, heeds: str
) -> None:
    monkeypatch.setattr(object_lock, "BEAT_SECONDS", 3600.0)
    bucket.put_object(Key=f"run/{LOCK_KEY}", Body=left_by_a_dead_process())
    first, second = (deaf(opened(moto), heeds) for _ in range(2))
    with locked(first) as lock:
        with pytest.raises(lp.StorageError, match=f"on {socket.gethostname()}"), locked(second):
            raise AssertionError("not reached")
        monkeypatch.setattr(object_lock, "HOLD_SECONDS", 0.0)
        lock.check()
        bucket.put_object(Key=f"run/{LOCK_KEY}", Body=held())
        with pytest.raises(lp.StorageError, match="process 7 on elsewhere"):
            lock.check()
    (left,) = bucket.objects.all()
    left.delete()
    with locked(first):
        pass
    assert not list(bucket.objects.all())


def deaf(store: Any, heeds: str) -> Any:
    """The store, as if its server knew no conditions."""

    def hear(request: Any, operation_name: str, **_: Any) -> None:
        if heeds == "those of puts" and operation_name == "PutObject":
            return
        for name in ("If-Match", "If-None-Match"):
            if name in request.headers and heeds != "conditions":
                del request.headers[name]

    def refuse(params: dict[str, Any], model: Any, **_: Any) -> Any:
        if not {"If-Match", "If-None-Match"} & set(params["headers"]):
            return None
        answer = {"Error": {"Code": "NotImplemented", "Message": "A header you provided"}}
        return _Answer(501), answer | {"ResponseMetadata": {"HTTPStatusCode": 501}}

    events = store.bucket.client.meta.events
    if heeds == "none, and says so":
        events.register("before-call.s3", refuse)
    else:
        events.register("request-created.s3", hear)
    return store


class _Answer:
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


def test_on_s3_of_many_who_take_over_at_once_one_does(bucket: Any, moto: str) -> None:
    dead, one_at_a_time = left_by_a_dead_process(), threading.Lock()
    stores = [opened(moto) for _ in range(5)]
    for store in stores:
        session = store.bucket.client._endpoint.http_session
        send = session.send

        def atomic(request: Any, send: Any = send) -> Any:
            with one_at_a_time:  # S3 sees to that itself; moto does not
                return send(request)

        session.send = atomic
    for _ in range(3):
        bucket.put_object(Key=f"run/{LOCK_KEY}", Body=dead)
        assert winners(stores) == 1
        assert not list(bucket.objects.all())
