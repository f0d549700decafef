"""The transforms of a bag (tf): messages that hold poses, thousands at once, and the tree of frames that they make.

Messages of a topic mostly differ in their times and numbers alone. So the first is read from front to back, and all
others of its length with the same names of frames are read as columns at the same places.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.ros._bag import Messages
from lidarprep.datasets.ros._messages import Cursor, frame_name, unset_stamps, usable_stamps, usual_delay
from lidarprep.datasets.ros._storage import Wire
from lidarprep.datasets.ros._topics import ODOMETRY, STAMPED_TRANSFORM, TRANSFORMS
from lidarprep.errors import FormatError, SceneError, naming
from lidarprep.remote import AnyPath
from lidarprep.scene import Pose, Trajectory
from lidarprep.scene.finding import Finding
from lidarprep.scene.pose import conjugate, multiply, rotate, slerp

# More transforms than this in one message are refused.
_MOST_TRANSFORMS = 100_000


@dataclass(frozen=True)
class Transforms:
    """Poses of a child frame in its parent, in the order of the messages."""

    parent: str
    child: str  # empty where the messages name none
    timestamps: NDArray[np.int64]  # (M,) nanoseconds since the Unix epoch
    quaternions: NDArray[np.float64]  # (M, 4) w, x, y, z, as in the messages
    translations: NDArray[np.float64]  # (M, 3) metres
    unset: int = 0  # how many of the headers have no time; those in `timestamps` are usable
    delay_ns: float | None = None  # from the times of the headers to those of the recording, mostly

    @classmethod
    def concatenate(cls, parts: Sequence[Transforms]) -> Transforms:
        """Return the poses of all parts, of one parent and child, one after the other."""
        times, quaternions, translations = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("timestamps", "quaternions", "translations")
        )
        unset = sum(part.unset for part in parts)
        delay = parts[0].delay_ns
        return cls(parts[0].parent, parts[0].child, times, quaternions, translations, unset, delay)

    def take(self, rows: NDArray[np.int64]) -> Transforms:
        """Return the poses of these rows."""
        return replace(
            self,
            timestamps=self.timestamps[rows],
            quaternions=self.quaternions[rows],
            translations=self.translations[rows],
        )

    def in_order(self) -> Transforms:
        """Return the poses by time, of each time the first."""
        return self.take(np.unique(self.timestamps, return_index=True)[1])

    def trajectory(self, path: AnyPath, place: str) -> Trajectory:
        """Return the poses over time, which are in time order; one that is not rigid is an error at path and place."""
        with naming(path, place), np.errstate(over="ignore"):  # of absurd numbers; they are refused
            return Trajectory(self.timestamps, self.quaternions, self.translations)


@dataclass(frozen=True)
class _Record:
    """Where a message has one pose: the offsets of its time, of its seven numbers, and of its frames' names."""

    parent: str
    child: str
    stamp_at: int
    numbers_at: int
    names_at: tuple[tuple[int, int], ...]


def read_poses(path: AnyPath, messages: Messages, raws: Sequence[bytes]) -> list[Transforms]:
    """Read the poses of a topic, by parent and child."""
    wire = messages.wire
    found: dict[tuple[str, str], list[tuple[NDArray[np.int64], Transforms]]] = defaultdict(list)
    of_length: dict[int, list[int]] = defaultdict(list)
    for row, raw in enumerate(raws):
        of_length[len(raw)].append(row)
    for length, listed in of_length.items():
        rows = np.array(listed)
        table = np.frombuffer(b"".join(raws[row] for row in listed), dtype=np.uint8).reshape(len(listed), length)
        while len(rows):
            cursor = Cursor(path, messages.name(int(rows[0])), table[0].data, wire)
            records = _records(cursor, messages.topic.kind)
            alike = _alike(table, records, wire)
            for record in records:
                transforms = _columns(table[alike], record, cursor.order, wire)
                found[record.parent, record.child].append((rows[alike], transforms))
            rows, table = rows[~alike], table[~alike]
    return [_in_recorded_order(parts, messages.times) for parts in found.values()]


def _in_recorded_order(
    parts: Sequence[tuple[NDArray[np.int64], Transforms]], recorded: NDArray[np.int64]
) -> Transforms:
    """Return the poses of one parent and child by the rows of their messages, with times that are usable."""
    rows = np.concatenate([rows for rows, _ in parts])
    order = np.argsort(rows, kind="stable")
    transforms = Transforms.concatenate([part for _, part in parts]).take(order)
    times, unset = usable_stamps(transforms.timestamps, recorded[rows[order]])
    delay = usual_delay(times, recorded[rows[order]], unset)
    return replace(transforms, timestamps=times, unset=int(unset.sum()), delay_ns=delay)


def _alike(table: NDArray[np.uint8], records: Sequence[_Record], wire: Wire) -> NDArray[np.bool_]:
    """Return which rows have the first row's byte order, count and names, on which the places of all else depend.

    Gaps between values are not compared: CDR leaves open what is in them.
    """
    places = [*range(8)] if wire == "cdr" else [*range(4)]
    if records and records[0].stamp_at < 8:  # a single header, no list with a count
        places = [1] if wire == "cdr" else []
    for record in records:
        for start, stop in record.names_at:
            places += range(start, stop)
    return np.asarray((table[:, places] == table[0, places]).all(axis=1))


def _columns(table: NDArray[np.uint8], record: _Record, order: str, wire: Wire) -> Transforms:
    seconds, nanoseconds = (
        np.ascontiguousarray(table[:, at : at + 4]).view(f"{order}{code}4")[:, 0].astype(np.int64)
        for at, code in ((record.stamp_at, "i" if wire == "cdr" else "u"), (record.stamp_at + 4, "u"))
    )
    block = np.ascontiguousarray(table[:, record.numbers_at : record.numbers_at + 56])
    numbers = block.view(f"{order}f8").astype(np.float64)
    return Transforms(
        record.parent, record.child, seconds * 10**9 + nanoseconds, numbers[:, [6, 3, 4, 5]], numbers[:, :3]
    )


def _name(cursor: Cursor) -> tuple[str, tuple[int, int]]:
    """Read a frame's name; return it and where it is with its length."""
    start = cursor.aligned(4)
    return frame_name(cursor.blob()), (start, cursor.at)


def _pose(cursor: Cursor, *, with_child: bool) -> _Record:
    """Read a header, the child's name if there is one, and seven numbers: x y z, then x y z w."""
    if cursor.wire == "ros1":
        cursor.number("I")  # seq
    stamp_at = cursor.aligned(4)
    cursor.stamp()
    parent, parent_at = _name(cursor)
    child, child_at = _name(cursor) if with_child else ("", parent_at)
    numbers_at = cursor.aligned(8)
    cursor.floats(7)
    return _Record(parent, child, stamp_at, numbers_at, (parent_at, child_at))


def _records(cursor: Cursor, kind: str) -> list[_Record]:
    """Return where the poses of a message are."""
    if kind not in TRANSFORMS:
        return [_pose(cursor, with_child=kind in (ODOMETRY, STAMPED_TRANSFORM))]
    count = cursor.number("I")
    if count > _MOST_TRANSFORMS:
        raise cursor.error(f"{count} transforms in one message")
    return [_pose(cursor, with_child=True) for _ in range(count)]


@dataclass(frozen=True)
class Edge:
    """A frame's poses in its parent, in time order, one a time."""

    transforms: Transforms
    fixed: bool  # one pose for all time: sent as static, or always the same
    announced: bool  # sent as static

    @property
    def place(self) -> str:
        """What errors call it."""
        return f"the transform from {self.transforms.child} to {self.transforms.parent}"

    def pose(self, path: AnyPath) -> Pose:
        """Return the pose of a fixed one: where it was announced several times, the last."""
        with naming(path, self.place):
            return Pose.from_quaternion(self.transforms.quaternions[-1], self.transforms.translations[-1])


class TransformTree:
    """The tree of transforms: each frame's pose in its parent, over time (/tf) or for all time (/tf_static)."""

    def __init__(self, path: AnyPath, moving: Sequence[Transforms], static: Sequence[Transforms]) -> None:
        self.path = path
        self.notes: list[str] = []
        self.findings: list[Finding] = []
        self.edges: dict[str, Edge] = {}
        for child, parents in _by_child(moving).items():
            found = self._one_parent(child, parents)
            transforms = found.in_order()
            self.edges[child] = Edge(transforms, _is_constant(transforms), announced=False)
            if not self.edges[child].fixed:
                place = f"tf, {child} in {found.parent}"
                self.findings += unset_stamps(place, "transforms", found.unset, len(found.timestamps))
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
        """Return the frame, its parent, and so on up to the root."""
        found = [frame]
        while found[-1] in self.edges:
            parent = self.edges[found[-1]].transforms.parent
            if parent in found:
                raise FormatError(self.path, place="the tree of transforms", found=f"a circle: {' → '.join(found)}")
            found.append(parent)
        return found

    def connected(self, a: str, b: str) -> bool:
        """Return whether transforms connect the two frames."""
        return self.ancestors(a)[-1] == self.ancestors(b)[-1]

    def unconnected(self, target: str, source: str) -> SceneError:
        """Return the error that shows the tree's parts."""
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
        """Return target_from_source: one pose where no transform between them moves, or else the poses over time.

        Args:
            target: A frame.
            source: Another one, or the same.
            max_gap_ns: Where a transform between them has a longer gap between its times, there is no pose.

        Raises:
            SceneError: The frames are not connected, or the transforms between them have no time in common.
            FormatError: A transform between them is not rigid.
        """
        up, down = self._chain(target, source)
        steps = [(self.edges[child], True) for child in up] + [(self.edges[child], False) for child in reversed(down)]
        moving = [edge for edge, _ in steps if not edge.fixed]
        if not moving:
            pose = Pose.identity()
            for edge, inverted in steps:
                step = edge.pose(self.path)
                pose = pose @ (step.inverse() if inverted else step)
            return pose
        return self._over_time(steps, _common_times(moving, max_gap_ns), f"{source} to {target}")

    def trajectory(self, world: str, ego: str, max_gap_ns: int | None) -> Trajectory | None:
        """Return world_from_ego over time; None where all of it was announced as static."""
        found = self.between(world, ego, max_gap_ns)
        if isinstance(found, Trajectory):
            return found
        up, down = self._chain(world, ego)
        sent = [self.edges[child].transforms.timestamps for child in (*up, *down) if not self.edges[child].announced]
        if not sent:
            return None
        times = np.unique(np.concatenate(sent))  # a fixed pose, known at the times of its messages
        return Trajectory.from_poses(times.tolist(), [found] * len(times))

    def _chain(self, target: str, source: str) -> tuple[list[str], list[str]]:
        """Return the frames from the target, and from the source, up to below their common ancestor."""
        up, down = self.ancestors(target), self.ancestors(source)
        if up[-1] != down[-1]:
            raise self.unconnected(target, source)
        while len(up) > 1 and len(down) > 1 and up[-2] == down[-2]:
            up.pop()
            down.pop()
        return up[:-1], down[:-1]

    def _over_time(self, steps: Iterable[tuple[Edge, bool]], times: NDArray[np.int64], chain: str) -> Trajectory:
        if not len(times):
            raise SceneError(f"{self.path}: the transforms from {chain} have no time in common")
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
        path = edge.transforms.trajectory(self.path, edge.place)
        after = np.searchsorted(path.timestamps, times).clip(1, len(path) - 1)
        before = after - 1
        start, stop = path.timestamps[before], path.timestamps[after]
        fraction = (times - start) / (stop - start)
        quaternions = slerp(path.quaternions[before], path.quaternions[after], fraction)
        steps = path.translations[after] - path.translations[before]
        return quaternions, path.translations[before] + fraction[:, None] * steps


def _by_child(found: Sequence[Transforms]) -> dict[str, list[Transforms]]:
    """Return by child frame the transforms to each parent, concatenated."""
    parts: dict[str, dict[str, list[Transforms]]] = {}
    for transforms in found:
        if transforms.child and transforms.parent and transforms.child != transforms.parent:
            parts.setdefault(transforms.child, {}).setdefault(transforms.parent, []).append(transforms)
    return {
        child: [Transforms.concatenate(of_parent) for of_parent in parents.values()] for child, parents in parts.items()
    }


def _is_constant(transforms: Transforms) -> bool:
    """Return whether all poses are the same: ROS 1's static transforms are sent repeatedly."""
    q, t = transforms.quaternions, transforms.translations
    return bool((q == q[0]).all() and (t == t[0]).all())


def _common_times(edges: Sequence[Edge], max_gap_ns: int | None) -> NDArray[np.int64]:
    """Return the times of all the edges at which each has a pose before and after that is near enough."""
    each = [edge.transforms.timestamps for edge in edges]
    times = np.unique(np.concatenate(each))
    times = times[(times >= max(int(one[0]) for one in each)) & (times <= min(int(one[-1]) for one in each))]
    for one in each if max_gap_ns is not None else ():
        after = np.searchsorted(one, times).clip(1, len(one) - 1)
        exact = (one[after] == times) | (one[after - 1] == times)
        times = times[exact | (one[after] - one[after - 1] <= max_gap_ns)]
    return times
