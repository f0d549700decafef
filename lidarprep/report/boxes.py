"""Cuboids of labels as lines: from above, from the side, over an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.api import Cuboid
from lidarprep.report.canvas import Colour

# Bright, and none of the colours that frames have first.
_PALETTE: tuple[Colour, ...] = (
    (255, 111, 97),
    (120, 220, 255),
    (255, 209, 82),
    (155, 235, 140),
    (226, 160, 255),
    (255, 170, 205),
)

# Corners by their signs along the box's own x, y, z; edges by their corners. The front, at +y, has the corners 4 to 7.
_SIGNS = np.array([(x, y, z) for y in (-1, 1) for z in (-1, 1) for x in (-1, 1)], dtype=np.float64)
EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if int(np.abs(_SIGNS[a] - _SIGNS[b]).sum()) == 2])


def rotation(cuboid: Cuboid) -> NDArray[np.float64]:
    """(3, 3) world from box: yaw about z, then pitch about the box's x axis, then roll about its y axis."""
    yaw, pitch, roll = cuboid.yaw, cuboid.pitch or 0.0, cuboid.roll or 0.0
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cr, 0, sr], [0, 1, 0], [-sr, 0, cr]])
    turned: NDArray[np.float64] = about_z @ about_x @ about_y
    return turned


def corners(cuboid: Cuboid) -> NDArray[np.float64]:
    """(8, 3) corners in the labels' world, metres; the last four are at its front."""
    placed: NDArray[np.float64] = (_SIGNS * np.array(cuboid.dimensions) / 2) @ rotation(cuboid).T + cuboid.position
    return placed


def footprint(cuboid: Cuboid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the box from above, (4, 2) corners in order, and its front mark, (3, 2): an arrow's head."""
    half = np.array(cuboid.dimensions) / 2
    outline = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)]) * half
    mark = np.array([(-1, 0.4, 0), (0, 1, 0), (1, 0.4, 0)]) * half
    turned = rotation(cuboid)
    return (outline @ turned.T + cuboid.position)[:, :2], (mark @ turned.T + cuboid.position)[:, :2]


def edge_points(cuboid: Cuboid, parts: int) -> NDArray[np.float64]:
    """(13, parts + 1, 3) places along its twelve edges, and along a mark on its front, in the labels' world."""
    placed = corners(cuboid)
    starts, ends = placed[EDGES[:, 0]], placed[EDGES[:, 1]]
    front = placed[4:].mean(axis=0)
    starts, ends = np.vstack((starts, placed.mean(axis=0)[None])), np.vstack((ends, front[None]))
    share = np.linspace(0.0, 1.0, parts + 1)[None, :, None]
    along: NDArray[np.float64] = starts[:, None] + share * (ends - starts)[:, None]
    return along


def name_of(cuboid: Cuboid) -> str:
    """Return its label with the beginning of its id."""
    return f"{cuboid.label} {cuboid.uuid[:6]}"


def colours_of(cuboids: Sequence[Cuboid]) -> dict[str, Colour]:
    """Return a colour for each label, in the order of their names."""
    labels: list[Any] = sorted({cuboid.label for cuboid in cuboids})
    return {label: _PALETTE[number % len(_PALETTE)] for number, label in enumerate(labels)}
