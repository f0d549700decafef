"""Requests to the API as values: built and checked without a network."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from lidarprep.api._access import is_loopback, is_private
from lidarprep.api._listing import Query, checked_text
from lidarprep.api._task_types import check_parameters, task_type_named
from lidarprep.api.parameters import MAX_TAGS, Metadata, Strictness
from lidarprep.errors import ParameterError

log = logging.getLogger(__name__)

_METADATA: TypeAdapter[Mapping[str, Any]] = TypeAdapter(Metadata)


@dataclass(frozen=True)
class ApiRequest:
    """A request to the API, without the key.

    Args:
        method: "GET", "POST", "PUT" or "DELETE".
        url: The whole URL with its query. Not in the repr: the query of an attachment's URL may sign it.
        body: Bytes to send; None for no body.
        idempotency_key: Names this request over its retries, so that the API makes one task of them all.
        with_key: Send the API key too: to the API itself only.
        has_unique_id: The body names a unique_id that stays with its task, so that the API refuses a second one.
        content_type: Media type of the body.
    """

    method: str
    url: str = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    idempotency_key: str | None = None
    with_key: bool = True
    has_unique_id: bool = False
    content_type: str = "application/json"

    @property
    def path(self) -> str:
        """Path of the URL, for messages."""
        return urlsplit(self.url).path

    @property
    def server(self) -> str:
        """Host, and port if given, for messages; without a user name."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def headers(self) -> dict[str, str]:
        """Headers that this request needs beyond the client's own."""
        headers = {"Accept": "application/json"}
        if self.body is not None:
            headers["Content-Type"] = self.content_type
        if self.idempotency_key is not None:
            headers["Idempotency-Key"] = self.idempotency_key
        return headers


def create_request(
    api_url: str, task_type: str, parameters: Mapping[str, Any], idempotency_key: str | None = None
) -> ApiRequest:
    """Build the request that creates a task; the Idempotency-Key is a new version 4 UUID by default.

    Raises:
        ParameterError: A parameter is wrong; the message lists all problems.
    """
    path = task_type_named(task_type).path
    checked = check_parameters(task_type, parameters, strictness_of(api_url))
    for note in checked.notes():
        log.warning("%s: %s", task_type, note)
    body = checked.to_wire()
    if idempotency_key is None:
        idempotency_key = str(uuid4())
    elif not re.fullmatch(r"[!-~]([ -~]*[!-~])?", idempotency_key):
        raise ParameterError(
            "idempotency_key must be printable ASCII text, not empty and without space around it, as it is sent in a"
            " header"
        )
    return ApiRequest(
        "POST",
        api_url + path,
        json_body(body),
        idempotency_key=idempotency_key,
        # A unique_id that is freed when the task fails does not rule out a second task.
        has_unique_id="unique_id" in body and not body.get("clear_unique_id_on_error"),
    )


def task_request(api_url: str, method: str, task_id: str, beyond: str = "", body: Any = None) -> ApiRequest:
    """Build a request about one task; `beyond` follows the task's own path.

    Raises:
        ParameterError: It is not a task id, or the body is not JSON.
    """
    # Ids are 24 hex digits; whatever can't change a URL's path is let through, for the API to judge.
    if not isinstance(task_id, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", task_id):
        raise ParameterError(f"{task_id!r} is not a task id: it must be made of letters and digits")
    return ApiRequest(method, f"{api_url}/task/{task_id}{beyond}", None if body is None else json_body(body))


def list_request(api_url: str, query: Query) -> ApiRequest:
    """Build the request for a page of tasks.

    Raises:
        ParameterError: A filter can't be sent.
    """
    try:
        return ApiRequest("GET", f"{api_url}/tasks{'?' if query else ''}{urlencode(query)}")
    except UnicodeEncodeError as cause:  # half of a surrogate pair
        problem = f"the filters hold a character that can't be sent ({cause})"
    raise ParameterError(problem)


def fetch_request(api_url: str, url: str) -> ApiRequest:
    """Build the request for a file that a task links to. The key is sent only if the API itself serves it."""
    return ApiRequest("GET", url, with_key=_origin(url) == _origin(api_url))


def strictness_of(api_url: str) -> Strictness:
    """Abilities of a server: one on this machine, such as the sandbox, can read this machine's files."""
    return Strictness(local_files=is_loopback(api_url), private_addresses=is_private(api_url))


def checked_metadata(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check metadata by the rules for the task parameter of that name.

    Raises:
        ParameterError: It is not an object of JSON values, or too large.
    """
    try:
        return _METADATA.validate_python(metadata)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
    raise ParameterError(f"metadata {problem}")


def checked_tags(tags: str | Iterable[str], *, may_be_empty: bool = False) -> list[str]:
    """Check tags, and return them as a list; a text is one tag. Raises ParameterError."""
    if isinstance(tags, Mapping) or not isinstance(tags, Iterable):
        raise ParameterError(f"tags is {tags!r}; it must be a list of texts")
    listed = [tags] if isinstance(tags, str) else list(tags)
    if not listed and not may_be_empty:
        raise ParameterError("tags is empty; give at least one")
    if len(listed) > MAX_TAGS:
        raise ParameterError(f"tags has {len(listed)} items; a task takes at most {MAX_TAGS}")
    return [checked_text(f"tags[{number}]", tag) for number, tag in enumerate(listed)]


def json_body(body: Any) -> bytes:
    """Return the JSON of a request's body. Raises ParameterError."""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as cause:
        raise ParameterError(f"the request must be made of JSON values only ({cause})") from None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(scheme)
