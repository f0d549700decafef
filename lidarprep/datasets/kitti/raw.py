"""KITTI raw: drives that are synchronised and rectified, a folder a day with the day's calibration.

    DATE/calib_imu_to_velo.txt, DATE/calib_velo_to_cam.txt, DATE/calib_cam_to_cam.txt
    DATE/DATE_drive_NNNN_sync/velodyne_points/{data/0000000000.bin, timestamps.txt}
    DATE/DATE_drive_NNNN_sync/image_0[0-3]/{data/0000000000.png, timestamps.txt}
    DATE/DATE_drive_NNNN_sync/oxts/{data/0000000000.txt, timestamps.txt}

Ego is the frame of the Velodyne, which the points come in: x forward, y left, z up. The world is level: x east, y
north, z up, its origin where the Velodyne is in the first frame. (The development kit inverts the whole first pose
instead, so that its world leans as the device did when it started.) A line of a timestamps.txt belongs to the file of
its number, counted from 0; a sweep's time is when the Velodyne faced forward. The time zone is taken as UTC.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lidarprep.datasets.asked_for import chosen, listed, unused_options
from lidarprep.datasets.counted_files import counted_files, folders_in
from lidarprep.datasets.kitti.calibration import moved_by, read_calibration
from lidarprep.datasets.kitti.oxts import Oxts, continued, read_oxts, read_times
from lidarprep.datasets.matching import PictureSeries, match_pictures, poses_at
from lidarprep.datasets.numbered import IMAGE_SUFFIXES
from lidarprep.datasets.options import OpenOptions
from lidarprep.errors import SceneError
from lidarprep.pointfiles import read_points
from lidarprep.scene import Camera, CameraImage, Frame, Lidar, Pose, Scene, Trajectory

LOOKS_LIKE = "KITTI raw: DATE_drive_NNNN_sync/velodyne_points/data/N.bin, with DATE/calib_velo_to_cam.txt above"

CAMERAS = ("image_00", "image_01", "image_02", "image_03")
LIDAR = "velodyne"
USED_OPTIONS = ("points_frame", "lidars", "cameras", "image_tolerance", "max_pose_gap")


def detect(path: Path) -> str | None:
    """Why this is a drive of KITTI raw, or a day of them; or None."""
    if _is_drive(path):
        return "it has a folder velodyne_points/data/"
    drives = _drives(path)
    return f"it holds the drive {drives[0].name}" if drives else None


def open(path: Path, options: OpenOptions) -> Scene:
    """Open a drive, or one of a day's.

    Raises:
        SceneError: There are several drives and none is named; a file of calibration or of times is missing; poses are
            given, which would not be read.
        FormatError: Calibration, times or oxts rows are not what they should be.
    """
    if options.poses is not None:
        raise SceneError(
            f"{path} is KITTI raw, which has its own poses in oxts/; {options.poses} would not be read",
            fix="Leave the poses file out, or open the folder velodyne_points/data/ with it.",
        )
    drive = path if _is_drive(path) else _chosen_drive(path, options.scene)
    files, notes = counted_files(drive / "velodyne_points" / "data", ".bin")
    if not files:
        raise SceneError(
            f"{drive / 'velodyne_points' / 'data'} holds no sweep 0000000000.bin",
            fix="Drives whose name ends in _extract keep them as text: take the drive that ends in _sync.",
        )
    chosen([LIDAR], options.lidars, "lidar")
    day = drive.absolute().parent
    stamps = read_times(drive / "velodyne_points" / "timestamps.txt")
    times = {number: stamps.get(number) for number in files}
    notes += _gaps(files, stamps)
    series, picture_notes = _picture_series(drive, day, options)
    known_times = [time for time in times.values() if time is not None]
    oxts, oxts_notes = read_oxts(drive / "oxts")
    trajectory = None
    if oxts is not None and known_times:
        velodyne_from_imu = read_calibration(day / "calib_imu_to_velo.txt").pose("R", "T")
        picture_times = [time for one in series for time in one.timestamps]
        trajectory, more = _trajectory(oxts, velodyne_from_imu, known_times, picture_times)
        oxts_notes += more
    images, image_notes = match_pictures(known_times, series, trajectory, options)
    poses: list[Pose | None] = [None] * len(known_times)
    if trajectory is not None:
        poses, pose_notes = poses_at(known_times, trajectory, options)
        oxts_notes += [*pose_notes, "the world is level: x east, y north, z up, from where the first sweep was taken"]
    by_time = dict(zip(known_times, zip(poses, images, strict=True), strict=True))
    points_frame = options.points_frame or "ego"
    frames = []
    for index, (number, file) in enumerate(files.items()):
        time = times[number]
        pose, pictures = (None, ()) if time is None else by_time[time]
        frames.append(
            Frame(
                id=file.stem,
                index=index,
                read_points=partial(read_points, file, points_frame),
                world_from_ego=pose,
                timestamp=time,
                images=pictures,
                gps=oxts.gps(time) if oxts is not None and time is not None and pose is not None else None,
            )
        )
    return Scene(
        str(path),
        "kitti-raw",
        tuple(frames),
        tuple(one.camera for one in series),
        points_frame,
        (
            *unused_options(options, USED_OPTIONS if drive == path else (*USED_OPTIONS, "scene")),
            *notes,
            *oxts_notes,
            *picture_notes,
            *image_notes,
            "times are taken as UTC",
        ),
        lidars=(Lidar(LIDAR, 0),),
        trajectory=trajectory,
    )


def _is_drive(path: Path) -> bool:
    return (path / "velodyne_points" / "data").is_dir()


def _drives(path: Path) -> list[Path]:
    return [folder for folder in folders_in(path) if "_drive_" in folder.name and _is_drive(folder)]


def _chosen_drive(path: Path, scene: str | None) -> Path:
    """The drive that is asked for, by its name or its number."""
    drives = _drives(path)
    if scene is None:
        if len(drives) == 1:
            return drives[0]
        raise SceneError(
            f"{path} holds {len(drives)} drives: {listed([drive.name for drive in drives])}",
            fix="Choose one: --scene-name NAME, or its number.",
        )
    wanted = [
        drive
        for drive in drives
        if scene == drive.name or scene.lstrip("0") == drive.name.split("_drive_")[1].split("_")[0].lstrip("0")
    ]
    if len(wanted) != 1:
        raise SceneError(
            f"{path} has {len(wanted) or 'no'} drives {scene!r}", fix=f"Known are {listed([d.name for d in drives])}."
        )
    return wanted[0]


def _gaps(files: dict[int, Path], stamps: dict[int, int]) -> list[str]:
    """Notes on sweeps that are missing, and on those without a time."""
    notes = []
    missing = sorted(stamps.keys() - files.keys())
    if missing:
        notes.append(f"{len(missing)} sweeps have a time and no file, such as {missing[0]:010d}.bin; they are left out")
    untimed = sorted(files.keys() - stamps.keys())
    if untimed:
        notes.append(f"{len(untimed)} sweeps have no time, such as {files[untimed[0]].name}: they get no pose")
    return notes


def _trajectory(
    oxts: Oxts, velodyne_from_imu: Pose, times: list[int], picture_times: list[int]
) -> tuple[Trajectory, list[str]]:
    """world_from_ego, with the world's origin where the device is at the first of the times that has a pose."""
    mercator_from_ego = oxts.trajectory @ velodyne_from_imu.inverse()
    mercator_from_ego, notes = continued(mercator_from_ego, [*times, *picture_times])
    poses = (mercator_from_ego.at(time) for time in times)
    first = next((pose for pose in poses if pose is not None), mercator_from_ego.pose(0))
    return mercator_from_ego.seen_from(moved_by(-first.translation)), notes


def _picture_series(drive: Path, day: Path, options: OpenOptions) -> tuple[list[PictureSeries], list[str]]:
    """The cameras that have pictures, as far as they are asked for, and notes."""
    known = [name for name in CAMERAS if (drive / name / "data").is_dir()]
    names = chosen(known, options.cameras, "camera")
    if not names:
        return [], []
    camera_0_from_velodyne = read_calibration(day / "calib_velo_to_cam.txt").pose("R", "T")
    calibration = read_calibration(day / "calib_cam_to_cam.txt")
    rectified_from_velodyne = calibration.pose("R_rect_00") @ camera_0_from_velodyne
    series: list[PictureSeries] = []
    notes: list[str] = []
    for name in names:
        number = name.removeprefix("image_")
        width, height = calibration.numbers(f"S_rect_{number}", 2).tolist()
        intrinsics, offset = calibration.rectified_camera(f"P_rect_{number}", (int(width), int(height)))
        ego_from_camera = (moved_by(offset) @ rectified_from_velodyne).inverse()
        stamps = read_times(drive / name / "timestamps.txt")
        files, strange = counted_files(drive / name / "data", *IMAGE_SUFFIXES)
        notes += strange
        timed = [file for file in files if file in stamps]
        if len(timed) < len(files):
            notes.append(f"camera {name}: {len(files) - len(timed)} pictures have no time; they are left out")
        camera = Camera(name, known.index(name), intrinsics, ego_from_camera)
        pictures = [CameraImage(camera, files[file]) for file in timed]
        series.append(PictureSeries(camera, [stamps[file] for file in timed], pictures.__getitem__))
    return series, notes
