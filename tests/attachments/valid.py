"""One small frame that has everything, for tests that take it apart."""

from __future__ import annotations

import numpy as np

from lidarprep.scene import Distortion, GpsPose, Intrinsics, Pose, RadarPoints
from tests.attachments.frames import camera_image, world_frame

SMALL_FRAME = world_frame(
    [[1.0, -2.5, 3.25], [1e-7, 123456.789, 0.1]],
    intensity=np.array([0.25, 1.0], np.float32),
    device=np.array([0, 300], np.uint32),
    timestamp=np.array([1_700_000_000 * 10**9, 256]),
    is_ground=np.array([True, False]),
    taken=1_700_000_000 * 10**9,
    world_from_ego=Pose.from_euler(0.1, 0.2, 0.3, (4, 5, 6)),
    gps=GpsPose(52.5, 13.25, 90.0),
    images=(
        camera_image(Intrinsics(900.0, 901.0, 640.0, 360.0, distortion=Distortion(k1=0.125, p2=0.5)), timestamp=5),
        camera_image(
            Intrinsics(300.0, 301.0, 320.0, 240.0, model="fisheye", distortion=Distortion(k4=0.125)), priority=2
        ),
    ),
    radar=RadarPoints(np.array([[1.0, 2, 3]]), np.array([[0.0, 1, 0]]), np.array([0.5]), frame="world"),
)
