"""Which topics of a bag are read: a lidar's by choice or because it is the only one, transforms and poses by type."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.ros._bag import Bag
from lidarprep.datasets.ros._messages import PREFIX_BYTES, read_headers
from lidarprep.datasets.ros._storage import Topic
from lidarprep.datasets.selection import listed
from lidarprep.datasets.undecoded import undecoded_messages
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Finding, Severity, Stream, Subject

POINT_CLOUD = "sensor_msgs/msg/PointCloud2"
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TRANSFORMS = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
ODOMETRY = "nav_msgs/msg/Odometry"
STAMPED_TRANSFORM = "geometry_msgs/msg/TransformStamped"
POSES = (
    ODOMETRY, "geometry_msgs/msg/PoseStamped", "geometry_msgs/msg/PoseWithCovarianceStamped", STAMPED_TRANSFORM,
)  # fmt: skip

# Parts of the names of topics whose points were derived from a lidar's.
_DERIVED = (
    "filter", "map", "ground", "debug", "cluster", "segment", "obstacle", "object", "downsample", "voxel", "crop",
    "accumulat", "aggregat", "registered", "transformed", "merged", "concat",
)  # fmt: skip

# Other types of clouds and of images, which are not read, and what makes of them what is read; see also undecoded.
_OTHER_CLOUDS = {
    "sensor_msgs/msg/PointCloud": "point_cloud_converter",
    "sensor_msgs/msg/LaserScan": "laser_geometry",
    "point_cloud_interfaces/msg/CompressedPointCloud2": "point_cloud_transport's republish",
}
_OTHER_IMAGES = {
    "theora_image_transport/msg/Packet": "image_transport's republish",
    "ffmpeg_image_transport_msgs/msg/FFMPEGPacket": "ffmpeg_image_transport's decoder",
    "foxglove_msgs/msg/CompressedVideo": "a decoder of its video",
    "foxglove_msgs/msg/CompressedImage": "a node that publishes it as sensor_msgs/CompressedImage",
    "foxglove_msgs/msg/RawImage": "a node that publishes it as sensor_msgs/Image",
}
# A scan of one plane is no lidar of a scene: nobody misses it.
_SELDOM_MISSED = ("sensor_msgs/msg/LaserScan",)

# A topic a line; further ones are counted.
_LISTED_TOPICS = 40


def lidar_topics(bag: Bag, options: OpenOptions) -> list[Topic]:
    """Return the lidars' topics: those selected, in that order, or the only one that has points.

    Raises:
        SceneError: There is none, or there are several and none is selected; a selected one is not there, has other
            messages, or none.
    """
    clouds = bag.of_kind(POINT_CLOUD)
    if options.lidars:
        return [_selected(bag, name, clouds) for name in dict.fromkeys(options.lidars)]
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
    raise SceneError(f"{bag.path} has no messages of {POINT_CLOUD}; {topics}", fix=_cures(bag))


def _cures(bag: Bag) -> str | None:
    """Say how the points of messages that are not decoded become PointCloud2."""
    found = undecoded_messages(topic.kind for topic in bag.topics.values())
    return "\n".join(f"{kind}: {what}. {cure}" for kind, (what, cure) in found.items()) or None


def _unlikeliness(topic: Topic) -> tuple[bool, int, str]:
    """Return a key to sort by: a lidar's own topic has the most messages and no name of derived points."""
    return any(word in topic.name.lower() for word in _DERIVED), -topic.messages, topic.name


def _choices(bag: Bag, clouds: Sequence[Topic]) -> list[str]:
    """Return the topics to choose from, a line each: those of points first, the most likely one at the top."""
    kinds = (("images", (IMAGE, COMPRESSED_IMAGE)), ("poses", POSES), ("transforms", TRANSFORMS))
    rows = [("points", topic, _rate_and_frame(bag, topic)) for topic in sorted(clouds, key=_unlikeliness)]
    rows += [(what, topic, "") for what, kind in kinds for topic in bag.of_kind(*kind)]
    width = max(len(topic.name) for _, topic, _ in rows[:_LISTED_TOPICS])
    lines = [
        f"  {what:<10}  {topic.name:<{width}}  {topic.messages} messages{more}"
        for what, topic, more in rows[:_LISTED_TOPICS]
    ]
    more = len(rows) - _LISTED_TOPICS
    return [*lines, f"  and {more} more"] if more > 0 else lines


def _rate_and_frame(bag: Bag, topic: Topic) -> str:
    """Return how often a topic's messages were recorded, and the frame of reference of the first."""
    messages = bag.messages(topic.name)
    seconds = int(messages.times[-1] - messages.times[0]) / 1e9
    rate = f", {(len(messages) - 1) / seconds:.1f} Hz" if seconds > 0 else ""
    first = messages.first()
    try:
        frame = read_headers(bag.path, first, bag.prefixes([(first, PREFIX_BYTES)])[0]).frame_ids[0]
    except FormatError:
        return rate  # a damaged message is refused when the topic is selected
    return f"{rate}, frame {frame}" if frame else rate


def _selected(bag: Bag, name: str, clouds: list[Topic]) -> Topic:
    for topic in clouds:
        if topic.name == name:
            return topic
    known = listed([topic.name for topic in clouds])
    fix = f"Topics with points are {known}." if clouds else "It has no topics with points."
    other = bag.topics.get(name)
    if other is None:
        raise SceneError(f"{bag.path} has no topic {name}", fix=fix)
    cure = undecoded_messages([other.kind]).get(other.kind)
    fix = fix if cure is None else f"They are {cure.what}. {cure.cure}"
    raise SceneError(f"{bag.path}: topic {name} has {other.messages} messages of {other.kind}", fix=fix)


def transform_topics(bag: Bag) -> tuple[list[Topic], list[Topic]]:
    """Return the topics of transforms that move, and of static ones, in any namespace."""
    found = bag.of_kind(*TRANSFORMS)
    static = [topic for topic in found if PurePosixPath(topic.name).name == "tf_static"]
    return [topic for topic in found if topic not in static], static


def pose_topic(bag: Bag, options: OpenOptions) -> tuple[Topic | None, list[str]]:
    """Return the topic of the device's poses: the selected one, or the only one of odometry; and a note on several.

    Raises:
        SceneError: The selected one is not there, or has no poses.
    """
    if options.pose_topic is not None:
        known = bag.of_kind(*POSES)
        for topic in known:
            if topic.name == options.pose_topic:
                return topic, []
        raise SceneError(
            f"{bag.path} has no topic {options.pose_topic} with poses",
            fix=f"Topics with poses are {listed([topic.name for topic in known])}."
            if known
            else "It has no topics with poses: leave --pose-topic out, or give a file with --poses.",
        )
    odometry = bag.of_kind(ODOMETRY)
    if len(odometry) == 1:
        return odometry[0], []
    names = ", ".join(topic.name for topic in odometry)
    return None, [f"poses could come from several topics ({names}): choose with --pose-topic"] if odometry else []


def streams(bag: Bag, used: Iterable[str]) -> tuple[Stream, ...]:
    """Return all topics, for the scene."""
    names = set(used)
    return tuple(Stream(topic.name, topic.kind, topic.messages, topic.name in names) for topic in bag.topics.values())


def unread_topics(bag: Bag, *, has_cameras: bool) -> list[Finding]:
    """Find topics of clouds and images that cannot be read, each with the reason.

    Args:
        bag: The bag; points of it are read.
        has_cameras: Whether there is a topic of images that can be read.
    """
    findings = []
    for topic in bag.topics.values():
        undecoded = undecoded_messages([topic.kind]).get(topic.kind)
        cloud = undecoded is not None or topic.kind in _OTHER_CLOUDS or POINT_CLOUD in topic.kind.split(" and ")
        image = topic.kind in _OTHER_IMAGES or bool({IMAGE, COMPRESSED_IMAGE} & {*topic.kind.split(" and ")})
        if not (cloud or image) or topic.kind in _SELDOM_MISSED:
            continue
        converter = (_OTHER_CLOUDS | _OTHER_IMAGES).get(topic.kind)
        if not topic.messages:
            why, cure = "it has no messages", "see whether its driver ran; or nothing, if it was not to be recorded"
        elif undecoded is not None:
            why, cure = f"its {topic.messages} messages are {undecoded.what}", f"where it is wanted: {undecoded.cure}"
        elif converter is not None:
            why = f"its {topic.messages} messages are of {topic.kind}, which is not read"
            cure = f"where it is wanted, convert it first, with {converter}"
        elif topic.wire is None:
            why = f"its {topic.messages} messages are of {topic.kind} in a form that is not known"
            cure = "record it as one type, serialised as CDR or by ROS 1"
        else:
            continue
        severity: Severity = "warning" if image and topic.messages and not has_cameras else "note"
        message = f"topic {topic.name} is not read: {why}"
        findings.append(Finding("topic-not-read", message, cure, severity, Subject("topic", topic.name)))
    return findings
