"""Responses of the API, and their parsing: a task, a page of tasks, a file, or a Failure."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin

from lidarprep.api._access import is_loopback, is_web_address
from lidarprep.api._listing import TaskPage
from lidarprep.api._requests import ApiRequest
from lidarprep.api._secrets import WHERE_TO_GET_A_KEY, ApiKey
from lidarprep.api._task import Task
from lidarprep.errors import (
    ApiError,
    BadRequestError,
    NotEnabledError,
    NotFoundError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    TransportError,
    UnauthorizedError,
    UniqueIdConflictError,
)

LONGEST_SERVER_MESSAGE = 500

REQUEST_TIMEOUT, TOO_MANY_REQUESTS = 408, 429

ERRORS_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    402: NotEnabledError,
    403: UnauthorizedError,
    404: NotFoundError,
    REQUEST_TIMEOUT: RequestTimeoutError,
    409: UniqueIdConflictError,
    TOO_MANY_REQUESTS: RateLimitError,
}

FIXES: Mapping[type[ApiError], str] = {
    UnauthorizedError: WHERE_TO_GET_A_KEY,
    NotEnabledError: "The task type is not enabled for this account: ask your contact at Scale.",
    NotFoundError: "Check the task's id and the API address; a test key does not see live tasks, or vice versa.",
    RateLimitError: "Send fewer requests at a time, or wait a while.",
    ServerError: "Try again later. A create that failed may be repeated safely with a unique_id.",
}

# A key of one mode is not valid for the tasks, projects and batches of the other.
MODE_MATTERS = (BadRequestError, UnauthorizedError, NotEnabledError, NotFoundError)

# Of a create without a unique_id: the API repeats what it saved for an Idempotency-Key for 24 hours.
MAYBE_MADE = (
    "Try again later. A create that failed may be repeated safely with a unique_id; without one, look with list_tasks"
    " first whether the task was made."
)
LINKS_EXPIRE = "Links to results expire: get the task again for a new one. They are only fetched from where they lead."


@dataclass(frozen=True)
class ApiResponse:
    """A response: status, headers by lower-case name, and body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Failure:
    """A request that failed, and whether to retry it.

    A value and not an exception: an exception would carry the frames of the HTTP library, and with them the key, into
    a traceback that shows local variables.

    Args:
        error: Error to raise if the request is not retried.
        retry: A retry may help, and is safe.
        after_s: Seconds that the server asked to wait, if it did.
        most_retries: Upper limit of the retries, where it is lower than usual.
        maybe_done: The API may have carried out an earlier try whose response was lost.
    """

    error: ApiError
    retry: bool = False
    after_s: float | None = None
    most_retries: int | None = None
    maybe_done: bool = False


@dataclass(frozen=True)
class Redirect:
    """A response that points to another URL."""

    url: str = field(repr=False)


class ResponseReader:
    """Parses responses.

    Args:
        key: Redacted in messages, should a server echo it; its mode explains refusals.
    """

    def __init__(self, key: ApiKey) -> None:
        self._key = key

    def task(self, request: ApiRequest, response: ApiResponse) -> Task | Failure:
        """Parse a task."""
        content = self._object(request, response)
        if isinstance(content, Failure):
            return content
        return Task.from_api(content) or self._not_as_expected(request, response, "JSON without a task_id")

    def maybe_task(self, request: ApiRequest, response: ApiResponse) -> Task | Failure | None:
        """Parse a task, or return None for a success without one: not every endpoint promises to show it."""
        if not 200 <= response.status < 300:
            return self._refused(request, response)
        return Task.from_api(_json_object(response.body) or {})

    def page(self, request: ApiRequest, response: ApiResponse) -> TaskPage[Task] | Failure:
        """Parse a page of tasks."""
        content = self._object(request, response)
        if isinstance(content, Failure):
            return content
        page = TaskPage.from_api(content)
        return page or self._not_as_expected(request, response, "JSON without a list of tasks in `docs`")

    def json(self, request: ApiRequest, response: ApiResponse) -> Any:
        """Parse JSON of any shape; or return a Failure."""
        if not 200 <= response.status < 300:
            return self._refused(request, response)
        try:
            return json.loads(response.body)
        except (ValueError, RecursionError):
            found = f"text that is not JSON: {self._excerpt(response.body) or '(nothing)'}"
            return self._not_as_expected(request, response, found)

    def document(self, request: ApiRequest, response: ApiResponse) -> bytes | Redirect | Failure:
        """Return the content of a file, or its redirect."""
        location = response.headers.get("location")
        if response.status in (301, 302, 303, 307, 308) and location and self._key.redact(location) == location:
            with contextlib.suppress(ValueError):  # of a location that is not a URL at all
                if is_web_address(target := urljoin(request.url, location)):
                    return Redirect(target)
        if 200 <= response.status < 300:
            # Only a server that was sent the key can echo it.
            return self._key.redact_bytes(response.body) if request.with_key else response.body
        return self._refused(request, response, fix=None if response.status >= 500 else LINKS_EXPIRE)

    def no_response(
        self,
        request: ApiRequest,
        cause: str,
        *,
        timed_out: bool = False,
        retry: bool = True,
        most_retries: int | None = None,
    ) -> Failure:
        """Return the failure of a request without a response. A retry is always safe: see `Transport.send`."""
        kind = RequestTimeoutError if timed_out else TransportError
        message = f"{request.method} {request.path}: no answer from {request.server}: {self._key.redact(cause)}"
        fix = None if timed_out else "Check the network and the API address (SCALE_API_URL, --api-url)."
        error = kind(message, method=request.method, path=request.path, fix=fix)
        return Failure(error, retry, most_retries=most_retries)

    def _object(self, request: ApiRequest, response: ApiResponse) -> dict[str, Any] | Failure:
        if not 200 <= response.status < 300:
            return self._refused(request, response)
        content = _json_object(response.body)
        if content is None:
            found = f"text that is not a JSON object: {self._excerpt(response.body) or '(nothing)'}"
            return self._not_as_expected(request, response, found)
        return content

    def _not_as_expected(self, request: ApiRequest, response: ApiResponse, found: str) -> Failure:
        return Failure(_error(ServerError, request, found, response.status, fix="Is the API address right?"))

    def _refused(self, request: ApiRequest, response: ApiResponse, *, fix: str | None = None) -> Failure:
        status = response.status
        if 300 <= status < 400:
            found = f"a redirect to {self._excerpt(response.headers.get('location', 'nowhere').encode())}"
            return Failure(_error(TransportError, request, found, status, fix="Is the API address right?"))
        kind = ERRORS_BY_STATUS.get(status, BadRequestError if 400 <= status < 500 else ServerError)
        message = self._server_message(response.body) or "no reason given"
        fix = fix or self._fix(kind, request)
        after_s = retry_after_s(response.headers.get("retry-after"), datetime.now(UTC))
        if after_s:
            fix = f"{fix or ''} The server asks to wait {after_s:.0f} s.".strip()
        return Failure(
            _error(kind, request, message, status, fix=fix),
            retry=status in (REQUEST_TIMEOUT, TOO_MANY_REQUESTS) or status >= 500,
            after_s=after_s,
        )

    def _fix(self, kind: type[ApiError], request: ApiRequest) -> str | None:
        if kind is ServerError and request.method == "POST" and not request.has_unique_id and request.idempotency_key:
            return MAYBE_MADE
        fix = FIXES.get(kind)
        # The commonest reason for a refusal: a test key for what was set up for live tasks. Not so on this machine,
        # nor where a task that the key does see can't be changed.
        may_be_live = kind in MODE_MATTERS and (kind is not BadRequestError or request.idempotency_key is not None)
        if may_be_live and self._key.mode == "test" and not is_loopback(request.url):
            told = "The API key is a test key; what belongs to live mode needs the live key."
            return told if fix is None else f"{fix} {told}"
        return fix

    def _server_message(self, body: bytes) -> str:
        content = _json_object(body) or {}
        for name in ("error", "message"):
            if isinstance(text := content.get(name), str) and text:
                return self._excerpt(text.encode("utf-8", "replace"))
        return self._excerpt(body)

    def _excerpt(self, body: bytes) -> str:
        """The beginning of a text, on one line. Redacted before it is cut: half a key would not be recognised."""
        text = self._key.redact(body.decode("utf-8", "replace"))
        # Control characters could steer the terminal that the message is shown on.
        text = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()
        return text if len(text) <= LONGEST_SERVER_MESSAGE else text[:LONGEST_SERVER_MESSAGE] + "…"


def _error(kind: type[ApiError], request: ApiRequest, found: str, status: int, *, fix: str | None) -> ApiError:
    message = f"{request.method} {request.path} was answered {status}: {found}"
    error = kind(message, method=request.method, path=request.path, status=status, fix=fix)
    if isinstance(error, UniqueIdConflictError):
        error.task_id = task_named_in(found)
    return error


def task_named_in(message: str) -> str | None:
    """Return the task id in a conflict's message: 'The unique_id ("…") is already used for … (602c399c…).'"""
    # The last parentheses: a unique_id may hold some too.
    found = re.findall(r"\(([0-9A-Za-z_-]+)\)", message)
    return found[-1] if found else None


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Parse a Retry-After header, which holds seconds or a date; None if it is missing or unreadable."""
    if header is None:
        return None
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", header.strip()):  # whole seconds, by the standard; some servers say 0.5
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # "-0000", a date in UTC of an unknown zone
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
