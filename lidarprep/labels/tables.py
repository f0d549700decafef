"""Labels as JSON, CSV and Parquet: the columns of `lidarprep.scene.labels` by their names, and back.

Cuboids look along their own +x: yaw 0 is the +x axis of the frame of reference, counterclockwise, radians; x, y, z is
the centre, metres. Point labels are arrays of their own (`points`); the JSON names their objects.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from lidarprep.errors import FormatError, MissingExtraError
from lidarprep.scene import Cuboids, LabelledFrame, Labels, Pose, Shapes
from lidarprep.scene.labels import UNKNOWN, LabelsFrame

FORMAT = "lidarprep-labels-1"
CONVENTION = (
    "Metres, radians. Size is (length, width, height) along the cuboid's own axes x forward, y left, z up; rotation is "
    "Rz(yaw) Ry(pitch) Rx(roll); at yaw 0 it looks along +x of the frame; quaternions are (w, x, y, z)."
)

_CUBOID_NUMBERS = ("x", "y", "z", "length", "width", "height", "yaw")
_Row = dict[str, Any]


# ---- writing -------------------------------------------------------------------------------------------------------


def write_json(labels: Labels) -> Iterator[tuple[str, bytes]]:
    """Yield labels.json: the frames, and a list of objects for each kind of label."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "convention": CONVENTION,
        "frame": labels.frame,
        "world_offset": labels.world_offset,
        "frames": [_frame_row(one) for one in labels.frames],
    }
    document |= {name: list(rows) for name, rows in _tables(labels).items()}
    if labels.notes:
        document["notes"] = labels.notes
    yield "labels.json", orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


def write_csv(labels: Labels) -> Iterator[tuple[str, bytes]]:
    """Yield a file for each kind of label: cuboids.csv, boxes.csv, shapes.csv, objects.csv; attributes as JSON."""
    for name, rows in _tables(labels).items():
        out = io.StringIO()
        flat = [_flat(row) for row in rows]
        writer = csv.DictWriter(out, list(flat[0]) if flat else _names(name), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
        yield f"{name}.csv", out.getvalue().encode()


def write_parquet(labels: Labels) -> Iterator[tuple[str, bytes]]:
    """Yield a file for each kind of label, as `write_csv`; with the convention in the file's metadata.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("a Parquet file", "tables") from None
    for name, rows in _tables(labels).items():
        flat = [_flat(row) for row in rows]
        table = arrow.table({key: [row[key] for row in flat] for key in (flat[0] if flat else _names(name))})
        about = {"convention": CONVENTION, "frame": labels.frame}
        out = io.BytesIO()
        parquet.write_table(table.replace_schema_metadata(about), out)
        yield f"{name}.parquet", out.getvalue()


def _tables(labels: Labels) -> dict[str, list[_Row]]:
    """Return the rows of each kind of label that there is."""
    tables: dict[str, list[_Row]] = {}
    if labels.cuboids is not None:
        tables["cuboids"] = [_cuboid_row(labels, row) for row in range(len(labels.cuboids))]
    if labels.boxes is not None:
        boxes = labels.boxes
        tables["boxes"] = [
            {
                "track": boxes.track[row],
                "label": boxes.label[row],
                **_of_frame(labels.frames[boxes.frame[row]]),
                "camera": int(boxes.camera[row]),
                **dict(zip(("left", "top", "width", "height"), boxes.box[row].tolist(), strict=True)),
                "not_in_lidar": bool(boxes.not_in_lidar[row]),
                "attributes": dict(boxes.attributes[row]),
            }
            for row in range(len(boxes))
        ]
    if labels.shapes is not None:
        shapes = labels.shapes
        tables["shapes"] = [
            {
                "track": shapes.track[row],
                "label": shapes.label[row],
                "type": shapes.type[row],
                "vertices": [
                    [value for value in vertex if not math.isnan(value)] for vertex in shapes.vertices[row].tolist()
                ],
                "attributes": dict(shapes.attributes[row]),
            }
            for row in range(len(shapes))
        ]
    if labels.points is not None:
        points = labels.points
        tables["objects"] = [
            {"index": int(index), "label": label, "instance": bool(instance)}
            for index, label, instance in zip(points.index, points.label, points.instance, strict=True)
        ]
    return tables


def _cuboid_row(labels: Labels, row: int) -> _Row:
    cuboids = labels.cuboids
    assert cuboids is not None  # noqa: S101
    numbers = [*cuboids.position[row].tolist(), *cuboids.size[row].tolist(), float(cuboids.yaw[row])]
    stationary, camera, points = (int(getattr(cuboids, name)[row]) for name in ("stationary", "camera", "points"))
    return {
        "track": cuboids.track[row],
        "label": cuboids.label[row],
        **_of_frame(labels.frames[cuboids.frame[row]]),
        **dict(zip(_CUBOID_NUMBERS, numbers, strict=True)),
        "pitch": float(cuboids.pitch[row]),
        "roll": float(cuboids.roll[row]),
        "stationary": None if stationary == UNKNOWN else bool(stationary),
        "camera": None if camera == UNKNOWN else camera,
        "points": None if points == UNKNOWN else points,
        "attributes": dict(cuboids.attributes[row]),
    }


def _of_frame(frame: LabelledFrame) -> _Row:
    return {"frame_index": frame.index, "frame_id": frame.id, "timestamp": frame.timestamp}


def _frame_row(frame: LabelledFrame) -> _Row:
    pose = frame.world_from_ego
    written: _Row = {"id": frame.id, "index": frame.index, "timestamp": frame.timestamp}
    if pose is not None:
        written["world_from_ego"] = {"quaternion": pose.quaternion.tolist(), "translation": pose.translation.tolist()}
    return written


def _flat(row: _Row) -> _Row:
    """Return a row of plain values: mappings and lists as JSON."""
    return {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in row.items()}


def _names(table: str) -> list[str]:
    """Return the names of the columns of a table without rows."""
    frame = ["frame_index", "frame_id", "timestamp"]
    return {
        "cuboids": [
            *("track", "label", *frame, *_CUBOID_NUMBERS),
            *("pitch", "roll", "stationary", "camera", "points", "attributes"),
        ],
        "boxes": ["track", "label", *frame, "camera", "left", "top", "width", "height", "not_in_lidar", "attributes"],
        "shapes": ["track", "label", "type", "vertices", "attributes"],
        "objects": ["index", "label", "instance"],
    }[table]


# ---- reading -------------------------------------------------------------------------------------------------------


def read_labels(content: bytes, name: str, frame: LabelsFrame = "world") -> Labels:
    """Read cuboids, and top-down shapes, of a file that a function above wrote, or of one with the same columns.

    Needed columns: label; x, y, z, length, width, height, yaw; and one of frame_id, frame_index, timestamp.

    Args:
        content: The file.
        name: Its name, whose suffix says what it is: .json, .csv or .parquet.
        frame: What coordinates count from, where the file does not say it.

    Raises:
        FormatError: It is no such file; names the row and the column.
        MissingExtraError: It is Parquet, and pyarrow is not installed.
    """
    document: Mapping[str, Any] = {}
    if name.endswith(".parquet"):
        rows = _parquet_rows(content, name)
    elif name.endswith(".csv"):
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig", "replace"))))
    else:
        document, rows = _json_rows(content, name)
    frame = document.get("frame", frame)
    if frame not in ("world", "ego", "attachment"):
        raise FormatError(name, place="frame", found=repr(frame), expected="world, ego or attachment")
    frames = _Frames(name, [_read_frame(one, at, name) for at, one in enumerate(document.get("frames") or ())])
    found = [_read_cuboid(row, f"row {at}", name, frames) for at, row in enumerate(rows, 1)]
    shapes = [_read_shape(one, f"shape {at}", name) for at, one in enumerate(document.get("shapes") or ())]
    offset = document.get("world_offset") or (0.0, 0.0, 0.0)
    return Labels(
        tuple(frames.found),
        frame=frame,
        world_offset=(float(offset[0]), float(offset[1]), float(offset[2])),
        cuboids=Cuboids.of_rows(found),
        shapes=Shapes.of_rows(shapes) if shapes else None,
    )


def read_objects(content: bytes, name: str) -> tuple[NDArray[np.uint32], NDArray[np.object_], NDArray[np.bool_]]:
    """Read the objects that labels of points are of, of a file that `write_json` wrote: numbers, labels, instances.

    Raises:
        FormatError: It lists none.
    """
    document, _ = _json_rows(content, name)
    try:
        objects = document["objects"]
        return (
            np.array([int(one["index"]) for one in objects], dtype=np.uint32),
            np.array([str(one["label"]) for one in objects], dtype=object),
            np.array([bool(one.get("instance")) for one in objects], dtype=np.bool_),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise FormatError(name, found="no list of objects", expected='"objects": [{"index", "label"}, …]') from None


def _json_rows(content: bytes, name: str) -> tuple[Mapping[str, Any], list[_Row]]:
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise FormatError(name, found=f"no JSON ({error})"[:200], expected="labels") from None
    rows = document.get("cuboids", []) if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FormatError(name, found="no list of cuboids", expected='{"frames": […], "cuboids": [{…}, …]}, or a list')
    return (document if isinstance(document, dict) else {}), rows


def _parquet_rows(content: bytes, name: str) -> list[_Row]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError(f"the Parquet file {name}", "tables") from None
    try:
        rows: list[_Row] = parquet.read_table(io.BytesIO(content)).to_pylist()
    except (arrow.ArrowInvalid, OSError) as error:
        raise FormatError(name, found=f"no Parquet ({error})"[:200]) from None
    return rows


class _Frames:
    """The frames of a file: those that it lists, or those that its rows name."""

    def __init__(self, name: str, listed: Sequence[LabelledFrame]) -> None:
        self.name = name
        self.found = list(listed)
        self.rows = {self._key(one.id, one.index, one.timestamp): row for row, one in enumerate(listed)}
        self.listed = bool(listed)

    @staticmethod
    def _key(frame_id: str | None, index: int | None, timestamp: int | None) -> tuple[str, Any]:
        if frame_id is not None:
            return "id", frame_id
        return ("index", index) if index is not None else ("timestamp", timestamp)

    def row_of(self, row: Mapping[str, Any], place: str) -> int:
        frame_id = row.get("frame_id")
        index, timestamp = (_whole(row, name, place, self.name) for name in ("frame_index", "timestamp"))
        frame_id = None if frame_id in (None, "") else str(frame_id)
        if frame_id is None and index is None and timestamp is None:
            raise FormatError(self.name, place=place, found="no frame", expected="frame_id, frame_index or timestamp")
        key = self._key(frame_id, index, timestamp)
        if key not in self.rows:
            self.rows[key] = len(self.found)
            self.found.append(LabelledFrame(frame_id or "", UNKNOWN if index is None else index, timestamp))
        return self.rows[key]


def _read_frame(one: Any, at: int, name: str) -> LabelledFrame:
    try:
        pose = one.get("world_from_ego")
        return LabelledFrame(
            str(one["id"]),
            int(one.get("index", at)),
            one.get("timestamp"),
            None if pose is None else Pose.from_quaternion(pose["quaternion"], pose["translation"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise FormatError(name, place=f"frame {at}", found=repr(one)[:100], expected="an object with an id") from None


def _read_cuboid(row: Mapping[str, Any], place: str, name: str, frames: _Frames) -> _Row:
    if row.get("label") in (None, ""):
        raise FormatError(name, place=place, found="no label", expected="a column label")
    numbers = [_number(row, column, place, name) for column in _CUBOID_NUMBERS]
    if min(numbers[3:6]) < 0:
        raise FormatError(name, place=place, found=f"a size of {numbers[3:6]}", expected="metres of 0 or more")
    stationary = row.get("stationary")
    return {
        "track": str(row.get("track") or place),
        "label": str(row["label"]),
        "frame": frames.row_of(row, place),
        "position": numbers[:3],
        "size": numbers[3:6],
        "yaw": numbers[6],
        "pitch": _number(row, "pitch", place, name, 0.0),
        "roll": _number(row, "roll", place, name, 0.0),
        "stationary": UNKNOWN if stationary in (None, "") else int(str(stationary).lower() in ("true", "1")),
        "camera": _or_unknown(_whole(row, "camera", place, name)),
        "points": _or_unknown(_whole(row, "points", place, name)),
        "attributes": _read_attributes(row.get("attributes"), place, name),
    }


def _read_shape(one: Any, place: str, name: str) -> _Row:
    try:
        corners = [[*map(float, vertex), math.nan][:3] for vertex in one["vertices"]]
        return {
            "track": str(one.get("track") or place),
            "label": str(one["label"]),
            "type": str(one.get("type", "polygon")),
            "vertices": np.array(corners, dtype=np.float64).reshape(-1, 3),
            "attributes": _read_attributes(one.get("attributes"), place, name),
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        raise FormatError(name, place=place, found=repr(one)[:100], expected="label, vertices [[x, y], …]") from None


def _or_unknown(value: int | None) -> int:
    return UNKNOWN if value is None else value


def _number(row: Mapping[str, Any], column: str, place: str, name: str, default: float | None = None) -> float:
    value = row.get(column)
    if value in (None, "") and default is not None:
        return default
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or isinstance(value, bool):
        found = f"{column} {value!r}"[:80] if column in row else f"no {column}"
        raise FormatError(name, place=place, found=found, expected=f"{column}, a number")
    return number


def _whole(row: Mapping[str, Any], column: str, place: str, name: str) -> int | None:
    value = row.get(column)
    if value in (None, ""):
        return None
    try:
        return int(str(value))
    except (TypeError, ValueError):
        raise FormatError(name, place=place, found=f"{column} {value!r}"[:80], expected="a whole number") from None


def _read_attributes(value: Any, place: str, name: str) -> Mapping[str, Any]:
    if isinstance(value, str) and value:
        try:
            value = json.loads(value)
        except ValueError:
            raise FormatError(name, place=place, found=f"attributes {value[:60]!r}", expected="a JSON object") from None
    return value if isinstance(value, dict) else {}
