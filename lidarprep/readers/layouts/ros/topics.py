"""Which topics of a bag are read: a lidar's by choice or because it is the only one, transforms and poses by type."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from lidarprep.errors import SceneError
from lidarprep.readers.layouts.asked_for import listed
from lidarprep.readers.layouts.options import OpenOptions
from lidarprep.readers.layouts.ros.bag import Bag
from lidarprep.readers.layouts.ros.pose_messages import ODOMETRY, POSES, TRANSFORMS
from lidarprep.readers.layouts.ros.storage import Topic
from lidarprep.scene import Stream

POINT_CLOUD = "sensor_msgs/msg/PointCloud2"


def of_kind(bag: Bag, kinds: Iterable[str]) -> list[Topic]:
    """The topics of these types that have messages which can be read."""
    return [topic for topic in bag.topics.values() if topic.kind in kinds and topic.messages and topic.wire]


def lidar_topics(bag: Bag, options: OpenOptions) -> list[Topic]:
    """The lidars' topics: those chosen, in the order chosen, or the only one that has points.

    Raises:
        SceneError: There is none, or there are several and none is chosen; a chosen one is not there, has other
            messages, or none.
    """
    clouds = of_kind(bag, (POINT_CLOUD,))
    if options.lidars:
        return [_chosen(bag, name, clouds) for name in dict.fromkeys(options.lidars)]
    if len(clouds) == 1:
        return clouds
    if clouds:
        counts = ", ".join(f"{topic.name} ({topic.messages})" for topic in clouds)
        raise SceneError(
            f"{bag.path} has several topics of points: {counts}",
            fix=f"Choose with --lidar {clouds[0].name}; given more than once, the clouds are merged.",
        )
    shown = listed([f"{topic.name} ({topic.kind}, {topic.messages})" for topic in bag.topics.values()])
    raise SceneError(f"{bag.path} has no messages of {POINT_CLOUD}; its topics are {shown}")


def _chosen(bag: Bag, name: str, clouds: list[Topic]) -> Topic:
    for topic in clouds:
        if topic.name == name:
            return topic
    fix = f"Topics with points are {listed([topic.name for topic in clouds])}."
    other = bag.topics.get(name)
    if other is None:
        raise SceneError(f"{bag.path} has no topic {name}", fix=fix)
    raise SceneError(f"{bag.path}: topic {name} has {other.messages} messages of {other.kind}", fix=fix)


def transform_topics(bag: Bag) -> tuple[list[Topic], list[Topic]]:
    """The topics of transforms that move, and of static ones, in whatever namespace."""
    found = of_kind(bag, TRANSFORMS)
    static = [topic for topic in found if PurePosixPath(topic.name).name == "tf_static"]
    return [topic for topic in found if topic not in static], static


def pose_topic(bag: Bag, options: OpenOptions) -> tuple[Topic | None, list[str]]:
    """The topic of the device's poses: the chosen one, or else the only one of odometry; and a note on several.

    Raises:
        SceneError: The chosen one is not there, or has no poses.
    """
    if options.pose_topic is not None:
        known = of_kind(bag, POSES)
        for topic in known:
            if topic.name == options.pose_topic:
                return topic, []
        raise SceneError(
            f"{bag.path} has no topic {options.pose_topic} with poses",
            fix=f"Topics with poses are {listed([topic.name for topic in known])}.",
        )
    odometry = of_kind(bag, (ODOMETRY,))
    if len(odometry) == 1:
        return odometry[0], []
    names = ", ".join(topic.name for topic in odometry)
    return None, [f"poses could come from several topics ({names}): choose with --pose-topic"] if odometry else []


def streams(bag: Bag, used: Iterable[str]) -> tuple[Stream, ...]:
    """All topics, for the scene."""
    names = set(used)
    return tuple(Stream(topic.name, topic.kind, topic.messages, topic.name in names) for topic in bag.topics.values())
