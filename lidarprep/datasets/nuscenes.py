"""nuScenes: tables of any version in a folder such as v1.0-trainval, and the files that they name beside it.

    v1.0-*/scene.json, sample.json, …   the tables: see the module _nuscenes_tables
    samples/LIDAR_TOP/*.pcd.bin         keyframes, in the lidar's own frame; sweeps/LIDAR_TOP/*.pcd.bin between them
    samples/CAM_*/*.jpg                 six cameras; rectified
    samples/RADAR_*/*.pcd               five radars

The path is the dataset's top folder, or the folder of one version's tables, beside which the files are. Ego is what
nuScenes calls ego: the middle of the rear axle, x ahead, y left. The world is the frame of the map of the place, in
which z is up. Points of the lidar are moved into ego as they are read; so are those of the radars, each from where the
vehicle was when they were seen. A frame is a keyframe, and has keyframes of the other sensors; with all_sweeps a frame
is any sweep of the lidar, and has the nearest data in time of the others.

Radar files are binary PCD of eighteen fields, of which position and velocity are read. x is ahead of the sensor and y
to its left; z is 0, since the radars measure no height. vx_comp and vy_comp are the velocity in metres a second, with
the vehicle's own motion taken out. Every return is kept, also those that the sensor marks as invalid or ambiguous,
which the development kit leaves out unless told otherwise. A file without returns has one that is not a number.

Other datasets with the same tables open, too: all their lidars are merged where none is named LIDAR_TOP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets._nuscenes_tables import (
    TABLES,
    Channel,
    Modality,
    Reading,
    Record,
    SceneTables,
    read_scene,
    records,
    text,
)
from lidarprep.datasets.association import ImageSeries, match_images, nearest, poses_at, unmatched
from lidarprep.datasets.filenames import frame_key, source_files, visible
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.pose_readings import reread_trajectory
from lidarprep.datasets.selection import listed, refuse_poses, selected, unused_options
from lidarprep.datasets.unread import misnamed_file, unread_folders
from lidarprep.errors import FormatError, SceneError, naming
from lidarprep.pointfiles import bin_files, read_points
from lidarprep.pointfiles.timestamps import in_unit
from lidarprep.remote import AnyPath
from lidarprep.scene import Camera, CameraImage, Frame, Lidar, PointCloud, Pose, RadarPoints, Scene, Trajectory
from lidarprep.scene.points import TimeUnit

LOOKS_LIKE = "a nuScenes dataset: tables in v1.0-*/ (scene.json, sample_data.json, …), files in samples/ and sweeps/"

MAIN_LIDAR = "LIDAR_TOP"

VERSION_NAME = re.compile(r"v[0-9]+\.[0-9]+")

USED_OPTIONS = (
    "points_frame", "columns", "points_unit", "scene", "lidars", "cameras", "all_sweeps", "image_tolerance",
    "max_pose_gap",
)  # fmt: skip

POSITION_FIELDS = ("x", "y", "z")
VELOCITY_FIELDS = ("vx_comp", "vy_comp")

# One radar's part of a frame: its file, the pose of its frame in the frame's ego.
_RadarPart = tuple[AnyPath, Pose]
# One lidar's: its number, too, where there are several.
_LidarPart = tuple[AnyPath, Pose, int | None]


def detect(path: AnyPath) -> str | None:
    """Say why this is a nuScenes dataset; None if it is not."""
    versions = _versions(path)
    return f"it holds nuScenes tables: {listed(list(map(_name, versions)))}" if versions else None


def open(path: AnyPath, options: OpenOptions) -> Scene:
    """Open one scene of a nuScenes dataset.

    Raises:
        SceneError: Which scene is meant is not clear, or there is none of that name; a lidar or camera is not known;
            there is no sweep; an option contradicts the layout.
        FormatError: A table is missing or damaged, or a token in it points nowhere.
    """
    refuse_poses(path, options, "a nuScenes dataset, which has its own poses")
    if options.points_frame == "world":
        raise SceneError(
            f"{path} is a nuScenes dataset, whose points are in their lidar's frame and are moved into ego",
            fix="Leave --points-frame out.",
        )
    tables, record, notes = _find_scene(path, options.scene)
    top = path if tables != path else path.absolute().parent
    read = read_scene(tables, top, record)
    lidars = _lidars(read, options)
    cameras = _chosen(_of(read, "camera"), options.cameras, "camera")
    radars = _of(read, "radar")

    main = next(iter(lidars.values()))
    readings = _wanted(main, options)
    if not readings:
        raise SceneError(f"{record['name']} has no keyframe of {main.name}", fix="Take --all-sweeps.")
    if not any(reading.path.is_file() for reading in readings):
        raise SceneError(
            f"none of the {len(readings)} files of {main.name} that {tables / 'sample_data.json'} names for "
            f"{record['name']} is there, such as {readings[0].path}{misnamed_file(top / 'samples')}",
            fix="Get the archive of files that holds this scene, or name another scene with --scene-name.",
        )
    times = [reading.timestamp for reading in readings]
    poses, pose_notes = poses_at(times, read.trajectory, options)
    series, file_notes = _image_series(cameras, options)
    images, image_notes = match_images(times, series, read.trajectory, options)
    points, lidar_notes = _lidar_parts(lidars, readings, read.trajectory, options)
    returns, radar_notes = _radar_parts(radars, times, read.trajectory, options)
    if radars:
        radar_notes.append(
            "radar: all returns are kept, also those marked as invalid or ambiguous, which nuScenes' own kit leaves out"
        )
    # Points and radar returns are moved by these poses, which the frame itself does not have.
    calibration = source_files([tables / "calibrated_sensor.json", tables / "ego_pose.json"])
    frames = tuple(
        Frame(
            id=reading.token,
            index=index,
            read_points=partial(read_frame, points[index], options.columns, options.points_unit),
            read_radar=partial(read_radars, returns[index]) if radars else None,
            world_from_ego=poses[index],
            timestamp=reading.timestamp,
            images=images[index],
            sources=(
                *source_files([*(path for path, *_ in points[index]), *(path for path, _ in returns[index])]),
                *calibration,
                *source_files((), images[index]),
            ),
        )
        for index, reading in enumerate(readings)
    )
    return Scene(
        source=str(path),
        layout="nuscenes",
        frames=frames,
        cameras=tuple(one.camera for one in series),
        notes=(
            *notes,
            *read.notes,
            *unused_options(options, USED_OPTIONS),
            *lidar_notes,
            *pose_notes,
            *file_notes,
            *image_notes,
            *radar_notes,
        ),
        findings=tuple(unread_folders(top, ["samples", "sweeps"], "a nuScenes dataset")[0]),
        lidars=tuple(Lidar(lidar.name, index, lidar.ego_from_sensor) for index, lidar in lidars.items()),
        trajectory=read.trajectory,
    )


def _versions(path: AnyPath) -> list[AnyPath]:
    """Return the folders of tables: this one, or those in it."""
    if not path.is_dir():
        return []
    if _has_tables(path):
        return [path]
    return [folder for folder in visible(path) if VERSION_NAME.match(folder.name) and _has_tables(folder)]


def _name(version: AnyPath) -> str:
    return version.absolute().name  # of ".", too


def _has_tables(folder: AnyPath) -> bool:
    # Two, since one may be missing, which is an error to report, and since other datasets have a scene.json, too.
    return sum((folder / f"{table}.json").is_file() for table in TABLES) >= 2


def _find_scene(path: AnyPath, asked: str | None) -> tuple[AnyPath, Record, list[str]]:
    """Return the folder of tables that has the scene, the scene's record, and notes on the choice."""
    versions = _versions(path)
    if not versions:
        raise SceneError(f"{path} holds no nuScenes tables", fix=f"Expected is {LOOKS_LIKE}.")
    scenes = {version: records(version / "scene.json") for version in versions}
    for version, found in scenes.items():
        for record in found:
            text(version / "scene.json", record, "name")
    if asked is None and len(versions) > 1:
        raise SceneError(
            f"{path} holds tables of {len(versions)} versions: {listed(list(map(_name, versions)))}",
            fix="Point at one of these folders, or name a scene with --scene-name NAME.",
        )
    matches = [
        (version, record)
        for version, found in scenes.items()
        for record in found
        if asked is None or _is_scene(record, asked)
    ]
    if not matches or (asked is None and len(matches) > 1):
        names = sorted({record["name"] for found in scenes.values() for record in found}, key=frame_key)
        problem = f"{path} holds {len(names)} scenes" if asked is None else f"{path} holds no scene {asked!r}"
        raise SceneError(problem, fix=f"Name one with --scene-name NAME: {listed(names)}.")
    # A scene of v1.0-mini is in v1.0-trainval, too, with the same records: the smaller tables are read faster.
    version, record = min(matches, key=lambda match: _table_bytes(match[0]))
    notes = [f"scene {record['name']} of {_name(version)}"] if len(matches) > 1 or asked is None else []
    return version, record, notes


def _is_scene(record: Record, asked: str) -> bool:
    """Return whether a scene is meant by its name, its token, or the number in its name: scene-0061 is 61."""
    number = record["name"].rpartition("-")[2]
    same_number = number.isdecimal() and asked.isdecimal() and int(number) == int(asked)
    return same_number or asked in (record["name"], record["token"])


def _table_bytes(version: AnyPath) -> int:
    table = version / "sample_data.json"
    return table.stat().st_size if table.is_file() else 0


def _of(read: SceneTables, modality: Modality) -> list[Channel]:
    return [channel for channel in read.channels if channel.modality == modality]


def _chosen(channels: Sequence[Channel], names: Sequence[str], what: str) -> dict[int, Channel]:
    """Return the channels of these names, or all, by their numbers among all."""
    taken = selected([channel.name for channel in channels], names, what)
    return {index: channel for index, channel in enumerate(channels) if channel.name in taken}


def _lidars(read: SceneTables, options: OpenOptions) -> dict[int, Channel]:
    """Return the lidars asked for; else LIDAR_TOP, or all if there is none. The first gives the frames."""
    lidars = sorted(_of(read, "lidar"), key=lambda lidar: lidar.name != MAIN_LIDAR)
    if not lidars:
        raise SceneError("the scene has no lidar in sample_data.json")
    default = (MAIN_LIDAR,) if lidars[0].name == MAIN_LIDAR else ()
    return _chosen(lidars, options.lidars or default, "lidar")


# ---- the data of a frame ---------------------------------------------------------------------------------------------


def read_frame(
    parts: tuple[_LidarPart, ...], columns: str | None = None, time_unit: TimeUnit | None = None
) -> PointCloud:
    """Read the points of a frame's lidars, in ego: positions float32, intensity as stored (0 to 255), ring.

    `columns` names the columns of their files, where they are not nuScenes' own; `time_unit` is that of their times.
    """
    return PointCloud.concatenate([_read_part(*part, columns, time_unit) for part in parts])


def _read_part(
    path: AnyPath, ego_from_lidar: Pose, device: int | None, columns: str | None, time_unit: TimeUnit | None
) -> PointCloud:
    if not path.is_file():
        raise FormatError(
            path,
            found="no such file, though sample_data.json names it",
            expected="a sweep of the lidar",
            fix="Get the archive of files that has it: each holds the files of a part of the scenes.",
        )
    with naming(path):
        # Whatever ends in .bin is rows of five here, also where no .pcd stands before it.
        is_rows = path.name.lower().endswith(".bin")
        if is_rows:
            cloud = in_unit(bin_files.read_nuscenes(path, "sensor", columns), time_unit)
        else:
            cloud = read_points(path, "sensor", columns, time_unit)
    cloud = cloud.moved(ego_from_lidar, "ego")
    return cloud if device is None else replace(cloud, device=np.full(len(cloud), device, dtype=np.uint32))


def _wanted(channel: Channel, options: OpenOptions) -> tuple[Reading, ...]:
    """Return the channel's keyframes; with all_sweeps all of its readings."""
    return tuple(reading for reading in channel.readings if reading.is_key_frame or options.all_sweeps)


def _lidar_parts(
    lidars: Mapping[int, Channel], readings: Sequence[Reading], trajectory: Trajectory, options: OpenOptions
) -> tuple[list[tuple[_LidarPart, ...]], list[str]]:
    """Return for each reading of the first lidar: it, and the nearest in time of each other; and notes on gaps."""
    (main, first), *others = lidars.items()
    device = main if others else None
    times = [reading.timestamp for reading in readings]
    parts: list[list[_LidarPart]] = [[(reading.path, first.ego_from_sensor, device)] for reading in readings]
    _, notes = _present(first.name, readings, "reading their points is an error")
    for device, lidar in others:
        candidates = _wanted(lidar, options)
        _, missing = _present(lidar.name, candidates, "reading their points is an error")
        matched, more = _nearest(lidar, candidates, "sweep", times, trajectory, options)
        notes += missing + more
        for frame, found in matched.items():
            parts[frame].append((*found, device))
    return [tuple(part) for part in parts], notes


def _radar_parts(
    radars: Sequence[Channel], times: Sequence[int], trajectory: Trajectory, options: OpenOptions
) -> tuple[list[tuple[_RadarPart, ...]], list[str]]:
    """Return for each frame the nearest file in time of each radar; and notes on gaps."""
    parts: list[list[_RadarPart]] = [[] for _ in times]
    notes = []
    for radar in radars:
        there, missing = _present(radar.name, _wanted(radar, options), "they are left out")
        matched, more = _nearest(radar, there, "file", times, trajectory, options)
        notes += missing + more
        for frame, found in matched.items():
            parts[frame].append(found)
    return [tuple(part) for part in parts], notes


def _image_series(cameras: Mapping[int, Channel], options: OpenOptions) -> tuple[list[ImageSeries], list[str]]:
    """Return the images of each camera, by its number, that are on the disk; and notes on those that are not."""
    series, notes = [], []
    calibrated = [(index, one, one.intrinsics) for index, one in cameras.items() if one.intrinsics is not None]
    for index, channel, intrinsics in calibrated:
        camera = Camera(channel.name, index, intrinsics, channel.ego_from_sensor)
        there, missing = _present(channel.name, _wanted(channel, options), "they are left out")
        notes += missing
        images = [CameraImage(camera, reading.path) for reading in there]
        series.append(ImageSeries(camera, [reading.timestamp for reading in there], images.__getitem__))
    return series, notes


def _nearest(
    channel: Channel,
    readings: Sequence[Reading],
    what: str,
    times: Sequence[int],
    trajectory: Trajectory,
    options: OpenOptions,
) -> tuple[dict[int, tuple[AnyPath, Pose]], list[str]]:
    """Return by the frame's index the nearest file in time, and the sensor's pose then in ego at the frame's time."""
    rows = nearest(times, [reading.timestamp for reading in readings], options.image_tolerance_ns)
    path = reread_trajectory(trajectory, options.poses_are)
    found = {}
    for frame in np.flatnonzero(rows >= 0).tolist():
        reading, pose = readings[rows[frame]], channel.ego_from_sensor
        if reading.timestamp != times[frame]:  # both are times of the trajectory
            at = np.searchsorted(path.timestamps, (times[frame], reading.timestamp)).tolist()
            now, then = map(path.pose, at)
            pose = now.inverse() @ then @ pose
        found[frame] = reading.path, pose
    return found, unmatched(channel.name, what, rows, options)


def _present(name: str, readings: Sequence[Reading], consequence: str) -> tuple[list[Reading], list[str]]:
    """Return the readings whose files are there, and a note on the others."""
    is_there = [reading.path.is_file() for reading in readings]
    there = list(compress(readings, is_there))
    if len(there) == len(readings):
        return there, []
    note = (
        f"{name}: {len(readings) - len(there)} of {len(readings)} files that sample_data.json names are not there, "
        f"such as {readings[is_there.index(False)].path}; {consequence}"
    )
    return there, [note]


def read_radars(parts: tuple[_RadarPart, ...]) -> RadarPoints:
    """Read the returns of several radars, without sizes, from their files and their frames' poses in the frame's ego.

    Positions are (N, 3) metres, directions (N, 3) velocities in metres a second, both in ego.
    """
    positions, velocities = [np.zeros((0, 3))], [np.zeros((0, 3))]
    for path, ego_from_radar in parts:
        in_radar, velocity = _read_radar(path)
        positions.append(ego_from_radar.apply(in_radar))
        velocities.append(ego_from_radar.rotate(velocity))
    return RadarPoints(np.concatenate(positions), np.concatenate(velocities))


def _read_radar(path: AnyPath) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (N, 3) positions and (N, 3) velocities in the radar's frame."""
    from lidarprep.pointfiles import pcd  # here, since it brings the kernels

    with naming(path):
        fields, _ = pcd.read_fields(path)
    missing = [name for name in (*POSITION_FIELDS, *VELOCITY_FIELDS) if name not in fields]
    if missing:
        raise FormatError(
            path, place="the header", found=f"no field {' and no '.join(missing)}", expected="all of them"
        )
    with np.errstate(invalid="ignore"):  # some NaN say so when they are converted
        positions = np.column_stack([fields[name].astype(np.float64) for name in POSITION_FIELDS])
        velocities = np.zeros_like(positions)
        velocities[:, :2] = np.column_stack([fields[name].astype(np.float64) for name in VELOCITY_FIELDS])
    returned = np.isfinite(positions).all(axis=1)
    positions, velocities = positions[returned], velocities[returned]
    if not np.isfinite(velocities).all():
        raise FormatError(path, place=f"field {VELOCITY_FIELDS[0]!r}", found="a velocity that is not finite")
    return positions, velocities
