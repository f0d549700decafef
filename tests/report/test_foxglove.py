"""MCAP files: what is read back by other libraries is what a view of the scene has."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import lidarprep as lp
from lidarprep.report.views import Fate, SceneView
from lidarprep.scene import CameraImage
from tests.report.exports import Mcap, nanoseconds, pose_of, read_mcap, xyz
from tests.report.scenes import box_at

RECIPE = lp.Recipe(
    region_of_interest_3d=lp.RegionOfInterest3D((10.0, 1.0, 0.0), 60, 30, 0.2),
    device_height=1.8,
    height_band=(-0.5, 3.0),
    voxel=0.3,
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> lp.Scene:
    folder = tmp_path_factory.mktemp("foxglove") / "recording"
    lp.write_sample(folder, frames=3, columns=300, image_width=320)
    scene = lp.open_scene(folder)
    located = [replace(frame, gps=lp.GpsPose(48.1 + frame.index, 11.5, 90.0)) for frame in scene]
    return replace(scene, frames=tuple(located))


@pytest.fixture(scope="module")
def labels(scene: lp.Scene) -> lp.Labels:
    """A box in the first and the last frame, with all three angles in the last one; none in between."""
    box = box_at((5.0, 1.0, 0.8), (4.4, 1.8, 1.6), 0.3, track="id-1")
    turned = box | {"frame": 2, "yaw": 1.2, "pitch": 0.2, "roll": -0.1, "position": (6.0, 1.0, 0.8)}
    other = box_at((9.0, -3.0, 0.9), (0.6, 0.6, 1.8), frame=2, track="id-2", label="pedestrian")
    frames = tuple(lp.LabelledFrame(one.id, one.index) for one in scene)
    return lp.Labels(frames, cuboids=lp.Cuboids.of_rows([box, turned, other]))


@pytest.fixture(scope="module")
def exported(
    scene: lp.Scene, labels: lp.Labels, tmp_path_factory: pytest.TempPathFactory
) -> tuple[lp.ExportResult, Mcap]:
    path = tmp_path_factory.mktemp("exported") / "scene.mcap"
    result = lp.export(scene, path, recipe=RECIPE, labels=labels)
    assert result.bytes == path.stat().st_size
    return result, read_mcap(path)


def test_every_topic_has_its_schema_and_a_message_a_frame(exported: tuple[lp.ExportResult, Mcap]) -> None:
    result, mcap = exported
    cameras = {
        f"/cameras/{side}_camera/{what}": f"foxglove.{schema}"
        for side in ("front", "left", "right")
        for what, schema in (("image", "CompressedImage"), ("calibration", "CameraCalibration"))
    }
    assert mcap.schemas == cameras | {
        "/tf": "foxglove.FrameTransforms",
        "/points": "foxglove.PointCloud",
        "/points/dropped": "foxglove.PointCloud",
        "/radar": "foxglove.PointCloud",
        "/labels": "foxglove.SceneUpdate",
        "/region": "foxglove.SceneUpdate",
        "/band": "foxglove.SceneUpdate",
        "/path": "foxglove.SceneUpdate",
        "/gps": "foxglove.LocationFix",
    }
    counts = {topic: len(messages) for topic, messages in mcap.topics.items()}
    assert counts == dict.fromkeys(mcap.schemas, 3) | {"/tf": 12, "/region": 1, "/band": 1, "/path": 1}
    assert (result.frames, result.images, result.notes) == (3, 9, ())
    assert result.points == sum(len(rows) for name in ("/points", "/points/dropped") for rows in mcap.clouds(name))
    assert mcap.statistics.message_count == sum(counts.values())
    assert mcap.compressions == {"zstd"}
    assert mcap.log_times == sorted(mcap.log_times)
    assert mcap.metadata["fates"].startswith("0 kept, 1 region, 2 height")


def test_points_are_those_of_the_view(scene: lp.Scene, exported: tuple[lp.ExportResult, Mcap]) -> None:
    _, mcap = exported
    view = SceneView.of(scene, RECIPE)
    for row, frame in enumerate(view.frames):
        seen = view.look(frame)
        assert seen.intensity is not None
        assert seen.timestamp is None
        for topic, chosen in (("/points", seen.fate == Fate.KEPT), ("/points/dropped", seen.fate != Fate.KEPT)):
            log_time, message = mcap.topics[topic][row]
            rows = mcap.clouds(topic)[row]
            assert log_time == nanoseconds(message.timestamp) == frame.timestamp
            assert message.frame_id == "world"
            np.testing.assert_array_equal(pose_of(message.pose.position, message.pose.orientation), np.eye(4))
            np.testing.assert_array_equal(xyz(rows), seen.positions[chosen].astype(np.float32))
            np.testing.assert_array_equal(rows["intensity"], seen.intensity[chosen])
            np.testing.assert_array_equal(rows["fate"], seen.fate[chosen])
        np.testing.assert_allclose(xyz(mcap.clouds("/radar")[row]), seen.radar, rtol=1e-6)
        fix = mcap.topics["/gps"][row][1]
        assert (fix.latitude, fix.longitude, fix.heading) == (48.1 + row, 11.5, math.pi / 2)


def test_times_and_devices_of_points_are_kept(scene: lp.Scene, tmp_path: Path) -> None:
    points = scene[0].points()
    assert scene[0].timestamp is not None
    offsets = np.linspace(-50_000_000, 50_000_000, len(points)).astype(np.int64)
    device = (np.arange(len(points)) % 3).astype(np.uint32)
    timed = replace(points, timestamp=scene[0].timestamp + offsets, device=device)
    lp.export(replace(scene, frames=(scene[0].with_data(timed),)), tmp_path / "timed.mcap")
    rows = read_mcap(tmp_path / "timed.mcap").clouds("/points")[0]
    np.testing.assert_array_equal(rows["device"], device)
    np.testing.assert_allclose(rows["time_offset"], offsets / 1e9, atol=1e-8)


def test_transforms_are_the_poses_of_device_and_images(scene: lp.Scene, exported: tuple[lp.ExportResult, Mcap]) -> None:
    _, mcap = exported
    transforms = [one for _, message in mcap.topics["/tf"] for one in message.transforms]
    assert {one.parent_frame_id for one in transforms} == {"world"}
    found = {
        (one.child_frame_id, nanoseconds(one.timestamp)): pose_of(one.translation, one.rotation) for one in transforms
    }
    expected: dict[Any, lp.Pose | None] = {("ego", frame.timestamp): frame.world_from_ego for frame in scene}
    for frame in scene:
        for image in frame.images:
            at = frame.timestamp if image.timestamp is None else image.timestamp
            expected[f"camera/{image.camera.name}", at] = image.world_from_camera
    assert found.keys() == expected.keys()
    for key, pose in expected.items():
        assert pose is not None
        np.testing.assert_allclose(found[key], pose.matrix, atol=1e-12)


def test_images_are_the_bytes_of_their_files(scene: lp.Scene, exported: tuple[lp.ExportResult, Mcap]) -> None:
    _, mcap = exported
    for row, frame in enumerate(scene):
        for image in frame.images:
            message = mcap.topics[f"/cameras/{image.camera.name}/image"][row][1]
            assert image.path is not None
            assert message.data == image.path.read_bytes()
            assert (message.format, message.frame_id) == ("jpeg", f"camera/{image.camera.name}")


BROWN = lp.Distortion(k1=-0.3, k2=0.1, k3=-0.01, p1=0.002, p2=-0.001)
RATIONAL = replace(BROWN, k4=0.05, k5=0.02, k6=-0.003)
FISHEYE = lp.Distortion(k1=0.05, k2=-0.01, k3=0.004, k4=-0.001)


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize(
    ("model", "distortion", "name"),
    [
        ("brown_conrady", lp.Distortion(), "plumb_bob"),
        ("brown_conrady", BROWN, "plumb_bob"),
        ("brown_conrady", RATIONAL, "rational_polynomial"),
        ("fisheye", FISHEYE, "kannala_brandt"),
    ],
)
def test_points_are_projected_by_the_calibration_as_by_the_camera(
    scene: lp.Scene, tmp_path: Path, model: Any, distortion: lp.Distortion, name: str, scale: float
) -> None:
    intrinsics = lp.Intrinsics(820.0, 815.0, 641.5, 357.25, model=model, distortion=distortion)
    lp.export(seen_by(scene, intrinsics, scale), tmp_path / "camera.mcap")
    calibration = read_mcap(tmp_path / "camera.mcap").topics["/cameras/front_camera/calibration"][0][1]
    assert calibration.distortion_model == name
    assert len(calibration.D) == {"plumb_bob": 5, "rational_polynomial": 8, "kannala_brandt": 4}[name]
    matrix, d = np.array(calibration.K).reshape(3, 3), np.array(calibration.D)
    np.testing.assert_array_equal(np.array(calibration.P).reshape(3, 4), np.column_stack((matrix, np.zeros(3))))
    points = np.random.default_rng(0).uniform((-3.0, -2.0, 4.0), (3.0, 2.0, 30.0), (500, 3))
    zero = np.zeros(3)
    if name == "kannala_brandt":
        pixels, _ = cv2.fisheye.projectPoints(points[:, None], zero, zero, matrix, d)
    else:
        pixels, _ = cv2.projectPoints(points, zero, zero, matrix, d)
    expected, seen = intrinsics.project(points)
    assert seen.sum() > 400
    # An image that was shrunk: its pixels are larger, and their centres lie between those of the full size.
    expected = (expected[seen] + 0.5) / scale - 0.5
    np.testing.assert_allclose(pixels.reshape(-1, 2)[seen], expected, atol=0.01)


def seen_by(scene: lp.Scene, intrinsics: lp.Intrinsics, scale: float = 1.0) -> lp.Scene:
    """The first frame of a scene with its first image only, taken through other intrinsics."""
    camera = replace(scene.cameras[0], intrinsics=intrinsics)
    image = replace(scene[0].images[0], camera=camera, scale_factor=scale)
    return replace(scene, frames=(replace(scene[0], images=(image,)),), cameras=(camera,))


@pytest.mark.parametrize(
    ("intrinsics", "why"),
    [
        (lp.Intrinsics(800, 800, 640, 360, model="equirectangular"), "its model is equirectangular"),
        (lp.Intrinsics(800, 800, 640, 360, skew=2.0), "it has skew 2"),
        (lp.Intrinsics(800, 800, 640, 360, distortion=lp.Distortion(lx=0.01)), "it has lx 0.01"),
    ],
)
def test_a_model_that_foxglove_does_not_have_is_noted_and_its_images_go(
    scene: lp.Scene, tmp_path: Path, intrinsics: lp.Intrinsics, why: str
) -> None:
    result = lp.export(seen_by(scene, intrinsics), tmp_path / "camera.mcap")
    mcap = read_mcap(tmp_path / "camera.mcap")
    assert "/cameras/front_camera/calibration" not in mcap.topics
    assert len(mcap.topics["/cameras/front_camera/image"]) == 1
    assert [note for note in result.notes if note.startswith(f"camera front_camera: {why}, which no distortion model")]


def test_cuboids_replace_those_of_the_frame_before(
    scene: lp.Scene, labels: lp.Labels, exported: tuple[lp.ExportResult, Mcap]
) -> None:
    _, mcap = exported
    cuboids = labels.cuboids
    assert cuboids is not None
    for (log_time, message), frame in zip(mcap.topics["/labels"], scene, strict=True):
        rows = np.flatnonzero(cuboids.frame == frame.index).tolist()
        assert [(one.type, nanoseconds(one.timestamp)) for one in message.deletions] == [(1, frame.timestamp)]
        assert log_time == frame.timestamp
        for entity, row in zip(message.entities, rows, strict=True):
            (cube,) = entity.cubes
            assert {pair.key: pair.value for pair in entity.metadata} == {
                "track": cuboids.track[row],
                "label": cuboids.label[row],
            }
            assert entity.texts[0].text == cuboids.label[row]
            assert [cube.size.x, cube.size.y, cube.size.z] == cuboids.size[row].tolist()
            pose = pose_of(cube.pose.position, cube.pose.orientation)
            np.testing.assert_allclose(pose[:3, 3], cuboids.position[row])
            yaw, pitch, roll = (float(getattr(cuboids, name)[row]) for name in ("yaw", "pitch", "roll"))
            turned = Rotation.from_euler("ZYX", [yaw, pitch, roll])
            np.testing.assert_allclose(pose[:3, :3], turned.as_matrix(), atol=1e-12)
            # At yaw 0 the front faces +x, and turns with the yaw.
            if not pitch:
                np.testing.assert_allclose(pose[:3, 0], [math.cos(yaw), math.sin(yaw), 0], atol=1e-12)


def test_the_region_the_band_and_the_path_are_drawn_where_they_are(
    scene: lp.Scene, exported: tuple[lp.ExportResult, Mcap]
) -> None:
    _, mcap = exported
    region = RECIPE.region_of_interest_3d
    assert region is not None
    lines = {topic: mcap.topics[topic][0][1].entities[0] for topic in ("/region", "/band", "/path")}
    ends = {
        topic: np.array([(point.x, point.y, point.z) for point in entity.lines[0].points])
        for topic, entity in lines.items()
    }
    assert len(ends["/region"]) == 24
    grown = replace(region, length=region.length * 1.001, width=region.width * 1.001)
    shrunk = replace(region, length=region.length * 0.999, width=region.width * 0.999)
    assert grown.contains(ends["/region"]).all()
    assert not shrunk.contains(ends["/region"]).any()
    assert (lines["/band"].frame_id, lines["/band"].frame_locked) == ("ego", True)
    assert set(ends["/band"][:, 2].round(9)) == {-2.3, 1.2}  # 0.5 below to 3 above the ground, 1.8 below the device
    places = np.array([frame.world_from_ego.translation for frame in scene if frame.world_from_ego is not None])
    np.testing.assert_allclose(ends["/path"], places[[0, 1, 1, 2]])


def test_images_from_before_their_frame_come_in_the_order_of_time(scene: lp.Scene, tmp_path: Path) -> None:
    def delayed(image: CameraImage, frame: lp.Frame, number: int) -> CameraImage:
        assert frame.timestamp is not None
        return replace(image, timestamp=frame.timestamp + (-70, 30, 250)[number] * 1_000_000)

    frames = tuple(
        replace(frame, images=tuple(delayed(image, frame, row) for row, image in enumerate(frame.images)))
        for frame in scene
    )
    lp.export(replace(scene, frames=frames), tmp_path / "delayed.mcap")
    mcap = read_mcap(tmp_path / "delayed.mcap")
    assert mcap.log_times == sorted(mcap.log_times)
    for number, camera in enumerate(scene.cameras):
        # Each says its own time, however late it is shown.
        stamps = [nanoseconds(message.timestamp) for _, message in mcap.topics[f"/cameras/{camera.name}/image"]]
        assert stamps == [frame.images[number].timestamp for frame in frames]
