"""Read requests: bodies in JSON, or HTML forms as curl's -d sends them, and the query of a list of tasks.

All of it raises RequestError for what can't be read.
"""

from __future__ import annotations

import base64
import json
import logging
import math
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, Union, get_args, get_origin
from urllib.parse import parse_qsl

from pydantic import BaseModel

from lidarprep._json import MOST_LEVELS, is_too_deep
from lidarprep.sandbox._common import SandboxError, time_text
from lidarprep.sandbox._store import AUDIT_RESULTS, PENDING_REVIEW, STATUSES, TaskFilter

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

log = logging.getLogger(__name__)

FORM = "application/x-www-form-urlencoded"

MOST_FORM_FIELDS = 1000
DEEPEST_BRACKETS = 8

MOST_TASKS_A_PAGE = 100
MOST_DIGITS = 12
BAD_PAGE = "next_token is not one that the sandbox issued."

KNOWN_QUERIES = frozenset(
    (
        *("start_time", "end_time", "completed_after", "completed_before", "updated_after", "updated_before"),
        *("status", "type", "project", "customer_review_status", "batch", "unique_id", "tags"),
        *("limit", "offset", "next_token", "include_attachment_url", "limited_response"),
    )
)


class RequestError(SandboxError):
    """A request can't be read; the message says why."""


def read_json(text: bytes) -> Any:
    """Return the JSON value of a body."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        if is_too_deep(value):
            raise RequestError(f"The body is nested more than {MOST_LEVELS} levels deep.")
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is not text, and can't be answered
        return value
    except (ValueError, RecursionError):
        raise RequestError("The body is not JSON.") from None


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and Infinity: Python reads them, JSON does not have them


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(number)  # 1e999: more than a float holds, and can't be written as JSON again
    return value


def read_fields(text: bytes, content_type: str, model: type[BaseModel] | None = None) -> dict[str, Any]:
    """Return the fields of a body that is a JSON object or a form, whose texts get the types of the model."""
    if content_type.partition(";")[0].strip().lower() == FORM:
        fields = read_form(text)
        return fields if model is None else typed_as(model, fields)
    value = read_json(text)
    if not isinstance(value, dict):
        raise RequestError("The body is not a JSON object.")
    return value


def read_form(text: bytes) -> dict[str, Any]:
    """Return the fields of a form: repeated names are lists, `a[b]` and `a[0][b]` nest, all values are strings."""
    try:
        pairs = parse_qsl(
            text.decode(), keep_blank_values=True, strict_parsing=bool(text), max_num_fields=MOST_FORM_FIELDS
        )
    except ValueError as cause:
        raise RequestError(f"The body is not a form ({cause}).") from None
    fields: dict[str, Any] = {}
    for name, value in pairs:
        _put(fields, _path_of(name), value)
    return {name: _lists_in(value) for name, value in fields.items()}


def _path_of(name: str) -> list[str]:
    """Return the steps of `a[b][c]`: "a", "b", "c"."""
    if not (parts := re.fullmatch(r"([^\[\]]+)((?:\[[^\[\]]*\])*)", name)):
        raise RequestError(f"The form's field {name!r} has brackets that don't match.")
    path = [parts[1], *re.findall(r"\[([^\[\]]*)\]", parts[2])]
    if len(path) > DEEPEST_BRACKETS:
        raise RequestError(f"The form's field {path[0]!r} has more than {DEEPEST_BRACKETS} brackets.")
    # Some libraries repeat a name as `a[]`.
    return path[:-1] if len(path) > 1 and not path[-1] else path


def _put(fields: dict[str, Any], path: Sequence[str], value: str) -> None:
    *outer, last = path
    for step in outer:
        fields = fields.setdefault(step, {})
        if not isinstance(fields, dict):
            raise RequestError(f"The form's field {path[0]!r} is both a value and an object.")
    if isinstance(fields.get(last), dict):
        raise RequestError(f"The form's field {path[0]!r} is both a value and an object.")
    if last not in fields:
        fields[last] = value
    elif isinstance(fields[last], list):
        fields[last].append(value)
    else:
        fields[last] = [fields[last], value]


def _lists_in(value: Any) -> Any:
    """Turn objects whose names are 0, 1, 2 … into lists."""
    if not isinstance(value, dict):
        return value
    items = {name: _lists_in(item) for name, item in value.items()}
    if items and set(items) == {str(number) for number in range(len(items))}:
        return [items[str(number)] for number in range(len(items))]
    return items


def typed_as(model: type[BaseModel], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a form's fields to the types of a model's fields; what doesn't fit stays, for the model to refuse."""
    by_name = {}
    for name, field in model.model_fields.items():
        by_name[name] = field.annotation
        if field.serialization_alias:
            by_name[field.serialization_alias] = field.annotation
    return {name: _typed(value, by_name.get(name, str)) for name, value in fields.items()}


def _typed(value: Any, wanted: Any) -> Any:
    origin = get_origin(wanted)
    if origin is Annotated:
        return _typed(value, get_args(wanted)[0])
    if origin in (Union, types.UnionType):
        return _typed_as_one_of(value, get_args(wanted))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        items = value if isinstance(value, list) else [value]
        return [_typed(item, (get_args(wanted) or (str,))[0]) for item in items]
    if origin is Literal:
        return _typed(value, type(get_args(wanted)[0]))
    if isinstance(wanted, type) and issubclass(wanted, BaseModel) and isinstance(value, dict):
        return typed_as(wanted, value)
    if isinstance(value, str):
        if wanted is bool:
            return {"true": True, "false": False}.get(value.lower(), value)
        if wanted is int and re.fullmatch(r"[+-]?\d{1,18}", value):
            return int(value)
        if wanted is float and re.fullmatch(r"[+-]?(\d{1,40}(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", value):
            number = float(value)
            return number if math.isfinite(number) else value
    return value


def _typed_as_one_of(value: Any, options: Sequence[Any]) -> Any:
    """Return the value as the first of several types that changes it; a string stays one where strings are allowed."""
    options = [option for option in options if option is not type(None)]
    if isinstance(value, str) and any(_plain(option) is str for option in options):
        return value
    for option in options:
        typed = _typed(value, option)
        if typed is not value:
            return typed
    return value


def _plain(wanted: Any) -> Any:
    return get_args(wanted)[0] if get_origin(wanted) is Annotated else wanted


def read_filter(query: QueryParams) -> TaskFilter:
    """Return the filter of a list of tasks."""
    for name in query:
        if name not in KNOWN_QUERIES:
            # As with unknown parameters of a task: a client may know more. Logged, as it may be a slip.
            log.warning("GET /tasks: the unknown query parameter %s is ignored", name)
    read_boolean(query, "include_attachment_url")  # no effect: attachments keep the URLs that they were given by
    return TaskFilter(
        between={
            "created_at": (moment_in(query, "start_time", up=True), moment_in(query, "end_time")),
            "completed_at": (moment_in(query, "completed_after", up=True), moment_in(query, "completed_before")),
            "updated_at": (moment_in(query, "updated_after", up=True), moment_in(query, "updated_before")),
        },
        among={
            "status": _one_of(query, "status", STATUSES),
            "type": _listed(query, "type"),
            "project": query.getlist("project"),
            "batch": query.getlist("batch"),
            "unique_id": _listed_or_whole(query, "unique_id"),
            "tags": _listed_or_whole(query, "tags"),
            "review": _one_of(query, "customer_review_status", (*AUDIT_RESULTS, PENDING_REVIEW)),
        },
    )


def read_page(query: QueryParams) -> tuple[int, str | None, int]:
    """Return the size of a page, the id of the task that it follows, and the number of tasks to skip.

    A next_token names the task. The number to skip is a parameter of the reference's older text; 0 by default."""
    limit, offset, token = page_limit(query), number_in(query, "offset"), query.get("next_token")
    task_id = None
    if offset is not None and token is not None:
        raise RequestError("offset and next_token are given; they exclude each other.")
    if token is not None:
        try:
            task_id = json.loads(base64.urlsafe_b64decode(token))["task_id"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RequestError(BAD_PAGE) from None
        if not isinstance(task_id, str):
            raise RequestError(BAD_PAGE)
    return limit, task_id, offset or 0


def page_limit(query: QueryParams) -> int:
    """Return the size of a page."""
    limit = query.get("limit", str(MOST_TASKS_A_PAGE))
    if not _is_number(limit) or not 1 <= int(limit) <= MOST_TASKS_A_PAGE:
        raise RequestError(f"limit is {limit!r}; it must be a number between 1 and {MOST_TASKS_A_PAGE}.")
    return int(limit)


def number_in(query: QueryParams, name: str) -> int | None:
    """Return a query parameter that is a whole number; None if missing."""
    text = query.get(name)
    if text is not None and not _is_number(text):
        raise RequestError(f"{name} is {text!r}; it must be a number, at least 0.")
    return None if text is None else int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def token_after(task: Mapping[str, Any]) -> str:
    """Return the next_token of a page that ends with this task."""
    content = {name: task[name] for name in ("task_id", "created_at")}
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def read_boolean(query: QueryParams, name: str) -> bool:
    """Return a query parameter that is true or false; false if missing."""
    text = query.get(name, "false").lower()
    if text not in ("true", "false", "1", "0", ""):
        raise RequestError(f"{name} is {text!r}; it must be true or false.")
    return text in ("true", "1")


def _listed(query: QueryParams, name: str) -> Sequence[str]:
    """Return values that are repeated, or joined by commas, or both."""
    return [part.strip() for text in query.getlist(name) for part in text.split(",") if part.strip()]


def _listed_or_whole(query: QueryParams, name: str) -> Sequence[str]:
    """The same for values that may contain commas: each text also counts as a whole."""
    return [*_listed(query, name), *(text for text in query.getlist(name) if "," in text)]


def _one_of(query: QueryParams, name: str, known: Iterable[str]) -> Sequence[str]:
    values = _listed(query, name)
    for value in values:
        if value not in known:
            raise RequestError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")
    return values


def moment_in(query: QueryParams, name: str, *, up: bool = False) -> str | None:
    """Return a query parameter that is a time, as tasks have it: UTC, to the millisecond; None if missing.

    Between two milliseconds it is the later one if `up`. Without a zone it is UTC.
    """
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
        raise RequestError(f"{name} is {text!r}; it must be an ISO 8601 date or time{hint}.") from None
    return time_text(moment)
