"""The ground under a device, against scenes whose ground is known and fitted by SciPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import least_squares

from lidarprep.checks import CheckOptions, Sample, check_scene, ground_under
from lidarprep.checks._ground import ground_height
from lidarprep.checks.codes import CODES
from lidarprep.scene import Finding, Frame, PointCloud, Pose, Scene
from tests.checks.rigs import at, scene_of

Array = NDArray[np.float64]


def road(
    rng: np.random.Generator, height: float, slope: tuple[float, float] = (0.0, 0.0), noise: float = 0.02
) -> Array:
    """(N, 3) points of rings on a plane `height` below a device, as a lidar 1.8 m above the road sees them."""
    elevation = np.radians(np.arange(5.0, 26.0, 1.0))
    azimuth = np.radians(np.arange(0.0, 360.0, 0.8))
    distance = np.repeat(1.8 / np.tan(elevation), len(azimuth))
    angle = np.tile(azimuth, len(elevation))
    x, y = distance * np.cos(angle), distance * np.sin(angle)
    return np.column_stack((x, y, slope[0] * x + slope[1] * y - height + rng.normal(0, noise, len(x))))


def street(rng: np.random.Generator, height: float, slope: tuple[float, float], noise: float) -> Array:
    """The road with walls on both sides, parked cars, returns of the vehicle itself and reflections below the road."""
    ground = road(rng, height, slope, noise)
    open_road = ground[(np.abs(ground[:, 1]) < 8) & ~((np.abs(ground[:, 1]) > 3.5) & (ground[:, 0] % 7 < 4.5))]
    wall = np.column_stack((rng.uniform(-20, 20, 6000), rng.choice((-8.0, 8.0), 6000), rng.uniform(0, 6, 6000)))
    cars = np.column_stack(
        (rng.integers(-3, 3, 4000) * 7.0, rng.choice((-4.5, 4.5), 4000), rng.uniform(0.3, 1.5, 4000))
    )
    cars[:, 0] += rng.uniform(0, 4.5, 4000)
    bonnet = np.column_stack((rng.uniform(-1, 2, 800), rng.uniform(-0.9, 0.9, 800), rng.normal(0.9, 0.02, 800)))
    mirrored = np.column_stack((rng.uniform(-15, 15, 150), rng.uniform(-8, 8, 150), rng.uniform(-4, -0.5, 150)))
    above = np.concatenate((wall, cars, bonnet, mirrored))
    above[:, 2] += slope[0] * above[:, 0] + slope[1] * above[:, 1] - height
    return np.concatenate((open_road, above))


def by_scipy(ground: Array) -> float:
    """Height over a robust plane through points that are all of the ground."""
    plane = least_squares(
        lambda p: ground[:, 2] - (p[0] * ground[:, 0] + p[1] * ground[:, 1] + p[2]),
        x0=(0.0, 0.0, float(np.median(ground[:, 2]))),
        loss="soft_l1",
        f_scale=0.05,
    ).x
    return float(-plane[2])


def samples_of(*clouds: Array) -> list[Sample]:
    scene = scene_of(clouds, [at(3.0 * row) for row in range(len(clouds))])
    return [Sample(frame, frame.points()) for frame in scene]


SLOPES = st.floats(-0.08, 0.08)


@settings(max_examples=20)
@given(height=st.floats(0, 3), x=SLOPES, y=SLOPES, noise=st.floats(0, 0.05), seed=st.integers(0, 999))
def test_the_height_over_a_street_is_that_over_its_road(
    height: float, x: float, y: float, noise: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    found = ground_height(street(rng, height, (x, y), noise))
    expected = by_scipy(road(np.random.default_rng(seed), height, (x, y), noise))
    assert found == pytest.approx(expected, abs=0.06)
    assert found == pytest.approx(height, abs=0.06)


@settings(max_examples=15)
@given(height=st.floats(0, 3), seed=st.integers(0, 999))
def test_sixteen_beams_of_which_half_is_lost_are_enough(height: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = road(rng, height)
    rings = np.isin(np.arange(len(points)) // 450, (0, 2, 4, 6, 8, 10))  # 5° to 15° down, two degrees apart
    assert ground_height(points[rings & (rng.random(len(points)) < 0.5)]) == pytest.approx(height, abs=0.05)


def test_a_ceiling_and_a_platform_are_not_the_ground() -> None:
    rng = np.random.default_rng(4)
    ceiling = rng.uniform((-15, -15, 2.4), (15, 15, 2.42), (20_000, 3))
    platform = rng.uniform((3, 3, -0.8), (12, 12, -0.78), (8_000, 3))
    assert ground_height(np.concatenate((road(rng, 1.8), ceiling, platform))) == pytest.approx(1.8, abs=0.05)


@pytest.mark.parametrize("half_side", [5.0, 12.0, 40.0])
@pytest.mark.parametrize("count", [0, 10, 5_000, 30_000])
def test_a_volume_of_points_has_no_ground(half_side: float, count: int) -> None:
    assert ground_height(np.random.default_rng(count).uniform(-half_side, half_side, (count, 3))) is None


def test_walls_alone_have_no_ground() -> None:
    rng = np.random.default_rng(1)
    wall = np.column_stack((rng.uniform(-20, 20, 9000), np.full(9000, 6.0), rng.uniform(-2, 6, 9000)))
    assert ground_height(wall) is None


def test_frames_that_show_no_ground_are_counted_and_disagreement_is_no_answer() -> None:
    rng = np.random.default_rng(2)
    nothing = rng.uniform(-40, 40, (5000, 3))
    found = ground_under(samples_of(road(rng, 1.8), nothing, road(rng, 1.9)))
    assert found is not None
    assert (found.frames, found.looked_at) == (2, 3)
    assert found.height == pytest.approx(1.85, abs=0.02)
    assert found.spread == pytest.approx(0.1, abs=0.02)
    assert ground_under(samples_of(road(rng, 1.0), nothing, road(rng, 3.0))) is None
    assert ground_under(samples_of(nothing, nothing, road(rng, 1.8))) is None
    assert ground_under([]) is None


def test_points_in_the_world_are_seen_from_the_device() -> None:
    rng = np.random.default_rng(3)
    pose = Pose.from_euler(0.02, -0.03, 2.0, (4.5e5, 5.2e6, 311.0))
    cloud = PointCloud(pose.apply(road(rng, 1.8)), "world")
    frame = Frame("0", 0, lambda: cloud, world_from_ego=pose)
    found = ground_under([Sample(frame, cloud)])
    assert found is not None
    assert found.height == pytest.approx(1.8, abs=0.03)
    assert ground_under([Sample(replace(frame, world_from_ego=None), cloud)]) is None


def test_absurd_coordinates_are_passed_over() -> None:
    rng = np.random.default_rng(5)
    absurd = rng.uniform(-1, 1, (50, 3)) * 1e300
    assert ground_under(samples_of(np.concatenate((road(rng, 1.8), absurd)))) is not None
    assert ground_under(samples_of(absurd)) is None


# ---- a height that was given -----------------------------------------------------------------------------------------


def findings(scene: Scene, given: float, band: tuple[float, float] | None = (-1.0, 8.0)) -> list[Finding]:
    options = CheckOptions(device_height=given, height_band=band)
    return [one for one in check_scene(scene, options) if one.code == "device-height"]


@pytest.fixture(scope="module")
def driven() -> Scene:
    rng = np.random.default_rng(6)
    return scene_of([road(rng, 1.8)] * 3, [at(2.0 * row) for row in range(3)])


@pytest.mark.parametrize(
    ("given", "severity"),
    [
        (1.8, None),
        (1.55, None),
        (2.05, None),
        (1.3, "warning"),
        (2.3, "warning"),
        (5.0, "warning"),
        (0.0, "error"),
        (0.6, "error"),
        (30.0, "error"),
    ],
)
def test_a_height_that_the_points_contradict_is_a_finding(driven: Scene, given: float, severity: str | None) -> None:
    found = findings(driven, given)
    assert [one.severity for one in found] == ([severity] if severity else [])
    for one in found:
        assert one.found == given
        assert one.expected == pytest.approx(1.8, abs=0.02)
        assert one.option is not None
        assert one.option.flag == f"--device-height {one.expected:g}"
        assert "below it in 3 of 3 frames" in one.message
        assert ("leaves the ground out" in one.message) == (severity == "error")
        assert severity in CODES[one.code].severity


def test_a_band_that_is_meant_to_drop_the_ground_is_no_error(driven: Scene) -> None:
    (found,) = findings(driven, 1.0, (0.3, 6.0))
    assert found.severity == "warning"
    assert findings(driven, 1.8, (0.3, 6.0)) == []
