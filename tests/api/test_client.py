"""The clients over a transport that a test controls, and many calls at once."""

import asyncio
import base64
import contextlib
import inspect
import threading
from typing import Any

import httpx
import pytest

from lidarprep.api import AsyncScaleClient, ScaleClient
from lidarprep.errors import (
    ApiError,
    ParameterError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    TransportError,
    UnauthorizedError,
)

TASK = {"task_id": "5a99e20de50d4979ce6d291e", "type": "lidarannotation", "status": "pending"}
FRAMES = ["https://example.com/1.json"]
ABOUT = {"callback_url": "https://example.com/callback", "instruction": "Look.", "attachment": "https://example.com/1"}
OK = httpx.Response(200, json=TASK)


def idempotency_keys(api) -> list[str]:
    return [request.headers["idempotency-key"] for request in api.requests]


def test_the_key_is_the_user_name_of_basic_auth_with_an_empty_password(api, create) -> None:
    create()
    scheme, credentials = api.requests[0].headers["authorization"].split()
    assert (scheme, base64.b64decode(credentials)) == ("Basic", b"test_key:")


AT = {"position": {"x": 0, "y": 0}}


@pytest.mark.parametrize(
    ("method", "parameters", "path"),
    [
        (
            "create_lidar_annotation",
            {"attachments": FRAMES, "attachment_type": "json", "labels": ["car"]},
            "lidarannotation",
        ),
        (
            "create_lidar_segmentation",
            {"attachments": FRAMES, "attachment_type": "json", "labels": ["car"]},
            "lidarsegmentation",
        ),
        (
            "create_lidar_topdown",
            {"project": "p", "attachments": FRAMES, "region_of_interest_3d": AT, "geometries": {"line": {}}},
            "lidartopdown",
        ),
        (
            "create_lidar_linking",
            {"lidar_task": "a", "annotation_type": "annotation", "instruction": "Link."},
            "lidarlinking",
        ),
        (
            "create_multistage",
            {"project": "p", "attachments": ["s3://b/1.sfs"], "scene_format": "sensor_fusion"},
            "multistage",
        ),
        ("create_categorization", {**ABOUT, "attachment_type": "website", "categories": ["a", "b"]}, "categorize"),
        ("create_transcription", {**ABOUT, "attachment_type": "pdf", "fields": {"a": "A"}}, "transcription"),
        (
            "create_phonecall",
            {"instruction": "Call.", "phone_number": "+15055006865", "script": "Hello!", "entity_name": "Ada"},
            "phonecall",
        ),
        (
            "create_comparison",
            {"instruction": "Same?", "attachments": FRAMES, "attachment_type": "image", "choices": ["yes", "no"]},
            "comparison",
        ),
        ("create_annotation", {"attachment": FRAMES[0], "objects_to_annotate": ["cow"]}, "annotation"),
        ("create_data_collection", {**ABOUT, "attachment_type": "website", "fields": {"a": "A"}}, "datacollection"),
        ("create_audio_transcription", {"attachment": FRAMES[0]}, "audiotranscription"),
    ],
)
def test_each_create_method_posts_to_the_path_of_its_type(api, client, method, parameters, path) -> None:
    task = getattr(client, method)(**parameters)
    assert task.id == TASK["task_id"]
    assert api.requests[0].url == f"https://api.example.com/v1/task/{path}"
    with pytest.raises(TypeError, match="by name"):
        getattr(client, method)(FRAMES)
    assert set(parameters) <= set(inspect.signature(getattr(client, method)).parameters)


def test_a_parameter_that_is_refused_sends_nothing(api, client) -> None:
    with pytest.raises(ParameterError, match="labels is missing"):
        client.create_lidar_annotation(attachments=FRAMES, attachment_type="json")
    with pytest.raises(ParameterError, match="did you mean labels"):
        client.create_lidar_annotation(attachments=FRAMES, attachment_type="json", labels=["car"], lables=[])
    assert api.requests == []


def test_retrieving_and_cancelling_return_the_task(api, client) -> None:
    assert client.get_task("abc").status == "pending"
    assert client.cancel_task("abc").id == TASK["task_id"]
    client.cancel_task("abc", clear_unique_id=True)
    assert [(request.method, request.url.raw_path) for request in api.requests] == [
        ("GET", b"/v1/task/abc"),
        ("POST", b"/v1/task/abc/cancel"),
        ("POST", b"/v1/task/abc/cancel?clear_unique_id=true"),
    ]


@pytest.mark.parametrize(
    "hindrance",
    [
        httpx.ConnectError("connection refused"),
        httpx.ReadError("connection reset"),
        httpx.RemoteProtocolError("cut in the middle"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.Response(408),
        httpx.Response(429),
        httpx.Response(500),
        httpx.Response(503),
    ],
    ids=str,
)
def test_what_passes_is_tried_again_as_the_same_request(api, create, hindrance) -> None:
    api.answers = [hindrance, hindrance, OK]
    assert create().id == TASK["task_id"]
    assert len(api.requests) == 3
    assert len(set(idempotency_keys(api))) == 1
    assert len({request.content for request in api.requests}) == 1
    assert len(api.waits_s) == 2


def test_two_calls_are_two_requests(api, create) -> None:
    create()
    create()
    assert len(set(idempotency_keys(api))) == 2


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 422])
def test_what_does_not_pass_is_told_at_once(api, create, status) -> None:
    api.answers = [httpx.Response(status, json={"error": "No."})]
    with pytest.raises(ApiError, match=r"No\.") as refused:
        create()
    assert refused.value.status == status
    assert (len(api.requests), api.waits_s) == (1, [])


@pytest.mark.parametrize(
    ("hindrance", "error"),
    [
        (httpx.Response(500, json={"error": "No."}), ServerError),
        (httpx.Response(429), RateLimitError),
        (httpx.ConnectError("connection refused"), TransportError),
        (httpx.ReadTimeout(""), RequestTimeoutError),
    ],
    ids=str,
)
@pytest.mark.parametrize("retries", [0, 1, 5])
def test_after_the_last_try_the_error_is_raised(api, hindrance, error, retries) -> None:
    api.answers = [hindrance]
    with api.client(retries=retries) as client, pytest.raises(error) as raised:
        client.get_task("abc")
    assert type(raised.value) is error
    assert len(api.requests) == retries + 1
    assert len(api.waits_s) == retries
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None


def test_a_certificate_that_is_not_trusted_is_told_at_once(api, client) -> None:
    api.answers = [httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")]
    with pytest.raises(TransportError, match="self-signed"):
        client.get_task("abc")
    assert len(api.requests) == 1


def test_waits_grow_and_stay_bounded(api) -> None:
    api.answers = [httpx.Response(500)]
    with api.client(retries=12) as client, pytest.raises(ServerError):
        client.get_task("abc")
    for number, wait_s in enumerate(api.waits_s):
        least = min(0.5 * 2**number, 20.0)
        assert least <= wait_s <= least + 0.5


def test_a_retry_is_told_in_the_log(api, create, caplog) -> None:
    api.answers = [httpx.Response(503, json={"error": "Busy."}), OK]
    create()
    (message,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert message.startswith("POST /v1/task/lidarannotation was answered 503: Busy.; trying again in ")


def test_key_and_address_come_from_the_environment(api, monkeypatch) -> None:
    monkeypatch.setenv("SCALE_API_KEY", " live_key\n")
    monkeypatch.setenv("SCALE_API_URL", "https://elsewhere.example.com/v2/")
    with api.client(api_key=None, api_url=None) as client:
        client.get_task("abc")
    assert api.requests[0].url == "https://elsewhere.example.com/v2/task/abc"
    assert base64.b64decode(api.requests[0].headers["authorization"].split()[1]) == b"live_key:"


def test_without_an_address_it_is_scales_own(monkeypatch) -> None:
    monkeypatch.delenv("SCALE_API_URL", raising=False)
    with ScaleClient("test_key") as client:
        assert client.api_url == "https://api.scale.com/v1"


@pytest.mark.parametrize("key", [None, "", "  "])
def test_a_missing_key_says_where_to_get_one(monkeypatch, key) -> None:
    monkeypatch.delenv("SCALE_API_KEY", raising=False)
    with pytest.raises(UnauthorizedError, match="no API key is set") as refused:
        ScaleClient(key)
    assert "SCALE_API_KEY" in str(refused.value.fix)


@pytest.mark.parametrize("settings", [{"timeout": 0}, {"timeout": float("nan")}, {"retries": -1}])
def test_settings_that_make_no_sense_are_refused(api, settings) -> None:
    with pytest.raises(ParameterError, match=next(iter(settings))):
        api.client(**settings)


def test_a_key_on_an_unencrypted_way_is_warned_of(api, caplog) -> None:
    api.client(api_url="http://192.168.0.7/v1").close()
    api.client(api_url="http://127.0.0.1:8080/v1").close()
    assert caplog.messages == ["http://192.168.0.7/v1 is not encrypted: the API key can be read on the way to it"]


def test_files_of_this_machine_go_to_a_server_on_it_only(api, client) -> None:
    parameters = {"attachments": ["out/1.json"], "attachment_type": "json", "labels": ["car"]}
    with pytest.raises(ParameterError, match="can't fetch files from this machine"):
        client.create_lidar_annotation(**parameters)
    with api.client(api_url="http://127.0.0.1:8080/v1") as local:
        assert local.create_lidar_annotation(**parameters).id == TASK["task_id"]


def test_threads_may_share_a_client(api, client) -> None:
    failed_once: set[str] = set()
    outcomes: list[str] = []

    def flaky(request: httpx.Request) -> httpx.Response:
        first_time = request.url.path not in failed_once
        failed_once.add(request.url.path)
        return (
            httpx.Response(500) if first_time else httpx.Response(200, json={**TASK, "task_id": request.url.path[-3:]})
        )

    def work(client: ScaleClient, name: str) -> None:
        outcomes.append(client.get_task(name).id)

    with ScaleClient(
        "k", "https://api.example.com", transport=httpx.MockTransport(flaky), sleep=lambda _: None
    ) as shared:
        threads = [threading.Thread(target=work, args=(shared, f"t{n:02}")) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(outcomes) == [f"t{n:02}" for n in range(20)]


def test_a_closed_client_sends_nothing_more(api) -> None:
    with api.client() as client:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        client.get_task("abc")
    assert api.requests == []


def test_help_shows_the_parameters_of_a_create_method() -> None:
    signature = inspect.signature(ScaleClient.create_lidar_annotation)
    assert list(signature.parameters)[:2] == ["self", "labels"]
    assert {"attachments", "attachment_type", "manifest", "coordinates"} < set(signature.parameters)
    assert signature.parameters["tags"].annotation == "Tags | None"
    assert "LidarAnnotation" in (ScaleClient.create_lidar_annotation.__doc__ or "")


CALLS = 100


def public(client: type) -> dict[str, object]:
    return {name: member for name, member in inspect.getmembers(client) if not name.startswith("_")}


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    sync, twin = public(ScaleClient), public(AsyncScaleClient)
    assert sync.keys() == twin.keys()
    for name, member in sync.items():
        if callable(member):
            mine, other = (inspect.signature(each).parameters for each in (member, twin[name]))  # type: ignore[arg-type]
            assert list(mine) == list(other), name
    assert list(inspect.signature(ScaleClient).parameters) == list(inspect.signature(AsyncScaleClient).parameters)


class BusyServer:
    """An HTTP/1.1 server on this machine that refuses every third request once, and counts."""

    def __init__(self) -> None:
        self.connections = self.most_connections = self.requests = 0
        self.refused: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                name = path.rpartition("/")[2]
                self.requests += 1
                await asyncio.sleep(0)
                body = b'{"task_id": "%s", "status": "pending"}' % name.encode()
                status, extra = b"200 OK", b""
                if self.requests % 3 == 0 and name not in self.refused:
                    self.refused.add(name)
                    status, extra = b"429 Too Many Requests", b"Retry-After: 0\r\n"
                writer.write(b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status, extra, len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self.connections -= 1
            writer.close()


def test_many_calls_at_once_share_a_few_connections_and_none_fails(caplog) -> None:
    server = BusyServer()

    async def run() -> list[str]:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with listening:
            url = f"http://127.0.0.1:{port}/v1"
            client = AsyncScaleClient("test_key", url, max_connections=4, sleep=lambda _: asyncio.sleep(0))
            async with client:
                tasks = await asyncio.gather(*(client.get_task(f"t{number}") for number in range(CALLS)))
        return [task.id for task in tasks]

    assert asyncio.run(run()) == [f"t{number}" for number in range(CALLS)]
    assert server.most_connections <= 4
    assert "no answer" not in caplog.text
    assert server.requests == CALLS + len(server.refused)
    assert server.refused


def test_waiting_for_a_connection_is_no_timeout() -> None:
    body = b'{"task_id": "abc"}'

    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
                for start in range(0, len(body), 3):
                    await asyncio.sleep(0.1)  # each part within the timeout, all of them beyond it
                    writer.write(body[start : start + 3])
        writer.close()

    async def run() -> list[str]:
        listening = await asyncio.start_server(dribble, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        async with listening, AsyncScaleClient("k", url, max_connections=1, timeout=0.6, retries=0) as client:
            return [task.id for task in await asyncio.gather(client.get_task("abc"), client.get_task("abc"))]

    assert asyncio.run(run()) == ["abc", "abc"]


def test_each_of_many_calls_is_retried_on_its_own() -> None:
    tries: dict[str, int] = {}

    async def flaky(request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        tries[name] = tries.get(name, 0) + 1
        await asyncio.sleep(0)
        done = tries[name] > int(name) % 4
        return httpx.Response(200, json={"task_id": name}) if done else httpx.Response(503)

    async def run() -> list[str]:
        async def sleep(_: float) -> None:
            await asyncio.sleep(0)

        async with AsyncScaleClient(
            "k", "https://api.example.com", transport=httpx.MockTransport(flaky), sleep=sleep
        ) as client:
            return [task.id for task in await asyncio.gather(*(client.get_task(str(n)) for n in range(CALLS)))]

    assert asyncio.run(run()) == [str(number) for number in range(CALLS)]
    assert all(count == int(name) % 4 + 1 for name, count in tries.items())


@pytest.mark.parametrize(("asked", "waited_s"), [("0", 0.0), ("7", 7.0), ("86400", 120.0)])
def test_retry_after_is_waited_out_within_reason(api, call, asked, waited_s) -> None:
    api.answers = [
        httpx.Response(429, headers={"Retry-After": asked}),
        httpx.Response(200, json={"task_id": "abc"}),
    ]
    call("get_task", "abc")
    (wait_s,) = api.waits_s
    assert waited_s <= wait_s <= waited_s + 0.5


def test_a_call_can_be_cancelled(api) -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    async def run() -> None:
        async with AsyncScaleClient("k", "https://api.example.com", transport=httpx.MockTransport(never)) as client:
            under_way = asyncio.ensure_future(client.get_task("abc"))
            await asyncio.sleep(0.01)
            under_way.cancel()
            await under_way

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())


def test_the_key_and_settings_are_checked_as_the_other_clients_are(monkeypatch) -> None:
    from lidarprep.errors import ParameterError, UnauthorizedError

    monkeypatch.delenv("SCALE_API_KEY", raising=False)
    with pytest.raises(UnauthorizedError, match="no API key is set"):
        AsyncScaleClient()
    settings: dict[str, Any]
    for settings in ({"retries": -1}, {"timeout": 0}, {"max_connections": 0}):
        with pytest.raises(ParameterError, match=next(iter(settings))):
            AsyncScaleClient("k", **settings)


def test_hundreds_of_calls_at_once_share_the_connections() -> None:
    at_once, most = 0, 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.001)
        at_once -= 1
        return httpx.Response(200, json={"task_id": request.url.path.rpartition("/")[2], "status": "pending"})

    async def run() -> list[str]:
        settings: Any = {"transport": httpx.MockTransport(answer), "max_connections": 7}
        async with AsyncScaleClient("test_key", "https://api.example.com/v1", **settings) as client:
            return [task.id for task in await asyncio.gather(*(client.get_task(f"t{n}") for n in range(300)))]

    assert asyncio.run(run()) == [f"t{number}" for number in range(300)]
    assert most == 7
