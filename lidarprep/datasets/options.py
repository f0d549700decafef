"""The options of opening a recording: declared once, for `open_scene`, for recipes and for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from os import PathLike
from typing import Annotated, Any, Literal, TypedDict, cast, get_args, get_type_hints

from lidarprep.errors import SceneError
from lidarprep.remote import AnyPath, as_path
from lidarprep.scene.points import TimeUnit
from lidarprep.scene.span import Span

PointsFrame = Literal["ego", "world"]
FrameOrder = Literal["recorded", "time"]
PosesAre = Literal["inverted", "xyzw", "wxyz", "transposed", "optical", "degrees", "radians"]

# Options that change how clouds are read, and how those of several lidars are merged and moved. A frame's sources, pose
# and images, and a scene's lidars, may be the same with each value of them.
_OF_POINTS = (
    "columns",
    "image_tolerance",
    "max_pose_gap",
    "ego_frame",
    "world_frame",
    "pose_topic",
    "poses_are",
    "time_unit",
)

# Options that name files.
PATHS = ("poses", "calibration")

# The longest tolerance or gap: some thirty years, far beyond any recording and well within int64 nanoseconds.
LONGEST_S = 1e9


@dataclass(frozen=True)
class Doc:
    """What an option means, and how the command line spells it.

    Args:
        help: A sentence.
        metavar: What the command line shows for the value.
        flag: Its flag, where that is not made of the option's name.
    """

    help: str
    metavar: str | None = None
    flag: str | None = None


@dataclass(frozen=True)
class OpenOptions:
    """How to open a recording: what the recording itself doesn't say. Each field's `Doc` says what it means.

    An option that the layout does not use is named in the scene's notes. A single name may stand for a list of names.

    Raises:
        SceneError: A value makes no sense.
    """

    points_frame: Annotated[
        PointsFrame | None, Doc("Frame of reference of the points, where it is not the layout's own.", "ego|world")
    ] = None
    poses: Annotated[
        AnyPath | None,
        Doc("Poses for a plain folder or a file, world from ego: KITTI rows, TUM rows, CSV or JSON.", "FILE"),
    ] = None
    columns: Annotated[
        str | None,
        Doc(
            "Columns of point files that name none (.bin, .npy, text): x,y,z,intensity,ring,timestamp_us and the like; "
            "_ skips one, :f8 or :u2 gives the type of one in a .bin, else float32.",
            "NAME,…",
        ),
    ] = None
    scene: Annotated[
        str | None, Doc("Which scene, log or sequence of several, by name or number.", "NAME", "--scene-name")
    ] = None
    lidars: Annotated[
        tuple[str, ...], Doc("Only this lidar, by folder, channel or topic. Repeatable.", "NAME", "--lidar")
    ] = ()
    cameras: Annotated[
        tuple[str, ...], Doc("Only this camera, by folder, channel or topic. Repeatable.", "NAME", "--camera")
    ] = ()
    all_sweeps: Annotated[bool, Doc("Every sweep as a frame, not the keyframes alone.")] = False
    image_tolerance: Annotated[
        float, Doc("Seconds that a frame's image may be away from it in time; else 0.05.", "S")
    ] = 0.05
    max_pose_gap: Annotated[float, Doc("Seconds between poses that are interpolated over; else 1.", "S")] = 1.0
    frame_order: Annotated[FrameOrder, Doc("Frames as recorded, or sorted by time, one per time.", "recorded|time")] = (
        "recorded"
    )
    invert_extrinsics: Annotated[
        tuple[str, ...],
        Doc("This camera's extrinsics are camera from ego: invert them. Repeatable.", "CAMERA"),
    ] = ()
    calibration: Annotated[
        AnyPath | None,
        Doc("Poses and intrinsics of cameras, YAML or JSON, in place of the recording's own.", "FILE"),
    ] = None
    ego_frame: Annotated[str | None, Doc("The device's frame in a bag's transforms; else the usual ones.", "NAME")] = (
        None
    )
    world_frame: Annotated[str | None, Doc("The world's frame in a bag's transforms; else the usual ones.", "NAME")] = (
        None
    )
    pose_topic: Annotated[str | None, Doc("The topic of a bag's poses, in place of transforms.", "TOPIC")] = None
    poses_are: Annotated[
        PosesAre | None,
        Doc(
            "How the device's poses are to be read, where they are not world from ego as the layout has them; degrees "
            "and radians: the angles of a poses file.",
            "|".join(get_args(PosesAre)),
        ),
    ] = None
    span: Annotated[
        str | None,
        Doc(
            "Only a part of the recording, from START until just before END; one of them may be left out. Seconds from "
            "its first frame (12.5s..42.5s), times (2026-03-01T10:15:00Z.. or nanoseconds since 1970), or numbers of "
            "frames (200..400).",
            "START..END",
        ),
    ] = None
    time_unit: Annotated[
        tuple[str, ...],
        Doc("Unit of the frames' times, or of the points': s, ms, us, ns; points=us. Repeatable.", "[points=]UNIT"),
    ] = ()

    def __post_init__(self) -> None:
        for name in PATHS:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, as_path(getattr(self, name)))
        if self.columns is not None:
            from lidarprep.pointfiles.columns import parse_columns  # here, since it brings NumPy

            parse_columns(self.columns)
        if self.span is not None:
            object.__setattr__(self, "span", str(Span.parse(str(self.span))))
        for name in NAME_LISTS:
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        for name, kind in (("points_frame", PointsFrame), ("frame_order", FrameOrder), ("poses_are", PosesAre)):
            value, known = getattr(self, name), get_args(kind)
            if value is not None and value not in known:
                raise SceneError(f"{name} is {value!r}; it is one of {', '.join(known)}")
        for name in ("image_tolerance", "max_pose_gap"):
            value = getattr(self, name)
            if not 0 <= value <= LONGEST_S:
                raise SceneError(f"{name} is {value}; it is seconds, from 0 to {LONGEST_S:g}")
        self._time_units()

    def _time_units(self) -> dict[str, TimeUnit]:
        """Return the units that were given: of "frames", of "points"."""
        units: dict[str, TimeUnit] = {}
        for given in self.time_unit:
            of, _, unit = given.rpartition("=")
            of = of or "frames"
            if unit not in get_args(TimeUnit) or of not in ("frames", "points") or of in units:
                raise SceneError(
                    f"time_unit is {', '.join(self.time_unit)}; it is s, ms, us or ns for the times of frames and "
                    "poses, and points=s, points=ms, points=us or points=ns for those of points, each once"
                )
            units[of] = cast(TimeUnit, unit)
        return units

    @property
    def frames_unit(self) -> TimeUnit | None:
        """The unit of the frames' times and of those of their poses, where the recording doesn't state it."""
        return self._time_units().get("frames")

    @property
    def points_unit(self) -> TimeUnit | None:
        """The unit of the points' times, where the recording doesn't state it."""
        return self._time_units().get("points")

    @property
    def of_points(self) -> tuple[tuple[str, Any], ...]:
        """The options that change how points are read, merged and moved, where they are not the defaults."""
        given = ((field.name, getattr(self, field.name)) for field in fields(self) if field.name in _OF_POINTS)
        return tuple((name, value) for name, value in given if value != getattr(type(self), name))

    @property
    def image_tolerance_ns(self) -> int:
        """The tolerance in nanoseconds."""
        return round(self.image_tolerance * 1e9)

    @property
    def max_pose_gap_ns(self) -> int:
        """The gap in nanoseconds."""
        return round(self.max_pose_gap * 1e9)


NAME_LISTS = tuple(field.name for field in fields(OpenOptions) if field.default == ())


class OpenKeywords(TypedDict, total=False):
    """The fields of `OpenOptions` as keyword parameters, with all types that they are taken in."""

    points_frame: PointsFrame | None
    poses: str | PathLike[str] | None
    columns: str | None
    scene: str | None
    lidars: Sequence[str]
    cameras: Sequence[str]
    all_sweeps: bool
    image_tolerance: float
    max_pose_gap: float
    frame_order: FrameOrder
    invert_extrinsics: Sequence[str]
    calibration: str | PathLike[str] | None
    ego_frame: str | None
    world_frame: str | None
    pose_topic: str | None
    poses_are: PosesAre | None
    span: str | Span | None
    time_unit: Sequence[str]


@cache
def option_docs() -> dict[str, tuple[Any, Doc]]:
    """Return the type and the `Doc` of each option, by its name."""
    hints = get_type_hints(OpenOptions, include_extras=True)
    return {field.name: get_args(hints[field.name])[:2] for field in fields(OpenOptions)}


def flag_of(name: str) -> str:
    """Return the command line's flag of an option: --scene-name of scene."""
    return option_docs()[name][1].flag or "--" + name.replace("_", "-")
