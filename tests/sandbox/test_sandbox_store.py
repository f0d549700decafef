"""The sandbox's tasks in SQLite."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lidarprep.errors import StorageError
from lidarprep.sandbox import SandboxStore
from lidarprep.sandbox.store import IdempotencyKeyTakenError, SavedAnswer, UniqueIdTakenError


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock):
    with SandboxStore(now=clock) as store:
        yield store


def test_a_task_gets_an_id_of_24_hex_digits_that_begins_with_its_time(store: SandboxStore, clock: Clock) -> None:
    ids = {store.create({})["task_id"] for _ in range(100)}
    assert len(ids) == 100
    assert all(len(task_id) == 24 and int(task_id[:8], 16) == int(clock.time.timestamp()) for task_id in ids)


def test_times_are_written_as_the_service_does_and_move_with_changes(store: SandboxStore, clock: Clock) -> None:
    task = store.create({})
    assert (task["created_at"], task["updated_at"]) == ("2026-01-02T03:04:05.678Z",) * 2
    clock.time += timedelta(hours=1)
    canceled = store.cancel(task["task_id"])
    assert (canceled["created_at"], canceled["updated_at"]) == ("2026-01-02T03:04:05.678Z", "2026-01-02T04:04:05.678Z")


def test_an_answer_is_remembered_for_24_hours(store: SandboxStore, clock: Clock) -> None:
    answers = iter(range(10))

    def answer() -> SavedAnswer:
        return SavedAnswer(200, {"number": next(answers)})

    assert store.answer_once("key", "digest", answer).body == {"number": 0}
    clock.time += timedelta(hours=23, minutes=59)
    assert store.answer_once("key", "digest", answer).body == {"number": 0}
    with pytest.raises(IdempotencyKeyTakenError):
        store.answer_once("key", "other", answer)
    clock.time += timedelta(minutes=1)
    assert store.answer_once("key", "other", answer).body == {"number": 1}


def test_a_request_that_fails_half_way_leaves_nothing_behind(store: SandboxStore) -> None:
    def answer() -> SavedAnswer:
        store.create({"unique_id": "drive-7"})
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        store.answer_once("key", "digest", answer)
    assert store.page(limit=1).total == 0
    assert (
        store.answer_once("key", "digest", lambda: SavedAnswer(200, store.create({"unique_id": "drive-7"}))).status
        == 200
    )


def test_a_unique_id_is_free_again_once_it_is_cleared(store: SandboxStore) -> None:
    task_id = store.create({"unique_id": "drive-7"})["task_id"]
    with pytest.raises(UniqueIdTakenError, match=task_id):
        store.create({"unique_id": "drive-7"})
    store.cancel(task_id, clear_unique_id=True)
    assert store.create({"unique_id": "drive-7"})["unique_id"] == "drive-7"


def test_a_file_that_is_no_sandbox_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, by far " * 100)
    with pytest.raises(StorageError, match=r"notes\.txt is no database of the sandbox"):
        SandboxStore(text)
    assert text.read_text() == "not a database, by far " * 100
    with pytest.raises(StorageError, match="can't be opened"):
        SandboxStore(tmp_path / "nowhere" / "tasks.db")


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    SandboxStore(path).close()
    later = sqlite3.connect(path)
    later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(StorageError, match="has version 99; this lidarprep knows 1"):
        SandboxStore(path)
