"""Results of lidar tasks, made from the points of their attachments, in the shapes that Scale publishes.

Scale publishes no result of multistage and sensorfusion tasks: theirs are ASSUMED to be like those of lidarannotation.
The same task gets the same result.
"""

from __future__ import annotations

import math
import random
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from lidarprep.sandbox._attachments import (
    NotReadableHereError,
    attachments_of,
    decode_frames,
    is_nearby,
    read_attachment,
)
from lidarprep.sandbox._uploads import UploadList
from lidarprep.scene import CameraImage, Frame

Points = NDArray[np.float64]
Json = dict[str, Any]

LONGEST_READ_S = 240.0
FRAME_S = 0.1

# Width, length and height in metres, and speed in metres a second, of what a label names; the first that fits.
KINDS: Sequence[tuple[tuple[str, ...], tuple[float, float, float], float]] = (
    (("pedestrian", "person", "adult", "child", "human", "people"), (0.7, 0.7, 1.75), 1.4),
    (("motor",), (0.8, 2.1, 1.5), 8.0),
    (("bicycle", "cyclist", "bike", "rider"), (0.7, 1.8, 1.7), 4.0),
    (("bus", "tram"), (2.6, 11.0, 3.2), 7.0),
    (("truck", "lorry", "trailer"), (2.5, 8.0, 3.1), 7.0),
    (("cone", "barrier", "sign", "pole", "bollard"), (0.4, 0.4, 0.8), 0.0),
)
CAR = (1.9, 4.5, 1.6), 8.0

# Objects are begun on points so far above the ground, and labelled so far from the device; metres.
ABOVE_GROUND_M = (0.3, 2.5)
REACH_M = 80.0
BEGIN_WITHIN_M = 50.0
GROUND_CELL_M = 4.0
BAND_M = 0.4
# From a camera: what is nearer has no box on its image.
NEAREST_M = 0.1


@dataclass(frozen=True)
class Sweep:
    """What a result needs of a frame.

    Args:
        points: (N, 3) of the attachment, in its order, metres in the attachment's world; NaN stays.
        device: (3,) the device's position there.
        time_s: Seconds of the recording, from any beginning.
        images: Its images.
    """

    points: Points
    device: Points
    time_s: float
    images: tuple[CameraImage, ...]


def read_sweeps(
    task: Mapping[str, Any], uploads: UploadList, rows: Sequence[int], *, anywhere: bool = False
) -> Iterator[Sweep]:
    """Read the frames of some of a task's attachments one by one.

    Args:
        task: The task.
        uploads: Uploaded files.
        rows: Rows of the attachments.
        anywhere: Ask other machines for them, too.

    Raises:
        LidarprepError: One can't be read, or all of them not in time.
        ValueError: What only looks like a URL.
    """
    deadline = time.monotonic() + LONGEST_READ_S
    attachments = attachments_of(task)
    for row in rows:
        url, kind = attachments[row]
        if not (anywhere or is_nearby(url)):
            raise NotReadableHereError(f"{url} is not on this machine; --check-attachments reads it all the same")
        data = read_attachment(url, uploads, longest_s=deadline - time.monotonic())
        for number, frame in enumerate(decode_frames(data, kind, url)):
            yield _sweep(frame, row + number)


def _sweep(frame: Frame, number: int) -> Sweep:
    points = frame.points().positions.astype(np.float64)
    pose = frame.world_from_ego
    if pose is not None:
        device = np.asarray(pose.translation, dtype=np.float64)
    else:
        finite = points[np.isfinite(points).all(axis=1)]
        device = np.median(finite, axis=0) if len(finite) else np.zeros(3)
    time_s = number * FRAME_S if frame.timestamp is None else frame.timestamp / 1e9
    return Sweep(points, device, time_s, frame.images)


@dataclass(frozen=True)
class Track:
    """An object that stands, or goes straight ahead: along its own +y, where yaw 0 looks."""

    uuid: str
    label: str
    attributes: Json
    start: Points
    start_s: float
    size: tuple[float, float, float]
    yaw: float
    speed: float

    def position(self, time_s: float) -> Points:
        """Return its centre at a time, (3,) metres."""
        gone = self.speed * (time_s - self.start_s)
        return self.start + gone * np.array([-math.sin(self.yaw), math.cos(self.yaw), 0.0])

    def points_in(self, sweep: Sweep) -> int:
        """Count the points in its box."""
        centred = sweep.points - self.position(sweep.time_s)
        x, y, z = centred[(np.abs(centred) <= max(self.size)).all(axis=1)].T
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        inside = np.abs(x * cos + y * sin) <= self.size[0] / 2
        inside &= np.abs(y * cos - x * sin) <= self.size[1] / 2
        return int((inside & (np.abs(z) <= self.size[2] / 2)).sum())

    def cuboid(self, sweep: Sweep) -> Json | None:
        """Return its cuboid in a frame; None beyond the reach of the labellers."""
        position = self.position(sweep.time_s)
        distance = float(np.linalg.norm(position - sweep.device))
        if distance > REACH_M:
            return None
        return {
            "uuid": self.uuid,
            "label": self.label,
            "position": dict(zip("xyz", (round(float(one), 4) for one in position), strict=True)),
            "dimensions": dict(zip("xyz", self.size, strict=True)),
            "yaw": self.yaw,
            "stationary": self.speed == 0,
            "camera_used": None,
            "attributes": self.attributes,
            "distance_to_device": round(distance, 4),
            "numberOfPoints": self.points_in(sweep),
        }


def begin_tracks(sweep: Sweep, labels: Sequence[str], attributes: Json, chance: random.Random) -> list[Track]:
    """Begin two objects a label, one of which moves, on points that are above the ground and near the device."""
    raised, ground = _raised(sweep)
    tracks = []
    for label in labels:
        size, speed = _kind_of(label)
        for own_speed in (0.0, speed) if speed else (0.0,):
            if len(raised):
                row = chance.randrange(len(raised))
                x, y, floor = *raised[row, :2], ground[row]
            else:
                x, y, floor = chance.uniform(-20, 20), chance.uniform(-20, 20), 0.0
            start = np.array([x, y, floor + size[2] / 2])
            yaw = round(chance.uniform(-math.pi, math.pi), 6)
            name = str(uuid.UUID(int=chance.getrandbits(128), version=4))
            tracks.append(Track(name, label, attributes, start, sweep.time_s, size, yaw, own_speed))
    return tracks


def _kind_of(label: str) -> tuple[tuple[float, float, float], float]:
    word = label.lower()
    return next(((size, speed) for words, size, speed in KINDS if any(part in word for part in words)), CAR)


def _raised(sweep: Sweep) -> tuple[Points, Points]:
    """Return the points near the device that are above the ground, (N, 3), and the ground below each, (N,)."""
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.hypot(*(sweep.points - sweep.device)[:, :2].T) <= BEGIN_WITHIN_M
    points = sweep.points[near & np.isfinite(sweep.points[:, 2])]
    if not len(points):
        return points, np.empty(0)
    columns, rows = np.floor((points[:, :2] - points[:, :2].min(axis=0)) / GROUND_CELL_M).astype(np.int64).T
    cell = columns * (rows.max() + 1) + rows
    lowest = np.full(int(cell.max()) + 1, np.inf)
    np.minimum.at(lowest, cell, points[:, 2])
    ground = lowest[cell]
    height = points[:, 2] - ground
    above = (height >= ABOVE_GROUND_M[0]) & (height <= ABOVE_GROUND_M[1])
    return (points[above], ground[above]) if above.any() else (points, ground)


def invented_sweeps(rows: Sequence[int]) -> Iterator[Sweep]:
    """Yield frames without points, in place of those that can't be read."""
    for row in rows:
        yield Sweep(np.empty((0, 3)), np.zeros(3), row * FRAME_S, ())


def cuboid_frames(
    sweeps: Iterator[Sweep], params: Mapping[str, Any], labels: Sequence[str], chance: random.Random
) -> list[Json]:
    """Return {"cuboids": […]} for each of the frames."""
    tracks: list[Track] | None = None
    frames: list[Json] = []
    for sweep in sweeps:
        if tracks is None:
            tracks = begin_tracks(sweep, labels, _attributes(params), chance)
        cuboids = (track.cuboid(sweep) for track in tracks)
        frames.append({"cuboids": [cuboid for cuboid in cuboids if cuboid is not None]})
    return frames


def _attributes(params: Mapping[str, Any]) -> Json:
    """Return the first choice of each attribute that has choices."""
    chosen: Json = {}
    for name, definition in (params.get("annotation_attributes") or {}).items():
        choices = definition.get("choices") if isinstance(definition, Mapping) else None
        if isinstance(choices, list) and choices:
            first = choices[0]
            chosen[name] = first.get("choice") if isinstance(first, Mapping) else first
    return chosen


def segmentation(sweeps: Iterator[Sweep], names: Sequence[str], instances: frozenset[str]) -> bytes:
    """Return a file of point labels: bands of height, each an object of the next label, and one of none.

    Args:
        sweeps: The frames.
        names: Names of the labels.
        instances: Names of those whose objects are told apart: each has two.
    """
    objects: list[Json] = []
    for name in names:
        for _ in range(2 if name in instances else 1):
            objects.append({"label": name, "index": len(objects) + 1})
            if name in instances:
                objects[-1]["instance"] = True
    listed, ground = [], None
    for sweep in sweeps:
        heights = sweep.points[:, 2]
        if ground is None:
            finite = heights[np.isfinite(heights)]
            ground = float(np.percentile(finite, 1)) if len(finite) else 0.0
        bands = np.nan_to_num((heights - ground) // BAND_M, nan=0, posinf=0, neginf=0).clip(-1, 1e6)
        index = (bands.astype(np.int64) + 1) % (len(objects) + 1)
        listed.append(orjson.dumps(index.astype(np.uint32), option=orjson.OPT_SERIALIZE_NUMPY))
    return b'{"objects":%s,"point_objects":[%s]}' % (orjson.dumps(objects), b",".join(listed))


def linked_frames(
    sweeps: Iterator[Sweep], frames: Sequence[Json], skipped: Collection[str], cameras: Collection[int] | None
) -> list[Json]:
    """Return {"camera_responses": […]} for each frame: the boxes around its cuboids on the images of each camera.

    Args:
        sweeps: The frames.
        frames: Their cuboids.
        skipped: Labels to leave out.
        cameras: Indices of the cameras; all if None.
    """
    linked: list[Json] = []
    for sweep, frame in zip(sweeps, frames, strict=False):
        responses = []
        for image in sweep.images:
            camera = image.camera.index
            if image.world_from_camera is None or (cameras is not None and camera not in cameras):
                continue
            boxes = (_box(cuboid, image) for cuboid in frame["cuboids"] if cuboid["label"] not in skipped)
            responses.append({"camera_used": camera, "annotations": [box for box in boxes if box is not None]})
        linked.append({"camera_responses": responses})
    return linked


def _box(cuboid: Json, image: CameraImage) -> Json | None:
    """Return the box around a cuboid on an image; None where not all of its corners are in front of it."""
    size = np.array([cuboid["dimensions"][axis] for axis in "xyz"])
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]) * size
    cos, sin = math.cos(cuboid["yaw"]), math.sin(cuboid["yaw"])
    corners[:, :2] = corners[:, :2] @ np.array([[cos, sin], [-sin, cos]])
    corners += [cuboid["position"][axis] for axis in "xyz"]
    if image.world_from_camera is None or image.world_from_camera.inverse().apply(corners)[:, 2].min() <= NEAREST_M:
        return None
    pixels, seen = image.project(corners)
    if not seen.any() or not np.isfinite(pixels).all():
        return None
    intrinsics = image.camera.intrinsics
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    if intrinsics.width is not None and intrinsics.height is not None:
        low, high = low.clip(0, None), high.clip(None, [intrinsics.width - 1, intrinsics.height - 1])
    left, top, right, bottom = (float(round(value, 2)) for value in (*low, *high))
    box = {"cuboid_uuid": cuboid["uuid"], "label": cuboid["label"], "type": "box", "left": left, "top": top}
    return {**box, "width": round(right - left, 2), "height": round(bottom - top, 2), "attributes": {}}
