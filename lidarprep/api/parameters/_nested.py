"""Objects within parameters: labels, annotation attributes and geometries.

The reference texts only name annotation attributes, the kinds of geometry, and a few of their keys. The other keys are
those of the reference's own pages on annotation attributes, conditionality, boxes, polygons, lines, points, cuboids and
ellipses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self, TypeAlias, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainValidator,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema

from lidarprep.api._secrets import without_secrets
from lidarprep.api.parameters._values import Count, Index, Number, Strictness, Text, broken, json_object, nearest

# The reference counts "objects" of the list; subchoices are not entries of it.
MAX_LABELS = 50
# The reference has no limit. This one bounds the recursion.
MAX_LABEL_DEPTH = 32
CATEGORY = "category"


class Nested(BaseModel):
    """An object within a parameter.

    The reference describes the options of most of them on separate pages, so unknown keys are sent as they are. A known
    key that is None counts as not given, and is not sent.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _copied(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        fields = cls.model_fields
        return {name: value for name, value in json_object(data).items() if value is not None or name not in fields}


class _OwnKind:
    """Validates a nested object: an instance of the model, or an object to make one of."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        model: type[Nested] = get_args(source)[0]

        def checked(value: Any, info: ValidationInfo) -> Nested:
            if not isinstance(value, (model, Mapping)):
                raise broken("must be an object")
            return model.model_validate(value, context=info.context)

        return PlainValidator(checked).__get_pydantic_core_schema__(source, handler)


Model = TypeVar("Model", bound=Nested)
Like: TypeAlias = Annotated[Model | Mapping[str, Any], _OwnKind()]


class Label(Nested):
    """A label with options, the reference's LabelDescription; a plain string is a label without any."""

    choice: Text
    """The label's name. With subchoices it can't be chosen itself: it only leads to them."""
    subchoices: Sequence[LabelLike] | None = None
    """Labels that refine this one."""
    instance_label: bool | None = None
    """Segmentation: tell the objects of this label apart; false by default."""
    display: Text | None = None
    """Text that people see in place of choice."""
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
    """The subchoices of labels. Each object once: a label that holds itself twice would double without end."""
    deeper: dict[int, Any] = {}
    for label in labels:
        found = label.get("subchoices") if isinstance(label, Mapping) else getattr(label, "subchoices", None)
        if isinstance(found, (list, tuple)):
            deeper |= {id(part): part for part in found}
    return list(deeper.values())


def label_names(labels: Any) -> set[str]:
    """Every name in a list of labels, at any depth; values that are not labels are skipped."""
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


def _condition(value: Any) -> dict[str, Any]:
    condition = json_object(value)
    for texts in condition.values():
        if not (isinstance(texts, str) or (isinstance(texts, list) and all(isinstance(text, str) for text in texts))):
            raise broken("must map a name to a string, or to a list of strings")
    if not condition:
        raise broken("is empty; it must name a value to compare")
    return condition


def _only_label(condition: Mapping[str, Any]) -> Mapping[str, Any]:
    if set(condition) != {"label"}:
        raise broken("must have the key label, and no other")
    return condition


Condition = Annotated[Mapping[str, str | Sequence[str]], PlainValidator(_condition)]


class Conditions(Nested):
    """When to ask for an attribute; all given conditions must hold."""

    label_condition: Annotated[Condition, AfterValidator(_only_label)] | None = None
    """{"label": NAME} or {"label": [NAME, …]}: only for annotations of that label, the innermost where labels nest."""
    attribute_conditions: Sequence[Condition] | None = None
    """{ATTRIBUTE: VALUE} or {ATTRIBUTE: [VALUE, …]} each: only where other attributes have those values."""


class AnnotationAttribute(Nested):
    """An attribute. Which of its fields count depends on its type."""

    type: Text | None = None
    """category (the default), number, text, angle, linked, …; unknown types pass."""
    description: str | None = None
    """The question, as people see it."""
    choices: Annotated[Sequence[LabelLike], Field(min_length=1)] | None = None
    """category: the choices."""
    allow_multiple: bool | None = None
    """category: several may be chosen."""
    min: Number | None = None
    """number: the smallest."""
    max: Number | None = None
    """number: the largest."""
    step: Number | None = None
    """number: its step; 1 by default."""
    allowed_labels: Sequence[Text] | None = None
    """linked: labels of annotations to link to; the innermost where labels nest."""
    required: bool | None = None
    """linked: it must be filled in."""
    conditions: Like[Conditions] | None = None
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


AnnotationAttributes = Annotated[Mapping[Text, Like[AnnotationAttribute]], BeforeValidator(json_object)]


class Geometry(Nested):
    """A geometry."""

    objects_to_annotate: Sequence[LabelLike] | None = None
    """Labels of the objects to draw it around."""


class _OfPixels(Geometry):
    min_height: Index | None = None
    """Least height, pixels; 0 by default."""
    min_width: Index | None = None
    """Least width, pixels; 0 by default."""


class Box(_OfPixels):
    """Boxes."""

    can_rotate: bool | None = None
    """Boxes may be rotated; false by default."""
    integer_pixels: bool | None = None
    """The response has whole pixels; false by default."""


class _OfVertices(Geometry):
    min_vertices: Count | None = None
    """Fewest corners; 1 by default."""
    max_vertices: Count | None = None
    """Most corners; any number by default."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.max_vertices is not None and self.max_vertices < (self.min_vertices or 1):
            raise broken(f"has max_vertices {self.max_vertices} below min_vertices {self.min_vertices}")
        return self


class Polygon(_OfVertices):
    """Polygons."""


class Line(_OfVertices):
    """Lines of several segments."""


class Connection(Nested):
    """Two points that are shown joined."""

    pair: Annotated[Sequence[Text], Field(min_length=2, max_length=2)]
    """Their labels."""
    connection_attribute: Text | None = None
    """A linked attribute that both must share."""


class Point(Geometry):
    """Points."""

    connections: Sequence[Like[Connection]] | None = None
    """Which points are shown joined."""


class CameraIntrinsics(Nested):
    """A camera's intrinsic parameters, pixels."""

    fx: Number
    fy: Number
    cx: Number
    cy: Number
    skew: Number | None = None
    """0 by default."""
    scalefactor: Number | None = None
    """Size of the original over that of the attachment; 1 by default."""


class Quaternion(Nested):
    """A rotation."""

    w: Number
    x: Number
    y: Number
    z: Number


class PerspectiveCuboid(_OfPixels):
    """Cuboids in perspective."""

    camera_intrinsics: Like[CameraIntrinsics] | None = None
    """With the rotation and height below, the response has points in 3D."""
    camera_rotation_quaternion: Like[Quaternion] | None = None
    """Rotation of the camera in the world; its z axis looks ahead."""
    camera_height: Number | None = None
    """Height of the camera above the ground, metres; not rounded."""


class Ellipse(Geometry):
    """Ellipses."""


class Geometries(Nested):
    """Geometries by kind.

    The reference prints the kinds as a closed list, so the client refuses others. One of its request examples has other
    keys, so the sandbox ignores them.
    """

    KINDS: ClassVar[tuple[str, ...]] = ("box", "polygon", "line", "point", "cuboid", "ellipse")

    box: Like[Box] | None = None
    polygon: Like[Polygon] | None = None
    line: Like[Line] | None = None
    point: Like[Point] | None = None
    cuboid: Like[PerspectiveCuboid] | None = None
    ellipse: Like[Ellipse] | None = None

    @model_validator(mode="after")
    def _of_known_kinds(self, info: ValidationInfo) -> Self:
        if Strictness.of(info).unenforced_rules:
            for name in self.model_extra or {}:
                stranger = f"{without_secrets(name)}, which is not a geometry{nearest(name, self.KINDS)}"
                raise broken(f"holds {stranger}; known are {', '.join(self.KINDS)}")
        return self
