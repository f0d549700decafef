"""Frames, to a scene and back: the same for all combinations of optional columns, empty and one-point frames."""

from __future__ import annotations

import numpy as np
import scale_json_binary
from hypothesis import given
from numpy.typing import NDArray

from lidarprep.scene import Frame, PointCloud, Pose
from tests.attachments.frames import encode_scene
from tests.attachments.sensor_fusion_scene.rules import broken_rules
from tests.attachments.sensor_fusion_scene.scenes import decoded, scenes


def in_device_order(points: PointCloud) -> PointCloud:
    """Sensors become one cloud one after the other."""
    return points if points.device is None else points.take(np.argsort(points.device, kind="stable"))


def same_numbers(found: NDArray, expected: NDArray) -> bool:  # type: ignore[type-arg]
    return found.dtype == expected.dtype and np.array_equal(found, expected)


def assert_same_points(found: PointCloud, expected: PointCloud, mixed: bool) -> None:
    assert found.frame == "world"
    assert same_numbers(np.sort(found.positions, axis=0), np.sort(expected.positions, axis=0))
    if not len(expected):
        assert set(found.columns) <= {"intensity", "colour"}
        return
    wanted = in_device_order(expected)
    assert np.array_equal(found.positions, wanted.positions)
    for name in ("intensity", "timestamp", "colour"):
        column, other = getattr(found, name), getattr(wanted, name)
        assert (column is None) == (other is None), name
        assert column is None or same_numbers(column, other), name
    if not mixed:  # points without device, in a scene where others have one, are given one
        assert (found.device is None) == (wanted.device is None)
        assert found.device is None or same_numbers(found.device, wanted.device)


def assert_same_pose(found: Pose | None, expected: Pose | None) -> None:
    assert found is not None
    assert expected is not None
    assert np.array_equal(found.translation, expected.translation)
    np.testing.assert_allclose(found.rotation, expected.rotation, atol=1e-12)


@given(scenes())
def test_a_scene_that_is_read_is_the_one_that_was_written(frames: list[Frame]) -> None:
    data = encode_scene(frames)
    assert broken_rules(scale_json_binary.loads(data)) == []
    found = decoded(data)
    with_device = {frame.points().device is not None for frame in frames if len(frame.points())}
    devices = {str(device) for frame in frames for device in frame.points().columns.get("device", ())}
    assert len(found) == len(frames)
    for read, written in zip(found, frames, strict=True):
        assert_same_points(read.points(), written.points(), mixed=len(with_device) > 1)
        assert (read.index, read.timestamp) == (written.index, written.timestamp)
        assert_same_pose(read.world_from_ego, written.world_from_ego)
        radar, wanted = read.radar(), written.radar()
        assert (radar is None) == (wanted is None)
        if radar is not None and wanted is not None:
            assert np.array_equal(radar.positions, wanted.positions)
            for name in ("directions", "sizes"):
                column, other = getattr(radar, name), getattr(wanted, name)
                assert not len(wanted) or (column is None) == (other is None)
                assert column is None or np.array_equal(column, other)
        images = {image.timestamp: image for image in read.images}
        assert len(images) == len(written.images)
        for image in written.images:
            same = images[image.timestamp]
            name = image.camera.name
            # The format's validator takes the ids 1 and "1" for the same, so the camera beside device 1 is renamed.
            assert same.camera.name.startswith(f"{name}_") if name in devices else same.camera.name == name
            assert same.camera.intrinsics == image.camera.intrinsics
            assert same.content() == image.content()
            assert_same_pose(same.world_from_camera, image.world_from_camera)
