"""Fates of points against an oracle: the rules of preparation in plain NumPy, point by point."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import lidarprep as lp
from lidarprep.report.views import Fate, SceneView

# Numbers on a coarse grid, well away from edges, where rounding decides.
METRES = st.integers(-40, 40).map(lambda number: number + 0.25)


@st.composite
def poses(draw: st.DrawFn) -> lp.Pose:
    angles = [draw(st.floats(-limit, limit)) for limit in (0.1, 0.1, math.pi)]
    quaternion = Rotation.from_euler("xyz", angles).as_quat(scalar_first=True)
    return lp.Pose.from_quaternion(quaternion, [draw(METRES), draw(METRES), draw(st.floats(-2, 2))])


@st.composite
def clouds(draw: st.DrawFn) -> NDArray[np.float64]:
    """(N, 3) points: usual ones, some that are not finite, and some where a lidar puts rays that met nothing."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    points = rng.uniform((-60, -60, -4), (60, 60, 12), (draw(st.integers(1, 120)), 3))
    odd = {"nan": [np.nan] * 3, "one": [1.0, np.inf, 2.0], "zero": [0.0] * 3}
    for kind in draw(st.lists(st.sampled_from(sorted(odd)), max_size=4)):
        points[rng.integers(len(points))] = odd[kind]
    return points


@st.composite
def recipes(draw: st.DrawFn) -> lp.Recipe:
    region = band = height = voxel = None
    if draw(st.booleans()):
        sides = draw(st.integers(5, 80)), draw(st.integers(5, 80))
        region = lp.RegionOfInterest3D((draw(METRES), draw(METRES), 0.0), *sides, draw(st.floats(-3, 3)))
    if draw(st.booleans()):
        height, band = draw(st.floats(0, 3)), (draw(st.floats(-2, 0)), draw(st.floats(0.5, 6)))
    if draw(st.booleans()):
        voxel = draw(st.sampled_from([0.5, 2.0, 10.0]))
    return lp.Recipe(region_of_interest_3d=region, device_height=height, height_band=band, voxel=voxel, recentre=False)


def oracle(points: NDArray[np.float64], pose: lp.Pose, recipe: lp.Recipe, in_world: bool) -> list[Fate | None]:
    """Return each point's fate by the first rule that drops it; None where it lies too near to an edge to tell."""
    rotation, place = pose.rotation, pose.translation
    taken = set[tuple[int, ...]]()
    fates: list[Fate | None] = []
    for point in points:
        if not np.isfinite(point).all():
            fates.append(Fate.NOT_FINITE)
            continue
        world = point if in_world else rotation @ point + place
        ego = rotation.T @ (point - place) if in_world else point
        # A ray without a return is at the device; or it was never filled, and is exactly 0.
        if np.linalg.norm(ego) < 1e-3 or (in_world and not point.any()):
            fates.append(Fate.NO_RETURN)
            continue
        near = False
        if (region := recipe.region_of_interest_3d) is not None:
            dx, dy = world[:2] - region.position[:2]
            turned = (dx + 1j * dy) * complex(math.cos(region.rotation), -math.sin(region.rotation))
            beyond = max(abs(turned.real) - region.length / 2, abs(turned.imag) - region.width / 2)
            near |= abs(beyond) < 1e-6
            if beyond > 0 and not near:
                fates.append(Fate.REGION)
                continue
        if recipe.device_height is not None and recipe.height_band is not None:
            assert isinstance(recipe.device_height, float)
            above = ego[2] + recipe.device_height
            near |= min(abs(above - edge) for edge in recipe.height_band) < 1e-6
            if not recipe.height_band[0] <= above <= recipe.height_band[1] and not near:
                fates.append(Fate.HEIGHT)
                continue
        if recipe.voxel is not None:
            cell = world / recipe.voxel
            # Which point of a voxel is the first one hangs on all points before that lie in it.
            near |= bool((np.abs(cell - np.round(cell)) < 1e-6).any())
            key = tuple(np.floor(cell).astype(int).tolist())
            if not near and key in taken:
                fates.append(Fate.VOXEL)
                continue
            taken.add(key)
        fates.append(None if near else Fate.KEPT)
    return fates


def scene_of(*frames: lp.Frame, in_world: bool) -> lp.Scene:
    return lp.Scene("generated", "test", frames, points_frame="world" if in_world else "ego")


def frame_of(points: NDArray[np.float64], pose: lp.Pose, *, in_world: bool, index: int = 0, parts: int = 1) -> lp.Frame:
    def cloud(positions: NDArray[np.float64]) -> lp.PointCloud:
        return lp.PointCloud(positions, frame="world" if in_world else "ego")

    def chunks() -> Any:
        return iter([cloud(part) for part in np.array_split(points, parts)])

    frame = lp.Frame(str(index), index, read_points=lambda: cloud(points), world_from_ego=pose, timestamp=index)
    return frame if parts == 1 else replace(frame, read_chunks=chunks)


@settings(max_examples=60)
@given(clouds(), poses(), recipes(), st.booleans())
def test_each_point_has_the_fate_of_the_first_rule_that_drops_it(
    points: NDArray[np.float64], pose: lp.Pose, recipe: lp.Recipe, in_world: bool
) -> None:
    scene = scene_of(frame_of(points, pose, in_world=in_world), in_world=in_world)
    seen = SceneView.of(scene, recipe).look(scene[0])
    expected = oracle(points, pose, recipe, in_world)
    if None in expected:
        return  # a point on an edge, whose fate may change that of others in its voxel
    assert [Fate(value) for value in seen.fate] == expected
    finite = np.isfinite(points).all(axis=1)
    world = points[finite] if in_world else points[finite] @ pose.rotation.T + pose.translation
    np.testing.assert_allclose(seen.positions[finite], world, atol=1e-9)
    assert sum(seen.counts().values()) == len(points)


@settings(max_examples=30)
@given(clouds(), poses(), recipes(), st.booleans(), st.integers(2, 5))
def test_a_frame_in_chunks_is_seen_as_a_whole_one(
    points: NDArray[np.float64], pose: lp.Pose, recipe: lp.Recipe, in_world: bool, parts: int
) -> None:
    whole = scene_of(frame_of(points, pose, in_world=in_world), in_world=in_world)
    chunked = scene_of(frame_of(points, pose, in_world=in_world, parts=parts), in_world=in_world)
    one, other = (SceneView.of(scene, recipe).look(scene[0]) for scene in (whole, chunked))
    np.testing.assert_array_equal(one.positions, other.positions)
    np.testing.assert_array_equal(one.fate, other.fate)


def test_a_voxel_keeps_one_point_of_a_frame_and_not_of_each_chunk() -> None:
    points = np.random.default_rng(0).uniform(-30, 30, (2000, 3))
    scene = scene_of(frame_of(points, lp.Pose.identity(), in_world=True, parts=4), in_world=True)
    recipe = lp.Recipe(voxel=10.0, recentre=False)
    seen = SceneView.of(scene, recipe).look(scene[0])
    assert seen.counts()[Fate.KEPT] == len(np.unique(np.floor(points / 10.0), axis=0))
