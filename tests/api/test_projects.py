"""Projects, batches, files and audits, by both clients, against the sandbox; and what a lost response leaves behind."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lidarprep.api import AsyncScaleClient, ScaleClient
from lidarprep.errors import ApiError, ConflictError, NotFoundError, ParameterError
from lidarprep.sandbox import Sandbox, running_sandbox

LIDAR = {"attachment_type": "json", "labels": ["car"], "project": "street"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture(params=["sync", "async"])
def ask(sandbox: Sandbox, request: pytest.FixtureRequest) -> Any:
    """Call an operation of either client."""

    def ask(method: str, *args: Any, **keywords: Any) -> Any:
        if request.param == "sync":
            with ScaleClient("test_key", sandbox.url) as client:
                return getattr(client, method)(*args, **keywords)

        async def call() -> Any:
            async with AsyncScaleClient("test_key", sandbox.url) as client:
                return await getattr(client, method)(*args, **keywords)

        return asyncio.run(call())

    ask.kind = request.param  # type: ignore[attr-defined]
    return ask


def test_a_project_has_versions_of_its_parameters(ask: Any) -> None:
    name = f"of {ask.kind}/1?"
    made = ask("create_project", name, "lidarannotation", {"instruction": "Label."})
    assert (made.name, made.type, made.params) == (name, "lidarannotation", {"instruction": "Label."})
    changed = ask("set_project_params", name, {"labels": ["car"]}, patch=True)
    assert changed.params == {"instruction": "Label.", "labels": ["car"]}
    assert changed.version == (made.version or 0) + 1
    assert ask("set_project_params", name, {"labels": ["bus"]}).params == {"labels": ["bus"]}
    assert ask("get_project", name).params == {"labels": ["bus"]}
    assert name in [project.name for project in ask("list_projects")]
    with pytest.raises(ApiError, match="already"):
        ask("create_project", name, "lidarannotation")
    with pytest.raises(NotFoundError):
        ask("get_project", "nowhere")


def test_a_batch_is_created_filled_finalized_and_counted(ask: Any) -> None:
    project, name = f"batches {ask.kind}", f"monday {ask.kind}"
    ask("create_project", project, "lidarannotation")
    batch = ask("create_batch", project, name, callback="https://example.com/c", metadata={"drive": 7})
    assert (batch.name, batch.project, batch.status, batch.metadata) == (name, project, "staging", {"drive": 7})
    assert batch.created_at is not None
    ask("create_lidar_annotation", **LIDAR | {"project": project}, attachments=["https://example.com/1"], batch=name)
    assert ask("batch_status", name).tasks == {"pending": 1}
    assert ask("finalize_batch", name).status == "in_progress"
    assert ask("get_batch", name).status == "in_progress"
    for number in range(3):
        ask("create_batch", project, f"{name} {number}")
    page = ask("list_batches", project=project, limit=3)
    assert ([one.name for one in page.batches], page.total) == ([f"{name} {n}" for n in (2, 1, 0)], 4)
    rest = ask("list_batches", project=project, limit=3, offset=page.next_offset)
    assert ([one.name for one in rest.batches], rest.next_offset) == ([name], None)
    assert [one.name for one in ask("list_batches", project=project, status="in_progress").batches] == [name]


def test_a_file_is_uploaded_and_taken_as_an_attachment(ask: Any, tmp_path: Path) -> None:
    (tmp_path / "1.json").write_bytes(b"\r\n--\x00\xff{}")
    stored = ask("upload_file", tmp_path / "1.json", project="street", metadata={"drive": 7})
    assert stored.attachment_url.startswith("scaledata://")
    assert (stored.raw["size"], stored.raw["metadata"]) == (8, {"drive": 7})
    task = ask("create_lidar_annotation", **LIDAR, attachments=[stored.attachment_url])
    assert task.params["attachments"] == [stored.attachment_url]
    reference = f"1.json of {ask.kind}"
    ask("upload_file", b"{}", name='a "b".json', reference_id=reference)
    with pytest.raises(ConflictError, match=reference):
        ask("upload_file", b"{}", name="1.json", reference_id=reference)
    for wrong in (tmp_path / "none.json", b"bytes without a name"):
        with pytest.raises(ParameterError):
            ask("upload_file", wrong)


def test_a_file_of_more_than_80_mb_is_refused_before_it_is_read(ask: Any, tmp_path: Path) -> None:
    with (tmp_path / "scene.sfs").open("wb") as file:
        file.truncate(80_000_001)
    with pytest.raises(ParameterError, match="80,000,001 bytes"):
        ask("upload_file", tmp_path / "scene.sfs")


def test_a_result_is_audited(ask: Any, sandbox: Sandbox) -> None:
    task = ask("create_lidar_annotation", **LIDAR, attachments=["https://example.com/1"])
    with pytest.raises(ApiError):
        ask("audit_task", task.id, True)  # it is not completed
    httpx.post(
        f"{sandbox.url.removesuffix('/v1')}/sandbox/tasks/{task.id}/complete", auth=("test_key", "")
    ).raise_for_status()
    (audit,) = ask("audit_task", task.id, False, "The boxes are loose.").audits
    assert (audit["audit_result"], audit["comments"]) == ("rejected", "The boxes are loose.")
    with pytest.raises(ParameterError, match="accepted is 'yes'"):
        ask("audit_task", task.id, "yes")


def test_a_limited_list_has_no_parameters(ask: Any) -> None:
    ask("create_lidar_annotation", **LIDAR, attachments=["https://example.com/1"])
    page = ask("list_tasks", limited_response=True, limit=1)
    assert page.tasks[0].params == {}
    assert page.tasks[0].id


def test_a_type_without_a_model_is_created(ask: Any) -> None:
    task = ask("create_task", "imageannotation", {"attachment": "https://example.com/1.jpg", "project": "street"})
    assert (task.type, task.params["attachment"]) == ("imageannotation", "https://example.com/1.jpg")


def test_what_a_lost_response_created_is_found(api: Any, call: Any) -> None:
    batch = {"name": "monday", "project": "street", "status": "staging"}
    api.answers = [
        httpx.ReadError("cut"),
        httpx.Response(409, json={"error": "There is a batch 'monday' already."}),
        httpx.Response(200, json=batch),
    ]
    assert call("create_batch", "street", "monday").name == "monday"
    assert [request.method for request in api.requests] == ["POST", "POST", "GET"]
    api.answers = [httpx.Response(409, json={"error": "There is a batch 'monday' already."})]
    with pytest.raises(ConflictError, match="already"):
        call("create_batch", "street", "monday")


def test_an_upload_is_a_multipart_body_that_others_can_read(api: Any, call: Any) -> None:
    api.answers = [httpx.Response(200, json={"id": "1", "attachment_url": "scaledata://p/1"})]
    call("upload_file", b"\x00\r\n\xff", name="1.json", project="street", metadata={"a": 1})
    (request,) = api.requests
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + request.content, policy=email.policy.HTTP)
    parts = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}  # type: ignore[attr-defined]
    assert parts["file"].get_filename() == "1.json"
    assert parts["file"].get_payload(decode=True) == b"\x00\r\n\xff"
    assert parts["project_name"].get_payload() == "street"
    assert parts["metadata"].get_payload() == '{"a": 1}'
