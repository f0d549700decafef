"""The task types: one table for the client, the sandbox and the command line, and checks of parameters by type."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType, UnionType
from typing import Annotated, Any, NoReturn, Union, get_args, get_origin

from pydantic import ValidationError

from lidarprep.api import parameters as models
from lidarprep.api.parameters import DependentDefinition, DependentOptions, Strictness, TaskParameters
from lidarprep.api.parameters._base import PYTHON_NAMES, parameter_error
from lidarprep.api.parameters._values import nearest
from lidarprep.errors import ParameterError


@dataclass(frozen=True)
class TaskType:
    """A task type.

    Args:
        name: Its name in the API, and in a task's `type`.
        path: Path that creates such tasks, below the API's address.
        parameters: The model of its parameters.
    """

    name: str
    path: str
    parameters: type[TaskParameters]


_MODELS: tuple[type[TaskParameters], ...] = (
    models.LidarAnnotation,
    models.LidarSegmentation,
    models.LidarTopdown,
    models.LidarLinking,
    models.Multistage,
    models.SensorFusion,
    models.Categorization,
    models.Transcription,
    models.Phonecall,
    models.Comparison,
    models.Annotation,
    models.DataCollection,
    models.AudioTranscription,
)
# Every path but one is the type's name.
_OTHER_PATHS = {models.Categorization.task_type: "/task/categorize"}

TASK_TYPES: Mapping[str, TaskType] = MappingProxyType(
    {
        model.task_type: TaskType(model.task_type, _OTHER_PATHS.get(model.task_type, f"/task/{model.task_type}"), model)
        for model in _MODELS
    }
)


def task_type_at(path: str) -> TaskType | None:
    """Find a task type by the path that creates it, such as "/task/categorize"; None if there is none."""
    return next((task_type for task_type in TASK_TYPES.values() if task_type.path == path), None)


# Names that Scale's own client knows beside ours: a slip of one is named, and none of them is taken for a slip.
_OTHER_NAMES = (
    *("imageannotation", "segmentannotation", "cuboidannotation", "polygonannotation", "lineannotation"),
    *("pointannotation", "laneannotation", "videoannotation", "videoboxannotation", "videoplaybackannotation"),
    *("videocuboidannotation", "federal2dvideoannotation", "documentmodel", "documenttranscription"),
    *("namedentityrecognition", "textcollection", "chat", "chatexperimental", "chatlite", "multichat"),
)
_SLIP = 0.85


def task_type_named(name: str) -> TaskType:
    """Find a task type by name; one without a model here has the parameters of UntypedTask.

    Raises:
        ParameterError: It can't be a name, or is almost that of a known type.
    """
    if name in TASK_TYPES:
        return TASK_TYPES[name]
    close = get_close_matches(name, (*TASK_TYPES, *_OTHER_NAMES), n=1, cutoff=_SLIP)
    if not re.fullmatch(r"[a-z][a-z0-9]*", name) or (close and name not in _OTHER_NAMES):
        known = ", ".join((*TASK_TYPES, *_OTHER_NAMES))
        near = nearest(name, (*TASK_TYPES, *_OTHER_NAMES))
        raise ParameterError(f"there is no task type {name!r}{near}", fix=f"Task types: {known}; …")
    return TaskType(name, f"/task/{name}", models.UntypedTask)


def check_parameters(
    task_type: str, parameters: Mapping[str, Any], strictness: Strictness | None = None
) -> TaskParameters:
    """Check parameters by the rules of their task type.

    Args:
        task_type: A name of TASK_TYPES.
        parameters: Values by name, either Python's or the wire's.
        strictness: Abilities of the server; Scale's own service by default.

    Raises:
        ParameterError: The task type is not known, or a parameter is wrong. It lists all problems, a line each, with
            the field, the value found and the rule.
    """
    model = task_type_named(task_type).parameters
    try:
        if model is models.UntypedTask:
            return model.from_wire(parameters, strictness or Strictness())
        return model.model_validate(dict(parameters), context=strictness or Strictness())
    except ValidationError as error:
        problem = parameter_error(task_type, model.known_names(), error)
    # Outside the except clause, so that no chained traceback prints the values again, presigned URLs among them.
    raise problem


def read_parameters(task_type: TaskType | str, body: Mapping[str, Any], strictness: Strictness) -> TaskParameters:
    """Read the parameters of a request's body as a server does: unknown ones pass.

    Raises:
        ParameterError: As in `check_parameters`.
    """
    known = task_type_named(task_type) if isinstance(task_type, str) else task_type
    model = known.parameters
    try:
        return model.from_wire(body, strictness)
    except ValidationError as error:
        problem = parameter_error(known.name, model.known_names(), error)
    raise problem


def check_dependents(
    defs: Sequence[Mapping[str, Any] | DependentDefinition] | None = None,
    require_audit: bool | None = None,
    strictness: Strictness | None = None,
) -> dict[str, Any]:
    """Check a task's dependent options, and return them as they are sent.

    Args:
        defs: The tasks to create once the root task is completed; see DependentDefinition.
        require_audit: Wait for an audit to fix or approve the root task first.
        strictness: Abilities of the server; Scale's own service by default.

    Raises:
        ParameterError: No option is given, or one is wrong. It lists all problems, a line each.
    """
    return _dependents({"defs": defs, "require_audit": require_audit}, strictness or Strictness())


def read_dependents(body: Mapping[str, Any], strictness: Strictness) -> dict[str, Any]:
    """Read the dependent options of a request's body as a server does: unknown ones pass.

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


def parse_param(text: str, task_type: str | None = None) -> tuple[str, Any]:
    """Parse `KEY=VALUE`: JSON where VALUE is JSON, a string otherwise.

    Args:
        text: 'labels=["car"]', 'priority=30', 'project=street'.
        task_type: Type of the task. With it, string parameters stay as they were typed, so that `project=2024` needs no
            quotes.

    Returns:
        The key and the value.

    Raises:
        ParameterError: It has no key or no "=", or the task type is not known.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ParameterError(f"the parameter {text!r} is not KEY=VALUE", fix="For example: --param 'labels=[\"car\"]'")
    return key, (value if task_type and _is_text(task_type, key) and value[:1] != '"' else _parsed(value))


def parse_params(texts: Iterable[str], task_type: str | None = None) -> dict[str, Any]:
    """Parse several `KEY=VALUE`; see `parse_param`.

    Raises:
        ParameterError: One can't be parsed, or is given twice.
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
    # Python's parser accepts NaN and Infinity, which JSON does not have.
    raise ValueError(constant)


def _is_text(task_type: str, key: str) -> bool:
    field = task_type_named(task_type).parameters.model_fields.get(PYTHON_NAMES.get(key, key))
    return field is not None and _takes_text(field.annotation)


def _takes_text(annotation: Any) -> bool:
    """Whether a type is a string, perhaps annotated or optional; a list of strings is not."""
    if get_origin(annotation) in (Union, UnionType):
        return any(_takes_text(option) for option in get_args(annotation))
    return annotation is str or (get_origin(annotation) is Annotated and get_args(annotation)[0] is str)
