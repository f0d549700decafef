"""Projects, batches, files and audits: the endpoints that Scale's own client calls, in the shapes that it reads."""

import io
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from lidarprep.sandbox import Sandbox, SandboxOptions, SandboxStore, running_sandbox
from lidarprep.sandbox._http import RequestError
from lidarprep.sandbox._multipart import UploadedFile, read_multipart

CUBOIDS: dict[str, Any] = {
    "attachments": ["s3://bucket/1.json"],
    "attachment_type": "json",
    "labels": ["car"],
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, auth=("test_key", ""), trust_env=False) as http:
        yield http


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def refused(answer: httpx.Response, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"])


def test_a_project_keeps_every_version_of_its_parameters(http: httpx.Client) -> None:
    first = {"instruction": "Label cars.", "labels": ["car"]}
    project = made(http.post("/projects", json={"type": "lidarannotation", "name": "night drive", "params": first}))
    assert (project["type"], project["name"], len(project["param_history"])) == ("lidarannotation", "night drive", 1)
    made(http.post("/projects/night%20drive/setParams", json={"labels": ["bus"], "patch": True}))
    made(http.post("/projects/night%20drive/setParams", json={"labels": ["tram"]}))
    history = made(http.get("/projects/night%20drive"))["param_history"]
    assert [version["version"] for version in history] == [0, 1, 2]
    assert (history[1]["instruction"], history[1]["labels"]) == ("Label cars.", ["bus"])
    assert "instruction" not in history[2]
    assert [one["name"] for one in http.get("/projects").json()] == ["night drive"]
    assert "already" in refused(http.post("/projects", json={"type": "lidarannotation", "name": "night drive"}), 409)
    refused(http.get("/projects/day"), 404)
    refused(http.post("/projects", json={"type": "lidaranotation", "name": "x"}), 404)


def test_a_task_takes_what_it_lacks_from_its_project(http: httpx.Client) -> None:
    params = {"labels": ["tram"], "instruction": "As always."}
    made(http.post("/projects", json={"type": "lidarannotation", "name": "p", "params": params}))
    body = {name: value for name, value in CUBOIDS.items() if name != "labels"}
    task = made(http.post("/task/lidarannotation", json={**body, "project": "p", "instruction": "Now."}))
    assert (task["params"]["labels"], task["instruction"]) == (["tram"], "Now.")


def test_tasks_of_a_batch_wait_until_it_is_finalized(sandbox: Sandbox, http: httpx.Client) -> None:
    batch = made(http.post("/batches", json={"project": "p", "name": "b/1", "callback": "", "metadata": {"a": 1}}))
    assert (batch["status"], batch["metadata"], batch["project"]) == ("staging", {"a": 1}, "p")
    tasks = [made(http.post("/task/lidarannotation", json={**CUBOIDS, "batch": "b/1"})) for _ in range(3)]
    assert {task["project"] for task in tasks} == {"p"}
    control = sandbox.url.removesuffix("/v1") + "/sandbox/tasks/{}/complete"
    assert "not finalized" in refused(http.post(control.format(tasks[0]["task_id"])))
    assert made(http.get("/batches/b%2F1/status")) == {"status": "staging", "pending": 3}
    assert made(http.post("/batches/b%2F1/finalize"))["status"] == "in_progress"
    assert made(http.post("/batches/b%2F1/finalize"))["status"] == "in_progress"
    assert "finalized" in refused(http.post("/task/lidarannotation", json={**CUBOIDS, "batch": "b/1"}))
    for task in tasks[:2]:
        made(http.post(control.format(task["task_id"])))
    assert made(http.get("/batches/b%2F1/status")) == {"status": "in_progress", "completed": 2, "pending": 1}
    made(http.post(f"/task/{tasks[2]['task_id']}/cancel"))
    assert made(http.get("/batches/b%2F1"))["status"] == "completed"
    assert made(http.post("/batches/b%2F1/setMetadata", json={"b": 2}))["metadata"] == {"b": 2}


def test_a_task_that_completes_by_itself_waits_for_its_batch(tmp_path: Path) -> None:
    with SandboxStore(tmp_path / "tasks.db") as store:
        store.projects.create_batch("b", "p", {})
        task = store.create({"type": "multistage", "batch": "b", "params": {}})
        store.jobs.add("complete", task["task_id"])
        assert store.jobs.upcoming() == []
        store.projects.finalize("b")
        assert [job.task_id for _, job in store.jobs.upcoming()] == [task["task_id"]]


def test_a_list_of_batches_has_pages_and_filters(http: httpx.Client) -> None:
    for number in range(5):
        made(http.post("/batches", json={"project": f"p{number % 2}", "name": f"b{number}"}))
    made(http.post("/batches/b4/finalize"))
    page = made(http.get("/batches", params={"limit": 2, "offset": 1}))
    assert [batch["name"] for batch in page["docs"]] == ["b3", "b2"]
    assert (page["totalDocs"], page["limit"], page["offset"], page["has_more"]) == (5, 2, 1, True)
    listed = made(http.get("/batches", params={"project": "p0", "status": "staging"}))["docs"]
    assert [batch["name"] for batch in listed] == ["b2", "b0"]
    assert made(http.get("/batches", params={"start_time": "2999-01-01"}))["docs"] == []
    refused(http.get("/batches", params={"status": "done"}))


def test_unknown_projects_and_batches_are_refused_on_request() -> None:
    with (
        running_sandbox(options=SandboxOptions(strict_projects=True)) as sandbox,
        httpx.Client(base_url=sandbox.url, auth=("test_key", ""), trust_env=False) as http,
    ):
        assert "no project 'p'" in refused(http.post("/task/lidarannotation", json={**CUBOIDS, "project": "p"}))
        assert "no batch 'b'" in refused(http.post("/task/lidarannotation", json={**CUBOIDS, "batch": "b"}))
        assert "no project 'p'" in refused(http.post("/batches", json={"project": "p", "name": "b"}))
        made(http.post("/projects", json={"type": "lidarsegmentation", "name": "p"}))
        assert "lidarsegmentation" in refused(http.post("/task/lidarannotation", json={**CUBOIDS, "project": "p"}))
        made(http.post("/task/lidarsegmentation", json={**CUBOIDS, "project": "p"}))


def test_an_audit_by_the_api_accepts_or_rejects(sandbox: Sandbox, http: httpx.Client) -> None:
    task = made(http.post("/task/lidarannotation", json=CUBOIDS))
    path = f"/task/{task['task_id']}/audit"
    refused(http.post(path, json={"accepted": True}))
    sandbox.complete(task["task_id"], {})
    assert len(made(http.get("/tasks", params={"customer_review_status": "pending"}))["docs"]) == 1
    audits = made(http.post(path, json={"accepted": False, "comments": "A bus is missing."}))["audits"]
    assert (audits[0]["audit_result"], audits[0]["comments"]) == ("rejected", "A bus is missing.")
    assert made(http.post(path, json={"accepted": True, "comments": None}))["audits"][1]["audit_result"] == "accepted"
    assert made(http.get("/tasks", params={"customer_review_status": "pending"}))["docs"] == []
    refused(http.post(path, json={"accepted": "yes"}))


def test_a_limited_list_has_few_fields_and_any_list_its_offset(http: httpx.Client) -> None:
    made(http.post("/task/lidarannotation", json={**CUBOIDS, "metadata": {"a": 1}, "project": "p"}))
    page = made(http.get("/tasks", params={"limited_response": "true"}))
    assert set(page["docs"][0]) == {"task_id", "status", "metadata", "project", "otherVersion"}
    assert page["offset"] == 0
    assert made(http.get("/tasks", params={"offset": 1}))["offset"] == 1


def test_other_task_types_are_taken_with_the_common_rules(sandbox: Sandbox, http: httpx.Client) -> None:
    body = {"attachment": "https://example.com/a.png", "geometries": {"box": {}}, "project": "p", "unique_id": "u"}
    task = made(http.post("/task/imageannotation", json=body))
    assert (task["type"], task["project"], task["unique_id"]) == ("imageannotation", "p", "u")
    assert task["params"] == {"attachment": body["attachment"], "geometries": {"box": {}}}
    refused(http.post("/task/imageannotation", json={**body, "priority": 11}))
    assert sandbox.complete(task["task_id"])["status"] == "completed"
    refused(http.post("/task/imageanotation", json=body), 404)


def test_scales_client_sends_no_body_for_what_is_empty(http: httpx.Client) -> None:
    task = made(http.post("/task/lidarannotation", json={**CUBOIDS, "tags": ["a", "a"], "metadata": {"a": 1}}))
    assert task["tags"] == ["a"]
    assert made(http.post(f"/task/{task['task_id']}/setMetadata"))["metadata"] == {}
    assert made(http.post(f"/task/{task['task_id']}/tags"))["tags"] == []


def test_an_uploaded_file_is_kept_by_its_reference_id(sandbox: Sandbox, http: httpx.Client) -> None:
    content = bytes(range(256)) * 40 + b"\r\n--x\r\n\r\n"
    fields = {"project_name": "p", "reference_id": "r-1", "metadata": '{"drive": 7}', "display_name": "first"}
    files = {"file": ("0001.json", io.BytesIO(content))}
    kept = made(http.post("/files/upload", data=fields, files=files))
    assert kept["attachment_url"].startswith("scaledata://")
    assert (kept["size"], kept["mime_type"], kept["metadata"]) == (len(content), "application/json", {"drive": 7})
    assert (kept["display_name"], kept["project_names"], kept["reference_id"]) == ("first", ["p"], "r-1")
    assert sandbox.store.uploads.path(kept["attachment_url"]).read_bytes() == content
    again = http.post("/files/upload", data=fields, files={"file": ("0001.json", b"other")})
    assert "r-1" in refused(again, 409)
    assert made(http.post("/files/upload", files={"file": ("a.bin", b"")}))["display_name"] == "a.bin"
    refused(http.post("/files/upload", data=fields))
    refused(http.post("/files/upload", json={}))


def test_a_file_of_another_address_is_imported(sandbox: Sandbox, http: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"pixels")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        kept = made(http.post("/files/import", json={"file_url": f"{address}/a.png", "reference_id": "r"}))
        assert "404" in refused(http.post("/files/import", json={"file_url": f"{address}/lost.png"}))
        server.shutdown()
        thread.join()
    assert (kept["mime_type"], kept["size"], kept["display_name"]) == ("image/png", 6, "a.png")
    assert sandbox.store.uploads.path(kept["attachment_url"]).read_bytes() == b"pixels"
    for url in (str(tmp_path / "a.png"), (tmp_path / "a.png").as_uri(), "http://10.0.0.1/a.png", "http://[::1"):
        refused(http.post("/files/import", json={"file_url": url}))


def test_files_lie_beside_the_database_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    with SandboxStore(tmp_path / "tasks.db") as store:
        url = store.uploads.add(b"frame", "1.json", {})["attachment_url"]
    with SandboxStore(tmp_path / "tasks.db") as store:
        path = store.uploads.path(url)
        assert path.read_bytes() == b"frame"
        assert path.parent == tmp_path / "tasks.db.files"
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_files_of_a_store_in_memory_go_with_it() -> None:
    with SandboxStore() as store:
        path = store.uploads.path(store.uploads.add(b"frame", "1.json", {})["attachment_url"])
        assert path.exists()
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\nno name\r\n--x--", "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nno end', "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--x--', "multipart/form-data; boundary=x"),
        (b"--x--", "multipart/form-data"),
        (b"--x--", "application/json"),
    ],
)
def test_a_body_that_is_no_multipart_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(RequestError):
        read_multipart(body, content_type)


def test_a_part_keeps_its_bytes_whatever_they_are() -> None:
    content = b"\r\n--\n\r--xy\0\xff\r"
    head = b'Content-Disposition: form-data; name="file"; filename="a\xc3\xa4.bin"\r\nContent-Type: x/y'
    body = b"--x\r\n" + head + b"\r\n\r\n" + content.replace(b"--xy", b"--y") + b"\r\n--x--\r\n"
    file = read_multipart(body, 'multipart/form-data; boundary="x"')["file"]
    assert isinstance(file, UploadedFile)
    assert file.content == b"\r\n--\n\r--y\0\xff\r"
