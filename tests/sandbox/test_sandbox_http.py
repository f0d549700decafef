"""The sandbox answers as the reference says, right requests and wrong ones."""

import asyncio
import base64
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from lidarprep.api import ScaleClient
from lidarprep.errors import (
    BadRequestError,
    ConflictError,
    NotFoundError,
    ParameterError,
    TransportError,
    UnauthorizedError,
)
from lidarprep.sandbox import Sandbox, SandboxStore, create_app, running_sandbox
from lidarprep.scene.region import RegionOfInterest3D

MULTISTAGE: dict[str, Any] = {
    "project": "street",
    "attachments": ["s3://bucket/scene.sfs"],
    "scene_format": "sensor_fusion",
}


def error_of(response: httpx.Response) -> str:
    """The message of an error answer, which has the reference's shape."""
    body = response.json()
    assert set(body) == {"status_code", "error"}
    assert body["status_code"] == response.status_code
    return str(body["error"])


@pytest.fixture
def client(sandbox: Sandbox):
    with ScaleClient("test_key", sandbox.url, sleep=lambda _: None) as client:
        yield client


def test_a_task_that_the_client_creates_can_be_retrieved(client: ScaleClient) -> None:
    task = client.create_lidar_annotation(
        attachments=["out/0001.json", "file:///data/0002.json"],
        attachment_type="json",
        labels=["car", {"choice": "person", "subchoices": ["adult", "child"]}],
        project="street",
        callback_url="https://example.com/callback",
        metadata={"drive": 7},
        tags=["a"],
        priority=30,
        extra_params={"brand_new": 1},
    )
    assert (task.type, task.status, task.is_test, task.project) == ("lidarannotation", "pending", True, "street")
    assert (task.metadata, task.tags, task.raw["priority"]) == ({"drive": 7}, ("a",), 30)
    assert task.params == {
        "attachments": ["out/0001.json", "file:///data/0002.json"],
        "attachment_type": "json",
        "labels": ["car", {"choice": "person", "subchoices": ["adult", "child"]}],
        "brand_new": 1,
    }
    assert client.get_task(task.id) == task


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with ScaleClient("test_key", sandbox.url, retries=0) as client:
        assert client.create_multistage(**MULTISTAGE).status == "pending"


def test_a_region_and_a_device_height_arrive_as_the_reference_has_them(client: ScaleClient) -> None:
    region = RegionOfInterest3D(position=(1.0, 2.0, 3.0), length=80.0, width=60.0, rotation=0.3)
    task = client.create_lidar_topdown(
        project="street",
        attachments=["s3://bucket/1.json"],
        region_of_interest_3d=region,
        device_height=1.8,
        geometries={"polygon": {"objects_to_annotate": ["lane"]}},
    )
    assert task.params["region_of_interest_3d"] == region.to_api()
    assert task.params["deviceHeight"] == 1.8


def test_a_live_key_makes_live_tasks_and_a_test_key_test_tasks(sandbox: Sandbox) -> None:
    for key, is_test in (("live_key", False), ("test_key", True), ("other_key", True)):
        with ScaleClient(key, sandbox.url) as client:
            assert client.create_multistage(**MULTISTAGE).is_test is is_test


def test_canceling_is_idempotent_but_not_for_completed_tasks(client: ScaleClient, sandbox: Sandbox) -> None:
    task = client.create_multistage(**MULTISTAGE)
    assert client.cancel_task(task.id).status == "canceled"
    assert client.cancel_task(task.id).status == "canceled"
    done = client.create_multistage(**MULTISTAGE)
    sandbox.store.complete(done.id, {"annotations": []})
    with pytest.raises(BadRequestError, match="is not pending"):
        client.cancel_task(done.id)
    completed = client.get_task(done.id)
    assert (completed.status, completed.response) == ("completed", {"annotations": []})
    assert completed.completed_at is not None


def test_a_taken_unique_id_is_a_conflict_that_names_the_task(client: ScaleClient) -> None:
    first = client.create_multistage(**MULTISTAGE, unique_id="drive-7")
    other = {**MULTISTAGE, "project": "lane"}
    with pytest.raises(ConflictError, match=first.id):
        client.create_multistage(**other, unique_id="drive-7")
    client.cancel_task(first.id)
    with pytest.raises(ConflictError):
        client.create_multistage(**other, unique_id="drive-7")
    assert client.cancel_task(first.id, clear_unique_id=True).unique_id is None
    assert client.create_multistage(**MULTISTAGE, unique_id="drive-7").id != first.id


def test_an_unknown_task_is_not_found(client: ScaleClient) -> None:
    for call in (client.get_task, client.cancel_task):
        with pytest.raises(NotFoundError, match="There is no task 'ffffffffffffffffffffffff'"):
            call("f" * 24)


def test_only_the_keys_that_were_given_are_taken() -> None:
    with running_sandbox(api_keys=["test_right"]) as sandbox:
        with ScaleClient("test_right", sandbox.url) as client:
            assert client.create_multistage(**MULTISTAGE).is_test
        with ScaleClient("test_wrong", sandbox.url) as client, pytest.raises(UnauthorizedError, match="not valid"):
            client.create_multistage(**MULTISTAGE)


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Basic", "Basic !", "Basic " + base64.b64encode(b":password").decode(), "Bearer test_key", "Basic /w=="],
)
def test_a_request_without_a_key_is_unauthorized(sandbox: Sandbox, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in ("/tasks", f"/task/{'f' * 24}", "/nowhere"):
        response = httpx.get(f"{sandbox.url}{path}", headers=headers, trust_env=False)
        assert response.status_code == 401
        assert "No API key" in error_of(response)
        assert response.headers["www-authenticate"].startswith("Basic")


def test_a_host_header_opens_no_door(sandbox: Sandbox) -> None:
    """Files of responses need no key; a host that looks like their path does not make one of another path."""
    for host in ("x/sandbox/files/", "x/sandbox/files/?"):
        response = httpx.get(f"{sandbox.url}/tasks", headers={"Host": host}, trust_env=False)
        assert response.status_code in (400, 401, 403)


def test_a_request_of_the_same_idempotency_key_is_answered_the_same_and_makes_nothing(
    http: httpx.Client, sandbox: Sandbox
) -> None:
    before = sandbox.store.page(limit=1).total
    answers = [
        http.post("/task/multistage", json=MULTISTAGE, headers={"Idempotency-Key": "k1"}).json() for _ in range(3)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert sandbox.store.page(limit=1).total == before + 1


def test_an_error_is_replayed_too(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "k2"}
    taken = {**MULTISTAGE, "unique_id": "replayed"}
    first = http.post("/task/multistage", json=taken).json()["task_id"]
    refused = http.post("/task/multistage", json=taken, headers=headers)
    http.post(f"/task/{first}/cancel?clear_unique_id=true")
    again = http.post("/task/multistage", json=taken, headers=headers)
    assert (refused.status_code, refused.json()) == (again.status_code, again.json()) == (409, refused.json())


def test_an_idempotency_key_with_other_parameters_type_or_caller_is_a_conflict(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "k3"}
    assert http.post("/task/multistage", json=MULTISTAGE, headers=headers).status_code == 200
    others = [
        http.post("/task/multistage", json={**MULTISTAGE, "project": "other"}, headers=headers),
        http.post("/task/lidarannotation", json=MULTISTAGE, headers=headers),
        http.post("/task/multistage", json=MULTISTAGE, headers=headers, auth=("live_key", "")),
    ]
    for response in others:
        assert response.status_code == 409
        assert '("k3") was already used with other parameters' in error_of(response)
    reordered = dict(reversed(MULTISTAGE.items()))
    assert http.post("/task/multistage", json=reordered, headers=headers).status_code == 200


def test_the_same_request_from_many_threads_makes_one_task(http: httpx.Client, sandbox: Sandbox) -> None:
    before = sandbox.store.page(limit=1).total
    answers: list[httpx.Response] = []

    def post() -> None:
        answers.append(http.post("/task/multistage", json=MULTISTAGE, headers={"Idempotency-Key": "k4"}))

    threads = [threading.Thread(target=post) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16
    assert {answer.status_code for answer in answers} <= {200, 429}
    assert len({answer.json()["task_id"] for answer in answers if answer.status_code == 200}) == 1
    assert sandbox.store.page(limit=1).total == before + 1


class WaitingStore(SandboxStore):
    """Takes its time to make a task."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def create(self, fields: Mapping[str, Any], *, origin: str | None = None) -> dict[str, Any]:
        self.begun.set()
        assert self.go_on.wait(30)
        return super().create(fields, origin=origin)


def test_a_request_while_its_twin_is_carried_out_is_one_too_many() -> None:
    """429, and safe to retry; a request that only shares the key is a conflict."""
    headers = {"Idempotency-Key": "twins"}

    async def talk(store: WaitingStore) -> None:
        transport = httpx.ASGITransport(create_app(store))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost/v1", auth=("k", "")) as http:
            first = asyncio.create_task(http.post("/task/multistage", json=MULTISTAGE, headers=headers))
            await asyncio.to_thread(store.begun.wait, 30)
            twin = await http.post("/task/multistage", json=MULTISTAGE, headers=headers)
            stranger = await http.post("/task/multistage", json={**MULTISTAGE, "priority": 10}, headers=headers)
            store.go_on.set()
            made = await first
            again = await http.post("/task/multistage", json=MULTISTAGE, headers=headers)
        assert (twin.status_code, stranger.status_code, made.status_code) == (429, 409, 200)
        assert again.json() == made.json()

    with WaitingStore() as store:
        asyncio.run(talk(store))


def test_wrong_parameters_are_refused_in_the_words_of_the_client(http: httpx.Client) -> None:
    body = {**MULTISTAGE, "priority": 15, "attachments": []}
    with pytest.raises(ParameterError) as refused, ScaleClient("test_key", str(http.base_url)) as client:
        client.create_task("multistage", body)
    response = http.post("/task/multistage", json=body)
    assert response.status_code == 400
    assert error_of(response) == refused.value.message


def test_an_unknown_parameter_is_taken_and_told(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    assert http.post("/task/multistage", json={**MULTISTAGE, "brand_new": 1}).json()["params"]["brand_new"] == 1
    assert "multistage: unknown parameters are taken as they are: ['brand_new']" in caplog.messages


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"metadata": NaN}', "not JSON"),
        (b'{"metadata": {"a": 1e999}}', "not JSON"),
        (b'{"unique_id": "\\ud800"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
    ],
)
def test_a_body_that_is_no_json_object_is_a_bad_request(http: httpx.Client, content: bytes, message: str) -> None:
    response = http.post("/task/multistage", content=content)
    assert response.status_code == 400
    assert message in error_of(response)


def test_a_body_that_is_too_large_is_refused(http: httpx.Client) -> None:
    response = http.post("/task/multistage", content=b" " * (8 * 1024 * 1024 + 1))
    assert response.status_code == 413
    assert "more than 8388608 bytes" in error_of(response)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/task/imageannotation2", 404),
        ("POST", "/nowhere", 404),
        ("GET", "/task", 404),
        ("GET", "/task/multistage", 404),
        ("DELETE", "/tasks", 405),
        ("PUT", "/task/multistage", 405),
        ("GET", f"/task/{'f' * 24}/cancel", 405),
        ("GET", "/tasks?limit=0", 400),
        ("GET", "/tasks?limit=101", 400),
        ("GET", "/tasks?limit=ten", 400),
        ("GET", "/tasks?next_token=made-up", 400),
        ("GET", "/tasks?next_token=bnVsbA==", 400),
        ("POST", f"/task/{'f' * 24}/cancel?clear_unique_id=maybe", 400),
    ],
)
def test_a_request_that_makes_no_sense_is_told_so(http: httpx.Client, method: str, path: str, status: int) -> None:
    response = http.request(method, path)
    assert response.status_code == status
    assert error_of(response)


def test_pages_hold_every_task_once_newest_first(http: httpx.Client) -> None:
    made = [http.post("/task/multistage", json=MULTISTAGE).json()["task_id"] for _ in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = http.get("/tasks", params=query).json()
        seen += [task["task_id"] for task in page["docs"]]
        if not page["has_more"]:
            assert "next_token" not in page
            break
        query["next_token"] = page["next_token"]
    assert seen[:5] == made[::-1]
    assert len(seen) == len(set(seen)) == page["total"]


def test_tasks_in_a_file_outlive_the_sandbox(tmp_path: Path) -> None:
    with running_sandbox(database=tmp_path / "tasks.db") as sandbox, ScaleClient("test_key", sandbox.url) as client:
        task = client.create_multistage(**MULTISTAGE)
    with running_sandbox(database=tmp_path / "tasks.db") as sandbox, ScaleClient("test_key", sandbox.url) as client:
        assert client.get_task(task.id) == task
    assert b"test_key" not in (tmp_path / "tasks.db").read_bytes()


def test_it_listens_on_the_loopback_address_and_not_on_a_taken_port(sandbox: Sandbox) -> None:
    assert sandbox.url.startswith("http://127.0.0.1:")
    port = int(sandbox.url.split(":")[2].removesuffix("/v1"))
    with pytest.raises(TransportError, match=f"can't listen at 127.0.0.1, port {port}"), running_sandbox(port):
        pytest.fail("two sandboxes on one port")


def test_a_failure_of_its_own_is_answered_in_the_same_shape() -> None:
    store = SandboxStore()
    store.close()
    transport = httpx.ASGITransport(create_app(store), raise_app_exceptions=False)

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost/v1", auth=("k", "")) as http:
            return await http.get("/tasks")

    response = asyncio.run(get())
    assert response.status_code == 500
    assert json.loads(response.content) == {"status_code": 500, "error": "The server failed; its log says why."}
