"""The `annotations` of a scene: pre-labels that are written into it, and labels that are read from it.

A cuboid is a path {timestamps, values [dx dy dz px py pz roll pitch yaw]} in the scene's world, its times those of the
lidar's frames; between them labelling tools interpolate. ASSUMED: dx, dy, dz are along the cuboid's own axes, and it
looks along its own +x, as ours; the reference gives no front. Labels of points are lists of the points' numbers within
one frame of one sensor.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.attachments._frame import Node
from lidarprep.attachments.sensor_fusion_scene._container import ArraySpec, BlockWriter, Buffer, read_container
from lidarprep.attachments.sensor_fusion_scene._reader import SceneReader
from lidarprep.attachments.sensor_fusion_scene._sensors import Points, WrittenFrame
from lidarprep.scene import Cuboids, LabelledFrame, Labels, PointLabels
from lidarprep.scene.labels import UNKNOWN

# A label that is further from any frame, in steps between frames, belongs to none.
_NEAR_STEPS = 0.5

# ---- writing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelledPoints:
    """Points of one object in one frame of one sensor, in the file: their numbers' array, and the sensor's arrays."""

    index: int
    points: Points
    ids: ArraySpec


def write_point_labels(
    blocks: BlockWriter,
    labels: NDArray[np.uint32],
    clouds: Sequence[tuple[int | None, Points]],
    device: NDArray[np.uint32] | None,
) -> list[LabelledPoints]:
    """Write the labels of a frame's points, by sensor and object; `clouds` as `write_clouds` has returned them."""
    written = []
    for number, points in clouds:
        own = labels if device is None or number is None or len(clouds) == 1 else labels[device == number]
        for index in np.unique(own[own > 0]).tolist():
            ids = np.flatnonzero(own == index).astype(np.uint32)
            written.append(LabelledPoints(index, points, blocks.append("uint32", (len(ids),), (ids,))))
    return written


def annotations_of(
    labels: Labels,
    frames: Sequence[WrittenFrame],
    labelled: Sequence[LabelledPoints],
    sensors: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return the header's list of annotations.

    Args:
        labels: The labels, in the attachments' world; frames that were not written are passed over.
        frames: The frames in the file.
        labelled: The labels of points in the file.
        sensors: The header's sensors.
    """
    times = {frame.id: frame.time.start_us for frame in frames}
    time_of = [times.get(one.id) for one in labels.frames]
    annotations = [] if labels.cuboids is None else _cuboid_paths(labels.cuboids, time_of)
    if labels.points is not None and labelled:
        place_of = {
            id(frame["points"]): (sensor["id"], number)
            for sensor in sensors
            for number, frame in enumerate(sensor.get("frames", ()))
        }
        by_object: dict[int, list[dict[str, Any]]] = {}
        for one in labelled:
            sensor_id, number = place_of[id(one.points)]
            by_object.setdefault(one.index, []).append(
                {"sensor_id": sensor_id, "point_ids": one.ids, "sensor_frame": number}
            )
        points = labels.points
        for index, label, instance in zip(points.index.tolist(), points.label.tolist(), points.instance, strict=True):
            if index in by_object:
                annotations.append(
                    {
                        "id": f"points-{index}",
                        "type": "labeled_points",
                        "label": label,
                        "is_instance": bool(instance),
                        "labeled_points": by_object[index],
                    }
                )
    return annotations


def _cuboid_paths(cuboids: Cuboids, time_of: Sequence[int | None]) -> list[dict[str, Any]]:
    values = np.column_stack((cuboids.size, cuboids.position, cuboids.roll, cuboids.pitch, cuboids.yaw))
    by_track: dict[str, list[int]] = {}
    for row in np.argsort(cuboids.frame, kind="stable").tolist():
        if time_of[int(cuboids.frame[row])] is not None:
            by_track.setdefault(cuboids.track[row], []).append(row)
    annotations = []
    for track, rows in by_track.items():
        times = [time_of[int(cuboids.frame[row])] for row in rows]
        annotation: dict[str, Any] = {
            "id": track,
            "type": "cuboid",
            "label": cuboids.label[rows[0]],
            "stationary": bool((cuboids.stationary[rows] == 1).all()),
            "path": {"timestamps": times, "values": values[rows].tolist()},
        }
        if attributes := _attribute_paths([cuboids.attributes[row] for row in rows], times):
            annotation["attributes"] = attributes
        annotations.append(annotation)
    return annotations


def _attribute_paths(rows: Sequence[Mapping[str, Any]], times: Sequence[int | None]) -> list[dict[str, Any]]:
    """Return the attributes of a track over time; one that never changes is static."""
    paths = []
    for name in dict.fromkeys(name for row in rows for name in row):
        found = [(time, row[name]) for time, row in zip(times, rows, strict=True) if name in row]
        # The format holds texts, whole numbers and lists of texts.
        values = [
            value if isinstance(value, str | int | list) and value is not True else str(value) for _, value in found
        ]
        is_static = len(found) == len(rows) and all(value == values[0] for value in values)
        if is_static:
            found, values = found[:1], values[:1]
        paths.append({"name": name, "timestamps": [time for time, _ in found], "values": values, "static": is_static})
    return paths


# ---- reading -------------------------------------------------------------------------------------------------------


def read_annotations(data: Buffer, source: str = "scene.sfs") -> Labels:
    """Read the labels of a Sensor Fusion Scene: cuboids and labels of points.

    Args:
        data: The whole file.
        source: Names it in errors.

    Returns:
        The labels in the scene's world, which is the attachments'. Its frames are those that `decode` makes. Notes say
        which kinds of annotations are left out, and labels at times of no frame.

    Raises:
        FormatError: It is no scene, or an annotation is malformed; names the place.
    """
    document = Node(source, read_container(data, source))
    with document.checked():
        reader = SceneReader(document)
        scene = reader.read()
        times = sorted({sweep.time_us for lidar in reader.lidars for sweep in lidar.sweeps})
        frames = tuple(LabelledFrame(one.id, one.index, one.timestamp, one.world_from_ego) for one in scene)
        annotations = document.get("annotations")
        found = _Found(reader, times)
        for one in [] if annotations is None else annotations.items():
            found.add(one)
    return found.labels(frames)


class _Found:
    """Gathers annotations."""

    def __init__(self, reader: SceneReader, times: Sequence[int]) -> None:
        self.times = times
        self.rows: list[dict[str, Any]] = []
        self.objects: list[tuple[str, bool]] = []
        self.others: dict[str, int] = {}
        self.off_frames = 0
        steps = np.diff(times)
        self.reach = float(np.median(steps)) * _NEAR_STEPS if len(steps) else np.inf
        # Where each frame of each sensor lies among the points of the frame that `decode` makes.
        self.places: dict[tuple[Any, int], tuple[int, int, int]] = {}
        self.sizes = [0] * len(times)
        row_of = {time: row for row, time in enumerate(times)}
        for lidar in reader.lidars:
            for number, sweep in enumerate(lidar.sweeps):
                row = row_of[sweep.time_us]
                self.places[lidar.id, number] = (row, self.sizes[row], len(sweep))
                self.sizes[row] += len(sweep)
        self.values: dict[int, NDArray[np.uint32]] = {}

    def add(self, annotation: Node) -> None:
        """Add one annotation."""
        kind = annotation["type"].value
        if kind == "cuboid":
            self.cuboid(annotation)
        elif kind in ("labeled_points", "point_segmentation"):
            self.point_labels(annotation)
        else:
            self.others[str(kind)] = self.others.get(str(kind), 0) + 1

    def cuboid(self, annotation: Node) -> None:
        stamps, values = annotation["path"]["timestamps"].items(), annotation["path"]["values"]
        rows = values.items()
        if len(rows) != len(stamps):
            raise values.refuse(f"{len(stamps)}, one a timestamp", found=f"{len(rows)} rows")
        attributes = self.attributes(annotation)
        label = annotation.get("label")
        stationary = annotation.get("stationary")
        for stamp, row in zip(stamps, rows, strict=True):
            time = stamp.whole()
            numbers = [one.number() for one in row.items()]
            if len(numbers) != 9:
                raise row.refuse("9 numbers: dx dy dz px py pz roll pitch yaw")
            frame = self.frame_at(time)
            if frame is None:
                self.off_frames += 1
                continue
            self.rows.append(
                {
                    "track": str(annotation["id"].value),
                    "label": "" if label is None else str(label.value),
                    "frame": frame,
                    "position": numbers[3:6],
                    "size": numbers[:3],
                    "roll": numbers[6],
                    "pitch": numbers[7],
                    "yaw": numbers[8],
                    "stationary": UNKNOWN if stationary is None else int(bool(stationary.value)),
                    "attributes": {name: at(time) for name, at in attributes.items()},
                }
            )

    def attributes(self, annotation: Node) -> dict[str, Any]:
        """Return for each attribute what gives its value at a time: the last one that was set."""
        found: dict[str, Any] = {}
        listed = annotation.get("attributes")
        for one in [] if listed is None else listed.items():
            times = [stamp.whole() for stamp in one["timestamps"].items()]
            values = [value.value for value in one["values"].items()]
            if not times or len(values) != len(times):
                raise one["values"].refuse(f"{len(times)} values, at least one", found=f"{len(values)}")

            def at(time: int, times: list[int] = times, values: list[Any] = values) -> Any:
                return values[max(0, bisect_left(times, time + 1) - 1)]

            found[str(one["name"].value)] = at
        return found

    def point_labels(self, annotation: Node) -> None:
        instance = annotation.get("is_instance")
        self.objects.append((str(annotation["label"].value), instance is not None and bool(instance.value)))
        for one in annotation["labeled_points"].items():
            number = one.get("sensor_frame")
            key = (one["sensor_id"].value, 0 if number is None else number.whole())
            ids = one["point_ids"].value
            if isinstance(ids, list):
                ids = np.array([each.whole() for each in one["point_ids"].items()], dtype=np.int64)
            if key not in self.places:
                raise one.refuse("a frame of a lidar", found=f"sensor {key[0]!r}, frame {key[1]}")
            row, start, size = self.places[key]
            if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "ui" or ids.ndim != 1:
                raise one["point_ids"].refuse("an array of whole numbers")
            if len(ids) and not (ids.min() >= 0 and ids.max() < size):
                raise one["point_ids"].refuse(f"numbers below {size}, of the frame's points", found=f"{ids.max()}")
            values = self.values.setdefault(row, np.zeros(self.sizes[row], dtype=np.uint32))
            values[start + ids.astype(np.int64)] = len(self.objects)

    def frame_at(self, time: int) -> int | None:
        """Return the row of the frame at a time; None if none is near."""
        after = bisect_left(self.times, time)
        rows = range(max(0, after - 1), min(len(self.times), after + 1))
        row = min(rows, key=lambda row: abs(self.times[row] - time))
        return row if abs(self.times[row] - time) <= self.reach else None

    def labels(self, frames: tuple[LabelledFrame, ...]) -> Labels:
        """Return what was found."""
        notes = [f"{count} annotations of the type {kind} are not read" for kind, count in self.others.items()]
        if self.off_frames:
            notes.append(f"{self.off_frames} cuboids at times of no frame are left out")
        points = None
        if self.objects:
            points = PointLabels(
                np.arange(1, len(self.objects) + 1, dtype=np.uint32),
                np.array([label for label, _ in self.objects], dtype=object),
                np.array([instance for _, instance in self.objects], dtype=np.bool_),
                tuple(self.values.get(row) for row in range(len(frames))),
            )
        return Labels(frames, frame="attachment", cuboids=Cuboids.of_rows(self.rows), points=points, notes=tuple(notes))
