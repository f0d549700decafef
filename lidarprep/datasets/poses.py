"""Poses of a recording: in its JSON files, and as columns with times and names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Literal, TypeGuard

import numpy as np
import orjson
from numpy.typing import NDArray

from lidarprep.datasets.unread import misnamed_file
from lidarprep.errors import FormatError, SceneError, naming
from lidarprep.remote import AnyPath
from lidarprep.scene import Camera, Finding, Pose, Trajectory
from lidarprep.scene.camera import intrinsics_from_mapping
from lidarprep.scene.pose import UNIT_TOLERANCE

PosesKind = Literal["KITTI", "TUM", "CSV", "JSON"]


# ---- JSON ----------------------------------------------------------------------------------------------------------


def read_json(path: AnyPath, kind: type[Any] | tuple[type[Any], ...] = object, expected: str = "JSON") -> Any:
    """Read a JSON file.

    Raises:
        FormatError: It is not JSON, or holds another kind of value than the one `expected`.
    """
    try:
        value = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise FormatError(path, place=place, found=error.msg, expected="JSON") from error
    if not isinstance(value, kind):
        raise FormatError(path, found=f"a JSON {type(value).__name__}", expected=expected)
    return value


def wrong_entry(
    path: AnyPath, record: dict[str, Any], key: str, expected: str, place: str | None = None
) -> FormatError:
    """Return the error for a key of a JSON object that is missing, or has another value than expected."""
    if key not in record:
        return FormatError(path, place=place, found=f'no "{key}"', expected=expected)
    field = f"field '{key}'" if place is None else f"{place}, field '{key}'"
    return FormatError(path, place=field, found=repr(record[key])[:80], expected=expected)


def is_number(value: Any) -> TypeGuard[int | float]:
    """Return whether a JSON value is a number: always finite, as JSON is read here."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def numbers(path: AnyPath, record: dict[str, Any], key: str, names: str, place: str | None = None) -> list[float]:
    """Return a list of numbers under a key of a JSON object, as many as there are names: "w, x, y, z".

    Raises:
        FormatError: There is none, or something else.
    """
    value = record.get(key)
    if not (isinstance(value, list) and len(value) == names.count(",") + 1 and all(map(is_number, value))):
        raise wrong_entry(path, record, key, f"[{names}]", place)
    return [float(number) for number in value]


@dataclass(frozen=True)
class StampedPose:
    """A pose, and its time where the recording has it: a number, whose unit `time_units` judges by all of them."""

    pose: Pose
    timestamp: int | float | None = None


def pose_of(path: AnyPath, value: Any, place: str | None = None) -> StampedPose:
    """Read a pose from {"heading": [w, x, y, z], "position": [x, y, z]}, metres, and its "timestamp" if it has one.

    Raises:
        FormatError: It is another object, the heading is not a unit quaternion, or the timestamp not a number.
    """
    if not isinstance(value, dict):
        raise FormatError(
            path, place=place, found=f"a JSON {type(value).__name__}", expected='an object with "heading", "position"'
        )
    heading = numbers(path, value, "heading", "w, x, y, z", place)
    position = numbers(path, value, "position", "x, y, z", place)
    timestamp = value.get("timestamp")
    if timestamp is not None and not (is_number(timestamp) and abs(timestamp) < 2**63):
        raise wrong_entry(
            path, value, "timestamp", "an integer, nanoseconds since the Unix epoch; or no such key", place
        )
    with naming(path, place):
        return StampedPose(Pose.from_quaternion(heading, position), timestamp)


def read_pose(path: AnyPath) -> StampedPose:
    """Read a JSON file with one pose; see `pose_of`."""
    return pose_of(path, read_json(path))


def read_camera(folder: AnyPath, index: int, *needed: str) -> Camera:
    """Read a camera of a folder: intrinsics.json, and extrinsics.json if that is among the needed files.

    A number of the intrinsics may be in a list of its own.

    Raises:
        SceneError: A needed file is missing.
        FormatError: One is not what it should be.
    """
    for path in (folder / name for name in needed):
        if not path.is_file():
            raise SceneError(
                f"camera {folder.name} has no calibration: {path} is missing{misnamed_file(path)}",
                fix="Add it, or name the cameras to go without it: --camera NAME (cameras=[NAME] in open_scene).",
            )
    pose = read_pose(folder / "extrinsics.json").pose if "extrinsics.json" in needed else None
    path = folder / "intrinsics.json"
    values = read_json(path, dict, "an object")
    plain = {key: value[0] if isinstance(value, list) and len(value) == 1 else value for key, value in values.items()}
    with naming(path):
        return Camera(folder.name, index, intrinsics_from_mapping(plain), pose)


# ---- columns -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PoseTable:
    """Poses, world from ego, in the order of a file's rows, with their places there for errors.

    Raises:
        FormatError: A number is not finite, or a quaternion is not unit.
    """

    path: AnyPath
    kind: PosesKind
    quaternions: NDArray[np.float64]  # (M, 4) w, x, y, z; norms within 1e-3 of 1 are normalised
    translations: NDArray[np.float64]  # (M, 3) metres
    places: Sequence[str]
    timestamps: Sequence[int] | None = None  # (M,) nanoseconds, where the file has times
    names: Sequence[str] | None = None  # (M,) of the files or frames that the poses belong to, where it has names
    notes: tuple[str, ...] = ()  # guesses made in reading it
    findings: tuple[Finding, ...] = ()  # what was odd about it
    untimed: tuple[int, ...] = ()  # rows that had no usable time: theirs are estimated, and not part of the trajectory
    # (M,) how far each rotation was off unit before it was normalised; None: by the quaternions' norms.
    off_unit: NDArray[np.float64] | None = None
    has_angles: bool = False  # rotations were made of roll, pitch and yaw

    def __post_init__(self) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            norms = np.linalg.norm(self.quaternions, axis=1)
            off = np.abs(norms - 1)
        sound = (off <= UNIT_TOLERANCE) & np.isfinite(self.translations).all(axis=1)
        if not sound.all():
            row = int(np.argmin(sound))
            with naming(self.path, self.places[row]):
                Pose.from_quaternion(self.quaternions[row], self.translations[row])
        object.__setattr__(self, "quaternions", self.quaternions / norms[:, None])
        if self.off_unit is None:
            object.__setattr__(self, "off_unit", off)

    def __len__(self) -> int:
        return len(self.quaternions)

    def pose(self, row: int) -> Pose:
        """Return the pose of a row."""
        pose = Pose.from_quaternion(self.quaternions[row], self.translations[row])
        return pose if self.off_unit is None else replace(pose, normalised_by=float(self.off_unit[row]))

    def trajectory(self) -> tuple[Trajectory, list[str]]:
        """Return the poses by time, and notes on those that were out of time order, or at the time of an earlier one.

        Raises:
            SceneError: There is no pose, or the poses have no times.
        """
        if self.timestamps is None or not len(self):
            raise SceneError(f"{self.path} has no poses with times")
        timed = np.setdiff1d(np.arange(len(self)), self.untimed)
        times = np.array(self.timestamps, dtype=np.int64)[timed]
        notes = []
        if (np.diff(times) < 0).any():
            notes.append(f"the poses in {self.path.name} are not in time order; they are sorted")
        kept_times, first = np.unique(times, return_index=True)  # of equal times the first row
        rows = timed[first]
        doubled = len(times) - len(rows)
        if doubled:
            notes.append(f"{doubled} poses in {self.path.name} have the time of an earlier one; they are left out")
        worst = 0.0 if self.off_unit is None else float(self.off_unit[rows].max())
        return Trajectory(kept_times, self.quaternions[rows], self.translations[rows], worst), notes


def table_of_poses(
    path: AnyPath,
    kind: PosesKind,
    poses: Sequence[Pose],
    timestamps: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    places: Sequence[str] = (),
) -> PoseTable:
    """Make a table of Pose objects."""
    return PoseTable(
        path,
        kind,
        np.array([pose.quaternion for pose in poses], dtype=np.float64).reshape(-1, 4),
        np.array([pose.translation for pose in poses], dtype=np.float64).reshape(-1, 3),
        places,
        timestamps,
        names,
        off_unit=np.array([pose.normalised_by for pose in poses], dtype=np.float64),
    )


def decimal_nanoseconds(text: str, factor: int) -> int | None:
    """Convert a decimal number of units of `factor` nanoseconds, as text, to nanoseconds; None if int64 cannot hold it.

    The text is read as a Decimal: a float of seconds since the epoch would be off by up to 238 ns.
    """
    try:
        number = Decimal(text)
        if not number.is_finite() or number.adjusted() > 19:
            return None
        nanoseconds = int((number * factor).to_integral_value(ROUND_HALF_EVEN))
    except (ArithmeticError, ValueError):
        return None
    return nanoseconds if abs(nanoseconds) < 2**63 else None
