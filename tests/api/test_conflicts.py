"""What is the same task, and what is another, where a unique_id is taken."""

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.api._conflicts import first_difference
from lidarprep.api._responses import task_named_in
from lidarprep.api._task import Task
from lidarprep.errors import ConflictError, ParameterError, ServerError, TaskEndedError

TASK_ID = "5a99e20de50d4979ce6d291e"
SENT = {
    "project": "street",
    "instruction": "Do it.",
    "tags": ["a", "b"],
    "metadata": {"run": 7},
    "unique_id": "x",
    "clear_unique_id_on_error": True,
    "attachments": ["https://b.s3.amazonaws.com/1.json?versionId=3&X-Amz-Signature=abc&X-Amz-Date=1"],
    "labels": ["car", {"choice": "Pedestrian", "subchoices": ["Adult", "Child"]}],
    "polygons_enabled": True,
    "meters_per_unit": 1,
}
TOP = ("project", "instruction", "tags", "metadata", "unique_id")


def shown(**changes: Any) -> Task:
    fields = {**SENT, **changes}
    params = {name: value for name, value in fields.items() if name not in TOP}
    answer = {"task_id": TASK_ID, "type": "lidarannotation", "status": "pending", "params": params}
    task = Task.from_api({**answer, **{name: fields[name] for name in TOP}})
    assert task is not None
    return task


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tags": ["b", "c", "a"]},
        {"metadata": {"run": 7, "added": "since"}},
        {"attachments": ["https://b.s3.amazonaws.com/1.json?X-Amz-Date=2&versionId=3&X-Amz-Signature=def"]},
        {"meters_per_unit": 1.0},
        {"labels": ["car", {"choice": "Pedestrian", "subchoices": ["Adult", "Child"], "filled_in": None}]},
        {"labeling_sample_rate": 1},
        {"clear_unique_id_on_error": False},
        {"instruction": None},
    ],
)
def test_what_the_api_fills_in_or_signs_anew_is_the_same_task(changes) -> None:
    assert first_difference("lidarannotation", SENT, shown(**changes)) is None


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"project": "motorway"}, "project is 'motorway' there, 'street' here"),
        ({"tags": ["a"]}, "tags lack 'b' there"),
        ({"metadata": {}}, "metadata.run is not there"),
        ({"metadata": {"run": 8}}, "metadata.run is 8 there, 7 here"),
        ({"attachments": []}, "attachments has 0 items there, 1 here"),
        (
            {"attachments": ["https://b.s3.amazonaws.com/2.json?X-Amz-Signature=secret"]},
            "attachments[0] is 'https://b.s3.amazonaws.com/2.json' there, 'https://b.s3.amazonaws.com/1.json' here",
        ),
        ({"attachments": ["https://b.s3.amazonaws.com/1.json?versionId=4"]}, "attachments[0] is"),
        ({"labels": ["car", {"choice": "Pedestrian"}]}, "labels[1].subchoices is not there"),
        ({"labels": ["car", "Pedestrian"]}, "labels[1] is 'Pedestrian' there"),
        ({"polygons_enabled": 1}, "polygons_enabled is 1 there, True here"),
        ({"meters_per_unit": 10}, "meters_per_unit is 10 there, 1 here"),
    ],
)
def test_other_content_is_another_task(changes, difference) -> None:
    found = first_difference("lidarannotation", SENT, shown(**changes))
    assert found is not None
    assert found.startswith(difference)
    assert "secret" not in found


def test_another_type_is_another_task() -> None:
    assert first_difference("lidartopdown", SENT, shown()) == "type is 'lidarannotation' there, 'lidartopdown' here"


def test_what_the_answer_does_not_show_counts_as_the_same() -> None:
    # The reference's own answers have empty params.
    task = Task.from_api({"task_id": TASK_ID, "type": "lidarannotation", "params": {}})
    assert task is not None
    assert first_difference("lidarannotation", SENT, task) is None


def test_the_lidar_task_of_a_linking_task_is_shown_as_task_id() -> None:
    task = Task.from_api({"task_id": TASK_ID, "type": "lidarlinking", "params": {"task_id": "other"}})
    assert task is not None
    assert "'other' there, 'mine' here" in str(first_difference("lidarlinking", {"lidar_task": "mine"}, task))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON))
def test_a_task_never_differs_from_what_it_was_made_of(sent: dict[str, Any]) -> None:
    task = Task.from_api({"task_id": TASK_ID, "params": sent})
    assert task is not None
    assert first_difference("any", {name: value for name, value in sent.items() if name != "task_id"}, task) is None


@pytest.mark.parametrize(
    ("message", "task_id"),
    [
        (
            'The unique_id ("s3://bucket/file.png") is already used for a different task (602c399c6d092c00115aa3c9).',
            "602c399c6d092c00115aa3c9",
        ),
        ('The unique_id ("a (b) c") is already used for a different task (602c).', "602c"),
        ("Conflict.", None),
        ("Conflict ().", None),
    ],
)
def test_the_task_is_read_from_the_message(message, task_id) -> None:
    assert task_named_in(message) == task_id


MULTISTAGE = {"project": "p", "attachments": ["s3://b/1.sfs"], "scene_format": "sensor_fusion", "unique_id": "a,b"}
FOUND = {"task_id": "abc", "type": "multistage", "status": "pending", "unique_id": "a,b", "params": {}}
TAKEN = httpx.Response(409, json={"error": 'The unique_id ("a,b") is already used for a different task (abc).'})


def paths(api) -> list[str]:
    return [request.url.path for request in api.requests]


def test_the_named_task_is_returned_if_it_is_the_same(api, call) -> None:
    api.answers = [TAKEN, httpx.Response(200, json=FOUND)]
    assert call("create_multistage", **MULTISTAGE).id == "abc"
    assert paths(api) == ["/v1/task/multistage", "/v1/task/abc"]


@pytest.mark.parametrize(
    "named",
    [httpx.Response(404), httpx.Response(400), httpx.Response(200, json={**FOUND, "unique_id": "other"})],
    ids=str,
)
def test_a_named_task_that_is_not_it_is_looked_up_in_the_list(api, call, named) -> None:
    other = {**FOUND, "task_id": "no", "unique_id": "a"}  # the API splits the query's unique_id at its comma
    api.answers = [TAKEN, named, httpx.Response(200, json={"docs": [other, FOUND]})]
    assert call("create_multistage", **MULTISTAGE).id == "abc"
    assert paths(api)[2] == "/v1/tasks"


def test_a_conflict_whose_task_is_nowhere_to_be_found_is_told_as_it_came(api, call) -> None:
    api.answers = [httpx.Response(409, json={"error": "Conflict."}), httpx.Response(200, json={"docs": []})]
    with pytest.raises(ConflictError, match="Conflict"):
        call("create_multistage", **MULTISTAGE)


def test_a_conflict_without_a_unique_id_of_ours_is_told_at_once(api, call) -> None:
    api.answers = [httpx.Response(409, json={"error": "The Idempotency-Key was used with other parameters."})]
    with pytest.raises(ConflictError, match="Idempotency-Key"):
        call("create_multistage", **{**MULTISTAGE, "unique_id": None})
    assert len(api.requests) == 1


def test_a_lookup_that_fails_is_told_as_that(api, call) -> None:
    api.answers = [TAKEN, httpx.Response(500)]
    with pytest.raises(ServerError, match="GET /v1/task/abc"):
        call("create_multistage", **MULTISTAGE, settings={"retries": 1})


def test_finding_the_task_is_logged(api, call, caplog) -> None:
    caplog.set_level("INFO", logger="lidarprep")
    api.answers = [TAKEN, httpx.Response(200, json=FOUND)]
    assert call("create_multistage", **MULTISTAGE).status == "pending"
    (record,) = [record for record in caplog.records if record.name.startswith("lidarprep")]
    assert (record.levelname, record.message) == ("INFO", "the unique_id 'a,b' has its task already: abc, pending")


@pytest.mark.parametrize("status", ["canceled", "error"])
def test_a_found_task_that_has_ended_is_an_error_unless_it_is_made_again(api, call, status) -> None:
    ended = {**FOUND, "status": status, "response": {"error": "No such file."}}
    api.answers = [TAKEN, httpx.Response(200, json=ended)]
    with pytest.raises(TaskEndedError, match=r"abc, and that is (canceled|in error)") as raised:
        call("create_multistage", **MULTISTAGE)
    assert (raised.value.task_id, raised.value.task_status) == ("abc", status)
    assert ("No such file" in raised.value.message) == (status == "error")
    del api.requests[:]
    freed = httpx.Response(200, json={**ended, "unique_id": None})
    made = httpx.Response(200, json={**FOUND, "task_id": "new"})
    api.answers = [TAKEN, httpx.Response(200, json=ended), freed, made]
    assert call("create_task", "multistage", MULTISTAGE, resubmit=True).id == "new"
    assert [(request.method, request.url.path) for request in api.requests[2:]] == [
        ("DELETE", "/v1/task/abc/unique_id"),
        ("POST", "/v1/task/multistage"),
    ]
    keys = {request.headers.get("idempotency-key") for request in api.requests if request.method == "POST"}
    assert len(keys) == 2  # the API keeps its refusal for the first


def test_a_key_of_ones_own_is_sent_and_must_fit_a_header(api, call) -> None:
    parameters = {**MULTISTAGE, "unique_id": None}
    call("create_task", "multistage", parameters, idempotency_key="run-7/frame-1")
    assert api.requests[0].headers["idempotency-key"] == "run-7/frame-1"
    for wrong in ("ä", "a\nb", "", " ", " a", "a "):
        with pytest.raises(ParameterError, match="idempotency_key must be"):
            call("create_task", "multistage", parameters, idempotency_key=wrong)
