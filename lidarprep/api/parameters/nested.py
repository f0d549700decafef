"""Objects within parameters: what their models have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator

from lidarprep.api.parameters.values import broken, json_object


class Nested(BaseModel):
    """An object within a parameter.

    The reference keeps the options of most of them on pages of their own, so keys that are not known here pass through
    as they are. A known key that is None counts as not given, and what was not given is not sent.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _copied(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {name: value for name, value in json_object(data).items() if value is not None or not cls._knows(name)}

    @classmethod
    def _knows(cls, name: str) -> bool:
        return name in cls.model_fields


Model = TypeVar("Model", bound=Nested)


def of_kind(model: type[Model]) -> Callable[[Any, ValidationInfo], Model]:
    """A validator that takes the model's own instances, and objects to make one of."""

    def checked(value: Any, info: ValidationInfo) -> Model:
        if not isinstance(value, (model, Mapping)):
            raise broken("must be an object")
        return model.model_validate(value, context=info.context)

    return checked
