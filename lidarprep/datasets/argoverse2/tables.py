"""Argoverse 2's Feather tables: poses, calibration and sweeps, each column as an array.

| table                                | columns                                                         |
|--------------------------------------|-----------------------------------------------------------------|
| city_SE3_egovehicle                  | timestamp_ns, qw qx qy qz, tx_m ty_m tz_m: the city from ego    |
| calibration/egovehicle_SE3_sensor    | sensor_name, qw qx qy qz, tx_m ty_m tz_m: ego from sensor       |
| calibration/intrinsics               | sensor_name, fx_px fy_px cx_px cy_px, k1 k2 k3,                 |
|                                      | height_px width_px                                              |
| sensors/lidar/TIMESTAMP_NS           | x y z float16, intensity and laser_number uint8, offset_ns int32|

References: the user guide of the sensor dataset in argoverse/av2-api (guide/src/datasets/sensor.md), and for which
lasers are of which lidar its issues 77 and 82.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError, MissingExtraError, SceneError
from lidarprep.pointfiles.fields import cloud_from_fields
from lidarprep.scene import Intrinsics, PointCloud, Pose, ReferenceFrame, Trajectory

Table = dict[str, NDArray[Any]]

QUATERNION = ("qw", "qx", "qy", "qz")
TRANSLATION = ("tx_m", "ty_m", "tz_m")

# Two stacked lidars of 32 lasers each: laser_number 0–31 is the upper one's, 32–63 the lower one's.
LIDARS = ("up_lidar", "down_lidar")
LASERS = 32

SWEEP_COLUMNS = ("x", "y", "z", "intensity", "laser_number", "offset_ns")


def read_sweep(path: Path, timestamp: int, lidars: Sequence[int], frame: ReferenceFrame) -> PointCloud:
    """The points of one sweep.

    Args:
        path: The file.
        timestamp: The sweep's reference time, which its file is named by, nanoseconds.
        lidars: Which of LIDARS to take.
        frame: The frame of reference that the points are in; Argoverse 2 gives them in ego.

    Returns:
        Positions (N, 3) float32, intensity 0 to 255, device (the number in LIDARS), ring (the laser within that
        lidar), and timestamp: when the point was seen, though the point stands where it would at the reference time.

    Raises:
        FormatError: The file is no Feather table, or not of a sweep.
    """
    table = read_table(path)
    _require(path, table, SWEEP_COLUMNS)
    for name in ("laser_number", "offset_ns"):
        if table[name].dtype.kind not in "iu":
            raise FormatError(path, place=f"column {name!r}", found=f"{table[name].dtype}", expected="integers")
    lasers = table.pop("laser_number")
    outside = np.flatnonzero((lasers < 0) | (lasers >= LASERS * len(LIDARS)))
    if outside.size:
        row = int(outside[0])
        raise FormatError(
            path,
            place=f"row {row}, column 'laser_number'",
            found=str(lasers[row]),
            expected=f"0 to {LASERS * len(LIDARS) - 1}",
        )
    table["device"], table["ring"] = np.divmod(lasers, LASERS)
    table["timestamp_ns"] = table.pop("offset_ns").astype(np.int64) + timestamp
    cloud = cloud_from_fields(path, table, frame)
    if len(lidars) == len(LIDARS):
        return cloud
    return cloud.take(np.isin(table["device"], lidars))


def read_trajectory(path: Path) -> tuple[Trajectory, int]:
    """world_from_ego over time, where the world is the city's frame; and how many rows repeat another row's time.

    Raises:
        FormatError: The table is missing or empty, lacks a column, or a row is no pose.
    """
    table = read_table(path)
    _require(path, table, ("timestamp_ns", *QUATERNION, *TRANSLATION))
    if table["timestamp_ns"].dtype.kind not in "iu":
        raise FormatError(
            path, place="column 'timestamp_ns'", found=f"{table['timestamp_ns'].dtype}", expected="integer nanoseconds"
        )
    times, rows = np.unique(table["timestamp_ns"].astype(np.int64), return_index=True)
    try:
        trajectory = Trajectory(
            times, _columns(path, table, QUATERNION)[rows], _columns(path, table, TRANSLATION)[rows]
        )
    except SceneError as error:
        raise FormatError(path, found=error.message, fix=error.fix) from error
    return trajectory, len(table["timestamp_ns"]) - len(times)


def read_extrinsics(path: Path) -> dict[str, Pose]:
    """ego_from_sensor by the sensor's name.

    Raises:
        FormatError: The table is missing, lacks a column, or a row is no pose.
    """
    table = read_table(path)
    _require(path, table, ("sensor_name", *QUATERNION, *TRANSLATION))
    poses = {}
    rows = zip(_names(path, table), _columns(path, table, QUATERNION), _columns(path, table, TRANSLATION), strict=True)
    for name, quaternion, translation in rows:
        try:
            poses[name] = Pose.from_quaternion(quaternion, translation)
        except SceneError as error:
            raise FormatError(path, place=f"the row of {name}", found=error.message, fix=error.fix) from error
    return poses


def read_intrinsics(path: Path) -> dict[str, Intrinsics]:
    """Intrinsics by the camera's name, without distortion: Argoverse 2's pictures are undistorted.

    k1, k2 and k3 say what the lens did before that, and are not to be applied again.

    Raises:
        FormatError: The table is missing, lacks a column, or a row makes no sense.
    """
    table = read_table(path)
    pinhole = ("fx_px", "fy_px", "cx_px", "cy_px")
    _require(path, table, ("sensor_name", *pinhole, "width_px", "height_px"))
    intrinsics = {}
    rows = zip(
        _names(path, table),
        _columns(path, table, pinhole),
        _columns(path, table, ("width_px", "height_px")),
        strict=True,
    )
    for name, numbers, size in rows:
        try:
            if not (np.isfinite(size).all() and (size >= 1).all()):
                raise SceneError(f"a picture of {size[0]} × {size[1]} pixels")
            fx, fy, cx, cy = numbers.tolist()
            intrinsics[name] = Intrinsics(fx, fy, cx, cy, width=int(size[0]), height=int(size[1]))
        except SceneError as error:
            raise FormatError(path, place=f"the row of {name}", found=error.message, fix=error.fix) from error
    return intrinsics


def read_table(path: Path) -> Table:
    """A Feather file's columns, (N,) each, in their own types.

    Raises:
        MissingExtraError: pyarrow is not installed.
        FormatError: There is no such file, it is no Feather file, or a value in it is missing.
    """
    try:
        import pyarrow
        from pyarrow import ipc
    except ImportError as error:
        raise MissingExtraError("Argoverse 2 logs", "tables") from error
    try:
        with pyarrow.OSFile(str(path)) as source, ipc.open_file(source) as reader:
            table = reader.read_all()
        # Lengths and offsets are taken from the file as they are: a damaged one would read foreign memory.
        table.validate(full=True)
        columns = [column.to_numpy() for column in table.columns]
    except FileNotFoundError as error:
        raise FormatError(path, found="no such file", expected="a Feather table of Argoverse 2") from error
    except (pyarrow.ArrowException, OSError, MemoryError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0][:120] or "damaged"
        raise FormatError(
            path,
            found=f"no Feather table that can be read ({reason})",
            expected="a table as Argoverse 2 writes it",
            fix="The file was cut or is damaged: get it again.",
        ) from error
    for name, column in zip(table.column_names, table.columns, strict=True):
        if table.column_names.count(name) > 1:
            raise FormatError(path, place=f"column {name!r}", found="more than one of that name", expected="one")
        if column.null_count:
            raise FormatError(path, place=f"column {name!r}", found="a missing value", expected="one in each row")
    return dict(zip(table.column_names, columns, strict=True))


def _require(path: Path, table: Table, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in table]
    if missing:
        raise FormatError(
            path, found=f"columns {', '.join(table) or '(none)'}: no {', no '.join(missing)}", expected=", ".join(names)
        )


def _columns(path: Path, table: Table, names: Sequence[str]) -> NDArray[np.float64]:
    """(N, len(names)) float64."""
    for name in names:
        if table[name].dtype.kind not in "iuf":
            raise FormatError(path, place=f"column {name!r}", found=f"{table[name].dtype}", expected="numbers")
    return np.column_stack([table[name].astype(np.float64) for name in names])


def _names(path: Path, table: Table) -> list[str]:
    """The sensors' names, one a row."""
    names = [str(name) for name in table["sensor_name"].tolist()]
    if len(set(names)) < len(names):
        doubled = next(name for name in names if names.count(name) > 1)
        raise FormatError(path, place=f"the row of {doubled}", found="another row of that sensor", expected="one")
    return names
