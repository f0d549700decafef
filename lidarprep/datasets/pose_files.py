"""Files of poses, world from ego, for the frames of point files that have none of their own.

| kind  | content                                                                                          |
|-------|---------------------------------------------------------------------------------------------------|
| KITTI | a row a frame: the 12 numbers of [R | t], row by row                                              |
| TUM   | a row a pose: timestamp in seconds, tx ty tz, qx qy qz qw (scalar last); # begins a comment       |
| CSV   | a header that names the columns, then a row a pose                                                |
| JSON  | a list of {"heading": [w, x, y, z], "position": [x, y, z]}, or an object of those by file stem;   |
|       | each may have a "timestamp" in integer nanoseconds                                                |

A file named .json is JSON. The first row of any other file tells its kind: a word that is not a number makes it a
header, and else the count of its numbers tells KITTI from TUM. The columns of a CSV are found by their names; see
pose_columns.

A time without a unit in its name has the unit that points.timestamps takes for such numbers, and the scene's notes say
which. Times are read as text, so that none is rounded. Columns with other names are passed over.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.euler_angles import AngleUnit, guess_unit, quaternions_of
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.pose_columns import (
    ANGLE_UNITS,
    FILE_NAMES,
    POSITION,
    QUATERNION,
    TIME_NAMES,
    TIME_UNITS,
    columns_of_axes,
    is_header,
    is_of_time,
    names_in_parts,
    split_rows,
)
from lidarprep.datasets.poses import PoseTable, decimal_nanoseconds, pose_of, read_json, table_of_poses
from lidarprep.datasets.time_units import OTHER_UNIT, is_decimal, times_of
from lidarprep.errors import FormatError, naming
from lidarprep.pointfiles.timestamps import likely_unit
from lidarprep.remote import AnyPath
from lidarprep.scene import Finding, Pose
from lidarprep.scene.points import NANOSECONDS, UNIT_NAMES, TimeUnit

# The columns of files without a header, by their number.
_HEADERLESS: dict[int, tuple[Literal["KITTI", "TUM"], list[str]]] = {
    12: ("KITTI", [name for row in "123" for name in (f"r{row}1", f"r{row}2", f"r{row}3", f"t{row}")]),
    8: ("TUM", ["timestamp_s", "tx", "ty", "tz", "qx", "qy", "qz", "qw"]),
}


def read_poses(path: AnyPath, options: OpenOptions | None = None) -> PoseTable:
    """Read a file of poses.

    Args:
        path: The file.
        options: The units of its times and angles, where the user gives them.

    Raises:
        FormatError: It is of no kind above; a column is missing or there twice; a row is short or not a pose; a unit
            is given for angles that it does not have.
    """
    options = options or OpenOptions()
    angles: AngleUnit | None = None
    if options.poses_are == "degrees" or options.poses_are == "radians":
        angles = options.poses_are
    table = _read(path, options.frames_unit, angles)
    if angles is not None and not table.has_angles:
        raise FormatError(
            path, found=f"no roll, pitch and yaw that could be {angles}", expected="them", fix="Leave --poses-are out."
        )
    return table


def _read(path: AnyPath, unit: TimeUnit | None, angles: AngleUnit | None) -> PoseTable:
    if path.suffix.lower() == ".json":
        return _read_json(path, unit)
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    numbered = {n: line for n, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")}
    if not numbered:
        raise FormatError(path, found="no row of numbers", expected="a pose a row")
    first = min(numbered)
    header_line = _header_line(lines, first)
    if header_line is not None:
        return _table_with_header(path, lines[header_line - 1], header_line, numbered, unit).poses("CSV", angles)
    rows = [_words(line) for line in numbered.values()]
    if len(rows[0]) not in _HEADERLESS:
        expected = "12 numbers (KITTI) or 8 (TUM)"
        raise FormatError(path, place=f"line {first}", found=f"{len(rows[0])} values", expected=expected)
    kind, header = _HEADERLESS[len(rows[0])]
    table = _Table(path, header, f"line {first}", rows, [f"line {n}" for n in numbered], unit)
    return table.poses("TUM") if kind == "TUM" else table.matrices()


def _read_json(path: AnyPath, unit: TimeUnit | None) -> PoseTable:
    value = read_json(path, (list, dict), "a list or an object of poses")
    names = list(value) if isinstance(value, dict) else None
    items = {f"entry {k}": item for k, item in enumerate(value)}
    if names is not None:
        items = {f"entry '{name}'": item for name, item in value.items()}
    poses = {place: pose_of(path, item, place) for place, item in items.items()}
    times = [pose.timestamp for pose in poses.values() if pose.timestamp is not None]
    if 0 < len(times) < len(poses):
        without = next(place for place, pose in poses.items() if pose.timestamp is None)
        raise FormatError(
            path, place=without, found="no timestamp, where others have one", expected="one for every pose, or for none"
        )
    table = table_of_poses(path, "JSON", [pose.pose for pose in poses.values()], None, names, list(poses))
    if not times:
        return table
    found = times_of([repr(time) for time in times], "ns", f"timestamps in {path.name}", unit=unit, dense=True)
    if found is None:
        expected = f"{UNIT_NAMES[unit or 'ns']} since the Unix epoch"
        raise FormatError(
            path, found="timestamps that are no times", expected=expected, fix=None if unit is None else OTHER_UNIT
        )
    return replace(
        table, timestamps=found.timestamps, notes=found.notes, findings=found.findings, untimed=found.estimated
    )


def _header_line(lines: Sequence[str], first: int) -> int | None:
    """Return the number of the line that names the columns: the first row, or a comment right before it; or None."""
    words = _words(lines[first - 1])
    if len(words) >= 3 and not any(map(_is_number, words)):
        return first
    if first < 2 or not is_header(lines[first - 2]):
        return None
    ends = [word.lower()[-1] for word in _words(lines[first - 2].lstrip("# "))[-4:]]
    return None if len(words) == 8 and ends == ["x", "y", "z", "w"] else first - 1  # TUM's own comment


def _words(line: str) -> list[str]:
    return re.split(r"[\s,;]+", line.strip(" \t,;"))


def _is_number(word: str) -> bool:
    try:
        Decimal(word)
    except ArithmeticError:
        return False
    return True


def _table_with_header(
    path: AnyPath, header: str, header_line: int, numbered: dict[int, str], unit: TimeUnit | None
) -> _Table:
    below = {n: line for n, line in numbered.items() if n > header_line}
    header = header.lstrip().removeprefix("#")
    try:
        names, *rows = split_rows([header, *below.values()], header)
    except csv.Error as error:
        raise FormatError(path, found=f"a row that is no CSV ({error})") from error
    if not rows:
        raise FormatError(path, found="a header without a row", expected="a pose a row")
    if len(rows) != len(below):
        raise FormatError(path, found="a quoted value that goes over several lines", expected="a pose a line")
    return _Table(path, names, f"line {header_line}", rows, [f"line {n}" for n in below], unit)


class _Table:
    """The rows of a file under its header; every error says the line."""

    def __init__(
        self,
        path: AnyPath,
        header: list[str],
        header_place: str,
        rows: list[list[str]],
        places: list[str],
        unit: TimeUnit | None,
    ) -> None:
        self.path = path
        self.unit = unit
        self.header, self.header_place = header, header_place
        self.rows, self.places = rows, places
        self.columns = names_in_parts(header)
        self.notes: list[str] = []
        self.findings: tuple[Finding, ...] = ()
        self.untimed: tuple[int, ...] = ()
        for place, row in zip(places, rows, strict=True):
            if len(row) != len(header):
                raise FormatError(
                    path, place=place, found=f"{len(row)} values", expected=f"{len(header)}, as in {header_place}"
                )

    def matrices(self) -> PoseTable:
        """Return the poses of rows that are the 12 numbers of [R | t]."""
        poses = []
        for place, numbers in zip(self.places, self.numbers(range(12)), strict=True):
            with naming(self.path, place):
                poses.append(Pose.from_matrix(numbers.reshape(3, 4)))
        return table_of_poses(self.path, "KITTI", poses)

    def poses(self, kind: Literal["TUM", "CSV"], unit: AngleUnit | None = None) -> PoseTable:
        position = columns_of_axes(self.columns, POSITION, "xyz", but=())
        if position is None:
            self.lacks("a position", "x, y, z; tx, ty, tz; position_x, position_y, position_z")
        timestamps = self.timestamps()
        translations = self.numbers(position)
        rotation = columns_of_axes(self.columns, QUATERNION, "wxyz", but=position)
        turned = self.turned(translations, timestamps, unit) if rotation is None else self.numbers(rotation)
        return PoseTable(
            self.path,
            kind,
            quaternions=turned,
            translations=translations,
            places=self.places,
            timestamps=timestamps,
            names=self.names(),
            notes=tuple(self.notes),
            has_angles=rotation is None,
            findings=self.findings,
            untimed=self.untimed,
        )

    def turned(
        self, translations: NDArray[np.float64], timestamps: Sequence[int] | None, unit: AngleUnit | None
    ) -> NDArray[np.float64]:
        """Return (M, 4) w, x, y, z of roll, pitch and yaw in the given unit, the one in their names, or a guess."""
        found = [angle for angle in map(self.angle, ("roll", "pitch", "yaw")) if angle is not None]
        if len(found) < 3:
            self.lacks("a rotation", "qw, qx, qy, qz; orientation_w, …; or roll, pitch, yaw")
        angles = self.numbers([column for column, _ in found])
        if not np.isfinite(angles).all():
            row = int(np.argmin(np.isfinite(angles).all(axis=1)))
            raise FormatError(self.path, place=self.places[row], found="an angle that is not finite")
        units = [named for _, named in found]
        if unit is None and not any(units):
            order = slice(None) if timestamps is None else np.argsort(np.array(timestamps), kind="stable")
            with np.errstate(over="ignore", invalid="ignore"):  # absurd positions
                guess = guess_unit(angles[order], translations[order])
            unit = guess.unit
            other = "radians" if unit == "degrees" else "degrees"
            self.notes.append(
                f"roll, pitch and yaw of {self.path.name} are taken as {unit}, since {guess.reason}"
                + ("" if guess.certain else f"; if they are {other}: --poses-are {other}")
            )
            factors = [np.pi / 180 if unit == "degrees" else 1.0] * 3
        else:
            # Of three angles that only some name the unit of, the others have the same.
            common = unit or next(named for named in units if named)
            factors = [np.pi / 180 if (unit or named or common) == "degrees" else 1.0 for named in units]
        return quaternions_of(angles * factors)

    def angle(self, name: str) -> tuple[int, AngleUnit | None] | None:
        """Return the column of an angle, and the unit that its name says."""
        for row, parts in enumerate(self.columns):
            if parts and parts[-1] == name:
                return row, None
            if len(parts) > 1 and parts[-2] == name and parts[-1] in ANGLE_UNITS:
                return row, ANGLE_UNITS[parts[-1]]
        return None

    def names(self) -> list[str] | None:
        """Return the name of each pose's file or frame; None where no column has them."""
        for name in FILE_NAMES:
            for row, parts in enumerate(self.columns):
                if "_".join(parts) == name:
                    return [values[row] for values in self.rows]
        return None

    # ---- times -----------------------------------------------------------------------------------------------------

    def timestamps(self) -> list[int] | None:
        pair = self.pair()
        if pair is not None:
            seconds, beyond, factor = pair
            return [self.seconds(row, seconds) + self.beyond(row, beyond, factor) for row in range(len(self.rows))]
        for name in TIME_NAMES:
            for column, parts in enumerate(self.columns):
                # `t` before an axis is a position's: its parts are ("t", "x") or ("tx",).
                if name in parts[-2:] and (parts[-1] == name or parts[-1] in TIME_UNITS):
                    return self.times_of(column, TIME_UNITS.get(parts[-1]))
        for column, parts in enumerate(self.columns):
            if len(parts) == 1 and len(parts[0]) > 2 and parts[0] in TIME_UNITS:  # "seconds" for itself, but not "s"
                return self.times_of(column, TIME_UNITS[parts[0]])
        return None

    def pair(self) -> tuple[int, int, int] | None:
        """Return two columns of one name but for the unit: whole seconds, and what is beyond them.

        The third number is how many nanoseconds the second column's unit has. Columns that each have the whole time,
        in units of their own, are no pair.
        """
        for column, parts in enumerate(self.columns):
            if not parts or TIME_UNITS.get(parts[-1]) != "s" or not is_of_time(parts[:-1]):
                continue
            for other, also in enumerate(self.columns):
                unit = TIME_UNITS.get(also[-1]) if also and also[:-1] == parts[:-1] else None
                if unit is None or unit == "s" or self.is_whole_time(column, other, NANOSECONDS[unit]):
                    continue
                return column, other, NANOSECONDS[unit]
        return None

    def is_whole_time(self, seconds: int, other: int, factor: int) -> bool:
        """Return whether another column has the same times as that of the seconds, to a second."""
        beyond_a_second = False
        for values in self.rows:
            in_seconds, in_other = (
                decimal_nanoseconds(values[seconds], 10**9),
                decimal_nanoseconds(values[other], factor),
            )
            if in_seconds is None or in_other is None or abs(in_other - in_seconds) > 10**9:
                return False
            beyond_a_second |= in_other >= 10**9 or in_seconds % 10**9 != 0
        return beyond_a_second

    def times_of(self, column: int, unit: TimeUnit | None) -> list[int]:
        """Return nanoseconds: in the user's unit, or the one in the column's name if the numbers can have it."""
        words = [row[column] for row in self.rows]
        name = f"column {self.header[column]!r} of {self.path.name}"
        stated = unit or self._guess(words)
        found = times_of(words, stated, f"the times in {name}", unit=self.unit, dense=True)
        if found is None:
            bad = (row for row, word in enumerate(words) if decimal_nanoseconds(word, NANOSECONDS[stated]) is None)
            row = next(bad, 0)
            if unit is None:
                self.number(row, column)
            self.refuse(row, column, "a time since the Unix epoch", None if self.unit is None else OTHER_UNIT)
        self.notes += found.notes
        if not found.notes and unit is None and self.unit is None:
            self.notes.append(f"{name} is taken as {UNIT_NAMES[stated]}")
        self.findings, self.untimed = found.findings, found.estimated
        return found.timestamps

    def _guess(self, words: list[str]) -> TimeUnit:
        """Return the unit that such numbers mostly have."""
        sizes = [abs(float(word)) for word in words if is_decimal(word) and math.isfinite(float(word))]
        whole = all(word.lstrip("+-").isdecimal() for word in words)
        return likely_unit(sorted(sizes)[len(sizes) // 2] if sizes else 0.0, whole=whole)

    # ---- values ----------------------------------------------------------------------------------------------------

    def numbers(self, columns: Sequence[int]) -> NDArray[np.float64]:
        """Return (M, len(columns)) float64."""
        return np.array([[self.number(row, column) for column in columns] for row in range(len(self.rows))])

    def number(self, row: int, column: int) -> float:
        try:
            return float(self.rows[row][column])
        except ValueError:
            self.refuse(row, column, "a number")

    def seconds(self, row: int, column: int) -> int:
        """Return a whole number of seconds as nanoseconds; nanoseconds beyond them still fit int64."""
        time = decimal_nanoseconds(self.rows[row][column], 10**9)
        if time is None or time % 10**9 or time > 2**63 - 10**9:
            self.refuse(row, column, "a whole number of seconds")
        return time

    def beyond(self, row: int, column: int, factor: int) -> int:
        """Return what is beyond a whole second, as nanoseconds; a table may write it as 570000000.0."""
        time = decimal_nanoseconds(self.rows[row][column], factor)
        if time is None or not 0 <= time < 10**9:
            self.refuse(row, column, f"what is beyond whole seconds: from 0 to {10**9 // factor - 1}")
        return time

    def refuse(self, row: int, column: int, expected: str, fix: str | None = None) -> NoReturn:
        place = f"{self.places[row]}, column {self.header[column]!r}"
        raise FormatError(self.path, place=place, found=repr(self.rows[row][column][:40]), expected=expected, fix=fix)

    def lacks(self, what: str, names: str) -> NoReturn:
        raise FormatError(
            self.path,
            place=self.header_place,
            found=f"no columns for {what} among {', '.join(self.header)}"[:200],
            expected=f"each once, named as in {names}",
        )
