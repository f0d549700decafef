"""What a request says besides a task's parameters, checked before it is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lidarprep.api.parameters.values import MAX_TAGS, Metadata
from lidarprep.errors import ParameterError

_METADATA: TypeAdapter[Mapping[str, Any]] = TypeAdapter(Metadata)


def checked_id(task_id: str) -> str:
    """A task's id. Ids are 24 hex digits; anything that can't change a URL's path is let through, for the API to judge.

    Raises:
        ParameterError: It can't be one.
    """
    if not isinstance(task_id, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", task_id):
        raise ParameterError(f"{task_id!r} is no task id: it must be made of letters and digits")
    return task_id


def checked_text(name: str, value: str) -> str:
    """A text that is not empty.

    Raises:
        ParameterError: It is none.
    """
    if not isinstance(value, str) or not value:
        raise ParameterError(f"{name} is {value!r}; it must be a text that is not empty")
    return value


def checked_tags(tags: str | Iterable[str], *, may_be_empty: bool = False) -> list[str]:
    """Tags as a list; a text is one tag.

    Raises:
        ParameterError: They are no texts, are empty, or are more than a task may have.
    """
    if isinstance(tags, Mapping) or not isinstance(tags, Iterable):
        raise ParameterError(f"tags is {tags!r}; it must be a list of texts")
    listed = [tags] if isinstance(tags, str) else list(tags)
    if not listed and not may_be_empty:
        raise ParameterError("tags is empty; give at least one")
    if len(listed) > MAX_TAGS:
        raise ParameterError(f"tags has {len(listed)} items; a task takes at most {MAX_TAGS}")
    return [checked_text(f"tags[{number}]", tag) for number, tag in enumerate(listed)]


def checked_metadata(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Metadata, by the rules that it has as a task's parameter.

    Raises:
        ParameterError: It is no object of JSON values, or too large.
    """
    try:
        return _METADATA.validate_python(metadata)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
    raise ParameterError(f"metadata {problem}")
