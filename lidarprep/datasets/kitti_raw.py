"""KITTI raw: drives that are synchronised and rectified, a folder a day with the day's calibration.

    DATE/calib_imu_to_velo.txt, DATE/calib_velo_to_cam.txt, DATE/calib_cam_to_cam.txt
    DATE/DATE_drive_NNNN_sync/velodyne_points/{data/0000000000.bin, timestamps.txt}
    DATE/DATE_drive_NNNN_sync/image_0[0-3]/{data/0000000000.png, timestamps.txt}
    DATE/DATE_drive_NNNN_sync/oxts/{data/0000000000.txt, timestamps.txt}

Ego is the frame of the Velodyne, which the points come in: x forward, y left, z up. The world is level: x east, y
north, z up, its origin where the Velodyne is in the first frame. (The development kit inverts the whole first pose
instead, so that its world leans as the device did when it started.) A line of a timestamps.txt belongs to the file of
its number, counted from 0; a sweep's time is when the Velodyne faced forward. The time zone is taken as UTC.

Poses come from the inertial and GPS unit, an OXTS RT 3003. A row has 30 numbers; the first six are latitude and
longitude (degrees), altitude (metres), roll, pitch and yaw (radians; yaw 0 is east, counterclockwise). The unit's axes
are x forward, y left, z up. As in the development kit's `convertOxtsToPose`, positions are those of a Mercator
projection, scaled by the cosine of the first row's latitude; the rotation is Rz(yaw) · Ry(pitch) · Rx(roll).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets._kitti_calibration import read_calibration
from lidarprep.datasets.association import ImageSeries, match_images, poses_at
from lidarprep.datasets.euler_angles import guess_unit
from lidarprep.datasets.filenames import IMAGE_SUFFIXES, counted_files, folders_in, source_files
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.poses import table_of_poses
from lidarprep.datasets.selection import refuse_poses, select_part, selected, sound_cameras, unused_options
from lidarprep.datasets.unread import unread_folders
from lidarprep.errors import FormatError, SceneError
from lidarprep.pointfiles import read_points
from lidarprep.remote import AnyPath, prefetch
from lidarprep.scene import Camera, CameraImage, Finding, Frame, GpsPose, Lidar, Pose, Scene, Trajectory

LOOKS_LIKE = "KITTI raw: DATE_drive_NNNN_sync/velodyne_points/data/N.bin, with DATE/calib_velo_to_cam.txt above"

CAMERAS = ("image_00", "image_01", "image_02", "image_03")
LIDAR = "velodyne"
USED_OPTIONS = (
    "points_frame",
    "columns",
    "lidars",
    "cameras",
    "image_tolerance",
    "max_pose_gap",
    "poses_are",
    "points_unit",
)

EARTH_RADIUS_M = 6378137.0
ROW_LENGTH = 30
NO_ROWS = "no oxts rows: where the device is in the world is not known"

# How far beyond the first and the last row poses are continued, at the speed between the nearest two: one sweep.
LONGEST_CONTINUED_NS = 110_000_000

# Years that nanoseconds since the epoch reach, in 64 bits.
_TIME = re.compile(r"(19[7-9]\d|2[01]\d\d)-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,9})?")
_EXAMPLE_TIME = "2011-09-26 13:02:25.964389445"


def detect(path: AnyPath) -> str | None:
    """Say why this is a drive of KITTI raw, or a day of them; None if it is not."""
    if _is_drive(path):
        return "it has a folder velodyne_points/data/"
    drives = _drives(path)
    return f"it holds the drive {drives[0].name}" if drives else None


def open(path: AnyPath, options: OpenOptions) -> Scene:
    """Open a drive, or one of a day's.

    Raises:
        SceneError: There are several drives and none is named; a file of calibration or of times is missing; poses are
            given, which would not be read.
        FormatError: Calibration, times or oxts rows are not what they should be.
    """
    fix = "Leave the poses file out, or open the folder velodyne_points/data/ with it."
    refuse_poses(path, options, "KITTI raw, which has its own poses in oxts/", fix)
    drives = {drive.name: drive for drive in _drives(path)}
    drive = path if _is_drive(path) else select_part(path, "drive", drives, options.scene, LOOKS_LIKE)
    files, notes = counted_files(drive / "velodyne_points" / "data", ".bin")
    if not files:
        raise SceneError(
            f"{drive / 'velodyne_points' / 'data'} holds no sweep 0000000000.bin",
            fix="Drives whose name ends in _extract keep them as text: take the drive that ends in _sync.",
        )
    day = drive.absolute().parent
    stamps = _read_times(drive / "velodyne_points" / "timestamps.txt")
    times = [stamps[number] for number in files if number in stamps]
    notes += _gaps(files, stamps)
    series, series_notes, findings = _image_series(drive, day, options)
    oxts, oxts_notes = _read_oxts(drive / "oxts", options)
    trajectory = None
    poses: list[Pose | None] = [None] * len(times)
    if oxts is not None and times:
        velodyne_from_imu = read_calibration(day / "calib_imu_to_velo.txt").pose("R", "T")
        image_times = [time for one in series for time in one.timestamps]
        trajectory, more = _trajectory(oxts, velodyne_from_imu, times, image_times)
        poses, pose_notes = poses_at(times, trajectory, options)
        world = "the world is level: x east, y north, z up, from where the first sweep was taken"
        oxts_notes += [*more, *pose_notes, world]
    images, image_notes = match_images(times, series, trajectory, options)
    by_time = dict(zip(times, zip(poses, images, strict=True), strict=True))
    points_frame = options.points_frame or "ego"
    frames = []
    for index, (number, file) in enumerate(files.items()):
        time = stamps.get(number)
        pose, taken = (None, ()) if time is None else by_time[time]
        frames.append(
            Frame(
                id=file.stem,
                index=index,
                read_points=partial(read_points, file, points_frame, options.columns, options.points_unit),
                world_from_ego=pose,
                timestamp=time,
                images=taken,
                gps=oxts.gps(time) if oxts is not None and time is not None and pose is not None else None,
                sources=source_files([file], taken),
            )
        )
    unread, others = unread_folders(drive, ["velodyne_points", "oxts", *CAMERAS], "a drive of KITTI raw")
    return Scene(
        str(path),
        "kitti-raw",
        tuple(frames),
        tuple(one.camera for one in series),
        points_frame,
        (
            *unused_options(options, USED_OPTIONS if drive == path else (*USED_OPTIONS, "scene")),
            *notes,
            *oxts_notes,
            *series_notes,
            *image_notes,
            *_left_over(series, frames),
            *others,
            "times are taken as UTC",
        ),
        lidars=(Lidar(LIDAR, 0),),
        trajectory=trajectory,
        findings=(*unread, *findings),
    )


def _is_drive(path: AnyPath) -> bool:
    return (path / "velodyne_points" / "data").is_dir()


def _drives(path: AnyPath) -> list[AnyPath]:
    return [folder for folder in folders_in(path) if "_drive_" in folder.name and _is_drive(folder)]


def _gaps(files: dict[int, AnyPath], stamps: dict[int, int]) -> list[str]:
    """Return notes on sweeps that are missing, and on those without a time."""
    notes = []
    missing = sorted(stamps.keys() - files.keys())
    if missing:
        notes.append(f"{len(missing)} sweeps have a time and no file, such as {missing[0]:010d}.bin; they are left out")
    untimed = sorted(files.keys() - stamps.keys())
    if untimed:
        notes.append(f"{len(untimed)} sweeps have no time, such as {files[untimed[0]].name}: they get no pose")
    return notes


def _image_series(
    drive: AnyPath, day: AnyPath, options: OpenOptions
) -> tuple[list[ImageSeries], list[str], list[Finding]]:
    """Return the selected cameras that have images, notes, and findings on those left out."""
    known = [name for name in CAMERAS if (drive / name / "data").is_dir()]
    names = selected(known, options.cameras, "camera")
    if not names:
        return [], [], []
    camera_0_from_velodyne = read_calibration(day / "calib_velo_to_cam.txt").pose("R", "T")
    calibration = read_calibration(day / "calib_cam_to_cam.txt")
    rectified_from_velodyne = calibration.pose("R_rect_00") @ camera_0_from_velodyne
    notes: list[str] = []

    def read(index: int, name: str) -> ImageSeries | None:
        if name not in names:
            return None
        number = name.removeprefix("image_")
        width, height = calibration.numbers(f"S_rect_{number}", 2).tolist()
        intrinsics, offset = calibration.rectified_camera(f"P_rect_{number}", (int(width), int(height)))
        ego_from_camera = rectified_from_velodyne.translated(offset).inverse()
        stamps = _read_times(drive / name / "timestamps.txt")
        files, strange = counted_files(drive / name / "data", *IMAGE_SUFFIXES)
        notes.extend(strange)
        timed = [file for file in files if file in stamps]
        if len(timed) < len(files):
            notes.append(f"camera {name}: {len(files) - len(timed)} images have no time; they are left out")
        camera = Camera(name, index, intrinsics, ego_from_camera)
        images = [CameraImage(camera, files[file]) for file in timed]
        return ImageSeries(camera, [stamps[file] for file in timed], images.__getitem__)

    series, left_out = sound_cameras(known, options.cameras, read)
    return [one for one in series if one is not None], notes, left_out


def _left_over(series: Sequence[ImageSeries], frames: Sequence[Frame]) -> list[str]:
    """Return notes on the images that belong to no frame: each camera has one a sweep."""
    notes = []
    for one in series:
        shown = {image.path for frame in frames for image in frame.images if image.camera.name == one.camera.name}
        left_over = len(one.timestamps) - len(shown)
        if left_over:
            notes.append(f"camera {one.camera.name}: {left_over} of {len(one.timestamps)} images belong to no frame")
    return notes


def _read_times(path: AnyPath) -> dict[int, int]:
    """Read a timestamps.txt: nanoseconds since the Unix epoch by the number of the file that they belong to.

    KITTI names no time zone; they are taken as UTC. A blank line is a file that is missing.
    """
    if not path.is_file():
        raise SceneError(f"{path} is missing: when the files beside it were recorded is not known")
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    texts = {number: line for number, line in enumerate(lines) if line}
    for number, text in texts.items():
        if not _TIME.fullmatch(text):
            place = f"line {number + 1}"
            raise FormatError(path, place=place, found=repr(text[:60]), expected=f"a time such as {_EXAMPLE_TIME}")
    try:
        times = np.array(list(texts.values()), dtype="datetime64[ns]").astype(np.int64)
    except ValueError as error:  # no such day or hour
        raise FormatError(path, found=f"no time: {error}", expected=f"times such as {_EXAMPLE_TIME}") from None
    return dict(zip(texts, times.tolist(), strict=True))


# ---- poses ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Oxts:
    """Rows of the inertial and GPS unit in time order."""

    latitude: NDArray[np.float64]  # (M,) degrees
    longitude: NDArray[np.float64]  # (M,) degrees
    yaw: NDArray[np.float64]  # (M,) radians, counterclockwise from east, without jumps by a turn
    trajectory: Trajectory  # the unit's: axes x east, y north, z up; positions in the scaled Mercator projection

    def gps(self, timestamp: int) -> GpsPose:
        """Interpolate the unit's position on the Earth between its rows; beyond them take the nearest row's."""
        times = self.trajectory.timestamps
        latitude, longitude, yaw = (
            float(np.interp(timestamp - int(times[0]), times - times[0], values))
            for values in (self.latitude, self.longitude, self.yaw)
        )
        return GpsPose(latitude, longitude, (90.0 - math.degrees(yaw)) % 360.0)


def _read_oxts(folder: AnyPath, options: OpenOptions) -> tuple[Oxts | None, list[str]]:
    """Read the rows of a drive's folder oxts/, and return them with notes; None where it has none."""
    files, notes = counted_files(folder / "data", ".txt")
    if not files:
        return None, [*notes, NO_ROWS]
    times = _read_times(folder / "timestamps.txt")
    timed = {number: time for number in files if (time := times.get(number)) is not None}
    if len(timed) < len(files):
        notes.append(f"{len(files) - len(timed)} oxts rows have no time; they are left out")
    if not timed:
        return None, [*notes, NO_ROWS]
    with prefetch(files[number] for number in timed):
        rows = np.array([_read_row(files[number]) for number in timed])
    latitude, longitude, altitude = rows.T[:3]
    scale = math.cos(math.radians(latitude[0]))
    east = scale * EARTH_RADIUS_M * np.radians(longitude)
    north = scale * EARTH_RADIUS_M * np.log(np.tan(np.radians(90 + latitude) / 2))
    positions = np.column_stack((east, north, altitude))
    stamps = list(timed.values())
    angles, more = _in_radians(rows[:, 3:], positions, stamps, options)
    notes += more
    poses = [
        Pose.from_euler(roll, pitch, yaw, place) for (roll, pitch, yaw), place in zip(angles, positions, strict=True)
    ]
    trajectory, more = table_of_poses(folder / "data", "KITTI", poses, stamps).trajectory()
    _, kept = np.unique(np.array(stamps, dtype=np.int64), return_index=True)
    return Oxts(latitude[kept], longitude[kept], np.unwrap(angles[kept, 2]), trajectory), notes + more


def _in_radians(
    angles: NDArray[np.float64], positions: NDArray[np.float64], stamps: Sequence[int], options: OpenOptions
) -> tuple[NDArray[np.float64], list[str]]:
    """Return (M, 3) roll, pitch and yaw in radians, as KITTI has them; and a note if they were degrees."""
    unit, why = options.poses_are, "as asked for"
    if unit not in ("degrees", "radians"):
        order = np.argsort(np.array(stamps), kind="stable")
        guess = guess_unit(angles[order], positions[order])
        unit, why = guess.unit, f"since {guess.reason}; if they are radians: --poses-are radians"
    if unit != "degrees":
        return angles, []
    return np.radians(angles), [f"roll, pitch and yaw of the oxts rows are taken as degrees, {why}"]


def _read_row(path: AnyPath) -> list[float]:
    """Read latitude, longitude, altitude, roll, pitch, yaw."""
    words = path.read_text(encoding="utf-8", errors="replace").split()
    try:
        numbers = [float(word) for word in words[:6]]
    except ValueError:
        raise FormatError(path, found=repr(" ".join(words)[:60]), expected=f"{ROW_LENGTH} numbers") from None
    if len(words) != ROW_LENGTH:
        raise FormatError(path, found=f"{len(words)} values", expected=f"{ROW_LENGTH}, as the unit writes them")
    if not all(map(math.isfinite, numbers)):
        raise FormatError(path, found=f"a number that is not finite: {words[:6]}", expected="a pose")
    if not (abs(numbers[0]) < 90 and abs(numbers[1]) <= 360):
        raise FormatError(path, found=f"latitude {words[0]}, longitude {words[1]}", expected="degrees, off the poles")
    return numbers


def _trajectory(
    oxts: Oxts, velodyne_from_imu: Pose, times: list[int], image_times: list[int]
) -> tuple[Trajectory, list[str]]:
    """Return world_from_ego, with the world's origin at the device's position at the first time that has a pose."""
    mercator_from_ego = oxts.trajectory @ velodyne_from_imu.inverse()
    mercator_from_ego, notes = _continued(mercator_from_ego, [*times, *image_times])
    poses = (mercator_from_ego.at(time) for time in times)
    first = next((pose for pose in poses if pose is not None), mercator_from_ego.pose(0))
    return mercator_from_ego.seen_from(Pose.identity().translated(-first.translation)), notes


def _continued(trajectory: Trajectory, needed: Sequence[int]) -> tuple[Trajectory, list[str]]:
    """Continue the trajectory to needed times beyond its ends that are at most about a sweep away; with a note if so.

    A synchronised drive has one oxts row a sweep, whose time is some milliseconds off the sweep's and the images':
    the first or the last of them lie beyond the rows. With one row only, the device is taken to stand still.
    """
    times = trajectory.timestamps.tolist()
    early = [time for time in needed if 0 < times[0] - time <= LONGEST_CONTINUED_NS]
    late = [time for time in needed if 0 < time - times[-1] <= LONGEST_CONTINUED_NS]
    if not early and not late:
        return trajectory, []
    poses = [trajectory.pose(row) for row in range(len(times))]
    stamped = dict(zip(times, poses, strict=True))
    longest = 0
    for time, end, inner in ((min(early, default=None), 0, 1), (max(late, default=None), -1, -2)):
        if time is None:
            continue
        longest = max(longest, abs(time - times[end]))
        if len(times) == 1:
            stamped[time] = poses[0]
        else:
            fraction = (time - times[end]) / (times[inner] - times[end])
            stamped[time] = poses[end].interpolate(poses[inner], fraction)
    in_order = sorted(stamped)
    longer = Trajectory.from_poses(in_order, [stamped[time] for time in in_order])
    return replace(longer, normalised_by=trajectory.normalised_by), [
        f"poses are continued by up to {longest / 1e6:.1f} ms beyond the first and the last oxts row, at constant speed"
    ]
