"""Annotation attributes: what is to be filled in for each annotation, beside its label.

The four reference texts only name them. Their keys are those of the reference's own pages on annotation attributes:
categorical, numerical, text and linked attributes, and conditionality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from lidarprep.api.parameters.labels import LabelLike
from lidarprep.api.parameters.nested import Nested, of_kind
from lidarprep.api.parameters.values import Number, Text, broken, json_object

CATEGORY = "category"


def _condition(value: Any) -> dict[str, Any]:
    condition = json_object(value)
    for texts in condition.values():
        if not (isinstance(texts, str) or (isinstance(texts, list) and all(isinstance(text, str) for text in texts))):
            raise broken("must map a name to a string, or to a list of strings")
    if not condition:
        raise broken("is empty; it must name what is to be compared")
    return condition


def _label_condition(value: Any) -> dict[str, Any]:
    condition = _condition(value)
    if set(condition) != {"label"}:
        raise broken("must have the key label, and no other")
    return condition


ConditionLike = Annotated[Mapping[str, str | Sequence[str]], PlainValidator(_condition)]


class Conditions(Nested):
    """When to ask for an attribute; all that is given must hold."""

    label_condition: Annotated[Mapping[str, str | Sequence[str]], PlainValidator(_label_condition)] | None = None
    """{"label": NAME} or {"label": [NAME, …]}: only for annotations of that label, the innermost where labels nest."""
    attribute_conditions: Sequence[ConditionLike] | None = None
    """{ATTRIBUTE: VALUE} or {ATTRIBUTE: [VALUE, …]} each: only where other attributes have those values."""


class AnnotationAttribute(Nested):
    """An attribute. Which of its fields count depends on its type."""

    type: Text | None = None
    """category (the default), number, text, angle, linked, …; types that are not known here pass."""
    description: str | None = None
    """The question, as people see it."""
    choices: Annotated[Sequence[LabelLike], Field(min_length=1)] | None = None
    """category: what to choose from."""
    allow_multiple: bool | None = None
    """category: several may be chosen."""
    min: Number | None = None
    """number: the smallest."""
    max: Number | None = None
    """number: the largest."""
    step: Number | None = None
    """number: what it goes up by; 1 by default."""
    allowed_labels: Sequence[Text] | None = None
    """linked: labels of annotations to link to; the innermost where labels nest."""
    required: bool | None = None
    """linked: it must be filled in."""
    conditions: Annotated[Conditions | Mapping[str, Any], PlainValidator(of_kind(Conditions))] | None = None
    """When to ask for it; always by default."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.type or CATEGORY) == CATEGORY and self.choices is None:
            raise broken(f"has no choices; an attribute of type {CATEGORY!r}, the default, needs them")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise broken(f"has min {self.min} above max {self.max}")
        if self.step is not None and self.step <= 0:
            raise broken(f"has step {self.step}; it must be above 0")
        return self


AttributeLike = Annotated[AnnotationAttribute | Mapping[str, Any], PlainValidator(of_kind(AnnotationAttribute))]
AnnotationAttributes = Annotated[Mapping[Text, AttributeLike], BeforeValidator(json_object)]
