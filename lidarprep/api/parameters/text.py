"""Task parameters as they are typed at a terminal: KEY=VALUE."""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, NoReturn, Union, get_args, get_origin

from lidarprep.api.parameters.base import PYTHON_NAMES
from lidarprep.api.task_types import task_type_named
from lidarprep.errors import ParameterError


def parse_param(text: str, task_type: str | None = None) -> tuple[str, Any]:
    """A parameter from `KEY=VALUE`: JSON where VALUE is JSON, a string otherwise.

    Args:
        text: 'labels=["car"]', 'priority=30', 'project=street'.
        task_type: Type of the task that it is for. With it, what has to be a string is left as it was typed, so that
            `project=2024` needs no quotes.

    Returns:
        The key and the value.

    Raises:
        ParameterError: There is no "=" in it, or nothing before it; or the task type is not known.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ParameterError(f"the parameter {text!r} is not KEY=VALUE", fix="For example: --param 'labels=[\"car\"]'")
    return key, (value if task_type and _is_text(task_type, key) and value[:1] != '"' else _parsed(value))


def parse_params(texts: Iterable[str], task_type: str | None = None) -> dict[str, Any]:
    """Parameters from any number of `KEY=VALUE`; see `parse_param`.

    Raises:
        ParameterError: One can't be read, or is given twice.
    """
    parameters: dict[str, Any] = {}
    for text in texts:
        key, value = parse_param(text, task_type)
        if key in parameters:
            raise ParameterError(f"the parameter {key} is given twice")
        parameters[key] = value
    return parameters


def _parsed(value: str) -> Any:
    try:
        return json.loads(value, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return value


def _refuse(constant: str) -> NoReturn:
    # Python's parser takes NaN and Infinity, which are no JSON.
    raise ValueError(constant)


def _is_text(task_type: str, key: str) -> bool:
    field = task_type_named(task_type).parameters.model_fields.get(PYTHON_NAMES.get(key, key))
    return field is not None and _takes_text(field.annotation)


def _takes_text(annotation: Any) -> bool:
    """Whether a type is a string, perhaps annotated or optional; a list of strings is none."""
    if get_origin(annotation) in (Union, UnionType):
        return any(_takes_text(option) for option in get_args(annotation))
    return annotation is str or (get_origin(annotation) is Annotated and get_args(annotation)[0] is str)
