"""Requests: verb, path and body of each operation, and what is refused before anything is sent."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from lidarprep import errors
from lidarprep.api import checked_api_url
from lidarprep.api._requests import create_request, strictness_of, task_request
from lidarprep.errors import ApiError, BadRequestError, ConflictError, ParameterError, ServerError

MULTISTAGE = {"project": "street", "attachments": ["https://example.com/1.sfs"], "scene_format": "sensor_fusion"}
TASK_ID = "5a99e20de50d4979ce6d291e"
API = "https://api.example.com/v1"

TASK = {"task_id": "5a99e20de50d4979ce6d291e", "type": "lidarannotation", "status": "pending"}
DEFS = [{"type": "lidarsegmentation", "labels": ["a"], "instruction": "x", "callback_url": "http://example.com/c"}]


@pytest.mark.parametrize(
    ("method", "arguments", "verb", "path", "body"),
    [
        ("get_task", (), "GET", "", None),
        ("cancel_task", (), "POST", "/cancel", None),
        ("cancel_task", (True,), "POST", "/cancel?clear_unique_id=true", None),
        ("set_metadata", ({"k": {"nested": None}},), "POST", "/setMetadata", {"k": {"nested": None}}),
        ("set_metadata", ({},), "POST", "/setMetadata", {}),
        ("set_unique_id", ("s3://b/1",), "POST", "/unique_id", {"unique_id": "s3://b/1"}),
        ("clear_unique_id", (), "DELETE", "/unique_id", None),
        ("add_tags", (["a", "b,c"],), "PUT", "/tags", ["a", "b,c"]),
        ("add_tags", ("alone",), "PUT", "/tags", ["alone"]),
        ("set_tags", (("a",),), "POST", "/tags", ["a"]),
        ("set_tags", ([],), "POST", "/tags", []),
        ("delete_tags", (["a"],), "DELETE", "/tags", ["a"]),
        ("set_dependent_options", (DEFS,), "POST", "/dependents/options", {"defs": DEFS}),
        ("set_dependent_options", (None, True), "POST", "/dependents/options", {"require_audit": True}),
        ("set_dependent_options", ([], False), "POST", "/dependents/options", {"defs": [], "require_audit": False}),
        ("force_dependents", (), "POST", "/dependents/force_creation", None),
    ],
)
def test_each_method_speaks_to_its_endpoint(api, call, method, arguments, verb, path, body) -> None:
    task = call(method, "abc", *arguments)
    assert task.id == TASK["task_id"]
    (request,) = api.requests
    assert (request.method, str(request.url)) == (verb, f"https://api.example.com/v1/task/abc{path}")
    assert (json.loads(request.content) if request.content else None) == body
    assert request.headers["authorization"].startswith("Basic ")
    assert ("content-type" in request.headers) is (body is not None)
    assert "idempotency-key" not in request.headers


@pytest.mark.parametrize("answer", [httpx.Response(200, text="OK"), httpx.Response(200, json={}), httpx.Response(204)])
@pytest.mark.parametrize(
    ("method", "arguments"), [("add_tags", ("a",)), ("set_metadata", ({},)), ("force_dependents", ())]
)
def test_an_answer_without_a_task_is_followed_by_asking_for_it(api, call, method, arguments, answer) -> None:
    api.answers = [answer, httpx.Response(200, json=TASK)]
    assert call(method, "abc", *arguments).status == "pending"
    assert [request.method for request in api.requests][1] == "GET"


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("get_task", (), "is not a task id"),
        ("set_metadata", ([1],), "metadata must be an object"),
        ("set_metadata", ({"k": float("nan")},), "metadata must be made of JSON values"),
        ("set_metadata", ({"k": "x" * 10_300},), "metadata takes 10308 bytes"),
        ("set_unique_id", ("",), "unique_id is ''"),
        ("set_unique_id", (7,), "unique_id is 7"),
        ("add_tags", ([],), "tags is empty"),
        ("add_tags", ([""],), r"tags\[0\] is ''"),
        ("add_tags", ([None],), r"tags\[0\] is None"),
        ("set_tags", (list("abcdef"),), "tags has 6 items; a task takes at most 5"),
        ("delete_tags", (3,), "tags is 3"),
        ("set_dependent_options", (), "says nothing"),
        ("set_dependent_options", (["a"],), r"defs\[0\]"),
        ("set_dependent_options", ([{"type": "multistage"}],), r"defs\[0\].type is 'multistage'"),
        ("set_dependent_options", (None, "yes"), "require_audit is 'yes'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_it_is_sent(api, call, method, arguments, message) -> None:
    with pytest.raises(ParameterError, match=message):
        call(method, "a/b" if message == "is not a task id" else "abc", *arguments)
    assert api.requests == []


def test_a_unique_id_that_another_task_has_is_a_conflict(api, call) -> None:
    api.answers = [httpx.Response(409, json={"error": 'The unique_id ("x") is already used for a different task (b).'})]
    with pytest.raises(ConflictError, match="already used") as conflict:
        call("set_unique_id", "abc", "x")
    assert conflict.value.task_id == "b"
    assert len(api.requests) == 1


ALREADY = httpx.Response(400, json={"error": "Dependent tasks have already been created."})


def task_answer(status: str) -> httpx.Response:
    return httpx.Response(200, json={**TASK, "status": status})


@pytest.mark.parametrize("lost", [httpx.ReadError("cut"), httpx.ReadTimeout("slow"), httpx.Response(502)], ids=str)
def test_dependents_that_a_lost_try_has_created_are_a_success(api, call, lost) -> None:
    api.answers = [lost, ALREADY, task_answer("completed")]
    assert call("force_dependents", "abc").status == "completed"


def test_dependents_that_were_there_before_are_an_error(api, call) -> None:
    api.answers = [ALREADY]
    with pytest.raises(BadRequestError, match="already been created"):
        call("force_dependents", "abc")
    assert len(api.requests) == 1


@pytest.mark.parametrize("hindrance", [httpx.Response(429), httpx.Response(408)], ids=str)
def test_a_try_that_the_api_turned_away_has_created_no_dependents(api, call, hindrance) -> None:
    api.answers = [hindrance, ALREADY]
    with pytest.raises(BadRequestError, match="already been created"):
        call("force_dependents", "abc")


def test_dependents_of_a_task_that_is_not_completed_are_refused_though_a_try_was_lost(api, call) -> None:
    api.answers = [httpx.ReadError("cut"), httpx.Response(400, json={"error": "Not complete."}), task_answer("pending")]
    with pytest.raises(BadRequestError, match="Not complete"):
        call("force_dependents", "abc")


def test_a_server_that_stays_down_is_told_as_that(api, call) -> None:
    api.answers = [httpx.Response(500)]
    with pytest.raises(ServerError):
        call("force_dependents", "abc", settings={"retries": 2})
    assert len(api.requests) == 3


@pytest.mark.parametrize(("key", "told"), [("test_key", True), ("live_key", False), ("key_of_no_mode", False)])
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
def test_a_test_key_that_is_refused_is_named_as_the_possible_cause(api, call, key, told, status) -> None:
    api.answers = [httpx.Response(status, json={"error": "No such project."})]
    parameters = {"project": "p", "attachments": ["s3://b/1.sfs"], "scene_format": "sensor_fusion"}
    with pytest.raises(Exception, match="No such project") as refused:
        call("create_task", "multistage", parameters, settings={"api_key": key})
    assert ("is a test key" in str(refused.value.fix)) is told


@pytest.mark.parametrize("settings", [{}, {"api_url": "http://127.0.0.1:8080/v1"}])
def test_the_key_is_not_blamed_for_what_it_has_no_part_in(api, call, settings) -> None:
    api.answers = [httpx.Response(400 if not settings else 404, json={"error": "The task is completed."})]
    with pytest.raises(ApiError) as refused:
        call("cancel_task", "abc", settings=settings)
    assert "is a test key" not in str(refused.value.fix)


def test_a_create_request_posts_the_parameters_as_json_to_the_types_path() -> None:
    request = create_request(API, "multistage", {**MULTISTAGE, "instruction": "Größe"})
    assert (request.method, request.url) == ("POST", "https://api.example.com/v1/task/multistage")
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body or b"") == {**MULTISTAGE, "instruction": "Größe"}


def test_every_create_request_has_an_idempotency_key_of_its_own() -> None:
    keys = {create_request(API, "multistage", MULTISTAGE).headers["Idempotency-Key"] for _ in range(3)}
    assert len(keys) == 3
    assert all(UUID(key).version == 4 for key in keys)


@pytest.mark.parametrize("task_id", ["", "../tasks", "a/b", "a?b", "a b", "ä", "a\n", None])
def test_an_id_that_would_change_the_path_is_refused(task_id: Any) -> None:
    with pytest.raises(errors.ParameterError, match="is not a task id"):
        task_request(API, "GET", task_id)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("api.scale.com/v1", "does not begin with http"),
        ("ftp://api.scale.com", "does not begin with http"),
        ("https://", "does not begin with http"),
        ("https://api.scale.com:port/v1", "is not a URL"),
        ("https://[::1/v1", "is not a URL"),
        ("https://api.scale.com/v1?key=sesame", "goes on after its path: https://api.scale.com/v1…"),
        ("https://sesame@api.scale.com/v1", "holds a user name"),
        ("https://:sesame@api.scale.com/v1", "holds a user name"),
        ("live_0123456789sesame", "does not begin with http"),
    ],
)
def test_an_address_that_is_none_is_refused_without_showing_a_secret(url: str, message: str) -> None:
    with pytest.raises(errors.ParameterError, match=message.replace("…", "")) as refused:
        checked_api_url(url)
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8080/v1", True),
        ("http://localhost/v1", True),
        ("http://sandbox.localhost:1/v1", True),
        ("http://[::1]:8080/v1", True),
        ("https://api.scale.com/v1", False),
        ("http://192.168.0.7/v1", False),
        ("http://localhost.example.com/v1", False),
    ],
)
def test_only_a_server_on_this_machine_is_trusted_with_its_files(url: str, local: bool) -> None:
    assert strictness_of(url).local_files is local
