"""The request examples of the API's reference succeed against the sandbox with only host and key changed."""

import re
import shutil
import subprocess
from typing import Any

import httpx
import pytest

from lidarprep.api import TASK_TYPES
from lidarprep.sandbox import Sandbox
from tests.sandbox.reference import CREATIONS, DEPENDENTS, GENERAL_FIELDS, REQUESTS, Creation

HEADERS = {"accept": "application/json", "content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}

MULTISTAGE = CREATIONS["multistage"].payload
CATEGORIZATION = {
    "callback_url": "http://www.example.com/callback",
    "instruction": "Would you say this item is big or small?",
    "attachment_type": "text",
    "attachment": "car",
    "categories": ["big", "small"],
}


def create(http: httpx.Client, example: Creation) -> dict[str, Any]:
    if isinstance(example.payload, dict):
        response = http.post(example.path, json=example.payload, headers=HEADERS)
    else:
        # As curl's -d: joined by &, and sent as they are.
        response = http.post(example.path, content="&".join(example.payload), headers=FORM)
    assert response.status_code == 200, response.text
    task: dict[str, Any] = response.json()
    return task


def test_there_is_an_example_of_every_task_type() -> None:
    assert set(CREATIONS) == set(TASK_TYPES) - {"sensorfusion"}  # published elsewhere, without an example


@pytest.mark.parametrize("name", CREATIONS)
def test_a_create_example_makes_a_pending_task(http: httpx.Client, name: str) -> None:
    example = CREATIONS[name]
    task = create(http, example)
    assert set(task) >= example.fields
    assert (task["type"], task["status"]) == (example.task_type, "pending")
    assert example.params.items() <= task["params"].items()
    assert re.fullmatch(r"[0-9a-f]{24}", task["task_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", task["created_at"])
    assert http.get(f"/task/{task['task_id']}", headers={"accept": "application/json"}).json() == task


@pytest.mark.parametrize("name", [name for name, example in CREATIONS.items() if isinstance(example.payload, list)])
def test_curl_itself_makes_the_same_task(http: httpx.Client, sandbox: Sandbox, name: str) -> None:
    if (curl := shutil.which("curl")) is None:
        pytest.skip("needs curl")
    example = CREATIONS[name]
    words = [curl, "--silent", "--noproxy", "*", f"{sandbox.url}{example.path}", "-u", "test_key:"]
    done = subprocess.run(
        [*words, *(word for field in example.payload for word in ("-d", field))], capture_output=True, check=True
    )
    by_curl, by_httpx = httpx.Response(200, content=done.stdout).json(), create(http, example)
    for name_of_its_own in ("task_id", "created_at", "updated_at"):
        del by_curl[name_of_its_own], by_httpx[name_of_its_own]
    assert by_curl == by_httpx


def test_what_the_general_examples_answer_beside_their_params(http: httpx.Client) -> None:
    for name, example in CREATIONS.items():
        if example.fields >= GENERAL_FIELDS and name != "lidarlinking":
            task = create(http, example)
            assert (task["urgency"], task["metadata"]) == ("day", {})
    assert create(http, CREATIONS["phonecall"])["script"].startswith("Hello {{name}}!")
    silent = create(http, CREATIONS["audiotranscription"])
    assert (silent["instruction"], silent["is_test"]) == ("Please transcribe the attached audio file.", True)


def test_a_categorization_is_made_under_its_own_name_too(http: httpx.Client) -> None:
    assert http.post("/task/categorization", json=CATEGORIZATION).json()["type"] == "categorization"


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_example_succeeds(http: httpx.Client, name: str) -> None:
    example = REQUESTS[name]
    create_path = "/task/lidarannotation" if name == "dependent options" else "/task/categorize"
    payload = CREATIONS["lidarannotation"].payload if name == "dependent options" else CATEGORIZATION
    task_id = http.post(create_path, json=payload).json()["task_id"]
    headers = HEADERS if example.content_type else {"accept": "application/json"}
    body = {} if example.payload is None else {"json": example.payload}
    response = http.request(example.method, example.path.format(task_id=task_id), headers=headers, **body)
    assert response.status_code == 200, response.text
    assert set(response.json()) >= example.fields
    if "task_id" in example.path:
        assert response.json()["task_id"] == task_id


def test_the_force_creation_example_makes_the_dependent_task(http: httpx.Client, sandbox: Sandbox) -> None:
    task_id = create(http, CREATIONS["lidarannotation"])["task_id"]
    options = {**DEPENDENTS, "require_audit": True}
    assert http.post(f"/task/{task_id}/dependents/options", json=options, headers=HEADERS).status_code == 200
    sandbox.complete(task_id)
    response = http.post(f"/task/{task_id}/dependents/force_creation", headers=HEADERS)
    assert response.status_code == 200, response.text
    (dependent,) = response.json()["dependents"]["task_ids"]
    made = http.get(f"/task/{dependent}").json()
    assert (made["type"], made["status"], made["params"]["lidar_task"]) == ("lidarsegmentation", "pending", task_id)
    assert made["params"]["labels"] == ["label1", "label2"]
    assert made["callback_url"] == "http://www.example.com/callback"


def test_a_completed_task_has_the_fields_of_the_task_object(http: httpx.Client, sandbox: Sandbox) -> None:
    payload = {**CATEGORIZATION, "tags": ["experiment_1", "owner:david"], "unique_id": "product_experiment_dg3d9x83"}
    task_id = http.post("/task/categorize", json=payload).json()["task_id"]
    sandbox.complete(task_id)
    sandbox.lifecycle.audit(task_id, "accepted")
    task = http.get(f"/task/{task_id}").json()
    assert task["response"] == {"category": "big"}
    assert set(task) >= GENERAL_FIELDS | {"updated_at", "completed_at", "response", "audits", "tags", "unique_id"}
    assert set(task["audits"][0]) == {"audited_by", "audited_at", "audit_time_secs", "audit_result", "audit_source"}


def test_the_conflict_example_is_answered_as_printed(http: httpx.Client) -> None:
    payload = {**MULTISTAGE, "unique_id": "s3://bucket/file.png"}
    task_id = http.post("/task/multistage", json=payload).json()["task_id"]
    taken = http.post("/task/multistage", json=payload)
    assert taken.status_code == 409
    assert taken.json() == {
        "status_code": 409,
        "error": f'The unique_id ("s3://bucket/file.png") is already used for a different task ({task_id}).',
    }
    canceled = http.post(f"/task/{task_id}/cancel?clear_unique_id=true")
    assert canceled.status_code == 200
    assert canceled.json()["status"] == "canceled"
    assert "unique_id" not in canceled.json()
    assert http.post("/task/multistage", json=payload).status_code == 200


def test_the_idempotency_key_example_makes_one_task(http: httpx.Client) -> None:
    content = "&".join(CREATIONS["comparison"].payload)
    headers = {**FORM, "Idempotency-Key": "UNIQUE_IDENTIFIER"}
    first, second = (http.post("/task/comparison", content=content, headers=headers) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()


def test_a_list_has_the_fields_of_either_text(http: httpx.Client) -> None:
    for _ in range(2):
        http.post("/task/multistage", json=MULTISTAGE)
    answer = http.get("/tasks?limit=1").json()
    assert set(answer) == {"docs", "total", "limit", "offset", "has_more", "next_token"}
    assert (len(answer["docs"]), answer["limit"], answer["has_more"]) == (1, 1, True)
    older = http.get("/tasks?limit=1&offset=1").json()
    assert older["offset"] == 1
    assert set(older) >= {"docs", "total", "limit", "offset", "has_more"}
    assert older["docs"] == http.get("/tasks", params={"limit": 1, "next_token": answer["next_token"]}).json()["docs"]
