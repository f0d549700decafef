"""Parameters of every task type, their validation, and its error messages."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, Self

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

# How alike an unknown key is to a known one where it is likely a slip of it.
SLIP = 0.8

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


# Keywords of the models that are no parameters of the API.
NOT_SENT = ("manifest", "coordinates")


class Unenforced(str):
    """A broken condition that the service does not enforce; see `Strictness`."""

    __slots__ = ()


class TaskParameters(BaseModel):
    """Parameters of every task type. Each type's model adds its own.

    A parameter that is None counts as not given, and is not sent.

    Raises:
        pydantic.ValidationError: A parameter is wrong; it lists all problems. The client, and `check_parameters`, turn
            it into a ParameterError.
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
    """Instruction for the labelers, in Markdown."""
    callback_url: CallbackUrl | None = None
    """Receiver of the result: an http(s) URL, or an e-mail address."""
    metadata: Metadata | None = None
    """Your own key/value pairs, at most 10 KB as JSON; Scale keeps and returns them."""
    priority: Priority | None = None
    """10, 20 or 30; the higher, the sooner within the project."""
    unique_id: Text | None = None
    """Your own id; a second task with the same one is refused, in any project of the account."""
    clear_unique_id_on_error: bool | None = None
    """Free the unique_id should the task end in an error, so that it can be submitted again."""
    tags: Tags | None = None
    """At most 5 labels to find the task by."""
    extra_params: JsonObject | None = None
    """Further parameters, to be sent as they are."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[str]:
        """Find broken conditions on several parameters.

        Args:
            given: Values by Python name. They are NOT checked yet: test for presence, and compare.

        Returns:
            A sentence for each, with the value found and the rule. It begins with a parameter's name.
        """
        return ()

    @classmethod
    def filled_in(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fill in what the parameters leave to something among them."""
        return data

    @classmethod
    def wire_name(cls, field: str) -> str:
        """Name of a field in the request."""
        return WIRE_NAMES.get(field, field)

    @classmethod
    def known_names(cls) -> set[str]:
        """Names of all parameters, in Python and on the wire."""
        return {name for field in cls.model_fields for name in (field, cls.wire_name(field))} - set(NOT_SENT)

    @classmethod
    def from_wire(cls, body: Mapping[str, Any], strictness: Strictness) -> Self:
        """Read a request's body as a server does: unknown parameters pass.

        Raises:
            pydantic.ValidationError: A parameter is wrong.
        """
        names = {cls.wire_name(name) for name in cls.model_fields} - {"extra_params", *NOT_SENT}
        known = {name: value for name, value in body.items() if name in names}
        unknown = {name: value for name, value in body.items() if name not in names}
        return cls.model_validate({**known, "extra_params": unknown or None}, context=strictness)

    def to_wire(self) -> dict[str, Any]:
        """The request's body: the given parameters by the reference's names."""
        # Leave out by unset and not by None: a null within metadata is the user's own.
        body: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"extra_params"})
        return {**body, **(self.extra_params or {})}

    def notes(self) -> list[str]:
        """What is sent as it is, and may be a slip: a sentence each."""
        return [
            f"{_path(place)} is not a known key (did you mean {known}?); it is sent as it is"
            for place, known in _slips(self, ())
        ]

    @model_validator(mode="wrap")
    @classmethod
    def _check_each_and_together(
        cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        """Check each parameter, then all together, and report both at once."""
        if not isinstance(data, Mapping):
            return handler(data)
        try:
            data = cls.filled_in(data)
        except PydanticCustomError as problem:
            details = InitErrorDetails(type=problem, loc=("manifest",), input=data.get("manifest"))
            raise ValidationError.from_exception_data(cls.__name__, [details], hide_input=True) from None
        given = {name: value for name, value in data.items() if value is not None}
        checked, problems = None, []
        try:
            checked = handler(given)
        except ValidationError as error:
            problems = _details(error)
        by_python_name = {PYTHON_NAMES.get(name, name): value for name, value in given.items()}
        wrong_already = {PYTHON_NAMES.get(str(problem["loc"][0]), problem["loc"][0]) for problem in problems}
        extra = given.get("extra_params")
        conditions = [
            f"extra_params holds {name}, which is known: give it by its own name, to be checked"
            for name in sorted(
                (cls.known_names() - {"extra_params"}) & set(extra if isinstance(extra, Mapping) else ())
            )
        ]
        for condition in (*conditions, *cls.conditions(by_python_name)):
            field = re.split(r"\W", condition, maxsplit=1)[0]
            skipped = isinstance(condition, Unenforced) and not Strictness.of(info).unenforced_rules
            if not skipped and field not in wrong_already:
                # The sentence is passed as a value and not as the template: a template's braces are placeholders.
                broken = PydanticCustomError(BROKEN_CONDITION, "{problem}", {"problem": str(condition)})
                problems.append(InitErrorDetails(type=broken, loc=(field,), input=None))
        if checked is None or problems:
            raise ValidationError.from_exception_data(cls.__name__, problems, hide_input=True)
        return checked


def _slips(value: Any, place: tuple[int | str, ...]) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Yield the place of each unknown key of a nested object that is much like a known one, and the known one."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        for name in value.model_extra or {}:
            if close := get_close_matches(name, fields, n=1, cutoff=SLIP):
                yield (*place, name), close[0]
        parts: Iterable[tuple[int | str, Any]] = ((name, getattr(value, name)) for name in value.model_fields_set)
    elif isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, (list, tuple)):
        parts = enumerate(value)
    else:
        return
    for key, part in parts:
        if isinstance(part, (BaseModel, Mapping, list, tuple)):
            yield from _slips(part, (*place, key))


def _details(error: ValidationError) -> list[InitErrorDetails]:
    """The error's parts in the form that a new error is built from."""
    return [
        InitErrorDetails(
            type=PydanticCustomError(part["type"], "{message}", {**part.get("ctx", {}), "message": part["msg"]}),
            loc=part["loc"],
            input=part["input"],
        )
        for part in error.errors(include_url=False)
    ]


def parameter_error(subject: str, known: Collection[str], error: ValidationError) -> ParameterError:
    """Turn pydantic's error into one that lists all problems, a line each; `known` are the parameters' names."""
    # All frames' URLs often break the same rule, so equal problems in one list are reported once, and counted.
    alike: dict[tuple[object, ...], list[Mapping[str, Any]]] = {}
    for part in error.errors(include_url=False):
        place = (step for step in part["loc"] if isinstance(step, str))
        alike.setdefault((part["type"], part["msg"], *place), []).append(part)
    sentences = [
        _sentence(parts[0], known) + (f" (and {len(parts) - 1} more like it)" if len(parts) > 1 else "")
        for parts in alike.values()
    ]
    if len(sentences) == 1:
        return ParameterError(f"{subject}: {sentences[0]}")
    lines = "".join(f"\n  {sentence}" for sentence in sentences)
    return ParameterError(f"{subject}: {len(sentences)} problems with the parameters{lines}")


def shown(value: Any) -> str:
    """Show a value in a message: short, and without secrets."""
    if isinstance(value, str):
        short = reprlib.Repr()
        short.maxstring = LONGEST_VALUE
        return short.repr(without_secrets(value))
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, bytes):
        return "bytes"
    if isinstance(value, Sequence):
        return "a list"
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
            # It begins with the parameter's own name; only the enclosing parameters are missing.
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


def _path(loc: Sequence[int | str]) -> str:
    """Format a place: ("labels", 3, "choice") as labels[3].choice."""
    path = ""
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            name = without_secrets(step)  # it may be the user's own key
            name = name if len(name) <= LONGEST_VALUE else name[:LONGEST_VALUE] + "…"
            path += f".{name}" if path else name
    return path
