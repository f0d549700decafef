"""KITTI odometry: numbered sequences of sweeps and rectified images, with the poses of camera 0.

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

from lidarprep.datasets._kitti_calibration import Calibration, read_calibration
from lidarprep.datasets.association import CameraFiles, images_of_frame, poses_of_table, unpaired
from lidarprep.datasets.filenames import IMAGE_SUFFIXES, counted_files, folders_in, source_files
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.pose_files import read_poses
from lidarprep.datasets.poses import PoseTable, table_of_poses
from lidarprep.datasets.selection import select_part, selected, sound_cameras, unused_options
from lidarprep.datasets.time_units import is_decimal, times_of
from lidarprep.datasets.unread import unread_folders
from lidarprep.errors import FormatError, SceneError
from lidarprep.pointfiles import read_points
from lidarprep.pointfiles.timestamps import EARLIEST_EPOCH_NS
from lidarprep.remote import AnyPath
from lidarprep.scene import Camera, Finding, Frame, Lidar, Pose, Scene, Trajectory

LOOKS_LIKE = "KITTI odometry: sequences/NN/velodyne/N.bin, sequences/NN/calib.txt, poses/NN.txt"

LIDAR = "velodyne"
CAMERAS = tuple(f"image_{k}" for k in range(4))
USED_OPTIONS = ("points_frame", "columns", "poses", "lidars", "cameras", "poses_are", "points_unit")
NO_TR = (
    "A line 'Tr:' with 12 numbers gives camera 0 from Velodyne. The calib.txt that comes with the images may lack "
    "it: take that of the archive data_odometry_calib."
)


def detect(path: AnyPath) -> str | None:
    """Say why this is KITTI odometry, or one of its sequences; None if it is not."""
    if _is_sequence(path):
        return "it has velodyne/, and calib.txt or times.txt"
    sequences = _sequences(path)
    return f"it holds the sequence {sequences[0].parent.name}/{sequences[0].name}" if sequences else None


def open(path: AnyPath, options: OpenOptions) -> Scene:
    """Open a sequence, or one of a dataset's.

    Poses from `options.poses` that are in rows of 12 numbers are those of camera 0, as the dataset's own are; of any
    other kind they are world from ego. Poses with times are matched to the frames' times: both count from the
    sequence's start.

    Raises:
        SceneError: There are several sequences and none is named; calib.txt is missing; there is no sweep.
        FormatError: Calibration, times or poses are not what they should be.
    """
    sequences = {place.name: place for place in _sequences(path)}
    sequence = path if _is_sequence(path) else select_part(path, "sequence", sequences, options.scene, LOOKS_LIKE)
    files, strange = counted_files(sequence / "velodyne", ".bin")
    if not files:
        raise SceneError(f"{sequence / 'velodyne'} holds no sweep 000000.bin", fix=f"Expected is {LOOKS_LIKE}.")
    calibration = read_calibration(sequence / "calib.txt")
    camera_0_from_ego = calibration.checked("Tr", calibration.numbers("Tr", 12, NO_TR).reshape(3, 4))
    times, notes, time_findings = _read_times(sequence / "times.txt", options)
    stamps = {number: times[number] for number in files if number < len(times)}
    poses, timed, pose_notes, pose_findings = _read_sequence_poses(sequence, files, stamps, camera_0_from_ego, options)
    untimed = [file.name for number, file in files.items() if number >= len(times)]
    if untimed and times:
        notes.append(f"{len(untimed)} sweeps have no time, such as {untimed[0]}: times.txt has {len(times)}")
    cameras, image_notes, findings = _cameras(sequence, files, calibration, camera_0_from_ego, options)
    points_frame = options.points_frame or "ego"
    frames = []
    for index, (number, file) in enumerate(files.items()):
        images = images_of_frame(cameras, number, poses.get(number), stamps.get(number))
        frames.append(
            Frame(
                id=file.stem,
                index=index,
                read_points=partial(read_points, file, points_frame, options.columns, options.points_unit),
                world_from_ego=poses.get(number),
                timestamp=stamps.get(number),
                images=images,
                sources=source_files([file], images),
            )
        )
    unread, others = unread_folders(sequence, ["velodyne", *CAMERAS], "a sequence of KITTI odometry")
    trajectory, more = _trajectory_of(sequence, times, poses) if timed is None else (timed, [])
    used = (*USED_OPTIONS, *(() if sequence == path else ("scene",)), *(() if timed is None else ("max_pose_gap",)))
    used = (*used, "frames_unit") if times or timed is not None else used
    return Scene(
        str(path),
        "kitti-odometry",
        tuple(frames),
        tuple(camera for camera, _ in cameras),
        points_frame,
        (*unused_options(options, used), *strange, *notes, *pose_notes, *more, *image_notes, *others),
        lidars=(Lidar(LIDAR, 0),),
        trajectory=trajectory,
        findings=(*unread, *time_findings, *pose_findings, *findings),
    )


def _is_sequence(path: AnyPath) -> bool:
    return (path / "velodyne").is_dir() and any((path / name).is_file() for name in ("calib.txt", "times.txt"))


def _sequences(path: AnyPath) -> list[AnyPath]:
    folder = path if path.name == "sequences" else path / "sequences"
    return [place for place in folders_in(folder) if (place / "velodyne").is_dir()]


def _read_times(path: AnyPath, options: OpenOptions) -> tuple[list[int], list[str], tuple[Finding, ...]]:
    """Read nanoseconds since the sequence began, a line a frame; with notes and findings."""
    if not path.is_file():
        return [], ["there is no times.txt: frames have no timestamps"], ()
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").rstrip().split("\n")]
    found = times_of(lines, "s", "times in times.txt", unit=options.frames_unit)
    for row, line in enumerate(lines):
        # A blank line is an error: passed over, it would shift the times of all frames behind it.
        if found is None or (row in found.estimated and not is_decimal(line)):
            raise FormatError(path, place=f"line {row + 1}", found=repr(line[:60]), expected="seconds, a number a line")
    times = [] if found is None else found.timestamps
    notes = [] if found is None else [*found.notes]
    if times and times[0] < EARLIEST_EPOCH_NS:
        notes.append("times count from the beginning of the sequence, not from the Unix epoch")
    return times, notes, () if found is None else found.findings


def _cameras(
    sequence: AnyPath,
    files: dict[int, AnyPath],
    calibration: Calibration,
    camera_0_from_ego: Pose,
    options: OpenOptions,
) -> tuple[list[CameraFiles[int]], list[str], list[Finding]]:
    """Return the selected cameras that have images, notes, and findings on those left out.

    Images have the times of the frames of their number.
    """
    known = [name for name in CAMERAS if (sequence / name).is_dir()]
    chosen = selected(known, options.cameras, "camera")

    def read(index: int, name: str) -> Camera:
        intrinsics, offset = calibration.rectified_camera(f"P{name[-1]}")
        return Camera(name, index, intrinsics, camera_0_from_ego.translated(offset).inverse())

    sound, left_out = sound_cameras(known, options.cameras, read)
    cameras: list[CameraFiles[int]] = []
    notes: list[str] = []
    for camera in sound:
        if camera.name in chosen:
            images, strange = counted_files(sequence / camera.name, *IMAGE_SUFFIXES)
            notes += [*strange, *unpaired(camera.name, files.keys(), images.keys())]
            cameras.append((camera, images))
    return cameras, notes, left_out


# ---- poses ---------------------------------------------------------------------------------------------------------


def _read_sequence_poses(
    sequence: AnyPath, files: dict[int, AnyPath], stamps: dict[int, int], camera_0_from_ego: Pose, options: OpenOptions
) -> tuple[dict[int, Pose], Trajectory | None, list[str], tuple[Finding, ...]]:
    """Return world_from_ego by the frame's number, and over time where the poses have times; notes; and findings."""
    given = options.poses
    whole = sequence.absolute()
    candidates = (whole.parent.parent / "poses" / f"{whole.name}.txt", whole / "poses.txt")
    path = given or next((path for path in candidates if path.is_file()), None)
    if path is None:
        note = (
            f"no poses: neither {whole.parent.parent.name}/poses/{whole.name}.txt nor {whole.name}/poses.txt is there "
            "(--poses FILE)"
        )
        return {}, None, [note], ()
    table = read_poses(path, options)
    if given is None and table.kind != "KITTI":
        raise FormatError(path, found=f"rows as {table.kind} has them", expected="12 numbers a row: 3×4 matrices")
    if table.timestamps is not None and stamps:
        return *_by_time(table, stamps, len(files), options), table.findings
    if table.names is not None or table.timestamps is not None:
        by = "name" if table.timestamps is None else "time, and there is no times.txt with the times of the frames"
        raise FormatError(
            path, found=f"poses by {by}", expected="one a frame, in order", fix="Give rows of 12 numbers, one a frame."
        )
    poses = {number: _world_from_ego(table, number, camera_0_from_ego) for number in files if number < len(table)}
    notes = [
        f"poses from {path.name} are those of camera 0; the world is the Velodyne's frame of the first one"
        if table.kind == "KITTI"
        else f"poses from {path.name}, read as {table.kind}, are taken as world from ego",
        *table.notes,
    ]
    if len(poses) < len(files):
        notes.append(f"{len(files) - len(poses)} of {len(files)} frames have no pose: {path.name} has {len(table)}")
    left_over = len(table) - len(poses)
    if left_over:
        notes.append(f"{left_over} poses in {path.name} belong to no sweep")
    return poses, None, notes, table.findings


def _by_time(
    table: PoseTable, stamps: dict[int, int], frames: int, options: OpenOptions
) -> tuple[dict[int, Pose], Trajectory, list[str]]:
    """Interpolate poses with times at the frames that have some."""
    fix = "The frames' times count from the start of the sequence: count the poses' so, or give 12 numbers a frame."
    found, trajectory, notes = poses_of_table(list(stamps.values()), table, options, "frame", fix)
    poses = {number: pose for number, pose in zip(stamps, found, strict=True) if pose is not None}
    untimed = frames - len(stamps)
    first = f"poses from {table.path.name}, read as {table.kind}, are taken as world from ego and matched by time"
    last = [f"{untimed} of {frames} frames have no time, and so no pose"] if untimed else []
    return poses, trajectory, [first, *table.notes, *notes, *last]


def _world_from_ego(table: PoseTable, row: int, camera_0_from_ego: Pose) -> Pose:
    pose = table.pose(row)
    return camera_0_from_ego.inverse() @ pose @ camera_0_from_ego if table.kind == "KITTI" else pose


def _trajectory_of(sequence: AnyPath, times: list[int], poses: dict[int, Pose]) -> tuple[Trajectory | None, list[str]]:
    """Return the poses of the frames that have a time, over time, and notes; None where no frame has both."""
    timed = {number: pose for number, pose in poses.items() if number < len(times)}
    if not timed:
        return None, []
    stamps = [times[number] for number in timed]
    return table_of_poses(sequence / "times.txt", "KITTI", list(timed.values()), stamps).trajectory()
