"""What is sent, and how answers are understood, without a network."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep import errors
from lidarprep.api.answers import retry_after_s
from lidarprep.api.exchange import Answer, Failure
from lidarprep.api.key import ApiKey
from lidarprep.api.protocol import ScaleProtocol
from lidarprep.api.task import Task

KEY = "live_0123456789abcdef"
MULTISTAGE = {"project": "street", "attachments": ["https://example.com/1.sfs"], "scene_format": "sensor_fusion"}
TASK_ID = "5a99e20de50d4979ce6d291e"
SOME_HOUR = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def protocol() -> ScaleProtocol:
    return ScaleProtocol("https://api.example.com/v1/", ApiKey(KEY))


def failure(protocol: ScaleProtocol, status: int, body: bytes = b"", **headers: str) -> Failure:
    outcome = protocol.read.task(protocol.get_task(TASK_ID), Answer(status, headers, body))
    assert isinstance(outcome, Failure)
    return outcome


def test_a_create_request_posts_the_parameters_as_json_to_the_types_path(protocol: ScaleProtocol) -> None:
    request = protocol.create_task("multistage", {**MULTISTAGE, "instruction": "Größe"})
    assert (request.method, request.url) == ("POST", "https://api.example.com/v1/task/multistage")
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body or b"") == {**MULTISTAGE, "instruction": "Größe"}


def test_every_create_request_has_an_idempotency_key_of_its_own(protocol: ScaleProtocol) -> None:
    keys = {protocol.create_task("multistage", MULTISTAGE).headers["Idempotency-Key"] for _ in range(3)}
    assert len(keys) == 3
    assert all(UUID(key).version == 4 for key in keys)


def test_retrieving_and_cancelling_address_the_task(protocol: ScaleProtocol) -> None:
    base = f"https://api.example.com/v1/task/{TASK_ID}"
    assert (protocol.get_task(TASK_ID).method, protocol.get_task(TASK_ID).url) == ("GET", base)
    assert (protocol.cancel_task(TASK_ID).method, protocol.cancel_task(TASK_ID).url) == ("POST", f"{base}/cancel")
    assert protocol.cancel_task(TASK_ID, clear_unique_id=True).url == f"{base}/cancel?clear_unique_id=true"
    assert protocol.cancel_task(TASK_ID, clear_unique_id=True).path == f"/v1/task/{TASK_ID}/cancel"


@pytest.mark.parametrize("task_id", ["", "../tasks", "a/b", "a?b", "a b", "ä", "a\n", None])
def test_an_id_that_would_change_the_path_is_refused(protocol: ScaleProtocol, task_id: Any) -> None:
    with pytest.raises(errors.ParameterError, match="is no task id"):
        protocol.get_task(task_id)


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [
        (400, errors.BadRequestError, False),
        (401, errors.UnauthorizedError, False),
        (402, errors.NotEnabledError, False),
        (403, errors.UnauthorizedError, False),
        (404, errors.NotFoundError, False),
        (405, errors.BadRequestError, False),
        (408, errors.RequestTimeoutError, True),
        (409, errors.ConflictError, False),
        (413, errors.BadRequestError, False),
        (422, errors.BadRequestError, False),
        (429, errors.RateLimitError, True),
        (500, errors.ServerError, True),
        (502, errors.ServerError, True),
        (503, errors.ServerError, True),
        (504, errors.ServerError, True),
        (599, errors.ServerError, True),
    ],
)
def test_each_status_has_its_error_and_only_passing_ones_are_tried_again(
    protocol: ScaleProtocol, status: int, kind: type[errors.ApiError], retry: bool
) -> None:
    outcome = failure(protocol, status, b'{"status_code": 400, "error": "It is so."}')
    assert type(outcome.error) is kind
    assert outcome.retry is retry
    assert (outcome.error.method, outcome.error.path, outcome.error.status) == ("GET", f"/v1/task/{TASK_ID}", status)
    assert outcome.error.message == f"GET /v1/task/{TASK_ID} was answered {status}: It is so."


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "SCALE_API_KEY"), (402, "not enabled"), (404, "Check the task's id"), (429, "fewer"), (500, "unique_id")],
)
def test_an_error_says_what_to_do(protocol: ScaleProtocol, status: int, hint: str) -> None:
    assert hint in (failure(protocol, status).error.fix or "")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": "No."}', "No."),
        (b'{"message": "No."}', "No."),
        (b'{"reason": "No."}', '{"reason": "No."}'),
        (b"<html>\n  Bad gateway\r\n</html>", "<html> Bad gateway </html>"),
        (b"", "no reason given"),
        (b"\xff\xfe", "��"),
        (b'{"error": "\\u001b[31mred"}', " [31mred".strip()),
        (b"x" * 10_000, "x" * 500 + "…"),
    ],
)
def test_the_servers_words_are_shown_short_and_on_one_line(protocol: ScaleProtocol, body: bytes, message: str) -> None:
    assert failure(protocol, 400, body).error.message.endswith(f"400: {message}")


@pytest.mark.parametrize(
    "echo", [KEY, "bGl2ZV8wMTIzNDU2Nzg5YWJjZGVmOg==", "bGl2ZV8wMTIzNDU2Nzg5YWJjZGVmOg", f"{'x' * 490}{KEY}"]
)
def test_a_key_that_the_server_echoes_is_struck_out(protocol: ScaleProtocol, echo: str) -> None:
    for answer in (echo.encode(), json.dumps({"error": echo}).encode()):
        for status in (400, 401, 500, 200):
            message = str(failure(protocol, status, answer).error)
            assert KEY[:8] not in message
            assert "bGl2ZV8" not in message
    assert KEY not in str(failure(protocol, 302, location=f"https://example.com/{KEY}").error)
    assert KEY not in str(protocol.read.no_answer(protocol.get_task(TASK_ID), f"no route to {KEY}").error)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"<html>hello</html>", "no JSON object: <html>hello</html>"),
        (b"", "no JSON object: (nothing)"),
        (b"[1, 2]", "no JSON object: [1, 2]"),
        (b"{}", "JSON without a task_id"),
        (b'{"task_id": 7}', "JSON without a task_id"),
        (b"[" * 100_000, "no JSON object: ["),
    ],
)
def test_an_answer_that_is_no_task_is_a_server_error(protocol: ScaleProtocol, body: bytes, found: str) -> None:
    outcome = failure(protocol, 200, body)
    assert type(outcome.error) is errors.ServerError
    assert not outcome.retry
    assert found in outcome.error.message


def test_a_redirect_is_not_followed_but_told(protocol: ScaleProtocol) -> None:
    outcome = failure(protocol, 301, location="https://elsewhere.example.com/")
    assert type(outcome.error) is errors.TransportError
    assert "a redirect to https://elsewhere.example.com/" in outcome.error.message


def test_no_answer_names_the_server_and_the_cause(protocol: ScaleProtocol) -> None:
    request = protocol.get_task(TASK_ID)
    refused = protocol.read.no_answer(request, "connection refused")
    assert type(refused.error) is errors.TransportError
    assert refused.error.message == f"GET /v1/task/{TASK_ID}: no answer from api.example.com: connection refused"
    assert type(protocol.read.no_answer(request, "slow", timed_out=True).error) is errors.RequestTimeoutError


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0", 0.0),
        ("0.5", 0.5),
        ("9" * 400, float("inf")),
        ("Fri, 02 Jan 99999999999999 03:04:35 GMT", None),
        ("Fri, 02 Jan 2026 03:04:35 GMT", 30.0),
        ("Fri, 02 Jan 2026 03:04:35 -0000", 30.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, SOME_HOUR) == seconds


DATES = st.from_regex(r"\AFri, [0-9]{1,3} Jan [0-9]{1,20} [0-9]{2}:[0-9]{2}:[0-9]{2} ([+-][0-9]{1,6}|GMT)\Z")


@given(st.text() | DATES)
def test_no_retry_after_header_breaks_the_reading(header: str) -> None:
    seconds = retry_after_s(header, SOME_HOUR)
    assert seconds is None or seconds >= 0


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
    ],
)
def test_an_address_that_is_none_is_refused_without_showing_a_secret(url: str, message: str) -> None:
    with pytest.raises(errors.ParameterError, match=message.replace("…", "")) as refused:
        ScaleProtocol(url, ApiKey(KEY))
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
    assert ScaleProtocol(url, ApiKey(KEY)).strictness.local_files is local


def test_a_task_has_the_fields_of_the_answer() -> None:
    raw = {
        "task_id": TASK_ID,
        "type": "multistage",
        "status": "completed",
        "created_at": "2019-01-16T21:03:33.166Z",
        "completed_at": "2019-01-17T21:03:33Z",
        "is_test": False,
        "unique_id": "drive-7",
        "tags": ["a", 3],
        "metadata": {"k": 1},
        "params": {"scene_format": "sensor_fusion"},
        "response": {"annotations": {"url": "https://example.com"}},
        "brand_new": True,
    }
    task = Task.from_api(raw)
    assert task is not None
    assert (task.id, task.type, task.status, task.is_test) == (TASK_ID, "multistage", "completed", False)
    assert task.created_at == datetime(2019, 1, 16, 21, 3, 33, 166000, tzinfo=UTC)
    assert task.completed_at == datetime(2019, 1, 17, 21, 3, 33, tzinfo=UTC)
    assert (task.unique_id, task.tags, task.metadata) == ("drive-7", ("a",), {"k": 1})
    assert (task.params, task.response) == (raw["params"], raw["response"])
    assert task.raw["brand_new"] is True


FIELDS = ("type", "status", "created_at", "is_test", "unique_id", "project", "tags", "metadata", "params", "response")


@given(st.dictionaries(st.sampled_from(FIELDS), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_a_task_is_read_whatever_its_other_fields_hold(fields: dict[str, Any]) -> None:
    task = Task.from_api({"task_id": TASK_ID, **fields})
    assert task is not None
    assert task.id == TASK_ID
    assert task.status in (None, fields.get("status"))
    assert task.raw == {"task_id": TASK_ID, **fields}


def test_an_error_tells_how_long_the_server_asked_to_wait(protocol: ScaleProtocol) -> None:
    refused = failure(protocol, 429, **{"retry-after": "86400"})
    assert str(refused.error.fix).endswith("The server asks to wait 86400 s.")
    assert "asks to wait" not in str(failure(protocol, 429, **{"retry-after": "0"}).error.fix)
