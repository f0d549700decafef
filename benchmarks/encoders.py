"""How fast frames become attachments, as ratios against named alternatives measured in the same run.

    python benchmarks/encoders.py [--frame FILE] [--json] [--seconds S]

Absolute times depend on the machine; the ratios are what to look at. Each row warms up first, then alternates with its
alternative and takes the best of many runs of either.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import lidarprep as lp
from lidarprep.attachments import get_format
from lidarprep.attachments import lidar_frame_pb2 as pb

POINTS = 168_814


@dataclass(frozen=True)
class Row:
    """One thing that lidarprep does, and what it is compared with."""

    what: str
    ours: Callable[[], Any]
    against: str
    theirs: Callable[[], Any]


def frame_of(path: Path | None) -> tuple[lp.Frame, str]:
    """The frame that is encoded, with x, y, z, i in the world; and where it is from."""
    if path is None and (recording := os.environ.get("LIDARPREP_RECORDING")):
        path = next(iter(sorted((Path(recording) / "pointcloud").iterdir())))
    if path is not None:
        points = lp.read_points(path, "world")
        intensity = np.zeros(len(points)) if points.intensity is None else points.intensity
        intensity = (intensity / max(1.0, float(intensity.max()))).astype(np.float32)
        points = lp.PointCloud(points.positions.astype(np.float32), frame="world", intensity=intensity)
        source = path.name
    else:
        rng = np.random.default_rng(0)
        positions = (rng.normal(size=(POINTS, 3)) * (40, 40, 2)).astype(np.float32)
        intensity = (rng.integers(0, 256, POINTS) / 255).astype(np.float32)
        points = lp.PointCloud(positions, frame="world", intensity=intensity)
        source = "random points"
    return lp.Frame("1", 0, lambda: points, world_from_ego=lp.Pose.identity()), source


def rows_of(frame: lp.Frame) -> list[Row]:
    points = frame.points()
    xyz, intensity = points.positions, points.intensity
    assert intensity is not None
    table = pd.DataFrame({"x": xyz[:, 0], "y": xyz[:, 1], "z": xyz[:, 2], "i": intensity})
    as_json, as_protobuf = get_format("json"), get_format("protobuf")
    encoded_json, encoded_protobuf = as_json.encode(frame), as_protobuf.encode(frame)
    return [
        Row(
            "Frame JSON, 4 decimals",
            lambda: as_json.encode(frame, precision=4),
            "pandas to_json(orient='records', double_precision=4)",
            lambda: table.to_json(orient="records", double_precision=4),
        ),
        Row(
            "Frame JSON, exact",
            lambda: as_json.encode(frame),
            "pandas to_json(orient='records', double_precision=10)",
            lambda: table.to_json(orient="records", double_precision=10),
        ),
        Row(
            "Frame JSON to columns",
            lambda: as_json.decode(encoded_json),
            "json.loads and a NumPy array",
            lambda: columns_of(json.loads(encoded_json)["points"]),
        ),
        Row(
            "LidarFrame",
            lambda: as_protobuf.encode(frame),
            "protobuf's classes: build, SerializeToString",
            lambda: build_message(xyz, intensity).SerializeToString(),
        ),
        Row(
            "LidarFrame to columns",
            lambda: as_protobuf.decode(encoded_protobuf),
            "protobuf's classes: FromString and a NumPy array",
            lambda: message_columns(pb.LidarFrame.FromString(encoded_protobuf)),
        ),
    ]


def columns_of(points: list[dict[str, float]]) -> NDArray[np.float32]:
    return np.array([(p["x"], p["y"], p["z"], p["i"]) for p in points], dtype=np.float32)


def build_message(xyz: NDArray[Any], intensity: NDArray[Any]) -> pb.LidarFrame:
    message = pb.LidarFrame(device_position=pb.Vector3(x=0, y=0, z=0))
    message.device_heading.w, message.device_heading.x, message.device_heading.y, message.device_heading.z = 1, 0, 0, 0
    for (x, y, z), i in zip(xyz.tolist(), intensity.tolist(), strict=True):
        message.points.add(x=x, y=y, z=z, i=i)
    return message


def message_columns(message: pb.LidarFrame) -> NDArray[np.float32]:
    return np.array([(p.x, p.y, p.z, p.i) for p in message.points], dtype=np.float32)


def check(frame: lp.Frame) -> None:
    """What is compared must be the same: the bytes of protobuf, and the columns that JSON reads back to."""
    points = frame.points()
    assert points.intensity is not None
    official = build_message(points.positions, points.intensity).SerializeToString()
    assert get_format("protobuf").encode(frame) == official
    read = columns_of(json.loads(get_format("json").encode(frame))["points"])
    assert np.array_equal(read, np.column_stack((points.positions, points.intensity)))


def measure(row: Row, seconds: float) -> tuple[float, float]:
    """(ours, theirs): the best times of either, in turns, so that both see the same machine."""
    row.ours(), row.theirs()
    best_ours = best_theirs = float("inf")
    end = time.perf_counter() + seconds
    while True:
        for _ in range(3):
            best_ours = min(best_ours, timed(row.ours))
        best_theirs = min(best_theirs, timed(row.theirs))
        if time.perf_counter() > end:
            return best_ours, best_theirs


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frame", type=Path, help="a point file; else the first of LIDARPREP_RECORDING, else random")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on stdout")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each row is measured")
    arguments = parser.parse_args()
    frame, source = frame_of(arguments.frame)
    frame = replace(frame, id="benchmark")
    check(frame)
    count = len(frame.points())
    figures = []
    for row in rows_of(frame):
        ours, theirs = measure(row, arguments.seconds)
        figures.append(
            {
                "what": row.what,
                "against": row.against,
                "times_as_fast": theirs / ours,
                "points_per_second": count / ours,
            }
        )
    if arguments.json:
        json.dump({"points": count, "source": source, "rows": figures}, sys.stdout, indent=2)
        return
    table = Table(title=f"{count:,} points with x, y, z, i ({source}), one thread")
    for name in ("what", "against", "times as fast", "million points/s"):
        table.add_column(name, justify="left" if name in ("what", "against") else "right")
    for figure in figures:
        speed = f"{figure['points_per_second'] / 1e6:.1f}"
        table.add_row(figure["what"], figure["against"], f"{figure['times_as_fast']:.1f}", speed)
    Console().print(table)


if __name__ == "__main__":
    main()
