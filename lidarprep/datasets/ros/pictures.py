"""Cameras of a bag: topics of pictures, each with the CameraInfo that belongs to it.

A camera is a namespace with pictures in it: /front/image_raw/compressed and /front/camera_info are the camera "front",
and /stereo/left/image_raw is "stereo_left". Of several topics of pictures in one namespace the one as the sensor sends
it is taken before a rectified one, and the compressed before the raw one. Cameras are numbered by the order of their
names, those that are not asked for or cannot be used included: a camera's number does not hang on the choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lidarprep.datasets.association import ImageSeries as PictureSeries
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.ros.bag import Bag
from lidarprep.datasets.ros.camera_info import CameraInfo, read_camera_info
from lidarprep.datasets.ros.clouds import read_image
from lidarprep.datasets.ros.headers import Series, message_source, place_of
from lidarprep.datasets.ros.images import COMPRESSED_IMAGE, IMAGE, unreadable
from lidarprep.datasets.ros.storage import Topic
from lidarprep.datasets.ros.topics import of_kind
from lidarprep.datasets.ros.transforms import TransformTree
from lidarprep.datasets.selection import listed
from lidarprep.errors import SceneError
from lidarprep.scene import Camera, CameraImage, Trajectory

CAMERA_INFO = "sensor_msgs/msg/CameraInfo"

_TRANSPORTS = ("compressed", "compressedDepth", "theora", "ffmpeg")


@dataclass(frozen=True)
class CameraTopics:
    """A camera, by its topics.

    Args:
        name: The camera's name.
        index: Its number among all the cameras of the bag, whichever are asked for.
        topic: Its pictures' topic.
        rectified: Whether they are rectified.
        others: Further topics of pictures in its namespace.
    """

    name: str
    index: int
    topic: Topic
    rectified: bool
    others: tuple[str, ...]


def camera_topics(bag: Bag, options: OpenOptions) -> list[CameraTopics]:
    """The cameras by the topics of the bag, in the order of their names; those that are asked for."""
    found: dict[str, list[Topic]] = {}
    for topic in of_kind(bag, (IMAGE, COMPRESSED_IMAGE)):
        found.setdefault(_camera_name(topic.name), []).append(topic)
    cameras = []
    for index, (name, topics) in enumerate(sorted(found.items())):
        if options.cameras and name not in options.cameras:
            continue
        best, *others = sorted(topics, key=_rank)
        further = tuple(topic.name for topic in others)
        cameras.append(CameraTopics(name, index, best, _is_rectified(best.name), further))
    return cameras


def _parts(topic: str) -> list[str]:
    """The names along a topic, without the transport that compressed pictures have behind theirs."""
    parts = [part for part in topic.split("/") if part]
    return parts[:-1] if len(parts) > 1 and parts[-1] in _TRANSPORTS else parts


def _camera_name(topic: str) -> str:
    parts = _parts(topic)
    return "_".join(parts[:-1] or parts)


def _is_rectified(topic: str) -> bool:
    return "rect" in _parts(topic)[-1]


def _rank(topic: Topic) -> tuple[bool, bool, bool, str]:
    last = _parts(topic.name)[-1]
    depth = "depth" in topic.name.lower()
    return depth, _is_rectified(topic.name), topic.kind != COMPRESSED_IMAGE, last + topic.name


class Calibrations:
    """The CameraInfo topics of a bag, each by its first message."""

    def __init__(self, bag: Bag) -> None:
        self.found: dict[str, CameraInfo] = {}
        for topic in of_kind(bag, (CAMERA_INFO,)):
            messages = bag.messages(topic.name)
            data = bag.read(messages.place(0))
            self.found[topic.name] = read_camera_info(bag.path, place_of(messages, 0), data, messages.wire)

    def belonging_to(self, topic: str, frame_id: str) -> tuple[str, CameraInfo] | None:
        """The one in the namespace of a topic of pictures, or else the first of its frame."""
        parts = _parts(topic)
        for length in (len(parts) - 1, len(parts)):
            name = "/" * topic.startswith("/") + "/".join([*parts[:length], "camera_info"])
            if name in self.found:
                return name, self.found[name]
        return next(((name, info) for name, info in self.found.items() if frame_id and info.frame_id == frame_id), None)


@dataclass(frozen=True)
class PosedSeries:
    """The pictures of a camera, and how the camera moves on the device, if it does.

    Args:
        pictures: The pictures.
        ego_from_camera: Over time, where the camera moves; else None.
        topics: The topics that were read for it.
        notes: What was odd.
    """

    pictures: PictureSeries
    ego_from_camera: Trajectory | None
    topics: tuple[str, ...]
    notes: tuple[str, ...] = ()


def picture_series(
    path: Path,
    camera: CameraTopics,
    series: Series,
    calibrations: Calibrations,
    tree: TransformTree,
    ego: str,
) -> PosedSeries | str:
    """A camera's pictures, or why there are none that can be used."""
    messages = series.messages
    encoding = unreadable(path, place_of(messages, 0), series.fronts[0], messages.wire, messages.topic.kind)
    if encoding is not None:
        return f"camera {camera.name} is left out: {series.name} has {encoding or 'no'} encoding"
    found = calibrations.belonging_to(series.name, series.frame_ids[0])
    if found is None:
        return f"camera {camera.name} is left out: no CameraInfo belongs to {series.name}"
    info_topic, info = found
    intrinsics = info.rectified if camera.rectified else info.raw
    if isinstance(intrinsics, SceneError):
        return f"camera {camera.name} is left out: {info_topic}: {intrinsics.message}"
    frame_id = series.frame_ids[0] or info.frame_id
    if not (frame_id == ego or tree.connected(ego, frame_id)):
        return f"camera {camera.name} is left out: no transform leads from {frame_id or 'its nameless frame'} to {ego}"
    ego_from_camera = tree.between(ego, frame_id)
    pose, way = (None, ego_from_camera) if isinstance(ego_from_camera, Trajectory) else (ego_from_camera, None)
    made = Camera(camera.name, camera.index, intrinsics, pose)
    pictures = PictureSeries(made, series.timestamps.tolist(), partial(_picture, path, made, series))
    notes = []
    if camera.others:
        notes.append(f"camera {camera.name}: {series.name} is read, and not {listed(camera.others)}")
    if camera.rectified and info.shifted:
        notes.append(
            f"camera {camera.name}: P of {info_topic} moves it against the first camera of its pair; it is taken to be "
            f"where the frame {frame_id} is"
        )
    return PosedSeries(pictures, way, (series.name, info_topic), tuple(notes))


def _picture(path: Path, camera: Camera, series: Series, row: int) -> CameraImage:
    return CameraImage(camera, content=partial(read_image, message_source(path, series, row)))
