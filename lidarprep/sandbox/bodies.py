"""Request bodies: JSON, and HTML forms as curl's -d sends them."""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin
from urllib.parse import parse_qsl

from pydantic import BaseModel

FORM = "application/x-www-form-urlencoded"

MOST_FORM_FIELDS = 1000
DEEPEST_BRACKETS = 8


class BodyError(ValueError):
    """A body can't be read; the message says why."""


def read_json(text: bytes | bytearray) -> Any:
    """The JSON value of a body.

    Raises:
        BodyError: It is not JSON.
    """
    try:
        value = json.loads(text, parse_constant=_no_json, parse_float=_finite)
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text, and can't be answered
        return value
    except (ValueError, RecursionError):
        raise BodyError("The body is not JSON.") from None


def _no_json(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and Infinity: Python reads them, JSON has them not


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(number)  # 1e999: more than a float holds, and not to be written as JSON again
    return value


def read_form(text: bytes | bytearray) -> dict[str, Any]:
    """The fields of a form: repeated names are lists, `a[b]` and `a[0][b]` nest, all values are strings.

    Raises:
        BodyError: It is no form, or its names contradict one another.
    """
    try:
        pairs = parse_qsl(
            text.decode(), keep_blank_values=True, strict_parsing=bool(text), max_num_fields=MOST_FORM_FIELDS
        )
    except ValueError as cause:
        raise BodyError(f"The body is no form ({cause}).") from None
    fields: dict[str, Any] = {}
    for name, value in pairs:
        _put(fields, _path_of(name), value)
    return {name: _lists_in(value) for name, value in fields.items()}


def _path_of(name: str) -> list[str]:
    """The steps of `a[b][c]`: "a", "b", "c"."""
    if not (parts := re.fullmatch(r"([^\[\]]+)((?:\[[^\[\]]*\])*)", name)):
        raise BodyError(f"The form's field {name!r} has brackets that don't match.")
    path = [parts[1], *re.findall(r"\[([^\[\]]*)\]", parts[2])]
    if len(path) > DEEPEST_BRACKETS:
        raise BodyError(f"The form's field {path[0]!r} has more than {DEEPEST_BRACKETS} brackets.")
    # `a[]` is how some libraries repeat a name.
    return path[:-1] if len(path) > 1 and not path[-1] else path


def _put(fields: dict[str, Any], path: Sequence[str], value: str) -> None:
    *outer, last = path
    for step in outer:
        fields = fields.setdefault(step, {})
        if not isinstance(fields, dict):
            raise BodyError(f"The form's field {path[0]!r} is both a value and an object.")
    if isinstance(fields.get(last), dict):
        raise BodyError(f"The form's field {path[0]!r} is both a value and an object.")
    if last not in fields:
        fields[last] = value
    elif isinstance(fields[last], list):
        fields[last].append(value)
    else:
        fields[last] = [fields[last], value]


def _lists_in(value: Any) -> Any:
    """Objects whose names are 0, 1, 2 … as the lists that they stand for."""
    if not isinstance(value, dict):
        return value
    items = {name: _lists_in(item) for name, item in value.items()}
    if items and set(items) == {str(number) for number in range(len(items))}:
        return [items[str(number)] for number in range(len(items))]
    return items


def typed_as(model: type[BaseModel], fields: Mapping[str, Any]) -> dict[str, Any]:
    """A form's fields with the types that a model's fields ask for; what doesn't fit stays, for the model to refuse."""
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
    """The value as the first of several types that changes it, unless a string or an object will do as it is."""
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
