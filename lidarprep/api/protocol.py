"""What is said to the API and how its answers are understood, without a network.

A client is what sends an ApiRequest and gets an Answer; all rules are here and in flows.py, for any client, synchronous
or not. The verbs and paths are the reference's. Where its prose and its examples disagree on tags (the table says POST
for all three, the examples' comments say PUT and DELETE), they are those of Scale's own Python client: PUT adds, POST
sets, DELETE deletes. Which Idempotency-Key a create's retries carry: see `exchange.Attempts`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from lidarprep.api.address import checked_api_url, is_loopback
from lidarprep.api.answers import AnswerReader
from lidarprep.api.checks import checked_id, checked_metadata, checked_tags, checked_text
from lidarprep.api.exchange import ApiRequest
from lidarprep.api.key import ApiKey
from lidarprep.api.listing import Query
from lidarprep.api.parameters import DependentDefinition, Strictness
from lidarprep.api.task_types import check_dependents, check_parameters, task_type_named
from lidarprep.errors import ParameterError


class ScaleProtocol:
    """Builds requests to one API address and reads the answers.

    Args:
        api_url: The API's address.
        key: Only to keep it out of messages, should a server echo it, and for its mode.

    Raises:
        ParameterError: The address can't be one.
    """

    def __init__(self, api_url: str, key: ApiKey) -> None:
        self.api_url = checked_api_url(api_url)
        # A server on this machine, such as the sandbox, can read this machine's files.
        self.strictness = Strictness(local_files=is_loopback(self.api_url))
        self.read = AnswerReader(key)

    def create_task(
        self, task_type: str, parameters: Mapping[str, Any], idempotency_key: str | None = None
    ) -> ApiRequest:
        """The request that creates a task.

        Args:
            task_type: A name of TASK_TYPES.
            parameters: Values by name.
            idempotency_key: Names the request; a new version 4 UUID by default.

        Raises:
            ParameterError: A parameter is wrong; the message lists all that are.
        """
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
            # One that frees itself when the task fails doesn't rule out a second task.
            has_unique_id="unique_id" in body and not body.get("clear_unique_id_on_error"),
        )

    def get_task(self, task_id: str) -> ApiRequest:
        """The request that retrieves a task."""
        return self._to_task("GET", task_id)

    def list_tasks(self, query: Query) -> ApiRequest:
        """The request for a page of tasks.

        Raises:
            ParameterError: A filter can't be sent.
        """
        try:
            return ApiRequest("GET", f"{self.api_url}/tasks{'?' if query else ''}{urlencode(query)}")
        except UnicodeEncodeError as cause:  # half of a surrogate pair
            problem = f"the filters hold a character that can't be sent ({cause})"
        raise ParameterError(problem)

    def cancel_task(self, task_id: str, *, clear_unique_id: bool = False) -> ApiRequest:
        """The request that cancels a task. Cancelling twice is the same as once, so it needs no idempotency key."""
        query = "?clear_unique_id=true" if clear_unique_id else ""
        return self._to_task("POST", task_id, f"/cancel{query}")

    def set_metadata(self, task_id: str, metadata: Mapping[str, Any]) -> ApiRequest:
        """The request that sets a task's metadata: the body is the metadata itself."""
        return self._to_task("POST", task_id, "/setMetadata", checked_metadata(metadata))

    def set_unique_id(self, task_id: str, unique_id: str) -> ApiRequest:
        """The request that gives a task another unique_id."""
        return self._to_task("POST", task_id, "/unique_id", {"unique_id": checked_text("unique_id", unique_id)})

    def clear_unique_id(self, task_id: str) -> ApiRequest:
        """The request that takes a task's unique_id away."""
        return self._to_task("DELETE", task_id, "/unique_id")

    def add_tags(self, task_id: str, tags: str | Iterable[str]) -> ApiRequest:
        """The request that adds tags."""
        return self._to_task("PUT", task_id, "/tags", checked_tags(tags))

    def set_tags(self, task_id: str, tags: str | Iterable[str]) -> ApiRequest:
        """The request that sets all tags; of an empty list, it takes all away."""
        return self._to_task("POST", task_id, "/tags", checked_tags(tags, may_be_empty=True))

    def delete_tags(self, task_id: str, tags: str | Iterable[str]) -> ApiRequest:
        """The request that takes tags away."""
        return self._to_task("DELETE", task_id, "/tags", checked_tags(tags))

    def set_dependent_options(
        self, task_id: str, defs: Sequence[Mapping[str, Any] | DependentDefinition] | None, require_audit: bool | None
    ) -> ApiRequest:
        """The request that changes what follows a task once it is completed."""
        body = check_dependents(defs, require_audit, self.strictness)
        return self._to_task("POST", task_id, "/dependents/options", body)

    def force_dependents(self, task_id: str) -> ApiRequest:
        """The request that creates a task's dependents without an audit."""
        return self._to_task("POST", task_id, "/dependents/force_creation")

    def fetch(self, url: str) -> ApiRequest:
        """The request for what a link of a task leads to. The key goes with it only if that is the API itself."""
        return ApiRequest("GET", url, with_key=_origin(url) == _origin(self.api_url))

    def _to_task(self, method: str, task_id: str, beyond: str = "", body: Any = None) -> ApiRequest:
        url = f"{self.api_url}/task/{checked_id(task_id)}{beyond}"
        return ApiRequest(method, url, None if body is None else _json(body))

    def __repr__(self) -> str:
        return f"ScaleProtocol({self.api_url!r})"


def _json(body: Any) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as cause:
        raise ParameterError(f"what is to be sent must be made of JSON values only ({cause})") from None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(scheme)
