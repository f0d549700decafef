"""Tasks: their fields, their next step, waiting, and their own methods."""

import asyncio
import copy
import dataclasses
import pickle
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.api import AsyncTask, Task
from lidarprep.errors import (
    NotFoundError,
    ParameterError,
    ServerError,
    TransportError,
    WaitTimeoutError,
)

TASK_ID = "5a99e20de50d4979ce6d291e"
TASK = {"task_id": TASK_ID, "type": "lidarannotation", "status": "pending"}


def answer(status: str = "pending", **fields: Any) -> httpx.Response:
    return httpx.Response(200, json={**TASK, "status": status, **fields})


def task(**fields: Any) -> Task:
    made = Task.from_api({**TASK, **fields})
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "pending"}, "Wait for it"),
        ({"status": "completed", "response": {"annotations": {"url": "https://e.com/1"}}}, "annotations()"),
        ({"status": "completed", "response": {"category": "red"}}, "Read its response."),
        ({"status": "canceled"}, "Nothing comes of it. Submit it again"),
        ({"status": "canceled", "unique_id": "x"}, "clear_unique_id() frees it"),
        ({"status": "error", "response": {"error": "Frame 3 is no JSON."}}, "It failed: Frame 3 is no JSON. Put that"),
        ({"status": "error", "unique_id": "x"}, "after clear_unique_id() or with another unique_id"),
        ({"status": "reviewing"}, "'reviewing', is not known to be final"),
    ],
)
def test_a_task_says_what_to_do_next(fields, words) -> None:
    assert words in task(**fields).next_step


class Hours:
    """A clock that goes on only while one sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def async_sleep(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture(params=["sync", "async"])
def wait(api, hours, request):
    """Calls `wait` of a client whose time is that clock's."""

    def wait(*args: Any, retries: int = 0, **keywords: Any) -> Any:
        common = {"transport": httpx.MockTransport(api), "clock": hours.clock, "retries": retries}
        if request.param == "sync":
            from lidarprep.api import ScaleClient

            return ScaleClient("k", "https://api.example.com", sleep=hours.sleep, **common).wait(*args, **keywords)

        async def awaited() -> Any:
            from lidarprep.api import AsyncScaleClient

            async with AsyncScaleClient("k", "https://api.example.com", sleep=hours.async_sleep, **common) as client:
                return await client.wait(*args, **keywords)

        return asyncio.run(awaited())

    return wait


@pytest.mark.parametrize("status", ["completed", "canceled", "error"])
def test_waiting_ends_at_a_last_status_whichever_it_is(api, wait, hours, status) -> None:
    api.answers = [answer(), answer("unheard_of"), answer(status)]
    seen: list[str] = []
    done = wait("abc", on_poll=lambda polled: seen.append(polled.status))
    assert done.status == status
    assert seen == ["pending", "unheard_of", status]
    assert len(hours.slept) == 2


def test_a_task_that_is_done_already_is_not_waited_for(api, wait, hours) -> None:
    api.answers = [answer("completed")]
    assert wait(task(), timeout=0).status == "completed"
    assert hours.slept == []


def test_the_intervals_grow_from_two_seconds_to_a_minute(api, wait, hours) -> None:
    api.answers = [answer() for _ in range(20)] + [answer("completed")]
    wait("abc")
    for number, seconds in enumerate(hours.slept):
        interval = min(2.0 * 1.5**number, 60.0)
        assert 0.8 * interval <= seconds <= 1.2 * interval


def test_when_the_time_is_over_the_task_is_asked_for_once_more(api, wait, hours) -> None:
    api.answers = [answer()]
    with pytest.raises(WaitTimeoutError, match="task abc is still pending after 100 s"):
        wait("abc", timeout=100)
    assert sum(hours.slept) == pytest.approx(100)
    assert len(api.requests) == len(hours.slept) + 1


def test_a_wait_outlives_an_outage_once_the_task_was_seen(api, wait, caplog) -> None:
    api.answers = [answer(), httpx.Response(503), httpx.ConnectError("refused"), answer("completed")]
    assert wait("abc").status == "completed"
    assert sum("goes on" in message for message in caplog.messages) == 2


@pytest.mark.parametrize("failed", [httpx.Response(429, headers={"Retry-After": "50"}), httpx.Response(503)])
def test_an_outage_does_not_make_a_wait_longer_than_it_may_be(api, wait, hours, failed) -> None:
    api.answers = [answer(), failed]
    with pytest.raises(WaitTimeoutError, match="still pending after 60 s"):
        wait("abc", timeout=60, retries=5)
    assert sum(hours.slept) == pytest.approx(60)


def test_a_poll_that_is_sent_away_comes_back_no_sooner_than_it_was_told(api, wait, hours) -> None:
    api.answers = [answer(), httpx.Response(429, headers={"Retry-After": "50"}), answer("completed")]
    wait("abc", retries=5)
    assert hours.slept[1] >= 50


@pytest.mark.parametrize(
    ("first", "error"), [(httpx.Response(503), ServerError), (httpx.ConnectError("x"), TransportError)]
)
def test_a_wait_that_can_not_begin_is_an_error(api, wait, first, error) -> None:
    api.answers = [first]
    with pytest.raises(error):
        wait("abc")


def test_a_task_that_is_gone_ends_the_wait(api, wait) -> None:
    api.answers = [answer(), httpx.Response(404)]
    with pytest.raises(NotFoundError):
        wait("abc")


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_timeout_that_makes_no_sense_is_refused(api, wait, timeout) -> None:
    with pytest.raises(ParameterError, match="timeout is"):
        wait("abc", timeout=timeout)
    assert api.requests == []


METHODS = [
    ("refresh", (), "GET", ""),
    ("cancel", (True,), "POST", "/cancel?clear_unique_id=true"),
    ("set_metadata", ({"a": 1},), "POST", "/setMetadata"),
    ("set_unique_id", ("x",), "POST", "/unique_id"),
    ("clear_unique_id", (), "DELETE", "/unique_id"),
    ("add_tags", (["a"],), "PUT", "/tags"),
    ("set_tags", (["a"],), "POST", "/tags"),
    ("delete_tags", (["a"],), "DELETE", "/tags"),
    ("wait", (), "GET", ""),
]


@pytest.mark.parametrize(("method", "arguments", "verb", "path"), METHODS)
def test_a_tasks_methods_ask_the_client_it_came_from(api, client, method, arguments, verb, path) -> None:
    api.answers = [answer(), answer("completed")]
    changed = getattr(client.get_task("abc"), method)(*arguments)
    assert isinstance(changed, Task)
    assert changed.refresh().status == "completed"
    url = f"https://api.example.com/v1/task/{TASK['task_id']}{path}"
    assert (api.requests[1].method, str(api.requests[1].url)) == (verb, url)


@pytest.mark.parametrize(("method", "arguments", "verb", "path"), METHODS)
def test_the_methods_of_an_asynchronous_clients_task_are_awaited(api, method, arguments, verb, path) -> None:
    api.answers = [answer(), answer("completed")]

    async def change() -> Any:
        async with api.async_client() as client:
            found = await client.get_task("abc")
            return await (await getattr(found, method)(*arguments)).refresh()

    assert isinstance(asyncio.run(change()), AsyncTask)
    url = f"https://api.example.com/v1/task/{TASK['task_id']}{path}"
    assert (api.requests[1].method, str(api.requests[1].url)) == (verb, url)


def test_tasks_of_a_list_are_bound_too(api, client) -> None:
    api.answers = [httpx.Response(200, json={"docs": [TASK]}), answer("completed")]
    assert client.list_tasks().tasks[0].refresh().status == "completed"


def test_a_task_goes_through_pickles_and_copies_without_its_client(client) -> None:
    found = client.get_task("abc")
    for copied in (pickle.loads(pickle.dumps(found)), copy.copy(found), copy.deepcopy(found)):
        assert copied == found
        with pytest.raises(ParameterError, match="is not bound to a client"):
            copied.refresh()
    assert dataclasses.asdict(found)["id"] == found.id
    assert found.refresh() == found


def test_a_task_has_the_fields_of_the_answer() -> None:
    raw = {
        "task_id": TASK_ID,
        "type": "multistage",
        "status": "completed",
        "created_at": "2019-01-16T21:03:33.166Z",
        "completed_at": "2019-01-17T21:03:33Z",
        "is_test": False,
        "unique_id": "drive-7",
        "tags": ["a", 3],
        "metadata": {"k": 1},
        "params": {"scene_format": "sensor_fusion"},
        "response": {"annotations": {"url": "https://example.com"}},
        "brand_new": True,
    }
    task = Task.from_api(raw)
    assert task is not None
    assert (task.id, task.type, task.status, task.is_test) == (TASK_ID, "multistage", "completed", False)
    assert task.created_at == datetime(2019, 1, 16, 21, 3, 33, 166000, tzinfo=UTC)
    assert task.completed_at == datetime(2019, 1, 17, 21, 3, 33, tzinfo=UTC)
    assert (task.unique_id, task.tags, task.metadata) == ("drive-7", ("a",), {"k": 1})
    assert (task.params, task.response) == (raw["params"], raw["response"])
    assert task.raw["brand_new"] is True


FIELDS = ("type", "status", "created_at", "is_test", "unique_id", "project", "tags", "metadata", "params", "response")


@given(st.dictionaries(st.sampled_from(FIELDS), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_a_task_is_read_whatever_its_other_fields_hold(fields: dict[str, Any]) -> None:
    task = Task.from_api({"task_id": TASK_ID, **fields})
    assert task is not None
    assert task.id == TASK_ID
    assert task.status in (None, fields.get("status"))
    assert task.raw == {"task_id": TASK_ID, **fields}
