"""A unique_id that is taken: whether the task that has it is the one that was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from lidarprep.api.task import Task

# Parameters that say how to treat the task rather than what it is; unique_id is what the two were found by.
NOT_CONTENT = ("unique_id", "clear_unique_id_on_error")

# Sent under one name, shown under another: so the reference's answer to a lidarlinking task.
SHOWN_AS: Mapping[str, str] = {"lidar_task": "task_id"}

# Query parameters that sign a URL for a while: of S3, Google Cloud Storage, CloudFront and Azure. The same file has
# others each time that it is signed; all other parameters say which file it is.
_SIGNING = re.compile(
    r"x-amz-.*|x-goog-.*|awsaccesskeyid|googleaccessid|signature|expires|policy|key-pair-id"
    r"|sig|sv|sr|sp|se|st|spr|ske|skoid|sks|skt|sktid|skv",
    re.IGNORECASE,
)


def task_named_in(message: str) -> str | None:
    """The task that a conflict's message points to: 'The unique_id ("…") is already used for … (602c399c…).'"""
    # The last parentheses: a unique_id may hold some too.
    found = re.findall(r"\(([0-9A-Za-z_-]+)\)", message)
    return found[-1] if found else None


def first_difference(task_type: str, sent: Mapping[str, Any], task: Task) -> str | None:
    """Where a task differs from what was sent, in words; None if it is the same, as far as the answer shows it.

    All that was sent has to be there; what is there beyond that the API may have filled in, or someone may have added
    since (tags, metadata). What the answer doesn't show can't be compared: it counts as the same.

    Args:
        task_type: The type that was asked for.
        sent: The request's body.
        task: The task as it is.
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
    """A URL without what signs it; any other text as it is."""
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
