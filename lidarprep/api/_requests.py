"""Requests to the API as values: built and checked without a network.

The verbs and paths are the reference's. Its prose and its examples disagree on tags (the table says POST for all
three, the examples' comments say PUT and DELETE). Here they are as in Scale's own Python client: PUT adds, POST sets,
DELETE deletes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from lidarprep.api._address import is_loopback
from lidarprep.api._listing import Query
from lidarprep.api._task_types import check_dependents, check_parameters, task_type_named
from lidarprep.api.parameters import MAX_TAGS, DependentDefinition, Metadata, Strictness
from lidarprep.errors import ParameterError

_METADATA: TypeAdapter[Mapping[str, Any]] = TypeAdapter(Metadata)


@dataclass(frozen=True)
class ApiRequest:
    """A request to the API, without the key.

    Args:
        method: "GET", "POST", "PUT" or "DELETE".
        url: The whole URL with its query. Not in the repr: the query of an attachment's URL may sign it.
        body: JSON to send; None for no body.
        idempotency_key: Names this request over its retries, so that the API makes one task of them all.
        with_key: Send the API key too: to the API itself only.
        has_unique_id: The body names a unique_id that stays with its task, so that the API refuses a second one.
    """

    method: str
    url: str = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    idempotency_key: str | None = None
    with_key: bool = True
    has_unique_id: bool = False

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
            headers["Content-Type"] = "application/json"
        if self.idempotency_key is not None:
            headers["Idempotency-Key"] = self.idempotency_key
        return headers


class RequestBuilder:
    """Builds requests to one API address.

    Every method raises ParameterError, before anything is sent, where an argument is wrong.

    Args:
        api_url: The API's address, without a trailing slash.
    """

    def __init__(self, api_url: str) -> None:
        self.api_url = api_url
        # A server on this machine, such as the sandbox, can read this machine's files.
        self.strictness = Strictness(local_files=is_loopback(api_url))

    def create_task(
        self, task_type: str, parameters: Mapping[str, Any], idempotency_key: str | None = None
    ) -> ApiRequest:
        """Create a task; the Idempotency-Key is a new version 4 UUID by default."""
        path = task_type_named(task_type).path
        body = check_parameters(task_type, parameters, self.strictness).to_wire()
        if idempotency_key is None:
            idempotency_key = str(uuid4())
        elif not re.fullmatch(r"[!-~]([ -~]*[!-~])?", idempotency_key):
            raise ParameterError(
                "idempotency_key must be printable ASCII text, not empty and without space around it, as it is sent in"
                " a header"
            )
        return ApiRequest(
            "POST",
            self.api_url + path,
            _json(body),
            idempotency_key=idempotency_key,
            # A unique_id that is freed when the task fails does not rule out a second task.
            has_unique_id="unique_id" in body and not body.get("clear_unique_id_on_error"),
        )

    def get_task(self, task_id: str) -> ApiRequest:
        """Retrieve a task."""
        return self._to_task("GET", task_id)

    def list_tasks(self, query: Query) -> ApiRequest:
        """Retrieve a page of tasks."""
        try:
            return ApiRequest("GET", f"{self.api_url}/tasks{'?' if query else ''}{urlencode(query)}")
        except UnicodeEncodeError as cause:  # half of a surrogate pair
            problem = f"the filters hold a character that can't be sent ({cause})"
        raise ParameterError(problem)

    def cancel_task(self, task_id: str, *, clear_unique_id: bool = False) -> ApiRequest:
        """Cancel a task. Cancelling twice is the same as once, so it needs no idempotency key."""
        return self._to_task("POST", task_id, f"/cancel{'?clear_unique_id=true' if clear_unique_id else ''}")

    def set_metadata(self, task_id: str, metadata: Mapping[str, Any]) -> ApiRequest:
        """Set a task's metadata: the body is the metadata itself."""
        return self._to_task("POST", task_id, "/setMetadata", checked_metadata(metadata))

    def set_unique_id(self, task_id: str, unique_id: str) -> ApiRequest:
        """Give a task another unique_id."""
        return self._to_task("POST", task_id, "/unique_id", {"unique_id": _checked_text("unique_id", unique_id)})

    def clear_unique_id(self, task_id: str) -> ApiRequest:
        """Remove a task's unique_id."""
        return self._to_task("DELETE", task_id, "/unique_id")

    def add_tags(self, task_id: str, tags: str | Iterable[str]) -> ApiRequest:
        """Add tags."""
        return self._to_task("PUT", task_id, "/tags", _checked_tags(tags))

    def set_tags(self, task_id: str, tags: str | Iterable[str]) -> ApiRequest:
        """Replace all tags; an empty list removes them."""
        return self._to_task("POST", task_id, "/tags", _checked_tags(tags, may_be_empty=True))

    def delete_tags(self, task_id: str, tags: str | Iterable[str]) -> ApiRequest:
        """Remove tags."""
        return self._to_task("DELETE", task_id, "/tags", _checked_tags(tags))

    def set_dependent_options(
        self, task_id: str, defs: Sequence[Mapping[str, Any] | DependentDefinition] | None, require_audit: bool | None
    ) -> ApiRequest:
        """Change the tasks that follow a task once it is completed."""
        body = check_dependents(defs, require_audit, self.strictness)
        return self._to_task("POST", task_id, "/dependents/options", body)

    def force_dependents(self, task_id: str) -> ApiRequest:
        """Create a task's dependents without an audit."""
        return self._to_task("POST", task_id, "/dependents/force_creation")

    def fetch(self, url: str) -> ApiRequest:
        """Fetch the file that a task links to. The key is sent only if the API itself serves it."""
        return ApiRequest("GET", url, with_key=_origin(url) == _origin(self.api_url))

    def _to_task(self, method: str, task_id: str, beyond: str = "", body: Any = None) -> ApiRequest:
        # Ids are 24 hex digits; whatever can't change a URL's path is let through, for the API to judge.
        if not isinstance(task_id, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", task_id):
            raise ParameterError(f"{task_id!r} is not a task id: it must be made of letters and digits")
        url = f"{self.api_url}/task/{task_id}{beyond}"
        return ApiRequest(method, url, None if body is None else _json(body))


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


def _checked_text(name: str, value: str) -> str:
    if not isinstance(value, str) or not value:
        raise ParameterError(f"{name} is {value!r}; it must be a text that is not empty")
    return value


def _checked_tags(tags: str | Iterable[str], *, may_be_empty: bool = False) -> list[str]:
    """Return tags as a list; a text is one tag."""
    if isinstance(tags, Mapping) or not isinstance(tags, Iterable):
        raise ParameterError(f"tags is {tags!r}; it must be a list of texts")
    listed = [tags] if isinstance(tags, str) else list(tags)
    if not listed and not may_be_empty:
        raise ParameterError("tags is empty; give at least one")
    if len(listed) > MAX_TAGS:
        raise ParameterError(f"tags has {len(listed)} items; a task takes at most {MAX_TAGS}")
    return [_checked_text(f"tags[{number}]", tag) for number, tag in enumerate(listed)]


def _json(body: Any) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as cause:
        raise ParameterError(f"the request must be made of JSON values only ({cause})") from None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(scheme)
