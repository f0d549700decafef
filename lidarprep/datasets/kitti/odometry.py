"""KITTI odometry: numbered sequences of sweeps and rectified pictures, with the poses of camera 0.

    sequences/NN/velodyne/000000.bin    points in the frame of the Velodyne: x forward, y left, z up
    sequences/NN/image_[0-3]/000000.png
    sequences/NN/calib.txt              P0 … P3: projections of the cameras; Tr: camera 0 from Velodyne
    sequences/NN/times.txt              seconds since the sequence began, a line a frame
    poses/NN.txt                        a 3×4 matrix a line: camera 0 of that frame, in camera 0 of the first

Ego is the frame of the Velodyne. The world is that of the Velodyne in the first frame (z up), not that of camera 0 (y
down): world_from_ego = Tr⁻¹ · pose · Tr. Sequences 11 to 21 come without poses. SemanticKITTI's sequences, which have a
poses.txt of the same kind beside their calib.txt, are read likewise.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lidarprep.datasets.asked_for import chosen, listed, unused_options
from lidarprep.datasets.counted_files import counted_files, folders_in
from lidarprep.datasets.kitti.calibration import Calibration, moved_by, read_calibration
from lidarprep.datasets.kitti.odometry_poses import read_sequence_poses, trajectory_of
from lidarprep.datasets.numbered import IMAGE_SUFFIXES
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.poses.table import decimal_nanoseconds
from lidarprep.errors import FormatError, SceneError
from lidarprep.pointfiles import read_points
from lidarprep.scene import Camera, CameraImage, Frame, Lidar, Pose, Scene

LOOKS_LIKE = "KITTI odometry: sequences/NN/velodyne/N.bin, sequences/NN/calib.txt, poses/NN.txt"

LIDAR = "velodyne"
USED_OPTIONS = ("points_frame", "poses", "lidars", "cameras")
NO_TR = (
    "A line 'Tr:' with 12 numbers gives camera 0 from Velodyne. The calib.txt that comes with the pictures may lack "
    "it: take that of the archive data_odometry_calib."
)


def detect(path: Path) -> str | None:
    """Why this is KITTI odometry, or one of its sequences; or None."""
    if _is_sequence(path):
        return "it has velodyne/, and calib.txt or times.txt"
    sequences = _sequences(path)
    return f"it holds the sequence {sequences[0].parent.name}/{sequences[0].name}" if sequences else None


def open(path: Path, options: OpenOptions) -> Scene:
    """Open a sequence, or one of a dataset's.

    Poses from `options.poses` that are in rows of 12 numbers are those of camera 0, as the dataset's own are; of any
    other kind they are world from ego. Poses with times are matched to the frames' times, which count from the
    sequence's start, and so have theirs to.

    Raises:
        SceneError: There are several sequences and none is named; calib.txt is missing; there is no sweep.
        FormatError: Calibration, times or poses are not what they should be.
    """
    sequence = path if _is_sequence(path) else _chosen_sequence(path, options.scene)
    files, strange = counted_files(sequence / "velodyne", ".bin")
    if not files:
        raise SceneError(f"{sequence / 'velodyne'} holds no sweep 000000.bin", fix=f"Expected is {LOOKS_LIKE}.")
    chosen([LIDAR], options.lidars, "lidar")
    calibration = read_calibration(sequence / "calib.txt")
    camera_0_from_ego = calibration.checked("Tr", calibration.numbers("Tr", 12, NO_TR).reshape(3, 4))
    times, notes = _read_times(sequence / "times.txt")
    stamps = {number: times[number] for number in files if number < len(times)}
    poses, timed, pose_notes = read_sequence_poses(sequence, files, stamps, camera_0_from_ego, options)
    untimed = [file.name for number, file in files.items() if number >= len(times)]
    if untimed and times:
        notes.append(f"{len(untimed)} sweeps have no time, such as {untimed[0]}: times.txt has {len(times)}")
    cameras, picture_notes = _cameras(sequence, files, calibration, camera_0_from_ego, options)
    points_frame = options.points_frame or "ego"
    frames = tuple(
        Frame(
            id=file.stem,
            index=index,
            read_points=partial(read_points, file, points_frame),
            world_from_ego=poses.get(number),
            timestamp=stamps.get(number),
            images=_images(cameras, number, poses.get(number), stamps.get(number)),
        )
        for index, (number, file) in enumerate(files.items())
    )
    trajectory, more = trajectory_of(sequence, times, poses) if timed is None else (timed, [])
    used = (*USED_OPTIONS, *(() if sequence == path else ("scene",)), *(() if timed is None else ("max_pose_gap",)))
    return Scene(
        str(path),
        "kitti-odometry",
        frames,
        tuple(camera for camera, _ in cameras),
        points_frame,
        (
            *unused_options(options, used),
            *strange,
            *notes,
            *pose_notes,
            *more,
            *picture_notes,
        ),
        lidars=(Lidar(LIDAR, 0),),
        trajectory=trajectory,
    )


def _is_sequence(path: Path) -> bool:
    return (path / "velodyne").is_dir() and any((path / name).is_file() for name in ("calib.txt", "times.txt"))


def _sequences(path: Path) -> list[Path]:
    folder = path if path.name == "sequences" else path / "sequences"
    return [place for place in folders_in(folder) if (place / "velodyne").is_dir()]


def _chosen_sequence(path: Path, scene: str | None) -> Path:
    sequences = {place.name: place for place in _sequences(path)}
    if not sequences:
        raise SceneError(f"{path} holds no sequence", fix=f"Expected is {LOOKS_LIKE}.")
    if scene is None:
        if len(sequences) == 1:
            return next(iter(sequences.values()))
        raise SceneError(
            f"{path} holds {len(sequences)} sequences: {listed(list(sequences))}",
            fix="Choose one: --scene-name NAME.",
        )
    name = scene if scene in sequences else scene.zfill(2)
    if name not in sequences:
        raise SceneError(f"{path} has no sequence {scene!r}", fix=f"Known are {listed(list(sequences))}.")
    return sequences[name]


def _read_times(path: Path) -> tuple[list[int], list[str]]:
    """Nanoseconds since the sequence began, a line a frame."""
    if not path.is_file():
        return [], ["there is no times.txt: frames have no timestamps"]
    times = []
    # A blank line is one that is wrong: passed over, it would shift the times of all frames behind it.
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").rstrip().split("\n"), 1):
        time = decimal_nanoseconds(line.strip(), 10**9)
        if time is None:
            raise FormatError(path, place=f"line {number}", found=repr(line[:60]), expected="seconds, a number a line")
        times.append(time)
    return times, ["times count from the beginning of the sequence, not from the Unix epoch"]


# A camera, and its pictures by the number of their frame: they have the frames' times, and so are matched by number.
_NumberedPictures = tuple[Camera, dict[int, Path]]


def _cameras(
    sequence: Path, files: dict[int, Path], calibration: Calibration, camera_0_from_ego: Pose, options: OpenOptions
) -> tuple[list[_NumberedPictures], list[str]]:
    """The cameras that have pictures, as far as they are asked for, and notes."""
    known = [f"image_{k}" for k in range(4) if (sequence / f"image_{k}").is_dir()]
    cameras: list[_NumberedPictures] = []
    notes: list[str] = []
    for name in chosen(known, options.cameras, "camera"):
        intrinsics, offset = calibration.rectified_camera(f"P{name[-1]}")
        camera = Camera(name, known.index(name), intrinsics, (moved_by(offset) @ camera_0_from_ego).inverse())
        pictures, strange = counted_files(sequence / name, *IMAGE_SUFFIXES)
        notes += strange
        cameras.append((camera, pictures))
        missing, left_over = len(files.keys() - pictures.keys()), len(pictures.keys() - files.keys())
        if missing:
            notes.append(f"camera {name}: {missing} of {len(files)} frames have no picture")
        if left_over:
            notes.append(f"camera {name}: {left_over} of {len(pictures)} pictures belong to no frame")
    return cameras, notes


def _images(
    cameras: list[_NumberedPictures], number: int, world_from_ego: Pose | None, timestamp: int | None
) -> tuple[CameraImage, ...]:
    return tuple(
        CameraImage(
            camera,
            pictures[number],
            None
            if world_from_ego is None or camera.ego_from_camera is None
            else world_from_ego @ camera.ego_from_camera,
            timestamp,
        )
        for camera, pictures in cameras
        if number in pictures
    )
