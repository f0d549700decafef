"""Matches by time what a recording has at times of its own: pictures, radar sweeps and poses, to the lidar's frames.

What has no match is counted and noted, never taken from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidarprep.datasets.options import OpenOptions
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


def paired(timestamps: ArrayLike, others: ArrayLike, tolerance_ns: int) -> NDArray[np.int64]:
    """As `nearest`, but with each of the others given to one time at most.

    Those nearest to each other are paired first; of pairs as near the earlier one. A time whose nearest is given away
    gets its neighbour on the other side, if that is within the tolerance: two series that alternate are paired in turn.

    Args:
        timestamps: (F,) int64 nanoseconds.
        others: (K,) int64 nanoseconds.
        tolerance_ns: How far apart a pair may be, included.

    Returns:
        (F,) rows of the others, or -1.
    """
    times = np.asarray(timestamps, dtype=np.int64)
    unsorted = np.asarray(others, dtype=np.int64)
    rows = np.full(len(times), -1, dtype=np.int64)
    if not len(unsorted):
        return rows
    order = np.argsort(unsorted, kind="stable")
    candidates = unsorted[order]
    after = np.searchsorted(candidates, times)
    neighbours = np.column_stack((after - 1, after))
    inside = (neighbours >= 0) & (neighbours < len(candidates))
    neighbours = neighbours.clip(0, len(candidates) - 1)
    apart = np.abs(candidates[neighbours] - times[:, None])
    frames, sides = np.nonzero(inside & (apart <= tolerance_ns))
    chosen = neighbours[frames, sides]
    free = np.ones(len(candidates), dtype=bool)
    for pair in np.lexsort((chosen, times[frames], apart[frames, sides])).tolist():
        frame, candidate = frames[pair], chosen[pair]
        if rows[frame] < 0 and free[candidate]:
            rows[frame], free[candidate] = order[candidate], False
    return rows


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
        frames = np.flatnonzero(rows >= 0).tolist()
        times = [int(one.timestamps[rows[frame]]) for frame in frames]
        poses = _camera_poses(one.camera, times, trajectory, options)
        unposed = 0
        for frame, time, (known, world_from_camera) in zip(frames, times, poses, strict=True):
            if not known:
                unposed += 1
                continue
            image = one.picture(int(rows[frame]))
            found[frame].append(replace(image, camera=one.camera, world_from_camera=world_from_camera, timestamp=time))
        notes += _picture_notes(one.camera.name, rows, unposed, options)
    return [tuple(images) for images in found], notes


def _camera_poses(
    camera: Camera, times: Sequence[int], trajectory: Trajectory | None, options: OpenOptions
) -> list[tuple[bool, Pose | None]]:
    """For each time whether the device's pose is known, as far as any is, and world_from_camera where it follows."""
    if trajectory is None:
        return [(True, None)] * len(times)
    poses = trajectory.at_each(times, max_gap_ns=options.max_pose_gap_ns, then=camera.ego_from_camera)
    return [(pose is not None, pose if camera.ego_from_camera is not None else None) for pose in poses]


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
    poses = trajectory.at_each(timestamps, max_gap_ns=options.max_pose_gap_ns)
    without = sum(pose is None for pose in poses)
    if not without:
        return poses, []
    first, last = (int(trajectory.timestamps[k]) for k in (0, -1))
    return poses, [
        f"{without} of {len(poses)} frames have no pose: the poses reach from {first} to {last} ns, "
        f"and gaps over {options.max_pose_gap:g} s are not bridged (--max-pose-gap)"
    ]
