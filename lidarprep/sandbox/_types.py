"""Task types of the sandbox: those of the reference with all of their rules, others with the common ones."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from lidarprep.api import TASK_TYPES, Strictness, TaskParameters, TaskType, read_parameters
from lidarprep.sandbox._common import SandboxError

# The sandbox runs where its caller does, and accepts what the reference's own examples leave out.
STRICTNESS = Strictness(local_files=True, unenforced_rules=False)

# By path and by name: a categorization is created at /task/categorize, which its name doesn't tell.
_TYPES_BY_PATH: Mapping[str, TaskType] = {
    **TASK_TYPES,
    **{task_type.path.removeprefix("/task/"): task_type for task_type in TASK_TYPES.values()},
}

# Types of Scale's own client beside the reference's; the sandbox knows none of their own parameters.
_UNTYPED = frozenset(
    (
        *("cuboidannotation", "documentmodel", "documenttranscription", "imageannotation", "laneannotation"),
        *("lineannotation", "namedentityrecognition", "pointannotation", "polygonannotation", "segmentannotation"),
        *("sensorfusion", "textcollection", "videoannotation", "videoboxannotation", "videocuboidannotation"),
        "videoplaybackannotation",
    )
)


def task_type_of(path: str) -> TaskType:
    """Return the task type that is created at /task/PATH.

    Raises:
        SandboxError: There is none.
    """
    if path in _TYPES_BY_PATH:
        return _TYPES_BY_PATH[path]
    if path in _UNTYPED:
        return _untyped(path)
    raise SandboxError(f"There is no task type {path!r}.", 404)


@cache
def _untyped(name: str) -> TaskType:
    parameters = type("UntypedParameters", (TaskParameters,), {"task_type": name, "__module__": __name__})
    return TaskType(name, f"/task/{name}", parameters)


def read_task(task_type: TaskType, body: Mapping[str, Any]) -> TaskParameters:
    """Read the parameters of a request.

    Raises:
        ParameterError: One is wrong; it lists all problems.
    """
    return read_parameters(task_type, body, STRICTNESS)
