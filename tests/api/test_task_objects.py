"""Tasks: what to do next, waiting, their own methods, and the annotations of completed ones."""

import asyncio
import copy
import dataclasses
import json
import pickle
from typing import Any

import httpx
import pytest

from lidarprep.api import AsyncTask, Cuboid, Task
from lidarprep.errors import (
    FormatError,
    NotFoundError,
    ParameterError,
    ServerError,
    TransportError,
    WaitTimeoutError,
)

TASK = {"task_id": "5a99e20de50d4979ce6d291e", "type": "lidarannotation", "status": "pending"}


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
        ({"status": "reviewing"}, "'reviewing', is none that is known"),
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


CUBOID = {
    "uuid": "4DBCC561",
    "camera_used": 1,
    "label": "Car",
    "position": {"x": 87.65, "y": 934.81, "z": 75},
    "dimensions": {"x": 1.8, "y": 4.5, "z": 1.5},
    "yaw": 1.63,
    "distance_to_device": 17.23,
    "numberOfPoints": 64,
    "stationary": False,
    "attributes": {"heading": "front"},
    "brand_new": [1],
}
URL = "https://results.example.org/annotations/1?X-Amz-Signature=sesame"


NO_ADDRESSES = (
    "https://[bad/1",
    "https://e.com:99999/1",
    "https://e.com:x/1",
    "https:///1",
    "https://xn--/1",
    "https://e\0.com",
)


def completed(annotations: Any = None) -> httpx.Response:
    return answer("completed", response={"annotations": {"url": URL} if annotations is None else annotations})


def test_annotations_are_cuboids_by_frame(api, call) -> None:
    small = {"uuid": "b", "label": "Car", "position": dict.fromkeys("xyz", 0), "dimensions": dict.fromkeys("xyz", 1)}
    frames = [{"cuboids": [CUBOID, {**small, "yaw": 0}], "polygons": []}, {"cuboids": []}]
    api.answers = [completed(), httpx.Response(200, json=frames)]
    first, second = call("annotations", "abc")
    assert first.cuboids == (
        Cuboid(
            uuid="4DBCC561",
            label="Car",
            position=(87.65, 934.81, 75.0),
            dimensions=(1.8, 4.5, 1.5),
            yaw=1.63,
            stationary=False,
            camera_used=1,
            number_of_points=64,
            distance_to_device=17.23,
            attributes={"heading": "front"},
        ),
        Cuboid(uuid="b", label="Car", position=(0.0,) * 3, dimensions=(1.0,) * 3, yaw=0.0),
    )
    assert first.cuboids[0].raw["brand_new"] == [1]
    assert first.cuboids[0].track_id == "4DBCC561"
    assert (first.index, first.raw["polygons"], second.index, second.cuboids) == (0, [], 1, ())


def test_the_key_goes_to_the_api_only_and_not_to_where_results_lie(api, call) -> None:
    api.answers = [completed(), httpx.Response(200, json=[])]
    call("annotations", "abc")
    assert "authorization" not in api.requests[1].headers
    for own in ("https://api.example.com/results/1", "https://API.example.com:443/results/1"):
        api.requests.clear()
        api.answers = [completed({"url": own}), httpx.Response(200, json=[])]
        call("annotations", "abc")
        assert "authorization" in api.requests[1].headers
    for other in ("http://api.example.com/1", "https://api.example.com:8443/1", "https://api.example.com.evil.org/1"):
        api.requests.clear()
        api.answers = [completed({"url": other}), httpx.Response(200, json=[])]
        call("annotations", "abc")
        assert "authorization" not in api.requests[1].headers


def test_a_redirect_to_another_host_is_followed_without_the_key(api, call) -> None:
    api.answers = [
        completed({"url": "https://api.example.com/v1/results/1"}),
        httpx.Response(302, headers={"Location": URL}),
        httpx.Response(503),
        httpx.Response(200, json=[{"cuboids": []}]),
    ]
    assert len(call("annotations", "abc")) == 1
    assert ["authorization" in request.headers for request in api.requests] == [True, True, False, False]
    assert str(api.requests[3].url) == URL


def test_redirects_are_not_followed_for_ever_nor_out_of_encryption(api, call) -> None:
    api.answers = [completed(), httpx.Response(302, headers={"Location": "/again"})]
    with pytest.raises(TransportError, match="more than 5 redirects"):
        call("annotations", "abc")
    api.answers = [completed(), httpx.Response(302, headers={"Location": "http://results.example.org/1"})]
    with pytest.raises(TransportError, match="not encrypted"):
        call("annotations", "abc")


@pytest.mark.parametrize("location", [*NO_ADDRESSES[:-1], "https://e.com:-1/", "ftp://e.com/1", "mailto:a@e.com"])
def test_a_redirect_to_what_is_no_web_address_is_an_error(api, call, location) -> None:
    api.answers = [completed(), httpx.Response(302, headers={"Location": location})]
    with pytest.raises(TransportError, match=r"GET /(annotations/)?1.*(a redirect to|no answer|more than 5 redirects)"):
        call("annotations", "abc", settings={"retries": 0})


def test_annotations_that_stand_in_the_response_need_no_fetching(api, call) -> None:
    api.answers = [completed([{"cuboids": [CUBOID]}])]
    assert call("annotations", "abc")[0].cuboids[0].label == "Car"
    assert len(api.requests) == 1


def test_annotations_of_other_types_are_had_as_json(api, call) -> None:
    linked = [{"camera_responses": [{"annotations": [], "camera_used": 1}]}]
    api.answers = [completed(), httpx.Response(200, json=linked)]
    assert call("annotations_json", "abc") == linked


@pytest.mark.parametrize("found", [answer(), answer("error"), answer("canceled")], ids=["pending", "error", "canceled"])
def test_a_task_that_is_not_completed_has_no_annotations(api, call, found) -> None:
    api.answers = [found]
    with pytest.raises(ParameterError, match="it has no annotations") as refused:
        call("annotations", "abc")
    assert refused.value.fix


@pytest.mark.parametrize(
    "annotations",
    [{}, {"url": 7}, {"url": "s3://bucket/1"}, {"url": "file:///etc/passwd"}, "x", *NO_ADDRESSES],
)
def test_a_response_without_an_address_of_annotations_is_told(api, call, annotations) -> None:
    api.answers = [completed(annotations)]
    with pytest.raises(ParameterError, match="holds"):
        call("annotations", "abc")
    assert len(api.requests) == 1


NO_YAW = {name: value for name, value in CUBOID.items() if name != "yaw"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        ({"frames": []}, "an object; expected a list with an object for each frame"),
        ([7], "frame 0: a number; expected a list `cuboids`"),
        ([{"cuboids": []}, {"camera_responses": []}], "frame 1: keys camera_responses; expected a list `cuboids`"),
        ([{"cuboids": ["x"]}], "frame 0, cuboid 0: a text; expected an object"),
        ([{"cuboids": [CUBOID, NO_YAW]}], "frame 0, cuboid 1: no yaw; expected yaw, a number"),
        ([{"cuboids": [{**CUBOID, "yaw": True}]}], "cuboid 0: yaw true; expected yaw, a number"),
        ([{"cuboids": [{**CUBOID, "yaw": float("nan")}]}], "cuboid 0: yaw NaN; expected yaw, a number"),
        ([{"cuboids": [{**CUBOID, "position": {"x": 1, "y": 2}}]}], r'position {"x": 1, "y": 2}; expected position'),
        ([{"cuboids": [{**CUBOID, "label": None}]}], "label null; expected label, a text"),
    ],
)
def test_annotations_that_are_none_are_named_with_their_place(api, call, content, message) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    api.answers = [completed(), httpx.Response(200, content=body)]
    with pytest.raises(FormatError) as refused:
        call("annotations", "abc")
    assert message in str(refused.value)
    assert refused.value.path == "https://results.example.org/annotations/1"  # without what signs it
    assert "sesame" not in str(refused.value)


def test_a_link_that_has_expired_says_so_and_does_not_blame_the_key(api, call) -> None:
    api.answers = [completed(), httpx.Response(403, text="<Error><Code>AccessDenied</Code></Error>")]
    with pytest.raises(Exception, match="GET /annotations/1 was answered 403") as refused:
        call("annotations", "abc")
    assert "Links to results expire" in refused.value.fix
    assert "SCALE_API_KEY" not in refused.value.fix
    assert "sesame" not in str(refused.value)
