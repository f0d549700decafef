"""Columns that fit together, and frames that read nothing until asked."""

from __future__ import annotations

import numpy as np
import pytest

from lidarprep.errors import SceneError
from lidarprep.scene import Frame, PointCloud, RadarPoints, Scene

COLUMNS = {
    "intensity": np.arange(3.0),
    "device": np.arange(3, dtype=np.uint32),
    "timestamp": np.arange(3),
    "is_ground": np.array([True, False, True]),
    "colour": np.zeros((3, 3), np.uint8),
    "ring": np.arange(3, dtype=np.uint16),
}


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 4), (1, 3, 3)])
def test_positions_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(SceneError, match=r"\(N, 3\)"):
        PointCloud(np.zeros(shape))


@pytest.mark.parametrize("dtype", [np.int64, np.float16, object])
def test_positions_of_another_type_are_refused(dtype: type) -> None:
    with pytest.raises(SceneError, match="float32 or float64"):
        PointCloud(np.zeros((2, 3), dtype))


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_another_length_is_refused_by_name(name: str) -> None:
    with pytest.raises(SceneError, match=name):
        PointCloud(np.zeros((4, 3)), **{name: COLUMNS[name]})


def test_taking_rows_takes_every_column_with_them() -> None:
    cloud = PointCloud(np.arange(9.0).reshape(3, 3), frame="world", **COLUMNS)
    for rows in (np.array([2, 0]), np.array([True, False, True])):
        taken = cloud.take(rows)
        assert taken.frame == "world"
        assert list(taken.columns) == list(COLUMNS)
        assert np.array_equal(taken.positions, cloud.positions[rows])
        assert all(np.array_equal(taken.columns[name], COLUMNS[name][rows]) for name in COLUMNS)


def test_an_empty_cloud_is_a_cloud() -> None:
    assert len(PointCloud(np.empty((0, 3), np.float32), intensity=np.empty(0))) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"positions": np.zeros((2, 2))},
        {"directions": np.zeros((1, 3))},
        {"sizes": np.zeros(3)},
        {"sizes": np.array([1.0, np.nan])},
        {"positions": np.full((2, 3), np.inf)},
    ],
)
def test_radar_columns_that_do_not_fit_or_are_not_finite_are_refused(wrong: dict[str, np.ndarray]) -> None:
    with pytest.raises(SceneError, match="radar column"):
        RadarPoints(**({"positions": np.zeros((2, 3))} | wrong))


def test_a_frame_reads_its_points_anew_each_time_and_not_before() -> None:
    reads = []

    def read() -> PointCloud:
        reads.append(1)
        return PointCloud(np.zeros((2, 3)))

    frame = Frame("1", 0, read)
    scene = Scene("here", "file", (frame,)).with_points_in("world")
    assert not reads
    assert scene[0].points().frame == "world"
    assert frame.points().frame == "ego"
    assert len(reads) == 2
    assert frame.radar() is None


def test_a_frame_with_other_data_keeps_the_rest() -> None:
    frame = Frame("7", 3, lambda: PointCloud(np.zeros((2, 3))), timestamp=5)
    radar = RadarPoints(np.zeros((1, 3)))
    changed = frame.with_data(PointCloud(np.ones((1, 3))), radar)
    assert (changed.id, changed.index, changed.timestamp) == ("7", 3, 5)
    assert len(changed.points()) == 1
    assert changed.radar() is radar
