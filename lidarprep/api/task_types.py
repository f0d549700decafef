"""The task types: one table, read by the client, the sandbox and the command line alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from lidarprep.api.parameters import (
    Annotation,
    AudioTranscription,
    Categorization,
    Comparison,
    DataCollection,
    DependentDefinition,
    DependentOptions,
    LidarAnnotation,
    LidarLinking,
    LidarSegmentation,
    LidarTopdown,
    Multistage,
    Phonecall,
    Strictness,
    TaskParameters,
    Transcription,
)
from lidarprep.api.parameters.messages import parameter_error
from lidarprep.api.parameters.values import nearest
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


_MODELS: tuple[type[TaskParameters], ...] = (
    LidarAnnotation,
    LidarSegmentation,
    LidarTopdown,
    LidarLinking,
    Multistage,
    Categorization,
    Transcription,
    Phonecall,
    Comparison,
    Annotation,
    DataCollection,
    AudioTranscription,
)
# Every type is created at its own name but one.
_OTHER_PATHS = {Categorization.task_type: "/task/categorize"}

TASK_TYPES: Mapping[str, TaskType] = MappingProxyType(
    {
        name: TaskType(name, _OTHER_PATHS.get(name, f"/task/{name}"), model)
        for name, model in ((model.task_type, model) for model in _MODELS)
    }
)


def task_type_at(path: str) -> TaskType | None:
    """The task type that is created at a path below the API's address, as "/task/categorize"; None for none."""
    return next((task_type for task_type in TASK_TYPES.values() if task_type.path == path), None)


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
        problem = parameter_error(task_type, model.known_names(), error)
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
        problem = parameter_error(task_type, model.known_names(), error)
    raise problem


def check_dependents(
    defs: Sequence[Mapping[str, Any] | DependentDefinition] | None = None,
    require_audit: bool | None = None,
    strictness: Strictness | None = None,
) -> dict[str, Any]:
    """What is to follow a task, checked; as it is sent to change a task's dependent options.

    Args:
        defs: The tasks to create once the root task is completed; see DependentDefinition.
        require_audit: Wait for an audit to fix or approve the root task first.
        strictness: What the server that it is for can do; Scale's own service by default.

    Raises:
        ParameterError: There is nothing to change, or something is wrong: then it lists all that is, a line each.
    """
    return _dependents({"defs": defs, "require_audit": require_audit}, strictness or Strictness())


def read_dependents(body: Mapping[str, Any], strictness: Strictness) -> dict[str, Any]:
    """The dependent options of a request's body, as a server reads them: what it doesn't know, it lets be.

    Raises:
        ParameterError: As in `check_dependents`.
    """
    known = {name: value for name, value in body.items() if name in DependentOptions.model_fields}
    return {**body, **_dependents(known, strictness)}


def _dependents(options: Mapping[str, Any], strictness: Strictness) -> dict[str, Any]:
    try:
        checked = DependentOptions.model_validate(options, context=strictness)
        return checked.model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        problem = parameter_error("dependents", set(DependentOptions.model_fields), error)
    raise problem
