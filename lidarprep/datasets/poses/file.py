"""A file of poses, world from ego, for the frames of point files that have none of their own.

| kind  | what is in it                                                                                     |
|-------|---------------------------------------------------------------------------------------------------|
| KITTI | a row a frame: the 12 numbers of [R | t], row by row                                              |
| TUM   | a row a pose: timestamp in seconds, tx ty tz, qx qy qz qw (scalar last); # begins a comment       |
| CSV   | a header that names the columns, then a row a pose: see csv_file                                  |
| JSON  | a list of {"heading": [w, x, y, z], "position": [x, y, z]}, or an object of those by file stem;   |
|       | each may have a "timestamp" in integer nanoseconds                                                |

A file named .json is JSON. Of any other the first row says what it is: a word that is no number makes it a header, and
else the count of its numbers tells KITTI from TUM.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np

from lidarprep.datasets.json_values import StampedPose, pose_of, read_json
from lidarprep.datasets.poses.csv_file import is_header, read_poses_csv
from lidarprep.datasets.poses.table import PoseTable, decimal_nanoseconds, table_of_poses
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Pose

ROW_LENGTHS: dict[int, Literal["KITTI", "TUM"]] = {12: "KITTI", 8: "TUM"}


def read_poses(path: Path) -> PoseTable:
    """Read a file of poses.

    Raises:
        FormatError: It is none of the kinds above, or a row of it makes no pose.
    """
    if path.suffix.lower() == ".json":
        return _read_json(path)
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    first = next(_rows(path, lines), None)
    if first is None:
        raise FormatError(path, found="no row of numbers", expected="a pose a row")
    header_line = first.number if first.is_header() else _commented_header(lines, first)
    if header_line is not None:
        return read_poses_csv(path, lines, header_line)
    if len(first.words) not in ROW_LENGTHS:
        first.fail(f"{len(first.words)} values", "12 numbers (KITTI) or 8 (TUM)")
    rows = list(_rows(path, lines))
    return _kitti_table(path, rows) if ROW_LENGTHS[len(first.words)] == "KITTI" else _tum_table(path, rows)


def _read_json(path: Path) -> PoseTable:
    value = read_json(path)
    if isinstance(value, list):
        places = [f"entry {k}" for k in range(len(value))]
        return _json_table(
            path, places, [pose_of(path, item, place) for item, place in zip(value, places, strict=True)]
        )
    if not isinstance(value, dict):
        raise FormatError(path, found=f"a JSON {type(value).__name__}", expected="a list or an object of poses")
    places = [f"entry '{stem}'" for stem in value]
    poses = [pose_of(path, item, place) for item, place in zip(value.values(), places, strict=True)]
    return _json_table(path, places, poses, names=list(value))


def _json_table(path: Path, places: list[str], poses: list[StampedPose], names: list[str] | None = None) -> PoseTable:
    times = [pose.timestamp for pose in poses if pose.timestamp is not None]
    if 0 < len(times) < len(poses):
        without = next(place for place, pose in zip(places, poses, strict=True) if pose.timestamp is None)
        raise FormatError(
            path, place=without, found="no timestamp, where others have one", expected="one for every pose, or for none"
        )
    return table_of_poses(path, "JSON", [pose.pose for pose in poses], places, times or None, names)


def _kitti_table(path: Path, rows: list[_Row]) -> PoseTable:
    return table_of_poses(path, "KITTI", [row.kitti_pose() for row in rows], [row.place for row in rows])


def _tum_table(path: Path, rows: list[_Row]) -> PoseTable:
    numbers = np.array([row.numbers(row.words[1:], 7) for row in rows])
    return PoseTable(
        path,
        "TUM",
        quaternions=numbers[:, [6, 3, 4, 5]],
        translations=numbers[:, :3],
        places=[row.place for row in rows],
        timestamps=[row.nanoseconds() for row in rows],
    )


def _commented_header(lines: Sequence[str], first: _Row) -> int | None:
    """The line of a comment right before the first row that names its columns; None too where they are TUM's."""
    number = first.number - 1
    if number < 1 or not is_header(lines[number - 1]):
        return None
    words = _words(lines[number - 1].lstrip("# "))
    is_tum = len(first.words) == 8 and [word.lower()[-1] for word in words[-4:]] == ["x", "y", "z", "w"]
    return None if is_tum else number


def _rows(path: Path, lines: Sequence[str]) -> Iterator[_Row]:
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield _Row(path, number, _words(line))


def _words(line: str) -> list[str]:
    return re.split(r"[\s,;]+", line.strip(" \t,;"))


class _Row:
    """One row, and where it stands."""

    def __init__(self, path: Path, number: int, words: list[str]) -> None:
        self.path = path
        self.number = number
        self.words = words

    @property
    def place(self) -> str:
        return f"line {self.number}"

    def is_header(self) -> bool:
        """Whether none of its words is a number, so that they can only be names."""
        return len(self.words) >= 3 and not any(map(_is_number, self.words))

    def kitti_pose(self) -> Pose:
        numbers = self.numbers(self.words, 12)
        return self.checked(lambda: Pose.from_matrix(np.reshape(numbers, (3, 4))))

    def numbers(self, words: list[str], count: int) -> list[float]:
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            self.fail(repr(" ".join(words)[:80]), f"{count} numbers")
        if len(numbers) != count:
            self.fail(f"{len(self.words)} values", f"{len(self.words) + count - len(words)}, as in the first row")
        return numbers

    def nanoseconds(self) -> int:
        nanoseconds = decimal_nanoseconds(self.words[0], 10**9)
        if nanoseconds is None:
            self.fail(f"{self.words[0][:40]!r} as timestamp", "seconds since the Unix epoch")
        return nanoseconds

    def checked(self, make: Callable[[], Pose]) -> Pose:
        try:
            return make()
        except SceneError as error:
            raise FormatError(self.path, place=self.place, found=error.message, fix=error.fix) from error

    def fail(self, found: str, expected: str) -> NoReturn:
        raise FormatError(self.path, place=self.place, found=found, expected=expected)


def _is_number(word: str) -> bool:
    try:
        Decimal(word)
    except ArithmeticError:
        return False
    return True
