"""Cuboids of labels as lines: from above, from the side, over an image."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidarprep.labels.files import aligned
from lidarprep.report.canvas import Colour
from lidarprep.report.views import SceneView
from lidarprep.scene import Cuboids, Labels, Pose
from lidarprep.scene.pose import matrices

# Bright, and none of the colours that frames have first.
_PALETTE: tuple[Colour, ...] = (
    (255, 111, 97),
    (120, 220, 255),
    (255, 209, 82),
    (155, 235, 140),
    (226, 160, 255),
    (255, 170, 205),
)

# Corners by their signs along the box's own x, y, z; edges by their corners. The front, at +x, has the corners 4 to 7.
_SIGNS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if int(np.abs(_SIGNS[a] - _SIGNS[b]).sum()) == 2])
_OUTLINE = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], dtype=np.float64)
_MARK = np.array([(0.4, -1, 0), (1, 0, 0), (0.4, 1, 0)], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class ShownLabels:
    """Labels as they are drawn: cuboids in the view's world.

    Args:
        cuboids: Their `frame` is a row of the scene's frames.
        rows: Row of each of the scene's frames, by its id.
        are_prelabels: Whether they are those that the scene itself has.
    """

    cuboids: Cuboids
    rows: Mapping[str, int]
    are_prelabels: bool = False

    @classmethod
    def of(cls, labels: Labels | None, view: SceneView, *, strict: bool = True) -> ShownLabels:
        """Bring labels to a view's frames and its world.

        Args:
            labels: The labels, in any frame of reference. None: those that the scene itself has.
            view: The scene.
            strict: Whether labels of frames that the scene does not have are refused; else they are left out.

        Raises:
            RecipeError: They are of other frames.
        """
        rows = {frame.id: row for row, frame in enumerate(view.scene)}
        chosen = view.prelabels if labels is None else labels
        if chosen is None or chosen.cuboids is None or not len(chosen.cuboids):
            return cls(Cuboids.of_rows([]), rows)
        found = aligned(chosen, view.scene, "the Labels", strict=strict)
        return cls(_placed(found, view), rows, labels is None)

    def of_frames(self, ids: Collection[str]) -> Cuboids:
        """Return the cuboids of some frames."""
        return self.cuboids.take(np.isin(self.cuboids.frame, [self.rows[id] for id in ids if id in self.rows]))

    def swatches(self, cuboids: Cuboids) -> list[tuple[Colour, str]]:
        """Return the lines of a legend: for each label its colour, and how many there are."""
        names = cuboids.label.tolist()
        kind = ", pre-labels" if self.are_prelabels else ""
        return [(colour, f"{name} ({names.count(name)}){kind}") for name, colour in colours_of(cuboids).items()]


def _placed(labels: Labels, view: SceneView) -> Cuboids:
    """Return cuboids in the view's world; `labels.frames` are the scene's."""
    assert labels.cuboids is not None  # noqa: S101
    offset = np.array(view.offset)
    if labels.frame == "ego":
        # A frame without a pose is drawn as its device sees it.
        here = Pose.identity().translated(offset)
        return labels.cuboids.moved([one.world_from_ego or here for one in labels.frames]).shifted(-offset)
    is_stored = view.scene.layout == "attachments"
    taken = np.array(view.manifest.world_offset if is_stored and view.manifest is not None else (0.0, 0.0, 0.0))
    if labels.frame == "world":
        return labels.cuboids.shifted(-taken - offset)
    # Attachments whose offset is not known are those that are shown, or that would be made.
    own = np.array(labels.world_offset)
    return labels.cuboids.shifted((own if own.any() else taken if is_stored else offset) - taken - offset)


def _from_box(cuboids: Cuboids, signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, K, 3) places in the cuboids' world, of places (K, 3) in halves of their sizes along their own axes."""
    own = signs * cuboids.size[:, None, :] / 2
    placed: NDArray[np.float64] = np.einsum("nij,nkj->nki", matrices(cuboids.quaternion), own)
    return placed + cuboids.position[:, None, :]


def corners(cuboids: Cuboids) -> NDArray[np.float64]:
    """(N, 8, 3) corners in the cuboids' world, metres; the last four are at the front."""
    return _from_box(cuboids, _SIGNS)


def footprints(cuboids: Cuboids) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return boxes from above, (N, 4, 2) corners in order, and their front marks, (N, 3, 2): arrows' heads."""
    return _from_box(cuboids, _OUTLINE)[..., :2], _from_box(cuboids, _MARK)[..., :2]


def edge_points(cuboids: Cuboids, parts: int) -> NDArray[np.float64]:
    """(N, 13, parts + 1, 3) places along their twelve edges, and along a mark on the front, in the cuboids' world."""
    placed = corners(cuboids)
    front = placed[:, 4:].mean(axis=1, keepdims=True)
    starts = np.concatenate((placed[:, EDGES[:, 0]], placed.mean(axis=1, keepdims=True)), axis=1)
    ends = np.concatenate((placed[:, EDGES[:, 1]], front), axis=1)
    share = np.linspace(0.0, 1.0, parts + 1)[:, None]
    along: NDArray[np.float64] = starts[:, :, None] + share * (ends - starts)[:, :, None]
    return along


def name_of(cuboids: Cuboids, row: int) -> str:
    """Return the label of one with the beginning of its track's id."""
    return f"{cuboids.label[row]} {cuboids.track[row][:6]}"


def colours_of(cuboids: Cuboids) -> dict[str, Colour]:
    """Return a colour for each label, in the order of their names."""
    labels = sorted(set(cuboids.label.tolist()))
    return {label: _PALETTE[number % len(_PALETTE)] for number, label in enumerate(labels)}
