"""Ray casting in a world of boxes, cylinders and ellipsoids on the ground plane z = 0.

Every solid is convex, so a ray is inside it over one interval: it enters where the last of its surfaces lets it in.
A bounding volume hierarchy keeps a ray from trying all of them; it is laid out in depth-first order with a link past
each subtree (after Smits, "Efficiency issues for ray tracing", 1998), so walking it needs no stack.
"""

from __future__ import annotations

from math import copysign, floor, inf, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lidarprep.kernels.jit import inlined, kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

BOX, CYLINDER, ELLIPSOID = 0, 1, 2

# The solid, and the material, of a ray that did not hit a solid. The ground's material is number 0.
GROUND, NOTHING = -1, -2
GROUND_MATERIAL = 0

# Windows fill this part of each cell of a wall; cells are near this size, metres, and divide the wall evenly.
WINDOW_CELL_M = 3.0
WINDOW_SPAN = (0.27, 0.73)
WINDOW_RISE = (0.32, 0.80)

# Where a shadow ray starts off its surface, metres: less than anything in the world is thick.
SURFACE_OFFSET_M = 1e-3

# Functions are inlined only where that is measurably faster: inlining _entry gains nothing, and doubles compile time.

# Faces of a solid, as the ray enters it: -x, +x, -y, +y, -z, +z, or the round side.
_ROUND_FACE = 6


# Columns of a solid's row, 16 numbers in two cache lines; each solid is upright, and may be turned about z.
# Centre at second 0, metres, and velocity, metres a second; cosine and sine of the angle from the world's x axis to its
# own; half extents along its own axes, metres; how far a box's sides lean inwards a metre of height; BOX, CYLINDER
# (upright, elliptic) or ELLIPSOID; its material, and that of the windows in the upright faces of a box, or NOTHING.
CENTRE, VELOCITY, TURN, HALF, LEAN, KIND, MATERIAL, WINDOW = 0, 3, 6, 8, 11, 13, 14, 15

Vector = tuple[float, float, float]


class Tree(NamedTuple):
    """A bounding volume hierarchy over solids, nodes in depth-first order.

    Args:
        bounds: (K, 6) float64 lower and upper corner of each node's axis-aligned bounds, metres.
        after: (K,) int32 the node that follows the node's subtree.
        first, held: (K,) int32 a leaf's solids are first … first + held - 1; an inner node holds none.
    """

    bounds: Floats
    after: Ints
    first: Ints
    held: Ints


@kernel
def cast_rays(
    solids: Floats, tree: Tree, origins: Floats, directions: Floats, seconds: Floats, max_range: float
) -> tuple[Floats, NDArray[np.float32], NDArray[np.int16], Ints]:
    """Find the first hit of each ray.

    Args:
        solids: (S, 16) float64, by the columns above, in the order that the tree refers to.
        tree: Bounds over the solids that hold for every time in `seconds`.
        origins: (N, 3) float64 where the rays start, world, metres; outside of every solid.
        directions: (N, 3) float64 unit vectors, world.
        seconds: (N,) float64 when each ray is cast; moving solids are where they are then.
        max_range: Metres beyond which nothing is met.

    Returns:
        (N,) float64 distance in metres, infinite for nothing; (N, 3) float32 the surface's outward unit normal in the
        world; (N,) int16 its material or NOTHING; (N,) int32 the solid, GROUND or NOTHING.
    """
    n = origins.shape[0]
    distance = np.full(n, np.inf)
    normal = np.zeros((n, 3), dtype=np.float32)
    material = np.full(n, NOTHING, dtype=np.int16)
    solid = np.full(n, NOTHING, dtype=np.int32)
    for i in range(n):
        o = origins[i, 0], origins[i, 1], origins[i, 2]
        d = directions[i, 0], directions[i, 1], directions[i, 2]
        t, hit, face = _nearest(solids, tree, o, d, seconds[i], max_range, False)
        if hit == NOTHING:
            continue
        distance[i], solid[i] = t, hit
        if hit == GROUND:
            normal[i, 2] = 1.0
            material[i] = GROUND_MATERIAL
            continue
        px, py, pz = _to_own(solids, hit, (o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]), seconds[i])
        normal[i, 0], normal[i, 1], normal[i, 2] = _normal(solids, hit, face, px, py, pz)
        material[i] = np.int16(solids[hit, MATERIAL])
        if solids[hit, WINDOW] != NOTHING and face < 4:
            along, reach = (py, solids[hit, HALF + 1]) if face < 2 else (px, solids[hit, HALF])
            if _in_window(along + reach, 2.0 * reach, pz + solids[hit, HALF + 2], 2.0 * solids[hit, HALF + 2]):
                material[i] = np.int16(solids[hit, WINDOW])
    return distance, normal, material, solid


@kernel
def in_shadow(
    solids: Floats, tree: Tree, points: Floats, normals: NDArray[np.float32], towards_light: Floats
) -> NDArray[np.bool_]:
    """Find the points of surfaces in shadow, at `seconds` 0.

    Args:
        solids, tree: As in cast_rays.
        points: (N, 3) float64 on surfaces, world, metres.
        normals: (N, 3) float32 outward unit normals there.
        towards_light: (3,) float64 unit vector.

    Returns:
        (N,) bool: the surface faces away from the light, or a solid blocks it.
    """
    n = points.shape[0]
    dark = np.empty(n, dtype=np.bool_)
    d = towards_light[0], towards_light[1], towards_light[2]
    for i in range(n):
        nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
        if nx * d[0] + ny * d[1] + nz * d[2] <= 0.0:
            dark[i] = True
            continue
        ox = points[i, 0] + SURFACE_OFFSET_M * nx
        oy = points[i, 1] + SURFACE_OFFSET_M * ny
        oz = points[i, 2] + SURFACE_OFFSET_M * nz
        dark[i] = _nearest(solids, tree, (ox, oy, oz), d, 0.0, inf, True)[1] >= 0
    return dark


@inlined
def _nearest(
    solids: Floats, tree: Tree, o: Vector, d: Vector, seconds: float, max_range: float, any_solid: bool
) -> tuple[float, int, int]:
    """Return distance, solid (or GROUND, NOTHING) and face of the first hit of a ray; of any solid, if that will do."""
    best, hit, face = max_range, NOTHING, 0
    if d[2] < 0.0 and -o[2] > d[2] * best and not any_solid:
        best, hit = -o[2] / d[2], GROUND
    inverse = _inverse(d[0]), _inverse(d[1]), _inverse(d[2])
    node = 0
    while node < tree.after.shape[0]:
        if not _meets_bounds(tree.bounds, node, o, inverse, best):
            node = tree.after[node]
            continue
        for s in range(tree.first[node], tree.first[node] + tree.held[node]):
            t, f = _entry(solids, s, o, d, seconds)
            if t < best:
                best, hit, face = t, s, f
                if any_solid:
                    return best, hit, face
        node += 1
    return best, hit, face


@inlined
def _inverse(x: float) -> float:
    """Return 1 / x, very large where x is (nearly) 0, so that a ray along a face is in or out."""
    return 1.0 / x if abs(x) > 1e-15 else copysign(1e15, x)


@inlined
def _meets_bounds(bounds: Floats, node: int, o: Vector, i: Vector, limit: float) -> bool:
    """Return whether a ray, by its origin and inverse direction, meets a node's bounds before `limit`."""
    ox, oy, oz = o
    ix, iy, iz = i
    # From the sign of the direction follows which side of the bounds the ray comes from.
    near_x, near_y, near_z = 0 if ix > 0.0 else 3, 1 if iy > 0.0 else 4, 2 if iz > 0.0 else 5
    enter, leave = (bounds[node, near_x] - ox) * ix, (bounds[node, 3 - near_x] - ox) * ix
    y0, y1 = (bounds[node, near_y] - oy) * iy, (bounds[node, 5 - near_y] - oy) * iy
    z0, z1 = (bounds[node, near_z] - oz) * iz, (bounds[node, 7 - near_z] - oz) * iz
    enter = y0 if y0 > enter else enter
    enter = z0 if z0 > enter else enter
    leave = y1 if y1 < leave else leave
    leave = z1 if z1 < leave else leave
    return bool(leave >= 0.0 and enter <= leave and enter < limit)


@kernel
def _entry(rows: Floats, s: int, o: Vector, d: Vector, seconds: float) -> tuple[float, int]:
    """Return the distance at which a ray enters a solid (infinite if it does not), and the face."""
    px, py, pz = _to_own(rows, s, o, seconds)
    c, n = rows[s, TURN], rows[s, TURN + 1]
    dx, dy, dz = c * d[0] + n * d[1], c * d[1] - n * d[0], d[2]
    hx, hy, hz = rows[s, HALF], rows[s, HALF + 1], rows[s, HALF + 2]
    kind = rows[s, KIND]

    enter, leave, face = 0.0, inf, -1
    if kind == BOX:
        # A side that leans inwards by so much a metre of height has the plane ±x + lean z = hx - lean hz.
        lean_x, lean_y = rows[s, LEAN], rows[s, LEAN + 1]
        room_x, room_y = hx - lean_x * (pz + hz), hy - lean_y * (pz + hz)
        enter, leave, face = _cut(-dx + lean_x * dz, room_x + px, 0, enter, leave, face)
        enter, leave, face = _cut(dx + lean_x * dz, room_x - px, 1, enter, leave, face)
        enter, leave, face = _cut(-dy + lean_y * dz, room_y + py, 2, enter, leave, face)
        enter, leave, face = _cut(dy + lean_y * dz, room_y - py, 3, enter, leave, face)
    else:
        # On axes that make the solid round, its surface is |p + t d| = 1; a cylinder leaves z out of it.
        ux, uy, vx, vy = px / hx, py / hy, dx / hx, dy / hy
        uz, vz = (pz / hz, dz / hz) if kind == ELLIPSOID else (0.0, 0.0)
        a = vx * vx + vy * vy + vz * vz
        b = ux * vx + uy * vy + uz * vz
        outside = ux * ux + uy * uy + uz * uz - 1.0
        root = b * b - a * outside
        if root < 0.0 or (a < 1e-15 and outside > 0.0):
            return inf, -1
        if a >= 1e-15:
            root = sqrt(root)
            if (-b - root) / a > enter:
                enter, face = (-b - root) / a, _ROUND_FACE
            leave = (root - b) / a
    if kind != ELLIPSOID:
        enter, leave, face = _cut(-dz, hz + pz, 4, enter, leave, face)
        enter, leave, face = _cut(dz, hz - pz, 5, enter, leave, face)
    # A face of -1 means that the ray starts inside, and never enters.
    return (enter, face) if enter < leave and face >= 0 else (inf, -1)


@inlined
def _to_own(rows: Floats, s: int, place: Vector, seconds: float) -> Vector:
    """Transform a place in the world to a solid's own frame: from its centre, along its axes."""
    x = place[0] - (rows[s, CENTRE] + seconds * rows[s, VELOCITY])
    y = place[1] - (rows[s, CENTRE + 1] + seconds * rows[s, VELOCITY + 1])
    z = place[2] - (rows[s, CENTRE + 2] + seconds * rows[s, VELOCITY + 2])
    c, n = rows[s, TURN], rows[s, TURN + 1]
    return c * x + n * y, c * y - n * x, z


@inlined
def _cut(outwards: float, room: float, number: int, enter: float, leave: float, face: int) -> tuple[float, float, int]:
    """Clip a ray's interval to one side of a plane: `outwards` is its speed towards it, `room` its distance inside."""
    if outwards < 0.0:
        if room / outwards > enter:
            enter, face = room / outwards, number
    elif outwards > 0.0:
        leave = min(leave, room / outwards)
    elif room < 0.0:
        leave = -inf
    return enter, leave, face


@kernel
def _normal(rows: Floats, s: int, face: int, x: float, y: float, z: float) -> Vector:
    """Return the outward unit normal, in the world, of a solid's face at (x, y, z) in its own frame."""
    hx, hy, hz = rows[s, HALF], rows[s, HALF + 1], rows[s, HALF + 2]
    nx, ny, nz = 0.0, 0.0, 0.0
    if face == _ROUND_FACE:
        nx, ny = x / (hx * hx), y / (hy * hy)
        nz = z / (hz * hz) if rows[s, KIND] == ELLIPSOID else 0.0
    elif face >= 4:
        nz = 1.0 if face == 5 else -1.0
    elif face >= 2:
        ny, nz = (1.0 if face == 3 else -1.0), rows[s, LEAN + 1]
    else:
        nx, nz = (1.0 if face == 1 else -1.0), rows[s, LEAN]
    norm = sqrt(nx * nx + ny * ny + nz * nz)
    c, n = rows[s, TURN], rows[s, TURN + 1]
    return (c * nx - n * ny) / norm, (n * nx + c * ny) / norm, nz / norm


@kernel
def _in_window(along: float, width: float, up: float, height: float) -> bool:
    """Return whether a spot of a wall, from its lower corner, lies in a window."""
    columns = max(1.0, floor(width / WINDOW_CELL_M + 0.5))
    rows = max(1.0, floor(height / WINDOW_CELL_M + 0.5))
    u, v = along / width * columns, up / height * rows
    u, v = u - floor(u), v - floor(v)
    return WINDOW_SPAN[0] < u < WINDOW_SPAN[1] and WINDOW_RISE[0] < v < WINDOW_RISE[1]
