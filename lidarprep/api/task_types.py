"""The task types: one table, read by the client, the sandbox and the command line alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from lidarprep.api.parameters import (
    LidarAnnotation,
    LidarLinking,
    LidarSegmentation,
    LidarTopdown,
    Multistage,
    Strictness,
    TaskParameters,
)
from lidarprep.api.parameters.messages import nearest, parameter_error
from lidarprep.errors import ParameterError


@dataclass(frozen=True)
class TaskType:
    """A kind of task.

    Args:
        name: As the API calls it, and as it stands in a task's `type`.
        path: Where such tasks are created, below the API's address.
        parameters: The model of its parameters.
    """

    name: str
    path: str
    parameters: type[TaskParameters]


def _at_its_own_name(parameters: type[TaskParameters]) -> TaskType:
    return TaskType(parameters.task_type, f"/task/{parameters.task_type}", parameters)


TASK_TYPES: Mapping[str, TaskType] = MappingProxyType(
    {
        model.task_type: _at_its_own_name(model)
        for model in (LidarAnnotation, LidarSegmentation, LidarTopdown, LidarLinking, Multistage)
    }
)


def task_type_named(name: str) -> TaskType:
    """The task type of that name.

    Raises:
        ParameterError: There is none.
    """
    if name not in TASK_TYPES:
        known = ", ".join(TASK_TYPES)
        raise ParameterError(f"there is no task type {name!r}{nearest(name, TASK_TYPES)}", fix=f"Task types: {known}.")
    return TASK_TYPES[name]


def check_parameters(
    task_type: str, parameters: Mapping[str, Any], strictness: Strictness | None = None
) -> TaskParameters:
    """Parameters, checked by the rules of their task type.

    Args:
        task_type: A name of TASK_TYPES.
        parameters: Values by name; Python's names and the wire's are both taken.
        strictness: What the server that they are for can do; Scale's own service by default.

    Raises:
        ParameterError: There is no such task type, or something is wrong with the parameters: then it lists all that
            is, a line each, with the field, the value found and the rule.
    """
    model = task_type_named(task_type).parameters
    try:
        return model.model_validate(dict(parameters), context=strictness or Strictness())
    except ValidationError as error:
        problem = parameter_error(model, error)
    # Out of the except clause, so that no chained traceback prints the values again, presigned URLs among them.
    raise problem


def read_parameters(task_type: str, body: Mapping[str, Any], strictness: Strictness) -> TaskParameters:
    """The parameters of a request's body, as a server reads them: what it doesn't know, it lets be.

    Raises:
        ParameterError: As in `check_parameters`.
    """
    model = task_type_named(task_type).parameters
    try:
        return model.from_wire(body, strictness)
    except ValidationError as error:
        problem = parameter_error(model, error)
    raise problem
