"""A unique_id that is taken: whether the task that has it is equal to the one that was sent."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from lidarprep.api._listing import task_query
from lidarprep.api._requests import ApiRequest, list_request, task_request
from lidarprep.api._responses import Failure
from lidarprep.api._task import Task
from lidarprep.api._transport import Transport
from lidarprep.api.parameters._prepared import METADATA_KEY
from lidarprep.errors import ApiError, BadRequestError, NotFoundError, TaskEndedError, UniqueIdConflictError

log = logging.getLogger(__name__)

# Parameters that say how to treat the task rather than what it is; the task was found by its unique_id.
NOT_CONTENT = ("unique_id", "clear_unique_id_on_error")

# Sent under one name, shown under another, as in the reference's response for a lidarlinking task.
SHOWN_AS: Mapping[str, str] = {"lidar_task": "task_id"}

# Query parameters that sign a URL for a while: of S3, Google Cloud Storage, CloudFront and Azure. They differ each time
# that a file is signed; all other parameters name the file.
_SIGNING = re.compile(
    r"x-amz-.*|x-goog-.*|awsaccesskeyid|googleaccessid|signature|expires|policy|key-pair-id"
    r"|sig|sv|sr|sp|se|st|spr|ske|skoid|sks|skt|sktid|skv",
    re.IGNORECASE,
)


async def existing_task(
    transport: Transport,
    task_type: str,
    request: ApiRequest,
    error: ApiError,
    *,
    id_is_content: bool = False,
    any_batch: bool = False,
) -> Task:
    """Return the task that has a request's unique_id, made by an earlier run or by a try whose response was lost.

    A batch that is finalized takes no more tasks. The API may say that first, of a task that is in it already: so a
    task is looked for where one in a batch is refused.

    Args:
        transport: Asks the API.
        task_type: The request's.
        request: The create that was refused.
        error: Why.
        id_is_content: The unique_id is made of the content, so a task that has it is the same.
        any_batch: A task of another batch is the same.

    Raises:
        TaskEndedError: The task is canceled or in error.
        ApiError: The given error, if no task has the unique_id; or one that another task has it.
    """
    sent = json.loads(request.body or b"{}")
    unique_id = sent.get("unique_id")
    named = error.task_id if isinstance(error, UniqueIdConflictError) else None
    is_batched = isinstance(error, BadRequestError) and sent.get("batch") is not None
    if unique_id is None or not (is_batched or isinstance(error, UniqueIdConflictError)):
        raise error
    found = await _task_with(transport, unique_id, named)
    if found is None:
        raise error
    compared = {name: value for name, value in sent.items() if name != "batch" or not any_batch}
    difference = None if id_is_content else first_difference(task_type, compared, found)
    if difference is not None:
        raise UniqueIdConflictError(
            f"the unique_id {unique_id!r} is taken by task {found.id}, which is another task: {difference}",
            method=error.method,
            path=error.path,
            status=error.status,
            fix=f"Choose another unique_id, or free this one: cancel task {found.id} with clear_unique_id.",
            task_id=found.id,
        )
    if found.status in ("canceled", "error"):
        why = f" ({found.problem})" if found.problem else ""
        put_right = "Put that right, and submit" if found.status == "error" else "Submit"
        raise TaskEndedError(
            f"the unique_id {unique_id!r} has its task already, {found.id}, and that is"
            f" {'in error' if found.status == 'error' else 'canceled'}{why}: no other was made",
            task_id=found.id,
            task_status=found.status,
            fix=f"{put_right} again with --resubmit (resubmit=True), which frees the unique_id for another task.",
        )
    log.info("the unique_id %r has its task already: %s, %s", unique_id, found.id, found.status)
    return found


async def _task_with(transport: Transport, unique_id: str, named: str | None) -> Task | None:
    """Find the task that has a unique_id: the one that the API named, or else one of its list."""
    if named is not None:
        outcome = await transport.send(task_request(transport.api_url, "GET", named), transport.read.task)
        if not isinstance(outcome, Failure):
            if outcome.unique_id == unique_id:
                return outcome
        elif not isinstance(outcome.error, NotFoundError | BadRequestError):
            raise outcome.error
    query = task_query({"unique_id": unique_id})
    page = await transport.send(list_request(transport.api_url, query), transport.read.page)
    if isinstance(page, Failure):
        raise page.error
    # The API splits at commas, so it may list more than was asked for.
    return next((task for task in page.tasks if task.unique_id == unique_id), None)


def first_difference(task_type: str, sent: Mapping[str, Any], task: Task) -> str | None:
    """Describe where a task differs from the request; None if it is the same, as far as the response shows it.

    Every value that was sent has to be there. Further values may be the API's defaults, or added since (tags,
    metadata). Values that the response does not show count as the same.
    """
    if task.type is not None and task.type != task_type:
        return f"type is {task.type!r} there, {task_type!r} here"
    for name, here in sent.items():
        if name in NOT_CONTENT:
            continue
        shown = next((fields[name] for fields in (task.raw, task.params) if name in fields), None)
        if shown is None:
            shown = task.params.get(SHOWN_AS.get(name, name))
        if shown is None:
            continue
        if name == "metadata" and isinstance(here, Mapping):
            here = {key: value for key, value in here.items() if key != METADATA_KEY}
        if name == "tags" and isinstance(here, list) and isinstance(shown, list):
            missing = [tag for tag in here if tag not in shown]
            difference = f"tags lack {missing[0]!r} there" if missing else None
        else:
            difference = _difference(name, here, shown)
        if difference:
            return difference
    return None


def _difference(place: str, here: Any, there: Any) -> str | None:
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        for key, value in here.items():
            if key not in there:
                return f"{place}.{key} is not there"
            if difference := _difference(f"{place}.{key}", value, there[key]):
                return difference
        return None
    if isinstance(here, list) and isinstance(there, list):
        if len(here) != len(there):
            return f"{place} has {len(there)} items there, {len(here)} here"
        items = enumerate(zip(here, there, strict=True))
        return next((found for n, (a, b) in items if (found := _difference(f"{place}[{n}]", a, b))), None)
    if isinstance(here, str) and isinstance(there, str):
        return None if unsigned(here) == unsigned(there) else f"{place} is {_shown(there)} there, {_shown(here)} here"
    # True is not 1, but 5 is 5.0 once it went through JSON.
    same = here == there and isinstance(here, bool) == isinstance(there, bool)
    return None if same else f"{place} is {_shown(there)} there, {_shown(here)} here"


def content_unique_id(task_type: str, content: Mapping[str, Any]) -> str:
    """Return the unique_id that is made of what a task is: "auto-" and a SHA-256, 64 hex digits.

    It is of the task's type and its parameters by their names on the wire, as JSON with sorted keys. What signs a URL
    for a while does not count.
    """
    text = json.dumps([task_type, _unsigned(content)], sort_keys=True, separators=(",", ":"))
    return f"auto-{hashlib.sha256(text.encode()).hexdigest()}"


def _unsigned(value: Any) -> Any:
    """Return JSON with its URLs without their signatures."""
    if isinstance(value, Mapping):
        return {key: _unsigned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unsigned(item) for item in value]
    return unsigned(value) if isinstance(value, str) else value


def unsigned(text: str) -> object:
    """Remove the signature from a URL; return any other text as it is."""
    if "://" not in text[:16] or "?" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not _SIGNING.fullmatch(pair[0])]
    return parts._replace(query="").geturl() if not kept else (parts._replace(query="").geturl(), sorted(kept))


def _shown(value: Any) -> str:
    text = repr(value)
    if isinstance(value, str) and "://" in value[:16]:
        text = repr(value.partition("?")[0])  # the query may sign the URL
    return text if len(text) <= 80 else f"{text[:80]}…"
