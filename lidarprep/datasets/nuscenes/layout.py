"""nuScenes: tables of any version in a folder such as v1.0-trainval, and the files that they name beside it.

    v1.0-*/scene.json, sample.json, …   the tables: see the module tables
    samples/LIDAR_TOP/*.pcd.bin         keyframes, in the lidar's own frame; sweeps/LIDAR_TOP/*.pcd.bin between them
    samples/CAM_*/*.jpg                 six cameras; rectified
    samples/RADAR_*/*.pcd               five radars

The path is the dataset's top folder, or the folder of one version's tables, beside which the files are. Ego is what
nuScenes calls ego: the middle of the rear axle, x ahead, y left. The world is the frame of the map of the place, in
which z is up. Points of the lidar are moved into ego as they are read; so are those of the radars, each from where the
vehicle was when they were seen. A frame is a keyframe, and has keyframes of the other sensors; with all_sweeps a frame
is any sweep of the lidar, and has whatever of the others is nearest in time.

Other datasets with the same tables open, too: all their lidars are put together where none is named LIDAR_TOP.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lidarprep.datasets.asked_for import chosen, listed, unused_options
from lidarprep.datasets.matching import match_pictures, poses_at
from lidarprep.datasets.numbered import frame_key, visible
from lidarprep.datasets.nuscenes.frames import lidar_parts, picture_series, radar_parts, read_frame, wanted
from lidarprep.datasets.nuscenes.radar import read_radars
from lidarprep.datasets.nuscenes.records import Record, records, text
from lidarprep.datasets.nuscenes.tables import TABLES, Channel, Modality, SceneTables, read_scene
from lidarprep.datasets.options import OpenOptions
from lidarprep.errors import SceneError
from lidarprep.scene import Frame, Lidar, Scene

LOOKS_LIKE = "a nuScenes dataset: tables in v1.0-*/ (scene.json, sample_data.json, …), files in samples/ and sweeps/"

MAIN_LIDAR = "LIDAR_TOP"

VERSION_NAME = re.compile(r"v[0-9]+\.[0-9]+")

USED_OPTIONS = ("points_frame", "scene", "lidars", "cameras", "all_sweeps", "image_tolerance", "max_pose_gap")


def detect(path: Path) -> str | None:
    """Why this is a nuScenes dataset, or None."""
    versions = _versions(path)
    return f"it holds nuScenes tables: {listed(list(map(_name, versions)))}" if versions else None


def open(path: Path, options: OpenOptions) -> Scene:
    """Open one scene of a nuScenes dataset.

    Raises:
        SceneError: Which scene is meant is not clear, or there is none of that name; a lidar or camera is not known;
            there is no sweep; an option contradicts the layout.
        FormatError: A table is missing or damaged, or a token in it points nowhere.
    """
    _refuse(path, options)
    tables, record, notes = _find_scene(path, options.scene)
    read = read_scene(tables, path if tables != path else path.absolute().parent, record)
    lidars = _lidars(read, options)
    cameras = _chosen(_of(read, "camera"), options.cameras, "camera")
    radars = _of(read, "radar")

    main = next(iter(lidars.values()))
    readings = wanted(main, options)
    if not readings:
        raise SceneError(f"{record['name']} has no keyframe of {main.name}", fix="Take --all-sweeps.")
    if not any(reading.path.is_file() for reading in readings):
        raise SceneError(
            f"none of the {len(readings)} files of {main.name} that {tables / 'sample_data.json'} names for "
            f"{record['name']} is there, such as {readings[0].path}",
            fix="Get the archive of files that holds this scene, or name another scene with --scene-name.",
        )
    times = [reading.timestamp for reading in readings]
    poses, pose_notes = poses_at(times, read.trajectory, options)
    series, file_notes = picture_series(cameras, options)
    images, image_notes = match_pictures(times, series, read.trajectory, options)
    points, lidar_notes = lidar_parts(lidars, readings, read.trajectory, options)
    returns, radar_notes = radar_parts(radars, times, read.trajectory, options)
    if radars:
        radar_notes.append(
            "radar: all returns are kept, also those marked as invalid or ambiguous, which nuScenes' own kit leaves out"
        )
    frames = tuple(
        Frame(
            id=reading.token,
            index=index,
            read_points=partial(read_frame, points[index]),
            read_radar=partial(read_radars, returns[index]) if radars else None,
            world_from_ego=poses[index],
            timestamp=reading.timestamp,
            images=images[index],
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
        lidars=tuple(Lidar(lidar.name, index, lidar.ego_from_sensor) for index, lidar in lidars.items()),
        trajectory=read.trajectory,
    )


def _refuse(path: Path, options: OpenOptions) -> None:
    if options.poses is not None:
        raise SceneError(
            f"{path} is a nuScenes dataset, which has its own poses; {options.poses} would not be read",
            fix="Leave the poses file out.",
        )
    if options.points_frame == "world":
        raise SceneError(
            f"{path} is a nuScenes dataset, whose points are in their lidar's frame and are moved into ego",
            fix="Leave --points-frame out.",
        )


def _versions(path: Path) -> list[Path]:
    """The folders of tables: this one, or those in it."""
    if not path.is_dir():
        return []
    if _has_tables(path):
        return [path]
    return [folder for folder in visible(path) if VERSION_NAME.match(folder.name) and _has_tables(folder)]


def _name(version: Path) -> str:
    return version.absolute().name  # of ".", too


def _has_tables(folder: Path) -> bool:
    # Two, since one may be missing, which is to be said, and since others have a scene.json, too.
    return sum((folder / f"{table}.json").is_file() for table in TABLES) >= 2


def _find_scene(path: Path, asked: str | None) -> tuple[Path, Record, list[str]]:
    """The folder of tables that has the scene, the scene's record, and notes on the choice."""
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
    """Whether a scene is meant by its name, its token, or the number in its name: scene-0061 is 61."""
    number = record["name"].rpartition("-")[2]
    same_number = number.isdecimal() and asked.isdecimal() and int(number) == int(asked)
    return same_number or asked in (record["name"], record["token"])


def _table_bytes(version: Path) -> int:
    table = version / "sample_data.json"
    return table.stat().st_size if table.is_file() else 0


def _of(read: SceneTables, modality: Modality) -> list[Channel]:
    return [channel for channel in read.channels if channel.modality == modality]


def _chosen(channels: Sequence[Channel], names: Sequence[str], what: str) -> dict[int, Channel]:
    """The channels of these names, or all, by their numbers among all."""
    taken = chosen([channel.name for channel in channels], names, what)
    return {index: channel for index, channel in enumerate(channels) if channel.name in taken}


def _lidars(read: SceneTables, options: OpenOptions) -> dict[int, Channel]:
    """The lidars asked for; else LIDAR_TOP, or all where there is none of that name. The first gives the frames."""
    lidars = sorted(_of(read, "lidar"), key=lambda lidar: lidar.name != MAIN_LIDAR)
    if not lidars:
        raise SceneError("the scene has no lidar in sample_data.json")
    default = (MAIN_LIDAR,) if lidars[0].name == MAIN_LIDAR else ()
    return _chosen(lidars, options.lidars or default, "lidar")
