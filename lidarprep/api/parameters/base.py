"""What the parameters of every task type have in common, and how they are checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

from lidarprep.api.parameters.values import CallbackUrl, JsonObject, Metadata, Priority, Strictness, Tags, Text

BROKEN_CONDITION = "broken_condition"

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
