"""Cuboids of labels as lines: from above, from the side, over an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import RecipeError
from lidarprep.report.canvas import Colour
from lidarprep.report.views import SceneView
from lidarprep.scene import Pose

if TYPE_CHECKING:
    from lidarprep.api import Cuboid, FrameAnnotations

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


def by_frame(labels: Sequence[FrameAnnotations], view: SceneView) -> Mapping[str, tuple[Cuboid, ...]]:
    """Return the cuboids of each frame, by the frames' ids.

    Labels of as many frames as the whole scene has are of those; else their indices count the view's frames.

    Raises:
        RecipeError: There are labels of more frames than that.
    """
    frames = view.scene.frames if len(labels) == len(view.scene) else view.frames
    if beyond := [one.index for one in labels if not 0 <= one.index < len(frames) and one.cuboids]:
        raise RecipeError(
            f"labels are of frame {beyond[0]}, counted from 0, and {view.scene.source} has {len(frames)} frames here",
            fix="Show what was labelled: the manifest of that task, or its recording with the same --frames.",
        )
    return {frames[one.index].id: one.cuboids for one in labels if one.cuboids}


def pose(cuboid: Cuboid) -> Pose:
    """Return the pose of a cuboid's own axes in the labels' world: at yaw 0 its front faces +y.

    ASSUMED: yaw turns last, then pitch about the box's x axis, then roll about its y axis; Scale prints no order.
    """
    yaw = Pose.from_euler(0.0, 0.0, cuboid.yaw, cuboid.position)
    pitch = Pose.from_euler(cuboid.pitch or 0.0, 0.0, 0.0)
    return yaw @ pitch @ Pose.from_euler(0.0, cuboid.roll or 0.0, 0.0)


def corners(cuboid: Cuboid) -> NDArray[np.float64]:
    """(8, 3) corners in the labels' world, metres; the last four are at its front."""
    return pose(cuboid).apply(_SIGNS * np.array(cuboid.dimensions) / 2)


def footprint(cuboid: Cuboid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the box from above, (4, 2) corners in order, and its front mark, (3, 2): an arrow's head."""
    half = np.array(cuboid.dimensions) / 2
    outline = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)]) * half
    mark = np.array([(-1, 0.4, 0), (0, 1, 0), (1, 0.4, 0)]) * half
    placed = pose(cuboid)
    return placed.apply(outline)[:, :2], placed.apply(mark)[:, :2]


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
