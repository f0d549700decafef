"""Matches by time what a recording has at times of its own: pictures, radar sweeps and poses, to the lidar's frames.

What has no match is counted and noted, never taken from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidarprep.readers.layouts.options import OpenOptions
from lidarprep.scene import Camera, CameraImage, Pose, Trajectory


def nearest(timestamps: ArrayLike, others: ArrayLike, tolerance_ns: int) -> NDArray[np.int64]:
    """For each of (F,) times the row of the nearest of (K,) others in any order, or -1; the earlier of two as near.

    Args:
        timestamps: (F,) int64 nanoseconds.
        others: (K,) int64 nanoseconds.
        tolerance_ns: How far away the nearest may be, included.
    """
    times = np.asarray(timestamps, dtype=np.int64)
    unsorted = np.asarray(others, dtype=np.int64)
    if not len(unsorted):
        return np.full(len(times), -1, dtype=np.int64)
    order = np.argsort(unsorted, kind="stable")
    candidates = unsorted[order]
    after = np.searchsorted(candidates, times).clip(0, len(candidates) - 1)
    before = (after - 1).clip(0)
    rows = np.where(np.abs(candidates[after] - times) < np.abs(candidates[before] - times), after, before)
    near = np.abs(candidates[rows] - times) <= tolerance_ns
    return np.where(near, order[rows], -1)


@dataclass(frozen=True)
class PictureSeries:
    """The pictures of one camera, as a recording has them.

    Args:
        camera: The camera, with its extrinsics.
        timestamps: (K,) nanoseconds since the Unix epoch, in any order.
        picture: Gives the picture of a row: its file, or what reads its encoded bytes.
    """

    camera: Camera
    timestamps: Sequence[int]
    picture: Callable[[int], CameraImage]


def match_pictures(
    timestamps: Sequence[int], series: Sequence[PictureSeries], trajectory: Trajectory | None, options: OpenOptions
) -> tuple[list[tuple[CameraImage, ...]], list[str]]:
    """For each frame the nearest picture of each camera, posed where the camera was when it was taken.

    Args:
        timestamps: (F,) of the frames, nanoseconds.
        series: The cameras' pictures. A `picture` gives a CameraImage without pose and timestamp; both are put in here.
        trajectory: world_from_ego over time; None where it is not known: then pictures have no pose.
        options: For the tolerance and the widest gap.

    Returns:
        The pictures of each frame, in the order of the series; and notes on what was not matched.
    """
    found: list[list[CameraImage]] = [[] for _ in timestamps]
    notes: list[str] = []
    for one in series:
        rows = nearest(timestamps, one.timestamps, options.image_tolerance_ns)
        unposed = 0
        for frame, row in enumerate(rows.tolist()):
            if row < 0:
                continue
            time = int(one.timestamps[row])
            pose = None if trajectory is None else trajectory.at(time, max_gap_ns=options.max_pose_gap_ns)
            if trajectory is not None and pose is None:
                unposed += 1
                continue
            found[frame].append(_taken(one.picture(row), one.camera, pose, time))
        notes += _picture_notes(one.camera.name, rows, unposed, options)
    return [tuple(images) for images in found], notes


def _taken(image: CameraImage, camera: Camera, world_from_ego: Pose | None, timestamp: int) -> CameraImage:
    world_from_camera = None
    if world_from_ego is not None and camera.ego_from_camera is not None:
        world_from_camera = world_from_ego @ camera.ego_from_camera
    return replace(image, camera=camera, world_from_camera=world_from_camera, timestamp=timestamp)


def _picture_notes(name: str, rows: NDArray[np.int64], unposed: int, options: OpenOptions) -> list[str]:
    notes = []
    missing = int((rows < 0).sum())
    if missing:
        notes.append(
            f"camera {name}: {missing} of {len(rows)} frames have no picture within {options.image_tolerance:g} s "
            "(--image-tolerance)"
        )
    if unposed:
        notes.append(f"camera {name}: {unposed} pictures were taken where no pose is known; they are left out")
    return notes


def poses_at(
    timestamps: Sequence[int], trajectory: Trajectory, options: OpenOptions
) -> tuple[list[Pose | None], list[str]]:
    """The pose at each frame's time, interpolated; None where there is none, and a note on how many lack one."""
    poses = [trajectory.at(time, max_gap_ns=options.max_pose_gap_ns) for time in timestamps]
    without = sum(pose is None for pose in poses)
    if not without:
        return poses, []
    first, last = (int(trajectory.timestamps[k]) for k in (0, -1))
    return poses, [
        f"{without} of {len(poses)} frames have no pose: the poses reach from {first} to {last} ns, "
        f"and gaps over {options.max_pose_gap:g} s are not bridged (--max-pose-gap)"
    ]
