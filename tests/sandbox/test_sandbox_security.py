"""What a web page, a task's URLs or a nested body can't have the sandbox do."""

import http.server
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from lidarprep.sandbox import Sandbox, SandboxOptions, SandboxStore, create_app, running_sandbox
from lidarprep.sandbox._attachments import DownloadError, read_attachment

TASK: dict[str, Any] = {"attachment_type": "json", "labels": ["car"], "project": "p"}


def nested(levels: int) -> Any:
    return json.loads("[" * levels + "]" * levels)


@contextmanager
def serving(handler: Any) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, auth=("test_key", ""), trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "10.0.0.1", "[::2]"]
)
def test_a_host_header_that_is_not_loopback_is_refused(client: httpx.Client, sandbox: Sandbox, host: str) -> None:
    """A web page whose name leads to this machine would send its own name (DNS rebinding)."""
    assert client.get("/tasks", headers={"Host": host}).status_code == 403
    control = sandbox.url.removesuffix("/v1") + "/sandbox/status"
    assert client.get(control, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "localhost:8080", "[::1]:8080", "127.0.0.2"])
def test_every_loopback_address_is_a_host(client: httpx.Client, host: str) -> None:
    assert client.get("/tasks", headers={"Host": host}).status_code == 200


def test_a_sandbox_for_other_machines_takes_any_host() -> None:
    import asyncio

    async def ask(store: SandboxStore) -> int:
        transport = httpx.ASGITransport(create_app(store, any_host=True))
        async with httpx.AsyncClient(transport=transport, base_url="http://box.example", auth=("k", "")) as http:
            return (await http.get("/v1/tasks")).status_code

    with SandboxStore() as store:
        assert asyncio.run(ask(store)) == 200


def test_an_answer_quotes_no_byte_of_a_file_that_a_task_names(tmp_path: Path) -> None:
    secret = tmp_path / "shadow"
    secret.write_text("zebra:*:20228:0:99999:7:::\n")
    urls = [secret.as_uri(), str(secret)]
    with (
        running_sandbox(options=SandboxOptions(check_attachments=True)) as sandbox,
        httpx.Client(base_url=sandbox.url, auth=("test_key", ""), trust_env=False) as client,
    ):
        for path, body in (
            ("lidarannotation", {**TASK, "attachments": urls}),
            ("lidarannotation", {**TASK, "attachments": urls, "attachment_type": "protobuf"}),
            ("multistage", {"project": "p", "attachments": [urls[0] + ".sfs"], "scene_format": "sensor_fusion"}),
            ("lidartopdown", {"attachment": urls, "geometries": {"polygon": {"objects_to_annotate": ["a"]}}}),
        ):
            (tmp_path / "shadow.sfs").write_bytes(secret.read_bytes())
            task_id = client.post(f"/task/{path}", json=body).json()["task_id"]
            while (task := client.get(f"/task/{task_id}").json())["status"] == "pending":
                time.sleep(0.01)
            assert task["status"] == "error"
            assert "zebra" not in json.dumps(task)
            assert "20228" not in json.dumps(task)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/a.json",
        "http://192.168.1.1/a.json",
        "http://172.16.0.1/a.json",
        "http://[fd00::1]/a.json",
        "http://[fe80::1]/a.json",
        "http://[::ffff:10.0.0.1]/a.json",
        "http://0.0.0.0/a.json",
        "http://100.64.0.1/a.json",
    ],
)
def test_private_and_link_local_addresses_are_not_fetched(url: str) -> None:
    with SandboxStore() as store, pytest.raises(DownloadError, match="not a public one") as refused:
        read_attachment(url, store.uploads)
    assert refused.value.status == 403


def test_a_redirect_leads_no_further_than_the_url_itself_may() -> None:
    class Redirect(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving(Redirect) as url, SandboxStore() as store, pytest.raises(DownloadError, match="not a public one"):
        read_attachment(f"{url}/a.json", store.uploads)


def test_what_is_fetched_is_limited(tmp_path: Path) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    (tmp_path / "large.json").write_bytes(b" " * 1001)
    with serving(partial(Quiet, directory=tmp_path)) as url, SandboxStore() as store:
        for location in (f"{url}/large.json", str(tmp_path / "large.json")):
            assert len(read_attachment(location, store.uploads, most_bytes=1001)) == 1001
            with pytest.raises(DownloadError, match="more than 1000 bytes") as refused:
                read_attachment(location, store.uploads, most_bytes=1000)
            assert refused.value.status == 413


def test_databases_can_be_read_by_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.db"
    with SandboxStore(path):
        assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    path.chmod(0o644)  # as an earlier version left it
    with SandboxStore(path):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("levels", [129, 400, 950, 5000])
def test_json_that_is_nested_too_deep_is_refused_everywhere(
    client: httpx.Client, sandbox: Sandbox, levels: int
) -> None:
    body = {**TASK, "attachments": ["s3://b/1.json"]}
    task_id = client.post("/task/lidarannotation", json=body).json()["task_id"]
    deep = '{"a":' * levels + "1" + "}" * levels
    control = sandbox.url.removesuffix("/v1") + f"/sandbox/tasks/{task_id}/complete"
    for path, text in (
        ("/task/lidarannotation", json.dumps(body)[:-1] + f', "metadata": {deep}}}'),
        ("/task/imageannotation", f'{{"anything": {deep}}}'),
        (f"/task/{task_id}/setMetadata", deep),
        ("/projects", f'{{"type": "lidarannotation", "name": "p{levels}", "params": {deep}}}'),
        ("/batches", f'{{"project": "p", "name": "b{levels}", "metadata": {deep}}}'),
        (control, f'{{"response": {deep}}}'),
    ):
        answer = client.post(path, content=text)
        assert answer.status_code == 400, (path, answer.text)
    assert client.get(f"/task/{task_id}").status_code == 200
    assert client.get("/tasks").status_code == 200


def test_a_response_as_deep_as_allowed_can_be_listed(client: httpx.Client, sandbox: Sandbox) -> None:
    body = {**TASK, "attachments": ["s3://b/1.json"]}
    task_id = client.post("/task/lidarannotation", json=body).json()["task_id"]
    control = sandbox.url.removesuffix("/v1") + f"/sandbox/tasks/{task_id}/complete"
    assert client.post(control, json={"response": {"deep": nested(125)}}).status_code == 200
    assert client.get(f"/task/{task_id}").json()["response"] == {"deep": nested(125)}
    assert client.get("/tasks").status_code == 200


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 129), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_served_sandbox_without_a_traceback(number: signal.Signals, code: int) -> None:
    words = [sys.executable, "-m", "lidarprep", "sandbox", "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        while "scale-callback-auth" not in said:
            said += process.stderr.readline()
        url = said.partition("http://")[2].split()[0]
        httpx.get(f"http://{url}/tasks", auth=("test_key", ""), trust_env=False)  # it serves by now
        process.send_signal(number)
        rest = process.stderr.read()
        assert "Traceback" not in rest
        assert process.wait(30) in (code, 0)
