"""Faults on request: what a client meets, and what has been done meanwhile."""

import asyncio
import base64
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.api import ScaleClient
from lidarprep.sandbox import FAULT_KINDS, Faults, Sandbox, SandboxStore, create_app, running_sandbox
from lidarprep.sandbox._faults import FaultSource

MULTISTAGE: dict[str, Any] = {
    "project": "street",
    "attachments": ["s3://bucket/scene.sfs"],
    "scene_format": "sensor_fusion",
}


@pytest.fixture
def calm(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox, without faults before the test and after it."""
    sandbox.faults.clear()
    yield sandbox
    sandbox.faults.clear()


def post_with(http: httpx.Client, fault: str) -> httpx.Response:
    return http.post("/task/multistage", json=MULTISTAGE, headers={"X-Sandbox-Fault": fault})


@pytest.mark.parametrize(
    ("fault", "status", "made"),
    [("rate-limit=7", 429, 0), ("error-before", 500, 0), ("error-after", 502, 1), ("latency=0", 200, 1)],
)
def test_a_fault_that_is_answered(http: httpx.Client, calm: Sandbox, fault: str, status: int, made: int) -> None:
    before = calm.store.page(limit=1).total
    response = post_with(http, fault)
    assert response.status_code == status
    assert response.headers.get("retry-after") == ("7" if status == 429 else None)
    if status != 200:
        assert set(response.json()) == {"status_code", "error"}
    assert calm.store.page(limit=1).total == before + made


@pytest.mark.parametrize(("fault", "made"), [("cut-before", 0), ("cut-after", 1), ("truncate", 1)])
def test_a_fault_that_cuts_the_connection(http: httpx.Client, calm: Sandbox, fault: str, made: int) -> None:
    before = calm.store.page(limit=1).total
    # A reset that comes while the client is still sending, it may only notice as an end where an answer should be.
    with pytest.raises((httpx.RemoteProtocolError, httpx.NetworkError)):
        post_with(http, fault)
    assert calm.store.page(limit=1).total == before + made
    assert http.get("/tasks").status_code == 200


def test_a_truncated_answer_has_a_beginning(http: httpx.Client, calm: Sandbox) -> None:
    with http.stream("GET", "/tasks", headers={"X-Sandbox-Fault": "truncate"}) as response:
        assert response.status_code == 200
        parts: list[bytes] = []
        with pytest.raises(httpx.RemoteProtocolError):
            parts.extend(response.iter_raw())
    assert 0 < len(b"".join(parts)) < int(response.headers["content-length"])


def test_a_cut_resets_the_connection(calm: Sandbox) -> None:
    """No orderly end, which a server that answers nothing could come to by itself."""
    port = int(calm.url.split(":")[2].removesuffix("/v1"))
    with socket.create_connection(("127.0.0.1", port)) as connection:
        key = base64.b64encode(b"test_key:").decode()
        lines = (
            "GET /v1/tasks HTTP/1.1",
            "Host: localhost",
            f"Authorization: Basic {key}",
            "X-Sandbox-Fault: cut-after",
        )
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_latency_delays_the_answer(http: httpx.Client, calm: Sandbox) -> None:
    begun = time.monotonic()
    assert post_with(http, "latency=0.2").status_code == 200
    assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize("fault", ["", "flood", "latency=soon", "rate-limit=-1", "rate-limit=inf", "latency=inf"])
def test_a_header_that_names_no_fault_is_refused(http: httpx.Client, calm: Sandbox, fault: str) -> None:
    assert post_with(http, fault).status_code == 400


def test_a_schedule_comes_in_order_and_ends(http: httpx.Client, calm: Sandbox) -> None:
    control = calm.url.removesuffix("/v1") + "/sandbox/faults"
    schedule = ["rate-limit", None, "error-before"]
    assert http.put(control, json={"schedule": schedule, "retry_after_s": 3}).json()["schedule"] == schedule
    statuses = [http.get("/tasks").status_code for _ in range(5)]
    assert statuses == [429, 200, 500, 200, 200]
    shown = http.get(control).json()
    assert (shown["schedule"], shown["made"]["rate-limit"], shown["made"]["error-before"]) == ([], 1, 1)
    http.put(control, json={"rate": 1.0, "kinds": ["error-before"]})
    assert http.get("/tasks").status_code == 500
    assert http.delete(control).json()["rate"] == 0
    assert http.get("/tasks").status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        {"rate": 2},
        {"rate": True},
        {"rate": "0.3"},
        {"kinds": []},
        {"kinds": ["flood"]},
        {"kinds": "latency"},
        {"schedule": [1]},
        {"seed": "x"},
        {"latency_s": -1},
        {"retry_after_s": 0.5},
        {"flood": 1},
        [],
    ],
)
def test_faults_that_make_no_sense_are_refused(http: httpx.Client, calm: Sandbox, content: Any) -> None:
    assert http.put(calm.url.removesuffix("/v1") + "/sandbox/faults", json=content).status_code == 400
    assert http.get("/tasks").status_code == 200


@given(st.integers(), st.floats(0, 1))
def test_the_same_seed_gives_the_same_faults(seed: int, rate: float) -> None:
    one, other = FaultSource(Faults(rate=rate, seed=seed)), FaultSource(Faults(rate=rate, seed=seed))
    assert [one.next() for _ in range(50)] == [other.next() for _ in range(50)]


def test_faults_come_as_often_as_they_are_asked_for_and_are_of_every_kind() -> None:
    source = FaultSource(Faults(rate=0.3, seed=1))
    found = [source.next() for _ in range(5000)]
    assert sum(fault is not None for fault in found) == pytest.approx(1500, rel=0.1)
    assert {fault[0] for fault in found if fault} == set(FAULT_KINDS)


def test_on_a_server_that_cannot_cut_connections_a_cut_is_an_error() -> None:
    async def ask() -> None:
        transport = httpx.ASGITransport(create_app(SandboxStore(), faults=Faults(schedule=["cut-before"])))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost/v1", auth=("k", "")) as http:
            await http.get("/tasks")

    with pytest.raises(ConnectionAbortedError):
        asyncio.run(ask())


def test_submissions_under_faults_of_every_kind_end_in_one_task_each() -> None:
    """The client's retries against the sandbox's faults: what each call returns is what there is."""
    faults = Faults(rate=0.3, seed=7, latency_s=0.01, retry_after_s=0)
    with running_sandbox(faults=faults) as sandbox:
        client = ScaleClient("test_key", sandbox.url, retries=30, sleep=lambda _: None)
        with client, ThreadPoolExecutor(4) as pool:
            known = list(pool.map(lambda _: client.create_task("multistage", MULTISTAGE).id, range(60)))
        there = [task["task_id"] for task in sandbox.store.page(limit=1000).tasks]
        made = sandbox.faults.describe()["made"]
    assert sorted(known) == sorted(there)
    assert len(set(known)) == 60
    assert sum(made.values()) > 10
