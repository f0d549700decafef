"""A bag as a scene: a frame for each cloud of the lidar, or of the first of the selected lidars.

Points are moved from the frame that their message names into the device's, by the tree of transforms at the message's
time. Times are those of the messages' headers. The world is the frame that `_poses` selects; REP 103 and REP 105 have
it z-up, in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lidarprep.datasets.association import match_images, poses_at
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.ros._bag import Bag, opened
from lidarprep.datasets.ros._cameras import Calibrations, CameraTopics, PosedSeries, camera_topics, image_series
from lidarprep.datasets.ros._clouds import placed_clouds, read_frame
from lidarprep.datasets.ros._messages import PREFIX_BYTES, Series, read_headers
from lidarprep.datasets.ros._poses import device_poses, ego_frame
from lidarprep.datasets.ros._topics import lidar_topics, streams, transform_topics
from lidarprep.datasets.ros._transforms import TransformTree, read_poses
from lidarprep.datasets.selection import unused_options
from lidarprep.errors import SceneError
from lidarprep.scene import CameraImage, Frame, Pose, Scene, Trajectory

USED_OPTIONS = (
    "points_frame", "poses", "lidars", "cameras", "image_tolerance", "max_pose_gap", "ego_frame", "world_frame",
    "pose_topic",
)  # fmt: skip


def open_bag(path: Path, layout: str, options: OpenOptions) -> Scene:
    """Open a bag as a scene. Of its clouds and images only the headers are read.

    Args:
        path: A .bag, .mcap or .db3 file, or the folder of a ROS 2 bag.
        layout: The layout's name.
        options: What the recording doesn't say.

    Raises:
        SceneError: There is no topic of points, or it is not clear which; transforms that are needed are missing.
        FormatError: A file is cut or damaged, or a message is malformed.
        MissingExtraError: Reading the bag needs a library that is not installed.
    """
    if options.poses is not None and options.pose_topic is not None:
        raise SceneError("poses come from a file or from a topic, not from both", fix="Leave one of them out.")
    bag = opened(path, check_files=True)
    found = _read_headers(bag, options)
    first = found.lidars[0]
    notes = [note for storage in bag.storages for note in storage.notes]
    notes += [note for series in (*found.lidars, *found.cameras.values()) for note in series.notes] + found.tree.notes
    ego, guessed = ego_frame(found.tree, first.frame_ids[0], options)
    device = device_poses(bag, found.tree, first, ego, options)
    notes += [*guessed, *device.notes]
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
            read_points=partial(read_frame, clouds[row], len(lidars) > 1, points_frame),
            world_from_ego=world_from_ego[index],
            timestamp=timestamps[index],
            images=images[index],
            sources=bag.sources,
        )
        for index, row in enumerate(kept)
    )
    used = {*found.transform_topics, *(series.name for series in found.lidars)}
    used |= {name for one in cameras for name in one.topics} | ({device.topic} if device.topic else set())
    notes += [*cloud_notes, *camera_notes, *image_notes, *unused_options(options, USED_OPTIONS)]
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
    )


@dataclass(frozen=True)
class _Headers:
    """What one pass over the bag gave.

    Args:
        lidars: The lidars' clouds, by their headers.
        cameras: The cameras' images, likewise.
        tree: The transforms.
        transform_topics: Names of the topics of transforms.
    """

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
