"""What is added to a store is there, once, in order, and on disk."""

from __future__ import annotations

import json
import sqlite3
import string
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.callbacks import Callback, CallbackStore, open_callback_store
from lidarprep.callbacks._store import NotACallbackError
from lidarprep.errors import StorageError
from tests.callbacks.conftest import TASK_ID, posted

NOON = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)


def callback(body: bytes, received_at: datetime = NOON) -> Callback:
    return Callback.from_body(body, received_at)


def test_a_callback_comes_back_as_it_was_posted(store: CallbackStore, reopened: Callable[[], CallbackStore]) -> None:
    body = posted()
    assert store.add(callback(body)).is_new
    for one in (store, reopened()):
        found = one.get(TASK_ID)
        assert found is not None
        assert (found.task_id, found.version, found.received_at, found.body) == (TASK_ID, 1, NOON, body)
        assert found.response == {"category": "red"}
        assert found.task["instruction"] == "Is this object red or blue?"


def test_the_same_content_is_kept_once_however_it_is_written(store: CallbackStore) -> None:
    first = store.add(callback(posted()))
    rewritten = json.dumps(dict(reversed(json.loads(posted()).items())), indent=3).encode()
    again = store.add(callback(rewritten, NOON + timedelta(hours=1)))
    assert (first.is_new, again.is_new) == (True, False)
    assert again.callback == first.callback
    assert len(list(store)) == 1


def test_a_correction_is_a_new_version_and_the_last_is_the_result(store: CallbackStore) -> None:
    for category in ("red", "blue", "red", "green"):
        store.add(callback(posted(category=category)))
    assert [(one.version, one.response) for one in store.versions(TASK_ID)] == [
        (1, {"category": "red"}),
        (2, {"category": "blue"}),
        (3, {"category": "green"}),
    ]
    last, second = store.get(TASK_ID), store.get(TASK_ID, 2)
    assert last is not None
    assert second is not None
    assert (last.version, second.response) == (3, {"category": "blue"})


def test_an_older_result_that_is_delivered_late_does_not_take_the_place_of_its_correction(store: CallbackStore) -> None:
    def body(category: str, **times: str) -> bytes:
        return json.dumps(
            {"task_id": "a", "response": {"category": category}, "task": {"task_id": "a", **times}}
        ).encode()

    store.add(
        callback(body("corrected", updated_at="2026-03-02T08:00:00.000Z", completed_at="2026-03-01T08:00:00.000Z"))
    )
    store.add(callback(body("first", updated_at="2026-03-01T08:00:00.000Z"), NOON + timedelta(hours=20)))
    assert store.get("a").response == {"category": "corrected"}  # type: ignore[union-attr]
    assert [one.version for one in store.versions("a")] == [1, 2]
    store.add(callback(body("timeless", updated_at="yesterday"), NOON + timedelta(hours=21)))
    assert store.get("a").response == {"category": "timeless"}  # type: ignore[union-attr]


def test_callbacks_are_listed_in_the_order_they_came(store: CallbackStore) -> None:
    for number, task_id in enumerate(("c", "a", "b", "a")):
        store.add(callback(posted(task_id, str(number)), NOON + timedelta(seconds=number)))
    assert [(one.task_id, one.version) for one in store] == [("c", 1), ("a", 1), ("b", 1), ("a", 2)]


def test_what_is_handled_is_no_longer_listed_as_unhandled(
    store: CallbackStore, reopened: Callable[[], CallbackStore]
) -> None:
    for number, task_id in enumerate(("c", "a", "b")):
        store.add(callback(posted(task_id), NOON + timedelta(seconds=number)))
    store.mark_handled("a", 1)
    assert list(store.unhandled()) == list(reopened().unhandled()) == [("c", 1), ("b", 1)]
    assert len(list(store)) == 3


def test_a_task_that_never_came_is_none(store: CallbackStore) -> None:
    assert store.get("f" * 24) is None
    assert store.get("../" + TASK_ID) is None
    assert store.versions("f" * 24) == []
    assert list(store) == []


def test_one_task_id_that_begins_as_another_is_another(store: CallbackStore) -> None:
    store.add(callback(posted("abc")))
    store.add(callback(posted("ab")))
    assert [one.version for one in store.versions("ab")] == [1]


def test_of_the_same_callback_from_many_threads_and_openings_one_is_kept(
    store: CallbackStore, reopened: Callable[[], CallbackStore]
) -> None:
    stores = [store, reopened(), reopened()]
    kept: list[bool] = []
    start = threading.Barrier(12)

    def add(number: int) -> None:
        start.wait()
        for round_ in range(4):
            kept.append(stores[number % 3].add(callback(posted(category=str(round_)))).is_new)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(kept), sum(kept)) == (48, 4)
    assert [one.version for one in store.versions(TASK_ID)] == [1, 2, 3, 4]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(), items, max_size=3),
    max_leaves=8,
)


@given(
    task_id=st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=128),
    more=st.dictionaries(st.text(), json_values, max_size=4),
)
def test_any_json_object_with_a_task_id_is_a_callback_and_key_order_does_not_count(
    task_id: str, more: dict[str, Any]
) -> None:
    content = {**more, "task_id": task_id}
    one = callback(json.dumps(content).encode())
    other = callback(json.dumps(dict(reversed(content.items())), indent=1, ensure_ascii=True).encode())
    assert one.content == content
    assert one.digest == other.digest
    assert one.digest != callback(json.dumps({**content, "one more": 1, "added": task_id}).encode()).digest


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"\xff\xfe", b"null", b"[]", b'"text"', b"[" * 100_000, b"{}"),
        b'{"task_id": "a", "x": ' + b"[" * 128 + b"]" * 128 + b"}",
        *(b'{"task_id": null}', b'{"task_id": 5}', b'{"task_id": ""}', b'{"task_id": "../../etc/passwd"}'),
        *(b'{"task_id": "a\\nb"}', b'{"task_id": "a.1"}', b'{"task": {"task_id": "abc"}}'),
        *(json.dumps({"task_id": "a" * 129}).encode(), b'{"task_id": "a", "n": ' + b"1" * 5000 + b"}"),
    ],
)
def test_what_is_no_callback_is_refused(body: bytes) -> None:
    with pytest.raises(NotACallbackError, match="The body"):
        callback(body)


def test_a_response_that_is_no_object_is_still_in_the_body(store: CallbackStore) -> None:
    store.add(callback(b'{"task_id": "a", "response": [1], "task": "none"}'))
    found = store.get("a")
    assert found is not None
    assert (found.response, found.task, found.content["response"]) == (None, {}, [1])


def test_a_folder_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "callbacks").mkdir()
    with pytest.raises(StorageError, match=r"callbacks is a folder; .* SQLite file\n.*callbacks\.db"):
        open_callback_store(tmp_path / "callbacks")
    assert list((tmp_path / "callbacks").iterdir()) == []


def test_each_commit_to_sqlite_waits_for_the_disk(tmp_path: Path) -> None:
    with open_callback_store(tmp_path / "a.db") as store:
        (synchronous,) = store._database.row("PRAGMA synchronous")
        (journal,) = store._database.row("PRAGMA journal_mode")
    assert (synchronous, journal) == (3, "delete")  # EXTRA: more than FULL, which is 2


def test_many_that_open_a_new_store_at_once_all_get_it(place: Path) -> None:
    start = threading.Barrier(8)
    opened: list[CallbackStore] = []

    def open_it() -> None:
        start.wait()
        opened.append(open_callback_store(place))

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 8
    assert [one.add(callback(posted())).is_new for one in opened] == [True] + [False] * 7
    for one in opened:
        one.close()


def test_a_full_sqlite_file_says_so_and_keeps_nothing_and_goes_on_later(tmp_path: Path) -> None:
    with open_callback_store(tmp_path / "a.db") as store:
        store.add(callback(posted("first")))
        (pages,) = store._database.row("PRAGMA page_count")
        store._database.run(f"PRAGMA max_page_count = {pages}")
        large = posted("second", padding="x" * 50_000)
        with pytest.raises(StorageError, match=r"store of callbacks .* can't be written: database or disk is full"):
            store.add(callback(large))
        assert [one.task_id for one in store] == ["first"]
        store._database.run("PRAGMA max_page_count = 100000")
        assert store.add(callback(large)).is_new


def test_a_file_that_is_no_store_is_refused_and_let_be(tmp_path: Path) -> None:
    text, other, newer = tmp_path / "text.db", tmp_path / "other.db", tmp_path / "newer.db"
    text.write_bytes(b"not a database, but long enough to be looked at as one" * 10)
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (a)")
    database.close()
    open_callback_store(newer).close()
    with sqlite3.connect(newer) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    for file, message in ((text, "not a database"), (other, "database of something else"), (newer, "has version 2")):
        with pytest.raises(StorageError, match=message):
            open_callback_store(file)
    assert text.read_bytes().startswith(b"not a database")
    with pytest.raises(StorageError, match="can't be opened"):
        open_callback_store(tmp_path / "nowhere" / "a.db")


def test_a_store_that_is_closed_says_so(tmp_path: Path) -> None:
    store = open_callback_store(tmp_path / "a.db")
    store.close()
    for call in (lambda: store.get("a"), lambda: store.add(callback(posted())), lambda: store.mark_handled("a", 1)):
        with pytest.raises(StorageError, match="closed"):
            call()


def test_numbers_that_json_does_not_have_lose_no_result(store: CallbackStore) -> None:
    body = b'{"task_id": "a", "response": {"x": NaN, "y": [-Infinity, 1e999, 1.5]}}'
    kept = store.add(callback(body))
    assert kept.callback.body == body
    assert not store.add(callback(body)).is_new
    assert kept.callback.json_content["response"] == {"x": None, "y": [None, None, 1.5]}


def test_the_file_can_be_read_by_its_owner_alone(place: Path, store: CallbackStore) -> None:
    store.add(callback(posted()))
    assert place.stat().st_mode & 0o777 == 0o600
