"""Intensity to 0–1, and the guess of its scale, which is made only where there is no doubt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lidarprep.errors import RecipeError
from lidarprep.scene import Frame, PointCloud, RadarPoints
from lidarprep.steps import StepReport
from lidarprep.steps.intensity import DropIntensity, NormaliseIntensity, guess_intensity_scale


def cloud_of(intensity: Any, dtype: type | None = None) -> PointCloud:
    values = np.asarray(intensity, dtype=dtype)
    return PointCloud(np.zeros((len(values), 3)), frame="world", intensity=values)


def normalised(cloud: PointCloud, scale: float) -> tuple[PointCloud, StepReport]:
    report = StepReport()
    radar = RadarPoints(np.zeros((1, 3)), frame="world")
    frame = NormaliseIntensity(scale)(Frame("7", 0, lambda: cloud).with_data(cloud, radar), report)
    assert frame.radar() is radar
    return frame.points(), report


@pytest.mark.parametrize(
    ("values", "dtype", "scale"),
    [
        ([0, 51, 255], np.uint8, 255),
        ([0, 13107, 65535], np.uint16, 65535),
        ([0, 0.2, 1], np.float64, 1),
        ([0, 20, 100], np.int64, 100),
    ],
)
def test_the_scale_becomes_1(values: list[float], dtype: type, scale: float) -> None:
    found, report = normalised(cloud_of(values, dtype), scale)
    assert found.intensity is not None
    assert found.intensity.dtype == np.float32
    np.testing.assert_allclose(found.intensity, np.array(values) / scale, rtol=1e-6)
    assert found.intensity[-1] == 1
    assert report.notes == {}


@pytest.mark.parametrize("value", [-1, 256, np.inf, -np.inf])
def test_an_intensity_outside_the_scale_is_refused_with_what_to_do(value: float) -> None:
    with pytest.raises(RecipeError, match=r"frame 7 has intensity .*outside 0 to 255") as caught:
        normalised(cloud_of([5.0, value]), 255)
    assert "--intensity-scale" in str(caught.value)


def test_a_scale_that_float32_rounds_is_still_reached() -> None:
    found, _ = normalised(cloud_of([0.0, 0.1]), 0.1)
    assert found.intensity is not None
    assert found.intensity.tolist() == [0, 1]


def test_what_is_not_a_number_becomes_0_and_is_noted_with_its_count() -> None:
    found, report = normalised(cloud_of([np.nan, 128.0, np.nan]), 255)
    assert found.intensity is not None
    assert found.intensity[[0, 2]].tolist() == [0, 0]
    (note,) = report.notes.values()
    assert "frame 7: 2 intensities" in note


def test_the_recordings_own_column_is_not_changed() -> None:
    cloud = cloud_of([np.nan, 128.0, 255.0], np.float32)
    normalised(cloud, 255)
    assert cloud.intensity is not None
    assert np.isnan(cloud.intensity[0])
    assert cloud.intensity[2] == 255


def test_points_without_intensity_and_no_points_are_left_alone() -> None:
    bare = PointCloud(np.zeros((2, 3)))
    assert normalised(bare, 255)[0] is bare
    assert len(normalised(cloud_of([]), 255)[0]) == 0


@pytest.mark.parametrize(
    ("columns", "scale", "reason"),
    [
        ([], 1, "no intensity"),
        ([cloud_of([])], 1, "no intensity"),
        ([PointCloud(np.zeros((3, 3)))], 1, "no intensity"),
        ([cloud_of([0, 3], np.uint8)], 255, "8-bit"),
        ([cloud_of([0, 3], np.uint8), cloud_of([200], np.uint8)], 255, "8-bit"),
        ([cloud_of([np.nan, np.nan])], 1, "no intensity is a number"),
        ([cloud_of([0.0, 0.0])], 1, "every intensity is 0"),
        ([cloud_of([0.0, 0.25, 1.0])], 1, "from 0 to 1"),
        ([cloud_of([0.01, 0.3])], 1, "0.3"),
        ([cloud_of([0.0, 1.0]), cloud_of([0.5])], 1, "from 0 to 1"),
        ([cloud_of([0.0, 255.0])], 255, "all whole numbers"),
        ([cloud_of([3, 200], np.int32)], 255, "all whole numbers"),
        ([cloud_of([0.0, 12.0]), cloud_of([np.nan, 254.0])], 255, "0 to 254"),
        ([cloud_of([0, 65535], np.uint16)], 65535, "all whole numbers"),
        ([cloud_of([0, 32768], np.uint16)], 65535, "32768"),
    ],
)
def test_a_scale_is_guessed_where_there_is_no_doubt_and_its_reason_said(
    columns: list[PointCloud], scale: float, reason: str
) -> None:
    found, said = guess_intensity_scale(columns)
    assert found == scale
    assert reason in said


@pytest.mark.parametrize(
    "columns",
    [
        [cloud_of([0.0, 1.0])],  # 0 and 1: a flag, or counts of a dark scene?
        [cloud_of([0, 1], np.uint16)],
        [cloud_of([0, 15], np.int64)],
        [cloud_of([0, 100], np.int64)],  # percent, or a dark scene of 8 bits?
        [cloud_of([0, 256], np.int64)],
        [cloud_of([0, 4095], np.uint16)],  # 12 bits, or a dark scene of 16?
        [cloud_of([0, 32767], np.uint16)],
        [cloud_of([0, 65536], np.int64)],
        [cloud_of([0.0, 1.5])],
        [cloud_of([0.5, 200.0])],
        [cloud_of([-1.0, 200.0])],
        [cloud_of([-0.5, 0.5])],
        [cloud_of([-3.0, 0.0])],
        [cloud_of([0.0, np.inf])],
        [cloud_of([0.5, 1.0]), cloud_of([200.0])],
        [cloud_of([0, 3], np.uint8), cloud_of([300], np.uint16)],
    ],
)
def test_doubt_is_said_and_not_guessed_away(columns: list[PointCloud]) -> None:
    with pytest.raises(RecipeError, match="doubt about their scale") as caught:
        guess_intensity_scale(columns)
    assert "--intensity-scale" in str(caught.value)


def test_intensities_can_be_left_out() -> None:
    cloud = replace(cloud_of([3, 5]), timestamp=np.array([7, 8]))
    radar = RadarPoints(np.zeros((1, 3)), frame="world")
    frame = DropIntensity()(Frame("7", 0, lambda: cloud).with_data(cloud, radar), StepReport())
    assert set(frame.points().columns) == {"timestamp"}
    assert frame.points().positions is cloud.positions
    assert frame.radar() is radar
