"""Write a generated recording as a toolkit folder: points, poses, images with their calibration, radar returns."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from plyfile import PlyData, PlyElement

from lidarprep.errors import RecipeError, StorageError
from lidarprep.sample._sensors import Moment, RigCamera, Sweep, camera_rig, radar_returns, sweep, take_image
from lidarprep.sample._street import DEVICE_HEIGHT_M, FRAME_SECONDS, Drive, Street, frame_timestamp, travel
from lidarprep.scene import Pose

JPEG_QUALITY = 88


@dataclass(frozen=True)
class SampleSummary:
    """A written recording in figures.

    Args:
        path: The recording's folder.
        frames: How many frames it has.
        points: How many lidar points they have together.
        cameras: Names of the cameras.
        device_height: Metres of the lidar, which is the ego frame's origin, above the road.
    """

    path: Path
    frames: int
    points: int
    cameras: tuple[str, ...]
    device_height: float = DEVICE_HEIGHT_M


def write_sample(
    out: str | os.PathLike[str],
    *,
    frames: int = 10,
    seed: int = 0,
    motion_compensated: bool = True,
    columns: int = 1800,
    image_width: int = 960,
    on_frame: Callable[[int, int], None] | None = None,
) -> SampleSummary:
    """Drive a car with a lidar, three cameras and a radar down a generated street, and write what they see.

    The recording is a toolkit folder: `pointcloud/N.ply` (x, y, z in ego, metres; i from 0 to 255),
    `poses/N.json` (world from ego), `cameras/NAME/` (ego from camera) and `radar_points/N.txt`, ten frames a second,
    N from 0. A frame's pose, images and radar returns are of its timestamp, when its sweep is half done. The same
    arguments give the same bytes, on the same versions of NumPy, Numba and Pillow and the same kind of processor.

    Args:
        out: Folder to write; it must not exist, or be empty. It appears when all is written.
        frames: How many frames.
        seed: Seed of the street, its traffic and the noise.
        motion_compensated: Points are in ego at their frame's timestamp. If False, each is in ego at its own time,
            which the points then carry: `t`, float64 nanoseconds since the Unix epoch.
        columns: How often the lidar fires in a turn; 64 rays each.
        image_width: Pixels; the height is 5/8 of it.
        on_frame: Called in this thread after each frame with how many are done, and how many there will be.

    Raises:
        RecipeError: `out` is taken, or a number is out of range.
        StorageError: The folder cannot be written.
    """
    for name, value, least in (
        ("frames", frames, 1),
        ("seed", seed, 0),
        ("columns", columns, 8),
        ("image_width", image_width, 16),
    ):
        if value < least:
            raise RecipeError(f"sample: {name} is {value}; it must be {least} or more")
    folder = Path(out).resolve()
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RecipeError(f"{out} exists and is not an empty folder", fix="Choose another folder to write to.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
            recording = Path(beside) / folder.name
            recording.mkdir()
            studio = _Studio(recording, frames, seed, motion_compensated, columns, image_width)
            points = studio.record(on_frame)
            _reveal(recording, folder)
    except OSError as error:
        raise StorageError(f"cannot write {error.filename or out}: {error.strerror or error}") from error
    return SampleSummary(folder, frames, points, tuple(camera.name for camera in studio.cameras))


def _reveal(recording: Path, folder: Path) -> None:
    """Rename the finished recording. An existing folder is filled, not replaced: someone may be in it."""
    if not folder.exists():
        recording.rename(folder)
        return
    for part in sorted(recording.iterdir()):
        part.rename(folder / part.name)


class _Studio:
    """Records frames independently of one another, so that threads can share them."""

    def __init__(
        self, folder: Path, frames: int, seed: int, motion_compensated: bool, columns: int, image_width: int
    ) -> None:
        self.folder, self.frames, self.seed = folder, frames, seed
        self.motion_compensated, self.columns = motion_compensated, columns
        duration = frames * FRAME_SECONDS
        self.street = Street(np.random.default_rng([seed, 0]), duration, float(travel(duration)))
        self.drive = Drive(self.street)
        self.cameras = camera_rig(image_width)

    def record(self, on_frame: Callable[[int, int], None] | None) -> int:
        """Write every frame; return how many points they have together."""
        for name in ("pointcloud", "poses", "radar_points"):
            (self.folder / name).mkdir()
        for camera in self.cameras:
            _write_calibration(self.folder / "cameras" / camera.name, camera)
        total = 0
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "sample") as pool:
            for done, points in enumerate(pool.map(self.record_frame, range(self.frames)), start=1):
                total += points
                if on_frame is not None:
                    on_frame(done, self.frames)
        return total

    def record_frame(self, frame: int) -> int:
        """Write one frame; return how many points it has."""
        seconds = frame * FRAME_SECONDS
        rng = np.random.default_rng([self.seed, 1, frame])
        world_from_ego = self.drive.pose(seconds)
        eye = world_from_ego.translation
        moment = Moment(self.street.at(seconds, eye), eye)

        points = sweep(
            moment, self.drive, seconds, rng, columns=self.columns, motion_compensated=self.motion_compensated
        )
        timestamp = frame_timestamp(frame)
        _write_ply(self.folder / "pointcloud" / f"{frame}.ply", points, None if self.motion_compensated else timestamp)
        pose = _pose_as_json(world_from_ego) | {"timestamp": timestamp}
        _write_json(self.folder / "poses" / f"{frame}.json", pose)
        radar = radar_returns(moment, self.street.reflectors(seconds, eye), world_from_ego, rng)
        lines = "".join(", ".join(f"{value:.6f}" for value in row) + "\n" for row in radar)
        (self.folder / "radar_points" / f"{frame}.txt").write_text(lines, encoding="ascii")
        for camera in self.cameras:
            path = self.folder / "cameras" / camera.name / f"{frame}.jpg"
            Image.fromarray(take_image(moment, world_from_ego, camera)).save(path, quality=JPEG_QUALITY)
        return len(points.positions)


def _write_ply(path: Path, points: Sweep, timestamp: int | None) -> None:
    """Binary PLY; with a timestamp (of the sweep's middle, nanoseconds), each point's own as `t`."""
    fields: list[tuple[str, str]] = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("i", "<f4")]
    if timestamp is not None:
        # PLY has no 64-bit integers; in a double, nanoseconds since 1970 are right within 128.
        fields.append(("t", "<f8"))
    rows = np.empty(len(points.positions), dtype=fields)
    for axis, name in enumerate("xyz"):
        rows[name] = points.positions[:, axis]
    rows["i"] = points.intensity
    if timestamp is not None:
        rows["t"] = timestamp + np.rint(points.seconds * 1e9).astype(np.int64)
    PlyData([PlyElement.describe(rows, "vertex")], byte_order="<").write(str(path))


def _write_calibration(folder: Path, camera: RigCamera) -> None:
    """extrinsics.json (ego from camera) and intrinsics.json."""
    folder.mkdir(parents=True)
    _write_json(folder / "extrinsics.json", _pose_as_json(camera.ego_from_camera))
    pinhole = {name: getattr(camera.intrinsics, name) for name in ("fx", "fy", "cx", "cy")}
    distortion = camera.intrinsics.distortion.nonzero()
    _write_json(folder / "intrinsics.json", pinhole | {"camera_model": camera.intrinsics.model} | distortion)


def _pose_as_json(pose: Pose) -> dict[str, Any]:
    return {"heading": pose.quaternion.tolist(), "position": pose.translation.tolist()}


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="ascii")
