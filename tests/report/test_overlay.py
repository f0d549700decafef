"""Points over images: at the pixel where the camera's model puts them, for every model; and what cannot be drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lidarprep as lp
from lidarprep.errors import RecipeError
from lidarprep.report.colours import OKABE_ITO
from lidarprep.report.overlay import range_of
from lidarprep.report.views import SceneView
from tests.report.scenes import box_at, encoded, frame_of, labels_of, pixels_of, scene_of
from tests.scenes import OPTICAL

WIDTH, HEIGHT = 480, 360

# The device's x axis is ahead; the camera is somewhere on it, turned a little.
ON_DEVICE = lp.Pose(OPTICAL.as_matrix(), np.array([0.4, -0.2, 1.1]))
WORLD = lp.Pose.from_euler(0.02, -0.03, 1.2, (100.0, -50.0, 3.0))

MODELS: dict[str, lp.Intrinsics] = {
    "brown_conrady": lp.Intrinsics(
        300, 310, 235, 182, 2.0, "brown_conrady", lp.Distortion(k1=-0.12, k2=0.01, p1=0.002, p2=-0.001), WIDTH, HEIGHT
    ),
    "fisheye": lp.Intrinsics(220, 221, 240, 180, 0.0, "fisheye", lp.Distortion(k1=-0.02, k2=0.003), WIDTH, HEIGHT),
    "omnidirectional": lp.Intrinsics(
        500, 502, 240, 181, 0.0, "omnidirectional", lp.Distortion(k1=-0.05, p1=0.001, xi=0.9), WIDTH, HEIGHT
    ),
    "cylindrical": lp.Intrinsics(150, 150, 240, 180, 0.0, "cylindrical", lp.Distortion(), WIDTH, HEIGHT),
    "equirectangular": lp.Intrinsics(76, 76, 240, 180, 0.0, "equirectangular", lp.Distortion(), WIDTH, HEIGHT),
}


def image_of(intrinsics: lp.Intrinsics, content: bytes | None = None, **more: Any) -> lp.CameraImage:
    camera = lp.Camera("front", 0, intrinsics, ON_DEVICE)
    black = encoded(np.zeros((HEIGHT, WIDTH, 3), np.uint8)) if content is None else content
    given = {"world_from_camera": WORLD @ ON_DEVICE} | more
    return lp.CameraImage(camera, content=lambda: black, **given)


def seen_by(intrinsics: lp.Intrinsics, count: int = 12) -> np.ndarray[Any, Any]:
    """(N, 3) points in the device's frame that are far apart in the image."""
    rng = np.random.default_rng(5)
    rays = rng.normal(size=(4000, 3))
    in_camera = rays / np.linalg.norm(rays, axis=1, keepdims=True) * rng.uniform(4, 40, (4000, 1))
    pixels, seen = intrinsics.project(in_camera)
    chosen: list[int] = []
    for row in np.flatnonzero(seen & (pixels > 5).all(axis=1) & (pixels < (WIDTH - 6, HEIGHT - 6)).all(axis=1)):
        if all(np.hypot(*(pixels[row] - pixels[other])) > 30 for other in chosen) and len(chosen) < count:
            chosen.append(int(row))
    assert len(chosen) >= 8
    return ON_DEVICE.apply(in_camera[chosen])


def spots(picture: Image.Image, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray[Any, Any]:
    """(K, 2) columns and rows of the lit pixels of the image."""
    rows, columns = np.nonzero((pixels_of(picture)[: size[1], : size[0]] > 24).any(axis=2))
    return np.column_stack((columns, rows))


def matched(lit: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    """Every lit pixel is the one of a point, and every point has one."""
    assert sorted(map(tuple, lit.tolist())) == sorted(map(tuple, expected.tolist()))


@pytest.mark.parametrize("model", MODELS)
def test_points_are_at_the_pixels_that_the_camera_projects_them_to(model: str) -> None:
    intrinsics = MODELS[model]
    points = seen_by(intrinsics)
    image = image_of(intrinsics)
    frame = frame_of(points, world_from_ego=WORLD, images=(image,))
    pixels, seen = image.project(WORLD.apply(points))
    assert seen.all()
    picture = lp.overlay(frame, "front", width=WIDTH)
    matched(spots(picture), np.floor(pixels + 0.5).astype(int))


@pytest.mark.parametrize("model", MODELS)
def test_shrunk_images_have_the_points_where_their_pixels_are(model: str) -> None:
    intrinsics = MODELS[model]
    points = seen_by(intrinsics)
    small = encoded(np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8))
    image = image_of(intrinsics, small, scale_factor=2.0)
    frame = frame_of(points, world_from_ego=WORLD, images=(image,))
    pixels, _ = image.project(WORLD.apply(points))
    # A pixel of the small image covers two by two of the large one: -0.5 to 1.5 are its pixel 0.
    expected = np.floor((pixels + 0.5) / 2).astype(int)
    picture = lp.overlay(frame, "front", width=WIDTH // 2)
    matched(spots(picture, (WIDTH // 2, HEIGHT // 2)), expected)
    # Drawn twice as large as it is stored, it is in the pixels of the calibration.
    matched(spots(lp.overlay(frame, "front", width=WIDTH)), np.floor(pixels + 0.5).astype(int))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_images_are_taken_as_they_are_stored_whatever_their_exif_data_says(orientation: int) -> None:
    intrinsics = MODELS["brown_conrady"]
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:24, :24] = 200  # the upper left corner as it is stored
    frame = frame_of(
        seen_by(intrinsics),
        world_from_ego=WORLD,
        images=(image_of(intrinsics, encoded(pixels, "JPEG", exif=exif, quality=95)),),
    )
    shown = pixels_of(lp.overlay(frame, "front", width=WIDTH, points_of=()))[:HEIGHT]
    assert shown[4:20, 4:20].min() > 180
    assert shown[40:, 40:].max() < 20


def test_the_nearest_point_is_seen_and_all_frames_are_in_one_world() -> None:
    intrinsics = MODELS["brown_conrady"]
    ray = seen_by(intrinsics)[0] - ON_DEVICE.translation
    near, far = (ON_DEVICE.translation + ray * times for times in (1.0, 3.0))
    moved = lp.Pose.from_euler(0, 0, 1.1, (104.0, -47.0, 3.0))
    image = image_of(intrinsics)
    first = frame_of(far, 0, world_from_ego=WORLD, images=(image,))
    second = frame_of(moved.inverse().apply(WORLD.apply(near)), 1, world_from_ego=moved)
    for frames, row in (((first, second), 1), ((second, first), 0), ((first,), 0)):
        picture = lp.overlay(first, "front", points_of=frames, color="frame", width=WIDTH)
        (place,) = spots(picture)
        assert pixels_of(picture)[place[1], place[0]].tolist() == OKABE_ITO[row].tolist()


def test_frames_without_poses_use_the_pose_on_the_device() -> None:
    intrinsics = MODELS["fisheye"]
    points = seen_by(intrinsics)
    frame = frame_of(points, images=(image_of(intrinsics, world_from_camera=None),))
    pixels, _ = intrinsics.project(ON_DEVICE.inverse().apply(points))
    matched(spots(lp.overlay(frame, "front", width=WIDTH)), np.floor(pixels + 0.5).astype(int))
    nowhere = replace(frame.images[0], camera=replace(frame.images[0].camera, ego_from_camera=None))
    assert not len(spots(lp.overlay(replace(frame, images=(nowhere,)), "front", width=WIDTH)))


def test_what_cannot_be_decoded_is_a_plate_with_the_points_all_the_same(tmp_path: Path) -> None:
    intrinsics = MODELS["brown_conrady"]
    points = seen_by(intrinsics)
    whole = encoded(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8), "JPEG")
    pixels = np.floor(image_of(intrinsics).project(WORLD.apply(points))[0] + 0.5).astype(int)
    damaged = [
        image_of(intrinsics, whole[: len(whole) // 2]),
        image_of(intrinsics, b"no image"),
        replace(image_of(intrinsics), content=None, path=tmp_path / "missing.jpg"),
        replace(image_of(intrinsics), content=None, url="https://example.com/a.jpg?signature=secret"),
    ]
    for image in damaged:
        frame = frame_of(points, world_from_ego=WORLD, images=(image,))
        shown = pixels_of(lp.overlay(frame, "front", width=WIDTH))
        lit = [tuple(shown[v, u]) != (58, 58, 58) for u, v in pixels]
        assert all(lit)
        assert (shown[:HEIGHT] == 58).all(axis=2).mean() > 0.9


def test_the_end_of_a_models_range_is_drawn_where_it_lies_in_the_image() -> None:
    # The distorted radius of this barrel grows up to r = 1: 1 + 3 k1 r² = 0.
    barrel = lp.Intrinsics(200, 200, 240, 180, 0.0, "brown_conrady", lp.Distortion(k1=-1 / 3), WIDTH, HEIGHT)
    found = range_of(replace(barrel, width=None, height=None))
    assert found is not None
    angle, outline = found
    assert angle == pytest.approx(np.pi / 4, abs=1e-6)
    np.testing.assert_allclose(np.hypot(*(outline - (240, 180)).T), 200 * 2 / 3, atol=1e-3)
    grey = encoded(np.full((HEIGHT, WIDTH, 3), 200, np.uint8))
    frame = frame_of(seen_by(MODELS["brown_conrady"]), world_from_ego=WORLD, images=(image_of(barrel, grey),))
    shown = pixels_of(lp.overlay(frame, "front", width=WIDTH, points_of=()))
    assert shown[180, 240].tolist() == [200, 200, 200]
    assert shown[10, 10].max() < 120, "darkened beyond"
    # A lens whose range ends outside the image is drawn as it is.
    mild = image_of(MODELS["brown_conrady"], grey)
    plain = pixels_of(lp.overlay(replace(frame, images=(mild,)), "front", width=WIDTH, points_of=()))
    assert (plain[:HEIGHT] == 200).all()


@pytest.mark.parametrize("model", MODELS)
def test_the_edges_of_a_cuboid_go_through_its_corners_and_where_the_lens_bends_them(model: str) -> None:
    intrinsics = MODELS[model]
    image = image_of(intrinsics)
    centre = image.world_from_camera.apply((0.5, 0.3, 8.0))  # type: ignore[union-attr]
    labels = labels_of(box_at(centre, (2.0, 4.0, 1.5), yaw=0.7))
    frame = frame_of(np.full((1, 3), -300.0), world_from_ego=WORLD, images=(image,))
    drawn = pixels_of(lp.overlay(frame, "front", width=WIDTH, labels=labels))
    c, s = np.cos(0.7), np.sin(0.7)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    places = []
    for share in np.linspace(-1, 1, 21):  # along the four edges of the box's own y axis
        places += [turn @ np.array([x, 2.0 * share, z]) + centre for x in (-1.0, 1.0) for z in (-0.75, 0.75)]
    pixels, seen = image.project(np.array(places))
    assert seen.all()
    lit = (drawn > 60).any(axis=2)
    for u, v in np.floor(pixels + 0.5).astype(int):
        assert lit[v - 1 : v + 2, u - 1 : u + 2].any()
    assert lit[:HEIGHT].sum() < 0.1 * WIDTH * HEIGHT


def test_labels_are_those_of_the_frame_that_is_shown() -> None:
    intrinsics = MODELS["brown_conrady"]
    image = image_of(intrinsics)
    centre = tuple(image.world_from_camera.apply((0.0, 0.0, 8.0)).tolist())  # type: ignore[union-attr]
    labels = labels_of(box_at(centre, (2.0, 4.0, 1.5), frame=1))
    frames = [frame_of(np.full((1, 3), -300.0), row, world_from_ego=WORLD, images=(image,)) for row in (0, 1)]
    view = SceneView.of(scene_of(frames))
    lit = [len(spots(lp.overlay(frame, "front", view=view, labels=labels, width=WIDTH))) for frame in frames]
    assert lit[0] == 0
    assert lit[1] > 300
    alone = [len(spots(lp.overlay(frame, "front", labels=labels, width=WIDTH))) for frame in frames]
    assert alone == lit, "without a view they are chosen, too"


@pytest.mark.parametrize("content", [encoded(np.zeros((3000, 2, 3), np.uint8)), b"no image"])
def test_images_far_taller_than_wide_make_no_picture_of_gigabytes(content: bytes) -> None:
    intrinsics = lp.Intrinsics(1000, 1000, 0.5, 1500, width=1, height=9000)
    image = image_of(intrinsics, content)
    frame = frame_of(ON_DEVICE.apply([[0, 0, 5]]), 0, world_from_ego=WORLD, images=(image,))
    picture = lp.overlay(frame, "front", width=100)
    assert picture.width == 100
    assert 10_000 < picture.height < 10_200


def test_a_camera_that_the_frame_has_not_names_those_that_it_has() -> None:
    frame = frame_of((1, 2, 3), world_from_ego=WORLD, images=(image_of(MODELS["fisheye"]),))
    with pytest.raises(RecipeError, match="no image of camera 'back'; it has front"):
        lp.overlay(frame, "back")


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_deep_images_are_shown_by_their_own_brightness(dtype: str) -> None:
    ramp = np.tile(np.linspace(0, 3000, WIDTH), (HEIGHT, 1)).astype(dtype)
    name = "TIFF" if dtype != "uint16" else "PNG"
    frame = frame_of((-300, 0, 0), world_from_ego=WORLD, images=(image_of(MODELS["fisheye"], encoded(ramp, name)),))
    shown = pixels_of(lp.overlay(frame, "front", width=WIDTH, points_of=()))[HEIGHT // 2, :, 0]
    assert (np.diff(shown) >= 0).all()
    assert shown[-3] > 240
    assert abs(shown[WIDTH // 2] - 128) < 6
