"""What is said to the API and how its answers are understood, without a network.

A client is what sends an ApiRequest and gets an Answer; all rules are here, for any client, synchronous or not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from lidarprep.api.address import checked_api_url, is_loopback
from lidarprep.api.key import WHERE_TO_GET_A_KEY, ApiKey
from lidarprep.api.parameters import Strictness
from lidarprep.api.task import Task
from lidarprep.api.task_types import check_parameters, task_type_named
from lidarprep.errors import (
    ApiError,
    BadRequestError,
    ConflictError,
    NotEnabledError,
    NotFoundError,
    ParameterError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    TransportError,
    UnauthorizedError,
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
    409: ConflictError,
    TOO_MANY_REQUESTS: RateLimitError,
}

FIXES: Mapping[type[ApiError], str] = {
    UnauthorizedError: WHERE_TO_GET_A_KEY,
    NotEnabledError: "The task type is not enabled for this account: ask your contact at Scale.",
    NotFoundError: "Check the task's id and the API address; a test key does not see live tasks, or vice versa.",
    RateLimitError: "Send fewer requests at a time, or wait a while.",
    ServerError: "Try again later. A create that failed may be repeated safely with a unique_id.",
}


@dataclass(frozen=True)
class ApiRequest:
    """A request to the API, but for the key.

    Args:
        method: "GET" or "POST".
        url: The whole URL, with its query.
        body: JSON to send; None for no body.
        idempotency_key: Names this request over its retries, so that the API makes one task of them all.
    """

    method: str
    url: str
    body: bytes | None = field(default=None, repr=False)
    idempotency_key: str | None = None

    @property
    def path(self) -> str:
        """Path of the URL, for messages."""
        return urlsplit(self.url).path

    @property
    def headers(self) -> dict[str, str]:
        """Headers that this request needs beyond the client's own."""
        headers = {"Accept": "application/json"}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if self.idempotency_key is not None:
            headers["Idempotency-Key"] = self.idempotency_key
        return headers


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers by lower-case name, and body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Failure:
    """A request that failed, and whether to try it again.

    A value and not an exception: an exception would carry the frames it was raised through, and with them what the HTTP
    library knows, the key among it, into a traceback that shows local variables.

    Args:
        error: What to raise if it is not tried again.
        retry: Whether trying again may help, and is safe.
        after_s: Seconds that the server asked to wait, if it did.
    """

    error: ApiError
    retry: bool = False
    after_s: float | None = None


class ScaleProtocol:
    """Builds requests to one API address and reads the answers.

    Args:
        api_url: The API's address.
        key: Only to keep it out of messages, should a server echo it.

    Raises:
        ParameterError: The address can't be one.
    """

    def __init__(self, api_url: str, key: ApiKey) -> None:
        self.api_url = checked_api_url(api_url)
        # A server on this machine, such as the sandbox, can read this machine's files.
        self.strictness = Strictness(local_files=is_loopback(self.api_url))
        self._key = key

    def create_task(self, task_type: str, parameters: Mapping[str, Any]) -> ApiRequest:
        """The request that creates a task.

        Raises:
            ParameterError: A parameter is wrong; the message lists all that are.
        """
        path = task_type_named(task_type).path
        body = check_parameters(task_type, parameters, self.strictness).to_wire()
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return ApiRequest("POST", self.api_url + path, text.encode(), idempotency_key=str(uuid4()))

    def get_task(self, task_id: str) -> ApiRequest:
        """The request that retrieves a task."""
        return ApiRequest("GET", f"{self.api_url}/task/{_checked_id(task_id)}")

    def cancel_task(self, task_id: str, *, clear_unique_id: bool = False) -> ApiRequest:
        """The request that cancels a task. Cancelling twice is the same as once, so it needs no idempotency key."""
        query = "?clear_unique_id=true" if clear_unique_id else ""
        return ApiRequest("POST", f"{self.api_url}/task/{_checked_id(task_id)}/cancel{query}")

    def read_task(self, request: ApiRequest, answer: Answer) -> Task | Failure:
        """The task in an answer, or why there is none."""
        if not 200 <= answer.status < 300:
            return self._refused(request, answer)
        content = _json_object(answer.body)
        if content is None:
            found = f"text that is no JSON object: {self._excerpt(answer.body) or '(nothing)'}"
        elif (task := Task.from_api(content)) is not None:
            return task
        else:
            found = "JSON without a task_id"
        return Failure(self._error(ServerError, request, found, answer.status, fix="Is the API address right?"))

    def no_answer(self, request: ApiRequest, cause: str, *, timed_out: bool = False, retry: bool = True) -> Failure:
        """The failure of a request that got no answer.

        Args:
            request: The request.
            cause: What the network had to say.
            timed_out: There was no answer in time, rather than no connection.
            retry: Whether trying again may help. It is always safe: see ApiRequest's idempotency_key.
        """
        kind = RequestTimeoutError if timed_out else TransportError
        server = urlsplit(self.api_url).netloc
        message = f"{request.method} {request.path}: no answer from {server}: {self._key.redact(cause)}"
        fix = None if timed_out else "Check the network and the API address (SCALE_API_URL, --api-url)."
        return Failure(kind(message, method=request.method, path=request.path, fix=fix), retry)

    def _refused(self, request: ApiRequest, answer: Answer) -> Failure:
        status = answer.status
        if 300 <= status < 400:
            found = f"a redirect to {self._key.redact(answer.headers.get('location', 'nowhere'))}"
            return Failure(self._error(TransportError, request, found, status, fix="Is the API address right?"))
        fallback = BadRequestError if 400 <= status < 500 else ServerError
        kind = ERRORS_BY_STATUS.get(status, fallback)
        message = self._server_message(answer.body) or "no reason given"
        return Failure(
            self._error(kind, request, message, status, fix=FIXES.get(kind)),
            retry=status in (REQUEST_TIMEOUT, TOO_MANY_REQUESTS) or status >= 500,
            after_s=retry_after_s(answer.headers.get("retry-after"), datetime.now(UTC)),
        )

    def _error(
        self, kind: type[ApiError], request: ApiRequest, found: str, status: int, *, fix: str | None = None
    ) -> ApiError:
        message = f"{request.method} {request.path} was answered {status}: {found}"
        return kind(message, method=request.method, path=request.path, status=status, fix=fix)

    def _server_message(self, body: bytes) -> str:
        content = _json_object(body) or {}
        for name in ("error", "message"):
            if isinstance(text := content.get(name), str) and text:
                return self._excerpt(text.encode())
        return self._excerpt(body)

    def _excerpt(self, body: bytes) -> str:
        """The beginning of a text, on one line. Redacted before it is cut: half a key is no longer recognised."""
        text = self._key.redact(body.decode("utf-8", "replace"))
        # Control characters could steer the terminal that the message is shown on.
        text = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()
        return text if len(text) <= LONGEST_SERVER_MESSAGE else text[:LONGEST_SERVER_MESSAGE] + "…"

    def __repr__(self) -> str:
        return f"ScaleProtocol({self.api_url!r})"


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header, which holds seconds or a date; None if there is none to be read."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
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


def _checked_id(task_id: str) -> str:
    # Ids are 24 hex digits; anything that can't change the URL's path is let through, for the API to judge.
    if not isinstance(task_id, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", task_id):
        raise ParameterError(f"{task_id!r} is no task id: it must be made of letters and digits")
    return task_id
