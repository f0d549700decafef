"""PandaSet: numbered frames, each a pickled table of points in the world, with the poses of device and cameras.

    SEQ/lidar/00.pkl.gz (or .pkl)   a pandas DataFrame: x y z (metres, in the world), i (0 to 255), t (seconds), d
    SEQ/lidar/poses.json            [{"position": {x, y, z}, "heading": {w, x, y, z}}, …], world from ego
    SEQ/lidar/timestamps.json       [seconds since the Unix epoch, …]
    SEQ/camera/NAME/00.jpg          with timestamps.json, intrinsics.json, and poses.json: world from camera

Ego is the frame of lidar/poses.json: x right, y forward, z up. d is 0 for the spinning Pandar64 and 1 for the PandarGT,
which looks ahead. The pickles are read without running them: see `_pickled_frame`. Images have poses of their own, so
cameras have no extrinsics. A frame's images are those of its number, as PandaSet's own kit pairs them: the cameras look
into the direction of the lidar in turn, so that a sweep's images are spread over the 0.1 s that it takes. An image has
its own time and pose. meta/gps.json has no heading, and so gives no GPS pose.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from lidarprep.datasets.association import unpaired
from lidarprep.datasets.filenames import IMAGE_SUFFIXES, counted_files, folders_in, source_files, visible
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.pandaset._pickled_frame import read_frame
from lidarprep.datasets.poses import (
    decimal_nanoseconds,
    is_number,
    pose_of,
    read_camera,
    read_json,
    table_of_poses,
)
from lidarprep.datasets.selection import refuse_poses, select_part, selected, sound_cameras, unused_options
from lidarprep.datasets.unread import misnamed_file, unread_folders
from lidarprep.errors import FormatError, SceneError, naming
from lidarprep.pointfiles.fields import cloud_from_fields
from lidarprep.remote import AnyPath
from lidarprep.scene import Camera, CameraImage, Finding, Frame, Lidar, PointCloud, Pose, ReferenceFrame, Scene

LOOKS_LIKE = "PandaSet: lidar/00.pkl.gz, lidar/poses.json, camera/NAME/00.jpg"

# By their device id `d`.
LIDARS = ("Pandar64", "PandarGT")
USED_OPTIONS = ("points_frame", "lidars", "cameras")

_SUFFIXES = (".pkl.gz", ".pkl")
# Of these meta/ is looked at, and annotations/ is not read.
_FOLDERS = ("lidar", "camera", "meta", "annotations")


def detect(path: AnyPath) -> str | None:
    """Return why this is a sequence of PandaSet, or a folder of them; or None."""
    if _is_sequence(path):
        return "it has lidar/poses.json and pickles beside it"
    sequences = _sequences(path)
    return f"it holds the sequence {sequences[0].name}" if sequences else None


def open(path: AnyPath, options: OpenOptions) -> Scene:
    """Open a sequence, or one of a dataset's.

    Raises:
        SceneError: There are several sequences and none is named; a file of poses or times is missing, or is shorter
            than there are frames; poses are given, which would not be read.
        FormatError: Poses, times or intrinsics are not what they should be.
    """
    refuse_poses(path, options, "PandaSet, which has its own poses")
    sequence = path
    if not _is_sequence(path):
        sequences = {place.name: place for place in _sequences(path)}
        sequence = select_part(path, "sequence", sequences, options.scene, LOOKS_LIKE)
    folder = sequence / "lidar"
    files, notes = counted_files(folder, *_SUFFIXES)
    poses = _poses(folder / "poses.json")
    stamps = _times(folder / "timestamps.json")
    _check_counts(folder, files, poses, stamps)
    unused = len(poses) - len(files)
    if unused:
        notes.append(f"lidar: {unused} of {len(poses)} poses belong to no frame")
    lidars = selected(LIDARS, options.lidars, "lidar")
    devices = None if len(lidars) == len(LIDARS) else tuple(LIDARS.index(name) for name in lidars)
    points_frame = options.points_frame or "world"
    times = [stamps[number] for number in files]
    cameras, images, image_notes, findings = _images(sequence / "camera", dict(zip(files, times, strict=True)), options)
    frames = tuple(
        Frame(
            id=file.name.split(".")[0],
            index=index,
            read_points=partial(read_pandaset_points, file, points_frame, devices),
            world_from_ego=poses[number],
            timestamp=stamps[number],
            images=images[number],
            sources=source_files([file], images[number]),
        )
        for index, (number, file) in enumerate(files.items())
    )
    unread, others = unread_folders(sequence, _FOLDERS, "a sequence of PandaSet")
    if (sequence / "meta" / "gps.json").is_file():
        notes.append("meta/gps.json has no heading, so frames have no GPS pose")
    table = table_of_poses(folder / "poses.json", "JSON", [poses[number] for number in files], times)
    trajectory, more = table.trajectory()
    used = USED_OPTIONS if sequence == path else (*USED_OPTIONS, "scene")
    return Scene(
        str(path),
        "pandaset",
        frames,
        cameras,
        points_frame,
        (*unused_options(options, used), *notes, *more, *image_notes, *others),
        lidars=tuple(Lidar(name, LIDARS.index(name)) for name in lidars),
        trajectory=trajectory,
        findings=(*unread, *findings),
    )


def read_pandaset_points(path: AnyPath, frame: ReferenceFrame, devices: tuple[int, ...] | None) -> PointCloud:
    """Read the points of one pickle: positions (N, 3) float64 metres, intensity 0 to 255, device, timestamp.

    Those are returned that lidars of these device ids saw, or all.

    Raises:
        FormatError: It cannot be read, is not a table of points, or does not say which lidar saw a point.
    """
    with naming(path):
        columns = read_frame(path)
    cloud = cloud_from_fields(path, columns, frame)
    if devices is None:
        return cloud
    if cloud.device is None:
        raise FormatError(path, found="no column d", expected="which lidar saw each point", fix="Leave --lidar out.")
    return cloud.take(np.isin(cloud.device, devices))


def _is_sequence(path: AnyPath) -> bool:
    folder = path / "lidar"
    return (folder / "poses.json").is_file() and any(place.name.endswith(_SUFFIXES) for place in visible(folder))


def _sequences(path: AnyPath) -> list[AnyPath]:
    return [place for place in folders_in(path) if _is_sequence(place)]


def _list(path: AnyPath, what: str) -> list[Any]:
    if not path.is_file():
        raise SceneError(
            f"{path} is missing{misnamed_file(path)}: {what} are not known", fix=f"Expected is {LOOKS_LIKE}."
        )
    values: list[Any] = read_json(path, list, "a list, an entry a frame")
    return values


def _poses(path: AnyPath) -> list[Pose]:
    return [pose_of(path, _in_lists(value), f"entry {k}").pose for k, value in enumerate(_list(path, "poses"))]


def _in_lists(value: Any) -> Any:
    """Return {"position": {"x", …}, "heading": {"w", …}} with the numbers in lists; anything else as it is."""
    if not isinstance(value, dict):
        return value
    plain = {key: value[key] for key in ("position", "heading") if key in value}
    for key, axes in (("position", "xyz"), ("heading", "wxyz")):
        if isinstance(plain.get(key), dict) and set(plain[key]) == set(axes):
            plain[key] = [plain[key][axis] for axis in axes]
    return plain


def _times(path: AnyPath) -> list[int]:
    """Read seconds since the Unix epoch as nanoseconds, through decimals: as float64 they are off by up to 119 ns."""
    times = []
    for k, value in enumerate(_list(path, "times")):
        time = decimal_nanoseconds(repr(value), 10**9) if is_number(value) else None
        if time is None:
            raise FormatError(
                path, place=f"entry {k}", found=repr(value)[:60], expected="seconds since the Unix epoch, a number"
            )
        times.append(time)
    return times


def _check_counts(folder: AnyPath, files: dict[int, AnyPath], poses: list[Pose], times: list[int]) -> None:
    if not files:
        raise SceneError(f"{folder} holds no file whose name is a number", fix=f"Expected is {LOOKS_LIKE}.")
    for name, entries in (("poses.json", len(poses)), ("timestamps.json", len(times))):
        if max(files) >= entries:
            raise SceneError(
                f"{folder / name} has {entries} entries, and there is a file {files[max(files)].name}",
                fix="An entry belongs to the file of its number, counted from 0.",
            )


def _images(
    folder: AnyPath, times: dict[int, int], options: OpenOptions
) -> tuple[tuple[Camera, ...], dict[int, tuple[CameraImage, ...]], list[str], list[Finding]]:
    """Return the selected cameras, each frame's images of them by its number, notes, and findings on cameras left out.

    `times` are nanoseconds by the frame's number.
    """
    names = [place.name for place in folders_in(folder)]
    chosen = selected(names, options.cameras, "camera")
    images: dict[int, tuple[CameraImage, ...]] = dict.fromkeys(times, ())
    notes: list[str] = []
    apart = 0

    def read(index: int, name: str) -> Camera | None:
        nonlocal apart
        if name not in chosen:
            return None
        files, strange = counted_files(folder / name, *IMAGE_SUFFIXES)
        camera, of_number = _read_images(folder / name, index, files)
        for number in times.keys() & of_number.keys():
            images[number] += (of_number[number],)
            apart = max(apart, abs((of_number[number].timestamp or 0) - times[number]))
        notes.extend([*strange, *unpaired(name, times.keys(), files.keys())])
        return camera

    cameras, left_out = sound_cameras(names, options.cameras, read)
    if apart:
        notes.append(f"images are those of their frame's number, and up to {apart / 1e6:.1f} ms from its time")
    return tuple(filter(None, cameras)), images, notes, left_out


def _read_images(folder: AnyPath, index: int, files: dict[int, AnyPath]) -> tuple[Camera, dict[int, CameraImage]]:
    """Return the camera of a folder, and its images by their numbers, with their poses and times."""
    camera = read_camera(folder, index, "intrinsics.json")
    poses, times = _poses(folder / "poses.json"), _times(folder / "timestamps.json")
    if files:
        _check_counts(folder, files, poses, times)
    return camera, {number: CameraImage(camera, file, poses[number], times[number]) for number, file in files.items()}
