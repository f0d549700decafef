"""What is wrong with parameters, in sentences: the field, what was found, the rule."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from lidarprep.api.parameters.base import BROKEN_CONDITION, PYTHON_NAMES, WIRE_NAMES
from lidarprep.api.parameters.values import BROKEN_RULE, nearest
from lidarprep.errors import ParameterError

LONGEST_VALUE = 80

# What is never shown, and what is in its place: queries, where presigned URLs carry their signatures; the user and
# password of a URL; API keys.
SECRETS = (
    (re.compile(r"[?#].*=.*", re.DOTALL), "?…"),
    (re.compile(r"://[^/?#]*@"), "://…@"),
    (re.compile(r"(?<![0-9A-Za-z])(live|test)_[0-9A-Za-z]{16,}"), r"\1_…"),
)

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


def parameter_error(subject: str, known: Collection[str], error: ValidationError) -> ParameterError:
    """One error that lists everything that is wrong, a line each.

    Args:
        subject: What the parameters are for: the task type, mostly.
        known: Names of all parameters that there are.
        error: What the check found.
    """
    # Every frame's URL breaks the same rule when one does, so alike entries of one list are told once, and counted.
    alike: dict[tuple[object, ...], list[Mapping[str, Any]]] = {}
    for part in error.errors(include_url=False):
        alike.setdefault((part["type"], part["msg"], *_without_indices(part["loc"])), []).append(part)
    sentences = [
        _sentence(parts[0], known) + (f" (and {len(parts) - 1} more like it)" if len(parts) > 1 else "")
        for parts in alike.values()
    ]
    if len(sentences) == 1:
        return ParameterError(f"{subject}: {sentences[0]}")
    lines = "".join(f"\n  {sentence}" for sentence in sentences)
    return ParameterError(f"{subject}: {len(sentences)} problems with the parameters{lines}")


def shown(value: Any) -> str:
    """A value that was found, short, and without what may be secret in it."""
    if isinstance(value, str):
        value = without_secrets(value)
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


def without_secrets(text: str) -> str:
    """A text, without what is never shown."""
    for secret, instead in SECRETS:
        text = secret.sub(instead, text)
    return text


def _sentence(part: Mapping[str, Any], known: Collection[str]) -> str:
    kind, found, bounds = part["type"], part["input"], part.get("ctx", {})
    field = _path(part["loc"])
    match kind:
        case _ if kind == BROKEN_CONDITION:
            # It begins with the parameter's own name; what stands before that is what the parameter is in.
            within = _path(part["loc"][:-1])
            return f"{within}{'.' if within else ''}{bounds['problem']}"
        case _ if kind == BROKEN_RULE:
            rule = str(bounds["rule"])
            return f"{field} is {shown(found)}: it {rule}"
        case "missing":
            return f"{field} is missing; it is required"
        case "extra_forbidden":
            return _unknown(field, known) if len(part["loc"]) == 1 else f"{field} is not known there"
        case "literal_error":
            return f"{field} is {shown(found)}: it must be {bounds['expected']}"
        case "too_long":
            return f"{field} has {bounds['actual_length']} entries; at most {bounds['max_length']} are allowed"
        case "too_short" if bounds["min_length"] > 1:
            return f"{field} has {bounds['actual_length']} entries; at least {bounds['min_length']} are needed"
        case "too_short" | "string_too_short":
            return f"{field} is empty; it must not be"
        case "greater_than_equal":
            return f"{field} is {shown(found)}: it must be at least {bounds['ge']}"
        case "less_than_equal":
            return f"{field} is {shown(found)}: it must be at most {bounds['le']}"
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
            # A step can be a key of the user's own.
            name = without_secrets(step)
            name = name if len(name) <= LONGEST_VALUE else name[:LONGEST_VALUE] + "…"
            path += f".{name}" if path else name
    return path
