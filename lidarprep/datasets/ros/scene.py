"""A bag as a scene: a frame for each cloud of the lidar, or of the first of the lidars that are chosen.

Points are moved from the frame that their message names into the device's, by the tree of transforms at the message's
time. Times are those of the messages' headers. The world is the frame that poses.py finds; REP 103 and REP 105 have it
z-up, in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from lidarprep.datasets.association import match_images as match_pictures
from lidarprep.datasets.association import poses_at
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.pose_files import read_poses as read_poses_file
from lidarprep.datasets.ros import pictures, poses, topics
from lidarprep.datasets.ros.bag import Bag, Messages, opened
from lidarprep.datasets.ros.clouds import read_frame
from lidarprep.datasets.ros.headers import FRONT_BYTES, Series, read_headers
from lidarprep.datasets.ros.lidars import placed_clouds
from lidarprep.datasets.ros.pictures import PosedSeries
from lidarprep.datasets.ros.pose_messages import Transforms, read_poses
from lidarprep.datasets.ros.storage import Topic
from lidarprep.datasets.ros.transforms import TransformTree
from lidarprep.datasets.selection import unused_options
from lidarprep.errors import SceneError
from lidarprep.scene import CameraImage, Frame, Pose, Scene, Trajectory

USED_OPTIONS = (
    "points_frame", "poses", "lidars", "cameras", "image_tolerance", "max_pose_gap", "ego_frame", "world_frame",
    "pose_topic",
)  # fmt: skip


def open_bag(path: Path, layout: str, options: OpenOptions) -> Scene:
    """A bag as a scene. Of its clouds and pictures only the headers are read.

    Args:
        path: A .bag, .mcap or .db3 file, or the folder of a ROS 2 bag.
        layout: The layout's name.
        options: What the recording doesn't say.

    Raises:
        SceneError: There is no topic of points, or it is not clear which; transforms that are needed are missing.
        FormatError: A file is cut or damaged, or a message is not what it should be.
        MissingExtraError: Reading the bag needs a library that is not installed.
    """
    if options.poses is not None and options.pose_topic is not None:
        raise SceneError("poses come from a file or from a topic, not from both", fix="Leave one of them out.")
    bag = opened(path)
    found = _read_headers(bag, options)
    notes = [note for series in (*found.lidars, *found.cameras) for note in series.notes] + found.tree.notes
    ego, guessed = poses.ego_frame(found.tree, found.lidars[0].frame_ids[0], options)
    device = _device_path(bag, found, ego, options)
    notes += [*guessed, *device.notes]
    lidars, clouds, cloud_notes = placed_clouds(bag.path, found.lidars, found.tree, ego, device.trajectory, options)
    cameras, camera_notes = _cameras(bag, found, ego)
    kept = [row for row, sources in enumerate(clouds) if sources]
    timestamps = [int(found.lidars[0].timestamps[row]) for row in kept]
    world_from_ego: list[Pose | None] = [None] * len(kept)
    if device.trajectory is not None:
        world_from_ego, pose_notes = poses_at(timestamps, device.trajectory, options)
        notes += pose_notes
    images, image_notes = match_pictures(timestamps, [one.pictures for one in cameras], device.trajectory, options)
    images = _with_moving_cameras(images, cameras, device.trajectory)
    points_frame = options.points_frame or "ego"
    names = _frame_names(timestamps)
    frames = tuple(
        Frame(
            id=names[index],
            index=index,
            read_points=partial(read_frame, clouds[row], len(lidars) > 1, points_frame),
            world_from_ego=world_from_ego[index],
            timestamp=timestamps[index],
            images=images[index],
        )
        for index, row in enumerate(kept)
    )
    used = {*found.used, *(name for one in cameras for name in one.topics)}
    if device.topic is not None:
        used.add(device.topic)
    notes += [*cloud_notes, *camera_notes, *image_notes, *unused_options(options, USED_OPTIONS)]
    return Scene(
        str(path),
        layout,
        frames,
        tuple(one.pictures.camera for one in cameras),
        points_frame,
        tuple(notes),
        lidars,
        device.trajectory,
        topics.streams(bag, used),
    )


@dataclass(frozen=True)
class _Headers:
    """What one way through the bag gave.

    Args:
        lidars: The lidars' clouds, by their headers.
        cameras: The cameras' pictures, likewise, in the order of `camera_topics`.
        camera_topics: The cameras.
        tree: The transforms.
        used: Names of the topics of clouds and transforms.
    """

    lidars: tuple[Series, ...]
    cameras: tuple[Series, ...]
    camera_topics: tuple[pictures.CameraTopics, ...]
    tree: TransformTree
    used: tuple[str, ...]


def _read_headers(bag: Bag, options: OpenOptions) -> _Headers:
    """Headers of clouds and pictures, and all transforms, in one way through the files."""
    lidars = topics.lidar_topics(bag, options)
    cameras = pictures.camera_topics(bag, options)
    moving, static = topics.transform_topics(bag)
    headed = [bag.messages(topic.name) for topic in (*lidars, *(camera.topic for camera in cameras))]
    whole = [bag.messages(topic.name) for topic in (*moving, *static)]
    wanted: list[tuple[Messages, int | None]] = [(messages, FRONT_BYTES) for messages in headed]
    fronts = bag.fronts([*wanted, *((messages, None) for messages in whole)])
    series = [
        read_headers(bag.path, messages, front) for messages, front in zip(headed, fronts[: len(headed)], strict=True)
    ]
    transforms = [
        read_poses(bag.path, messages, raws) for messages, raws in zip(whole, fronts[len(headed) :], strict=True)
    ]
    tree = TransformTree(
        bag.path,
        [one for topic in transforms[: len(moving)] for one in topic],
        [one for topic in transforms[len(moving) :] for one in topic],
    )
    used = tuple(topic.name for topic in (*lidars, *moving, *static))
    return _Headers(tuple(series[: len(lidars)]), tuple(series[len(lidars) :]), tuple(cameras), tree, used)


def _device_path(bag: Bag, found: _Headers, ego: str, options: OpenOptions) -> poses.DevicePath:
    """The device's way, from the first place that has one."""
    lidar = found.lidars[0]
    if options.poses is not None:
        return _path_of_file(options.poses, lidar, ego)
    if options.pose_topic is None:
        in_tree = poses.path_in_tree(found.tree, ego, options)
        if in_tree is not None:
            return in_tree
    topic, notes = topics.pose_topic(bag, options)
    if topic is None:
        return poses.DevicePath(ego, None, (*notes, "no poses: where the device is in the world is not known"))
    transforms = _all_poses(bag, topic)
    return poses.path_of_topic(found.tree, topic.name, transforms, ego, lidar.frame_ids[0], options)


def _all_poses(bag: Bag, topic: Topic) -> list[Transforms]:
    messages = bag.messages(topic.name)
    return read_poses(bag.path, messages, bag.fronts([(messages, None)])[0])


def _path_of_file(path: Path, lidar: Series, ego: str) -> poses.DevicePath:
    """By time, where the file has times; or else one a cloud."""
    table = read_poses_file(path)
    if table.timestamps is not None:
        trajectory, notes = table.trajectory()
    else:
        if len(table) != len(lidar):
            raise SceneError(
                f"{path} has {len(table)} poses without times, for {len(lidar)} clouds of {lidar.name}",
                fix="Give one pose a cloud, or give them times.",
            )
        times, rows = np.unique(lidar.timestamps, return_index=True)
        trajectory = Trajectory(times, table.quaternions[rows], table.translations[rows])
        notes = []
    device = poses.path_of_file(trajectory, ego, path, table.kind)
    return replace(device, notes=(*device.notes, *table.notes, *notes))


def _cameras(bag: Bag, found: _Headers, ego: str) -> tuple[list[PosedSeries], list[str]]:
    """The cameras that can be used, and why others cannot."""
    if not found.camera_topics:
        return [], []
    calibrations = pictures.Calibrations(bag)
    cameras: list[PosedSeries] = []
    notes = []
    for camera, series in zip(found.camera_topics, found.cameras, strict=True):
        made = pictures.picture_series(bag.path, camera, series, calibrations, found.tree, ego)
        if isinstance(made, str):
            notes.append(made)
            continue
        cameras.append(made)
        notes += made.notes
    return cameras, notes


def _with_moving_cameras(
    images: Sequence[tuple[CameraImage, ...]], cameras: Sequence[PosedSeries], trajectory: Trajectory | None
) -> list[tuple[CameraImage, ...]]:
    """The pictures of cameras that move on the device, posed where they were; left out where that is not known."""
    moving = {one.pictures.camera.name: one.ego_from_camera for one in cameras if one.ego_from_camera is not None}
    if not moving or trajectory is None:
        return list(images)

    def posed(image: CameraImage) -> CameraImage | None:
        ego_from_camera = moving.get(image.camera.name)
        if ego_from_camera is None or image.timestamp is None:
            return image
        device, camera = trajectory.at(image.timestamp), ego_from_camera.at(image.timestamp)
        return None if device is None or camera is None else replace(image, world_from_camera=device @ camera)

    return [tuple(found for image in frame if (found := posed(image)) is not None) for frame in images]


def _frame_names(timestamps: Sequence[int]) -> list[str]:
    """The frames' times, or their numbers where times are not unique."""
    unique = len(set(timestamps)) == len(timestamps)
    return [str(time) if unique else f"{row:06d}" for row, time in enumerate(timestamps)]
