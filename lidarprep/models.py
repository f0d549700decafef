"""The base of every model that people write: its errors name the field, the value and what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from os import PathLike
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from lidarprep.errors import RecipeError


class CheckedModel(BaseModel):
    """A frozen model that refuses unknown keys, and whose errors are RecipeErrors.

    `nested_fields` names the keys of a nested value that pydantic itself checks, for the hint at a misspelt one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    nested_fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise _recipe_error(error, type(self)) from None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # What is left at its default says nothing.
        fields = type(self).model_fields
        return [
            (name, value)
            for name, value in super().__repr_args__()
            if name not in fields or value != fields[name].get_default(call_default_factory=True)
        ]

    @classmethod
    def from_yaml(cls, path: str | PathLike[str]) -> Self:
        """Read the model from a YAML file.

        Raises:
            RecipeError: The file is missing, is not YAML, or holds what the model does not know.
        """
        from lidarprep.yaml_files import read_yaml

        data = read_yaml(path, "the recipe")
        try:
            return cls(**data)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error.message}", fix=error.fix) from None


def _recipe_error(error: ValidationError, model: type[CheckedModel]) -> RecipeError:
    """Return pydantic's findings, one sentence each."""
    lines = []
    for finding in error.errors():
        name = ".".join(str(part) for part in finding["loc"])
        if finding["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = model.nested_fields if len(finding["loc"]) > 1 else tuple(model.model_fields)
            near = get_close_matches(str(finding["loc"][-1]), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            lines.append(f"unknown key {name!r}; {hint}")
        elif finding["type"] == "missing":
            lines.append(f"{name} is missing")
        elif finding["type"] == "value_error" and not name:
            lines.append(str(finding["ctx"]["error"]))
        else:
            message = finding["msg"].removeprefix("Value error, ")
            lines.append(f"{name} is {finding['input']!r}: {message[0].lower()}{message[1:]}")
    return RecipeError("; ".join(lines))
