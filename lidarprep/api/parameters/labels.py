"""Labels: plain names, or objects that nest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, PlainValidator, ValidationInfo

from lidarprep.api.parameters.nested import Nested
from lidarprep.api.parameters.values import Text, broken

# The reference counts "objects" of the list; labels within labels are not entries of it.
MAX_LABELS = 50
# The reference knows no limit. This one keeps what was made to break things from doing so.
MAX_LABEL_DEPTH = 32


class Label(Nested):
    """A label with options, the reference's LabelDescription; a plain string is a label without any."""

    choice: Text
    """The label's name. With subchoices it can't be chosen itself: it only leads to them."""
    subchoices: Sequence[LabelLike] | None = None
    """Labels that refine this one."""
    instance_label: bool | None = None
    """Segmentation: tell the objects of this label apart; false by default."""
    display: Text | None = None
    """What people see in place of choice."""
    groups: Sequence[Text] | None = None
    """Groups that this label, and its subchoices with it, belong to."""


def _label(value: Any, info: ValidationInfo) -> str | Label:
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, (Label, Mapping)):
        raise broken("must be a non-empty string, or an object with a choice")
    if _too_deep(value):
        raise broken(f"nests labels more than {MAX_LABEL_DEPTH} deep")
    return Label.model_validate(value, context=info.context)


def _too_deep(label: Any) -> bool:
    level = [label]
    for _ in range(MAX_LABEL_DEPTH):
        level = _one_deeper(level)
        if not level:
            return False
    return True


def _one_deeper(labels: Sequence[Any]) -> list[Any]:
    """The subchoices of labels; each object once, so that a label that holds itself twice doesn't double for ever."""
    deeper: dict[int, Any] = {}
    for label in labels:
        found = label.get("subchoices") if isinstance(label, Mapping) else getattr(label, "subchoices", None)
        if isinstance(found, (list, tuple)):
            deeper |= {id(part): part for part in found}
    return list(deeper.values())


def label_names(labels: Any) -> set[str]:
    """Every name in a list of labels, at any depth; of what is no label, nothing."""
    names: set[str] = set()
    level = list(labels) if isinstance(labels, (list, tuple)) else []
    for _ in range(MAX_LABEL_DEPTH + 1):
        choices = [entry.get("choice") if isinstance(entry, Mapping) else entry for entry in level]
        choices = [choice.choice if isinstance(choice, Label) else choice for choice in choices]
        names |= {choice for choice in choices if isinstance(choice, str)}
        level = _one_deeper(level)
    return names


LabelLike = Annotated[str | Label | Mapping[str, Any], PlainValidator(_label)]
Labels = Annotated[Sequence[LabelLike], Field(min_length=1, max_length=MAX_LABELS)]
Label.model_rebuild()
