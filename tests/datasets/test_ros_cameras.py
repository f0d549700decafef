"""Images and cameras of bags, held against NumPy, Pillow and OpenCV."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from lidarprep.datasets import open_scene
from lidarprep.datasets.ros._cameras import CameraInfo, read_camera_info, read_image
from lidarprep.datasets.ros._messages import Cursor
from lidarprep.datasets.ros._topics import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Scene
from lidarprep.scene.camera import Intrinsics
from tests.datasets.generated import RecordedCamera
from tests.datasets.test_ros_poses import CLOUDS, MS, STATIC, T0, matrix, tf, written
from tests.datasets.write_ros import ROS1, ROS2, Message, camera_info, compressed_image, header, made

CAMERA = RecordedCamera("front", 500.0, 510.0, 320.0, 240.0, 640, 480, {"k1": -0.1, "p2": 0.01}, np.eye(4))
RNG = np.random.default_rng(5)
COLOURS = RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)
PATH = Path("drive.bag")


def image_fields(pixels: np.ndarray[Any, Any], encoding: str, padding: int = 0) -> dict[str, Any]:
    rows = pixels.reshape(pixels.shape[0], -1)
    data = b"".join(row.tobytes() + bytes(padding) for row in rows)
    return {
        "header": header(T0, "optical"),
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "encoding": encoding,
        "is_bigendian": int(pixels.dtype.byteorder == ">"),
        "step": len(data) // pixels.shape[0],
        "data": np.frombuffer(data, dtype=np.uint8),
    }


def encoded_image(fields: dict[str, Any], kind: str = IMAGE) -> bytes:
    cdr = bytes(ROS2.serialize_cdr(made(ROS2, kind, fields), kind))
    ros1 = bytes(ROS1.serialize_ros1(made(ROS1, kind, fields), kind))
    found = read_image(Cursor(PATH, "message 0", cdr, "cdr"), kind)
    assert read_image(Cursor(PATH, "message 0", ros1, "ros1"), kind) == found
    return found


def pixels(encoded: bytes) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(encoded)) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened)


ALPHA = np.full((4, 6, 1), 200, dtype=np.uint8)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "sent", "expected"),
    [
        ("mono8", COLOURS[:, :, 0], COLOURS[:, :, 0]),
        ("8UC1", COLOURS[:, :, 0], COLOURS[:, :, 0]),
        ("rgb8", COLOURS, COLOURS),
        ("bgr8", COLOURS[:, :, ::-1], COLOURS),
        ("8UC3", COLOURS[:, :, ::-1], COLOURS),
        ("rgba8", np.concatenate((COLOURS, ALPHA), axis=2), COLOURS),
        ("bgra8", np.concatenate((COLOURS[:, :, ::-1], ALPHA), axis=2), COLOURS),
        ("mono16", COLOURS[:, :, 0].astype("<u2") * 257, COLOURS[:, :, 0].astype(np.uint16) * 257),
        ("mono16", COLOURS[:, :, 0].astype(">u2") * 257, COLOURS[:, :, 0].astype(np.uint16) * 257),
    ],
)
def test_raw_images_become_png(encoding: str, sent: Any, expected: Any, padding: int) -> None:
    np.testing.assert_array_equal(
        pixels(encoded_image(image_fields(np.ascontiguousarray(sent), encoding, padding))), expected
    )


@pytest.mark.parametrize(
    ("encoding", "code"),
    [
        # OpenCV names a pattern by the second row's second and third pixels.
        ("bayer_rggb8", cv2.COLOR_BayerBG2RGB),
        ("bayer_bggr8", cv2.COLOR_BayerRG2RGB),
        ("bayer_gbrg8", cv2.COLOR_BayerGR2RGB),
        ("bayer_grbg8", cv2.COLOR_BayerGB2RGB),
    ],
)
def test_bayer_mosaics_get_their_colours_as_opencv_gives_them(encoding: str, code: int) -> None:
    mosaic = RNG.integers(0, 256, (12, 16), dtype=np.uint8)
    found = pixels(encoded_image(image_fields(mosaic, encoding))).astype(int)
    expected = cv2.cvtColor(mosaic, code).astype(int)
    assert np.abs(found - expected)[1:-1, 1:-1].max() <= 1


def test_compressed_images_are_handed_on_byte_by_byte() -> None:
    for form in ("JPEG", "PNG"):
        out = io.BytesIO()
        Image.fromarray(COLOURS).save(out, format=form)
        fields = compressed_image(T0, "optical", out.getvalue(), "rgb8; jpeg compressed bgr8")
        assert encoded_image(fields, COMPRESSED_IMAGE) == out.getvalue()


def test_images_of_other_formats_become_png() -> None:
    out = io.BytesIO()
    Image.fromarray(COLOURS).save(out, format="BMP")
    np.testing.assert_array_equal(
        pixels(encoded_image(compressed_image(T0, "optical", out.getvalue()), COMPRESSED_IMAGE)), COLOURS
    )


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        (compressed_image(T0, "optical", b"no image"), COMPRESSED_IMAGE, "8 bytes of format .* that are no image"),
        (compressed_image(T0, "optical", b""), COMPRESSED_IMAGE, "an image without data"),
        (image_fields(COLOURS, "yuv422"), IMAGE, "encoding 'yuv422'"),
        (image_fields(COLOURS, "rgba8"), IMAGE, "4 × 6 pixels of 4 bytes"),
        (image_fields(COLOURS, "rgb8") | {"height": 2**31}, IMAGE, "2147483648 × 6 pixels"),
        (image_fields(COLOURS, "rgb8") | {"width": 0}, IMAGE, "4 × 0 pixels"),
    ],
)
def test_what_is_no_image_is_refused(fields: dict[str, Any], kind: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        encoded_image(fields, kind)


def info(**changes: Any) -> CameraInfo:
    message = made(ROS2, CAMERA_INFO, camera_info(T0, "/optical", CAMERA, **changes))
    return read_camera_info(Cursor(PATH, "message 0", bytes(ROS2.serialize_cdr(message, CAMERA_INFO)), "cdr"))


def test_plumb_bob_and_rational_coefficients_are_in_the_order_of_opencv() -> None:
    d = np.array([0.1, 0.02, 0.003, 0.004, 0.005, 0.06, 0.007, 0.0008])
    points = RNG.uniform(-0.3, 0.3, (20, 3)) + np.array([0, 0, 1])
    k = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])
    for model, count in (("plumb_bob", 5), ("rational_polynomial", 8), ("plumb_bob", 4)):
        intrinsics = info(d=d[:count], distortion_model=model).raw
        assert isinstance(intrinsics, Intrinsics)
        expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), k, d[:count])[0][:, 0]
        np.testing.assert_allclose(intrinsics.project(points)[0], expected, atol=1e-6)


def test_equidistant_coefficients_are_those_of_the_fisheye_model() -> None:
    d = np.array([0.01, 0.002, 0.0003, 0.0001])
    points = RNG.uniform(-0.5, 0.5, (20, 3)) + np.array([0, 0, 1])
    k = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])
    intrinsics = info(d=d, distortion_model="equidistant").raw
    assert isinstance(intrinsics, Intrinsics)
    assert intrinsics.model == "fisheye"
    expected = cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), k, d)[0][:, 0]
    np.testing.assert_allclose(intrinsics.project(points)[0], expected, atol=1e-6)


def test_a_rectified_image_has_the_camera_matrix_of_p_and_no_distortion() -> None:
    p = np.array([400.0, 0, 310, -40, 0, 401, 230, 0, 0, 0, 1, 0])
    found = info(p=p)
    assert isinstance(found.rectified, Intrinsics)
    intrinsics = found.rectified
    assert (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy) == (400, 401, 310, 230)
    assert intrinsics.distortion.nonzero() == {}
    assert found.shifted


def test_binning_and_region_of_interest_give_the_pixels_that_are_sent() -> None:
    roi = {"x_offset": 100, "y_offset": 40, "height": 200, "width": 400, "do_rectify": False}
    intrinsics = info(binning_x=2, binning_y=2, roi=roi).raw
    assert isinstance(intrinsics, Intrinsics)
    found = (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy, intrinsics.width, intrinsics.height)
    assert found == (250, 255, 110, 100, 200, 100)


@pytest.mark.parametrize(
    "changes",
    [{"k": np.zeros(9)}, {"distortion_model": "unheard_of"}, {"d": np.full(14, 0.1), "distortion_model": "plumb_bob"}],
)
def test_a_calibration_that_cannot_be_used_says_why(changes: dict[str, Any]) -> None:
    assert isinstance(info(**changes).raw, SceneError)


def jpeg(shade: int = 0) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(out, format="JPEG")
    return out.getvalue()


OPTICAL = tf(T0, "base_link", "optical", matrix(0.3, 1.5), "/tf_static")
MOVING = [tf(T0 + k * 100 * MS, "odom", "base_link", matrix(0, 10 * k)) for k in range(3)]


def image_message(topic: str, time: int = T0, frame: str = "optical", shade: int = 0) -> Message:
    return Message(topic, COMPRESSED_IMAGE, time + 5 * MS, compressed_image(time, frame, jpeg(shade)))


def info_message(topic: str, frame: str = "optical", **changes: Any) -> Message:
    return Message(topic, CAMERA_INFO, T0, camera_info(T0, frame, CAMERA, **changes))


def scene_of(folder: Path, *messages: Message, **options: Any) -> Scene:
    return open_scene(written(folder, [STATIC, OPTICAL, *MOVING, *CLOUDS, *messages]), **options)


def test_an_image_is_posed_at_its_own_time(tmp_path: Path) -> None:
    scene = scene_of(
        tmp_path, info_message("/front/camera_info"), image_message("/front/image_raw/compressed", T0 + 30 * MS)
    )
    assert [len(frame.images) for frame in scene] == [1, 0, 0]
    (found,) = scene[0].images
    assert found.timestamp == T0 + 30 * MS
    assert found.world_from_camera is not None
    np.testing.assert_allclose(found.world_from_camera.matrix, matrix(0, 3) @ matrix(0.3, 1.5), atol=1e-9)
    assert any("2 of 3 frames have no image" in note for note in scene.notes)


def test_a_camera_that_turns_on_the_device_is_posed_at_each_time(tmp_path: Path) -> None:
    turning = [tf(T0 + k * 100 * MS, "base_link", "gimbal", matrix(0.1 * k, 0)) for k in range(3)]
    messages = [
        info_message("/g/camera_info", "gimbal"),
        *(image_message("/g/image", T0 + k * 50 * MS, "gimbal") for k in range(5)),
    ]
    scene = scene_of(tmp_path, *turning, *messages)
    found = scene[2].images[0].world_from_camera
    assert found is not None
    np.testing.assert_allclose(found.matrix, matrix(0, 20) @ matrix(0.2, 0), atol=1e-9)


def test_cameras_are_named_by_their_namespaces(tmp_path: Path) -> None:
    messages = []
    for space in ("/front", "/stereo/left"):
        messages += [info_message(f"{space}/camera_info"), image_message(f"{space}/image_raw/compressed")]
    scene = scene_of(tmp_path, *messages)
    assert [camera.name for camera in scene.cameras] == ["front", "stereo_left"]
    chosen = open_scene(scene.source, cameras=["front"])
    assert [camera.name for camera in chosen.cameras] == ["front"]
    with pytest.raises(SceneError, match="no camera 'rear'"):
        open_scene(scene.source, cameras=["rear"])


def test_cameras_keep_their_numbers_whichever_are_chosen(tmp_path: Path) -> None:
    messages = [image_message("/back/image_raw/compressed", frame="back")]  # which cannot be used: it has no CameraInfo
    for space in ("/front", "/left", "/right"):
        messages += [info_message(f"{space}/camera_info"), image_message(f"{space}/image_raw/compressed")]
    scene = scene_of(tmp_path, *messages)
    expected = [("front", 1), ("left", 2), ("right", 3)]
    assert [(camera.name, camera.index) for camera in scene.cameras] == expected
    chosen = open_scene(scene.source, cameras=["right", "left"])
    assert [(camera.name, camera.index) for camera in chosen.cameras] == expected[1:]
    assert [image.camera.index for image in chosen[0].images] == [2, 3]


def test_of_several_topics_of_a_camera_the_sensors_own_is_read(tmp_path: Path) -> None:
    topics = ["/front/image_rect_color/compressed", "/front/image_raw/compressed", "/front/image_raw/compressedDepth"]
    scene = scene_of(tmp_path, info_message("/front/camera_info"), *map(image_message, topics))
    assert scene.cameras[0].intrinsics.distortion.k1 == -0.1
    used = {stream.name for stream in scene.streams if stream.used}
    assert topics[1] in used
    assert not {topics[0], topics[2]} & used
    assert any("/front/image_raw/compressed is read, and not" in note for note in scene.notes)


def test_a_rectified_topic_alone_is_read_with_p(tmp_path: Path) -> None:
    p = np.array([400.0, 0, 310, -40, 0, 401, 230, 0, 0, 0, 1, 0])
    scene = scene_of(tmp_path, info_message("/front/camera_info", p=p), image_message("/front/image_rect/compressed"))
    assert scene.cameras[0].intrinsics.fx == 400
    assert any("moves it against the first camera of its pair" in note for note in scene.notes)
    assert scene.cameras[0].intrinsics.distortion.nonzero() == {}


def test_a_calibration_may_be_found_by_its_frame(tmp_path: Path) -> None:
    scene = scene_of(tmp_path, info_message("/calibration/front"), image_message("/front/image_raw/compressed"))
    assert scene.cameras[0].intrinsics.fx == 500


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([image_message("/front/image/compressed")], "no CameraInfo belongs to"),
        (
            [image_message("/front/image/compressed"), info_message("/front/camera_info", k=np.zeros(9))],
            "focal lengths",
        ),
        (
            [image_message("/front/image/compressed", frame="nowhere"), info_message("/front/camera_info", "nowhere")],
            "no transform leads from nowhere to base_link",
        ),
        (
            [Message("/front/depth", IMAGE, T0, image_fields(COLOURS, "32FC1")), info_message("/front/camera_info")],
            "32FC1 encoding",
        ),
    ],
)
def test_a_camera_that_cannot_be_used_is_left_out_and_noted(
    tmp_path: Path, messages: list[Message], reason: str
) -> None:
    scene = scene_of(tmp_path, *messages)
    assert scene.cameras == ()
    assert any(note.startswith("camera front is left out") and reason in note for note in scene.notes)


def test_images_without_poses_keep_their_extrinsics(tmp_path: Path) -> None:
    messages = [STATIC, OPTICAL, *CLOUDS, info_message("/front/camera_info"), image_message("/front/image/compressed")]
    scene = open_scene(written(tmp_path, messages))
    (found,) = scene[0].images
    assert found.world_from_camera is None
    assert found.camera.ego_from_camera is not None
    assert found.content is not None
    assert found.content() == jpeg()
