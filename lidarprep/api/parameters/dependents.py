"""Dependent tasks: tasks that are created of a lidar task once that is completed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, PlainValidator, PrivateAttr, ValidationInfo, model_serializer, model_validator

from lidarprep.api.parameters.base import TaskParameters, refused
from lidarprep.api.parameters.linking import LidarLinking
from lidarprep.api.parameters.nested import Nested, of_kind
from lidarprep.api.parameters.segmentation import LidarSegmentation
from lidarprep.api.parameters.topdown import LidarTopdown
from lidarprep.api.parameters.values import Strictness, broken

MODELS: Mapping[str, type[TaskParameters]] = {
    model.task_type: model for model in (LidarLinking, LidarSegmentation, LidarTopdown)
}
FROM_ROOT = ("lidar_task", "attachments", "attachment", "attachment_type")

# Stand in for what comes from the root task while a definition is checked; never sent.
_PLACEHOLDER = "of the root task"


class DependentDefinition(Nested):
    """A task to be created of a root task: its type, and that type's parameters but for those that name the root.

    The reference's example gives a lidarsegmentation definition an annotation_type, which is lidarlinking's: so what
    another of the three types knows is sent as it is.
    """

    type: Literal["lidarlinking", "lidarsegmentation", "lidartopdown"]
    """Its task type."""

    _body: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _by_its_type(self, info: ValidationInfo) -> Self:
        model, given = MODELS[self.type], dict(self.model_extra or {})
        named = [
            (name, broken("must not be given: it comes from the root task")) for name in FROM_ROOT if name in given
        ]
        if named:
            raise refused(type(self).__name__, [((name,), problem, given[name]) for name, problem in named])
        own = {name: value for name, value in given.items() if name in model.known_names()}
        others = {name: value for name, value in given.items() if name not in own and self._may_pass(name, info)}
        strangers = {name: value for name, value in given.items() if name not in own and name not in others}
        stand_ins = {"lidar_task": _PLACEHOLDER}
        if "project" not in own and "batch" not in own:
            stand_ins["project"] = _PLACEHOLDER
        checked = model.model_validate({**own, **strangers, **stand_ins}, context=info.context).to_wire()
        self._body = {"type": self.type, **{name: checked[name] for name in checked if name not in stand_ins}, **others}
        return self

    @staticmethod
    def _may_pass(name: str, info: ValidationInfo) -> bool:
        """Whether a parameter that the definition's type doesn't know is sent all the same."""
        if not Strictness.of(info).unenforced_rules:
            return True
        return any(name in model.known_names() for model in MODELS.values())

    @model_serializer
    def _as_sent(self) -> dict[str, Any]:
        return dict(self._body)


class DependentOptions(Nested):
    """What follows a task once it is completed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    defs: (
        Sequence[Annotated[DependentDefinition | Mapping[str, Any], PlainValidator(of_kind(DependentDefinition))]]
        | None
    ) = None
    """The tasks to create."""
    require_audit: bool | None = None
    """Wait for an audit to fix or approve the task before creating them."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.defs is None and self.require_audit is None:
            raise broken("says nothing; give defs, require_audit, or both")
        return self
