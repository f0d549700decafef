"""The same recording in every layout, saved by scripts without lidarprep's code, gives the same attachments."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lidarprep as lp
from tests.conftest import real_recording
from tests.datasets.generated import Recording, generated, read
from tests.datasets.write_argoverse2 import write_argoverse2
from tests.datasets.write_folder import (
    write_folder_csv,
    write_folder_json,
    write_folder_kitti_poses,
    write_folder_tum,
    write_toolkit,
    write_toolkit_lidars,
)
from tests.datasets.write_kitti_odometry import write_kitti_odometry
from tests.datasets.write_kitti_raw import write_kitti_raw
from tests.datasets.write_nuscenes import write_nuscenes
from tests.datasets.write_pandaset import write_pandaset
from tests.datasets.write_ros import write_mcap, write_ros1_bag, write_ros2_mcap_bag, write_ros2_sqlite3_bag

# Float32 holds coordinates of up to 128 m to 8 µm; they are rounded twice, once in their file and once in the world.
POSITIONS_WITHIN_M = 2e-5
# Poses go through angles, quaternions or latitudes.
POSES_WITHIN = 1e-6


@dataclass(frozen=True)
class Layout:
    """A layout, and what of the recording it cannot hold.

    Args:
        name: What it is to be opened as.
        write: Saves the recording in it.
        cameras: How many of the cameras it holds, from the first on.
        distortion: Whether it holds their distortion.
        timed: Whether frames have times, since the epoch; "start": since the recording's own start; None: none.
        in_order: Whether the points come in the recording's order; or every other one, and then those between.
    """

    name: str
    write: Callable[[Recording, Path], Path]
    cameras: int = 3
    distortion: bool = True
    timed: str | None = "epoch"
    in_order: bool = True


LAYOUTS = {
    "toolkit": Layout("toolkit", write_toolkit),
    "toolkit-lidars": Layout("toolkit", write_toolkit_lidars, in_order=False),
    "kitti-raw": Layout("kitti-raw", write_kitti_raw, cameras=1, distortion=False),
    "kitti-odometry": Layout("kitti-odometry", write_kitti_odometry, cameras=1, distortion=False, timed="start"),
    "nuscenes": Layout("nuscenes", write_nuscenes, distortion=False),
    "pandaset": Layout("pandaset", write_pandaset, distortion=False),
    "argoverse2": Layout("argoverse2", write_argoverse2, distortion=False),
    "ros1": Layout("ros1", write_ros1_bag),
    "ros2": Layout("ros2", write_ros2_sqlite3_bag),
    "ros2-mcap": Layout("ros2", write_ros2_mcap_bag),
    "mcap": Layout("mcap", write_mcap),
    "folder-kitti": Layout("folder", write_folder_kitti_poses, cameras=0),
    "folder-tum": Layout("folder", write_folder_tum, cameras=0),
    "folder-json": Layout("folder", write_folder_json, cameras=0),
    "folder-csv": Layout("folder", write_folder_csv, cameras=0),
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return generated(tmp_path_factory.mktemp("generated"), frames=4)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_gives_the_same_points_cameras_and_times(
    layout: Layout, recording: Recording, tmp_path: Path
) -> None:
    scene = lp.open_scene(layout.write(recording, tmp_path / "recording"))
    assert scene.layout == layout.name
    assert scene.findings == ()
    frames = prepared(scene, tmp_path / "out")
    assert len(frames) == len(recording.frames)
    for frame, expected in zip(frames, recording.frames, strict=True):
        check_points(frame, expected.in_world, expected.intensity, in_order=layout.in_order)
        np.testing.assert_allclose(
            vector(frame["device_position"]), expected.world_from_ego[:3, 3], atol=POSITIONS_WITHIN_M
        )
    check_times([frame.get("timestamp") for frame in frames], recording, layout.timed)
    for camera in recording.cameras[: layout.cameras]:
        check_camera(frames, recording, camera.name, distortion=layout.distortion)
    assert all(len(frame.get("images", [])) == layout.cameras for frame in frames)


def test_the_real_recording_gives_the_same_prepared_frames(tmp_path: Path) -> None:
    real = read(real_recording())
    real = replace(real, frames=real.frames[:2])
    for write in (write_kitti_odometry, write_ros2_mcap_bag):
        frames = prepared(lp.open_scene(write(real, tmp_path / write.__name__)), tmp_path / f"{write.__name__}-out")
        for frame, expected in zip(frames, real.frames, strict=True):
            check_points(frame, expected.in_world, expected.intensity, in_order=True)
            np.testing.assert_allclose(
                vector(frame["device_position"]), expected.world_from_ego[:3, 3], atol=POSITIONS_WITHIN_M
            )


def prepared(scene: lp.Scene, out: Path) -> list[dict[str, Any]]:
    """The frames as Scale would read them."""
    manifest = lp.prepare(scene, lp.Recipe(), out)
    return [json.loads((out / record.url).read_bytes()) for record in manifest.attachments]


def column(frame: dict[str, Any], name: str) -> Any:
    return np.array([point[name] for point in frame["points"]])


def points_of(frame: dict[str, Any]) -> Any:
    return np.column_stack([column(frame, axis) for axis in "xyz"])


def vector(value: dict[str, float]) -> list[float]:
    return [value[axis] for axis in "xyz"]


def check_points(frame: dict[str, Any], in_world: Any, intensity: Any, *, in_order: bool) -> None:
    found, found_intensity = points_of(frame), column(frame, "i")
    if not in_order:
        in_world, intensity = (np.concatenate((values[::2], values[1::2])) for values in (in_world, intensity))
    np.testing.assert_allclose(found, in_world, atol=POSITIONS_WITHIN_M)
    np.testing.assert_allclose(found_intensity, np.asarray(intensity) / 255, atol=1e-6)


def check_times(times: list[Any], recording: Recording, timed: str | None) -> None:
    expected = np.array([frame.timestamp for frame in recording.frames])
    if timed is None:
        assert times == [None] * len(times)
    elif timed == "start":
        np.testing.assert_array_equal(np.array(times), expected - expected[0])
    else:
        np.testing.assert_array_equal(np.array(times), expected)


def check_camera(frames: list[dict[str, Any]], recording: Recording, name: str, *, distortion: bool) -> None:
    """In each frame there is one image whose pixels and pose are the camera's."""
    camera = next(one for one in recording.cameras if one.name == name)
    for frame, expected in zip(frames, recording.frames, strict=True):
        world_from_camera = expected.world_from_ego @ camera.ego_from_camera
        fitting = [
            image
            for image in frame["images"]
            if np.allclose(vector(image["position"]), world_from_camera[:3, 3], atol=POSITIONS_WITHIN_M)
        ]
        assert len(fitting) == 1, f"{len(fitting)} images are where {name} is"
        (image,) = fitting
        for key in ("fx", "fy", "cx", "cy"):
            assert image[key] == pytest.approx(getattr(camera, key), rel=1e-6)
        held = {key: image[key] for key in ("k1", "k2", "k3", "p1", "p2") if image.get(key)}
        assert held == (pytest.approx(camera.distortion) if distortion else {})
        w, x, y, z = (image["heading"][key] for key in "wxyz")
        turned = lp.Pose.from_quaternion((w, x, y, z)).rotation
        np.testing.assert_allclose(turned, world_from_camera[:3, :3], atol=POSES_WITHIN)
