"""The asynchronous client: the same methods and rules, and many calls at once."""

import asyncio
import contextlib
import inspect
from typing import Any

import httpx
import pytest

from lidarprep.api import AsyncScaleClient, ScaleClient
from lidarprep.errors import RateLimitError

CALLS = 200


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


class SlowServer:
    """An HTTP/1.1 server on this machine that takes a while, refuses every third request once, and counts."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
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
                await asyncio.sleep(self.delay_s)
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


def test_two_hundred_calls_at_once_share_a_few_connections_and_none_fails(caplog) -> None:
    server = SlowServer(delay_s=0.02)

    async def run() -> list[str]:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with listening:
            client = AsyncScaleClient("test_key", f"http://127.0.0.1:{port}/v1", max_connections=4, timeout=1.0)
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
                    await asyncio.sleep(0.2)  # each part within the timeout, all of them beyond it
                    writer.write(body[start : start + 3])
        writer.close()

    async def run() -> list[str]:
        listening = await asyncio.start_server(dribble, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        async with listening, AsyncScaleClient("k", url, max_connections=1, timeout=0.8, retries=0) as client:
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


def test_after_the_last_try_the_error_is_raised(api, call) -> None:
    api.answers = [httpx.Response(429)]
    with pytest.raises(RateLimitError):
        call("get_task", "abc", settings={"retries": 3})
    assert (len(api.requests), len(api.waits_s)) == (4, 3)


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
