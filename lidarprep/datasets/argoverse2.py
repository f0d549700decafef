"""Argoverse 2: a log of the sensor dataset, or of the lidar and map-change datasets, which are laid out alike.

    LOG/sensors/lidar/TIMESTAMP_NS.feather           one sweep of two stacked lidars, in ego
    LOG/sensors/cameras/NAME/TIMESTAMP_NS.jpg        seven ring cameras and two stereo cameras, undistorted
    LOG/city_SE3_egovehicle.feather                  poses, several hundred a second
    LOG/calibration/egovehicle_SE3_sensor.feather    extrinsics
    LOG/calibration/intrinsics.feather

The path is a log, or a folder of logs, such as train/. Ego is what Argoverse 2 calls egovehicle: the middle of the rear
axle, x ahead, y left. The world is the city's frame, z up. Points are where they would be at the sweep's reference
time, by which its file is named: the vehicle's motion is compensated, so they are not to be deskewed again. Times are
taken as they are: the published logs count from a day of their own, so that their dates are of 1980.

| table                                | columns                                                         |
|--------------------------------------|-----------------------------------------------------------------|
| city_SE3_egovehicle                  | timestamp_ns, qw qx qy qz, tx_m ty_m tz_m: the city from ego    |
| calibration/egovehicle_SE3_sensor    | sensor_name, qw qx qy qz, tx_m ty_m tz_m: ego from sensor       |
| calibration/intrinsics               | sensor_name, fx_px fy_px cx_px cy_px, k1 k2 k3,                 |
|                                      | height_px width_px                                              |
| sensors/lidar/TIMESTAMP_NS           | x y z float16, intensity and laser_number uint8, offset_ns int32|

References: the user guide of the sensor dataset in argoverse/av2-api (guide/src/datasets/sensor.md), and its issues 77
and 82 for the lidar that each laser belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.association import ImageSeries, match_images, poses_at
from lidarprep.datasets.filenames import first_names, folders_in, image_stem, source_files, visible
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.selection import listed, refuse_poses, select_part, selected, sound_cameras, unused_options
from lidarprep.datasets.unread import unread_folders
from lidarprep.errors import FormatError, MissingExtraError, SceneError, naming
from lidarprep.pointfiles.fields import cloud_from_fields
from lidarprep.remote import AnyPath
from lidarprep.scene import (
    Camera,
    CameraImage,
    Finding,
    Frame,
    Intrinsics,
    Lidar,
    PointCloud,
    Pose,
    ReferenceFrame,
    Scene,
    Trajectory,
)

LOOKS_LIKE = "an Argoverse 2 log, or a folder of logs: sensors/lidar/*.feather, city_SE3_egovehicle.feather"

POSES = "city_SE3_egovehicle.feather"

USED_OPTIONS = ("points_frame", "scene", "lidars", "cameras", "image_tolerance", "max_pose_gap")

# How many folders are searched for a log.
SEARCHED = 100

QUATERNION = ("qw", "qx", "qy", "qz")
TRANSLATION = ("tx_m", "ty_m", "tz_m")

# Two stacked lidars of 32 lasers each: laser_number 0–31 is the upper one's, 32–63 the lower one's.
LIDARS = ("up_lidar", "down_lidar")
LASERS = 32

SWEEP_COLUMNS = ("x", "y", "z", "intensity", "laser_number", "offset_ns")

Table = dict[str, NDArray[Any]]


def detect(path: AnyPath) -> str | None:
    """Say why this is an Argoverse 2 log or a folder of them; None if it is not."""
    if _is_log(path):
        return "it has sensors/lidar/ with Feather files"
    log = next((folder for folder in islice(folders_in(path), SEARCHED) if _is_log(folder)), None)
    return None if log is None else f"its folder {log.name} has sensors/lidar/ with Feather files"


def open(path: AnyPath, options: OpenOptions) -> Scene:
    """Open one log.

    Raises:
        SceneError: Which log is meant is not clear, or there is none of that name; it has no sweep; a lidar or camera
            is not known; an option contradicts the layout.
        FormatError: A table is missing or damaged, or a file's name is no timestamp.
        MissingExtraError: pyarrow is not installed.
    """
    refuse_poses(path, options, "an Argoverse 2 log, which has its own poses")
    log = _find_log(path, options.scene)
    sweeps = _stamped(log / "sensors" / "lidar", ".feather")
    if not sweeps:
        raise SceneError(f"{log / 'sensors' / 'lidar'} holds no sweep", fix=f"Expected is {LOOKS_LIKE}.")
    lidars = tuple(LIDARS.index(name) for name in selected(LIDARS, options.lidars, "lidar"))
    trajectory, doubled = _read_trajectory(log / POSES)
    times = list(sweeps)
    series, notes, findings = _cameras(log, options)
    poses, pose_notes = poses_at(times, trajectory, options)
    images, image_notes = match_images(times, series, trajectory, options)
    if doubled:
        notes.append(f"{POSES}: {doubled} rows have the time of an earlier one; they are left out")
    points_frame = options.points_frame or "ego"
    frames = tuple(
        Frame(
            id=file.stem,
            index=index,
            read_points=partial(_read_sweep, file, time, lidars, points_frame),
            world_from_ego=poses[index],
            timestamp=time,
            images=images[index],
            sources=source_files([file], images[index]),
        )
        for index, (time, file) in enumerate(sweeps.items())
    )
    unread, others = unread_folders(log, ["sensors", "calibration"], "a log of Argoverse 2")
    unread_sensors, other_sensors = unread_folders(log / "sensors", ["lidar", "cameras"], "a log of Argoverse 2")
    return Scene(
        source=str(path),
        layout="argoverse2",
        frames=frames,
        cameras=tuple(one.camera for one in series),
        points_frame=points_frame,
        motion_compensated=True,
        notes=(
            *([] if log == path else [f"log {log.name}"]),
            "the points are motion-compensated already, though they have the times at which they were seen",
            *unused_options(options, USED_OPTIONS),
            *notes,
            *pose_notes,
            *image_notes,
            *others,
            *other_sensors,
        ),
        findings=(*unread, *unread_sensors, *findings),
        lidars=tuple(Lidar(name, index) for index, name in enumerate(LIDARS) if index in lidars),
        trajectory=trajectory,
    )


def _is_log(path: AnyPath) -> bool:
    folder = path / "sensors" / "lidar"
    if not folder.is_dir():
        return False
    return (path / POSES).is_file() or any(name.endswith(".feather") for name in first_names(folder, SEARCHED))


def _find_log(path: AnyPath, asked: str | None) -> AnyPath:
    """Return the log: the path, or the one asked for among the folders in it."""
    if _is_log(path):
        if asked not in (None, path.absolute().name):
            raise SceneError(
                f"{path} is one log, and not {asked!r}", fix="Leave --scene-name out, or point at the folder of logs."
            )
        return path
    logs = {folder.name: folder for folder in folders_in(path) if _is_log(folder)}
    return select_part(path, "log", logs, asked, LOOKS_LIKE)


def _stamped(folder: AnyPath, suffix: str | None = None) -> dict[int, AnyPath]:
    """Return the files of a folder by the nanoseconds in their names, in time order; of no suffix: images."""
    files: dict[int, AnyPath] = {}
    for file in visible(folder):
        if (image_stem(file.name) is None) if suffix is None else file.suffix != suffix:
            continue
        stem = file.stem
        if not (stem.isascii() and stem.isdigit() and int(stem) < 2**63):
            raise FormatError(file, found="a name that is no time", expected="nanoseconds, such as 315967376859506000")
        if int(stem) in files:
            raise FormatError(file, found=f"the time of {files[int(stem)].name}, too", expected="one file a time")
        files[int(stem)] = file
    return dict(sorted(files.items()))


def _cameras(log: AnyPath, options: OpenOptions) -> tuple[list[ImageSeries], list[str], list[Finding]]:
    """Return the cameras that have images, in the order of their names; notes; findings on those left out."""
    folder = log / "sensors" / "cameras"
    known = [path.name for path in folders_in(folder)]
    names = selected(known, options.cameras, "camera")
    if not names:
        return [], [], []
    extrinsics = _read_extrinsics(log / "calibration" / "egovehicle_SE3_sensor.feather")
    intrinsics = _read_intrinsics(log / "calibration" / "intrinsics.feather")
    calibrated = [name for name in known if name in extrinsics and name in intrinsics]

    def read(index: int, name: str) -> ImageSeries | None:
        if name not in names:
            return None
        if name not in calibrated:
            raise SceneError(
                f"{log / 'calibration'} has no extrinsics or no intrinsics of {name}",
                fix=f"Leave it out; calibrated are {listed(calibrated)}.",
            )
        camera = Camera(name, index, intrinsics[name], extrinsics[name])
        stamped = _stamped(folder / name)
        images = [CameraImage(camera, file) for file in stamped.values()]
        return ImageSeries(camera, list(stamped), images.__getitem__)

    series, left_out = sound_cameras(known, options.cameras, read)
    notes = ["the images are undistorted, so k1, k2 and k3 of intrinsics.feather are not applied"]
    # Some published logs lack the intrinsics of their stereo cameras: no sign of a damaged recording.
    return [one for one in series if one is not None], notes, [replace(one, severity="note") for one in left_out]


def _read_sweep(path: AnyPath, timestamp: int, lidars: Sequence[int], frame: ReferenceFrame) -> PointCloud:
    """Read the points that these of LIDARS saw in one sweep, whose reference time its file is named by.

    Positions are (N, 3) float32, intensity is 0 to 255, device the number in LIDARS, ring the laser within that lidar.
    The timestamp is when the point was seen, though its position is that at the reference time.
    """
    table = _read_table(path, *SWEEP_COLUMNS)
    _require_numbers(path, table, ("laser_number", "offset_ns"), "iu")
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


def _read_trajectory(path: AnyPath) -> tuple[Trajectory, int]:
    """Read world_from_ego over time, in the city's frame; and count the rows that repeat another row's time."""
    table = _read_table(path, "timestamp_ns", *QUATERNION, *TRANSLATION)
    _require_numbers(path, table, ("timestamp_ns",), "iu")
    times, rows = np.unique(table["timestamp_ns"].astype(np.int64), return_index=True)
    poses = _columns(path, table, (*QUATERNION, *TRANSLATION))[rows]
    with naming(path):
        return Trajectory(times, poses[:, :4], poses[:, 4:]), len(table["timestamp_ns"]) - len(times)


def _read_extrinsics(path: AnyPath) -> dict[str, Pose]:
    """Read ego_from_sensor by the sensor's name."""
    poses = {}
    for name, numbers in _by_sensor(path, *QUATERNION, *TRANSLATION).items():
        with naming(path, f"the row of {name}"):
            poses[name] = Pose.from_quaternion(numbers[:4], numbers[4:])
    return poses


def _read_intrinsics(path: AnyPath) -> dict[str, Intrinsics]:
    """Read intrinsics by the camera's name, without distortion: Argoverse 2's images are undistorted.

    k1, k2 and k3 are the lens's distortion before that, and are not to be applied again.
    """
    intrinsics = {}
    for name, numbers in _by_sensor(path, "fx_px", "fy_px", "cx_px", "cy_px", "width_px", "height_px").items():
        fx, fy, cx, cy, width, height = numbers
        with naming(path, f"the row of {name}"):
            if not (1 <= width < np.inf and 1 <= height < np.inf):
                raise SceneError(f"an image of {width} × {height} pixels")
            intrinsics[name] = Intrinsics(fx, fy, cx, cy, width=int(width), height=int(height))
    return intrinsics


def _by_sensor(path: AnyPath, *columns: str) -> dict[str, list[float]]:
    """Read a table's numbers in these columns by the sensor's name, which only one row has."""
    table = _read_table(path, "sensor_name", *columns)
    names = [str(name) for name in table["sensor_name"].tolist()]
    found = dict(zip(names, _columns(path, table, columns).tolist(), strict=True))
    if len(found) < len(names):
        doubled = next(name for name in names if names.count(name) > 1)
        raise FormatError(path, place=f"the row of {doubled}", found="another row of that sensor", expected="one")
    return found


def _read_table(path: AnyPath, *required: str) -> Table:
    """Read a Feather file's columns, (N,) each, in their own types; no value and none of those required is missing."""
    try:
        import pyarrow
        from pyarrow import ipc
    except ImportError as error:
        raise MissingExtraError("Argoverse 2 logs", "tables") from error
    try:
        # pyarrow gets bytes: it takes an error of reading for damage.
        with ipc.open_file(path.read_bytes()) as reader:
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
    missing = [name for name in required if name not in table.column_names]
    if missing:
        there = ", ".join(table.column_names) or "(none)"
        raise FormatError(path, found=f"columns {there}: no {', no '.join(missing)}", expected=", ".join(required))
    return dict(zip(table.column_names, columns, strict=True))


def _require_numbers(path: AnyPath, table: Table, names: Sequence[str], kinds: str) -> None:
    """Refuse a column whose dtype is not of these kinds."""
    for name in names:
        if table[name].dtype.kind not in kinds:
            expected = "integers" if kinds == "iu" else "numbers"
            raise FormatError(path, place=f"column {name!r}", found=f"{table[name].dtype}", expected=expected)


def _columns(path: AnyPath, table: Table, names: Sequence[str]) -> NDArray[np.float64]:
    """Return (N, len(names)) float64."""
    _require_numbers(path, table, names, "iuf")
    return np.column_stack([table[name].astype(np.float64) for name in names])
