"""One measured point a voxel: what of a frame goes with it, and what is counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lidarprep.errors import RecipeError
from lidarprep.pointfiles import read_points
from lidarprep.scene import Frame, PointCloud, Pose, RadarPoints
from lidarprep.steps import StepReport
from lidarprep.steps.voxel import VoxelDownsample


def frame_of(positions: Any, *, radar: RadarPoints | None = None) -> Frame:
    """A frame whose columns all tell which row of the recording a point was."""
    xyz = np.asarray(positions).reshape(-1, 3)
    row = np.arange(len(xyz))
    cloud = PointCloud(
        xyz if xyz.dtype in (np.float32, np.float64) else xyz.astype(np.float64),
        frame="world",
        intensity=row.astype(np.float32),
        device=row.astype(np.uint32),
        timestamp=row.astype(np.int64),
        is_ground=row % 2 == 0,
        colour=np.stack([row, row, row], axis=1).astype(np.uint8),
        ring=row.astype(np.uint16),
    )
    return Frame("1", 0, lambda: cloud, world_from_ego=Pose.identity()).with_data(cloud, radar)


def downsampled(frame: Frame, size: float, **options: Any) -> tuple[Frame, StepReport]:
    report = StepReport()
    return VoxelDownsample(size, **options)(frame, report), report


@given(
    hnp.arrays(np.float32, st.integers(0, 80).map(lambda n: (n, 3)), elements=st.floats(-3, 3, width=32)),
    st.sampled_from([0.05, 0.5, 1.0, 10.0]),
    st.sampled_from(["first", "nearest"]),
)
def test_what_is_kept_are_rows_of_the_recording_in_its_order(positions: NDArray[Any], size: float, keep: str) -> None:
    frame = frame_of(positions)
    kept, report = downsampled(frame, size, keep=keep)
    before, after = frame.points(), kept.points()
    assert after.timestamp is not None
    rows = after.timestamp
    assert (np.diff(rows) > 0).all()
    assert after.positions.dtype == before.positions.dtype
    assert np.array_equal(after.positions, before.positions[rows])
    assert list(after.columns) == list(before.columns)
    for name, column in before.columns.items():
        assert np.array_equal(after.columns[name], column[rows]), name
        assert after.columns[name].dtype == column.dtype
    assert report.dropped == {"voxel": len(before) - len(after)}
    assert (len(after) == 0) == (len(before) == 0)


@pytest.mark.parametrize("keep", ["first", "nearest"])
def test_downsampling_again_changes_nothing(keep: str) -> None:
    positions = np.random.default_rng(0).normal(0, 5, (5000, 3))
    once, first = downsampled(frame_of(positions), 0.5, keep=keep)
    again, second = downsampled(once, 0.5, keep=keep)
    assert first.dropped["voxel"] > 0
    assert second.dropped["voxel"] == 0
    assert np.array_equal(again.points().positions, once.points().positions)


def test_first_and_nearest_keep_one_point_of_the_same_voxels() -> None:
    positions = np.random.default_rng(1).normal(0, 5, (5000, 3))
    voxels = [
        {
            tuple(voxel)
            for voxel in np.floor(downsampled(frame_of(positions), 0.5, keep=keep)[0].points().positions / 0.5)
        }
        for keep in ("first", "nearest")
    ]
    assert voxels[0] == voxels[1] == {tuple(voxel) for voxel in np.floor(positions / 0.5)}


def test_radar_and_pose_stay() -> None:
    radar = RadarPoints(np.zeros((2, 3)), frame="world")
    frame = frame_of([[0, 0, 0], [0.1, 0, 0]], radar=radar)
    kept, _ = downsampled(frame, 1.0)
    assert kept.radar() is radar
    assert kept.world_from_ego is frame.world_from_ego
    assert len(kept.points()) == 1


def test_counts_of_other_steps_stay() -> None:
    report = StepReport(points_in=9, dropped={"region": 7})
    VoxelDownsample(1.0)(frame_of([[0, 0, 0], [0.1, 0, 0]]), report)
    assert report.dropped == {"region": 7, "voxel": 1}
    assert report.points_in == 9


def test_points_that_are_not_contiguous() -> None:
    wide = np.random.default_rng(2).normal(0, 3, (1000, 4))
    whole, _ = downsampled(frame_of(np.ascontiguousarray(wide[:, :3])), 0.5)
    assert np.array_equal(downsampled(frame_of(wide[:, :3]), 0.5)[0].points().positions, whole.points().positions)


@pytest.mark.parametrize("far", [2.0**31, -(2.0**31), 1e300])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_voxels_too_small_for_the_extent_are_refused_with_size_and_frame(far: float, axis: int) -> None:
    positions = np.zeros((3, 3))
    positions[1, axis] = far * 0.05
    with pytest.raises(RecipeError, match=r"voxels of 0\.05 m are too small for frame 1"):
        downsampled(frame_of(positions), 0.05)


def test_the_largest_extent_that_fits() -> None:
    reach = 2.0**31 - 1
    kept, _ = downsampled(frame_of([[reach, -reach, 0], [reach - 1, -reach, 0], [reach, -reach, 0]]), 1.0)
    assert len(kept.points()) == 2


@pytest.mark.parametrize("keep", ["first", "nearest"])
def test_the_result_is_the_same_from_one_thread_and_from_many(keep: str) -> None:
    positions = np.random.default_rng(3).normal(0, 8, (60_000, 3)).astype(np.float32)
    step = VoxelDownsample(0.4, keep)  # type: ignore[arg-type]
    alone = step(frame_of(positions), StepReport()).points()
    frames = [frame_of(positions) for _ in range(24)]
    for threads in (2, 8):
        with ThreadPoolExecutor(threads) as pool:
            found = [kept.points() for kept in pool.map(lambda frame: step(frame, StepReport()), frames)]
        for kept in found:
            assert np.array_equal(kept.positions, alone.positions)
            assert all(np.array_equal(kept.columns[name], column) for name, column in alone.columns.items())


@pytest.mark.parametrize("keep", ["first", "nearest"])
def test_a_real_frame(recording: Path, keep: str) -> None:
    cloud = read_points(recording / "pointcloud" / "1.ply", "world")
    frame = Frame("1", 0, lambda: cloud, world_from_ego=Pose.identity())
    kept, report = downsampled(frame, 0.05, keep=keep)
    # float64 as the kernel computes: a float32 quotient would fall on the other side of some faces.
    voxels = np.floor(cloud.positions.astype(np.float64) * (1 / 0.05)).astype(np.int64)
    order, first = np.unique(voxels, axis=0, return_index=True)
    assert len(kept.points()) == len(order) == len(cloud) - report.dropped["voxel"]
    if keep == "first":
        assert np.array_equal(kept.points().positions, cloud.positions[np.sort(first)])
