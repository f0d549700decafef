"""Which topics of a bag are read: a lidar's by choice or because it is the only one, transforms and poses by type."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.ros.bag import Bag
from lidarprep.datasets.ros.headers import FRONT_BYTES, read_headers
from lidarprep.datasets.ros.images import COMPRESSED_IMAGE, IMAGE
from lidarprep.datasets.ros.pose_messages import ODOMETRY, POSES, TRANSFORMS
from lidarprep.datasets.ros.storage import Topic
from lidarprep.datasets.selection import listed
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Stream

POINT_CLOUD = "sensor_msgs/msg/PointCloud2"

# What topics of points are called that no lidar sends itself, but what works on its points.
_DERIVED = (
    "filter", "map", "ground", "debug", "cluster", "segment", "obstacle", "object", "downsample", "voxel", "crop",
    "accumulat", "aggregat", "registered", "transformed", "merged", "concat",
)  # fmt: skip

# A topic a line; what goes beyond is counted.
_LISTED_TOPICS = 40


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
        likely = min(clouds, key=_unlikeliness)
        raise SceneError(
            f"{bag.path} has several topics of points; --lidar chooses one, or several to be merged. It has\n"
            + "\n".join(_choices(bag, clouds)),
            fix=f"Most likely is\n  lidarprep inspect {shlex.quote(str(bag.path))} --lidar {shlex.quote(likely.name)}",
        )
    shown = listed([f"{topic.name} ({topic.kind}, {topic.messages})" for topic in bag.topics.values()])
    topics = f"its topics are {shown}" if bag.topics else "it has no topics at all"
    raise SceneError(f"{bag.path} has no messages of {POINT_CLOUD}; {topics}")


def _unlikeliness(topic: Topic) -> tuple[bool, int, str]:
    """The topic of a lidar itself has the most messages, and is not named after what was made of its points."""
    return any(word in topic.name.lower() for word in _DERIVED), -topic.messages, topic.name


def _choices(bag: Bag, clouds: Sequence[Topic]) -> list[str]:
    """The topics that there are to choose from, a line each: those of points first, likeliest first."""
    kinds = (("pictures", (IMAGE, COMPRESSED_IMAGE)), ("poses", POSES), ("transforms", TRANSFORMS))
    rows = [("points", topic, _rate_and_frame(bag, topic)) for topic in sorted(clouds, key=_unlikeliness)]
    rows += [(what, topic, "") for what, kind in kinds for topic in of_kind(bag, kind)]
    width = max(len(topic.name) for _, topic, _ in rows[:_LISTED_TOPICS])
    lines = [
        f"  {what:<10}  {topic.name:<{width}}  {topic.messages} messages{more}"
        for what, topic, more in rows[:_LISTED_TOPICS]
    ]
    more = len(rows) - _LISTED_TOPICS
    return [*lines, f"  and {more} more"] if more > 0 else lines


def _rate_and_frame(bag: Bag, topic: Topic) -> str:
    """How often a topic's messages were recorded, and the frame of reference of the first."""
    messages = bag.messages(topic.name)
    seconds = int(messages.times[-1] - messages.times[0]) / 1e9
    rate = f", {(len(messages) - 1) / seconds:.1f} Hz" if seconds > 0 else ""
    first = replace(messages, times=messages.times[:1], places=messages.places[:1])
    try:
        frame = read_headers(bag.path, first, bag.fronts([(first, FRONT_BYTES)])[0]).frame_ids[0]
    except FormatError:
        return rate  # a damaged message is refused where the topic is chosen
    return f"{rate}, frame {frame}" if frame else rate


def _chosen(bag: Bag, name: str, clouds: list[Topic]) -> Topic:
    for topic in clouds:
        if topic.name == name:
            return topic
    known = listed([topic.name for topic in clouds])
    fix = f"Topics with points are {known}." if clouds else "It has no topics with points."
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
            fix=f"Topics with poses are {listed([topic.name for topic in known])}."
            if known
            else "It has no topics with poses: leave --pose-topic out, or give a file with --poses.",
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
