"""What is fuzzed: each reader of foreign bytes, and what must hold of its answer to any bytes at all.

A target gives back nothing for a file that is read or refused with a FormatError. Any other error, a crash, a file that
the official parser refuses and ours reads, or one that both read differently, is a finding.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from google.protobuf.message import DecodeError

from lidarprep.attachments import frame_json, lidar_frame, sensor_fusion_scene
from lidarprep.attachments import lidar_frame_pb2 as pb
from lidarprep.errors import FormatError
from lidarprep.pointfiles import read_points
from lidarprep.scene import Frame

# Read with NUMBA_DISABLE_JIT=1, kernels wrap around with a warning where machine code does so silently.
warnings.filterwarnings("ignore", category=RuntimeWarning)


def _look_at(frame: Frame) -> None:
    """Makes all that a frame makes only when it is asked for."""
    frame.points()
    frame.radar()
    for image in frame.images:
        with suppress(FormatError):
            if image.content is not None:
                image.content()


def frame_json_target(data: bytes) -> None:
    """Frame JSON, against orjson, which refuses what is no JSON."""
    try:
        frame = frame_json.decode(data)
    except FormatError:
        return
    _look_at(frame)
    official = orjson.loads(data)
    if b"\\u" in data:
        return  # keys that are spelled with escapes are not looked into, as kernels/frame_json_reader.py says
    assert len(frame.points()) == len(official["points"]), "another number of points than orjson finds"
    for row, point in enumerate(official["points"]):
        expected = np.array([point[axis] for axis in "xyz"], dtype=np.float64).astype(np.float32)
        assert np.array_equal(frame.points().positions[row], expected), f"point {row} is not what orjson reads"


def lidar_frame_target(data: bytes) -> None:
    """LidarFrame, against the official class."""
    message: Any = pb.LidarFrame()
    try:
        frame = lidar_frame.decode(data)
    except FormatError:
        return
    _look_at(frame)
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise AssertionError("the official parser refuses what is read") from error
    expected = np.array([(p.x, p.y, p.z) for p in message.points], dtype=np.float32).reshape(-1, 3)
    # Not a number is not told from another: on the way to a Python float its bits may change.
    found = frame.points().positions
    assert np.array_equal(found, expected, equal_nan=True), "points that the official parser reads otherwise"


def sfs_target(data: bytes) -> None:
    """Sensor Fusion Scenes, with the points of all frames."""
    with suppress(FormatError):
        for frame in sensor_fusion_scene.decode(data).frames:
            _look_at(frame)


def _file_target(suffix: str) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        path = _scratch() / f"fuzzed{suffix}"
        path.write_bytes(data)
        with suppress(FormatError):
            read_points(path)

    target.__doc__ = f"Point files whose names end in {suffix}."
    return target


_folders: dict[int, tempfile.TemporaryDirectory[str]] = {}


def _scratch() -> Path:
    """A folder of this process, in memory where there is such a place."""
    if os.getpid() not in _folders:
        _folders[os.getpid()] = tempfile.TemporaryDirectory(
            prefix="lidarprep-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        )
    return Path(_folders[os.getpid()].name)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "frame_json": frame_json_target,
    "lidar_frame": lidar_frame_target,
    "sfs": sfs_target,
    "ply": _file_target(".ply"),
    "pcd": _file_target(".pcd"),
    "csv": _file_target(".csv"),
    "pts": _file_target(".pts"),
    "npy": _file_target(".npy"),
    "npz": _file_target(".npz"),
    "las": _file_target(".las"),
    "laz": _file_target(".laz"),
    "parquet": _file_target(".parquet"),
    "feather": _file_target(".feather"),
}
