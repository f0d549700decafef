"""Puts solids together: into things, things into places, and all of them into a tree that rays find their way in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

from lidarprep.kernels.raycast import BOX, CYLINDER, ELLIPSOID, NOTHING, Solids, Tree
from lidarprep.sample.materials import material

LEAF_SIZE = 2

_Vector = tuple[float, float, float]


def box(
    made_of: str,
    centre: _Vector,
    size: _Vector,
    *,
    taper: tuple[float, float] = (1.0, 1.0),
    turn: float = 0.0,
    windows: str | None = None,
) -> Solids:
    """One upright box in the frame of the thing it belongs to.

    Args:
        made_of: Name of its material.
        centre: (x, y, z) of its middle, metres.
        size: Its extents along its own axes at the bottom, metres.
        taper: Its extents in x and y at the top, as a part of those at the bottom.
        turn: Angle about z, radians.
        windows: Name of the material of windows in its walls.
    """
    return _solid(BOX, made_of, centre, size, taper, turn, windows)


def cylinder(made_of: str, foot: _Vector, radius: float, height: float) -> Solids:
    """One upright cylinder, from the middle of its lower end, metres."""
    x, y, z = foot
    return _solid(CYLINDER, made_of, (x, y, z + height / 2), (2 * radius, 2 * radius, height))


def ellipsoid(made_of: str, centre: _Vector, size: _Vector) -> Solids:
    """One ellipsoid, by its middle and its extents along the axes, metres."""
    return _solid(ELLIPSOID, made_of, centre, size)


def _solid(
    kind: int,
    made_of: str,
    centre: _Vector,
    size: _Vector,
    taper: tuple[float, float] = (1.0, 1.0),
    turn: float = 0.0,
    windows: str | None = None,
) -> Solids:
    return Solids(
        kind=np.array([kind], dtype=np.int8),
        centre=np.array([centre], dtype=np.float64),
        half=np.array([size], dtype=np.float64) / 2,
        taper=np.array([taper], dtype=np.float64),
        turn=np.array([[cos(turn), sin(turn)]]),
        velocity=np.zeros((1, 3)),
        material=np.array([material(made_of)], dtype=np.int16),
        window=np.array([NOTHING if windows is None else material(windows)], dtype=np.int16),
    )


def join(parts: Iterable[Solids]) -> Solids:
    """All solids of the parts, in their order; at least one part."""
    return Solids._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def take(solids: Solids, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Solids:
    """The solids that `rows` names, by index or by mask."""
    return Solids._make(column[rows] for column in solids)


def place(solids: Solids, position: Sequence[float], yaw: float, velocity: _Vector = (0.0, 0.0, 0.0)) -> Solids:
    """A thing's solids, in the world.

    Args:
        solids: In the thing's own frame.
        position: (x, y, z) of the thing's origin in the world, metres.
        yaw: Angle from the world's x axis to the thing's, radians.
        velocity: Of the thing in the world, metres a second.
    """
    c, s = cos(yaw), sin(yaw)
    rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return solids._replace(
        centre=solids.centre @ rotation.T + np.asarray(position, dtype=np.float64),
        turn=solids.turn @ rotation[:2, :2].T,
        velocity=np.broadcast_to(np.asarray(velocity, dtype=np.float64), solids.centre.shape).copy(),
    )


def bounds(solids: Solids, span: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(S, 3) lower and (S, 3) upper corners, metres, around each solid at all times from -span to +span seconds."""
    c, s = np.abs(solids.turn[:, 0]), np.abs(solids.turn[:, 1])
    hx, hy, hz = solids.half.T
    # A box that widens upwards is bounded by its top.
    hx, hy = hx * np.maximum(1, solids.taper[:, 0]), hy * np.maximum(1, solids.taper[:, 1])
    reach = np.column_stack((c * hx + s * hy, s * hx + c * hy, hz)) + span * np.abs(solids.velocity)
    return solids.centre - reach, solids.centre + reach


def build_tree(solids: Solids, eye: NDArray[np.float64], span: float) -> tuple[Solids, Tree]:
    """Solids in the order that a tree over them wants, and the tree.

    Args:
        solids: At least one.
        eye: (3,) float64 where rays will come from, about, in the world: of two branches the nearer is tried first.
        span: Rays will be cast from -span to +span seconds.
    """
    lower, upper = bounds(solids, span)
    middle = (lower + upper) / 2
    order: list[NDArray[np.int64]] = []
    nodes: list[list[int]] = []  # [after, first, held]
    corners: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    placed = 0

    def add(rows: NDArray[np.int64]) -> None:
        nonlocal placed
        number = len(nodes)
        low, high = lower[rows].min(axis=0), upper[rows].max(axis=0)
        nodes.append([0, placed, 0])
        corners.append((low, high))
        if len(rows) <= LEAF_SIZE:
            nodes[number][2] = len(rows)
            order.append(rows)
            placed += len(rows)
        else:
            axis = int(np.argmax(np.ptp(middle[rows], axis=0)))
            ranked = rows[np.argsort(middle[rows, axis], kind="stable")]
            half = len(ranked) // 2
            branches = [ranked[:half], ranked[half:]]
            if eye[axis] > middle[ranked[half], axis]:
                branches.reverse()
            for branch in branches:
                add(branch)
        nodes[number][0] = len(nodes)

    add(np.arange(len(solids.kind)))
    after, first, held = np.array(nodes, dtype=np.int32).T.copy()
    tree = Tree(np.array([c[0] for c in corners]), np.array([c[1] for c in corners]), after, first, held)
    return take(solids, np.concatenate(order)), tree
