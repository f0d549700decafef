"""Where the device is: its frame of reference, and its way through the world.

The device's frame is the first of EGO_FRAMES that the lidar is connected to, or else the lidar's own. Its poses come
from a file if one is given; from a topic if one is chosen; from the tree of transforms, in the first of WORLD_FRAMES
above the device's frame, or else in its root; or from the only topic of odometry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.ros.pose_messages import Transforms
from lidarprep.datasets.ros.transforms import TransformTree
from lidarprep.datasets.selection import listed
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Pose, Trajectory

EGO_FRAMES = ("base_link", "base_footprint", "base", "ego", "ego_vehicle", "vehicle", "rear_axle", "body", "imu_link",
              "imu")  # fmt: skip
WORLD_FRAMES = ("map", "odom", "world", "earth")


@dataclass(frozen=True)
class DevicePath:
    """The device's way through the world.

    Args:
        ego: The device's frame.
        trajectory: world_from_ego; None where it is not known.
        notes: Where it comes from.
        topic: The topic that it comes from, if not from the tree.
    """

    ego: str
    trajectory: Trajectory | None
    notes: tuple[str, ...]
    topic: str | None = None


def ego_frame(tree: TransformTree, lidar_frame: str, options: OpenOptions) -> tuple[str, list[str]]:
    """The device's frame, and a note where it was not clear.

    Raises:
        SceneError: The frame that was asked for is not known; the lidar is connected to none of the usual.
    """
    frames = tree.frames
    if options.ego_frame is not None:
        name = options.ego_frame.lstrip("/")
        if frames and name not in frames and name != lidar_frame:
            raise SceneError(f"{tree.path} has no frame {name!r}", fix=_known_frames(frames))
        return name, []
    usual = [name for name in EGO_FRAMES if name in frames]
    if lidar_frame in EGO_FRAMES and lidar_frame not in frames:
        return lidar_frame, []
    connected = [name for name in usual if tree.connected(name, lidar_frame)]
    if connected:
        return connected[0], [f"the device's frame is {connected[0]} (--ego-frame)"]
    if usual and not lidar_frame:
        return usual[0], [f"the clouds name no frame; they are taken to be in {usual[0]}"]
    if usual:
        raise tree.unconnected(usual[0], lidar_frame)
    return lidar_frame, [f"the device's frame is the lidar's own, {lidar_frame or 'which has no name'} (--ego-frame)"]


def _known_frames(frames: Sequence[str]) -> str:
    return f"Frames are {listed(frames)}." if frames else "No transforms were recorded, which would name frames."


def path_in_tree(tree: TransformTree, ego: str, options: OpenOptions) -> DevicePath | None:
    """The device's way by the tree of transforms; None where the tree has no world for it.

    Raises:
        SceneError: The world that was asked for is not connected to the device.
        FormatError: A transform is no transform.
    """
    above = tree.ancestors(ego)
    if options.world_frame is not None:
        world: str | None = options.world_frame.lstrip("/")
        if world not in tree.frames:
            raise SceneError(f"{tree.path} has no frame {world!r}", fix=_known_frames(tree.frames))
    else:
        world = next((name for name in WORLD_FRAMES if name in above), above[-1])
    if world is None or world == ego:
        return None
    trajectory = tree.path_of(world, ego, options.max_pose_gap_ns)
    if trajectory is None:
        return None
    return DevicePath(ego, trajectory, (f"the world is {world}, by the tree of transforms (--world-frame)",))


def path_of_topic(
    tree: TransformTree, topic: str, found: list[Transforms], ego: str, lidar_frame: str, options: OpenOptions
) -> DevicePath:
    """The device's way by a topic of poses.

    Raises:
        SceneError: The poses are of a frame that is not connected to the device's, or in several worlds.
        FormatError: A pose is no pose.
    """
    if len(found) != 1:
        ways = ", ".join(f"{one.child or '?'} in {one.parent}" for one in found)
        raise SceneError(f"{tree.path}: topic {topic} has poses of several frames: {ways}")
    poses = found[0].in_order()
    try:
        with np.errstate(over="ignore"):  # of absurd numbers; they are refused
            path = Trajectory(poses.timestamps, poses.quaternions, poses.translations)
    except SceneError as error:
        raise FormatError(tree.path, place=f"topic {topic}", found=error.message, fix=error.fix) from error
    world = poses.parent
    notes: list[str] = []
    child = poses.child or ego
    if child != ego:
        child_from_ego, notes = _between(tree, child, ego, lidar_frame, options)
        path = path @ child_from_ego
    wanted = options.world_frame
    if wanted is not None and wanted.lstrip("/") != world:
        world_from_parent = tree.between(wanted.lstrip("/"), world)
        if isinstance(world_from_parent, Trajectory):
            raise SceneError(f"{tree.path}: {world}, the world of topic {topic}, moves in {wanted}")
        path, world = path.seen_from(world_from_parent), wanted
    notes.insert(0, f"the world is {world or 'nameless'}, by topic {topic}")
    return DevicePath(ego, path, tuple(notes), topic)


def _between(
    tree: TransformTree, child: str, ego: str, lidar_frame: str, options: OpenOptions
) -> tuple[Pose, list[str]]:
    """child_from_ego, where poses are of another frame than the device's."""
    if tree.connected(child, ego):
        found = tree.between(child, ego)
        if isinstance(found, Trajectory):
            raise SceneError(f"{tree.path}: the poses are of {child}, and {ego} moves against it")
        return found, []
    if options.ego_frame is not None or not ego:
        return Pose.identity(), [f"the poses are of {child}; they are taken as those of {ego or 'the lidar'}"]
    if tree.frames:
        raise tree.unconnected(child, ego)
    raise SceneError(
        f"{tree.path}: the poses are of {child}, the points are in {lidar_frame}, and no transforms were recorded",
        fix=f"If both are one frame, say --ego-frame {lidar_frame}.",
    )


def path_of_file(trajectory: Trajectory, ego: str, path: Path, kind: str) -> DevicePath:
    """The device's way by a file of poses that has times."""
    note = f"poses from {path}, read as {kind}, are taken as world from {ego or 'the lidar'}"
    return DevicePath(ego, trajectory, (note,))
