"""How responses are parsed, without a network."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep import errors
from lidarprep.api import ApiKey
from lidarprep.api._requests import ApiRequest
from lidarprep.api._responses import ApiResponse, Failure, ResponseReader, retry_after_s

KEY = "live_0123456789abcdef"
TASK_ID = "5a99e20de50d4979ce6d291e"
SOME_HOUR = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
READER = ResponseReader(ApiKey(KEY))
GET_TASK = ApiRequest("GET", f"https://api.example.com/v1/task/{TASK_ID}")


def failure(status: int, body: bytes = b"", **headers: str) -> Failure:
    outcome = READER.task(GET_TASK, ApiResponse(status, headers, body))
    assert isinstance(outcome, Failure)
    return outcome


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
        (409, errors.UniqueIdConflictError, False),
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
    status: int, kind: type[errors.ApiError], retry: bool
) -> None:
    outcome = failure(status, b'{"status_code": 400, "error": "It is so."}')
    assert type(outcome.error) is kind
    assert outcome.retry is retry
    assert (outcome.error.method, outcome.error.path, outcome.error.status) == ("GET", f"/v1/task/{TASK_ID}", status)
    assert outcome.error.message == f"GET /v1/task/{TASK_ID} was answered {status}: It is so."


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "SCALE_API_KEY"), (402, "not enabled"), (404, "Check the task's id"), (429, "fewer"), (500, "unique_id")],
)
def test_an_error_says_what_to_do(status: int, hint: str) -> None:
    assert hint in (failure(status).error.fix or "")


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
def test_the_servers_words_are_shown_short_and_on_one_line(body: bytes, message: str) -> None:
    assert failure(400, body).error.message.endswith(f"400: {message}")


@pytest.mark.parametrize(
    "echo", [KEY, "bGl2ZV8wMTIzNDU2Nzg5YWJjZGVmOg==", "bGl2ZV8wMTIzNDU2Nzg5YWJjZGVmOg", f"{'x' * 490}{KEY}"]
)
def test_a_key_that_the_server_echoes_is_struck_out(echo: str) -> None:
    for answer in (echo.encode(), json.dumps({"error": echo}).encode()):
        for status in (400, 401, 500, 200):
            message = str(failure(status, answer).error)
            assert KEY[:8] not in message
            assert "bGl2ZV8" not in message
    assert KEY not in str(failure(302, location=f"https://example.com/{KEY}").error)
    assert KEY not in str(READER.no_response(GET_TASK, f"no route to {KEY}").error)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"<html>hello</html>", "not a JSON object: <html>hello</html>"),
        (b"", "not a JSON object: (nothing)"),
        (b"[1, 2]", "not a JSON object: [1, 2]"),
        (b"{}", "JSON without a task_id"),
        (b'{"task_id": 7}', "JSON without a task_id"),
        (b"[" * 100_000, "not a JSON object: ["),
    ],
)
def test_an_answer_that_is_no_task_is_a_server_error(body: bytes, found: str) -> None:
    outcome = failure(200, body)
    assert type(outcome.error) is errors.ServerError
    assert not outcome.retry
    assert found in outcome.error.message


def test_a_redirect_is_not_followed_but_told() -> None:
    outcome = failure(301, location="https://elsewhere.example.com/")
    assert type(outcome.error) is errors.TransportError
    assert "a redirect to https://elsewhere.example.com/" in outcome.error.message


def test_no_answer_names_the_server_and_the_cause() -> None:
    refused = READER.no_response(GET_TASK, "connection refused")
    assert type(refused.error) is errors.TransportError
    assert refused.error.message == f"GET /v1/task/{TASK_ID}: no answer from api.example.com: connection refused"
    assert type(READER.no_response(GET_TASK, "slow", timed_out=True).error) is errors.RequestTimeoutError


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


def test_an_error_tells_how_long_the_server_asked_to_wait() -> None:
    refused = failure(429, **{"retry-after": "86400"})
    assert str(refused.error.fix).endswith("The server asks to wait 86400 s.")
    assert "asks to wait" not in str(failure(429, **{"retry-after": "0"}).error.fix)
