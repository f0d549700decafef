"""Lists of tasks: filters, checked before anything is sent, and pages of tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any, Generic, TypeAlias, TypedDict, TypeVar

from lidarprep.api._task import AsyncTask, Task
from lidarprep.errors import ParameterError, ServerError

MOST_TASKS_A_PAGE = 100

# The reference's list of statuses to filter by lacks "error", which its own text on unique ids names.
STATUSES = ("pending", "completed", "canceled", "error")
REVIEW_STATUSES = ("accepted", "fixed", "commented", "rejected", "pending")

Moment: TypeAlias = datetime | date | str
OneOrMore: TypeAlias = str | Iterable[str]

AnyTask = TypeVar("AnyTask", bound=Task | AsyncTask)
OtherTask = TypeVar("OtherTask", bound=Task | AsyncTask)

Query: TypeAlias = tuple[tuple[str, str], ...]


class TaskFilters(TypedDict, total=False):
    """Filters of a list of tasks; a task must pass all of them. A filter that is None is not sent.

    Times are datetimes with a time zone, dates, or ISO 8601 texts; both ends are included. Where a filter takes several
    values, a task must have one of them.
    """

    start_time: Moment | None
    """Created then or later."""
    end_time: Moment | None
    """Created then or earlier."""
    completed_after: Moment | None
    completed_before: Moment | None
    updated_after: Moment | None
    """One time, though the reference's table types it as an array of objects."""
    updated_before: Moment | None
    status: OneOrMore | None
    """pending, completed, canceled or error."""
    type: str | None
    """A task type's name."""
    project: str | None
    batch: str | None
    customer_review_status: OneOrMore | None
    """Result of the customer's audit: accepted, fixed, commented or rejected; pending where there was none."""
    unique_id: OneOrMore | None
    tags: OneOrMore | None
    include_attachment_url: bool | None
    """Show the attachments as presigned URLs."""
    limited_response: bool | None
    """Show tasks without their parameters and responses, which may be megabytes."""
    limit: int | None
    """Tasks on a page, 1 to 100; 100 by default."""


@dataclass(frozen=True)
class TaskPage(Generic[AnyTask]):
    """A page of a list of tasks, the newest task first.

    Args:
        tasks: The tasks of this page.
        total: Number of tasks on all pages, if the API said.
        limit: Most tasks on a page, if the API said.
        has_more: Whether another page follows.
        next_token: Token of the next page; None on the last.
        next_offset: The same for an API of the older reference, whose pages are counted by `offset`.
        raw: The whole response.
    """

    tasks: tuple[AnyTask, ...]
    total: int | None = None
    limit: int | None = None
    has_more: bool = False
    next_token: str | None = None
    next_offset: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def from_api(answer: Mapping[str, Any]) -> TaskPage[Task] | None:
        """Parse a response; None if it is not a list of tasks."""
        docs = answer.get("docs")
        if not isinstance(docs, list):
            return None
        tasks = [Task.from_api(doc) if isinstance(doc, dict) else None for doc in docs]
        if None in tasks:
            return None
        token = answer.get("next_token")
        token = token if isinstance(token, str) and token else None
        more = answer.get("has_more")
        # The reference shows the token only beside has_more; either alone says that there is more.
        has_more = more if isinstance(more, bool) else token is not None
        offset = _count(answer.get("offset"))
        return TaskPage(
            tasks=tuple(task for task in tasks if task is not None),
            total=_count(answer.get("total")),
            limit=_count(answer.get("limit")),
            has_more=has_more,
            next_token=token if has_more else None,
            # Pages by offset: the older reference. An empty page ends the list, lest it never end.
            next_offset=(offset or 0) + len(tasks) if has_more and token is None and tasks else None,
            raw=answer,
        )

    def of(self, tasks: tuple[OtherTask, ...]) -> TaskPage[OtherTask]:
        """Return the same page with other task objects."""
        return TaskPage(tasks, self.total, self.limit, self.has_more, self.next_token, self.next_offset, self.raw)


def task_query(
    filters: Mapping[str, Any],
    *,
    next_token: str | None = None,
    offset: int | None = None,
    called: Mapping[str, str] | None = None,
) -> Query:
    """Build the query of a list request: names and values, not yet escaped.

    Several values are sent as several parameters of one name. The reference also joins them by commas, which would
    split a tag that holds a comma.

    Args:
        filters: The filters, by name.
        next_token: Token that the previous page gave.
        offset: The same, for an API of the older reference.
        called: Names of filters in messages, where they differ.

    Raises:
        ParameterError: A filter is not known, or its value is not valid; the message names it.
    """
    query: list[tuple[str, str]] = []
    for name, value in filters.items():
        if name not in _READERS:
            near = get_close_matches(name, _READERS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ParameterError(f"there is no filter {name}{hint}", fix=f"Filters: {', '.join(_READERS)}.")
        if value is not None:
            query += [(name, text) for text in _READERS[name]((called or {}).get(name, name), value)]
    if next_token is not None:
        query.append(("next_token", checked_text("next_token", next_token)))
    if offset is not None:
        if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
            raise ParameterError(f"offset is {offset!r}; it must be a whole number, at least 0")
        query.append(("offset", str(offset)))
    return tuple(query)


def checked_text(name: str, value: Any) -> str:
    """Check that a text is not empty; else raise ParameterError."""
    if not isinstance(value, str) or not value:
        raise ParameterError(f"{name} is {value!r}; it must be a text that is not empty")
    return value


def _text(name: str, value: Any) -> list[str]:
    return [checked_text(name, value)]


def _texts(name: str, value: Any) -> list[str]:
    if isinstance(value, str):
        return _text(name, value)
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise ParameterError(f"{name} is {value!r}; it must be a text, or several")
    texts = [checked_text(name, one) for one in value]
    if not texts:
        raise ParameterError(f"{name} is empty; leave it out to list tasks with any")
    return texts


def _one_of(known: tuple[str, ...]) -> Callable[[str, Any], list[str]]:
    def read(name: str, value: Any) -> list[str]:
        # Commas join values here: no status has one in it.
        texts = [part.strip() for text in _texts(name, value) for part in text.split(",")]
        for text in texts:
            if text not in known:
                raise ParameterError(f"{name} is {text!r}; it must be one of {', '.join(known)}")
        return texts

    return read


def _moment(name: str, value: Any) -> list[str]:
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ParameterError(
                f"{name} is {value.isoformat()} without a time zone", fix="Say which: datetime(…, tzinfo=timezone.utc)."
            )
        return [value.isoformat()]
    if isinstance(value, date):
        return [value.isoformat()]
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ParameterError(
            f"{name} is {value!r}; it must be a time: a datetime with a time zone, or ISO 8601 as in"
            " '2021-04-25' or '2021-04-25T03:14:15-07:00'"
        ) from None
    return [value]


def _limit(name: str, value: Any) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_TASKS_A_PAGE:
        raise ParameterError(f"{name} is {value!r}; it must be a whole number from 1 to {MOST_TASKS_A_PAGE}")
    return [str(value)]


def _flag(name: str, value: Any) -> list[str]:
    if not isinstance(value, bool):
        raise ParameterError(f"{name} is {value!r}; it must be True or False")
    return ["true" if value else "false"]


_READERS: Mapping[str, Callable[[str, Any], list[str]]] = {
    **dict.fromkeys(("start_time", "end_time", "completed_after", "completed_before"), _moment),
    **dict.fromkeys(("updated_after", "updated_before"), _moment),
    "status": _one_of(STATUSES),
    "type": _text,
    "project": _text,
    "batch": _text,
    "customer_review_status": _one_of(REVIEW_STATUSES),
    "unique_id": _texts,
    "tags": _texts,
    **dict.fromkeys(("include_attachment_url", "limited_response"), _flag),
    "limit": _limit,
}


def next_query(first: Query, page: TaskPage[Any], asked: Query) -> Query | None:
    """Build the query after a page, of the first page's query; None after the last page.

    Raises:
        ServerError: It is the query that the page was `asked` for by, so that the list would never end.
    """
    if page.next_token is not None:
        query = (*first, ("next_token", page.next_token))
    elif page.next_offset is not None:
        query = (*first, ("offset", str(page.next_offset)))
    else:
        return None
    if query == asked:
        raise ServerError("GET /tasks: the API gave a page that is followed by itself")
    return query


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
