"""Callbacks, and statuses that move on by themselves."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from lidarprep.sandbox import Sandbox, SandboxOptions, running_sandbox
from lidarprep.sandbox._background import wait_before_try_s

QUICK = SandboxOptions(callback_auth_key="callback-key", callback_pace=1e-6)
CATEGORIZATION = {
    "instruction": "Is this object red or blue?",
    "attachment_type": "text",
    "attachment": "tomato",
    "categories": ["red", "blue"],
}


class Receiver:
    """A server that keeps what is posted to it, and answers with statuses in turn; 200 when there are no more."""

    def __init__(self, statuses: list[int]) -> None:
        self.statuses, self.url = statuses, ""
        self.received: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.lock = threading.Lock()


@contextmanager
def receiving(*statuses: int, listener: socket.socket | None = None) -> Iterator[Receiver]:
    receiver = Receiver(list(statuses))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with receiver.lock:
                receiver.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status = receiver.statuses.pop(0) if receiver.statuses else 200
            self.send_response(status)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=listener is None) as server:
        if listener is not None:
            server.socket.close()
            server.socket, server.server_port = listener, listener.getsockname()[1]
            server.server_activate()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_port}/callback"
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def soon(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


@contextmanager
def talking_to(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, auth=("test_key", ""), trust_env=False) as http:
        yield http


def create(http: httpx.Client, callback_url: str, **parameters: Any) -> str:
    response = http.post("/task/categorize", json={**CATEGORIZATION, "callback_url": callback_url, **parameters})
    assert response.status_code == 200, response.text
    return str(response.json()["task_id"])


@pytest.fixture(scope="module")
def quick() -> Iterator[Sandbox]:
    """A sandbox that repeats callbacks at once."""
    with running_sandbox(options=QUICK) as sandbox:
        yield sandbox


@pytest.mark.parametrize("verb", ["complete", "error"])
def test_the_end_of_a_task_is_posted_with_the_header(quick: Sandbox, verb: str) -> None:
    with receiving() as receiver, talking_to(quick) as http:
        task_id = create(http, receiver.url)
        ended = http.post(quick.url.removesuffix("/v1") + f"/sandbox/tasks/{task_id}/{verb}").json()
        soon(lambda: "callback_succeeded" in quick.store.get(task_id))
        task = http.get(f"/task/{task_id}").json()
        ((headers, body),) = receiver.received
    assert headers["scale-callback-auth"] == "callback-key"
    assert headers["content-type"] == "application/json"
    assert body == {"task_id": task_id, "response": ended["response"], "task": ended}
    assert body["task"]["status"] == {"complete": "completed", "error": "error"}[verb]
    assert (task["callback_succeeded"], task["callback_completed"]) == (True, True)


def test_a_callback_is_tried_until_it_is_taken(quick: Sandbox) -> None:
    """Any status of success counts, and nothing else: a redirect is not followed."""
    with receiving(500, 302, 401, 429, 204) as receiver:
        with talking_to(quick) as http:
            task_id = create(http, receiver.url)
        quick.complete(task_id)
        soon(lambda: "callback_succeeded" in quick.store.get(task_id))
        assert quick.store.get(task_id)["callback_succeeded"] is True
        soon(lambda: quick.store.jobs.counts() == {})
    assert len(receiver.received) == 5
    assert len({json.dumps(body) for _, body in receiver.received}) == 1


def test_after_20_retries_a_callback_has_failed(quick: Sandbox) -> None:
    with receiving(*[503] * 30) as receiver:
        with talking_to(quick) as http:
            task_id = create(http, receiver.url)
        quick.complete(task_id)
        soon(lambda: "callback_succeeded" in quick.store.get(task_id))
        assert quick.store.get(task_id)["callback_succeeded"] is False
    assert len(receiver.received) == 21


def test_20_retries_take_24_hours_with_waits_that_grow() -> None:
    waits = [wait_before_try_s(tries) for tries in range(1, 21)]
    assert waits == sorted(waits)
    assert sum(waits) == pytest.approx(24 * 3600, rel=0.01)


@pytest.mark.parametrize("url", ["http://callbacks.invalid/", "someone@example.com"])
def test_other_machines_and_mail_boxes_get_no_callback(
    quick: Sandbox, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "lidarprep.sandbox")
    with talking_to(quick) as http:
        task_id = create(http, url)
        quick.complete(task_id)
        soon(lambda: quick.store.jobs.counts() == {})
        assert "callback_succeeded" not in quick.store.get(task_id)
    assert any("no callback is sent" in message for message in caplog.messages)


def test_an_address_that_only_looks_like_one_fails_and_the_others_go_on(quick: Sandbox) -> None:
    """Libraries complain of such an address each in its own way; none may end the sending of callbacks."""
    with receiving() as receiver, talking_to(quick) as http:
        bad, good = create(http, "http://.localhost:9/"), create(http, receiver.url)
        quick.complete(bad)
        soon(lambda: "callback_succeeded" in quick.store.get(bad))
        quick.complete(good)
        soon(lambda: quick.store.get(good).get("callback_succeeded") is True)
        assert quick.store.get(bad)["callback_succeeded"] is False


def test_a_receiver_that_never_answers_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lidarprep.sandbox._background.GRACE_S", 0.0)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        running_sandbox(options=QUICK) as sandbox,
        receiving() as receiver,
        talking_to(sandbox) as http,
    ):
        stuck = create(http, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        sandbox.complete(stuck)
        connection, _ = silent.accept()
        with connection:
            good = create(http, receiver.url)
            sandbox.complete(good)
            soon(lambda: sandbox.store.get(good).get("callback_succeeded") is True)
            assert sandbox.store.jobs.counts() == {"callback": 1}


def test_the_body_of_an_answer_is_not_waited_for() -> None:
    """A receiver may answer 200 and go on talking for ever."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while connection.recv(65536):
                pass

    thread = threading.Thread(target=answer)
    with listener, running_sandbox(options=QUICK) as sandbox, talking_to(sandbox) as http:
        thread.start()
        task_id = create(http, f"http://127.0.0.1:{listener.getsockname()[1]}/")
        sandbox.complete(task_id)
        soon(lambda: sandbox.store.get(task_id).get("callback_succeeded") is True)
    thread.join()


def test_dependents_that_cannot_be_made_keep_no_task_from_being_completed(caplog: pytest.LogCaptureFixture) -> None:
    """Neither theirs nor, by ending the thread that completes tasks, any other."""
    definition = {"type": "lidarsegmentation", "labels": ["car"], "instruction": "Colour.", "unique_id": "taken"}
    lidar = {
        **{"project": "street", "attachments": ["https://example.com/1.json"], "attachment_type": "json"},
        **{"labels": ["car"], "instruction": "Label.", "callback_url": "someone@example.com"},
    }
    with running_sandbox(options=SandboxOptions(complete_after_s=0.0)) as sandbox, talking_to(sandbox) as http:
        create(http, "someone@example.com", unique_id="taken")
        dependents = {"defs": [{**definition, "unique_id": "free"}, definition]}
        made = http.post("/task/lidarannotation", json={**lidar, "dependents": dependents}).json()["task_id"]
        soon(lambda: sandbox.store.get(made)["status"] == "completed")
        soon(lambda: "its dependent tasks can't be created" in caplog.text)
        other = create(http, "someone@example.com")
        soon(lambda: sandbox.store.get(other)["status"] == "completed")
        assert http.get("/tasks", params={"type": "lidarsegmentation"}).json()["total"] == 0  # none rather than half
        forced = http.post(f"/task/{made}/dependents/force_creation")
        assert forced.status_code == 409
        assert "taken" in forced.json()["error"]


def test_a_task_that_nobody_thought_of_does_not_end_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("categories")

    with running_sandbox(options=SandboxOptions(complete_after_s=0.0)) as sandbox, talking_to(sandbox) as http:
        monkeypatch.setattr("lidarprep.sandbox._lifecycle.fake_result", broken)
        bad = create(http, "someone@example.com")
        soon(lambda: "complete" not in sandbox.store.jobs.counts())
        monkeypatch.undo()
        good = create(http, "someone@example.com")
        soon(lambda: sandbox.store.get(good)["status"] == "completed")
        assert sandbox.store.get(bad)["status"] == "pending"


def test_a_canceled_task_sends_no_callback(quick: Sandbox) -> None:
    with talking_to(quick) as http:
        task_id = create(http, "http://127.0.0.1:9/")
        assert http.post(f"/task/{task_id}/cancel").status_code == 200
        assert quick.store.jobs.counts() == {}


def test_callbacks_that_were_not_taken_outlive_the_sandbox(tmp_path: Path) -> None:
    """The receiver is down when the task ends, and the sandbox is started anew before it is up again."""
    slower = SandboxOptions(callback_pace=0.01)  # a first wait of 0.2 seconds
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens yet
        with running_sandbox(database=tmp_path / "tasks.db", options=slower) as sandbox, talking_to(sandbox) as http:
            task_id = create(http, f"http://127.0.0.1:{reserved.getsockname()[1]}/callback")
            sandbox.complete(task_id, {"category": "blue"})
        with running_sandbox(database=tmp_path / "tasks.db", options=slower) as sandbox:
            assert "callback_succeeded" not in sandbox.store.get(task_id)
            assert sandbox.store.jobs.counts() == {"callback": 1}
        with (
            receiving(listener=reserved) as receiver,
            running_sandbox(database=tmp_path / "tasks.db", options=slower) as sandbox,
        ):
            soon(lambda: sandbox.store.get(task_id).get("callback_succeeded") is True)
    assert [body["response"] for _, body in receiver.received] == [{"category": "blue"}]


def test_tasks_are_completed_by_themselves_and_a_canceled_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    options = SandboxOptions(complete_after_s=3600)
    with running_sandbox(options=options) as sandbox, talking_to(sandbox) as http:
        task_id, canceled = create(http, "http://127.0.0.1:9/"), create(http, "http://127.0.0.1:9/")
        assert http.post(f"/task/{canceled}/cancel").json()["status"] == "canceled"
        assert http.get(f"/task/{task_id}").json()["status"] == "pending"
        monkeypatch.setattr(sandbox.store.jobs, "_now", lambda: datetime.now(UTC) + timedelta(hours=1))
        sandbox.store.jobs.wake()
        soon(lambda: sandbox.store.get(task_id)["status"] == "completed")
        assert http.get(f"/task/{task_id}").json()["response"] == {"category": "red"}
        soon(lambda: "complete" not in sandbox.store.jobs.counts())
        assert sandbox.store.get(canceled)["status"] == "canceled"


@pytest.mark.parametrize(
    "wrong",
    [{"complete_after_s": -1}, {"callback_retries": -1}, {"callback_pace": -1.0}, {"callback_auth_key": "a\nb"}],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SandboxOptions(**wrong)


def test_a_callback_key_is_made_up_and_not_shown_by_accident() -> None:
    one, other = SandboxOptions(), SandboxOptions()
    assert one.callback_auth_key != other.callback_auth_key
    assert one.callback_auth_key not in repr(one)
