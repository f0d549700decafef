"""A file of poses, world from ego, one for each frame of a plain folder of point files.

| kind  | what is in it                                                                                     |
|-------|---------------------------------------------------------------------------------------------------|
| KITTI | a row a frame: the 12 numbers of [R | t], row by row                                              |
| TUM   | a row a frame: timestamp in seconds, tx ty tz, qx qy qz qw (scalar last); # begins a comment      |
| JSON  | a list of {"heading": [w, x, y, z], "position": [x, y, z]}, or an object of those by file stem;   |
|       | each may have a "timestamp" in integer nanoseconds                                                |

A file named .json is JSON; of any other the count of numbers in its first row says what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np

from lidarprep.errors import FormatError, SceneError
from lidarprep.readers.layouts.json_values import StampedPose, pose_of, read_json
from lidarprep.readers.layouts.numbered import FrameKey, frame_key
from lidarprep.scene import Pose

ROW_LENGTHS: dict[int, Literal["KITTI", "TUM"]] = {12: "KITTI", 8: "TUM"}


@dataclass(frozen=True)
class Poses:
    """The poses of a file.

    Args:
        path: The file.
        kind: What it was read as.
        in_order: Poses in the order of the frames; empty if they are by name.
        by_name: Poses by the frame that they name; empty if they are in order.
    """

    path: Path
    kind: Literal["KITTI", "TUM", "JSON"]
    in_order: tuple[StampedPose, ...] = ()
    by_name: dict[FrameKey, StampedPose] | None = None

    def match(self, files: dict[FrameKey, Path]) -> tuple[list[StampedPose], list[str]]:
        """A pose for each of the point files, and notes of what was left over.

        Raises:
            SceneError: The counts differ, or a file has no pose.
        """
        if self.by_name is None:
            if len(self.in_order) != len(files):
                raise SceneError(
                    f"{self.path} has {len(self.in_order)} poses for {len(files)} point files",
                    fix="Give one pose a point file, in the files' order; or name each frame's in a JSON object.",
                )
            return list(self.in_order), []
        for key, file in files.items():
            if key not in self.by_name:
                raise SceneError(f"{self.path} has no pose for {file.name}", fix="Add it under the file's stem.")
        left_over = len(self.by_name) - len(files)
        notes = [f"{left_over} poses in {self.path.name} belong to no point file"] if left_over else []
        return [self.by_name[key] for key in files], notes


def read_poses(path: Path) -> Poses:
    """Read a file of poses.

    Raises:
        FormatError: It is none of the kinds above, or a row of it makes no pose.
    """
    return _read_json(path) if path.suffix.lower() == ".json" else _read_rows(path)


def _read_json(path: Path) -> Poses:
    value = read_json(path)
    if isinstance(value, list):
        return Poses(path, "JSON", tuple(pose_of(path, item, f"entry {k}") for k, item in enumerate(value)))
    if not isinstance(value, dict):
        raise FormatError(path, found=f"a JSON {type(value).__name__}", expected="a list or an object of poses")
    by_name: dict[FrameKey, StampedPose] = {}
    for stem, item in value.items():
        key = frame_key(stem)
        if key in by_name:
            raise FormatError(path, place=f"entry '{stem}'", found="a second pose of one frame", expected="one a frame")
        by_name[key] = pose_of(path, item, f"entry '{stem}'")
    return Poses(path, "JSON", by_name=by_name)


def _read_rows(path: Path) -> Poses:
    text = path.read_text(encoding="utf-8", errors="replace")
    rows = [
        _Row(path, number, line.replace(",", " ").split())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not rows:
        raise FormatError(path, found="no row of numbers", expected="a pose a row")
    length = len(rows[0].words)
    if length not in ROW_LENGTHS:
        rows[0].fail(f"{length} values", "12 numbers (KITTI) or 8 (TUM)")
    kind = ROW_LENGTHS[length]
    return Poses(path, kind, tuple(row.kitti_pose() if kind == "KITTI" else row.tum_pose() for row in rows))


@dataclass(frozen=True)
class _Row:
    """One row, and where it stands."""

    path: Path
    number: int
    words: list[str]

    def kitti_pose(self) -> StampedPose:
        numbers = self.numbers(self.words, 12)
        return StampedPose(self.checked(lambda: Pose.from_matrix(np.reshape(numbers, (3, 4)))))

    def tum_pose(self) -> StampedPose:
        tx, ty, tz, qx, qy, qz, qw = self.numbers(self.words[1:], 7)
        pose = self.checked(lambda: Pose.from_quaternion((qw, qx, qy, qz), (tx, ty, tz)))
        return StampedPose(pose, self.nanoseconds(self.words[0]))

    def numbers(self, words: list[str], count: int) -> list[float]:
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            self.fail(repr(" ".join(words)[:80]), f"{count} numbers")
        if len(numbers) != count:
            self.fail(f"{len(self.words)} values", f"{len(self.words) + count - len(words)}, as in the first row")
        return numbers

    def nanoseconds(self, seconds: str) -> int:
        """Seconds as text to nanoseconds, through decimals: a float would be off by up to 238 ns."""
        try:
            nanoseconds = Decimal(seconds).scaleb(9)
            if abs(nanoseconds) < 2**63:
                return int(nanoseconds.to_integral_value())
        except ArithmeticError:  # no number, or one beyond all bounds
            pass
        self.fail(f"{seconds[:40]!r} as timestamp", "seconds since the Unix epoch")

    def checked(self, make: Callable[[], Pose]) -> Pose:
        try:
            return make()
        except SceneError as error:
            raise FormatError(self.path, place=f"line {self.number}", found=error.message, fix=error.fix) from error

    def fail(self, found: str, expected: str) -> NoReturn:
        raise FormatError(self.path, place=f"line {self.number}", found=found, expected=expected)
