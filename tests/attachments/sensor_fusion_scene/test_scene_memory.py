"""Memory is bounded by one frame, not by the scene."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lidarprep.attachments.sensor_fusion_scene import decode
from lidarprep.scene import Frame, PointCloud, Pose
from tests.attachments.frames import encode_scene
from tests.attachments.sensor_fusion_scene.scenes import STEP, T0, written_to

POINTS = 100_000


def points_of(index: int, *, dtype: type, device: bool) -> PointCloud:
    """Points that are made when they are asked for, without garbage."""
    positions = np.full((POINTS, 3), index, dtype)
    times = np.arange(POINTS, dtype=np.int64)
    times += T0 + index * STEP
    devices = None
    if device:
        devices = np.arange(POINTS, dtype=np.uint32)
        devices &= 1
    return PointCloud(positions, "world", np.full(POINTS, 0.5, np.float32), devices, times)


def frames(count: int, dtype: type, device: bool) -> Iterator[Frame]:
    for n in range(count):
        yield Frame(
            str(n),
            n,
            lambda n=n: points_of(n, dtype=dtype, device=device),  # type: ignore[misc]
            world_from_ego=Pose.identity(),
            timestamp=T0 + n * STEP,
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("device", [False, True])
def test_writing_50_frames_needs_one_and_a_half_and_the_header(tmp_path: Path, dtype: type, device: bool) -> None:
    cloud = points_of(0, dtype=dtype, device=device)
    size = cloud.positions.nbytes + sum(column.nbytes for column in cloud.columns.values())
    del cloud
    encode_scene(frames(1, dtype, device))  # whatever is loaded once
    with (tmp_path / "scene.sfs").open("w+b") as out:
        tracemalloc.start()
        written_to(out, frames(50, dtype, device), expected_frames=50)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        out.seek(0)
        header = len(out.read(1 << 20).partition(b"\0")[0])
    # The header's text is one thing, what it is made of some times that.
    assert peak < 1.5 * size + 12 * header + 300_000, peak / size


def test_reading_a_scene_makes_no_points() -> None:
    data = encode_scene(frames(5, np.float32, device=True))
    tracemalloc.start()
    scene = decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(scene) == 5
    assert peak < len(data) / 10
