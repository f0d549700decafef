"""The server of callbacks over real HTTP: what it answers, and what is stored when it does."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from lidarprep.api import ScaleClient
from lidarprep.callbacks import CallbackServer, CallbackStore, create_app, open_callback_store, running_callbacks
from lidarprep.errors import StorageError, TransportError, UnauthorizedError
from lidarprep.sandbox import SandboxOptions, running_sandbox
from tests.callbacks.conftest import AUTH_KEY, TASK_ID, posted

AUTH = {"scale-callback-auth": AUTH_KEY}


@pytest.fixture
def server(store: CallbackStore) -> Iterator[CallbackServer]:
    with running_callbacks(store, AUTH_KEY, max_body_bytes=100_000) as server:
        yield server


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CallbackServer]:
    """For requests that are refused: a store that is empty, and stays so."""
    with (
        open_callback_store(tmp_path_factory.mktemp("empty") / "callbacks.db") as store,
        running_callbacks(store, AUTH_KEY, max_body_bytes=100_000) as server,
    ):
        yield server


def post(server: CallbackServer, content: Any = None, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.post(
        server.url,
        content=posted() if content is None else content,
        headers=AUTH if headers is None else headers,
        trust_env=False,
        verify=False,
    )


def raw(server: CallbackServer, *parts: bytes) -> bytes:
    """All that comes back for these bytes, until the server closes."""
    port = int(server.url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def test_a_callback_is_stored_and_answered_200(server: CallbackServer) -> None:
    response = post(server)
    assert response.status_code == 200
    assert response.json() == {"task_id": TASK_ID, "version": 1, "new": True}
    assert [one.body for one in server.store] == [posted()]


def test_the_same_delivery_fifty_times_at_once_is_stored_once(server: CallbackServer) -> None:
    with ThreadPoolExecutor(50) as pool:
        responses = list(pool.map(lambda _: post(server), range(50)))
    assert {response.status_code for response in responses} == {200}
    assert sum(response.json()["new"] for response in responses) == 1
    assert len(list(server.store)) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"scale-callback-auth": ""},
        {"scale-callback-auth": AUTH_KEY[:-1]},
        {"scale-callback-auth": AUTH_KEY + "x"},
        {"scale-callback-auth": AUTH_KEY.upper()},
        {"scale-callback-auth": "ÿþ"},
        {"authorization": f"Bearer {AUTH_KEY}"},
    ],
)
def test_a_wrong_or_missing_header_gets_401_and_nothing_is_stored(
    empty_server: CallbackServer, headers: dict[str, str]
) -> None:
    latin = {name: value.encode("latin-1") for name, value in headers.items()}
    response = httpx.post(empty_server.url, content=posted(), headers=latin, trust_env=False, verify=False)
    assert response.status_code == 401
    assert "scale-callback-auth header is wrong or missing" in response.json()["error"]
    assert list(empty_server.store) == []


def test_the_header_given_twice_is_refused(empty_server: CallbackServer) -> None:
    twice = [("scale-callback-auth", AUTH_KEY), ("scale-callback-auth", AUTH_KEY)]
    assert (
        httpx.post(empty_server.url, content=posted(), headers=twice, trust_env=False, verify=False).status_code == 401
    )


def test_a_huge_body_without_the_right_header_is_refused_before_it_is_sent(empty_server: CallbackServer) -> None:
    # The body never comes: a server that waited for it would not answer.
    answer = raw(empty_server, b"POST /callback HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert list(empty_server.store) == []


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(empty_server: CallbackServer) -> None:
    head = f"POST /callback HTTP/1.1\r\nHost: x\r\nscale-callback-auth: {AUTH_KEY}\r\nContent-Length: 100001\r\n\r\n"
    assert raw(empty_server, head.encode()).startswith(b"HTTP/1.1 413 ")


def test_a_body_in_chunks_is_refused_once_it_is_too_large(server: CallbackServer) -> None:
    def chunks(count: int) -> Iterator[bytes]:
        yield from (b" " * 1000 for _ in range(count))
        yield posted()

    assert post(server, chunks(99)).status_code == 200
    head = (
        f"POST /callback HTTP/1.1\r\nHost: x\r\nscale-callback-auth: {AUTH_KEY}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    # The last chunk, which would end the body, never comes.
    answer = raw(server, head.encode(), b"186a1\r\n" + b" " * 100_001 + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert len(list(server.store)) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 90_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "no task_id"),
        (b'{"task_id": "../x"}', "no task_id"),
    ],
)
def test_what_is_no_callback_is_a_bad_request_and_not_stored(
    empty_server: CallbackServer, content: bytes, message: str
) -> None:
    response = post(empty_server, content)
    assert response.status_code == 400
    assert message in response.json()["error"]
    assert list(empty_server.store) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/callback", 405),
        ("HEAD", "/callback", 405),
        ("PUT", "/callback", 405),
        ("DELETE", "/callback", 405),
        ("POST", "/", 404),
        ("POST", "/callback2", 404),
        ("POST", "/callback/", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/healthz", 200),
        ("POST", "/healthz", 405),
    ],
)
def test_other_methods_and_paths_are_told_apart(
    empty_server: CallbackServer, method: str, path: str, status: int
) -> None:
    url = empty_server.url.removesuffix("/callback") + path
    assert httpx.request(method, url, headers=AUTH, trust_env=False, verify=False).status_code == status
    assert list(empty_server.store) == []


def test_a_disk_error_is_answered_500_and_the_next_delivery_is_stored(
    server: CallbackServer, caplog: pytest.LogCaptureFixture
) -> None:
    database = server.store._database
    (pages,) = database.row("PRAGMA page_count")
    database.run(f"PRAGMA max_page_count = {pages}")
    body = posted(padding="x" * 50_000)
    response = post(server, body)
    assert response.status_code == 500
    assert response.json() == {"status_code": 500, "error": "The callback could not be stored."}
    assert list(server.store) == []
    assert "Scale will send the callback again" in caplog.text
    database.run("PRAGMA max_page_count = 1000000")
    assert post(server, body).json()["new"] is True
    assert len(list(server.store)) == 1


def test_a_failure_that_nobody_thought_of_is_answered_500(
    server: CallbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> Any:
        raise RuntimeError("bug")

    monkeypatch.setattr(server.store, "add", broken)
    assert post(server).status_code == 500


def test_several_keys_are_taken_while_one_is_changed(store: CallbackStore) -> None:
    with running_callbacks(store, ["old_key", " new_key\n"]) as server:
        statuses = [post(server, headers={"scale-callback-auth": key}).status_code for key in ("old_key", "new_key")]
        assert statuses == [200, 200]
        assert post(server, headers={"scale-callback-auth": "old_key new_key"}).status_code == 401


@pytest.mark.parametrize("key", ["", "  ", [], ["a", ""]])
def test_no_server_without_an_auth_key(store: CallbackStore, key: Any) -> None:
    with pytest.raises(UnauthorizedError, match="no callback auth key is set"):
        create_app(store, key)


def test_keys_are_compared_in_constant_time_and_whichever_it_is_all_of_them(
    store: CallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    with running_callbacks(store, ["short", "a much longer key"]) as server:
        for given in ("short", "a much longer key", "x", "x" * 500):
            compared.clear()
            post(server, headers={"scale-callback-auth": given})
            assert compared == [(32, 32)] * 2


def test_the_auth_key_is_in_no_log_and_no_traceback(
    store: CallbackStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)

    def broken(_: Any) -> Any:
        raise StorageError("disk")

    with running_callbacks(store, AUTH_KEY) as server:
        post(server)
        post(server, b"{")
        post(server, headers={"scale-callback-auth": AUTH_KEY + "2"})
        monkeypatch.setattr(store, "add", broken)
        post(server)
        with pytest.raises(TransportError) as taken, running_callbacks(store, AUTH_KEY, port=int(server.url[17:22])):
            pass
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert any(record.name.startswith("lidarprep.callbacks") for record in ours)
    assert not any(AUTH_KEY in repr(vars(record)) for record in ours)
    inside = [
        frame
        for frame in traceback.TracebackException.from_exception(taken.value, capture_locals=True).stack
        if "lidarprep" in frame.filename and "tests" not in frame.filename
    ]
    assert inside
    assert not any(AUTH_KEY in str(frame.locals) for frame in inside)


def test_a_body_that_comes_too_slowly_is_given_up(store: CallbackStore) -> None:
    with running_callbacks(store, AUTH_KEY, longest_body_s=0.2) as server:
        head = f"POST /callback HTTP/1.1\r\nHost: x\r\nscale-callback-auth: {AUTH_KEY}\r\nContent-Length: 500\r\n\r\n"
        assert raw(server, head.encode(), b"{").startswith(b"HTTP/1.1 408 ")
    assert list(store) == []


@pytest.mark.parametrize("sent", [b"", b"POST /callb", b"POST /callback HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_headers_that_come_too_slowly_are_given_up(
    store: CallbackStore, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("lidarprep._serving.LONGEST_HEADERS_S", 0.2)
    with running_callbacks(store, AUTH_KEY) as server:
        try:
            answer = raw(server, sent)
        except ConnectionResetError:
            answer = b""
    assert answer == b""  # closed; without a limit the socket's own timeout would end the test


def test_a_second_request_on_a_connection_has_the_same_limit(
    store: CallbackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lidarprep._serving.LONGEST_HEADERS_S", 0.3)
    with running_callbacks(store, AUTH_KEY) as server:
        with httpx.Client(trust_env=False, verify=False) as client:  # one connection, idle for longer than that
            url = server.url.replace("callback", "healthz")
            assert client.get(url).status_code == 200
            time.sleep(0.5)
            assert client.get(url).status_code == 200
        try:
            answer = raw(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /hea")
        except ConnectionResetError:
            answer = b"HTTP/1.1 200"
    assert answer.count(b"HTTP/1.1 200") <= 1


def test_it_can_be_mounted_in_an_application_of_ones_own(store: CallbackStore) -> None:
    handled: list[str] = []
    left = create_app(store, AUTH_KEY)
    asyncio.run(_post_to(left, "/callback", posted("left")))
    inner = create_app(store, AUTH_KEY, lambda callback: handled.append(callback.task_id), path="/scale")
    outer = Starlette(routes=[Mount("/hooks", inner)])
    # No lifespan is run here, as a mounting application may not pass its own on.
    assert asyncio.run(_post_to(outer, "/hooks/scale", posted("new"))) == 200
    _until(lambda: sorted(handled) == ["left", "new"])
    assert asyncio.run(_post_to(outer, "/hooks/elsewhere", posted())) == 404


async def _post_to(app: Starlette, path: str, content: bytes) -> int:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        return (await client.post(path, content=content, headers=AUTH)).status_code


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_answer_does_not_wait_for_what_is_done_with_it(store: CallbackStore) -> None:
    answered = threading.Event()
    with running_callbacks(store, AUTH_KEY, lambda _: answered.wait(20) or None) as server:
        assert post(server).status_code == 200
        assert list(store.unhandled()) == [(TASK_ID, 1)]  # what is done with it still runs
        answered.set()
        _until(lambda: list(store.unhandled()) == [])


def test_what_fails_is_handled_again_at_the_next_start_and_what_went_well_is_not(
    store: CallbackStore, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def take_in(callback: Any) -> None:
        calls.append(callback.task_id)
        if callback.task_id == "bad" and len(calls) < 3:
            raise RuntimeError("the database is away")

    with running_callbacks(store, AUTH_KEY, take_in) as server:
        for task_id in ("good", "bad", "good"):  # the last is delivered again: not handled again
            assert post(server, posted(task_id)).status_code == 200
            _until(lambda task_id=task_id: task_id in calls)  # type: ignore[misc]
    assert calls == ["good", "bad"]
    assert "the database is away" in caplog.text
    with running_callbacks(store, AUTH_KEY, take_in):
        _until(lambda: len(calls) == 3)
    assert calls == ["good", "bad", "bad"]
    assert list(store.unhandled()) == []


def test_a_coroutine_function_is_run_to_its_end(store: CallbackStore) -> None:
    done: list[str] = []

    async def take_in(callback: Any) -> None:
        await asyncio.sleep(0.01)
        done.append(callback.task_id)

    with running_callbacks(store, AUTH_KEY, take_in) as server:
        post(server)
    assert done == [TASK_ID]


def test_no_more_run_at_once_than_was_asked_for_and_results_of_one_task_in_order(store: CallbackStore) -> None:
    lock, go_on = threading.Lock(), threading.Event()
    running: list[str] = []
    most = 0
    order: list[tuple[str, int]] = []

    def take_in(callback: Any) -> None:
        nonlocal most
        with lock:
            running.append(callback.task_id)
            most = max(most, len(running), 9 * (running.count(callback.task_id) - 1))
        go_on.wait(20)
        with lock:
            running.remove(callback.task_id)
            order.append((callback.task_id, callback.version))

    with running_callbacks(store, AUTH_KEY, take_in, at_once=2) as server:
        for category in ("red", "blue", "green"):
            for task_id in ("a", "b", "c", "d"):
                post(server, posted(task_id, category))
        _until(lambda: len(running) == 2)
        go_on.set()
        _until(lambda: len(order) == 12)
    assert most == 2
    for task_id in ("a", "b", "c", "d"):
        assert [version for one, version in order if one == task_id] == [1, 2, 3]


def test_a_taken_port_is_told(server: CallbackServer, tmp_path: Path) -> None:
    port = int(server.url.split(":")[2].split("/")[0])
    other = open_callback_store(tmp_path / "other")
    with (
        pytest.raises(TransportError, match=f"can't listen at 127.0.0.1, port {port}"),
        running_callbacks(other, AUTH_KEY, port=port),
    ):
        pytest.fail("two servers on one port")


def test_the_body_of_an_answer_is_json(server: CallbackServer) -> None:
    for response in (post(server), post(server, b"{"), post(server, headers={})):
        assert isinstance(json.loads(response.content), dict)


def test_what_the_sandbox_sends_is_taken(store: CallbackStore) -> None:
    done: list[str] = []
    options = SandboxOptions(callback_auth_key=AUTH_KEY)
    with (
        running_callbacks(store, AUTH_KEY, lambda callback: done.append(callback.task_id)) as server,
        running_sandbox(options=options) as sandbox,
        ScaleClient("test_key", sandbox.url) as client,
    ):
        parameters = {
            "instruction": "Is it red?",
            "attachment_type": "text",
            "attachment": "tomato",
            "categories": ["red", "blue"],
            "callback_url": server.url,
        }
        task = client.create_task("categorization", parameters)
        sandbox.complete(task.id, {"category": "red"})
        _until(lambda: done == [task.id])
        _until(lambda: client.get_task(task.id).callback_done is True)
    found = store.get(task.id)
    assert found is not None
    assert found.response == {"category": "red"}
    assert found.task["status"] == "completed"
