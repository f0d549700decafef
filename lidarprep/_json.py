"""The depth of JSON that is taken from others: parsers and serializers recurse, and give up at some hundreds."""

from __future__ import annotations

from typing import Any

# Of a whole body. A parameter of a task may have 100 levels, and lies some levels deep in a task, a list, a callback.
MOST_LEVELS = 128


def is_too_deep(value: Any, most: int = MOST_LEVELS) -> bool:
    """Whether objects and lists of a parsed JSON value lie more than `most` levels deep in one another."""
    level = [value]
    for _ in range(most + 1):
        containers = [part for part in level if isinstance(part, dict | list)]
        if not containers:
            return False
        level = [item for part in containers for item in (part.values() if isinstance(part, dict) else part)]
    return True
