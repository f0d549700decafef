"""The ray caster against an oracle that knows solids only by what is inside of them."""

import numpy as np
import pytest

from lidarprep.kernels.raycast import BOX, CYLINDER, ELLIPSOID, GROUND, NOTHING
from lidarprep.sample._sensors import Hits, Moment
from lidarprep.sample._solids import Solids, box, build_tree, cylinder, ellipsoid, join, take
from lidarprep.sample._street import Street

STEP = 0.01


def inside(solids: Solids, s: int, points: np.ndarray, seconds: float = 0.0) -> np.ndarray:
    """Which points (N, 3) lie in solid `s`, by the definition of its shape."""
    c, n = solids.turn[s]
    p = (points - solids.centre[s] - seconds * solids.velocity[s]) @ np.array([[c, -n, 0], [n, c, 0], [0, 0, 1]])
    p /= solids.half[s]
    if solids.kind[s] == ELLIPSOID:
        return (p**2).sum(axis=1) < 1
    if solids.kind[s] == CYLINDER:
        return ((p[:, :2] ** 2).sum(axis=1) < 1) & (np.abs(p[:, 2]) < 1)
    up = (p[:, 2] + 1) / 2
    room = 1 + up[:, None] * (solids.taper[s] - 1)
    return (np.abs(p[:, :2]) < room).all(axis=1) & (np.abs(p[:, 2]) < 1)


def first_inside(solids: Solids, origin: np.ndarray, direction: np.ndarray, seconds: float, reach: float) -> float:
    """How far along a ray the first sample lies in a solid or in the ground; infinite if none does."""
    along = np.arange(STEP / 2, reach, STEP)
    points = origin + along[:, None] * direction
    taken = points[:, 2] < 0
    middle = solids.centre + seconds * solids.velocity - origin
    off_ray = np.linalg.norm(np.cross(middle, direction), axis=1)
    for s in np.flatnonzero(off_ray < np.linalg.norm(solids.half * max(1, solids.taper.max()), axis=1)):
        taken |= inside(solids, s, points, seconds)
    return float(along[taken][0]) if taken.any() else np.inf


def random_solids(rng: np.random.Generator, n: int) -> Solids:
    turn = rng.uniform(0, 2 * np.pi, n)
    return Solids(
        kind=rng.choice([BOX, CYLINDER, ELLIPSOID], n).astype(np.int8),
        centre=rng.uniform((-8, -8, 0), (8, 8, 4), (n, 3)),
        half=rng.uniform(0.1, 1.5, (n, 3)),
        taper=rng.uniform(0.0, 1.3, (n, 2)),
        turn=np.column_stack((np.cos(turn), np.sin(turn))),
        velocity=rng.normal(0, 10, (n, 3)) * (rng.random((n, 1)) < 0.5),
        material=rng.integers(1, 9, n).astype(np.int16),
        window=np.full(n, NOTHING, dtype=np.int16),
    )


def random_rays(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    origins = rng.uniform((-12, -12, 8), (12, 12, 11), (n, 3))
    directions = rng.uniform((-8, -8, 0), (8, 8, 4), (n, 3)) - origins
    return origins, directions / np.linalg.norm(directions, axis=1, keepdims=True), rng.uniform(-0.06, 0.06, n)


@pytest.mark.parametrize("seed", range(4))
def test_a_ray_ends_where_it_first_gets_inside_of_something(seed: int) -> None:
    rng = np.random.default_rng(seed)
    moment = Moment(random_solids(rng, 40), np.zeros(3))
    origins, directions, seconds = random_rays(rng, 250)
    hits = moment.cast(origins, directions, seconds)
    for i in range(len(origins)):
        expected = first_inside(moment.solids, origins[i], directions[i], seconds[i], 40.0)
        found = hits.distance[i]
        # A ray may clip an edge between two samples; then at least it is inside where it says so.
        assert found <= expected + 1e-9
        if found < min(expected, 40.0) - STEP:
            point = (origins[i] + (found + 1e-7) * directions[i])[None]
            assert hits.solid[i] >= 0
            assert inside(moment.solids, hits.solid[i], point, seconds[i])[0]


@pytest.mark.parametrize("seed", range(4))
def test_a_normal_points_out_of_the_solid_and_against_the_ray(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    moment = Moment(random_solids(rng, 40), np.zeros(3))
    origins, directions, seconds = random_rays(rng, 400)
    hits = moment.cast(origins, directions, seconds)
    assert np.allclose(np.linalg.norm(hits.normal[hits.solid != NOTHING], axis=1), 1, atol=1e-5)
    met = np.flatnonzero(hits.solid >= 0)
    assert len(met) > 100
    assert (np.einsum("ij,ij->i", hits.normal[met], directions[met]) < 1e-5).all()
    for i in met:
        point = origins[i] + hits.distance[i] * directions[i]
        assert not inside(moment.solids, hits.solid[i], (point + 1e-4 * hits.normal[i])[None], seconds[i])[0]


def test_nothing_in_the_street_is_seen_through_anything_else() -> None:
    street = Street(np.random.default_rng(5), 1.0, 8.0)
    eye = np.array([*street.position(0.0, -1.75)[0], 1.8])
    moment = Moment(street.at(0.0, eye), eye)
    rng = np.random.default_rng(6)
    directions = rng.normal(size=(60, 3)) * (1, 1, 0.12)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    hits = moment.cast(eye, directions, max_range=60.0)
    for direction, found in zip(directions, hits.distance, strict=True):
        assert found <= first_inside(moment.solids, eye, direction, 0.0, 60.0) + 1e-9


def test_the_tree_changes_no_answer() -> None:
    rng = np.random.default_rng(9)
    solids = random_solids(rng, 60)
    origins, directions, seconds = random_rays(rng, 500)
    together = Moment(solids, np.array([5.0, -5.0, 2.0])).cast(origins, directions, seconds).distance
    alone = [Moment(take(solids, np.array([s])), np.zeros(3)).cast(origins, directions, seconds) for s in range(60)]
    assert np.array_equal(together, np.min([hits.distance for hits in alone], axis=0))


def test_a_tree_holds_every_solid_once() -> None:
    solids = random_solids(np.random.default_rng(3), 101)
    ordered, tree = build_tree(solids, np.zeros(3), 0.0)
    leaves = np.flatnonzero(tree.held)
    rows = np.concatenate([np.arange(tree.first[k], tree.first[k] + tree.held[k]) for k in leaves])
    assert np.array_equal(rows, np.arange(101))
    assert np.array_equal(np.sort(ordered.centre[:, 0]), np.sort(solids.centre[:, 0]))


def cast_one(solids: Solids, origin: tuple[float, ...], direction: tuple[float, ...], seconds: float = 0.0) -> Hits:
    unit = np.array([direction]) / np.linalg.norm(direction)
    return Moment(solids, np.zeros(3)).cast(np.array(origin), unit, seconds)


def test_distances_and_normals_of_simple_shapes_are_exact() -> None:
    ball = cast_one(ellipsoid("bark", (10, 0, 2), (2, 2, 2)), (0, 0, 2), (1, 0, 0))
    assert ball.distance[0] == pytest.approx(9)
    assert ball.normal[0] == pytest.approx((-1, 0, 0))
    post = cast_one(cylinder("metal", (3, 4, 0), 0.5, 3), (0, 0, 1), (3, 4, 0))
    assert post.distance[0] == pytest.approx(4.5)
    assert post.normal[0] == pytest.approx((-0.6, -0.8, 0))
    lid = cast_one(cylinder("metal", (3, 4, 0), 0.5, 3), (3, 4, 10), (0, 0, -1))
    assert lid.distance[0] == pytest.approx(7)
    assert lid.normal[0] == pytest.approx((0, 0, 1))
    # A gable roof 4 m wide and 2 m high: its sides lean by 45°.
    roof = cast_one(box("brick", (0, 0, 1), (6, 4, 2), taper=(1, 0)), (0, -10, 1), (0, 1, 0))
    assert roof.distance[0] == pytest.approx(9)
    assert roof.normal[0] == pytest.approx((0, -(0.5**0.5), 0.5**0.5), abs=1e-6)
    turned = cast_one(box("brick", (10, 0, 1), (2, 2, 2), turn=np.pi / 4), (0, 0, 1), (1, 0, 0))
    assert turned.distance[0] == pytest.approx(10 - 2**0.5)


def test_the_ground_ends_a_ray_and_the_sky_does_not() -> None:
    far_away = ellipsoid("bark", (500, 500, 2), (1, 1, 1))
    down = cast_one(far_away, (0, 0, 1.8), (1, 0, -0.1))
    assert down.solid[0] == GROUND
    assert down.distance[0] == pytest.approx(18 * 1.01**0.5)
    up = cast_one(far_away, (0, 0, 1.8), (1, 0, 0.1))
    assert (up.solid[0], up.material[0], up.distance[0]) == (NOTHING, NOTHING, np.inf)


def test_a_ray_that_begins_inside_a_solid_passes_through_it() -> None:
    shell = join([ellipsoid("bark", (0, 0, 5), (4, 4, 4)), box("brick", (10, 0, 5), (2, 2, 2))])
    assert cast_one(shell, (0, 0, 5), (1, 0, 0)).distance[0] == pytest.approx(9)


def test_a_moving_solid_is_met_where_it_is_at_the_rays_own_time() -> None:
    coming = box("brick", (20, 0, 1), (2, 2, 2))._replace(velocity=np.array([[-10.0, 0, 0]]))
    for seconds in (-0.05, 0.0, 0.05):
        hit = cast_one(coming, (0, 0, 1), (1, 0, 0), seconds)
        assert hit.distance[0] == pytest.approx(19 - 10 * seconds)


def test_windows_are_part_of_walls_only() -> None:
    house = box("brick", (0, 0, 1.5), (3, 3, 3), windows="window")
    wall = cast_one(house, (0, -10, 0.2), (0, 1, 0)).material[0]
    pane = cast_one(house, (0, -10, 1.7), (0, 1, 0)).material[0]
    top = cast_one(house, (0, 0, 10), (0, 0, -1)).material[0]
    assert wall == top == house.material[0]
    assert pane == house.window[0]


def test_shadow_lies_where_the_way_to_the_light_is_blocked() -> None:
    rng = np.random.default_rng(12)
    solids = random_solids(rng, 40)
    moment = Moment(solids._replace(velocity=np.zeros((40, 3))), np.zeros(3))
    origins, directions, _ = random_rays(rng, 600)
    hits = moment.cast(origins, directions)
    met = hits.solid != NOTHING
    points = (origins + np.where(met, hits.distance, 0)[:, None] * directions)[met]
    light = np.array([0.6, 0.0, 0.8])
    dark = moment.in_shadow(points, hits.normal[met], light)
    away = hits.normal[met] @ light <= 0
    blocked = moment.cast(points + 1e-3 * hits.normal[met], np.tile(light, (len(points), 1))).solid >= 0
    assert np.array_equal(dark, away | blocked)
    assert 0.1 < dark.mean() < 0.9
