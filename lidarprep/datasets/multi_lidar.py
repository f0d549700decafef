"""Merge of several lidars into one cloud in ego at the frame's timestamp.

The lidars of a device do not see at one time: at 20 m/s a cloud that was seen 50 ms after its frame's timestamp is a
metre away from where its points are in ego by then. So a cloud whose points have no times of their own is moved as a
whole, by the device's motion in between:

    p' = world_from_ego(frame's timestamp)⁻¹ · world_from_ego(cloud's stamp) · ego_from_lidar · p

A cloud whose points have times is moved by its lidar's extrinsics only: --deskew then moves each point by its own time.
Where a frame has clouds of both kinds, the points that were moved to its timestamp get it for their time, so that
--deskew finds a time for every point and leaves them unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.pose_readings import reread_trajectory
from lidarprep.scene import Lidar, PointCloud, Pose, Trajectory
from lidarprep.scene.points import middle_time

# Times of points that are all this near to 0, and not to their cloud's stamp, count from that stamp.
_LONGEST_OFFSET_NS = 1_000_000_000


@dataclass(frozen=True)
class CloudTransform:
    """The transform of a cloud from ego at its own stamp to ego at its frame's timestamp; both in nanoseconds."""

    stamp: int
    timestamp: int
    frame_from_cloud: Pose | None  # None where a pose is not known


def cloud_transforms(
    stamps: Sequence[int], timestamps: Sequence[int], trajectory: Trajectory | None, options: OpenOptions
) -> list[CloudTransform]:
    """Return the transform of each cloud to its frame's timestamp, from as many stamps and timestamps.

    The trajectory is world_from_ego over time, as the layout reads it; None where it is not known.
    """
    before: list[Pose | None] = [None] * len(stamps)
    after = before
    if trajectory is not None:
        trajectory = reread_trajectory(trajectory, options.poses_are)
        gap = options.max_pose_gap_ns
        before, after = (trajectory.at_each(times, max_gap_ns=gap) for times in (stamps, timestamps))
    return [
        CloudTransform(stamp, timestamp, _motion(stamp, timestamp, at_cloud, at_frame))
        for stamp, timestamp, at_cloud, at_frame in zip(stamps, timestamps, before, after, strict=True)
    ]


def _motion(stamp: int, timestamp: int, at_cloud: Pose | None, at_frame: Pose | None) -> Pose | None:
    if stamp == timestamp:
        return Pose.identity()
    return None if at_cloud is None or at_frame is None else at_frame.inverse() @ at_cloud


def motion_note(what: str, transforms: Sequence[CloudTransform], have_times: bool | None) -> list[str]:
    """Return a note on how far in time clouds are from their frames, and on how they are moved; none where they agree.

    Args:
        what: Whose clouds: "clouds of /lidar_left".
        transforms: Theirs.
        have_times: Whether their points have times of their own; None where that shows only when they are read.
    """
    apart = [one for one in transforms if one.stamp != one.timestamp]
    if not apart:
        return []
    worst = max(abs(one.stamp - one.timestamp) for one in apart)
    offset = f"{what} are up to {round(worst / 1e6, 3):g} ms from their frame"
    unknown = sum(one.frame_from_cloud is None for one in apart)
    if have_times:
        return [f"{offset}; their points have times of their own: --deskew moves them"]
    if unknown == len(apart):
        return [f"{offset}; no poses are known for their times: they are not moved"]
    but = f", but for {unknown} of {len(apart)}, for whose times no poses are known" if unknown else ""
    if have_times is None:
        return [
            f"{offset}; those whose points have no times are moved by the device's motion{but}; "
            "points with times of their own are moved by --deskew"
        ]
    return [f"{offset}; they are moved by the device's motion{but}"]


@dataclass(frozen=True)
class LidarSweep:
    """One lidar's cloud of a frame.

    Args:
        read: Reads it, in the lidar's own frame or in the world.
        lidar: The lidar, with its extrinsics at the cloud's time; without any its points are in ego.
        transform: To the frame's timestamp; None where the cloud's stamp is not known.
    """

    read: Callable[[], PointCloud]
    lidar: Lidar
    transform: CloudTransform | None = None


def read_sweeps(sweeps: Sequence[LidarSweep], several: bool) -> PointCloud:
    """Read the points of a frame, in ego, or in the world where the clouds are.

    Args:
        sweeps: One for each lidar that has a cloud for the frame.
        several: The recording has several lidars: their indices become device ids, and columns that only some clouds
            have are left out and named in `ignored_fields`.
    """
    clouds = [sweep.read() for sweep in sweeps]
    if not several:
        (cloud,), pose = clouds, sweeps[0].lidar.ego_from_lidar
        if cloud.frame == "world":
            return cloud
        return replace(cloud, frame="ego") if pose is None else cloud.moved(pose, "ego")
    placed = [_placed(cloud, sweep.lidar, sweep.transform) for cloud, sweep in zip(clouds, sweeps, strict=True)]
    if any(cloud.timestamp is not None for cloud in placed):
        placed = [_timed(cloud, sweep.transform) for cloud, sweep in zip(placed, sweeps, strict=True)]
    return PointCloud.concatenate(placed)


def _placed(cloud: PointCloud, lidar: Lidar, transform: CloudTransform | None) -> PointCloud:
    """Return one lidar's points in ego, or the world; the lidar's index replaces device ids of the file's own."""
    if cloud.frame != "world":
        pose = lidar.ego_from_lidar
        motion = None if transform is None or transform.stamp == transform.timestamp else transform.frame_from_cloud
        if motion is not None and cloud.timestamp is None:
            pose = motion if pose is None else motion @ pose
        cloud = replace(cloud, frame="ego") if pose is None else cloud.moved(pose, "ego")
    ignored = (*cloud.ignored_fields, "device") if cloud.device is not None else cloud.ignored_fields
    return replace(cloud, device=np.full(len(cloud), lidar.index, dtype=np.uint32), ignored_fields=ignored)


def _timed(cloud: PointCloud, transform: CloudTransform | None) -> PointCloud:
    """Return the cloud with times on its stamp's clock: where they count from it, or where it was moved without any."""
    if transform is None or cloud.frame == "world":
        return cloud
    if cloud.timestamp is None:
        if transform.frame_from_cloud is None:
            return cloud
        return replace(cloud, timestamp=np.full(len(cloud), transform.timestamp, dtype=np.int64))
    if not len(cloud) or abs(transform.stamp) <= 2 * _LONGEST_OFFSET_NS:
        return cloud
    on_its_own = abs(middle_time(cloud.timestamp)) > _LONGEST_OFFSET_NS
    return cloud if on_its_own else replace(cloud, timestamp=cloud.timestamp + transform.stamp)
