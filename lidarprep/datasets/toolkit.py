"""The toolkit folder: a numbered file a frame of points, pose, images and radar.

    pointcloud/N.ply              points, in ego; any point format; in place of it, where there are several lidars:
    lidars/NAME/N.ply             points of one lidar, in its own frame
    lidars/NAME/extrinsics.json   {"heading", "position"}, ego from lidar; see point_folder
    poses/N.json                  {"heading": [w, x, y, z], "position": [x, y, z]}, world from ego; "timestamp" if known
    cameras/NAME/extrinsics.json  {"heading", "position"}, ego from camera
    cameras/NAME/intrinsics.json  fx, fy, cx, cy, and what Frame JSON knows beside them
    cameras/NAME/N.jpg            or .jpeg or .png
    radar_points/N.txt            x, y, z, dx, dy, dz, size a line, in ego

N need not start at 0 and need not be padded. Cameras and radar may be missing; poses may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from lidarprep.datasets.association import CameraFiles, images_of_frame
from lidarprep.datasets.filenames import (
    FrameKey,
    files_by_frame,
    image_stem,
    passed_over,
    source_files,
    stem_before,
    visible,
)
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.point_folder import (
    LIDARS,
    PointSource,
    PointSources,
    at_frame_times,
    files_of,
    has_lidars,
    lidar_sources,
)
from lidarprep.datasets.poses import StampedPose, read_camera, read_pose
from lidarprep.datasets.selection import refuse_poses, unused_options
from lidarprep.datasets.time_units import frame_times
from lidarprep.errors import FormatError, SceneError, naming
from lidarprep.scene import Frame, RadarPoints, Scene

LOOKS_LIKE = (
    "a toolkit folder: pointcloud/N.ply (or another point format, or lidars/NAME/N.ply), poses/N.json, "
    "cameras/NAME/N.jpg"
)

RADAR_COLUMNS = "x, y, z, dx, dy, dz, size"


def detect(path: Path) -> str | None:
    """Say why this is a toolkit folder; None if it is not."""
    if (path / "pointcloud").is_dir():
        return "it has a folder pointcloud/"
    return "it has folders lidars/ and poses/" if (path / "poses").is_dir() and has_lidars(path) else None


def open(path: Path, options: OpenOptions) -> Scene:
    """Open a toolkit folder.

    Raises:
        SceneError: There is no point file; a frame has no pose, a camera no calibration; two files belong to one
            frame; frames are out of time order.
        FormatError: A pose or a calibration is not what it should be.
    """
    fix = "Leave the poses file out, or open the folder pointcloud/ with it."
    refuse_poses(path, options, "a toolkit folder, which has its own poses", fix)
    clouds = path / "pointcloud"
    sources = files_of(clouds, options.points_frame, unit=options.points_unit) if clouds.is_dir() else PointSources(())
    if not sources.sources and has_lidars(path):
        clouds, sources = path / LIDARS, lidar_sources(path, options)
    if not sources.sources:
        raise SceneError(f"{clouds} holds no point file", fix=f"Expected is {LOOKS_LIKE}.")
    frame_files = {source.key: source for source in sources.sources}
    pose_files = _files(path / "poses", ".json", sources)
    poses = _read_poses(path / "poses", frame_files, pose_files)
    times = frame_times({key: pose.timestamp for key, pose in poses.items()}, "timestamps in poses/", options)
    cameras = _read_cameras(path / "cameras", sources)
    radar = _files(path / "radar_points", ".txt", sources)
    frames = []
    for index, (key, source) in enumerate(frame_files.items()):
        stamped = poses[key]
        images = images_of_frame(cameras, key, stamped.pose, None)
        frames.append(
            Frame(
                id=source.id,
                index=index,
                read_points=source.read_points,
                read_chunks=source.read_chunks,
                read_radar=partial(read_radar, radar[key]) if key in radar else None,
                world_from_ego=stamped.pose,
                timestamp=times.timestamps.get(key, source.timestamp),
                images=images,
                sources=source_files([*source.files, *([radar[key]] if key in radar else [])], images),
            )
        )
    notes = [*sources.notes, *times.notes, *passed_over(clouds)]
    if not sources.lidars and has_lidars(path):
        notes.append("the folder lidars/ is not read, since there are point files in pointcloud/")
    notes += _strays(frame_files, path / "poses", pose_files, complete=True)
    for camera, files in cameras:
        notes += _strays(frame_files, path / "cameras" / camera.name, files)
    if radar:
        notes += _strays(frame_files, path / "radar_points", radar)
    notes += unused_options(options, ("points_frame", "lidars", "cameras", "time_unit", *sources.used_options))
    scene = Scene(
        str(path),
        "toolkit",
        tuple(frames),
        tuple(camera for camera, _ in cameras),
        options.points_frame or "ego",
        tuple(notes),
        lidars=sources.lidars,
        findings=(*sources.findings, *times.findings),
    )
    return at_frame_times(scene, sources, options, [pose_files[key] for key in frame_files])


def _files(folder: Path, suffix: str, sources: PointSources) -> dict[FrameKey, Path]:
    """Return the files with this suffix, by frame; none if there is no such folder."""
    if not folder.is_dir():
        return {}
    return files_by_frame(folder, lambda name: stem_before(name, suffix), key_of=sources.key_of)


def _read_poses(
    folder: Path, frames: dict[FrameKey, PointSource], found: dict[FrameKey, Path]
) -> dict[FrameKey, StampedPose]:
    for key, frame in frames.items():
        if key not in found:
            raise SceneError(
                f"frame {frame.id} has no pose: {folder / f'{frame.id}.json'} is missing",
                fix='Add it as {"heading": [w, x, y, z], "position": [x, y, z]}, world from ego.',
            )
    return {key: read_pose(found[key]) for key in frames}


def _read_cameras(folder: Path, sources: PointSources) -> list[CameraFiles[FrameKey]]:
    """Return the cameras in the order of their names, each with its images."""
    if not folder.is_dir():
        return []
    folders = [path for path in visible(folder) if path.is_dir()]
    return [
        (
            read_camera(path, index, "extrinsics.json", "intrinsics.json"),
            files_by_frame(path, image_stem, key_of=sources.key_of),
        )
        for index, path in enumerate(folders)
    ]


def _strays(
    frames: dict[FrameKey, PointSource], folder: Path, files: Mapping[FrameKey, Path], *, complete: bool = False
) -> list[str]:
    """Return notes on the frames without a file in the folder, and on the files there that belong to no frame."""
    place = f"{folder.parent.name}/{folder.name}" if folder.parent.name == "cameras" else folder.name
    missing = len(frames.keys() - files.keys())
    extra = len(files.keys() - frames.keys())
    notes = [f"{place}: {missing} of {len(frames)} frames have no file there"] if missing and not complete else []
    return [*notes, f"{place}: {extra} of {len(files)} files there belong to no frame"] if extra else notes


def read_radar(path: Path) -> RadarPoints:
    """Read a text file of radar returns, seven numbers a line parted by commas; blank lines don't count.

    Returns:
        Positions (N, 3) in metres and directions (N, 3), both in ego, and sizes (N,); all float64. N may be 0.

    Raises:
        FormatError: The file cannot be read, or a line is not seven finite numbers.
    """
    with naming(path):
        text = path.read_text(encoding="ascii", errors="replace")
    rows = []
    expected = f"7 finite numbers: {RADAR_COLUMNS}"
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = [float(value) for value in line.split(",")]
        except ValueError:
            row = []
        if len(row) != 7:
            raise FormatError(path, place=f"line {number}", found=repr(line[:80]), expected=expected)
        rows.append(row)
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    try:
        return RadarPoints(table[:, :3].copy(), table[:, 3:6].copy(), table[:, 6].copy(), "ego")
    except SceneError as error:
        raise FormatError(path, found=error.message, expected=expected) from error
