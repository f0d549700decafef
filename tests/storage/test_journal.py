"""The journal of a run: what was recorded is read back, in order, whatever was cut, lost, or failed."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lidarprep.storage.journal import FileJournal, Journal, journal_of
from lidarprep.storage.object_journal import ObjectJournal

import lidarprep as lp
from lidarprep.errors import StorageError
from lidarprep.storage import object_journal
from lidarprep.storage.store import RUN_FOLDER
from tests.scenes import write_toolkit_scene
from tests.storage.conftest import BUCKET
from tests.storage.memory import MemoryStore
from tests.storage.s3_stores import counted, opened

PREFIX = f"{RUN_FOLDER}/journal"


def numbers(journal: Journal) -> list[int]:
    """What is recorded."""
    found = journal.read()
    assert found is not None
    assert found.header == {"name": "header"}
    return [record["number"] for record in found.records]


def begun(journal: Any, records: int = 0) -> Any:
    journal.begin({"name": "header"})
    for number in range(records):
        journal.append({"number": number, "text": "ä" * number})
    journal.flush()
    return journal


# ---- a file ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_cut_anywhere_is_read_up_to_there_and_goes_on_from_there(tmp_path: Path) -> None:
    path = tmp_path / "run/journal.jsonl"
    begun(FileJournal(path), 3)
    data = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        journal = FileJournal(path)
        whole = sum(end <= cut for end in ends)
        if not whole:
            assert journal.read() is None
            continue
        assert numbers(journal) == list(range(whole - 1))
        journal.append({"number": 99})
        assert numbers(FileJournal(path)) == [*range(whole - 1), 99]


def test_a_bit_that_has_turned_ends_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run/journal.jsonl"
    begun(FileJournal(path), 3)
    data = bytearray(path.read_bytes())
    for at in range(len(data)):
        data[at] ^= 1
        path.write_bytes(data)
        found = FileJournal(path).read()
        assert found is None or all(
            record in ({"number": n, "text": "ä" * n} for n in range(3)) for record in found.records
        )
        assert found is None or len(found.records) < 3
        data[at] ^= 1


def test_a_file_that_somebody_has_removed_is_one_clear_error(tmp_path: Path) -> None:
    journal = begun(FileJournal(tmp_path / "run/journal.jsonl"), 2)
    journal.path.unlink()
    with pytest.raises(lp.StorageError, match=r"journal\.jsonl cannot be written: No such file"):
        journal.append({"number": 2})
    assert journal.read() is None
    journal.remove()


# ---- objects ---------------------------------------------------------------------------------------------------------


class Gated(MemoryStore):
    """A store that lets a put of a record go on only when `gate` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.under_way = self.most = 0

    def put(self, key: str, data: bytes, content_type: str) -> Any:
        if f"{PREFIX}/" in key:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self.entered.release()
            assert self.gate.wait(20)
            self.under_way -= 1
        return super().put(key, data, content_type)


def objects(store: MemoryStore) -> list[int]:
    """How many records each object of the journal holds."""
    return [store.objects[key].count(b"\n") for key in record_keys(store)]


def record_keys(store: MemoryStore) -> list[str]:
    """The keys of all objects that hold records, whoever wrote them."""
    return sorted(key for key in store.objects if key.startswith(f"{PREFIX}/") and key != f"{PREFIX}/header.jsonl")


@pytest.fixture
def unpaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_journal, "_PACE_S", 0.0)


@pytest.mark.usefixtures("unpaced")
def test_records_that_come_while_an_object_is_put_go_together_as_the_next() -> None:
    store = Gated()
    journal = begun(ObjectJournal(store))
    journal.append({"number": 0})
    assert store.entered.acquire(timeout=20)
    for number in range(1, 30):
        journal.append({"number": number})
    assert objects(store) == []
    store.gate.set()
    journal.flush()
    assert objects(store) == [1, 29]
    assert store.most == 1
    assert numbers(ObjectJournal(store)) == list(range(30))


def test_flush_waits_until_all_is_durable_and_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first goes at once, the others would be put when it is time, which never is."""
    monkeypatch.setattr(object_journal, "_PACE_S", 3600.0)
    store = MemoryStore()
    journal = ObjectJournal(store)
    journal.begin({"name": "header"})
    journal.append({"number": 0})
    deadline = time.monotonic() + 20
    while not objects(store):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    for number in range(1, 9):
        journal.append({"number": number})
    assert objects(store) == [1]
    journal.flush()
    assert objects(store) == [1, 8]
    for number in range(9, 12):
        journal.append({"number": number})
    journal.flush()
    assert objects(store) == [1, 8, 3]
    assert numbers(ObjectJournal(store)) == list(range(12))


@pytest.mark.usefixtures("unpaced")
def test_whenever_a_run_is_killed_what_stands_is_the_beginning_of_what_was_recorded() -> None:
    class Watched(MemoryStore):
        seen: list[list[int]]

        def put(self, key: str, data: bytes, content_type: str) -> Any:
            stored = super().put(key, data, content_type)
            copy = MemoryStore()
            copy.objects = dict(self.objects)
            self.seen.append(numbers(ObjectJournal(copy)))
            return stored

    store = Watched()
    store.seen = []
    begun(ObjectJournal(store), 200)
    assert all(seen == list(range(len(seen))) for seen in store.seen)
    assert store.seen[-1] == list(range(200))


def test_of_objects_what_is_gone_or_damaged_is_left_out_and_all_else_keeps_its_order() -> None:
    store = MemoryStore()
    journal = begun(journal_of(store))
    for number in range(20):
        for part in range(3):
            journal.append({"number": 3 * number + part})
        journal.flush()
    assert objects(store) == [3] * 20 or sum(objects(store)) == 60
    keys = record_keys(store)
    lost = [store.objects.pop(keys[3])]
    whole = store.objects[keys[5]]
    store.objects[keys[5]] = whole[:-9]
    lost.append(whole.splitlines(keepends=True)[-1])
    expected = [n for n in range(60) if f'"number":{n}}}'.encode() not in b"".join(lost)]
    again = ObjectJournal(store)
    assert numbers(again) == expected
    again.append({"number": 60})
    again.flush()
    assert numbers(ObjectJournal(store)) == [*expected, 60]
    again.remove()
    assert store.objects == {}


def test_records_without_a_header_are_no_journal_and_never_stand_below_another() -> None:
    store = MemoryStore()
    begun(ObjectJournal(store), 5)
    del store.objects[f"{PREFIX}/header.jsonl"]
    journal = ObjectJournal(store)
    assert journal.read() is None
    begun(journal, 1)
    assert numbers(ObjectJournal(store)) == [0]


class Broken(MemoryStore):
    """A store that takes no record until it is mended."""

    broken = True
    tries = 0

    def put(self, key: str, data: bytes, content_type: str) -> Any:
        if f"{PREFIX}/" in key:
            self.tries += 1
            if self.broken:
                raise StorageError("the store is out of order")
        return super().put(key, data, content_type)


def test_a_record_that_cannot_be_put_is_reported_and_kept_for_one_more_try() -> None:
    store = Broken()
    journal = begun(ObjectJournal(store))
    journal.append({"number": 0})
    with pytest.raises(lp.StorageError, match="out of order"):
        journal.flush()
    with pytest.raises(lp.StorageError, match="out of order"):
        journal.append({"number": 1})
    assert store.tries == 1
    with pytest.raises(lp.StorageError, match="out of order"):
        journal.flush()
    store.broken = False
    journal.flush()
    assert numbers(ObjectJournal(store)) == [0, 1]
    journal.append({"number": 2})
    journal.flush()
    assert numbers(ObjectJournal(store)) == [0, 1, 2]


def test_a_journal_that_failed_can_still_be_removed() -> None:
    store = Broken()
    journal = begun(ObjectJournal(store))
    journal.append({"number": 0})
    journal.remove()
    assert store.objects == {}
    store.broken = False
    begun(journal, 2)
    assert numbers(ObjectJournal(store)) == [0, 1]


# ---- runs ------------------------------------------------------------------------------------------------------------


def stop_at(count: int, error: BaseException) -> Any:
    """Told of progress; raises once so many frames are told of."""

    class Told:
        told = 0

        def start(self, frames: int, done: int) -> None:
            self.done = done

        def advance(self, frame: Any, stored_bytes: int) -> None:
            self.told += 1
            if self.told == count:
                raise error

        def skip(self, frame: Any) -> None:
            pass

    return Told()


class Slow:
    """Told of progress, and slow at that: records come one by one."""

    def start(self, frames: int, done: int) -> None:
        pass

    def advance(self, frame: Any, stored_bytes: int) -> None:
        time.sleep(0.1)

    def skip(self, frame: Any) -> None:
        pass


@pytest.fixture
def scene(tmp_path: Path) -> lp.Scene:
    return lp.open_scene(write_toolkit_scene(tmp_path / "recording", frames=6, points=40, cameras=("front",)))


def test_on_s3_a_run_whose_journal_fails_for_good_ends_with_one_error_and_goes_on_later(
    scene: lp.Scene, bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = lp.StorageOptions(endpoint_url=moto)
    lp.prepare(scene, lp.Recipe(), f"s3://{BUCKET}/whole", storage=storage)
    monkeypatch.setattr(object_journal, "_PACE_S", 0.0)
    with monkeypatch.context() as patch:
        fail_puts_of_records(patch, after=1)
        with pytest.raises(lp.StorageError, match="out of order") as failure:
            lp.prepare(scene, lp.Recipe(), f"s3://{BUCKET}/run", storage=storage, workers=1, progress=Slow())
    assert "run the same command again" in str(failure.value)
    journaled = journal_of(opened(moto)).read()
    assert journaled is not None
    assert journaled.records
    told = stop_at(99, RuntimeError())
    lp.prepare(scene, lp.Recipe(), f"s3://{BUCKET}/run", storage=storage, progress=told)
    assert told.done == len(journaled.records)
    assert contents(bucket, "run/") == contents(bucket, "whole/")


def fail_puts_of_records(patch: pytest.MonkeyPatch, after: int) -> None:
    put: Callable[..., Any] = object_journal.ObjectJournal._write_gathered
    done: list[int] = []

    def instead(journal: Any) -> None:
        if len(done) >= after:
            raise StorageError("the store is out of order")
        done.append(1)
        put(journal)

    patch.setattr(object_journal.ObjectJournal, "_write_gathered", instead)


def contents(bucket: Any, prefix: str) -> dict[str, bytes]:
    """Every object but the manifest, which names its own place."""
    found = {item.key.removeprefix(prefix): item.get()["Body"].read() for item in bucket.objects.filter(Prefix=prefix)}
    return {key: data.replace(prefix.encode(), b"") for key, data in found.items() if key != "manifest.json"}


def test_on_s3_frames_of_other_processes_are_recorded_by_the_one_that_holds_the_lock(
    scene: lp.Scene, bucket: Any, moto: str
) -> None:
    storage = lp.StorageOptions(endpoint_url=moto)
    told = stop_at(3, KeyboardInterrupt())
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as pool, pytest.raises(KeyboardInterrupt):
        lp.prepare(scene, lp.Recipe(), f"s3://{BUCKET}/run", storage=storage, executor=pool, progress=told)
    journaled = journal_of(opened(moto)).read()
    assert journaled is not None
    assert len({record["frame"] for record in journaled.records}) == len(journaled.records) >= 3
    told = stop_at(99, RuntimeError())
    lp.prepare(scene, lp.Recipe(), f"s3://{BUCKET}/run", storage=storage, progress=told)
    assert told.done == len(journaled.records)


def test_on_s3_a_journal_takes_few_requests(bucket: Any, moto: str) -> None:
    store = opened(moto)
    asked = counted(store)
    journal = begun(journal_of(store), 500)
    assert asked.count("PutObject") <= 4
    assert numbers(journal_of(store)) == list(range(500))
    journal.remove()
    assert not list(bucket.objects.all())
    assert asked.count("DeleteObject") + asked.count("DeleteObjects") <= 4
