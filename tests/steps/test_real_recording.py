"""The real recording through the steps: as plain NumPy and SciPy have it, ready to be written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from plyfile import PlyData
from scipy.spatial.transform import Rotation

import lidarprep as lp
from lidarprep.attachments import frame_json, lidar_frame, lidar_frame_pb2
from lidarprep.scene import Frame, RegionOfInterest3D
from lidarprep.steps import StepReport
from lidarprep.steps.intensity import NormaliseIntensity, guess_intensity_scale
from lidarprep.steps.world import HeightBand, ToWorld

REGION = RegionOfInterest3D((5.0, 12.0, 0.0), length=60.0, width=45.0, rotation=0.4)
BAND = HeightBand(device_height=1.9, lowest=-0.5, highest=4.0)
OFFSETS = [(0.0, 0.0, 0.0), (100.0, -200.0, 0.0)]


def read_pose(path: Path) -> tuple[Rotation, NDArray[np.float64]]:
    pose = json.loads(path.read_text())
    return Rotation.from_quat(pose["heading"], scalar_first=True), np.array(pose["position"])


def read_points(path: Path) -> tuple[NDArray[np.float32], NDArray[Any]]:
    rows = PlyData.read(path)["vertex"].data
    intensity = next(rows[name] for name in ("intensity", "i") if name in rows.dtype.names)
    return np.column_stack((rows["x"], rows["y"], rows["z"])), intensity


@pytest.mark.parametrize("number", [1, 5])
@pytest.mark.parametrize("offset", OFFSETS)
def test_counts_and_world_coordinates_are_those_of_plain_numpy(
    recording: Path, number: int, offset: tuple[float, float, float]
) -> None:
    scene = lp.open_scene(recording)
    source = scene[number - 1]
    report = StepReport()
    frame = ToWorld(REGION, BAND, offset)(source, report)

    ego, intensity = read_points(recording / f"pointcloud/{number}.ply")
    rotation, position = read_pose(recording / f"poses/{number}.json")
    world = rotation.apply(ego.astype(np.float64)) + position
    finite = np.isfinite(ego).all(axis=1)
    own = Rotation.from_euler("z", -REGION.rotation).apply(world - REGION.position)
    in_region = (np.abs(own[:, 0]) <= 30) & (np.abs(own[:, 1]) <= 22.5)
    height = ego[:, 2].astype(np.float64) + 1.9
    in_band = (height >= -0.5) & (height <= 4)
    keep = finite & in_region & in_band

    assert report.points_in == len(ego)
    assert report.dropped == {
        "not_finite": int((~finite).sum()),
        "region": int((finite & ~in_region).sum()),
        "height": int((finite & in_region & ~in_band).sum()),
        "no_return": 0,
    }
    assert 10_000 < keep.sum() < len(ego)
    expected = world[keep] - offset
    found = frame.points()
    assert found.positions.dtype == np.float32
    # Rounded to float32 once: at most half a unit in the last place, and what SciPy's own rounding adds.
    assert (np.abs(found.positions - expected) <= np.spacing(np.abs(expected).astype(np.float32)) * 0.500001).all()
    assert found.intensity is not None
    assert np.array_equal(found.intensity, intensity[keep])
    assert_attachments_hold(frame, intensity[keep], found.positions)


def assert_attachments_hold(frame: Frame, intensity: NDArray[Any], world: NDArray[np.float32]) -> None:
    """What JSON and protobuf say of the frame, as the standard json module and the decoder read it."""
    scale, _ = guess_intensity_scale([frame.points()])
    images = tuple(replace(image, url=f"s3://b/{n}.jpg") for n, image in enumerate(frame.images))
    ready = replace(NormaliseIntensity(scale)(frame, StepReport()), images=images)
    text = frame_json.encode(ready)
    points = json.loads(text)["points"]
    found = np.array([(p["x"], p["y"], p["z"]) for p in points]).astype(np.float32)
    assert np.array_equal(found.view(np.uint32), world.view(np.uint32))
    np.testing.assert_allclose([p["i"] for p in points], intensity / scale, rtol=1e-6)
    assert len(json.loads(text)["images"]) == 3
    data = lidar_frame.encode(ready)
    assert np.array_equal(lidar_frame.decode(data).points().positions, world)
    assert lidar_frame_pb2.LidarFrame.FromString(data).SerializeToString() == data


@pytest.mark.parametrize("offset", OFFSETS)
def test_radar_and_cameras_are_carried_along(recording: Path, offset: tuple[float, float, float]) -> None:
    number = 3
    frame = ToWorld(REGION, BAND, offset)(lp.open_scene(recording)[number - 1], StepReport())
    rotation, position = read_pose(recording / f"poses/{number}.json")

    radar = frame.radar()
    assert radar is not None
    rows = np.loadtxt(recording / f"radar_points/{number}.txt", delimiter=",", ndmin=2)
    np.testing.assert_allclose(radar.positions, rotation.apply(rows[:, :3]) + position - offset, atol=1e-9)
    assert radar.directions is not None
    np.testing.assert_allclose(radar.directions, rotation.apply(rows[:, 3:6]), atol=1e-9)
    assert radar.sizes is not None
    np.testing.assert_allclose(radar.sizes, rows[:, 6])

    assert frame.world_from_ego is not None
    np.testing.assert_allclose(frame.world_from_ego.translation, position - offset, atol=1e-9)
    np.testing.assert_allclose(frame.world_from_ego.rotation, rotation.as_matrix(), atol=1e-9)
    assert [image.camera.name for image in frame.images] == ["back_camera", "front_camera", "front_left_camera"]
    for image in frame.images:
        on_device, place = read_pose(recording / "cameras" / image.camera.name / "extrinsics.json")
        assert image.world_from_camera is not None
        np.testing.assert_allclose(image.world_from_camera.rotation, (rotation * on_device).as_matrix(), atol=1e-9)
        np.testing.assert_allclose(
            image.world_from_camera.translation, rotation.apply(place) + position - offset, atol=1e-9
        )
