"""Scenes that others wrote: with the reference package, with all that the format allows."""

from __future__ import annotations

from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scale_json_binary

from lidarprep.attachments.sensor_fusion_scene import decode
from lidarprep.errors import FormatError
from lidarprep.scene import Pose, Scene
from tests.attachments.frames import encode_scene
from tests.attachments.sensor_fusion_scene.scenes import PNG, T0, camera_image, cloud, decoded, frame

HERE = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


def lidar(sensor_id: str | int = "top", times: tuple[int, ...] = (0,), count: int = 2, **more: Any) -> dict[str, Any]:
    frames = [{"timestamp": time, "points": {"positions": np.full((count, 3), time, np.float32)}} for time in times]
    poses = {"timestamps": [0], "values": [HERE]}
    return {"id": sensor_id, "type": "lidar", "poses": poses, "frames": frames} | more


def camera(times: tuple[int, ...] = (0,), **more: Any) -> dict[str, Any]:
    images = [{"timestamp": time, "content": np.frombuffer(PNG, np.uint8)} for time in times]
    intrinsics = {"fx": 900, "fy": 900.5, "cx": 4.0, "cy": 3, "width": 8, "height": 6, "distortion": None}
    poses = {"timestamps": list(times), "values": [HERE for _ in times]}
    return {"id": "front", "type": "camera", "poses": poses, "intrinsics": intrinsics, "images": images} | more


def document(*sensors: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"version": "1.0", "sensors": list(sensors), "time_offset": 5, "time_unit": "microseconds"} | more


def read(*sensors: dict[str, Any], **more: Any) -> Scene:
    return decoded(scale_json_binary.dumps(document(*sensors, **more)))


def test_frames_are_the_times_of_all_lidars_merged() -> None:
    scene = read(lidar("a", (0, 100)), lidar(0, (100, 200), count=3))
    assert [one.timestamp for one in scene] == [5_000, 105_000, 205_000]
    assert [one.points().device.tolist() for one in scene] == [[1, 1], [1, 1, 0, 0, 0], [0, 0, 0]]  # type: ignore[union-attr]
    assert scene.notes == ("points of lidar 'a' have the device id 1",)
    assert (scene.layout, scene.points_frame) == ("sensor_fusion_scene", "world")


def test_a_single_lidar_has_a_device_column_only_if_its_id_is_a_number() -> None:
    assert read(lidar("top"))[0].points().device is None
    assert read(lidar(3))[0].points().device.tolist() == [3, 3]  # type: ignore[union-attr]


def test_ego_coordinates_are_brought_to_the_world_by_the_pose_of_their_time() -> None:
    turned = Pose.from_euler(0, 0, np.pi / 2, (10, 0, 0))
    w, x, y, z = turned.quaternion.tolist()
    poses = {"timestamps": [0, 100], "values": [HERE, [20.0, 0, 0, x, y, z, w]]}
    points = {"positions": np.array([[1, 0, 0]], np.float32)}
    frames = [{"timestamp": time, "points": points} for time in (0, 50, 100, 200)]
    scene = read(lidar(coordinates="ego", poses=poses, frames=frames))
    half = np.sqrt(0.5)
    expected = [[1, 0, 0], [10 + half, half, 0], [20, 1, 0], [20, 1, 0]]
    for one, position in zip(scene, expected, strict=True):
        np.testing.assert_allclose(one.points().positions, [position], atol=1e-6)
        assert one.points().positions.dtype == np.float32
    returns = {"positions": np.array([[1, 0, 0]], np.float32), "directions": np.array([[1, 0, 0]], np.float32)}
    radar = lidar("radar", poses=poses, frames=[{"timestamp": 100, "points": returns}])
    found = read(lidar(), radar | {"type": "radar", "coordinates": "ego"})[0].radar()
    assert found is not None
    np.testing.assert_allclose(found.positions, [[20, 1, 0]], atol=1e-6)
    np.testing.assert_allclose(found.directions, [[0, 1, 0]], atol=1e-6)  # type: ignore[arg-type]


def test_images_and_radar_go_to_the_nearest_frame() -> None:
    radar = lidar("radar", (40, 90, 160), count=1) | {"type": "radar"}
    scene = read(lidar(times=(0, 100, 200)), camera((49, 51, 500)), radar)
    assert [[image.timestamp for image in one.images] for one in scene] == [[54_000], [56_000], [505_000]]
    returns = [one.radar() for one in scene]
    assert [None if one is None else one.positions[:, 0].tolist() for one in returns] == [[40], [90], [160]]


def test_images_give_their_bytes_and_are_made_only_when_asked_for() -> None:
    (image,) = read(lidar(), camera())[0].images
    assert image.path is None
    assert image.content() == PNG
    assert (image.camera.intrinsics.width, image.camera.intrinsics.height) == (8, 6)


def test_flat_arrays_of_positions_are_read_as_rows_of_three() -> None:
    points = {"positions": np.arange(6, dtype=np.float32), "colors": np.arange(6, dtype=np.uint8)}
    found = read(lidar(frames=[{"timestamp": 0, "points": points}]))[0].points()
    assert found.positions.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.colour is not None
    assert found.colour.shape == (2, 3)


def test_fewer_distortion_parameters_are_the_first_ones() -> None:
    distortion = {"model": "brown_conrady", "params": [0.1, 0.2]}
    scene = read(lidar(), camera(intrinsics=camera()["intrinsics"] | {"distortion": distortion}))
    assert scene.cameras[0].intrinsics.distortion.nonzero() == {"k1": 0.1, "k2": 0.2}


def test_what_is_not_read_is_said() -> None:
    video = camera(id="v", video={"timestamps": [0], "content": np.zeros(3, np.uint8), "fps": 10})
    del video["images"]
    foreign = {"distortion": {"model": "ftheta", "params": [1.0]}}
    scene = read(
        lidar(parent_id="car"),
        video,
        camera(intrinsics=camera()["intrinsics"] | foreign),
        {"id": "map", "type": "points", "points": {"positions": np.zeros((1, 3), np.float32)}},
        annotations=[{"id": 1}],
    )
    assert scene.cameras == ()
    assert scene.notes == (
        "sensor 'top' has a parent_id; its poses are taken to be in the world all the same",
        "camera 'v' holds a video, which is not read",
        "camera 'front' has the model 'ftheta', which is not known: it is left out",
        "sensor 'map' holds points without a time, which are not read",
        "the scene has annotations, which are no part of its frames: `read_annotations` reads them",
    )


def test_columns_that_only_some_lidars_have_are_left_out_which_is_said() -> None:
    full = lidar("a")
    full["frames"][0]["points"]["intensities"] = np.zeros(2, np.uint8)
    scene = read(full, lidar("b"))
    assert scene[0].points().intensity is None
    assert any("only some of the lidars have intensities" in note for note in scene.notes)


def test_the_devices_poses_are_those_of_the_odometry_where_there_is_one() -> None:
    odometry = {"id": "o", "type": "odometry", "poses": {"timestamps": [0], "values": [[7.0, *HERE[1:]]]}}
    assert read(lidar(), odometry)[0].world_from_ego.translation.tolist() == [7, 0, 0]  # type: ignore[union-attr]


def test_points_are_made_anew_at_each_call_from_the_file_itself(tmp_path: Path) -> None:
    path = tmp_path / "scene.sfs"
    path.write_bytes(encode_scene([frame(cloud(100, intensity=True), images=(camera_image(),))]))
    with path.open("rb") as file:
        mapped = mmap(file.fileno(), 0, access=ACCESS_READ)
    scene = decode(mapped, str(path))
    first, second = scene[0].points(), scene[0].points()
    assert first is not second
    assert np.shares_memory(first.positions, second.positions)
    assert not first.positions.flags.writeable


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"version": "2.0"}, "version: '2.0'"),
        ({"version": 1.0}, "version: 1.0"),
        ({"time_unit": "nanoseconds"}, "time_unit"),
        ({"time_offset": -1}, "time_offset: -1"),
        ({"time_offset": 2**63}, "time_offset"),
        ({"time_offset": 1.5}, r"time_offset: 1\.5"),
        ({"sensors": []}, "sensors: no lidar"),
        ({"sensors": {}}, "sensors: {}"),
        ({"sensors": ["x"]}, r"sensors\[0\]: 'x'"),
        ({"sensors": [lidar(), lidar()]}, r"sensors\[1\].id: 'top'; expected an id of its own"),
        ({"sensors": [lidar(True)]}, r"sensors\[0\].id: True"),
        ({"sensors": [lidar(-1)]}, "device ids of points"),
        ({"sensors": [lidar(type="sonar")]}, r"sensors\[0\].type: 'sonar'"),
        ({"sensors": [lidar(coordinates="map")]}, r"sensors\[0\].coordinates"),
        ({"sensors": [lidar(frames=[])]}, r"sensors\[0\].frames: no frame"),
        ({"sensors": [lidar(times=(5, 5))]}, r"sensors\[0\].frames: 5; expected a time after 5"),
        ({"sensors": [lidar(poses=None)]}, r"sensors\[0\].poses: None"),
        ({"sensors": [lidar(poses={"timestamps": [], "values": []}, coordinates="ego")]}, "no pose"),
        ({"sensors": [lidar(poses={"timestamps": [0], "values": []})]}, "0 poses; expected 1"),
        ({"sensors": [lidar(poses={"timestamps": [0], "values": [HERE[1:]]})]}, r"values\[0\]"),
        ({"sensors": [lidar(poses={"timestamps": [0], "values": [[*HERE[1:], "1"]]})]}, r"values\[0\]"),
        ({"sensors": [lidar(poses={"timestamps": [0], "values": [[0.0] * 7]})]}, "pose 0 is not unit"),
        ({"sensors": [lidar(poses={"timestamps": [0], "values": [[0.0] * 6 + [1e300]]})]}, "pose 0 is not unit"),
        ({"sensors": [lidar(frames=[{"timestamp": 0, "points": {}}])]}, "no 'positions'"),
        ({"sensors": [lidar(frames=[{"timestamp": 0}])]}, r"frames\[0\]: no 'points'"),
        ({"sensors": [lidar(), camera(images=None)]}, "not exactly one of images and video"),
        (
            {"sensors": [lidar(), camera(images=[{"timestamp": 0, "content": "x"}])]},
            r"images\[0\].content: str; expected",
        ),
        ({"sensors": [lidar(), camera(images=[{"content": np.zeros(1, np.uint8)}])]}, r"images\[0\]: no 'timestamp'"),
        ({"sensors": [lidar(), camera(intrinsics={})]}, r"intrinsics: no 'width'"),
        ({"sensors": [lidar(), camera(intrinsics=camera()["intrinsics"] | {"fx": -1})]}, "focal lengths"),
        ({"sensors": [lidar(), camera(intrinsics=camera()["intrinsics"] | {"width": 0})]}, r"intrinsics.width: 0"),
    ],
)
def test_scenes_that_break_the_format_are_refused_with_the_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(FormatError, match=rf"test\.sfs, .*{place}"):
        decoded(scale_json_binary.dumps(document(lidar()) | change))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("positions", np.zeros((2, 3)), "'float64'; expected an array of float32"),
        ("positions", np.zeros((2, 2), np.float32), r"\(2, 2\); expected \(N, 3\)"),
        ("positions", np.array(1, np.float32), r"\(\); expected \(N, 3\)"),
        ("positions", [[0.0, 0.0, 0.0]], r"\[\[0\.0, 0\.0, 0\.0\]\]; expected an array of float32"),
        ("intensities", np.zeros(3, np.uint8), "3 rows; expected 2, one a point"),
        ("intensities", np.zeros((2, 1), np.uint8), r"\(2, 1\); expected \(N,\)"),
        ("timestamps", np.zeros(2, np.uint64), "'uint64'; expected an array of uint32"),
        ("colors", np.zeros((2, 4), np.uint8), r"\(2, 4\); expected \(N, 3\)"),
    ],
)
def test_arrays_of_another_type_or_shape_are_refused(name: str, array: Any, message: str) -> None:
    points = {"positions": np.zeros((2, 3), np.float32)} | {name: array}
    with pytest.raises(FormatError, match=rf"frames\[0\]\.points\.{name}: {message}"):
        read(lidar(frames=[{"timestamp": 0, "points": points}]))


def test_radar_returns_that_are_not_finite_are_refused_when_they_are_asked_for() -> None:
    points = {"positions": np.full((1, 3), np.nan, np.float32)}
    scene = read(lidar(), lidar("r", type="radar", frames=[{"timestamp": 0, "points": points}]))
    with pytest.raises(FormatError, match="radar"):
        scene[0].radar()


def test_one_frame_encodes_and_decodes_like_the_other_attachments() -> None:
    scene = decode(encode_scene([frame()]), source="one.sfs")
    assert (len(scene), scene.source, scene[0].timestamp) == (1, "one.sfs", T0)
