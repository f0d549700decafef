"""Regions of interest: proposed ones, and what is odd about given ones."""

from __future__ import annotations

from math import cos, degrees, radians, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lidarprep.checks import CheckOptions, CroppedFrame, SceneSamples, check_scene, little_kept, propose_region
from lidarprep.checks.codes import CODES
from lidarprep.scene import Finding, Pose, RegionOfInterest3D, Scene
from tests.checks.rigs import ring, scene_of

Array = NDArray[np.float64]


def street_points(seed: int = 0) -> Array:
    """(N, 3) points of a street along x: 60 m each way, walls 9 m to either side."""
    rng = np.random.default_rng(seed)
    wall = np.column_stack((rng.uniform(-60, 60, 4000), rng.choice((-9.0, 9.0), 4000), rng.uniform(-1.8, 5, 4000)))
    road = np.column_stack((rng.uniform(-60, 60, 4000), rng.uniform(-9, 9, 4000), np.full(4000, -1.8)))
    return np.concatenate((wall, road))


def drive(heading: float, *, length: float = 20.0, start: tuple[float, float] = (0.0, 0.0), frames: int = 5) -> Scene:
    steps = np.linspace(0, length, frames)
    poses = [
        Pose.from_euler(0, 0, heading, (start[0] + step * cos(heading), start[1] + step * sin(heading), 1.8))
        for step in steps
    ]
    return scene_of([street_points(row) for row in range(frames)], poses)


def proposed(scene: Scene) -> RegionOfInterest3D:
    found = propose_region(scene, SceneSamples(scene).usual)
    assert found is not None
    return found.region


@settings(max_examples=25)
@given(
    heading=st.floats(-3.1, 3.1),
    length=st.floats(2, 300),
    x=st.floats(-5e6, 5e6),
    y=st.floats(-5e6, 5e6),
)
def test_a_proposed_region_holds_the_path_and_most_points(heading: float, length: float, x: float, y: float) -> None:
    scene = drive(heading, length=length, start=(x, y), frames=3)
    found = propose_region(scene, SceneSamples(scene).usual)
    assert found is not None
    assert found.share > 0.85
    path = np.array([frame.world_from_ego.translation for frame in scene if frame.world_from_ego is not None])
    assert found.region.contains(path).all()
    for place in path:  # with room on every side
        for side in ((8, 0), (-8, 0), (0, 8), (0, -8)):
            assert found.region.contains(np.array([[place[0] + side[0], place[1] + side[1]]])).all()


@pytest.mark.parametrize("angle", [-80, -45, 20, 45, 70])
def test_a_region_along_a_street_is_turned_and_narrow(angle: int) -> None:
    region = proposed(drive(radians(angle)))
    assert degrees(region.rotation) == pytest.approx(angle, abs=0.5)
    assert region.width == pytest.approx(20, abs=1)
    assert region.length > 4 * region.width


@pytest.mark.parametrize("heading", [0.0, radians(180)])
def test_a_region_along_an_axis_is_not_turned(heading: float) -> None:
    assert proposed(drive(heading)).rotation == 0


def test_a_device_at_rest_gives_the_direction_itself() -> None:
    region = proposed(drive(radians(30), length=0.0))
    assert degrees(region.rotation) == pytest.approx(30, abs=0.5)


def test_an_open_field_is_not_worth_a_turn() -> None:
    poses = [Pose.from_euler(0, 0, 0.5, (2.0 * row, row, 1.8)) for row in range(3)]
    region = proposed(scene_of([ring(seed=row) for row in range(3)], poses))
    assert region.rotation == 0
    assert abs(region.length - region.width) <= 10


def test_the_option_is_what_the_command_line_and_python_take() -> None:
    from lidarprep.cli.options import recipe_from
    from lidarprep.recipe import Recipe

    scene = drive(radians(45), start=(456_789.12, 5_432_109.87))
    found = propose_region(scene, SceneSamples(scene).usual)
    assert found is not None
    flags = dict.fromkeys([*Recipe.model_fields, "height_band"]) | {"roi": found.option.flag.removeprefix("--roi ")}
    taken = recipe_from(Recipe(), flags).region_of_interest_3d
    name, _, python = found.option.python.partition("=")
    assert name == "region_of_interest_3d"
    written = eval(python, {"RegionOfInterest3D": RegionOfInterest3D, "radians": radians})
    for one in (taken, written):
        assert one is not None
        assert one.position == pytest.approx(found.region.position, abs=1e-6)
        assert (one.length, one.width) == (found.region.length, found.region.width)
        assert one.rotation == pytest.approx(found.region.rotation)


def test_without_poses_or_points_nothing_is_proposed() -> None:
    without_poses = scene_of([ring()], [None], points_frame="world")
    assert propose_region(without_poses, SceneSamples(without_poses).usual) is None
    empty = scene_of([np.empty((0, 3))], [Pose.identity()])
    assert propose_region(empty, SceneSamples(empty).usual) is None


# ---- a region that was given -----------------------------------------------------------------------------------------


def off_path(scene: Scene, region: RegionOfInterest3D) -> list[Finding]:
    return [one for one in check_scene(scene, CheckOptions(region=region)) if one.code == "region-off-path"]


def test_a_region_that_the_device_is_never_in_is_a_finding() -> None:
    scene = drive(0.0)  # from x 0 to 20
    (found,) = off_path(scene, RegionOfInterest3D((10.0, 30.0, 0.0), 80, 40))
    assert found.found == 10.0
    assert "10.0 m from it at the nearest" in found.message
    assert "x 0.0 to 20.0 and y 0.0 to 0.0" in found.message
    assert found.option is not None
    assert found.option.flag.startswith("--roi 10,0,")
    assert found.severity == CODES[found.code].severity


def test_a_region_that_the_device_goes_through_is_none() -> None:
    scene = drive(0.0)
    assert off_path(scene, RegionOfInterest3D((60.0, 0.0, 0.0), 80, 40)) == []  # only the last frame, on the edge
    assert off_path(scene, RegionOfInterest3D((10.0, 0.0, 0.0), 80, 2, 1.5)) == []


@settings(max_examples=30)
@given(angle=st.floats(-3.1, 3.1), x=st.floats(-60, 60), y=st.floats(-60, 60))
def test_the_distance_is_that_to_the_nearest_of_many_places_in_it(angle: float, x: float, y: float) -> None:
    region = RegionOfInterest3D((x, y, 0.0), 20, 10, angle)
    scene = scene_of([ring(500)], [Pose.from_euler(0, 0, 0, (0, 0, 0))])
    along, across = (axis.ravel() for axis in np.meshgrid(np.linspace(-10, 10, 401), np.linspace(-5, 5, 201)))
    places = np.array([x, y]) + np.column_stack(
        (along * cos(angle) - across * sin(angle), along * sin(angle) + across * cos(angle))
    )
    nearest = float(np.hypot(*places.T).min())
    found = off_path(scene, region)
    if nearest > 0.1:
        assert found[0].found == pytest.approx(nearest, abs=0.1)
    elif not found:
        assert region.contains(np.zeros((1, 2))).all()


def test_frames_that_are_not_prepared_do_not_count() -> None:
    scene = drive(0.0)
    samples = SceneSamples(scene, scene.frames[:2])  # x 0 and 5
    found = check_scene(scene, CheckOptions(region=RegionOfInterest3D((20.0, 0.0, 0.0), 10, 10)), samples=samples)
    assert [one.code for one in found] == ["region-off-path"]


# ---- what a crop leaves ----------------------------------------------------------------------------------------------


def cropped(points: int, region: int, height: int = 0, name: str = "a") -> CroppedFrame:
    return CroppedFrame(name, points, region, height)


def test_a_crop_that_keeps_next_to_nothing_is_a_finding() -> None:
    (found,) = little_kept([cropped(1000, 990), cropped(1000, 900, 60)])
    assert (found.code, found.found) == ("little-kept", 0.025)
    assert "50 of 2,000 points are kept (2.50%): 1,890 are outside the region, 60 are outside the height band" in (
        found.message
    )


def test_one_frame_of_many_that_keeps_next_to_nothing_is_named() -> None:
    frames = [cropped(1000, 500, name=f"{row}") for row in range(9)] + [cropped(1000, 995, name="worst")]
    (found,) = little_kept(frames)
    assert (found.code, found.subject.name, found.found) == ("frames-nearly-emptied", "worst", 0.005)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [cropped(1000, 0)],
        [cropped(1000, 950)],
        [cropped(1000, 500), cropped(1000, 1000)],  # emptied: a finding of its own
        [cropped(1000, 1000)],  # an error
        [cropped(0, 0), cropped(1000, 10)],
    ],
)
def test_a_crop_that_leaves_enough_is_none(frames: list[CroppedFrame]) -> None:
    assert little_kept(frames) == []
