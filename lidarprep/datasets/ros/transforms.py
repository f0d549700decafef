"""The tree of transforms of a bag (tf): each frame's pose in its parent, over time or once and for all.

Frames are as REP 105 names them, where they are named as usual: earth, map, odom, base_link.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.ros.pose_messages import Transforms
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Pose, Trajectory
from lidarprep.scene.quaternions import conjugate, multiply, rotate, slerp


@dataclass(frozen=True)
class Edge:
    """A frame's poses in its parent.

    Args:
        transforms: In time order, one a time.
        fixed: It is one pose for all time: sent once and for all, or always the same.
        announced: It was sent once and for all, as static.
    """

    transforms: Transforms
    fixed: bool
    announced: bool

    def pose(self, path: Path) -> Pose:
        """The pose of a fixed one: where it was announced several times, the last."""
        transforms = self.transforms
        try:
            return Pose.from_quaternion(transforms.quaternions[-1], transforms.translations[-1])
        except SceneError as error:
            raise self._wrong(path, error) from error

    def trajectory(self, path: Path) -> Trajectory:
        """The poses over time."""
        transforms = self.transforms
        try:
            with np.errstate(over="ignore"):  # of absurd numbers; they are refused
                return Trajectory(transforms.timestamps, transforms.quaternions, transforms.translations)
        except SceneError as error:
            raise self._wrong(path, error) from error

    def _wrong(self, path: Path, error: SceneError) -> FormatError:
        place = f"the transform from {self.transforms.child} to {self.transforms.parent}"
        return FormatError(path, place=place, found=error.message, fix=error.fix)


class TransformTree:
    """What is known of how frames of reference lie to each other.

    Args:
        path: The bag, for errors.
        moving: Transforms of /tf.
        static: Transforms of /tf_static, which count for all time.
    """

    def __init__(self, path: Path, moving: Sequence[Transforms], static: Sequence[Transforms]) -> None:
        self.path = path
        self.notes: list[str] = []
        self.edges: dict[str, Edge] = {}
        for child, parents in _by_child(moving).items():
            transforms = self._one_parent(child, parents).in_order()
            self.edges[child] = Edge(transforms, _is_constant(transforms), announced=False)
        for child, parents in _by_child(static).items():
            self.edges[child] = Edge(parents[-1], fixed=True, announced=True)

    def _one_parent(self, child: str, parents: list[Transforms]) -> Transforms:
        best = max(parents, key=lambda transforms: len(transforms.timestamps))
        if len(parents) > 1:
            names = ", ".join(sorted(transforms.parent for transforms in parents))
            self.notes.append(f"{child} has several parents among the transforms ({names}); {best.parent} is taken")
        return best

    @property
    def frames(self) -> list[str]:
        """All frames, in alphabetical order."""
        return sorted({name for child, edge in self.edges.items() for name in (child, edge.transforms.parent)})

    def ancestors(self, frame: str) -> list[str]:
        """The frame, its parent, and so on up to the root."""
        found = [frame]
        while found[-1] in self.edges:
            parent = self.edges[found[-1]].transforms.parent
            if parent in found:
                raise FormatError(self.path, place="the tree of transforms", found=f"a circle: {' → '.join(found)}")
            found.append(parent)
        return found

    def connected(self, a: str, b: str) -> bool:
        """Whether there is a way from one frame to the other."""
        return self.ancestors(a)[-1] == self.ancestors(b)[-1]

    def unconnected(self, target: str, source: str) -> SceneError:
        """The error that shows the tree's parts."""
        parts: dict[str, list[str]] = {}
        for name in [*self.frames, target, source]:
            part = parts.setdefault(self.ancestors(name)[-1], [])
            if name not in part:
                part.append(name)
        shown = "; ".join(", ".join(part) for part in parts.values())
        return SceneError(
            f"{self.path}: no transform leads from {source} to {target}; what is connected: {shown}",
            fix="Record /tf and /tf_static, too, or choose another frame with --ego-frame or --world-frame.",
        )

    def between(self, target: str, source: str, max_gap_ns: int | None = None) -> Pose | Trajectory:
        """target_from_source: one pose where nothing on the way moves, or else the poses over time.

        Args:
            target: A frame.
            source: Another one, or the same.
            max_gap_ns: Where a transform on the way has a longer gap between its times, there is no pose.

        Raises:
            SceneError: There is no way from one to the other, or the transforms on it have no time in common.
            FormatError: A transform on the way is no transform.
        """
        up, down = self._way(target, source)
        steps = [(self.edges[child], True) for child in up] + [(self.edges[child], False) for child in reversed(down)]
        moving = [edge for edge, _ in steps if not edge.fixed]
        if not moving:
            pose = Pose.identity()
            for edge, inverted in steps:
                step = edge.pose(self.path)
                pose = pose @ (step.inverse() if inverted else step)
            return pose
        return self._over_time(steps, _common_times(moving, max_gap_ns), f"{source} to {target}")

    def path_of(self, world: str, ego: str, max_gap_ns: int | None) -> Trajectory | None:
        """world_from_ego over time; None where all of it was announced as static.

        Raises:
            SceneError, FormatError: As `between`.
        """
        found = self.between(world, ego, max_gap_ns)
        if isinstance(found, Trajectory):
            return found
        up, down = self._way(world, ego)
        sent = [self.edges[child].transforms.timestamps for child in (*up, *down) if not self.edges[child].announced]
        if not sent:
            return None
        times = np.unique(np.concatenate(sent))  # it stands still, while it says where it is
        return Trajectory.from_poses(times.tolist(), [found] * len(times))

    def _way(self, target: str, source: str) -> tuple[list[str], list[str]]:
        """The frames below the one that both have as ancestor: from the target up to it, from the source up to it."""
        up, down = self.ancestors(target), self.ancestors(source)
        if up[-1] != down[-1]:
            raise self.unconnected(target, source)
        while len(up) > 1 and len(down) > 1 and up[-2] == down[-2]:
            up.pop()
            down.pop()
        return up[:-1], down[:-1]

    def _over_time(self, steps: Iterable[tuple[Edge, bool]], times: NDArray[np.int64], way: str) -> Trajectory:
        if not len(times):
            raise SceneError(f"{self.path}: the transforms on the way from {way} have no time in common")
        quaternions = np.tile([1.0, 0.0, 0.0, 0.0], (len(times), 1))
        translations = np.zeros((len(times), 3))
        for edge, inverted in steps:
            q, t = self._sampled(edge, times)
            if inverted:
                q = conjugate(q)
                t = -rotate(q, t)
            translations = translations + rotate(quaternions, t)
            quaternions = multiply(quaternions, q)
        return Trajectory(times, quaternions, translations)

    def _sampled(self, edge: Edge, times: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if edge.fixed:
            pose = edge.pose(self.path)
            return np.tile(pose.quaternion, (len(times), 1)), np.tile(pose.translation, (len(times), 1))
        path = edge.trajectory(self.path)
        after = np.searchsorted(path.timestamps, times).clip(1, len(path) - 1)
        before = after - 1
        start, stop = path.timestamps[before], path.timestamps[after]
        fraction = (times - start) / (stop - start)
        quaternions = slerp(path.quaternions[before], path.quaternions[after], fraction)
        steps = path.translations[after] - path.translations[before]
        return quaternions, path.translations[before] + fraction[:, None] * steps


def _by_child(found: Sequence[Transforms]) -> dict[str, list[Transforms]]:
    """By child frame, the transforms to each parent put together."""
    parts: dict[str, dict[str, list[Transforms]]] = {}
    for transforms in found:
        if transforms.child and transforms.parent and transforms.child != transforms.parent:
            parts.setdefault(transforms.child, {}).setdefault(transforms.parent, []).append(transforms)
    return {child: [Transforms.joined(of_parent) for of_parent in parents.values()] for child, parents in parts.items()}


def _is_constant(transforms: Transforms) -> bool:
    """Whether all poses are the same: ROS 1's static transforms are sent again and again."""
    q, t = transforms.quaternions, transforms.translations
    return bool((q == q[0]).all() and (t == t[0]).all())


def _common_times(edges: Sequence[Edge], max_gap_ns: int | None) -> NDArray[np.int64]:
    """The times of all the edges, where each of them has a pose before and after that is not too far away."""
    each = [edge.transforms.timestamps for edge in edges]
    times = np.unique(np.concatenate(each))
    times = times[(times >= max(int(one[0]) for one in each)) & (times <= min(int(one[-1]) for one in each))]
    for one in each if max_gap_ns is not None else ():
        after = np.searchsorted(one, times).clip(1, len(one) - 1)
        exact = (one[after] == times) | (one[after - 1] == times)
        times = times[exact | (one[after] - one[after - 1] <= max_gap_ns)]
    return times
