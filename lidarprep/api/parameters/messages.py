"""What is wrong with parameters, in sentences: the field, what was found, the rule."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from lidarprep.api.parameters.base import BROKEN_CONDITION, PYTHON_NAMES, WIRE_NAMES, TaskParameters
from lidarprep.api.parameters.values import BROKEN_RULE
from lidarprep.errors import ParameterError

LONGEST_VALUE = 80

MUST_BE = {
    "string_type": "a string",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_parsing_size": "a whole number of ordinary size",
    "float_type": "a number",
    "finite_number": "a finite number",
    "sequence_str": "a list, not one string",
    "is_instance_of": "a list",
    "model_type": "an object",
    "mapping_type": "an object",
    "dict_type": "an object",
}


def parameter_error(model: type[TaskParameters], error: ValidationError) -> ParameterError:
    """One error that lists everything that is wrong, a line each."""
    # Every frame's URL breaks the same rule when one does, so alike entries of one list are told once, and counted.
    alike: dict[tuple[object, ...], list[Mapping[str, Any]]] = {}
    for part in error.errors(include_url=False):
        alike.setdefault((part["type"], part["msg"], *_without_indices(part["loc"])), []).append(part)
    sentences = [
        _sentence(parts[0], model.known_names()) + (f" (and {len(parts) - 1} more like it)" if len(parts) > 1 else "")
        for parts in alike.values()
    ]
    if len(sentences) == 1:
        return ParameterError(f"{model.task_type}: {sentences[0]}")
    lines = "".join(f"\n  {sentence}" for sentence in sentences)
    return ParameterError(f"{model.task_type}: {len(sentences)} problems with the parameters{lines}")


def nearest(name: str, names: Collection[str]) -> str:
    """A hint at the name that was likely meant, or nothing: " (did you mean labels?)"."""
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def shown(value: Any) -> str:
    """A value that was found, short, and without what may be secret in it."""
    if isinstance(value, str):
        if "://" in value:
            # A presigned URL carries its signature in the query.
            address, question_mark, _ = value.partition("?")
            value = address + ("?…" if question_mark else "")
        short = reprlib.Repr()
        short.maxstring = LONGEST_VALUE
        return short.repr(value)
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (bytes, Sequence)):
        return "a list" if not isinstance(value, bytes) else "bytes"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 64:
        return "a very large number"  # Python refuses to write the largest ones out
    return repr(value) if isinstance(value, (int, float)) else f"of type {type(value).__name__}"


def _sentence(part: Mapping[str, Any], known: Collection[str]) -> str:
    kind, found, bounds = part["type"], part["input"], part.get("ctx", {})
    field = _path(part["loc"])
    match kind:
        case _ if kind == BROKEN_CONDITION:
            return str(bounds["problem"])
        case _ if kind == BROKEN_RULE:
            rule = str(bounds["rule"])
            return f"{field} is {shown(found)}: it {rule}"
        case "missing":
            return f"{field} is missing; it is required"
        case "extra_forbidden":
            return _unknown(field, known)
        case "literal_error":
            return f"{field} is {shown(found)}: it must be {bounds['expected']}"
        case "too_long":
            return f"{field} has {bounds['actual_length']} entries; at most {bounds['max_length']} are allowed"
        case "too_short" | "string_too_short":
            return f"{field} is empty; it must not be"
        case "greater_than_equal":
            return f"{field} is {shown(found)}: it must be at least {bounds['ge']}"
    rule = f"must be {MUST_BE[kind]}" if kind in MUST_BE else f"is not valid ({part['msg']})"
    return f"{field} is {shown(found)}: it {rule}"


def _unknown(field: str, known: Collection[str]) -> str:
    if field in PYTHON_NAMES and field in known:
        return f"{field} is given twice: it is also called {PYTHON_NAMES[field]}"
    offered = {name for name in known if name not in WIRE_NAMES.values()}
    return f"{field} is not a parameter of this task type{nearest(field, offered)}; extra_params sends it all the same"


def _without_indices(loc: Sequence[int | str]) -> tuple[str, ...]:
    return tuple(step for step in loc if isinstance(step, str))


def _path(loc: Sequence[int | str]) -> str:
    """("labels", 3, "choice") as labels[3].choice."""
    path = ""
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if path else step
    return path
