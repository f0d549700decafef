"""The query of a list of tasks: filters, and which page of it."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lidarprep.sandbox.records import TaskFilter, time_text

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

log = logging.getLogger(__name__)

MOST_TASKS_A_PAGE = 100
MOST_DIGITS = 12

STATUSES = ("pending", "completed", "canceled", "error")
REVIEW_STATUSES = ("accepted", "fixed", "commented", "rejected")

KNOWN = frozenset(
    (
        *("start_time", "end_time", "completed_after", "completed_before", "updated_after", "updated_before"),
        *("status", "type", "project", "customer_review_status", "batch", "unique_id", "tags"),
        *("limit", "offset", "next_token", "include_attachment_url"),
    )
)


class QueryError(ValueError):
    """A query makes no sense; the message says why."""


def read_filter(query: QueryParams) -> TaskFilter:
    """Which tasks a query asks for.

    Raises:
        QueryError: A value is none that its parameter takes.
    """
    for name in query:
        if name not in KNOWN:
            # As with unknown parameters of a task: a client may know more; told, as it may be a slip.
            log.warning("GET /tasks: the unknown query parameter %s is left aside", name)
    read_boolean(query, "include_attachment_url")  # taken; here attachments have no URLs but those they were given by
    return TaskFilter(
        created=(_moment(query, "start_time", up=True), _moment(query, "end_time")),
        completed=(_moment(query, "completed_after", up=True), _moment(query, "completed_before")),
        updated=(_moment(query, "updated_after", up=True), _moment(query, "updated_before")),
        statuses=_one_of(query, "status", STATUSES),
        types=_listed(query, "type"),
        projects=query.getlist("project"),
        batches=query.getlist("batch"),
        unique_ids=_listed_or_whole(query, "unique_id"),
        tags=_listed_or_whole(query, "tags"),
        review_statuses=_one_of(query, "customer_review_status", REVIEW_STATUSES),
    )


def read_limit(query: QueryParams) -> int:
    """How many tasks a page is to have.

    Raises:
        QueryError: It is no number from 1 to 100.
    """
    text = query.get("limit")
    if text is None:
        return MOST_TASKS_A_PAGE
    if not _is_number(text) or not 1 <= int(text) <= MOST_TASKS_A_PAGE:
        raise QueryError(f"limit is {text!r}; it must be a number between 1 and {MOST_TASKS_A_PAGE}.")
    return int(text)


def read_offset(query: QueryParams) -> int | None:
    """How many tasks to leave out, as the reference's older text has it; None if it isn't said.

    Raises:
        QueryError: It is no number, or stands beside next_token.
    """
    text = query.get("offset")
    if text is None:
        return None
    if not _is_number(text):
        raise QueryError(f"offset is {text!r}; it must be a number, at least 0.")
    if "next_token" in query:
        raise QueryError("offset and next_token are given; they exclude each other.")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def token_after(task_id: str, created_at: str) -> str:
    """The next_token of a page that ends with this task."""
    return base64.urlsafe_b64encode(json.dumps({"task_id": task_id, "created_at": created_at}).encode()).decode()


def read_token(query: QueryParams) -> str | None:
    """The task that the page before ended with.

    Raises:
        QueryError: The token is none of the sandbox's.
    """
    token = query.get("next_token")
    if token is None:
        return None
    try:
        task_id = json.loads(base64.urlsafe_b64decode(token))["task_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        task_id = None
    if not isinstance(task_id, str):
        raise QueryError("next_token is none of ours.")
    return task_id


def read_boolean(query: QueryParams, name: str) -> bool:
    """A query parameter that is true or false; false if it isn't there.

    Raises:
        QueryError: It is something else.
    """
    text = query.get(name, "false").lower()
    if text not in ("true", "false", "1", "0", ""):
        raise QueryError(f"{name} is {text!r}; it must be true or false.")
    return text in ("true", "1")


def _listed(query: QueryParams, name: str) -> Sequence[str]:
    """Values that are given repeatedly, or joined by commas, or both."""
    return [part.strip() for text in query.getlist(name) for part in text.split(",") if part.strip()]


def _listed_or_whole(query: QueryParams, name: str) -> Sequence[str]:
    """The same for what may have commas of its own: each text is also taken as a whole."""
    return [*_listed(query, name), *(text for text in query.getlist(name) if "," in text)]


def _one_of(query: QueryParams, name: str, known: Iterable[str]) -> Sequence[str]:
    values = _listed(query, name)
    for value in values:
        if value not in known:
            raise QueryError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")
    return values


def _moment(query: QueryParams, name: str, *, up: bool = False) -> str | None:
    """A time as tasks have it; between two milliseconds, the later one if `up`. Without a zone it is UTC."""
    text = query.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if up and moment.microsecond % 1000:
            moment += timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        hint = "; in a query, + has to be written %2B" if " " in text else ""
        raise QueryError(f"{name} is {text!r}; it must be an ISO 8601 date or time{hint}.") from None
    return time_text(moment)
