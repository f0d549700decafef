"""The toolkit folder: a numbered file a frame of points, pose, images and radar.

    pointcloud/N.ply              points, in ego; any point format; in place of it, where there are several lidars:
    lidars/NAME/N.ply             points of one lidar, in its own frame
    lidars/NAME/extrinsics.json   {"heading", "position"}, ego from lidar; see point_folder
    poses/N.json                  {"heading": [w, x, y, z], "position": [x, y, z]}, world from ego; "timestamp" if known
    cameras/NAME/extrinsics.json  {"heading", "position"}, ego from camera
    cameras/NAME/intrinsics.json  fx, fy, cx, cy, and what Frame JSON knows beside them
    cameras/NAME/N.jpg            or .jpeg or .png
    radar_points/N.txt            x, y, z, dx, dy, dz, size a line, in ego

N need not start at 0 and need not be padded. Cameras, radar and poses may be missing: a poses file that the user gives
is read where poses/ holds none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from lidarprep.datasets.association import CameraFiles, images_of_frame
from lidarprep.datasets.filenames import (
    FrameKey,
    files_by_frame,
    folders_in,
    image_stem,
    passed_over,
    source_files,
    stem_before,
    visible_names,
)
from lidarprep.datasets.frame_poses import FramePoses, match_poses
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
from lidarprep.datasets.pose_files import read_poses
from lidarprep.datasets.poses import StampedPose, read_camera, read_pose
from lidarprep.datasets.selection import listed, refuse_poses, sound_cameras, unused_options
from lidarprep.datasets.time_units import frame_times
from lidarprep.datasets.unread import not_read, unread_folders
from lidarprep.errors import FormatError, SceneError, naming
from lidarprep.remote import AnyPath, prefetch
from lidarprep.scene import Camera, Finding, Frame, RadarPoints, Scene, Subject

LOOKS_LIKE = (
    "a toolkit folder: pointcloud/N.ply (or another point format, or lidars/NAME/N.ply), poses/N.json, "
    "cameras/NAME/N.jpg"
)

RADAR_COLUMNS = "x, y, z, dx, dy, dz, size"


def detect(path: AnyPath) -> str | None:
    """Say why this is a toolkit folder; None if it is not."""
    if (path / "pointcloud").is_dir():
        return "it has a folder pointcloud/"
    return "it has folders lidars/ and poses/" if (path / "poses").is_dir() and has_lidars(path) else None


def open(path: AnyPath, options: OpenOptions) -> Scene:
    """Open a toolkit folder.

    A frame whose pose is missing or damaged has none, and a camera without a sound calibration is left out; both are
    told. A poses file is read in place of poses/ where that holds none.

    Raises:
        SceneError: There is no point file; two files belong to one frame; a camera that is asked for has no
            calibration; a poses file is given beside poses of the folder's own.
        FormatError: The calibration of a camera that is asked for, or all poses, are not what they should be.
    """
    clouds = path / "pointcloud"
    sources = PointSources(())
    if clouds.is_dir():
        sources = files_of(clouds, options.points_frame, options.columns, unit=options.points_unit)
    if not sources.sources and has_lidars(path):
        clouds, sources = path / LIDARS, lidar_sources(path, options)
    if not sources.sources:
        raise SceneError(f"{clouds} holds no point file", fix=f"Expected is {LOOKS_LIKE}.")
    frame_files = {source.key: source for source in sources.sources}
    posed = _read_poses(path, frame_files, sources, options)
    cameras, camera_findings = _read_cameras(path / "cameras", sources, options)
    radar, radar_findings = _files(path / "radar_points", ".txt", sources)
    frames = []
    of_frames = zip(frame_files.items(), posed.frames.poses, posed.frames.timestamps, strict=True)
    for index, ((key, source), pose, timestamp) in enumerate(of_frames):
        images = images_of_frame(cameras, key, pose, None)
        frames.append(
            Frame(
                id=source.id,
                index=index,
                read_points=source.read_points,
                read_chunks=source.read_chunks,
                read_sample=source.read_sample,
                read_radar=partial(read_radar, radar[key]) if key in radar else None,
                world_from_ego=pose,
                timestamp=source.timestamp if timestamp is None else timestamp,
                images=images,
                sources=source_files([*source.files, *([radar[key]] if key in radar else [])], images),
            )
        )
    notes = [*sources.notes, *posed.frames.notes, *passed_over(clouds)]
    for camera, files in cameras:
        notes += _strays(frame_files, path / "cameras" / camera.name, files)
    if radar:
        notes += _strays(frame_files, path / "radar_points", radar)
    unread, unknown = unread_folders(path, _folders_read(path, sources), "a toolkit folder")
    used = ("points_frame", "lidars", "cameras", "points_unit", *sources.used_options, *posed.used_options)
    scene = Scene(
        str(path),
        "toolkit",
        tuple(frames),
        tuple(camera for camera, _ in cameras),
        options.points_frame or "ego",
        (*notes, *unknown, *unused_options(options, used)),
        lidars=sources.lidars,
        trajectory=posed.frames.trajectory,
        findings=(*unread, *sources.findings, *posed.findings, *camera_findings, *radar_findings),
    )
    return at_frame_times(scene, sources, options, posed.files)


def _folders_read(path: AnyPath, sources: PointSources) -> list[str]:
    """Return the names of the folders that are read: pointcloud/ or, where that holds no point file, lidars/."""
    clouds = [LIDARS] if sources.lidars else ["pointcloud"]
    return [*clouds, *([] if (path / clouds[0]).is_dir() else [LIDARS]), "poses", "cameras", "radar_points"]


def _files(folder: AnyPath, suffix: str, sources: PointSources) -> tuple[dict[FrameKey, AnyPath], list[Finding]]:
    """Return the files with this suffix, by frame, and a finding if there are only others; none without a folder."""
    if not folder.is_dir():
        return {}, []
    files = files_by_frame(folder, lambda name: stem_before(name, suffix), key_of=sources.key_of)
    others = [] if files else visible_names(folder)
    if not others:
        return files, []
    message = f"{folder.name}/ is not read: its {len(others)} files, such as {others[0]}, are none of N{suffix}"
    return files, [not_read(folder, message, f"expected is {LOOKS_LIKE}", found=others[0], expected=f"N{suffix}")]


# ---- poses ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Poses:
    """The frames' poses, as far as they are known; what they were read from, and what was odd about it."""

    frames: FramePoses
    files: Sequence[AnyPath | None]  # one a frame; None where it has no pose
    findings: Sequence[Finding] = ()
    used_options: Sequence[str] = ()


def _read_poses(
    path: AnyPath, frames: Mapping[FrameKey, PointSource], sources: PointSources, options: OpenOptions
) -> _Poses:
    """Read the poses of the folder poses/, or of the file that the user gives."""
    folder = path / "poses"
    found, findings = _files(folder, ".json", sources)
    if options.poses is not None:
        if found:
            fix = "Leave the poses file out, or open the folder pointcloud/ with it."
            refuse_poses(path, options, "a toolkit folder, which has its own poses", fix)
        table = read_poses(options.poses, options)
        matched = match_poses(sources, table, options)
        used = ("poses", "max_pose_gap", "poses_are", "frames_unit")
        return _Poses(matched, [options.poses] * len(frames), [*findings, *table.findings], used)
    stamped: dict[FrameKey, StampedPose] = {}
    damaged: list[FormatError] = []
    of_frames = {key: found[key] for key in frames if key in found}
    with prefetch(of_frames.values()):
        for key, file in of_frames.items():
            try:
                stamped[key] = read_pose(file)
            except FormatError as error:
                damaged.append(error)
    if damaged and not stamped:  # no single file is at fault
        raise damaged[0]
    notes = _strays(frames, folder, found, complete=True)
    lacking = [frame.id for key, frame in frames.items() if key not in found]
    if lacking:
        notes.append(f"{len(lacking)} of {len(frames)} frames have no pose in poses/: {listed(lacking)}")
    findings += [
        Finding(
            "pose-unreadable",
            f"a frame has no pose, since its file is damaged: {error.message}",
            f"{(error.fix or 'Write the file again').rstrip('.')}; or leave the frame out, prepare --skip-bad-frames "
            "(skip_bad_frames=True in Recipe)",
            subject=Subject("file", error.path),
        )
        for error in damaged
    ]
    poses = [stamped[key].pose if key in stamped else None for key in frames]
    times = frame_times({key: one.timestamp for key, one in stamped.items()}, "timestamps in poses/", options)
    files = [found[key] if key in stamped else None for key in frames]
    matched = FramePoses(poses, [times.timestamps.get(key) for key in frames], notes=(*notes, *times.notes))
    return _Poses(matched, files, [*findings, *times.findings], ("frames_unit",) if times.timestamps else ())


# ---- cameras -------------------------------------------------------------------------------------------------------


def _read_cameras(
    folder: AnyPath, sources: PointSources, options: OpenOptions
) -> tuple[list[CameraFiles[FrameKey]], list[Finding]]:
    """Return the cameras in the order of their names, each with its images; and findings on those left out."""
    if not folder.is_dir():
        return [], []
    folders = {path.name: path for path in folders_in(folder)}
    loose = [name for name in visible_names(folder) if image_stem(name) is not None]
    findings = []
    if loose:
        message = f"{len(loose)} images in cameras/ itself, such as {loose[0]}, are not read"
        findings.append(not_read(folder, message, "put each camera's images, with its calibration, into cameras/NAME/"))

    def read(index: int, name: str) -> Camera:
        return read_camera(folders[name], index, "extrinsics.json", "intrinsics.json")

    cameras, left_out = sound_cameras(list(folders), options.cameras, read)
    files = [files_by_frame(folders[one.name], image_stem, key_of=sources.key_of) for one in cameras]
    return list(zip(cameras, files, strict=True)), [*findings, *left_out]


def _strays(
    frames: Mapping[FrameKey, PointSource],
    folder: AnyPath,
    files: Mapping[FrameKey, AnyPath],
    *,
    complete: bool = False,
) -> list[str]:
    """Return notes on the frames without a file in the folder, and on the files there that belong to no frame."""
    place = f"{folder.parent.name}/{folder.name}" if folder.parent.name == "cameras" else folder.name
    missing = len(frames.keys() - files.keys())
    extra = len(files.keys() - frames.keys())
    notes = [f"{place}: {missing} of {len(frames)} frames have no file there"] if missing and not complete else []
    return [*notes, f"{place}: {extra} of {len(files)} files there belong to no frame"] if extra else notes


def read_radar(path: AnyPath) -> RadarPoints:
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
