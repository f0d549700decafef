"""LidarFrames by the official protobuf runtime, filled field by field as the public reference says."""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from lidarprep.attachments import lidar_frame_pb2 as pb
from lidarprep.scene import Frame, PointCloud, Pose


def official_bytes(frame: Frame) -> bytes:
    """What the official class serialises for the frame's values."""
    message = pb.LidarFrame()
    assert frame.world_from_ego is not None
    fill_pose(message.device_position, message.device_heading, frame.world_from_ego)
    if frame.gps is not None:
        gps = message.device_gps_pose
        gps.lat, gps.long, gps.bearing = frame.gps.latitude, frame.gps.longitude, frame.gps.bearing
    cloud = frame.points()
    for row in range(len(cloud)):
        point = message.points.add()
        fill_vector(point, cloud.positions[row])
        if cloud.intensity is not None:
            point.i = cloud.intensity[row]
        if cloud.device is not None:
            point.d = int(cloud.device[row])
        if cloud.timestamp is not None:
            point.t = float(cloud.timestamp[row])
        if cloud.is_ground is not None:
            point.is_ground = bool(cloud.is_ground[row])
    radar = frame.radar()
    for row in range(0 if radar is None else len(radar)):
        assert radar is not None
        echo = message.radar_points.add()
        fill_vector(echo.position, radar.positions[row])
        if radar.directions is not None:
            fill_vector(echo.direction, radar.directions[row])
        if radar.sizes is not None:
            echo.size = radar.sizes[row]
    for image in frame.images:
        described = message.images.add(image_url=image.url, camera_index=image.camera.index)
        assert image.world_from_camera is not None
        fill_pose(described.position, described.heading, image.world_from_camera)
        if image.timestamp is not None:
            described.timestamp = image.timestamp
        if image.scale_factor != 1:
            described.scale_factor = image.scale_factor
        if image.priority is not None:
            described.priority = image.priority
        known = image.camera.intrinsics
        intrinsics = getattr(described, known.model)
        intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy = known.fx, known.fy, known.cx, known.cy
        if known.skew:
            intrinsics.skew = known.skew
        for name, value in known.distortion.nonzero().items():
            setattr(intrinsics, name, value)
    if frame.timestamp is not None:
        message.timestamp = frame.timestamp
    serialised: bytes = message.SerializeToString()
    return serialised


def fill_vector(vector: Any, values: NDArray[np.floating]) -> None:
    vector.x, vector.y, vector.z = values.tolist()


def fill_pose(position: Any, heading: Any, pose: Pose) -> None:
    fill_vector(position, pose.translation)
    heading.w, heading.x, heading.y, heading.z = pose.quaternion.tolist()


def parsed(data: bytes) -> Any | None:
    """The official message; None where its parser refuses, or a required field is missing.

    The Python runtime parses a message that lacks required fields, and leaves the check to IsInitialized: a reader
    that goes by the schema has to ask.
    """
    message = pb.LidarFrame()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return None
    return message if message.IsInitialized() else None


def points_of(message: Any) -> dict[str, NDArray[Any]]:
    """The columns of a message's points, as the official class gives them; those that no point has are left out."""
    points = message.points
    columns = {"xyz": np.array([(p.x, p.y, p.z) for p in points], np.float32).reshape(-1, 3)}
    for name, dtype in (("i", np.float32), ("d", np.uint32), ("t", np.float64), ("is_ground", np.bool_)):
        if any(p.HasField(name) for p in points):
            columns[name] = np.array([getattr(p, name) for p in points], dtype)
    return columns


def assert_as_the_official_class_reads(cloud: PointCloud, message: Any) -> None:
    expected = points_of(message)
    assert np.array_equal(cloud.positions, expected.pop("xyz"), equal_nan=True)
    found = {"i": cloud.intensity, "d": cloud.device, "t": cloud.timestamp, "is_ground": cloud.is_ground}
    assert {name for name, values in found.items() if values is not None} == set(expected)
    for name, values in expected.items():
        column = found[name]
        assert column is not None
        if name == "t":
            values = np.rint(values).astype(np.int64)
        assert np.array_equal(column, values, equal_nan=name == "i"), name
