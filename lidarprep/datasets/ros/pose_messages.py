"""Messages that hold poses, thousands at once: transforms, odometry, and poses with a header.

Messages of a topic mostly differ in their times and numbers alone. So the first is read from front to back, and all
others of its length with the same names of frames are read as columns at the same places.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.ros.bag import Messages
from lidarprep.datasets.ros.cursor import Cursor, Wire
from lidarprep.datasets.ros.headers import place_of
from lidarprep.errors import FormatError

TRANSFORMS = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
ODOMETRY = "nav_msgs/msg/Odometry"
POSES = (
    ODOMETRY,
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
    "geometry_msgs/msg/TransformStamped",
)

# More transforms than this in one message are not believed.
_MOST_TRANSFORMS = 100_000


@dataclass(frozen=True)
class Transforms:
    """Poses of a child frame in its parent, in the order of the messages.

    Args:
        parent: The frame that the poses are in.
        child: The frame whose poses they are; empty where the messages name none.
        timestamps: (M,) int64 nanoseconds since the Unix epoch.
        quaternions: (M, 4) float64 (w, x, y, z), as the messages have them.
        translations: (M, 3) float64 metres.
    """

    parent: str
    child: str
    timestamps: NDArray[np.int64]
    quaternions: NDArray[np.float64]
    translations: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[Transforms]) -> Transforms:
        """One after the other: all of one parent and child."""
        columns = [
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("timestamps", "quaternions", "translations")
        ]
        return cls(parts[0].parent, parts[0].child, *columns)

    def in_order(self) -> Transforms:
        """By time, of each time the first."""
        times, rows = np.unique(self.timestamps, return_index=True)
        return Transforms(self.parent, self.child, times, self.quaternions[rows], self.translations[rows])


@dataclass(frozen=True)
class _Record:
    """Where a message has one pose: the places of its time, of its seven numbers, and of its frames' names."""

    parent: str
    child: str
    stamp_at: int
    numbers_at: int
    names_at: tuple[tuple[int, int], ...]


def read_poses(path: Path, messages: Messages, raws: Sequence[bytes]) -> list[Transforms]:
    """The poses of a topic, by parent and child.

    Raises:
        FormatError: A message is cut.
    """
    wire = messages.wire
    walk = _walker(messages.topic.kind)
    found: dict[tuple[str, str], list[tuple[NDArray[np.int64], Transforms]]] = defaultdict(list)
    of_length: dict[int, list[int]] = defaultdict(list)
    for row, raw in enumerate(raws):
        of_length[len(raw)].append(row)
    for length, listed in of_length.items():
        rows = np.array(listed)
        table = np.frombuffer(b"".join(raws[row] for row in listed), dtype=np.uint8).reshape(len(listed), length)
        while len(rows):
            cursor = Cursor(path, place_of(messages, int(rows[0])), table[0].data, wire)
            records = walk(cursor)
            alike = _alike(table, records, wire)
            for record in records:
                transforms = _columns(table[alike], record, cursor.order, wire)
                found[record.parent, record.child].append((rows[alike], transforms))
            rows, table = rows[~alike], table[~alike]
    return [_in_message_order(parts) for parts in found.values()]


def _in_message_order(parts: list[tuple[NDArray[np.int64], Transforms]]) -> Transforms:
    joined = Transforms.joined([part for _, part in parts])
    order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
    return Transforms(
        joined.parent, joined.child, joined.timestamps[order], joined.quaternions[order], joined.translations[order]
    )


def _alike(table: NDArray[np.uint8], records: Sequence[_Record], wire: Wire) -> NDArray[np.bool_]:
    """Which rows have the first row's byte order, count and names, which decide where all else stands.

    Gaps between values are not looked at: CDR leaves open what is in them.
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


def _header(cursor: Cursor) -> tuple[int, str, tuple[int, int]]:
    """Where the time stands, the frame, and where its name stands."""
    if cursor.wire == "ros1":
        cursor.number("I")  # seq
    at = cursor.aligned(4)
    cursor.stamp()
    return at, *_name(cursor)


def _name(cursor: Cursor) -> tuple[str, tuple[int, int]]:
    """A frame's name, and where it stands with its length."""
    start = cursor.aligned(4)
    return cursor.text().lstrip("/"), (start, cursor.at)


def _numbers(cursor: Cursor) -> int:
    """Where the seven numbers of a pose stand: x y z, then x y z w."""
    at = cursor.aligned(8)
    cursor.floats(7)
    return at


def _transform(cursor: Cursor) -> _Record:
    stamp_at, parent, parent_at = _header(cursor)
    child, child_at = _name(cursor)
    return _Record(parent, child, stamp_at, _numbers(cursor), (parent_at, child_at))


def _transforms(cursor: Cursor) -> list[_Record]:
    count = cursor.number("I")
    if count > _MOST_TRANSFORMS:
        raise FormatError(cursor.path, place=cursor.place, found=f"{count} transforms in one message")
    return [_transform(cursor) for _ in range(count)]


def _pose(cursor: Cursor) -> list[_Record]:
    stamp_at, parent, parent_at = _header(cursor)
    return [_Record(parent, "", stamp_at, _numbers(cursor), (parent_at,))]


def _walker(kind: str) -> Callable[[Cursor], list[_Record]]:
    if kind in TRANSFORMS:
        return _transforms
    if kind in (ODOMETRY, "geometry_msgs/msg/TransformStamped"):
        return lambda cursor: [_transform(cursor)]
    return _pose
