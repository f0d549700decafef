"""Argoverse 2: a log of the sensor dataset, or of the lidar and map-change datasets, which are laid out alike.

    LOG/sensors/lidar/TIMESTAMP_NS.feather           one sweep of two stacked lidars, in ego
    LOG/sensors/cameras/NAME/TIMESTAMP_NS.jpg        seven ring cameras and two stereo cameras, undistorted
    LOG/city_SE3_egovehicle.feather                  poses, several hundred a second
    LOG/calibration/egovehicle_SE3_sensor.feather    extrinsics
    LOG/calibration/intrinsics.feather

The path is a log, or a folder of logs, such as train/. Ego is what Argoverse 2 calls egovehicle: the middle of the rear
axle, x ahead, y left. The world is the city's frame, z up. Points stand where they would at the sweep's reference time,
by which its file is named: the motion of the vehicle is compensated, so they are not to be deskewed again. Times are
taken as they are: the published logs count from a day of their own, so that their dates are of 1980.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from lidarprep.datasets.argoverse2.tables import (
    LIDARS,
    read_extrinsics,
    read_intrinsics,
    read_sweep,
    read_trajectory,
)
from lidarprep.datasets.asked_for import chosen, listed, unused_options
from lidarprep.datasets.counted_files import folders_in
from lidarprep.datasets.matching import PictureSeries, match_pictures, poses_at
from lidarprep.datasets.numbered import image_stem, visible
from lidarprep.datasets.options import OpenOptions
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Camera, CameraImage, Frame, Lidar, Scene

LOOKS_LIKE = "an Argoverse 2 log, or a folder of logs: sensors/lidar/*.feather, city_SE3_egovehicle.feather"

POSES = "city_SE3_egovehicle.feather"

USED_OPTIONS = ("points_frame", "scene", "lidars", "cameras", "image_tolerance", "max_pose_gap")

# How many folders are looked into before a folder is said to hold no logs.
LOOKED_INTO = 100


def detect(path: Path) -> str | None:
    """Why this is an Argoverse 2 log or a folder of them, or None."""
    if _is_log(path):
        return "it has sensors/lidar/ with Feather files"
    log = next((folder for folder in islice(folders_in(path), LOOKED_INTO) if _is_log(folder)), None)
    return None if log is None else f"its folder {log.name} has sensors/lidar/ with Feather files"


def open(path: Path, options: OpenOptions) -> Scene:
    """Open one log.

    Raises:
        SceneError: Which log is meant is not clear, or there is none of that name; it has no sweep; a lidar or camera
            is not known; an option contradicts the layout.
        FormatError: A table is missing or damaged, or a file's name is no timestamp.
        MissingExtraError: pyarrow is not installed.
    """
    if options.poses is not None:
        raise SceneError(
            f"{path} is an Argoverse 2 log, which has its own poses; {options.poses} would not be read",
            fix="Leave the poses file out.",
        )
    log = _find_log(path, options.scene)
    sweeps = _stamped(log / "sensors" / "lidar", ".feather")
    if not sweeps:
        raise SceneError(f"{log / 'sensors' / 'lidar'} holds no sweep", fix=f"Expected is {LOOKS_LIKE}.")
    lidars = tuple(LIDARS.index(name) for name in chosen(LIDARS, options.lidars, "lidar"))
    trajectory, doubled = read_trajectory(log / POSES)
    times = list(sweeps)
    series, notes = _cameras(log, options)
    poses, pose_notes = poses_at(times, trajectory, options)
    images, image_notes = match_pictures(times, series, trajectory, options)
    if doubled:
        notes.append(f"{POSES}: {doubled} rows have the time of an earlier one; they are left out")
    points_frame = options.points_frame or "ego"
    frames = tuple(
        Frame(
            id=file.stem,
            index=index,
            read_points=partial(read_sweep, file, time, lidars, points_frame),
            world_from_ego=poses[index],
            timestamp=time,
            images=images[index],
        )
        for index, (time, file) in enumerate(sweeps.items())
    )
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
        ),
        lidars=tuple(Lidar(name, index) for index, name in enumerate(LIDARS) if index in lidars),
        trajectory=trajectory,
    )


def _is_log(path: Path) -> bool:
    folder = path / "sensors" / "lidar"
    if not folder.is_dir():
        return False
    return (path / POSES).is_file() or any(file.suffix == ".feather" for file in islice(folder.iterdir(), LOOKED_INTO))


def _find_log(path: Path, asked: str | None) -> Path:
    """The log: the path, or the one asked for among the folders in it."""
    if _is_log(path):
        if asked not in (None, path.absolute().name):
            raise SceneError(
                f"{path} is one log, and not {asked!r}", fix="Leave --scene-name out, or point at the folder of logs."
            )
        return path
    logs = [folder for folder in folders_in(path) if _is_log(folder)]
    names = [log.name for log in logs]
    if not logs:
        raise SceneError(f"{path} holds no Argoverse 2 log", fix=f"Expected is {LOOKS_LIKE}.")
    if asked is None and len(logs) > 1:
        raise SceneError(f"{path} holds {len(logs)} logs", fix=f"Name one with --scene-name NAME: {listed(names)}.")
    if asked is not None and asked not in names:
        raise SceneError(
            f"{path} holds no log {asked!r}", fix=f"Name one of these with --scene-name NAME: {listed(names)}."
        )
    return logs[0] if asked is None else logs[names.index(asked)]


def _stamped(folder: Path, suffix: str | None = None) -> dict[int, Path]:
    """The files of a folder by the nanoseconds that they are named by, in time order; None: pictures.

    Raises:
        FormatError: One has another name.
    """
    files: dict[int, Path] = {}
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


def _cameras(log: Path, options: OpenOptions) -> tuple[list[PictureSeries], list[str]]:
    """The cameras that have pictures, in the order of their names; and notes on those without a calibration."""
    folder = log / "sensors" / "cameras"
    known = [path.name for path in folders_in(folder)]
    names = chosen(known, options.cameras, "camera")
    if not names:
        return [], []
    extrinsics = read_extrinsics(log / "calibration" / "egovehicle_SE3_sensor.feather")
    intrinsics = read_intrinsics(log / "calibration" / "intrinsics.feather")
    calibrated = [name for name in names if name in extrinsics and name in intrinsics]
    left_out = [name for name in names if name not in calibrated]
    if left_out and options.cameras:
        raise SceneError(
            f"{log / 'calibration'} has no extrinsics or no intrinsics of {listed(left_out)}",
            fix=f"Leave them out; calibrated are {listed(calibrated)}.",
        )
    notes = ["the pictures are undistorted, so k1, k2 and k3 of intrinsics.feather are not applied"]
    notes += [f"left out, since calibration/ lacks them: {listed(left_out)}"] if left_out else []
    series = []
    for name in calibrated:
        camera = Camera(name, known.index(name), intrinsics[name], extrinsics[name])
        series.append(_series(camera, _stamped(folder / name)))
    return series, notes


def _series(camera: Camera, pictures: dict[int, Path]) -> PictureSeries:
    files: Sequence[Path] = list(pictures.values())
    return PictureSeries(camera, list(pictures), lambda row: CameraImage(camera, files[row]))
