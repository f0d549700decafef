"""The device of a bag: its frame of reference, and its trajectory in the world.

The device's frame is the first of EGO_FRAMES that the lidar is connected to, or else the lidar's own. Its poses come
from a file if one is given; from a topic if one is selected; from the tree of transforms, in the first of WORLD_FRAMES
above the device's frame, or else in its root; or from the only topic of odometry. The names are those of REP 105.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.pose_files import read_poses as read_poses_file
from lidarprep.datasets.ros._bag import Bag
from lidarprep.datasets.ros._messages import Series
from lidarprep.datasets.ros._topics import pose_topic
from lidarprep.datasets.ros._transforms import TransformTree, read_poses
from lidarprep.datasets.selection import listed
from lidarprep.errors import SceneError
from lidarprep.scene import Pose, Trajectory

EGO_FRAMES = ("base_link", "base_footprint", "base", "ego", "ego_vehicle", "vehicle", "rear_axle", "body", "imu_link",
              "imu")  # fmt: skip
WORLD_FRAMES = ("map", "odom", "world", "earth")


@dataclass(frozen=True)
class DevicePoses:
    """The device's poses in the world.

    Args:
        trajectory: world_from_ego; None where it is not known.
        notes: Where it comes from.
        topic: The topic that it comes from, if any.
    """

    trajectory: Trajectory | None
    notes: tuple[str, ...]
    topic: str | None = None


def ego_frame(tree: TransformTree, lidar_frame: str, options: OpenOptions) -> tuple[str, list[str]]:
    """Return the device's frame, and a note where it was not clear.

    Raises:
        SceneError: The selected frame is not known; the lidar is connected to none of the usual ones.
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


def device_poses(bag: Bag, tree: TransformTree, lidar: Series, ego: str, options: OpenOptions) -> DevicePoses:
    """Return the device's poses, from the first source that has them.

    Args:
        bag: The bag.
        tree: Its transforms.
        lidar: The clouds of the first lidar, for poses without times and for messages.
        ego: The device's frame.
        options: For the source, the world's frame and the widest gap.

    Raises:
        SceneError: The selected frames or topic are not there or not connected; poses are of several frames.
        FormatError: A transform or a pose is not rigid.
    """
    if options.poses is not None:
        return _from_file(options.poses, lidar, ego)
    if options.pose_topic is None:
        in_tree = _from_tree(tree, ego, options)
        if in_tree is not None:
            return in_tree
    topic, notes = pose_topic(bag, options)
    if topic is None:
        return DevicePoses(None, (*notes, "no poses: where the device is in the world is not known"))
    return _from_topic(bag, topic.name, tree, lidar.frame_ids[0], ego, options)


def _from_file(path: Path, lidar: Series, ego: str) -> DevicePoses:
    """Return the poses of a file: by time where it has times, or else one a cloud."""
    table = read_poses_file(path)
    notes: list[str] = []
    if table.timestamps is not None:
        trajectory, notes = table.trajectory()
    elif len(table) == len(lidar):
        times, rows = np.unique(lidar.timestamps, return_index=True)
        trajectory = Trajectory(times, table.quaternions[rows], table.translations[rows])
    else:
        raise SceneError(
            f"{path} has {len(table)} poses without times, for {len(lidar)} clouds of {lidar.name}",
            fix="Give one pose a cloud, or give them times.",
        )
    note = f"poses from {path}, read as {table.kind}, are taken as world from {ego or 'the lidar'}"
    return DevicePoses(trajectory, (note, *table.notes, *notes))


def _from_tree(tree: TransformTree, ego: str, options: OpenOptions) -> DevicePoses | None:
    """Return the poses by the tree of transforms; None where the tree has no world for the device."""
    above = tree.ancestors(ego)
    world = next((name for name in WORLD_FRAMES if name in above), above[-1])
    if options.world_frame is not None:
        world = options.world_frame.lstrip("/")
        if world not in tree.frames:
            raise SceneError(f"{tree.path} has no frame {world!r}", fix=_known_frames(tree.frames))
    trajectory = None if world == ego else tree.trajectory(world, ego, options.max_pose_gap_ns)
    if trajectory is None:
        return None
    return DevicePoses(trajectory, (f"the world is {world}, by the tree of transforms (--world-frame)",))


def _from_topic(
    bag: Bag, topic: str, tree: TransformTree, lidar_frame: str, ego: str, options: OpenOptions
) -> DevicePoses:
    """Return the poses by a topic of poses."""
    messages = bag.messages(topic)
    found = read_poses(bag.path, messages, bag.prefixes([(messages, None)])[0])
    if len(found) != 1:
        frames = ", ".join(f"{one.child or '?'} in {one.parent}" for one in found)
        raise SceneError(f"{bag.path}: topic {topic} has poses of several frames: {frames}")
    poses = found[0].in_order()
    trajectory = poses.trajectory(bag.path, f"topic {topic}")
    world, child = poses.parent, poses.child or ego
    notes: list[str] = []
    if child != ego:
        child_from_ego, notes = _between(tree, child, ego, lidar_frame, options)
        trajectory = trajectory @ child_from_ego
    wanted = options.world_frame
    if wanted is not None and wanted.lstrip("/") != world:
        world_from_parent = tree.between(wanted.lstrip("/"), world)
        if isinstance(world_from_parent, Trajectory):
            raise SceneError(f"{bag.path}: {world}, the world of topic {topic}, moves in {wanted}")
        trajectory, world = trajectory.seen_from(world_from_parent), wanted
    return DevicePoses(trajectory, (f"the world is {world or 'nameless'}, by topic {topic}", *notes), topic)


def _between(
    tree: TransformTree, child: str, ego: str, lidar_frame: str, options: OpenOptions
) -> tuple[Pose, list[str]]:
    """Return child_from_ego, where poses are of another frame than the device's."""
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
