"""What the generated lidar, cameras and radar measure, against the street that they measure."""

import numpy as np
import pytest

from lidarprep.sample._sensors import (
    ELEVATIONS,
    LIDAR_NOISE_M,
    RADAR_RANGE_M,
    RADAR_RETURNS,
    Moment,
    RigCamera,
    Sweep,
    beam_directions,
    camera_rig,
    column_seconds,
    radar_returns,
    sweep,
    take_image,
)
from lidarprep.sample._solids import NUMBERS, Solids
from lidarprep.sample._street import DEVICE_HEIGHT_M, FRAME_SECONDS, Drive, Mover, Street
from lidarprep.scene import Pose

COLUMNS = 600
STREET = Street(np.random.default_rng(1), 2.0, 16.0)
DRIVE = Drive(STREET)


def moment_at(seconds: float) -> Moment:
    eye = DRIVE.pose(seconds).translation
    return Moment(STREET.at(seconds, eye), eye)


def measure(seconds: float, *, motion_compensated: bool = True, seed: int = 2) -> Sweep:
    rng = np.random.default_rng(seed)
    return sweep(moment_at(seconds), DRIVE, seconds, rng, columns=COLUMNS, motion_compensated=motion_compensated)


@pytest.fixture(scope="module")
def rig() -> tuple[RigCamera, ...]:
    return camera_rig(240)


def test_the_road_lies_the_devices_height_below_it() -> None:
    points = measure(0.0)
    x, y, z = points.positions[points.material == NUMBERS["asphalt"]].T
    near = np.hypot(x, y) < 12
    assert near.sum() > 1000
    # Pitch and roll of a quarter of a degree tilt the road by 5 cm over 12 m.
    assert np.abs(z[near] + DEVICE_HEIGHT_M).max() < 0.12
    assert abs(np.median(z[near]) + DEVICE_HEIGHT_M) < 0.02


def test_range_noise_is_as_stated() -> None:
    seconds = 0.7
    points = measure(seconds, motion_compensated=False)
    ranges = np.linalg.norm(points.positions, axis=1)
    rotations, origins = DRIVE.poses(seconds + points.seconds)
    directions = np.einsum("nij,nj->ni", rotations, points.positions / ranges[:, None])
    hits = moment_at(seconds).cast(origins, directions, points.seconds)
    error = ranges - hits.distance
    # The directions are rounded to float32: the few rays along an edge may now miss it.
    settled = error[np.abs(error) < 0.2]
    assert len(settled) > 0.98 * len(error)
    assert abs(settled.mean()) < 0.001
    assert settled.std() == pytest.approx(LIDAR_NOISE_M, rel=0.05)


def test_the_lidar_looks_ahead_when_the_images_are_taken_and_turns_clockwise() -> None:
    beams = beam_directions(COLUMNS)
    azimuth = np.unwrap(np.arctan2(beams[:, 0, 1], beams[:, 0, 0]))
    assert np.interp(0.0, column_seconds(COLUMNS), azimuth) == pytest.approx(0.0, abs=1e-9)
    assert (np.diff(azimuth) < 0).all()
    assert beams.shape == (COLUMNS, 64, 3)
    assert np.allclose(np.arcsin(beams[7, :, 2]), ELEVATIONS)


def test_compensated_points_are_the_measured_ones_moved_by_the_cars_own_motion() -> None:
    seconds = 0.5
    compensated, measured = measure(seconds), measure(seconds, motion_compensated=False)
    rotations, translations = DRIVE.poses(seconds + measured.seconds)
    world = np.einsum("nij,nj->ni", rotations, measured.positions.astype(np.float64)) + translations
    assert np.abs(DRIVE.pose(seconds).inverse().apply(world) - compensated.positions).max() < 1e-4
    # The car drives 8 m/s, so over half a turn the two differ by up to 40 cm.
    assert np.abs(measured.positions - compensated.positions).max() > 0.35


def test_poses_interpolated_between_frames_undo_the_motion_too() -> None:
    seconds = 0.5
    compensated, measured = measure(seconds), measure(seconds, motion_compensated=False)
    before, here, after = (DRIVE.pose(seconds + k * FRAME_SECONDS) for k in (-1, 0, 1))
    worst = 0.0
    for when in np.unique(measured.seconds):
        other = before if when < 0 else after
        then = here.interpolate(other, abs(when) / FRAME_SECONDS)
        rows = measured.seconds == when
        moved = (here.inverse() @ then).apply(measured.positions[rows])
        near = np.linalg.norm(moved, axis=1) < 40
        worst = max(worst, float(np.abs(moved - compensated.positions[rows])[near].max(initial=0.0)))
    assert worst < 0.02


def off_wall(sweep_points: Sweep, world_from_ego: Pose, solids: Solids, house: int, axis: int) -> np.ndarray:
    """How far outside of a house's walls across `axis` (0 its ends, 1 its front) their points lie, metres."""
    c, n = solids.turn[house]
    world = world_from_ego.apply(sweep_points.positions[sweep_points.material == solids.material[house]])
    own = (world - solids.centre[house]) @ np.array([[c, -n, 0], [n, c, 0], [0, 0, 1]])
    outside = np.abs(own) - solids.half[house]
    # Not near the rim, where the other walls are.
    rows = (np.delete(outside, axis, axis=1) < -0.3).all(axis=1) & (np.abs(outside[:, axis]) < 1.0)
    return outside[rows, axis]


def test_walls_stand_still_in_the_world_and_are_flat_once_motion_is_compensated() -> None:
    solids, eye = moment_at(0.0).solids, DRIVE.pose(0.0).translation
    houses = np.flatnonzero((solids.window >= 0) & (np.linalg.norm(solids.centre - eye, axis=1) < 40))
    assert len(houses) >= 6
    frames = [0.1 * n for n in range(10)]
    compensated = [measure(seconds, seed=n) for n, seconds in enumerate(frames)]
    measured = [measure(seconds, seed=n, motion_compensated=False) for n, seconds in enumerate(frames)]

    def offset(sweeps: list[Sweep], axis: int) -> tuple[float, float]:
        """Median of all frames' points about the walls, and half the width that holds 68 % of them.

        Quantiles, because a neighbour of the same material, a foot away, lends a few points.
        """
        poses = [DRIVE.pose(seconds) for seconds in frames]
        pairs = zip(sweeps, poses, strict=True)
        found = np.concatenate(
            [off_wall(points, pose, solids, house, axis) for points, pose in pairs for house in houses]
        )
        assert len(found) > 500
        low, middle, high = np.quantile(found, (0.16, 0.5, 0.84))
        return float(middle), float(high - low) / 2

    for axis in (0, 1):
        middle, spread = offset(compensated, axis)
        assert abs(middle) < 0.002
        assert spread < LIDAR_NOISE_M
    # Ends of houses face along the street: left as measured, each frame sees them decimetres from where they are.
    assert offset(measured, 0)[1] > 4 * offset(compensated, 0)[1]


def in_car(points: np.ndarray, mover: Mover, seconds: float) -> np.ndarray:
    """Which world points are on a car's body, at that second."""
    body = STREET.place(mover, seconds)
    c, n = body.turn[0]
    own = (points - body.centre[0]) @ np.array([[c, -n, 0], [n, c, 0], [0, 0, 1]])
    return (np.abs(own) < body.half[0] + 0.1).all(axis=1)


def test_moving_cars_move_and_parked_cars_do_not() -> None:
    lead = STREET.movers[0]
    clouds = {t: DRIVE.pose(t).apply(measure(t).positions) for t in (0.0, 1.0)}
    for seconds, cloud in clouds.items():
        assert in_car(cloud, lead, seconds).sum() > 50
    travelled = STREET.place(lead, 1.0).centre[0] - STREET.place(lead, 0.0).centre[0]
    assert np.linalg.norm(travelled) == pytest.approx(lead.speed, rel=0.05)
    assert in_car(clouds[1.0], lead, 0.0).sum() < 0.2 * in_car(clouds[0.0], lead, 0.0).sum()

    def parked(seconds: float) -> set[tuple[float, ...]]:
        solids = STREET.at(seconds, np.zeros(3))
        return {tuple(centre) for centre in solids.centre[(solids.velocity == 0).all(axis=1)]}

    assert parked(0.0) == parked(1.0)
    assert {tuple(c) for c in STREET.parked.centre if np.hypot(*c[:2]) < 100} <= parked(0.0)


def test_nobody_drives_into_anybody() -> None:
    def boxes(seconds: float) -> list[tuple[float, float, float]]:
        cars = [m for m in STREET.movers if m.kind != "person"]
        return [(m.along + m.speed * seconds, m.across, float(m.solids.half[0, 0])) for m in cars]

    from lidarprep.sample._street import travel

    for seconds in np.arange(0, 10, 0.1):
        cars = [*boxes(seconds), (float(travel(seconds)), -1.75, 2.5)]
        for i, (along, across, half) in enumerate(cars):
            for other, lane, reach in cars[:i]:
                assert lane != across or abs(along - other) > half + reach


def test_intensity_follows_material_and_angle() -> None:
    points = measure(0.0)
    assert np.array_equal(points.intensity, np.rint(points.intensity))
    assert points.intensity.min() >= 0
    assert points.intensity.max() == 255
    ranges = np.linalg.norm(points.positions, axis=1)
    plates = points.intensity[(points.material == NUMBERS["number plate"]) & (ranges < 40)]
    assert len(plates) > 0
    assert (plates == 255).all()
    asphalt = points.material == NUMBERS["asphalt"]
    assert np.median(points.intensity[asphalt]) < 15
    # The nearer the road, the steeper the beam meets it.
    steep, flat = asphalt & (ranges < 5), asphalt & (ranges > 12) & (ranges < 20)
    assert points.intensity[steep].mean() > 1.5 * points.intensity[flat].mean()


def test_returns_are_lost_far_away_sooner_than_nearby() -> None:
    points = measure(0.0)
    hits = moment_at(0.0).cast(
        DRIVE.pose(0.0).translation, DRIVE.pose(0.0).rotate(beam_directions(COLUMNS).reshape(-1, 3)), 0.0, 120.0
    )
    road = NUMBERS["asphalt"]

    def kept(nearest: float, farthest: float) -> float:
        ranges = np.linalg.norm(points.positions, axis=1)
        measured = (points.material == road) & (ranges > nearest) & (ranges < farthest)
        there = (hits.material == road) & (hits.distance > nearest) & (hits.distance < farthest)
        return float(measured.sum() / there.sum())

    assert kept(0, 12) > 0.95
    assert 0.02 < kept(40, 80) < 0.6


def test_each_pixels_ray_projects_to_the_pixel(rig: tuple[RigCamera, ...]) -> None:
    assert [bool(camera.intrinsics.distortion.nonzero()) for camera in rig] == [True, True, False]
    for camera in rig:
        height, width = camera.rays.shape[:2]
        v, u = np.mgrid[0:height, 0:width]
        pixels, seen = camera.intrinsics.project(camera.rays.reshape(-1, 3))
        assert seen.all()
        assert np.abs(pixels - np.column_stack((u.ravel(), v.ravel()))).max() < 2e-3


def test_points_land_on_the_pixels_that_show_them(rig: tuple[RigCamera, ...]) -> None:
    seconds = 0.3
    points, moment, world_from_ego = measure(seconds), moment_at(seconds), DRIVE.pose(seconds)
    for camera in rig:
        in_camera = camera.ego_from_camera.inverse().apply(points.positions)
        pixels, seen = camera.intrinsics.project(in_camera)
        height, width = camera.rays.shape[:2]
        rows = np.flatnonzero(seen & (pixels > -0.5).all(axis=1) & (pixels < (width - 0.5, height - 0.5)).all(axis=1))
        u, v = np.rint(pixels[rows]).astype(int).T
        world_from_camera = world_from_ego @ camera.ego_from_camera
        shown = moment.cast(world_from_camera.translation, world_from_camera.rotate(camera.rays[v, u]))
        distance = np.linalg.norm(in_camera[rows], axis=1)
        assert len(rows) > 3000
        # Pixels are wide here (0.3°), and a camera does not see all that the lidar above it does.
        agree = np.abs(shown.distance - distance) < 0.1 + 0.03 * distance
        assert agree.mean() > 0.93
        assert (shown.material[agree] == points.material[rows][agree]).mean() > 0.93


def test_a_image_shows_each_material_in_its_colour(rig: tuple[RigCamera, ...]) -> None:
    moment, camera = moment_at(0.0), rig[0]
    image = take_image(moment, DRIVE.pose(0.0), camera).astype(int)
    world_from_camera = DRIVE.pose(0.0) @ camera.ego_from_camera
    rays = world_from_camera.rotate(camera.rays.reshape(-1, 3))
    shown = moment.cast(world_from_camera.translation, rays).material.reshape(image.shape[:2])

    def mean_colour(name: str) -> np.ndarray:
        return image[shown == NUMBERS[name]].mean(axis=0)

    red, green, blue = mean_colour("leaves")
    assert green > red > blue
    assert mean_colour("road paint").mean() > mean_colour("asphalt").mean() + 50
    sky = image[shown < 0].mean(axis=0)
    assert sky[2] > sky[0] > 100


def test_radar_sees_what_moves_along_the_line_of_sight() -> None:
    world_from_ego = DRIVE.pose(0.0)
    eye = world_from_ego.translation
    returns = radar_returns(moment_at(0.0), STREET.reflectors(0.0, eye), world_from_ego, np.random.default_rng(0))
    positions, directions, sizes = returns[:, :3], returns[:, 3:6], returns[:, 6]
    assert 4 <= len(returns) <= RADAR_RETURNS
    assert (np.linalg.norm(positions, axis=1) < RADAR_RANGE_M + 1).all()
    assert ((sizes > 0.1) & (sizes < 2.5)).all()
    speeds = np.linalg.norm(directions, axis=1)
    assert (speeds == 0).any()
    moving = speeds > 1
    assert moving.any()
    along = np.abs(np.einsum("ij,ij->i", positions, directions)) / np.linalg.norm(positions, axis=1)
    assert np.allclose(along[moving], speeds[moving], rtol=0.01)
    # The car ahead drives away, nearly straight on.
    offset = world_from_ego.inverse().apply(STREET.place(STREET.movers[0], 0.0).centre[0])
    nearest = np.linalg.norm(positions - offset, axis=1).argmin()
    assert np.linalg.norm(positions[nearest] - offset) < 1.0
    assert directions[nearest, 0] > 8.0
