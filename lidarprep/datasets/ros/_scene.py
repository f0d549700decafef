"""A bag as a scene: a frame for each cloud of the lidar, or of the first of the selected lidars.

Points are moved from the frame that their message names into the device's, by the tree of transforms at the message's
time. Times are those of the messages' headers.

The device's frame is the first of EGO_FRAMES that the lidar is connected to, or else the lidar's own. Its poses come
from a file if one is given; from a topic if one is selected; from the tree of transforms, in the first of WORLD_FRAMES
above the device's frame, or else in its root; or from the only topic of odometry. The names are those of REP 105. The
world is z-up, in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from lidarprep.datasets.association import match_images, poses_at
from lidarprep.datasets.multi_lidar import read_sweeps
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.pose_files import read_poses as read_poses_file
from lidarprep.datasets.ros._bag import Bag, opened, other_parts
from lidarprep.datasets.ros._cameras import Calibrations, CameraTopics, PosedSeries, camera_topics, image_series
from lidarprep.datasets.ros._clocks import differing_clocks
from lidarprep.datasets.ros._clouds import placed_clouds
from lidarprep.datasets.ros._messages import PREFIX_BYTES, Series, read_headers, unset_stamps
from lidarprep.datasets.ros._topics import lidar_topics, pose_topic, streams, transform_topics, unread_topics
from lidarprep.datasets.ros._transforms import TransformTree, read_poses
from lidarprep.datasets.selection import listed, unused_options
from lidarprep.errors import SceneError
from lidarprep.remote import AnyPath
from lidarprep.scene import CameraImage, Finding, Frame, Pose, Scene, Trajectory

EGO_FRAMES = ("base_link", "base_footprint", "base", "ego", "ego_vehicle", "vehicle", "rear_axle", "body", "imu_link",
              "imu")  # fmt: skip
WORLD_FRAMES = ("map", "odom", "world", "earth")

USED_OPTIONS = (
    "points_frame", "poses", "lidars", "cameras", "image_tolerance", "max_pose_gap", "ego_frame", "world_frame",
    "pose_topic", "points_unit",
)  # fmt: skip


def open_bag(path: AnyPath, layout: str, options: OpenOptions) -> Scene:
    """Open a bag, a .bag, .mcap or .db3 file or the folder of a ROS 2 bag, as a scene of that layout.

    Of its clouds and images only the headers are read.

    Raises:
        SceneError: There is no topic of points, or it is not clear which; transforms that are needed are missing, or
            a selected frame or topic.
        FormatError: A file is cut or damaged, a message is malformed, or a pose is not rigid.
        MissingExtraError: Reading the bag needs a library that is not installed.
    """
    if options.poses is not None and options.pose_topic is not None:
        raise SceneError("poses come from a file or from a topic, not from both", fix="Leave one of them out.")
    bag = opened(path, check_files=True)
    found = _read_headers(bag, options)
    first = found.lidars[0]
    notes = [note for storage in bag.storages for note in storage.notes]
    notes += found.tree.notes
    findings = [*bag.findings, *other_parts(bag.path, bag.files)]
    findings += [one for series in (*found.lidars, *found.cameras.values()) for one in series.findings]
    findings += found.tree.findings
    findings += differing_clocks(first, [*found.lidars[1:], *found.cameras.values()], found.tree)
    ego, guessed = ego_frame(found.tree, first.frame_ids[0], options)
    device = device_poses(bag, found.tree, first, ego, options)
    notes += [*guessed, *device.notes]
    findings += device.findings
    lidars, clouds, cloud_notes = placed_clouds(found.lidars, found.tree, ego, device.trajectory, options)
    cameras, camera_notes = _cameras(bag, found, ego)
    kept = [row for row, sources in enumerate(clouds) if sources]
    timestamps = [int(first.timestamps[row]) for row in kept]
    world_from_ego: list[Pose | None] = [None] * len(kept)
    if device.trajectory is not None:
        world_from_ego, pose_notes = poses_at(timestamps, device.trajectory, options)
        notes += pose_notes
    images, image_notes = match_images(timestamps, [one.images for one in cameras], device.trajectory, options)
    images = _with_moving_cameras(images, cameras, device.trajectory)
    points_frame = options.points_frame or "ego"
    # Frames are named by their times, or numbered where times are not unique.
    unique = len(set(timestamps)) == len(timestamps)
    frames = tuple(
        Frame(
            id=str(timestamps[index]) if unique else f"{index:06d}",
            index=index,
            read_points=partial(read_sweeps, clouds[row], len(lidars) > 1),
            world_from_ego=world_from_ego[index],
            timestamp=timestamps[index],
            images=images[index],
            sources=bag.sources,
        )
        for index, row in enumerate(kept)
    )
    used = {*found.transform_topics, *(series.name for series in found.lidars)}
    used |= {name for one in cameras for name in one.topics} | ({device.topic} if device.topic else set())
    asked = USED_OPTIONS if options.poses is None else (*USED_OPTIONS, "poses_are", "frames_unit")
    notes += [*cloud_notes, *camera_notes, *image_notes, *unused_options(options, asked)]
    findings += unread_topics(bag, has_cameras=bool(found.cameras))
    return Scene(
        str(path),
        layout,
        frames,
        tuple(one.images.camera for one in cameras),
        points_frame,
        tuple(notes),
        lidars,
        device.trajectory,
        streams(bag, used),
        findings=tuple(findings),
    )


@dataclass(frozen=True)
class _Headers:
    """What one pass over the bag gave: clouds and images by their headers, and transforms with their topics' names."""

    lidars: tuple[Series, ...]
    cameras: dict[CameraTopics, Series]
    tree: TransformTree
    transform_topics: tuple[str, ...]


def _read_headers(bag: Bag, options: OpenOptions) -> _Headers:
    """Read the headers of clouds and images, and all transforms, in one pass over the files."""
    lidars, cameras = lidar_topics(bag, options), camera_topics(bag, options)
    moving, static = transform_topics(bag)
    headed = [bag.messages(topic.name) for topic in (*lidars, *(camera.topic for camera in cameras))]
    whole = [bag.messages(topic.name) for topic in (*moving, *static)]
    data = bag.prefixes([*((messages, PREFIX_BYTES) for messages in headed), *((messages, None) for messages in whole)])
    series = [read_headers(bag.path, *one) for one in zip(headed, data[: len(headed)], strict=True)]
    transforms = [read_poses(bag.path, *one) for one in zip(whole, data[len(headed) :], strict=True)]
    tree = TransformTree(
        bag.path,
        [one for topic in transforms[: len(moving)] for one in topic],
        [one for topic in transforms[len(moving) :] for one in topic],
    )
    of_cameras = dict(zip(cameras, series[len(lidars) :], strict=True))
    return _Headers(tuple(series[: len(lidars)]), of_cameras, tree, tuple(topic.name for topic in (*moving, *static)))


def _cameras(bag: Bag, found: _Headers, ego: str) -> tuple[list[PosedSeries], list[str]]:
    """Return the cameras that can be used, and why others cannot."""
    if not found.cameras:
        return [], []
    calibrations = Calibrations(bag)
    cameras: list[PosedSeries] = []
    notes = []
    for camera, series in found.cameras.items():
        made = image_series(camera, series, calibrations, found.tree, ego)
        if isinstance(made, str):
            notes.append(made)
            continue
        cameras.append(made)
        notes += made.notes
    return cameras, notes


def _with_moving_cameras(
    images: Sequence[tuple[CameraImage, ...]], cameras: Sequence[PosedSeries], trajectory: Trajectory | None
) -> list[tuple[CameraImage, ...]]:
    """Pose the images of cameras that move on the device at their times; leave them out where no pose is known."""
    moving = {one.images.camera.name: one.ego_from_camera for one in cameras if one.ego_from_camera is not None}
    if not moving or trajectory is None:
        return list(images)

    def posed(image: CameraImage) -> CameraImage | None:
        ego_from_camera = moving.get(image.camera.name)
        if ego_from_camera is None or image.timestamp is None:
            return image
        device, camera = trajectory.at(image.timestamp), ego_from_camera.at(image.timestamp)
        return None if device is None or camera is None else replace(image, world_from_camera=device @ camera)

    return [tuple(found for image in frame if (found := posed(image)) is not None) for frame in images]


# ---- the device ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DevicePoses:
    """world_from_ego over time, None where it is not known; and notes and the topic that say where it comes from."""

    trajectory: Trajectory | None
    notes: tuple[str, ...]
    topic: str | None = None
    findings: tuple[Finding, ...] = ()


def ego_frame(tree: TransformTree, lidar_frame: str, options: OpenOptions) -> tuple[str, list[str]]:
    """Return the device's frame, and a note where it was not clear."""
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

    The clouds of the first lidar are for poses without times, and for messages; `ego` is the device's frame.
    """
    if options.poses is not None:
        return _from_file(options.poses, lidar, ego, options)
    if options.pose_topic is None:
        in_tree = _from_tree(tree, ego, options)
        if in_tree is not None:
            return in_tree
    topic, notes = pose_topic(bag, options)
    if topic is None:
        return DevicePoses(None, (*notes, "no poses: where the device is in the world is not known"))
    return _from_topic(bag, topic.name, tree, lidar.frame_ids[0], ego, options)


def _from_file(path: AnyPath, lidar: Series, ego: str, options: OpenOptions) -> DevicePoses:
    """Return the poses of a file: by time where it has times, or else one a cloud."""
    table = read_poses_file(path, options)
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
    return DevicePoses(trajectory, (note, *table.notes, *notes), findings=table.findings)


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
    findings = unset_stamps(topic, "poses", found[0].unset, len(messages))
    note = f"the world is {world or 'nameless'}, by topic {topic}"
    return DevicePoses(trajectory, (note, *notes), topic, tuple(findings))


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
