"""KITTI object detection: unrelated moments of many drives, each with its sweep, its images and its own calibration.

    training/velodyne/000000.bin    points in the frame of the Velodyne: x forward, y left, z up
    training/image_2/000000.png     also image_0, image_1 and image_3; rectified
    training/calib/000000.txt       P0 … P3, R0_rect, Tr_velo_to_cam; of that frame
    training/label_2/000000.txt     labels, which are not read
    testing/…                       the same without labels

Other datasets come in this layout, and are read by it, too:

| dataset                 | what differs                                                               |
|-------------------------|----------------------------------------------------------------------------|
| Waymo, by mmdetection3d | image_0 … image_4, P0 … P4, Tr_velo_to_cam_0 … 4; rows of 6 numbers        |
| View-of-Delft           | lidar/training/, radar/training/ and more: those of the radar are refused  |
| cropped points          | velodyne_reduced/ in place of velodyne/: what the left colour camera sees  |

The path is such a part, the folder above it, or the one above that. Ego is the frame of the Velodyne. There are no
poses: each frame has a world of its own, with the Velodyne at its origin, so that its images can be placed there. A
camera may have another calibration in each frame: an image has that of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from lidarprep.datasets._kitti_calibration import LARGEST_FILE, Calibration, read_calibration
from lidarprep.datasets.association import unpaired
from lidarprep.datasets.filenames import IMAGE_SUFFIXES, counted_files, folders_in, path_below, source_files
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.selection import refuse_poses, select_part, selected, sound_cameras, unused_options
from lidarprep.datasets.unread import unread_folders
from lidarprep.errors import FormatError, SceneError, naming
from lidarprep.pointfiles import read_points
from lidarprep.pointfiles.fields import cloud_from_fields
from lidarprep.pointfiles.row_layout import row_width
from lidarprep.remote import AnyPath, prefetch
from lidarprep.scene import (
    Camera,
    CameraImage,
    Finding,
    Frame,
    Lidar,
    PointCloud,
    Pose,
    ReferenceFrame,
    Scene,
    Subject,
)

LOOKS_LIKE = "KITTI object detection: training/velodyne/N.bin, training/calib/N.txt, training/image_2/N.png"

LIDAR = "velodyne"
USED_OPTIONS = ("points_frame", "columns", "points_unit", "lidars", "cameras")

PARTS = ("training", "testing")
POINTS = ("velodyne", "velodyne_reduced")
CAMERAS = tuple(f"image_{k}" for k in range(5))
# Any of these beside the points makes the layout; images do so only in a folder with the name of a part.
_BESIDE = ("calib", "label_2")

_TRANSFORM = "Tr_velo_to_cam"

# How many float32 a row has in conversions of Waymo: x, y, z, intensity; then elongation; then the time of the frame.
WAYMO_ROWS = (6, 5, 4)


def detect(path: AnyPath) -> str | None:
    """Say why this is a part of KITTI object, or holds some; None if it is not."""
    if _is_part(path):
        return f"it has {_points_folder(path).name}/, with {_beside(path)}/ for each frame"
    parts = _parts(path)
    return f"it holds {next(iter(parts))}/ with {LIDAR}/ and calibration or images of each frame" if parts else None


def open(path: AnyPath, options: OpenOptions) -> Scene:
    """Open a part of KITTI object, or one of a dataset's.

    Raises:
        SceneError: There are several parts and none is named; there is no sweep; poses are given, of which there can
            be none; the part is of a radar.
        FormatError: The calibration of a frame is not what it should be, or is missing for all.
    """
    refuse_poses(path, options, "KITTI object, whose frames are unrelated and have no poses")
    part = path if _is_part(path) else select_part(path, "part", _parts(path), options.scene, LOOKS_LIKE)
    if "radar" in part.absolute().parent.name:
        raise SceneError(
            f"{part} has the points of a radar, not of a lidar",
            fix=f"Open {part.absolute().parent.parent / 'lidar' / part.name}, or a file of it with --columns.",
        )
    points = _points_folder(part)
    files, notes = counted_files(points, ".bin")
    if not files:
        raise SceneError(f"{points} holds no sweep 000000.bin", fix=f"Expected is {LOOKS_LIKE}.")
    calibrations = _Calibrations(part / "calib")
    cameras, images, more, findings = _images(part, files, calibrations, options)
    points_frame = options.points_frame or "ego"
    of_waymo = options.columns is None and calibrations.are_of_waymo
    read = (
        read_waymo_points if of_waymo else partial(read_points, columns=options.columns, time_unit=options.points_unit)
    )
    frames = tuple(
        Frame(
            id=file.stem,
            index=index,
            read_points=partial(read, file, points_frame),
            world_from_ego=Pose.identity(),
            images=images[number],
            sources=source_files([file], images[number]),
        )
        for index, (number, file) in enumerate(files.items())
    )
    unread, others = unread_folders(part, [*POINTS, "calib", *CAMERAS], "a part of KITTI object")
    if len(frames) > 1:
        unread.append(_unrelated(len(frames)))
    if points.name != LIDAR:
        notes.append(f"points are those of {points.name}/: only what the left colour camera sees")
    return Scene(
        str(path),
        "kitti-object",
        frames,
        cameras,
        points_frame,
        (*unused_options(options, USED_OPTIONS if part == path else (*USED_OPTIONS, "scene")), *notes, *more, *others),
        lidars=(Lidar(LIDAR, 0),),
        findings=(*unread, *findings),
    )


def _unrelated(count: int) -> Finding:
    return Finding(
        "frames-unrelated",
        f"the {count} frames are moments of many drives, without poses: each has a world of its own, with the lidar at "
        "its origin",
        "make a task of each, prepare --frames N:N+1 (frames='N:N+1' in Recipe); no object can be followed from one to "
        "the next",
        found=count,
        expected=1,
    )


# ---- parts ---------------------------------------------------------------------------------------------------------


def _points_folder(part: AnyPath) -> AnyPath:
    return next((part / name for name in POINTS if (part / name).is_dir()), part / LIDAR)


def _beside(part: AnyPath) -> str | None:
    telling = (*_BESIDE, *CAMERAS) if part.absolute().name in PARTS else _BESIDE
    return next((name for name in telling if (part / name).is_dir()), None)


def _is_part(path: AnyPath) -> bool:
    return _points_folder(path).is_dir() and _beside(path) is not None


def _parts(path: AnyPath) -> dict[str, AnyPath]:
    """Return the parts in a folder, or in its folders, by their paths from there."""
    inner = [path, *(folder for folder in folders_in(path) if folder.name not in PARTS)]
    found = [folder / name for folder in inner for name in PARTS if _is_part(folder / name)]
    return {path_below(part, path): part for part in found}


# ---- calibration and images ------------------------------------------------------------------------------------------


class _Calibrations:
    """The calibration of each frame; files of the same content, of which a drive has many, are read once."""

    def __init__(self, folder: AnyPath) -> None:
        self.folder = folder
        self.files, _ = counted_files(folder, ".txt")
        self._read: dict[bytes, Calibration] = {}
        self._cameras: dict[tuple[str, Calibration], Camera] = {}

    @property
    def are_of_waymo(self) -> bool:
        """Whether each camera has a transform of its own, as Waymo's have."""
        first = next(iter(self.files), None)
        return first is not None and f"{_TRANSFORM}_0" in self._of(first).rows

    def camera(self, name: str, index: int, frame: int, stem: str) -> Camera:
        """Return a camera as it is calibrated in a frame, by the frame's number, and the stem of its files.

        Raises:
            SceneError: The frame has no calibration.
            FormatError: It is not what it should be.
        """
        if frame not in self.files:
            raise SceneError(f"{self.folder / stem}.txt is missing", fix="add it: the archive data_object_calib has it")
        calibration = self._of(frame)
        if (name, calibration) not in self._cameras:
            self._cameras[name, calibration] = _camera(name, index, calibration)
        return self._cameras[name, calibration]

    def _of(self, frame: int) -> Calibration:
        path = self.files[frame]
        with naming(path), path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if content not in self._read:
            self._read[content] = read_calibration(path)
        return self._read[content]


def _images(
    part: AnyPath, files: Mapping[int, AnyPath], calibrations: _Calibrations, options: OpenOptions
) -> tuple[tuple[Camera, ...], dict[int, tuple[CameraImage, ...]], list[str], list[Finding]]:
    """Return the selected cameras, each frame's images of them, notes, and findings on images left out."""
    known = [name for name in CAMERAS if (part / name).is_dir()]
    chosen = selected(known, options.cameras, "camera", f"{part} has")
    images: dict[int, tuple[CameraImage, ...]] = dict.fromkeys(files, ())
    notes: list[str] = []
    findings: list[Finding] = []

    def read(index: int, name: str) -> Camera | None:
        if name not in chosen:
            return None
        found, strange = counted_files(part / name, *IMAGE_SUFFIXES)
        cameras: dict[int, Camera] = {}
        errors: list[SceneError | FormatError] = []
        paired = sorted(files.keys() & found.keys())
        with prefetch(calibrations.files[number] for number in paired if number in calibrations.files):
            for number in paired:
                try:
                    cameras[number] = calibrations.camera(name, index, number, files[number].stem)
                except (SceneError, FormatError) as error:
                    errors.append(error)
        if errors and not cameras:
            raise errors[0]
        for number, camera in cameras.items():
            images[number] += (CameraImage(camera, found[number], camera.ego_from_camera),)
        findings.extend(_uncalibrated(name, len(cameras), errors))
        notes.extend([*strange, *unpaired(name, files.keys(), found.keys())])
        return cameras[min(cameras)] if cameras else None

    cameras, left_out = sound_cameras(known, options.cameras, read)
    return tuple(filter(None, cameras)), images, notes, [*findings, *left_out]


def _uncalibrated(name: str, sound: int, errors: Sequence[SceneError | FormatError]) -> list[Finding]:
    """Find the images of a camera that are left out, since their frames have no sound calibration."""
    if not errors:
        return []
    return [
        Finding(
            "calibration-missing",
            f"camera {name}: {len(errors)} of {len(errors) + sound} images are left out, since their frames have no "
            f"sound calibration; the first: {errors[0].message}",
            errors[0].fix or "mend it",
            subject=Subject("camera", name),
            found=len(errors),
            expected=0,
        )
    ]


def _camera(name: str, index: int, calibration: Calibration) -> Camera:
    """Make a camera of a frame's calibration: pixels are P · R0_rect · Tr_velo_to_cam · [x, y, z, 1]."""
    number = name.removeprefix("image_")
    intrinsics, offset = calibration.rectified_camera(f"P{number}")
    own = f"{_TRANSFORM}_{number}"
    transform = own if own in calibration.rows else _TRANSFORM
    camera_0_from_velodyne = calibration.checked(transform, calibration.numbers(transform, 12).reshape(3, 4))
    rectified_from_velodyne = calibration.pose("R0_rect") @ camera_0_from_velodyne
    return Camera(name, index, intrinsics, rectified_from_velodyne.translated(offset).inverse())


# ---- Waymo's rows ----------------------------------------------------------------------------------------------------


def read_waymo_points(path: AnyPath, frame: ReferenceFrame) -> PointCloud:
    """Read the points of one of Waymo's sweeps: positions (N, 3) float32 metres, intensity (N,) float32.

    Converters write rows of six, five or four; the numbers tell which. Where the user names the columns, `read_points`
    reads the file in place of this.

    Raises:
        FormatError: The file is empty, or of another length than such rows have.
    """
    with naming(path):
        content = path.read_bytes()
    fitting = [length for length in WAYMO_ROWS if content and len(content) % (4 * length) == 0]
    if not fitting:
        raise FormatError(path, found=f"{len(content)} bytes", expected="rows of 6, 5 or 4 float32, as of Waymo")
    numbers = np.frombuffer(content, dtype="<f4")
    width = row_width(numbers, fitting[0])
    rows = numbers.reshape(-1, width if width in fitting else fitting[0])
    names = ("x", "y", "z", "intensity", "elongation", "frame time")
    return cloud_from_fields(path, {name: rows[:, k] for k, name in enumerate(names[: rows.shape[1]])}, frame)
