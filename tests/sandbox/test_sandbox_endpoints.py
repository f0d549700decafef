"""The endpoints of a task that is there: what they change, and what they refuse."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from lidarprep.sandbox import Sandbox, running_sandbox

MULTISTAGE: dict[str, Any] = {
    "project": "street",
    "attachments": ["s3://bucket/scene.sfs"],
    "scene_format": "sensor_fusion",
}
CUBOIDS: dict[str, Any] = {
    "project": "street",
    "attachments": ["s3://bucket/1.json", "s3://bucket/2.json", "s3://bucket/3.json"],
    "attachment_type": "json",
    "labels": ["car", {"choice": "person", "subchoices": ["adult", "child"]}],
}
SEGMENTATION = {"type": "lidarsegmentation", "labels": ["road"]}


def create(http: httpx.Client, **parameters: Any) -> str:
    response = http.post("/task/multistage", json={**MULTISTAGE, **parameters})
    assert response.status_code == 200, response.text
    return str(response.json()["task_id"])


def refusal(response: httpx.Response, status: int = 400) -> str:
    assert response.status_code == status, response.text
    return str(response.json()["error"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", "/cancel"),
        ("POST", "/setMetadata"),
        ("POST", "/unique_id"),
        ("DELETE", "/unique_id"),
        ("PUT", "/tags"),
        ("POST", "/tags"),
        ("DELETE", "/tags"),
        ("POST", "/dependents/options"),
        ("POST", "/dependents/force_creation"),
    ],
)
def test_every_endpoint_knows_an_unknown_task(http: httpx.Client, method: str, path: str) -> None:
    content: Any = ["a"] if path == "/tags" else {"unique_id": "x", "require_audit": True}
    response = http.request(method, f"/task/{'f' * 24}{path}", json=content)
    assert refusal(response, 404) == f"There is no task '{'f' * 24}'."


def test_metadata_takes_the_place_of_what_was_there(http: httpx.Client) -> None:
    task_id = create(http, metadata={"drive": 7})
    assert http.post(f"/task/{task_id}/setMetadata", json={"a": {"b": [1]}}).json()["metadata"] == {"a": {"b": [1]}}
    by_form = http.post(f"/task/{task_id}/setMetadata", data={"key": "value", "n": "1"})
    assert by_form.json()["metadata"] == {"key": "value", "n": "1"}
    assert http.get(f"/task/{task_id}").json()["metadata"] == {"key": "value", "n": "1"}


def test_metadata_of_more_than_10_kb_is_refused_and_10_kb_are_not(http: httpx.Client) -> None:
    task_id = create(http)
    brackets = len('{"a":""}')
    assert http.post(f"/task/{task_id}/setMetadata", json={"a": "x" * (10 * 1024 - brackets)}).status_code == 200
    too_large = http.post(f"/task/{task_id}/setMetadata", json={"a": "x" * (10 * 1024 - brackets + 1)})
    assert "10240" in refusal(too_large)
    assert "not a JSON object" in refusal(http.post(f"/task/{task_id}/setMetadata", json=["a"]))


def test_a_unique_id_moves_from_task_to_task(http: httpx.Client) -> None:
    one, other = create(http), create(http)
    assert http.post(f"/task/{one}/unique_id", json={"unique_id": "drive-8"}).json()["unique_id"] == "drive-8"
    assert http.post(f"/task/{one}/unique_id", json={"unique_id": "drive-8"}).status_code == 200
    taken = http.post(f"/task/{other}/unique_id", json={"unique_id": "drive-8"})
    assert refusal(taken, 409) == f'The unique_id ("drive-8") is already used for a different task ({one}).'
    assert "unique_id" not in http.delete(f"/task/{one}/unique_id").json()
    assert http.post(f"/task/{other}/unique_id", json={"unique_id": "drive-8"}).status_code == 200
    for body in ({}, {"unique_id": ""}, {"unique_id": None}, {"unique_id": 7}):
        assert "unique_id must be a string" in refusal(http.post(f"/task/{one}/unique_id", json=body))


def test_a_unique_id_that_is_set_later_can_be_freed_by_an_error_too(http: httpx.Client, sandbox: Sandbox) -> None:
    task_id = create(http)
    path = f"/task/{task_id}/unique_id"
    wrong = http.post(path, json={"unique_id": "drive-9", "clear_unique_id_on_error": "yes"})
    assert "must be true or false" in refusal(wrong)
    assert "unique_id" not in http.get(f"/task/{task_id}").json()
    assert http.post(path, json={"unique_id": "drive-9", "clear_unique_id_on_error": True}).status_code == 200
    assert "unique_id" not in sandbox.fail(task_id, "The file is broken.")


def test_tags_are_added_once_replaced_and_deleted(http: httpx.Client) -> None:
    path = f"/task/{create(http, tags=['a'])}/tags"
    assert http.put(path, json=["b", "a", "b"]).json()["tags"] == ["a", "b"]
    assert http.request("DELETE", path, json=["a", "z"]).json()["tags"] == ["b"]
    assert http.delete(path).json()["tags"] == ["b"]
    assert http.post(path, json=["c", "c", "d"]).json()["tags"] == ["c", "d"]
    assert http.post(path, json=[]).json()["tags"] == []


@pytest.mark.parametrize("tags", [[""], [None], ["a", ""], [1], "a", {"tags": ["a"]}, [["a"]]])
def test_tags_that_are_empty_or_no_strings_are_refused(http: httpx.Client, tags: Any) -> None:
    path = f"/task/{create(http, tags=['a'])}/tags"
    for method in ("PUT", "POST", "DELETE"):
        assert "none of them empty or null" in refusal(http.request(method, path, json=tags))
    assert http.get(path.removesuffix("/tags")).json()["tags"] == ["a"]


def test_a_sixth_tag_is_refused(http: httpx.Client) -> None:
    path = f"/task/{create(http, tags=['a', 'b', 'c', 'd'])}/tags"
    assert http.put(path, json=["a", "e"]).status_code == 200
    assert "6 tags; at most 5" in refusal(http.put(path, json=["f"]))
    assert "6 tags; at most 5" in refusal(http.post(path, json=list("abcdef")))


def test_dependent_tasks_follow_a_completed_one_by_themselves(http: httpx.Client, sandbox: Sandbox) -> None:
    task_id = http.post("/task/lidarannotation", json={**CUBOIDS, "dependents": {"defs": [SEGMENTATION]}}).json()[
        "task_id"
    ]
    done = sandbox.complete(task_id)
    (dependent,) = done["dependents"]["task_ids"]
    made = http.get(f"/task/{dependent}").json()
    assert (made["type"], made["project"], made["params"]["lidar_task"]) == ("lidarsegmentation", "street", task_id)
    again = http.post(f"/task/{task_id}/dependents/force_creation")
    assert "already been created" in refusal(again)


def test_dependent_tasks_wait_for_an_audit_that_approves(http: httpx.Client, sandbox: Sandbox) -> None:
    options = {"defs": [SEGMENTATION], "require_audit": True}
    task_id = http.post("/task/lidarannotation", json=CUBOIDS).json()["task_id"]
    assert http.post(f"/task/{task_id}/dependents/options", json={"dependents": options}).status_code == 200
    assert "it must be completed" in refusal(http.post(f"/task/{task_id}/dependents/force_creation"))
    assert "task_ids" not in sandbox.complete(task_id)["dependents"]
    for result, made in (("rejected", 0), ("fixed", 1), ("accepted", 1)):
        control = sandbox.url.removesuffix("/v1") + f"/sandbox/tasks/{task_id}/audit"
        task = http.post(control, json={"audit_result": result}).json()
        assert len(task["dependents"].get("task_ids", [])) == made
    for wanted, listed in (("rejected,commented", False), ("accepted", True)):  # the last audit counts
        found = http.get("/tasks", params={"customer_review_status": wanted}).json()["docs"]
        assert (task_id in [task["task_id"] for task in found]) is listed
    assert len(http.get(f"/task/{task_id}").json()["audits"]) == 3


def test_dependent_options_of_a_completed_task_stay_as_they_are(http: httpx.Client, sandbox: Sandbox) -> None:
    task_id = http.post("/task/lidarannotation", json=CUBOIDS).json()["task_id"]
    sandbox.complete(task_id)
    response = http.post(f"/task/{task_id}/dependents/options", json={"defs": [SEGMENTATION]})
    assert "is completed" in refusal(response)
    assert "no dependent tasks are defined" in refusal(http.post(f"/task/{task_id}/dependents/force_creation"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"defs": "lidarsegmentation"},
        {"defs": [{"labels": ["road"]}]},
        {"defs": [{"type": "multistage"}]},
        {"defs": [{"type": "lidarlinking"}]},
        {"defs": [{**SEGMENTATION, "priority": 15}]},
        {"require_audit": "yes"},
        {"dependents": [SEGMENTATION]},
    ],
)
def test_malformed_dependent_options_are_refused(http: httpx.Client, options: Any) -> None:
    task_id = http.post("/task/lidarannotation", json=CUBOIDS).json()["task_id"]
    assert refusal(http.post(f"/task/{task_id}/dependents/options", json=options))
    assert "dependents" not in http.get(f"/task/{task_id}").json()


def test_a_task_of_a_lidar_task_that_is_not_completed_is_refused(http: httpx.Client, sandbox: Sandbox) -> None:
    task_id = http.post("/task/lidarannotation", json=CUBOIDS).json()["task_id"]
    body = {"labels": ["road"], "lidar_task": task_id}
    assert "which is pending; it must be completed" in refusal(http.post("/task/lidarsegmentation", json=body))
    sandbox.complete(task_id)
    assert http.post("/task/lidarsegmentation", json=body).status_code == 200


@pytest.mark.parametrize("verb", ["complete", "error"])
def test_tasks_are_ended_on_command(http: httpx.Client, sandbox: Sandbox, verb: str) -> None:
    task_id = create(http, unique_id=f"ended-by-{verb}", clear_unique_id_on_error=True)
    control = sandbox.url.removesuffix("/v1") + f"/sandbox/tasks/{task_id}/{verb}"
    body = {"response": {"annotations": []}} if verb == "complete" else {"error": "The lidar was upside down."}
    assert httpx.post(control, json=body, trust_env=False).status_code == 401
    task = http.post(control, json=body).json()
    if verb == "complete":
        assert (task["status"], task["response"]) == ("completed", {"annotations": []})
        assert task["unique_id"] == "ended-by-complete"
        assert "completed_at" in task
    else:
        assert (task["status"], task["response"]) == ("error", {"error": "The lidar was upside down."})
        assert "unique_id" not in task
    assert "doesn't allow" in refusal(http.post(control))
    assert "not pending" in refusal(http.post(f"/task/{task_id}/cancel"))


def test_a_cuboid_task_is_completed_with_a_link_to_cuboids_of_each_frame(http: httpx.Client, sandbox: Sandbox) -> None:
    task_id = http.post("/task/lidarannotation", json=CUBOIDS).json()["task_id"]
    url = http.post(sandbox.url.removesuffix("/v1") + f"/sandbox/tasks/{task_id}/complete").json()["response"][
        "annotations"
    ]["url"]
    assert url.startswith(sandbox.url.removesuffix("/v1"))
    frames = httpx.get(url, trust_env=False).json()  # without a key, as a signed URL is
    assert len(frames) == 3
    labels = [cuboid["label"] for cuboid in frames[0]["cuboids"]]
    assert labels == ["car", "car", "adult", "adult", "child", "child"]  # one stands, one moves
    assert {"uuid", "label", "position", "dimensions", "yaw", "stationary"} <= set(frames[0]["cuboids"][0])
    assert frames[0]["cuboids"][0]["uuid"] == frames[2]["cuboids"][0]["uuid"]
    assert httpx.get(url + "x", trust_env=False).status_code == 404


GENERAL = {"callback_url": "https://example.com/callback", "instruction": "Look.", "attachment_type": "text"}


@pytest.mark.parametrize(
    ("path", "parameters", "response"),
    [
        ("categorize", {"attachment": "car", "categories": ["big", "small"]}, {"category": "big"}),
        (
            "categorize",
            {"attachment": "x", "categories": ["B", "R"], "category_ids": {"1": "R", "2": "B"}, "allow_multiple": True},
            {"category": ["B"], "category_id": ["2"]},
        ),
        (
            "transcription",
            {"attachment": "https://example.com/a.pdf", "attachment_type": "pdf", "fields": {"title": "Title"}},
            {"fields": {"title": "Test response: Title"}},
        ),
        (
            "phonecall",
            {"phone_number": "1", "script": "Hello", "entity_name": "A", "choices": ["yes", "no"]},
            {"outcome": "success", "choice": "yes"},
        ),
        (
            "comparison",
            {"attachments": ["a", "b"], "choices": ["yes", "no"], "fields": {"why": "Why"}},
            {"choice": "yes", "fields": {"why": "Test response: Why"}},
        ),
    ],
)
def test_general_tasks_are_completed_in_the_shapes_of_the_reference(
    http: httpx.Client, sandbox: Sandbox, path: str, parameters: dict[str, Any], response: dict[str, Any]
) -> None:
    made = http.post(f"/task/{path}", json={**GENERAL, **parameters})
    assert made.status_code == 200, made.text
    assert sandbox.complete(made.json()["task_id"])["response"] == response


class Clock:
    time = datetime(2021, 4, 25, 3, 14, 15, 500_000, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture(scope="module")
def listed() -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    """Tasks "0" to "3", made a day apart from one another, and then moved on."""
    with running_sandbox() as sandbox:
        clock = Clock()
        sandbox.store.now = clock
        with httpx.Client(base_url=sandbox.url, auth=("test_key", ""), trust_env=False) as http:
            ids = []
            for number, fields in enumerate(
                (
                    {"tags": ["t1"], "unique_id": "a,1"},
                    {"tags": ["t1", "t2"], "unique_id": "a2", "batch": "b1"},
                    {"tags": ["t,3"], "project": "lane, wet"},
                    {},
                )
            ):
                ids.append(create(http, **fields))
                clock.time += timedelta(days=1)
                assert number < len(ids)
            sandbox.store.cancel(ids[0])
            clock.time += timedelta(days=1)
            sandbox.store.complete(ids[1], {})
            made = http.post("/task/lidarannotation", json=CUBOIDS).json()["task_id"]
            yield http, {task_id: str(number) for number, task_id in enumerate([*ids, made])}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "43210"),
        ("status=pending", "432"),
        ("status=completed,canceled", "10"),
        ("status=completed&status=canceled", "10"),
        ("status=error", ""),
        ("type=lidarannotation", "4"),
        ("type=imageannotation", ""),
        ("project=street", "4310"),
        ("project=lane, wet", "2"),
        ("batch=b1", "1"),
        ("unique_id=a2", "1"),
        ("unique_id=a2&unique_id=nobody", "1"),
        ("unique_id=a2,a,1", "1"),
        ("unique_id=a,1", "0"),
        ("tags=t1", "10"),
        ("tags=t2,t,3", "1"),
        ("tags=t2&tags=t,3", "21"),
        ("tags=t1&project=lane, wet", ""),
        ("customer_review_status=accepted,fixed", ""),
        ("start_time=2021-04-27", "432"),
        ("start_time=2021-04-27T03:14:15.500", "432"),
        ("start_time=2021-04-27T03:14:15.500001Z", "43"),
        ("end_time=2021-04-26", "0"),
        ("end_time=2021-04-26T03:14:15.500999Z", "10"),
        ("end_time=2021-04-25T20:14:15.500-07:00", "10"),
        ("start_time=2021-04-26&end_time=2021-04-28", "21"),
        ("completed_after=2021-04-30", "1"),
        ("completed_before=2021-04-30", ""),
        ("updated_after=2021-04-29", "410"),
        ("updated_before=2021-04-29", "32"),
        ("include_attachment_url=true&limit=100", "43210"),
        ("offset=3", "10"),
        ("limit=2&offset=1", "32"),
        ("offset=100", ""),
        ("sort=created_at", "43210"),
    ],
)
def test_a_list_is_narrowed_by_every_filter(
    listed: tuple[httpx.Client, dict[str, str]], query: str, found: str
) -> None:
    http, number = listed
    response = http.get("/tasks", params=httpx.QueryParams(query.replace("+", "%2B")))
    assert response.status_code == 200, response.text
    answer = response.json()
    assert "".join(number[task["task_id"]] for task in answer["docs"]) == found
    if "offset" not in query:
        assert answer["total"] == len(found)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("start_time=yesterday", "start_time is 'yesterday'; it must be an ISO 8601 date or time"),
        ("end_time=2021-04-25T03:14:15 07:00", "+ has to be written %2B"),
        ("status=done", "status is 'done'; it must be one of pending, completed, canceled, error"),
        ("customer_review_status=good", "must be one of accepted"),
        ("include_attachment_url=perhaps", "must be true or false"),
        ("offset=-1", "offset is '-1'"),
        ("offset=1&next_token=x", "exclude each other"),
        (f"offset={'0' * 20}{'9' * 30}", "offset is '0000"),
        ("limit=ten", "limit is 'ten'"),
        ("limit=0000000001999999", "limit is '0000000001999999'"),
        ("limit=٣", "limit is '٣'"),
    ],
)
def test_a_filter_that_makes_no_sense_is_told_so(http: httpx.Client, query: str, problem: str) -> None:
    response = http.get("/tasks", params=httpx.QueryParams(query))
    if "next_token" in query:
        assert response.status_code == 400
    else:
        assert problem in refusal(response)


def test_an_unknown_filter_is_told_of(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    assert http.get("/tasks?statsu=pending").status_code == 200
    assert any("statsu is ignored" in message for message in caplog.messages)


def test_pages_do_not_shift_when_tasks_are_made_meanwhile(http: httpx.Client) -> None:
    made = [create(http) for _ in range(4)]
    first = http.get("/tasks?limit=2").json()
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", first["next_token"])
    create(http)
    second = http.get("/tasks", params={"limit": 2, "next_token": first["next_token"]}).json()
    assert [task["task_id"] for task in first["docs"] + second["docs"]] == made[::-1]


def test_a_lidar_task_is_of_a_type_that_others_are_made_from(http: httpx.Client, sandbox: Sandbox) -> None:
    general = {"instruction": "?", "attachment_type": "text", "attachment": "tomato", "categories": ["red"]}
    category = str(http.post("/task/categorize", json=general).json()["task_id"])
    cuboids = str(http.post("/task/lidarannotation", json=CUBOIDS).json()["task_id"])
    for task_id in (category, cuboids):
        sandbox.complete(task_id)
    linking = {"annotation_type": "annotation", "instruction": "x", "lidar_task": category}
    assert "a categorization task" in refusal(http.post("/task/lidarlinking", json=linking))
    linking = {**linking, "lidar_task": cuboids, "skip_labels": ["adult"]}
    assert http.post("/task/lidarlinking", json=linking).status_code == 200
    assert "'bus'" in refusal(http.post("/task/lidarlinking", json={**linking, "skip_labels": ["bus"]}))


def test_only_lidar_tasks_have_dependents(http: httpx.Client) -> None:
    options = {"defs": [SEGMENTATION]}
    body = {**MULTISTAGE, "dependents": options}
    assert "multistage tasks have none" in refusal(http.post("/task/multistage", json=body))
    task_id = create(http)
    assert "multistage tasks have none" in refusal(http.post(f"/task/{task_id}/dependents/options", json=options))
