"""The sandbox's tasks in SQLite."""

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from lidarprep.errors import StorageError
from lidarprep.sandbox import SandboxStore
from lidarprep.sandbox._store import (
    IdempotencyKeyTakenError,
    SandboxError,
    SavedAnswer,
    TaskFilter,
    UniqueIdTakenError,
    UnknownTaskError,
    WrongStatusError,
)


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


def test_a_part_of_a_transaction_can_fail_without_the_rest(store: SandboxStore) -> None:
    def fail_half_way() -> None:
        with store.transaction():
            store.create({"project": "lost"})
            with store.transaction():
                store.create({"project": "lost"})
            with contextlib.suppress(UnknownTaskError), store.transaction():
                store.create({"project": "lost"})
                store.get("nowhere")
            raise UnknownTaskError("nowhere")

    with store.transaction():
        store.create({"project": "kept"})
        with pytest.raises(UnknownTaskError):
            fail_half_way()
        store.create({"project": "kept"})
    assert [task["project"] for task in store.page(limit=9).tasks] == ["kept", "kept"]


def test_a_commit_that_fails_takes_the_change_back_and_later_ones_are_kept(tmp_path: Path) -> None:
    """A transaction left open would make all that comes after a part of it, and lose it when the process ends."""
    with SandboxStore(tmp_path / "tasks.db") as store:
        connection = store._database._connection
        connection.executescript(
            "PRAGMA foreign_keys = ON;"
            "CREATE TABLE checked (id TEXT REFERENCES tasks (task_id) DEFERRABLE INITIALLY DEFERRED);"
        )

        def fail_at_commit() -> None:
            with store.transaction():
                store.create({})
                connection.execute("INSERT INTO checked VALUES ('nowhere')")  # noticed by COMMIT

        with pytest.raises(StorageError, match="FOREIGN KEY"):
            fail_at_commit()
        kept = store.create({})
    with SandboxStore(tmp_path / "tasks.db") as store:
        assert [task["task_id"] for task in store.page(limit=9).tasks] == [kept["task_id"]]


def test_a_unique_id_is_free_again_once_it_is_cleared(store: SandboxStore) -> None:
    task_id = store.create({"unique_id": "drive-7"})["task_id"]
    with pytest.raises(UniqueIdTakenError, match=task_id):
        store.create({"unique_id": "drive-7"})
    store.cancel(task_id, clear_unique_id=True)
    assert store.create({"unique_id": "drive-7"})["unique_id"] == "drive-7"


def test_a_file_that_is_no_sandbox_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, by far " * 100)
    with pytest.raises(StorageError, match=r"notes\.txt can't be opened as a sandbox database: file is not a database"):
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
    with pytest.raises(StorageError, match="it has version 99; this lidarprep reads version 3"):
        SandboxStore(path)


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="it is a database of something else"):
        SandboxStore(path)
    assert path.read_bytes() == before


def test_two_stores_on_one_file_see_each_others_tasks(tmp_path: Path) -> None:
    with SandboxStore(tmp_path / "tasks.db") as one, SandboxStore(tmp_path / "tasks.db") as other:
        task_id = one.create({"unique_id": "a"})["task_id"]
        assert other.cancel(task_id)["status"] == "canceled"
        assert one.get(task_id)["status"] == "canceled"
        with pytest.raises(UniqueIdTakenError):
            other.create({"unique_id": "a"})


def test_jobs_wait_for_their_time_and_for_being_done(store: SandboxStore, clock: Clock) -> None:
    store.jobs.add("callback", "late", in_s=60)
    store.jobs.add("callback", "now")
    (in_s, job), (later_s, late) = store.jobs.upcoming()
    assert (job.task_id, job.tries, late.task_id) == ("now", 0, "late")
    assert (in_s, later_s) == (0, pytest.approx(60, abs=1e-3))
    assert [other for _, other in store.jobs.upcoming(besides=[job.number])] == [late]
    store.jobs.again(job, in_s=120)
    clock.time += timedelta(seconds=121)
    (_, first), (in_s, second) = store.jobs.upcoming()
    assert (first.task_id, second.task_id, second.tries) == ("late", "now", 1)
    assert in_s == pytest.approx(-1, abs=1e-3)
    store.jobs.done(first)
    assert store.jobs.counts() == {"callback": 1}


def test_a_task_is_completed_once_it_is_checked_and_others_do_not_wait(store: SandboxStore) -> None:
    for kind, task_id in (("check", "a"), ("complete", "a"), ("complete", "b")):
        store.jobs.add(kind, task_id)  # type: ignore[arg-type]
    (_, check), (_, other) = store.jobs.upcoming()
    assert (check.kind, other.task_id) == ("check", "b")
    store.jobs.done(check)
    assert [(job.kind, job.task_id) for _, job in store.jobs.upcoming()] == [("complete", "a"), ("complete", "b")]


names = st.sampled_from(["a", "b", "c", "d"])


class StoreMachine(RuleBasedStateMachine):
    """The store against a model of plain dictionaries, whatever is done to it in whatever order."""

    tasks = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self.store = SandboxStore()
        self.order: list[str] = []
        self.unique_ids: dict[str, str] = {}
        self.tags: dict[str, list[str]] = {}
        self.statuses: dict[str, str] = {}
        self.page: list[str] | None = None
        self.when_paging_began: list[str] = []

    def teardown(self) -> None:
        self.store.close()

    def holder_of(self, unique_id: str | None) -> str | None:
        return next((task for task, held in self.unique_ids.items() if held == unique_id), None)

    @rule(target=tasks, unique_id=st.none() | names)
    def create(self, unique_id: str | None) -> Any:
        fields = {} if unique_id is None else {"unique_id": unique_id, "clear_unique_id_on_error": True}
        if unique_id is not None and self.holder_of(unique_id):
            with pytest.raises(UniqueIdTakenError, match=str(self.holder_of(unique_id))):
                self.store.create(fields)
            return multiple()
        task_id = self.store.create(fields)["task_id"]
        self.order.append(task_id)
        self.tags[task_id], self.statuses[task_id] = [], "pending"
        if unique_id is not None:
            self.unique_ids[task_id] = unique_id
        return task_id

    @rule(task=tasks, unique_id=st.none() | names)
    def set_unique_id(self, task: str, unique_id: str | None) -> None:
        holder = self.holder_of(unique_id)
        if unique_id is not None and holder not in (None, task):
            with pytest.raises(UniqueIdTakenError):
                self.store.set_unique_id(task, unique_id)
            return
        self.store.set_unique_id(task, unique_id)
        self.unique_ids.pop(task, None)
        if unique_id is not None:
            self.unique_ids[task] = unique_id

    @rule(task=tasks, verb=st.sampled_from(["cancel", "complete", "fail"]), clear=st.booleans())
    def end(self, task: str, verb: str, clear: bool) -> None:
        status = self.statuses[task]
        allowed = ("pending", "canceled") if verb == "cancel" else ("pending",)
        if verb == "cancel":
            act = partial(self.store.cancel, task, clear_unique_id=clear)
        else:
            end = self.store.complete if verb == "complete" else self.store.fail
            act = partial(end, task, {"error": "!"})
        if status not in allowed:
            with pytest.raises(WrongStatusError):
                act()
            return
        cleared = clear if verb == "cancel" else verb == "fail" and "clear_unique_id_on_error" in self.store.get(task)
        act()
        self.statuses[task] = {"cancel": "canceled", "complete": "completed", "fail": "error"}[verb]
        if cleared:
            self.unique_ids.pop(task, None)

    @rule(task=tasks, tags=st.lists(names | st.sampled_from(["e", "f", "g"]), max_size=7))
    def add_tags(self, task: str, tags: list[str]) -> None:
        wanted = list(dict.fromkeys([*self.tags[task], *tags]))
        if len(wanted) > 5:
            with pytest.raises(SandboxError, match="tags; at most 5"):
                self.store.change_tags(task, lambda old: [*old, *tags])
            return
        self.store.change_tags(task, lambda old: [*old, *tags])
        self.tags[task] = wanted

    @rule(limit=st.integers(1, 3))
    def read_a_page(self, limit: int) -> None:
        """Pages hold each task that was there at the first of them exactly once, whatever is made meanwhile."""
        if self.page is None:
            self.page, self.when_paging_began = [], list(self.order)
        found = self.store.page(limit=limit, after=self.page[-1] if self.page else None)
        assert found.total == len(self.order)
        self.page += [task["task_id"] for task in found.tasks]
        if not found.has_more:
            assert self.page == self.when_paging_began[::-1]
            self.page = None

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        tasks = self.store.page(limit=1000).tasks
        assert [task["task_id"] for task in tasks] == self.order[::-1]
        for task in tasks:
            assert task.get("unique_id") == self.unique_ids.get(task["task_id"])
            assert task.get("tags", []) == self.tags[task["task_id"]]
            assert task["status"] == self.statuses[task["task_id"]]
        assert sum(self.store.counts().values()) == len(self.order)
        for tag in ("a", "e"):
            found = self.store.page(TaskFilter(among={"tags": [tag]}), limit=100)
            assert {task["task_id"] for task in found.tasks} == {t for t, tags in self.tags.items() if tag in tags}


TestStore = StoreMachine.TestCase
