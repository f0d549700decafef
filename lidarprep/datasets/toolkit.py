"""The toolkit folder: a numbered file a frame of points, pose, pictures and radar.

    pointcloud/N.ply              points, in ego; any point format; in place of it, where there are several lidars:
    lidars/NAME/N.ply             points of one lidar, in its own frame
    lidars/NAME/extrinsics.json   {"heading", "position"}, ego from lidar; see lidar_folders
    poses/N.json                  {"heading": [w, x, y, z], "position": [x, y, z]}, world from ego; "timestamp" if known
    cameras/NAME/extrinsics.json  {"heading", "position"}, ego from camera
    cameras/NAME/intrinsics.json  fx, fy, cx, cy, and what Frame JSON knows beside them
    cameras/NAME/N.jpg            or .jpeg or .png
    radar_points/N.txt            x, y, z, dx, dy, dz, size a line, in ego

N need not start at 0 and need not be padded. Cameras and radar may be missing; poses may not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from lidarprep.datasets.asked_for import unused_options
from lidarprep.datasets.json_values import StampedPose, pose_of, read_object
from lidarprep.datasets.lidar_folders import FOLDER, at_their_frames, has_lidars, lidar_sources
from lidarprep.datasets.numbered import FrameKey, files_by_frame, image_stem, passed_over, stem_before, visible
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.point_sources import PointSource, PointSources, files_of
from lidarprep.datasets.radar_text import read_radar
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Camera, CameraImage, Frame, Pose, Scene
from lidarprep.scene.camera import intrinsics_from_mapping

LOOKS_LIKE = (
    "a toolkit folder: pointcloud/N.ply (or another point format, or lidars/NAME/N.ply), poses/N.json, "
    "cameras/NAME/N.jpg"
)

# The pictures of one camera, by the frame that they belong to.
Pictures = dict[FrameKey, Path]
# What a file's stem is matched by.
KeyOf = Callable[[str], FrameKey]


def detect(path: Path) -> str | None:
    """Why this is a toolkit folder, or None."""
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
    if options.poses is not None:
        raise SceneError(
            f"{path} is a toolkit folder, which has its own poses; {options.poses} would not be read",
            fix="Leave the poses file out, or open the folder pointcloud/ with it.",
        )
    clouds = path / "pointcloud"
    sources = files_of(clouds, options) if clouds.is_dir() else PointSources(())
    if not sources.sources and has_lidars(path):
        clouds, sources = path / FOLDER, lidar_sources(path, options)
    if not sources.sources:
        raise SceneError(f"{clouds} holds no point file", fix=f"Expected is {LOOKS_LIKE}.")
    files = {source.key: source for source in sources.sources}
    of_frame = partial(_files, key_of=sources.key_of)
    found = of_frame(path / "poses", ".json")
    poses = _read_poses(path / "poses", files, found)
    cameras = _read_cameras(path / "cameras", sources.key_of)
    radar = of_frame(path / "radar_points", ".txt")
    frames = tuple(
        Frame(
            id=source.id,
            index=index,
            read_points=source.read_points,
            read_chunks=source.read_chunks,
            read_radar=partial(read_radar, radar[key]) if key in radar else None,
            world_from_ego=poses[key].pose,
            timestamp=source.timestamp if poses[key].timestamp is None else poses[key].timestamp,
            images=_images(cameras, key, poses[key].pose),
        )
        for index, (key, source) in enumerate(files.items())
    )
    notes = [*sources.notes, *passed_over(clouds)]
    if not sources.lidars and has_lidars(path):
        notes.append("the folder lidars/ is not read, since there are point files in pointcloud/")
    notes += _strays(files, path / "poses", found, complete=True)
    for camera, pictures in cameras:
        notes += _strays(files, path / "cameras" / camera.name, pictures)
    if radar:
        notes += _strays(files, path / "radar_points", radar)
    notes += unused_options(options, ("points_frame", "lidars", "cameras", *sources.used_options))
    scene = Scene(
        str(path),
        "toolkit",
        frames,
        tuple(camera for camera, _ in cameras),
        options.points_frame or "ego",
        tuple(notes),
        lidars=sources.lidars,
    )
    return at_their_frames(scene, sources, options)


def _files(folder: Path, suffix: str, *, key_of: KeyOf) -> dict[FrameKey, Path]:
    """The files with this suffix, by frame; none if there is no such folder."""
    if not folder.is_dir():
        return {}
    return files_by_frame(folder, lambda name: stem_before(name, suffix), key_of=key_of)


def _read_poses(
    folder: Path, frames: dict[FrameKey, PointSource], found: dict[FrameKey, Path]
) -> dict[FrameKey, StampedPose]:
    for key, frame in frames.items():
        if key not in found:
            raise SceneError(
                f"frame {frame.id} has no pose: {folder / f'{frame.id}.json'} is missing",
                fix='Add it as {"heading": [w, x, y, z], "position": [x, y, z]}, world from ego.',
            )
    return {key: pose_of(found[key], read_object(found[key])) for key in frames}


def _read_cameras(folder: Path, key_of: KeyOf) -> list[tuple[Camera, Pictures]]:
    """The cameras in the order of their names, each with its pictures."""
    if not folder.is_dir():
        return []
    names = [path.name for path in visible(folder) if path.is_dir()]
    return [_read_camera(folder / name, index, key_of) for index, name in enumerate(names)]


def _read_camera(folder: Path, index: int, key_of: KeyOf) -> tuple[Camera, Pictures]:
    for name in ("extrinsics.json", "intrinsics.json"):
        if not (folder / name).is_file():
            raise SceneError(
                f"camera {folder.name} has no calibration: {folder / name} is missing",
                fix="Add it, or move the camera's folder away to go without it.",
            )
    extrinsics, intrinsics = folder / "extrinsics.json", folder / "intrinsics.json"
    ego_from_camera = pose_of(extrinsics, read_object(extrinsics)).pose
    values = {key: _unwrapped(value) for key, value in read_object(intrinsics).items()}
    try:
        camera = Camera(folder.name, index, intrinsics_from_mapping(values), ego_from_camera)
    except SceneError as error:
        raise FormatError(intrinsics, found=error.message, fix=error.fix) from error
    return camera, files_by_frame(folder, image_stem, key_of=key_of)


def _unwrapped(value: Any) -> Any:
    """A calibration's number may stand in a list of its own."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _images(cameras: list[tuple[Camera, Pictures]], key: FrameKey, world_from_ego: Pose) -> tuple[CameraImage, ...]:
    return tuple(
        CameraImage(camera, pictures[key], world_from_ego @ camera.ego_from_camera)
        for camera, pictures in cameras
        if key in pictures and camera.ego_from_camera is not None
    )


def _strays(
    frames: dict[FrameKey, PointSource], folder: Path, files: dict[FrameKey, Path], *, complete: bool = False
) -> list[str]:
    """Notes on the frames that have no file in the folder, and on the files there that belong to no frame."""
    place = f"{folder.parent.name}/{folder.name}" if folder.parent.name == "cameras" else folder.name
    missing = len(frames.keys() - files.keys())
    extra = len(files.keys() - frames.keys())
    notes = [f"{place}: {missing} of {len(frames)} frames have no file there"] if missing and not complete else []
    return [*notes, f"{place}: {extra} of {len(files)} files there belong to no frame"] if extra else notes
