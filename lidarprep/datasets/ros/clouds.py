"""The points of one frame: read from one topic or several, moved into ego, and merged."""

from __future__ import annotations

from dataclasses import dataclass

from lidarprep.datasets.multi_lidar import CloudTransform as WayToFrame
from lidarprep.datasets.multi_lidar import merge
from lidarprep.datasets.ros.headers import MessageSource
from lidarprep.datasets.ros.images import read_picture
from lidarprep.datasets.ros.point_cloud2 import read_cloud
from lidarprep.scene import Lidar, PointCloud, ReferenceFrame


@dataclass(frozen=True)
class CloudSource:
    """A cloud of one lidar.

    Args:
        message: Where its points are.
        stamp: The message's time, nanoseconds.
        lidar: The lidar as it was then: its ego_from_lidar is that of the message's time. None: the points are taken
            as they are.
        way: How the points get from the message's time to the frame's.
    """

    message: MessageSource
    stamp: int
    lidar: Lidar
    way: WayToFrame

    def read(self, points_frame: ReferenceFrame) -> PointCloud:
        """The points, in the lidar's frame of reference, or in the world if they are said to be."""
        message = self.message
        _, cloud = read_cloud(message.path, message.name, message.read(), message.wire, self.stamp)
        if points_frame == "world":
            return PointCloud(cloud.positions, "world", **cloud.columns, ignored_fields=cloud.ignored_fields)
        return cloud


def read_frame(sources: tuple[CloudSource, ...], several: bool, points_frame: ReferenceFrame) -> PointCloud:
    """The points of a frame, in ego or in the world.

    Args:
        sources: One a lidar that has a message for the frame.
        several: The recording has several lidars: their indices become device ids.
        points_frame: "world" where the points are to be taken as they are.
    """
    clouds = [source.read(points_frame) for source in sources]
    if several:
        return merge(clouds, [source.lidar for source in sources], [source.way for source in sources])
    (cloud,), pose = clouds, sources[0].lidar.ego_from_lidar
    if points_frame == "world":
        return cloud
    if pose is not None:
        return cloud.moved(pose, "ego")
    return PointCloud(cloud.positions, "ego", **cloud.columns, ignored_fields=cloud.ignored_fields)


def read_image(message: MessageSource) -> bytes:
    """An encoded picture."""
    return read_picture(message.path, message.name, message.read(), message.wire, message.kind)
