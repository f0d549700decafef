"""The API key is in no text that a person or a log may see."""

import asyncio
import base64
import copy
import io
import logging
import pickle
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import anyio._backends._asyncio
import httpcore
import httpx
import pytest
import rich.console
import rich.traceback

from lidarprep.api import AsyncScaleClient, ScaleClient
from lidarprep.api._secrets import ApiKey, keep_out_of_logs
from lidarprep.errors import LidarprepError, ParameterError, UnauthorizedError

KEY = "live_s3cr3t+/0123456789"
ENCODED = base64.b64encode(f"{KEY}:".encode()).decode()


def leaks(text: str) -> bool:
    return any(form in text for form in (KEY, quote(KEY, safe=""), ENCODED, ENCODED.rstrip("=")))


def everything_about(error: BaseException) -> str:
    """The error as people may come to see it, a traceback that shows each frame's local variables included."""
    with_locals = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "\n".join([str(error), repr(error), repr(vars(error)), *with_locals.format(chain=True)])


def echoing(request: httpx.Request) -> httpx.Response:
    """A server that gives back what it was sent, as careless ones do."""
    text = f"{request.headers['authorization']} {KEY} {quote(KEY, safe='')}"
    first = request.url.path.split("/")[1]
    status = int(first) if first.isdigit() else 401
    return httpx.Response(status, json={"error": text}, headers={"Location": f"https://example.com/{KEY}"})


class AnyClient:
    """Calls a client of either kind, whose key is the secret one."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, method: str, *args: Any, url: str = "https://api.example.com/v1", **keywords: Any) -> Any:
        settings: dict[str, Any] = {"retries": 1, **keywords.pop("settings", {})}
        if self.kind == "sync":
            with ScaleClient(KEY, url, sleep=lambda _: None, **settings) as client:
                return getattr(client, method)(*args, **keywords)

        async def call() -> Any:
            async with AsyncScaleClient(KEY, url, sleep=no_sleep, **settings) as client:
                return await getattr(client, method)(*args, **keywords)

        return asyncio.run(call())


async def no_sleep(_: float) -> None:
    await asyncio.sleep(0)


@pytest.fixture(params=["sync", "async"])
def ask(request) -> AnyClient:
    return AnyClient(request.param)


@pytest.fixture
def everything_logged(caplog) -> Callable[[], str]:
    """All that any library logs at debug level, attributes of the records included."""
    caplog.set_level(logging.DEBUG)
    return lambda: "\n".join([caplog.text, *(repr(vars(record)) for record in caplog.records)])


ECHOING = httpx.MockTransport(echoing)


@pytest.mark.parametrize("status", [200, 301, 400, 401, 402, 403, 404, 408, 409, 429, 500])
@pytest.mark.parametrize("method", ["get_task", "annotations", "wait", "list_tasks"])
def test_no_error_or_log_has_it_though_the_server_echoes_it(status, method, ask, everything_logged) -> None:
    with pytest.raises(LidarprepError) as raised:
        ask(
            method,
            *([] if method == "list_tasks" else [str(status)]),
            url=f"https://api.example.com/{status}",
            settings={"transport": ECHOING},
        )
    assert not leaks(everything_about(raised.value))
    assert everything_logged()
    assert not leaks(everything_logged())


MULTISTAGE = {"project": "p", "attachments": ["s3://b/1.sfs"], "scene_format": "sensor_fusion"}


@pytest.mark.parametrize("extra", [{}, {"unique_id": "x"}])
def test_no_traceback_of_a_real_connection_that_fails_has_it(extra, ask, everything_logged) -> None:
    # Port 9, "discard": nothing listens there.
    with pytest.raises(LidarprepError) as raised:
        ask("create_multistage", url="http://127.0.0.1:9/v1", **MULTISTAGE, **extra)
    assert not leaks(everything_about(raised.value))
    assert not leaks(everything_logged())


def test_no_traceback_that_rich_prints_with_locals_has_it(ask, echo_url) -> None:
    with pytest.raises(LidarprepError) as raised:
        ask("get_task", "a", url=echo_url)
    error = raised.value
    printed = rich.console.Console(file=io.StringIO(), width=400)
    printed.print(rich.traceback.Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True))
    assert "_successful" in printed.file.getvalue()
    assert not leaks(printed.file.getvalue())


class Echo(BaseHTTPRequestHandler):
    """Gives back all that it was sent: in the status line, in a header, and in the body."""

    def answer(self) -> None:
        credentials = self.headers["authorization"]
        body = f"{credentials} {KEY}".encode()
        self.send_response(400, f"No {KEY}")
        self.send_header("X-Echo", credentials)
        self.send_header("X-Key", KEY)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        pass  # clients that are stopped hang up


@pytest.fixture(scope="module")
def echo_url() -> Iterator[str]:
    with QuietServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("get_task", ("a",)),
        ("delete_tags", ("a", "b")),
        ("list_tasks", ()),
        ("create_task", ("multistage", MULTISTAGE)),
    ],
)
def test_the_http_librarys_own_log_has_it_not(method, arguments, ask, everything_logged, echo_url) -> None:
    with pytest.raises(LidarprepError) as raised:
        ask(method, *arguments, url=echo_url)
    assert not leaks(everything_about(raised.value))
    assert "receive_response_headers.complete" in everything_logged()  # it did log what the server answered
    assert not leaks(everything_logged())


def test_the_signature_of_a_link_to_results_is_not_logged(ask, everything_logged) -> None:
    link = "https://results.example.org/1?X-Amz-Date=1&X-Amz-Signature=sesame&x=1"

    def results(request: httpx.Request) -> httpx.Response:
        done = {"task_id": "a", "status": "completed", "response": {"annotations": {"url": link}}}
        return httpx.Response(200, json=done if request.url.host == "api.example.com" else [])

    assert ask("annotations", "a", settings={"transport": httpx.MockTransport(results)}) == ()
    assert "results.example.org/1?X-Amz-Date=1&X-Amz-Signature=***&x=1" in everything_logged()
    assert "sesame" not in everything_logged()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("where", ["write", "read"])
def test_no_traceback_of_a_program_that_is_stopped_has_it(where, stop, ask, monkeypatch, echo_url) -> None:
    def stopped(*_: object, **__: object) -> bytes:
        raise stop

    async def stopped_soon(*_: object, **__: object) -> bytes:
        raise stop

    # Within the HTTP library, where the local variables hold the bytes that are sent.
    monkeypatch.setattr(httpcore._backends.sync.SyncStream, where, stopped)
    target = "send" if where == "write" else "receive"
    monkeypatch.setattr(anyio._backends._asyncio.SocketStream, target, stopped_soon)
    with pytest.raises(stop) as raised:
        ask("get_task", "a", url=echo_url)
    assert not leaks(everything_about(raised.value))


def test_no_traceback_of_a_call_that_is_cancelled_has_it() -> None:
    cancelled = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Close without an answer, once nobody waits for one: the request itself goes on in its thread."""
        await cancelled.wait()
        writer.close()
        await writer.wait_closed()

    async def run() -> BaseException:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, AsyncScaleClient(KEY, url) as client:
            under_way = asyncio.ensure_future(client.get_task("a"))
            await asyncio.sleep(0.1)
            under_way.cancel()
            try:
                await under_way
            except asyncio.CancelledError as error:
                cancelled.set()
                await asyncio.sleep(0.1)
                return error
        raise AssertionError

    assert not leaks(everything_about(asyncio.run(run())))


@pytest.mark.parametrize("client", [ScaleClient, AsyncScaleClient])
@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": 0},
        {"retries": -1},
        {"max_connections": 0},
        {"ca_bundle": "/nowhere"},
        {"proxy": "ftp://x"},
        {"api_url": "nonsense"},
        {"api_url": f"https://{quote(KEY, safe='')}@api.example.com/v1"},
        {"api_url": f"https://{quote(KEY, safe='')}@api.example.com:port/v1"},
        {"api_url": f"{KEY}@api.example.com:x/v1"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_no_traceback_of_a_client_that_is_not_made_has_it(client, settings) -> None:
    with pytest.raises(ParameterError) as refused:
        client(KEY, **settings)
    settings = None  # this very frame is in the traceback too
    assert not leaks(everything_about(refused.value))


@pytest.mark.parametrize("client", [ScaleClient, AsyncScaleClient])
@pytest.mark.parametrize("end", [":", " x", "ß", "\nx"])
def test_no_traceback_of_a_key_that_is_refused_has_it(client, end) -> None:
    with pytest.raises(UnauthorizedError) as refused:
        client(f"{KEY}{end}")
    assert not leaks(everything_about(refused.value))


def test_no_repr_has_it(ask) -> None:
    for client in (ScaleClient(KEY), AsyncScaleClient(KEY)):
        assert repr(client) == f"{type(client).__name__}('https://api.scale.com/v1')"
        assert not leaks(f"{client} {vars(client)!r} {vars(client._access)!r}")
    assert (str(ApiKey(KEY)), repr(ApiKey(KEY)), f"{ApiKey(KEY)}") == ("ApiKey(***)",) * 3
    assert ApiKey(KEY).masked == "live_***"
    who = ask("whoami", settings={"transport": ECHOING})
    assert not leaks(f"{who!r} {who.problem} {everything_about(who.problem)}")


def test_nothing_that_is_pickled_has_it(ask) -> None:
    answers = httpx.MockTransport(lambda _: httpx.Response(200, json={"task_id": "a", "docs": [{"task_id": "a"}]}))
    task, page = (
        ask("get_task", "a", settings={"transport": answers}),
        ask("list_tasks", settings={"transport": answers}),
    )
    for made in (task, page, page.tasks[0]):
        assert KEY.encode() not in pickle.dumps(made)
        assert ENCODED.encode() not in pickle.dumps(made)
    for client in (ScaleClient(KEY), AsyncScaleClient(KEY)):
        with pytest.raises(TypeError):
            pickle.dumps(client)


def test_no_error_about_parameters_has_it(ask) -> None:
    with pytest.raises(ParameterError) as refused:
        ask("create_multistage", api_key=KEY)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("key", [f"{KEY}:", f"{KEY}\n{KEY}", f"{KEY} x", f"{KEY}ß"])
def test_a_key_that_is_none_is_refused_without_being_shown(key) -> None:
    with pytest.raises(UnauthorizedError, match="a character that no key has") as refused:
        ApiKey(key)
    assert KEY not in f"{refused.value!r}{refused.value}"


@pytest.mark.parametrize("key", ["car", "test_key", "1"])
def test_a_key_that_may_be_any_word_does_not_change_what_is_fetched(key) -> None:
    frames = [{"cuboids": [], "car": "test_key 1"}]

    def api(request: httpx.Request) -> httpx.Response:
        own = {"url": "http://127.0.0.1/sandbox/files/1"}
        done = {"task_id": "a", "status": "completed", "response": {"annotations": own}}
        return httpx.Response(200, json=frames if "files" in request.url.path else done)

    with ScaleClient(key, "http://127.0.0.1/v1", transport=httpx.MockTransport(api)) as client:
        assert client.annotations_json("a") == frames


def test_clients_are_made_while_others_log(monkeypatch) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    kept, errors = [], []
    record = logging.LogRecord("httpx", logging.INFO, "", 0, "sent %s", ("x",), None)

    def make() -> None:
        while len(kept) < 3000:
            kept.append(key := ApiKey(f"test_{len(kept)}"))
            keep_out_of_logs(key)

    def log() -> None:
        try:
            while len(kept) < 3000:
                logging.getLogger("httpx").filters[0].filter(record)
        except RuntimeError as error:
            errors.append(error)

    keep_out_of_logs(ApiKey("test_first"))
    try:
        threads = [threading.Thread(target=work) for work in (make, log, log)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []


def test_it_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(ApiKey(KEY))
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(ApiKey(KEY))


@pytest.mark.parametrize(("key", "mode"), [("live_x", "live"), ("test_x", "test"), ("scale_x", None)])
def test_its_prefix_tells_test_from_live(key, mode) -> None:
    assert ApiKey(key).mode == mode
