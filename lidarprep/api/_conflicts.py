"""A unique_id that is taken: whether the task that has it is equal to the one that was sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from lidarprep.api._task import Task

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


def task_named_in(message: str) -> str | None:
    """Return the task id in a conflict's message: 'The unique_id ("…") is already used for … (602c399c…).'"""
    # The last parentheses: a unique_id may hold some too.
    found = re.findall(r"\(([0-9A-Za-z_-]+)\)", message)
    return found[-1] if found else None


def first_difference(task_type: str, sent: Mapping[str, Any], task: Task) -> str | None:
    """Describe where a task differs from the request; None if it is the same, as far as the response shows it.

    Every value that was sent has to be there. Further values may be the API's defaults, or added since (tags,
    metadata). Values that the response does not show count as the same.

    Args:
        task_type: The requested type.
        sent: The request's body.
        task: The task that the API has.
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
    # True is no 1, but 5 is 5.0 once it went through JSON.
    same = here == there and isinstance(here, bool) == isinstance(there, bool)
    return None if same else f"{place} is {_shown(there)} there, {_shown(here)} here"


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
