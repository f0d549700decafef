"""What the parameters of every task type have in common, and how they are checked."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from lidarprep.api._secrets import without_secrets
from lidarprep.api.parameters._values import (
    BROKEN_RULE,
    CallbackUrl,
    JsonObject,
    Metadata,
    Priority,
    Strictness,
    Tags,
    Text,
    nearest,
)
from lidarprep.errors import ParameterError

BROKEN_CONDITION = "broken_condition"

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

# Parameters whose names on the wire are not snake case.
WIRE_NAMES = {"device_height": "deviceHeight", "padding_x": "paddingX", "padding_y": "paddingY"}
PYTHON_NAMES = {wire: python for python, wire in WIRE_NAMES.items()}


class Condition(NamedTuple):
    """A rule about several parameters that doesn't hold.

    Args:
        field: Python name of the parameter to look at first.
        problem: What was found and what is asked for, in a sentence that begins with the parameter's name.
        unenforced: The service takes such a task all the same; see `Strictness`.
    """

    field: str
    problem: str
    unenforced: bool = False


class TaskParameters(BaseModel):
    """Parameters of a task: those that every type has. Each type's model adds its own.

    A parameter that is None counts as not given, and what was not given is not sent.

    Raises:
        pydantic.ValidationError: Something is wrong with them; it lists everything that is. The client, and
            `check_parameters`, turn it into a ParameterError.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=AliasGenerator(
            validation_alias=lambda name: AliasChoices(name, WIRE_NAMES.get(name, name)),
            serialization_alias=lambda name: WIRE_NAMES.get(name, name),
        ),
    )

    task_type: ClassVar[str]

    project: Text | None = None
    """Project that the task belongs to."""
    batch: Text | None = None
    """Batch that the task belongs to; it implies the project."""
    instruction: str | None = None
    """What to do, in Markdown, for the people who label."""
    callback_url: CallbackUrl | None = None
    """Where the result is posted: an http(s) URL, or an e-mail address."""
    metadata: Metadata | None = None
    """Your own key/value pairs, at most 10 KB as JSON; Scale keeps them and gives them back."""
    priority: Priority | None = None
    """10, 20 or 30; the higher, the sooner within the project."""
    unique_id: Text | None = None
    """Your own id; a second task with the same one is refused, in any project of the account."""
    clear_unique_id_on_error: bool | None = None
    """Free the unique_id should the task end in an error, so that it can be submitted again."""
    tags: Tags | None = None
    """At most 5 labels to find the task by."""
    extra_params: JsonObject | None = None
    """Parameters that are not known here, to be sent as they are."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[Condition]:
        """Rules about several parameters that `given` breaks.

        Args:
            given: What was given, by Python name. The values are NOT checked yet: look at presence, and compare.
        """
        return ()

    @classmethod
    def wire_name(cls, field: str) -> str:
        """What a field is called in the request."""
        return WIRE_NAMES.get(field, field)

    @classmethod
    def known_names(cls) -> set[str]:
        """Every name that a parameter can be given by, in Python or on the wire."""
        return set(cls.model_fields) | {cls.wire_name(name) for name in cls.model_fields}

    @classmethod
    def from_wire(cls, body: Mapping[str, Any], strictness: Strictness) -> Self:
        """The parameters of a request's body, as a server reads them: what it doesn't know, it lets be.

        Raises:
            pydantic.ValidationError: They break a rule.
        """
        names = {cls.wire_name(name) for name in cls.model_fields} - {"extra_params"}
        known = {name: value for name, value in body.items() if name in names}
        unknown = {name: value for name, value in body.items() if name not in names}
        return cls.model_validate({**known, "extra_params": unknown or None}, context=strictness)

    def to_wire(self) -> dict[str, Any]:
        """The request's body: by the reference's names, without what was not given."""
        # Unset and not None is what is left out: a null within metadata is the user's own.
        body: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"extra_params"})
        return {**body, **(self.extra_params or {})}

    @model_validator(mode="wrap")
    @classmethod
    def _check_each_and_together(
        cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        """Checks each parameter, then all together, and reports what both find at once."""
        if not isinstance(data, Mapping):
            return handler(data)
        given = {name: value for name, value in data.items() if value is not None}
        checked, problems = None, []
        try:
            checked = handler(given)
        except ValidationError as error:
            problems = _details(error)
        by_python_name = {PYTHON_NAMES.get(name, name): value for name, value in given.items()}
        wrong_already = {PYTHON_NAMES.get(str(problem["loc"][0]), problem["loc"][0]) for problem in problems}
        for condition in (*cls._extra_conditions(by_python_name), *cls.conditions(by_python_name)):
            skipped = condition.unenforced and not Strictness.of(info).unenforced_rules
            if not skipped and condition.field not in wrong_already:
                # The sentence is passed as a value and not as the template: a template's braces are placeholders.
                broken = PydanticCustomError(BROKEN_CONDITION, "{problem}", {"problem": condition.problem})
                problems.append(InitErrorDetails(type=broken, loc=(condition.field,), input=None))
        if checked is None or problems:
            raise ValidationError.from_exception_data(cls.__name__, problems, hide_input=True)
        return checked

    @classmethod
    def _extra_conditions(cls, given: Mapping[str, Any]) -> Iterable[Condition]:
        extra = given.get("extra_params")
        if not isinstance(extra, Mapping):
            return
        for name in sorted((cls.known_names() - {"extra_params"}) & set(extra)):
            problem = f"extra_params holds {name}, which is known: give it by its own name, to be checked"
            yield Condition("extra_params", problem)


def refused(title: str, problems: Iterable[tuple[tuple[int | str, ...], PydanticCustomError, Any]]) -> ValidationError:
    """The error for several values at once: where each stands, what is wrong with it, and the value."""
    details = [InitErrorDetails(type=problem, loc=loc, input=value) for loc, problem, value in problems]
    return ValidationError.from_exception_data(title, details, hide_input=True)


def _details(error: ValidationError) -> list[InitErrorDetails]:
    """The error's parts, as they are needed to build another error of them."""
    return [
        InitErrorDetails(
            type=PydanticCustomError(part["type"], "{message}", {**part.get("ctx", {}), "message": part["msg"]}),
            loc=part["loc"],
            input=part["input"],
        )
        for part in error.errors(include_url=False)
    ]


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
