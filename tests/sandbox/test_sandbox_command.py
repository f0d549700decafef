"""The blocking server, and the sandbox where its libraries are missing."""

import importlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from lidarprep.cli import main
from lidarprep.sandbox import Sandbox, SandboxOptions, SandboxStore, running_sandbox

SERVE = """
from lidarprep.sandbox import serve
serve(0, ":memory:", on_start=lambda url: print(url, flush=True))
print("ended", flush=True)
"""


def test_serve_says_its_address_and_ends_quietly_when_interrupted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            response = httpx.get(f"{url}/tasks", auth=("test_key", ""), trust_env=False, timeout=30)
            assert response.json()["total"] == 0
            server.send_signal(signal.SIGINT)
            rest, errors = server.communicate(timeout=30)
        finally:
            server.kill()
    assert (rest, server.returncode) == ("ended\n", 0)
    assert "Traceback" not in errors


def test_what_was_acknowledged_outlives_a_killed_server(tmp_path: Path) -> None:
    script = SERVE.replace(":memory:", str(tmp_path / "tasks.db"))
    known = []
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            body = {"project": "p", "attachments": ["s3://b/a.sfs"], "scene_format": "sensor_fusion"}
            with httpx.Client(base_url=url, auth=("test_key", ""), trust_env=False, timeout=30) as http:
                known += [http.post("/task/multistage", json=body).json()["task_id"] for _ in range(20)]
        finally:
            server.kill()
    with SandboxStore(tmp_path / "tasks.db") as store:
        assert {task["task_id"] for task in store.page(limit=100).tasks} == set(known)


def test_the_package_itself_loads_neither_server_nor_framework() -> None:
    script = (
        "import sys, lidarprep.sandbox as s; s.SandboxStore, s.Lifecycle, s.Faults;"
        "print([m for m in ('starlette', 'uvicorn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_name_that_it_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="start"):
        importlib.import_module("lidarprep.sandbox").start  # noqa: B018


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    monkeypatch.setenv("SCALE_API_KEY", "test_key")

    def run(*words: str | Path) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture
def task(tmp_path: Path) -> Iterator[tuple[Sandbox, str, Path]]:
    """A pending task in a sandbox that runs on a file."""
    path = tmp_path / "tasks.db"
    with running_sandbox(database=path) as sandbox:
        body = {"project": "p", "attachments": ["s3://b/a.sfs"], "scene_format": "sensor_fusion"}
        answer = httpx.post(f"{sandbox.url}/task/multistage", json=body, auth=("test_key", ""), trust_env=False)
        yield sandbox, answer.json()["task_id"], path


@pytest.mark.parametrize("way", ["url", "environment", "file"])
def test_a_task_is_completed_from_the_command_line(
    run: Callable[..., Ended],
    task: tuple[Sandbox, str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    sandbox, task_id, path = task
    monkeypatch.setenv("SCALE_API_URL", sandbox.url)
    response = tmp_path / "response.json"
    response.write_text('{"annotations": []}')
    place = {"url": ("--api-url", sandbox.url), "environment": (), "file": ("--db", path)}[way]
    done = run("sandbox", "complete", task_id, "--response", response, *place, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == sandbox.store.get(task_id)
    assert sandbox.store.get(task_id)["response"] == {"annotations": []}
    status = run("sandbox", "status", *place, "--json")
    assert json.loads(status.out)["tasks"] == {"completed": 1}
    again = run("sandbox", "complete", task_id, *place)
    assert again.code == 1
    assert "is completed, which doesn't allow that" in again.err


def test_a_task_ends_in_an_error_from_the_command_line(
    run: Callable[..., Ended], task: tuple[Sandbox, str, Path]
) -> None:
    sandbox, task_id, _ = task
    done = run("sandbox", "error", task_id, "--message", "The lidar was upside down.", "--api-url", sandbox.url)
    assert (done.code, done.out) == (0, "")
    assert f"{task_id}  multistage  error" in done.err
    assert sandbox.store.get(task_id)["response"] == {"error": "The lidar was upside down."}


def test_what_cannot_be_done_is_one_clear_error(
    run: Callable[..., Ended], task: tuple[Sandbox, str, Path], tmp_path: Path
) -> None:
    sandbox, task_id, path = task
    broken, list_, nan = (tmp_path / f"{name}.json" for name in ("broken", "list", "nan"))
    broken.write_text("{")
    nan.write_text('{"score": NaN}')
    list_.write_text("[]")
    cases: list[tuple[tuple[str | Path, ...], str]] = [
        (("complete", "f" * 24, "--api-url", sandbox.url), f"There is no task '{'f' * 24}'"),
        (("complete", "f" * 24, "--db", path), f"tasks.db: There is no task '{'f' * 24}'"),
        (("complete", task_id, "--db", tmp_path / "none.db"), "there is no sandbox database"),
        (("complete", task_id, "--db", path, "--response", broken), "is not JSON"),
        (("complete", task_id, "--api-url", sandbox.url, "--response", nan), "is not JSON"),
        (("complete", "../status", "--api-url", sandbox.url), "refused"),
        (("--port", "9", "complete", task_id), "--port comes before 'complete', where it has no effect"),
        (("--db", path, "status"), "--database comes before 'status'"),
        (("complete", task_id, "--db", path, "--response", list_), "does not hold a JSON object"),
        (("complete", task_id, "--db", path, "--response", tmp_path / "none.json"), "cannot be read"),
        (("status", "--api-url", "http://127.0.0.1:9/v1"), "no sandbox answers at http://127.0.0.1:9/v1"),
        (("status", "--api-url", "https://api.scale.com/v1"), "is not on this machine"),
    ]
    for words, message in cases:
        done = run("sandbox", *words)
        assert done.code in (1, 2)
        assert message in done.err
        assert "Traceback" not in done.err
        assert "test_key" not in done.err
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(("keys", "sent"), [("old new", "old"), ("one", "one"), ("", None), (None, None)])
def test_of_the_keys_that_callbacks_serve_takes_the_first_is_sent(
    run: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, keys: str | None, sent: str | None
) -> None:
    served: list[SandboxOptions] = []

    def serve(*_: object, options: SandboxOptions, on_start: Callable[[str], None], **__: object) -> None:
        served.append(options)
        on_start("http://127.0.0.1:1/v1")

    monkeypatch.setattr("lidarprep.sandbox.serve", serve, raising=False)
    monkeypatch.delenv("SCALE_CALLBACK_AUTH", raising=False)
    if keys is not None:
        monkeypatch.setenv("SCALE_CALLBACK_AUTH", keys)
    done = run("sandbox")
    assert done.code == 0
    if sent is not None:
        assert served[0].callback_auth_key == sent
        assert sent not in done.err
    else:
        assert f"its callbacks carry scale-callback-auth: {served[0].callback_auth_key}" in done.err


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, '{"hello": "\\u001b[31m"}'), "is not a sandbox"),
        ((200, "[]"), "is not a sandbox"),
        ((404, '{"error": "no \\u001b[31m"}'), "refused: no  [31m"),
        ((200, "hello"), "no sandbox answers"),
    ],
)
def test_another_server_at_the_address_is_told_from_a_sandbox(
    run: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, answer: tuple[int, str], message: str
) -> None:
    monkeypatch.setattr(httpx, "request", lambda *_, **__: httpx.Response(answer[0], text=answer[1]))
    for words in (("complete", "f" * 24), ("status",)):
        done = run("sandbox", *words, "--api-url", "http://127.0.0.1:8080/v1")
        assert done.code == 1
        assert message in done.err
        assert "\x1b" not in done.err


@pytest.mark.parametrize("words", [("sandbox",), ("sandbox", "serve")])
def test_the_command_serves_with_and_without_its_verb(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "lidarprep", *words, "--port", "0", "--complete-after", "0", "--fault-seed", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            url = server.stderr.readline().split()[5]
            assert "scale-callback-auth: " in server.stderr.readline()
            assert httpx.get(f"{url}/tasks", auth=("k", ""), trust_env=False, timeout=30).json()["total"] == 0
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=30)
        finally:
            server.kill()
    assert server.returncode == 0
