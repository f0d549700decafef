"""Geometries: what shapes to draw, and around what.

The reference texts name the kinds, and objects_to_annotate, min_height and min_width of one. The other keys are those
of the reference's own pages on boxes, polygons, lines, points, cuboids and ellipses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PlainValidator, ValidationInfo, model_validator

from lidarprep.api.parameters.labels import LabelLike
from lidarprep.api.parameters.messages import without_secrets
from lidarprep.api.parameters.nested import Nested, of_kind
from lidarprep.api.parameters.values import Count, Index, Number, Strictness, Text, broken, nearest


class Geometry(Nested):
    """What all kinds of geometry have in common."""

    objects_to_annotate: Sequence[LabelLike] | None = None
    """Labels of what to draw it around."""


class Box(Geometry):
    """Boxes."""

    min_height: Index | None = None
    """Least height, pixels; 0 by default."""
    min_width: Index | None = None
    """Least width, pixels; 0 by default."""
    can_rotate: bool | None = None
    """Boxes may be rotated; false by default."""
    integer_pixels: bool | None = None
    """The answer has whole pixels; false by default."""


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

    connections: Sequence[Annotated[Connection | Mapping[str, Any], PlainValidator(of_kind(Connection))]] | None = None
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


class PerspectiveCuboid(Geometry):
    """Cuboids in perspective."""

    min_height: Index | None = None
    """Least height, pixels; 0 by default."""
    min_width: Index | None = None
    """Least width, pixels; 0 by default."""
    camera_intrinsics: (
        Annotated[CameraIntrinsics | Mapping[str, Any], PlainValidator(of_kind(CameraIntrinsics))] | None
    ) = None
    """With the rotation and height below, the answer has points in 3D."""
    camera_rotation_quaternion: (
        Annotated[Quaternion | Mapping[str, Any], PlainValidator(of_kind(Quaternion))] | None
    ) = None
    """Rotation of the camera in the world; its z axis looks ahead."""
    camera_height: Number | None = None
    """Height of the camera above the ground, metres; not rounded."""


class Ellipse(Geometry):
    """Ellipses."""


class Geometries(Nested):
    """A geometry a kind.

    The reference prints the kinds as a closed list, so the client refuses others. A request example of it has keys that
    are none, so the sandbox lets them be.
    """

    KINDS: ClassVar[tuple[str, ...]] = ("box", "polygon", "line", "point", "cuboid", "ellipse")

    box: Annotated[Box | Mapping[str, Any], PlainValidator(of_kind(Box))] | None = None
    polygon: Annotated[Polygon | Mapping[str, Any], PlainValidator(of_kind(Polygon))] | None = None
    line: Annotated[Line | Mapping[str, Any], PlainValidator(of_kind(Line))] | None = None
    point: Annotated[Point | Mapping[str, Any], PlainValidator(of_kind(Point))] | None = None
    cuboid: Annotated[PerspectiveCuboid | Mapping[str, Any], PlainValidator(of_kind(PerspectiveCuboid))] | None = None
    ellipse: Annotated[Ellipse | Mapping[str, Any], PlainValidator(of_kind(Ellipse))] | None = None

    @model_validator(mode="after")
    def _of_known_kinds(self, info: ValidationInfo) -> Self:
        if Strictness.of(info).unenforced_rules:
            for name in self.model_extra or {}:
                kinds = ", ".join(self.KINDS)
                stranger = f"{without_secrets(name)}, which is no geometry{nearest(name, self.KINDS)}"
                raise broken(f"holds {stranger}; known are {kinds}")
        return self


GeometriesLike = Annotated[Geometries | Mapping[str, Any], PlainValidator(of_kind(Geometries))]
