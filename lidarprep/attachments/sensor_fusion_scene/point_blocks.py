"""A frame's points and radar returns as arrays of a scene, a lidar sensor for each device.

Columns are converted and written in pieces small enough for a core's cache, so that what a frame needs beside itself
does not grow with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.attachments.columns import require_world
from lidarprep.attachments.sensor_fusion_scene.clock import NS_PER_US
from lidarprep.attachments.sensor_fusion_scene.container import ArraySpec, BlockWriter
from lidarprep.attachments.sensor_fusion_scene.notes import Notes
from lidarprep.errors import EncodingError
from lidarprep.scene import PointCloud, RadarPoints

CHUNK_ROWS = 1 << 15
ROUNDED_TIMES = ("rounded times", "timestamps are rounded down to the microsecond")

# The arrays of one sensor's frame, by their names in a scene.
Points = dict[str, ArraySpec]


def write_clouds(
    blocks: BlockWriter, points: PointCloud, points_from_us: int | None, frame_id: str, notes: Notes
) -> list[tuple[int | None, Points]]:
    """Writes a frame's points.

    Args:
        blocks: Where to write.
        points: The points, in the world.
        points_from_us: What their timestamps, in microseconds, are counted from; None leaves them out.
        frame_id: Names the frame in errors.
        notes: Told if timestamps are rounded.

    Returns:
        Each device's id and arrays, in the points' order; None and all points where they have no device, or there are
        none.

    Raises:
        EncodingError: A coordinate is not finite as float32, or an intensity is not 0–1.
    """
    if points.device is None or not len(points):
        return [(None, _write_cloud(blocks, points, None, points_from_us, frame_id, notes))]
    devices, counts = np.unique(points.device, return_counts=True)
    if len(devices) == 1:
        return [(int(devices[0]), _write_cloud(blocks, points, None, points_from_us, frame_id, notes))]
    order = np.argsort(points.device, kind="stable")
    ends = np.cumsum(counts).tolist()
    return [
        (int(device), _write_cloud(blocks, points, order[end - count : end], points_from_us, frame_id, notes))
        for device, count, end in zip(devices, counts.tolist(), ends, strict=True)
    ]


def _write_cloud(
    blocks: BlockWriter,
    points: PointCloud,
    rows: NDArray[np.int64] | None,
    points_from_us: int | None,
    frame_id: str,
    notes: Notes,
) -> Points:
    """Writes the points of one sensor; `rows` says which they are, None all."""
    count = len(points) if rows is None else len(rows)

    def pieces(column: NDArray[Any], convert: Callable[[NDArray[Any]], NDArray[Any]]) -> Iterator[NDArray[Any]]:
        for start in range(0, count, CHUNK_ROWS):
            piece = slice(start, start + CHUNK_ROWS)
            yield convert(column[piece if rows is None else rows[piece]])

    def positions(piece: NDArray[Any]) -> NDArray[Any]:
        return _finite_float32(piece, f"frame {frame_id}: a point's coordinate")

    def intensities(piece: NDArray[Any]) -> NDArray[Any]:
        return _to_uint8(piece, frame_id)

    def timestamps(piece: NDArray[Any]) -> NDArray[Any]:
        microseconds = piece // NS_PER_US
        if ROUNDED_TIMES[0] not in notes and (microseconds * NS_PER_US != piece).any():
            notes.once(*ROUNDED_TIMES)
        return (microseconds - points_from_us).astype(np.uint32)

    written = {"positions": blocks.append("float32", (count, 3), pieces(points.positions, positions))}
    if points.intensity is not None:
        written["intensities"] = blocks.append("uint8", (count,), pieces(points.intensity, intensities))
    # The official validator takes the first point of an empty frame to be at 0, and refuses the frame.
    if points.timestamp is not None and points_from_us is not None and count:
        written["timestamps"] = blocks.append("uint32", (count,), pieces(points.timestamp, timestamps))
    if points.colour is not None:
        colours = pieces(points.colour, lambda piece: np.ascontiguousarray(piece, dtype=np.uint8))
        written["colors"] = blocks.append("uint8", (count, 3), colours)
    return written


def write_radar(blocks: BlockWriter, radar: RadarPoints, frame_id: str) -> Points:
    """Writes a frame's radar returns.

    Raises:
        EncodingError: They are not in the world, or a number is not finite as float32.
    """
    require_world("radar points", radar.frame, frame_id)
    # ASSUMED: the format's `lengths` are our sizes; its reference gives no unit for either.
    columns = {"positions": radar.positions, "directions": radar.directions, "lengths": radar.sizes}
    return {
        name: blocks.append(
            "float32",
            column.shape,
            (_finite_float32(piece, f"frame {frame_id}: radar {name}") for piece in _pieces(column)),
        )
        for name, column in columns.items()
        if column is not None
    }


def _pieces(column: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(column), CHUNK_ROWS):
        yield column[start : start + CHUNK_ROWS]


def _finite_float32(values: NDArray[Any], what: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(converted).all():
        raise EncodingError(f"{what} is not a finite float32: {values[~np.isfinite(converted)].flat[0]:g}")
    return converted


def _to_uint8(intensity: NDArray[Any], frame_id: str) -> NDArray[np.uint8]:
    lowest, highest = intensity.min(), intensity.max()
    if not (lowest >= 0 and highest <= 1):  # also where one is not a number
        raise EncodingError(
            f"frame {frame_id}: intensities reach from {lowest:g} to {highest:g}; an attachment holds 0 to 1",
            fix="Normalise them: --intensity-scale says which value is 1.",
        )
    scaled: NDArray[np.float32] = np.multiply(intensity, 255, dtype=np.float32)
    scaled += np.float32(0.5)
    return scaled.astype(np.uint8)
