"""The real recording as a Sensor Fusion Scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scale_json_binary

import lidarprep as lp
from lidarprep.attachments.sensor_fusion_scene import decode
from lidarprep.scene import Frame
from lidarprep.steps import StepReport
from lidarprep.steps.intensity import NormaliseIntensity
from lidarprep.steps.world import ToWorld
from tests.attachments.sensor_fusion_scene.rules import broken_rules
from tests.attachments.sensor_fusion_scene.scenes import sensor, written_to


def prepared(frame: Frame) -> Frame:
    report = StepReport()
    return NormaliseIntensity(255)(ToWorld()(frame, report), report)


@pytest.fixture(scope="module")
def frames(recording: Path) -> list[Frame]:
    return [prepared(frame) for frame in lp.open_scene(recording)]


@pytest.fixture(scope="module")
def path(frames: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sfs") / "scene.sfs"
    with path.open("w+b") as out:
        written_to(out, frames)
    return path


@pytest.fixture(scope="module")
def document(path: Path) -> dict[str, Any]:
    return scale_json_binary.read_file(str(path))  # type: ignore[no-any-return]


def test_it_obeys_every_rule_of_the_format(document: dict[str, Any]) -> None:
    assert broken_rules(document) == []


def test_the_reference_package_reads_equal_arrays(document: dict[str, Any], frames: list[Frame]) -> None:
    lidar, radar = sensor(document, "lidar"), sensor(document, "radar")
    assert len(lidar["frames"]) == len(frames)
    for sweep, returns, frame in zip(lidar["frames"], radar["frames"], frames, strict=True):
        points, seen = frame.points(), frame.radar()
        assert np.array_equal(sweep["points"]["positions"], points.positions)
        assert np.array_equal(sweep["points"]["intensities"], np.rint(points.intensity * np.float64(255)))
        assert seen is not None
        assert np.array_equal(returns["points"]["positions"], seen.positions.astype(np.float32))
        assert np.array_equal(returns["points"]["directions"], seen.directions.astype(np.float32))  # type: ignore[union-attr]
        assert np.array_equal(returns["points"]["lengths"], seen.sizes.astype(np.float32))  # type: ignore[union-attr]


def test_cameras_have_the_files_images_at_their_poses(document: dict[str, Any], frames: list[Frame]) -> None:
    for number, frame in enumerate(frames):
        for image in frame.images:
            camera = sensor(document, image.camera.name)
            assert image.path is not None
            assert camera["images"][number]["content"].tobytes() == image.path.read_bytes()
            assert (camera["intrinsics"]["width"], camera["intrinsics"]["height"]) == (1920, 1080)
            x, y, z, qx, qy, qz, qw = camera["poses"]["values"][number]
            pose = lp.Pose.from_quaternion((qw, qx, qy, qz), (x, y, z))
            assert image.world_from_camera is not None
            assert pose.almost_equals(image.world_from_camera)


def test_it_reads_back_as_the_frames_it_was_made_of(path: Path, frames: list[Frame]) -> None:
    for found, frame in zip(decode(path.read_bytes()), frames, strict=True):
        points, wanted = found.points(), frame.points()
        assert np.array_equal(points.positions, wanted.positions)
        np.testing.assert_allclose(points.intensity, wanted.intensity, atol=0.5 / 255)
        assert found.world_from_ego is not None
        assert frame.world_from_ego is not None
        assert found.world_from_ego.almost_equals(frame.world_from_ego)
        assert [image.camera.name for image in found.images] == [image.camera.name for image in frame.images]
