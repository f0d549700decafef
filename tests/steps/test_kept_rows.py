"""StepReport.kept: which rows of the recording's points the steps of a frame have kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.scene import Frame, PointCloud, Pose, RegionOfInterest3D
from lidarprep.steps import StepReport
from lidarprep.steps.intensity import DropIntensity
from lidarprep.steps.voxel import VoxelDownsample
from lidarprep.steps.world import HeightBand, ToWorld

CROP = ToWorld(RegionOfInterest3D((0, 0, 0), 8, 8), HeightBand(1.0, 0.0, 2.0))


def frame_of(positions: Any, chunk: int | None = None) -> Frame:
    """A frame; its intensities say which row of it a point was."""
    xyz = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    cloud = PointCloud(xyz, "ego", intensity=np.arange(len(xyz), dtype=np.float32))
    frame = Frame("7", 0, lambda: cloud, world_from_ego=Pose.identity())
    if chunk is None:
        return frame
    parts = [cloud.take(np.arange(at, min(at + chunk, len(xyz)))) for at in range(0, len(xyz), chunk)]
    return replace(frame, read_chunks=lambda: iter(parts))


def test_rows_that_one_step_keeps_are_counted_in_what_the_step_before_has_kept() -> None:
    report = StepReport()
    assert report.kept is None
    report.keep(np.array([1, 3, 4, 8]))
    report.keep(np.array([0, 2]))
    assert report.kept is not None
    assert report.kept.tolist() == [1, 4]


@pytest.mark.parametrize("step", [ToWorld(), VoxelDownsample(0.5), DropIntensity()])
def test_a_step_that_keeps_all_says_nothing(step: Any) -> None:
    report = StepReport()
    step(frame_of([[1, 0, 0], [2, 0, 0]]), report)
    assert report.kept is None


@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_a_frame_that_loses_all_its_points_keeps_no_row(chunk: int | None) -> None:
    report = StepReport()
    CROP(frame_of([[9, 0, 0], [np.nan, 0, 0], [0, 0, 5]], chunk), report)
    assert report.kept is not None
    assert report.kept.tolist() == []


@given(
    st.lists(st.tuples(*[st.floats(-6, 6)] * 3), min_size=1, max_size=50),
    st.sampled_from([None, 1, 3, 50]),
    st.sampled_from([None, "first", "nearest"]),
)
def test_the_points_that_come_out_are_those_rows(positions: Any, chunk: int | None, keep: Any) -> None:
    report = StepReport()
    frame = CROP(frame_of(positions, chunk), report)
    if keep is not None:
        frame = VoxelDownsample(2.0, keep)(frame, report)
    rows = np.arange(len(positions)) if report.kept is None else report.kept
    assert rows.dtype == np.int64
    assert (np.diff(rows) > 0).all()
    found = frame.points()
    assert found.intensity is not None
    assert found.intensity.tolist() == rows.tolist()
    assert len(rows) == len(positions) - sum(report.dropped.values())
