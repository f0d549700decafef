"""Task types of the sandbox: those of the reference with all of their rules, others with the common ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from lidarprep.api import (
    Strictness,
    TaskParameters,
    TaskType,
    UntypedTask,
    read_parameters,
    task_type_at,
    task_type_named,
)
from lidarprep.errors import ParameterError
from lidarprep.sandbox._common import SandboxError

# The sandbox runs where its caller does, and accepts what the reference's own examples leave out.
STRICTNESS = Strictness(local_files=True, unenforced_rules=False)


def task_type_of(path: str) -> TaskType:
    """Return the task type that is created at /task/PATH, by its path or its name.

    Raises:
        SandboxError: There is none.
    """
    try:
        # A categorization is created at /task/categorize, which its name doesn't tell.
        found = task_type_at(f"/task/{path}") or task_type_named(path)
    except ParameterError as error:
        raise SandboxError(error.message, 404) from None
    return _untyped(found) if found.parameters is UntypedTask else found


@cache
def _untyped(task_type: TaskType) -> TaskType:
    """Return a type whose parameters know its name."""
    parameters = type("Parameters", (UntypedTask,), {"task_type": task_type.name, "__module__": __name__})
    return replace(task_type, parameters=parameters)


def read_task(task_type: TaskType, body: Mapping[str, Any]) -> TaskParameters:
    """Read the parameters of a request.

    Raises:
        ParameterError: One is wrong; it lists all problems.
    """
    return read_parameters(task_type, body, STRICTNESS)
