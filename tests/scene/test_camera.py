"""Projection against OpenCV, and against plain geometry where OpenCV has no such model."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.errors import SceneError
from lidarprep.scene import Camera, CameraImage, Distortion, Intrinsics, Pose
from lidarprep.scene.camera import MODEL_COEFFICIENTS, intrinsics_from_mapping

FX, FY, CX, CY = 930.0, 927.5, 961.25, 540.5
K = np.array([[FX, 0, CX], [0, FY, CY], [0, 0, 1]])
NOTHING = np.zeros(3)

small = st.floats(-0.05, 0.05)


def intrinsics(**more: object) -> Intrinsics:
    return Intrinsics(FX, FY, CX, CY, **more)  # type: ignore[arg-type]


def in_front(seed: int = 0, spread: float = 0.7, count: int = 300) -> np.ndarray:
    """Points ahead of the camera, up to `spread` times their depth off its axis."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.5, 80, count)
    return np.column_stack((rng.uniform(-spread, spread, count) * z, rng.uniform(-spread, spread, count) * z, z))


def opencv_pixels(points: np.ndarray, coefficients: list[float]) -> np.ndarray:
    pixels, _ = cv2.projectPoints(points, NOTHING, NOTHING, K, np.array(coefficients))
    return pixels.reshape(-1, 2)


@given(st.lists(small, min_size=5, max_size=5))
def test_brown_conrady_lands_where_opencv_says(d: list[float]) -> None:
    k1, k2, p1, p2, k3 = d
    points = in_front()
    pixels, seen = intrinsics(distortion=Distortion(k1=k1, k2=k2, p1=p1, p2=p2, k3=k3)).project(points)
    assert seen.sum() > 250  # the rest may lie where the radius folds back
    np.testing.assert_allclose(pixels[seen], opencv_pixels(points, d)[seen], atol=1e-6)


@given(st.lists(small, min_size=8, max_size=8))
def test_the_rational_model_lands_where_opencv_says(d: list[float]) -> None:
    k1, k2, p1, p2, k3, k4, k5, k6 = d
    distortion = Distortion(k1=k1, k2=k2, p1=p1, p2=p2, k3=k3, k4=k4, k5=k5, k6=k6)
    points = in_front()
    pixels, seen = intrinsics(distortion=distortion).project(points)
    assert seen.sum() > 250
    np.testing.assert_allclose(pixels[seen], opencv_pixels(points, d)[seen], atol=1e-6)


@given(st.lists(small, min_size=4, max_size=4), st.floats(-0.02, 0.02))
def test_fisheye_lands_where_opencv_says(d: list[float], alpha: float) -> None:
    k1, k2, k3, k4 = d
    points = in_front(spread=2.0)
    pixels, seen = intrinsics(
        model="fisheye", distortion=Distortion(k1=k1, k2=k2, k3=k3, k4=k4), skew=alpha * FX
    ).project(points)
    expected, _ = cv2.fisheye.projectPoints(points[:, None], NOTHING, NOTHING, K, np.array(d), alpha=alpha)
    assert seen.sum() > 100
    np.testing.assert_allclose(pixels[seen], expected.reshape(-1, 2)[seen], atol=1e-6)


@given(st.lists(small, min_size=4, max_size=4), st.floats(0.0, 2.0), st.floats(-20, 20))
def test_omnidirectional_lands_where_opencv_says(d: list[float], xi: float, skew: float) -> None:
    k1, k2, p1, p2 = d
    with_skew = K.copy()
    with_skew[0, 1] = skew
    points = in_front(spread=1.5)
    pixels, seen = intrinsics(
        model="omnidirectional", distortion=Distortion(k1=k1, k2=k2, p1=p1, p2=p2, xi=xi), skew=skew
    ).project(points)
    expected, _ = cv2.omnidir.projectPoints(
        points[:, None], NOTHING, NOTHING, with_skew, float(xi), np.array(d).reshape(1, 4)
    )
    assert seen.sum() > 100
    np.testing.assert_allclose(pixels[seen], expected.reshape(-1, 2)[seen], atol=1e-6)


def test_a_mirror_sees_sideways_and_a_lens_does_not() -> None:
    sideways = [[1.0, 0.0, -0.2]]
    _, by_lens = intrinsics(model="omnidirectional").project(sideways)
    pixels, by_mirror = intrinsics(model="omnidirectional", distortion=Distortion(xi=0.8)).project(sideways)
    assert not by_lens[0]
    assert by_mirror[0]
    x, z = np.array([1.0, -0.2]) / np.hypot(1.0, 0.2)
    np.testing.assert_allclose(pixels[0], (FX * x / (z + 0.8) + CX, CY))


def test_a_mirror_images_nothing_beyond_its_rim() -> None:
    mirror = intrinsics(model="omnidirectional", distortion=Distortion(xi=2.0))
    # The rim of a mirror with xi = 2 is where z of the unit sphere is -1/2: 120° off the axis.
    angles = np.radians([119.0, 121.0])
    _, seen = mirror.project(np.column_stack((np.sin(angles), [0, 0], np.cos(angles))))
    assert seen.tolist() == [True, False]


def test_cylindrical_is_the_angle_about_y_and_the_height_at_distance_one() -> None:
    angle, height = np.radians(35.0), 0.4
    pixels, seen = intrinsics(model="cylindrical").project([[3 * np.sin(angle), 3 * height, 3 * np.cos(angle)]])
    assert seen.all()
    np.testing.assert_allclose(pixels[0], (CX + FX * angle, CY + FY * height))


def test_equirectangular_is_longitude_and_latitude() -> None:
    longitude, latitude = np.radians([-130.0, 50.0])  # below the horizon: y is down
    ray = np.array([np.cos(latitude) * np.sin(longitude), np.sin(latitude), np.cos(latitude) * np.cos(longitude)])
    pixels, seen = intrinsics(model="equirectangular").project(7 * ray[None])
    assert seen.all()
    np.testing.assert_allclose(pixels[0], (CX + FX * longitude, CY + FY * latitude))


def test_the_whole_circle_is_seen_by_the_panoramic_models() -> None:
    around = np.array([[0, 0.1, 1], [1, 0.1, 0], [0, 0.1, -1], [-1, 0.1, 0]])
    for model in ("cylindrical", "equirectangular"):
        assert intrinsics(model=model).project(around)[1].all()


@pytest.mark.parametrize("model", ["brown_conrady", "fisheye", "omnidirectional"])
def test_points_behind_the_camera_have_no_image(model: str) -> None:
    points = np.vstack((in_front(count=50), [[0, 0, 1]]))
    _, seen = intrinsics(model=model).project(points)
    assert seen.all()
    _, seen = intrinsics(model=model).project(points * [1, 1, -1])
    assert not seen.any()


@pytest.mark.parametrize("model", sorted(MODEL_COEFFICIENTS))
def test_the_camera_itself_and_what_is_not_a_number_have_no_image(model: str) -> None:
    _, seen = intrinsics(model=model).project([[0, 0, 0], [np.nan, 0, 1], [0, 0, np.nan]])
    assert not seen.any()


@pytest.mark.parametrize("model", sorted(MODEL_COEFFICIENTS))
def test_what_lies_straight_ahead_lands_on_the_principal_point(model: str) -> None:
    pixels, seen = intrinsics(model=model).project([[0, 0, 12.0]])
    assert seen.all()
    np.testing.assert_allclose(pixels, [[CX, CY]])


def test_skew_moves_u_by_y() -> None:
    pixels, _ = intrinsics(skew=40.0).project([[1.0, 2.0, 4.0]])
    np.testing.assert_allclose(pixels, [[FX * 0.25 + 40.0 * 0.5 + CX, FY * 0.5 + CY]])


def test_lx_and_ly_shift_the_ray_but_not_the_radius_of_its_distortion() -> None:
    """As scale_sensor_fusion_io 0.5.4 has it: the radius is taken first, then the ray is shifted."""
    pixels, _ = intrinsics(distortion=Distortion(k1=-0.2, lx=0.01, ly=-0.02)).project([[1.0, 2.0, 4.0]])
    radial = 1 - 0.2 * (0.25**2 + 0.5**2)
    np.testing.assert_allclose(pixels, [[FX * 0.26 * radial + CX, FY * 0.48 * radial + CY]])


def test_points_that_would_fold_back_into_the_image_have_no_image() -> None:
    barrel = intrinsics(distortion=Distortion(k1=-0.2))  # r (1 - 0.2 r²) grows up to r² = 1 / 0.6
    edge = np.sqrt(1 / 0.6)
    _, seen = barrel.project([[edge - 0.01, 0, 1], [edge + 0.01, 0, 1]])
    assert seen.tolist() == [True, False]
    fisheye = intrinsics(model="fisheye", distortion=Distortion(k1=-0.4))  # θ (1 - 0.4 θ²): up to θ² = 1 / 1.2
    angles = np.sqrt(1 / 1.2) + np.array([-0.01, 0.01])
    _, seen = fisheye.project(np.column_stack((np.sin(angles), [0, 0], np.cos(angles))))
    assert seen.tolist() == [True, False]


@pytest.mark.parametrize("tiny", [5e-324, 1e-311, 1e-146, 1e-30])
def test_a_tiny_coefficient_changes_nothing(tiny: float) -> None:
    points = in_front(spread=1.0)
    for model, coefficient in (("brown_conrady", "k3"), ("fisheye", "k4"), ("omnidirectional", "k2")):
        with_it = intrinsics(model=model, distortion=Distortion(k1=-0.01, **{coefficient: tiny})).project(points)
        without = intrinsics(model=model, distortion=Distortion(k1=-0.01)).project(points)
        assert np.array_equal(with_it[1], without[1])
        np.testing.assert_allclose(with_it[0], without[0])


def test_only_pixels_of_the_image_are_seen_where_its_size_is_known() -> None:
    camera = Intrinsics(100.0, 100.0, 0.0, 0.0, width=200, height=100)
    u = np.array([-0.51, -0.5, 0.0, 199.49, 199.5])
    pixels, seen = camera.project(np.column_stack((u / 100, np.zeros(5), np.ones(5))))
    np.testing.assert_allclose(pixels[:, 0], u)
    assert seen.tolist() == [False, True, True, True, False]


def test_no_points_have_no_pixels() -> None:
    for model in MODEL_COEFFICIENTS:
        pixels, seen = intrinsics(model=model).project(np.empty((0, 3)))
        assert pixels.shape == (0, 2)
        assert seen.shape == (0,)


def test_world_points_go_through_the_images_pose() -> None:
    # The optical axis (z) looks along the world's x, and the image's y points down.
    world_from_camera = Pose(np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0.0]]), np.array([10.0, 20.0, 2.0]))
    image = CameraImage(Camera("front", 0, intrinsics()), world_from_camera=world_from_camera)
    pixels, seen = image.project([[20.0, 19.0, 3.0], [0.0, 20.0, 2.0]])  # 10 m ahead, 1 m right, 1 m up; behind
    assert seen.tolist() == [True, False]
    np.testing.assert_allclose(pixels[0], (CX + FX * 0.1, CY - FY * 0.1))


def test_a_image_without_a_pose_projects_nothing() -> None:
    with pytest.raises(SceneError, match="no pose"):
        CameraImage(Camera("front", 0, intrinsics()), url="https://x/1.jpg").project([[0, 0, 1]])


@pytest.mark.parametrize("model", sorted(MODEL_COEFFICIENTS))
@pytest.mark.parametrize("name", list(Distortion.__dataclass_fields__))
def test_a_coefficient_of_another_model_is_refused_by_name(model: str, name: str) -> None:
    if name in MODEL_COEFFICIENTS[model]:  # type: ignore[index]
        assert intrinsics(model=model, distortion=Distortion(**{name: 0.01})).distortion.nonzero() == {name: 0.01}
    else:
        with pytest.raises(SceneError, match=f"{model} model does not use {name}"):
            intrinsics(model=model, distortion=Distortion(**{name: 0.01}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"fx": 0.0},
        {"fy": -1.0},
        {"fx": np.nan},
        {"cx": np.inf},
        {"skew": np.nan},
        {"model": "pinhole"},
        {"distortion": Distortion(k1=np.nan)},
        {"distortion": Distortion(p2=np.inf)},
    ],
)
def test_intrinsics_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SceneError):
        Intrinsics(**({"fx": FX, "fy": FY, "cx": CX, "cy": CY} | wrong))  # type: ignore[arg-type]


PLAIN = {"fx": 900, "fy": 901.5, "cx": 640, "cy": 360}


def test_the_keys_of_frame_json_are_read() -> None:
    found = intrinsics_from_mapping(
        PLAIN | {"camera_model": "fisheye", "k1": 0.1, "k4": -0.2, "skew": 1, "width": 1280, "height": 720}
    )
    assert found == Intrinsics(
        900.0, 901.5, 640.0, 360.0, 1.0, "fisheye", Distortion(k1=0.1, k4=-0.2), width=1280, height=720
    )
    assert intrinsics_from_mapping(PLAIN).model == "brown_conrady"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fx": None}, "fx"),
        ({"fx": "900"}, "fx"),
        ({"fx": True}, "fx"),
        ({"cy": [1.0]}, "cy"),
        ({"fx": float("nan")}, "fx"),
        ({"k7": 0.1}, "k7"),
        ({"camera_model": "pinhole"}, "pinhole"),
        ({"camera_model": None}, "None"),
        ({"camera_model": ["fisheye"]}, "fisheye"),
        ({"camera_model": "cylindrical", "k1": 0.5}, "k1"),
        ({"width": float("inf"), "height": 1}, "width"),
        ({"width": float("nan"), "height": 1}, "width"),
        ({"height": 0, "width": 1}, "height"),
        ({"fx": 10**5000}, "fx"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused_by_key(change: dict[str, object], message: str) -> None:
    with pytest.raises(SceneError, match=message):
        intrinsics_from_mapping(PLAIN | change)


@pytest.mark.parametrize("key", ["fx", "fy", "cx", "cy"])
def test_a_missing_number_is_named(key: str) -> None:
    with pytest.raises(SceneError, match=f"lack {key}"):
        intrinsics_from_mapping({k: v for k, v in PLAIN.items() if k != key})
