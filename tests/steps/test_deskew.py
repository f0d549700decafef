"""The step: what times mean, what is said and refused; the arithmetic is the kernel's, and tested there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lidarprep.errors import SceneError
from lidarprep.scene import Frame, PointCloud, Pose, RadarPoints, Trajectory
from lidarprep.steps import StepReport
from lidarprep.steps.deskew import Deskew
from lidarprep.steps.world import ToWorld

EPOCH = 1_700_000_000_000_000_000
MS = 1_000_000
SPEED = 10.0  # metres a second, along x


def path(start: int = EPOCH, poses: int = 11) -> Trajectory:
    times = start + np.arange(poses) * 100 * MS
    places = np.column_stack(((times - start) / 1e9 * SPEED, np.zeros((poses, 2))))
    return Trajectory(times, np.tile([1.0, 0, 0, 0], (poses, 1)), places)


def frame_of(
    times: Any, *, timestamp: int | None = EPOCH + 500 * MS, positions: NDArray[np.floating] | None = None, **more: Any
) -> Frame:
    """Points 2 m above the device's own origin, measured at these times."""
    timestamps = None if times is None else np.asarray(times, dtype=np.int64)
    count = 3 if timestamps is None else len(timestamps)
    places = np.tile([0.0, 0, 2], (count, 1)) if positions is None else positions
    cloud = PointCloud(places, timestamp=timestamps, **more)
    return Frame("7", 0, lambda: cloud, world_from_ego=Pose.identity(), timestamp=timestamp)


def deskewed(frame: Frame, way: Trajectory | None = None) -> tuple[PointCloud, dict[str, str]]:
    report = StepReport()
    moved = Deskew(way or path())(frame, report)
    return moved.points(), report.notes


def test_what_was_measured_later_was_measured_further_on() -> None:
    times = EPOCH + np.array([450, 500, 550]) * MS
    points, notes = deskewed(frame_of(times))
    np.testing.assert_allclose(points.positions, [[-0.5, 0, 2], [0, 0, 2], [0.5, 0, 2]], atol=1e-12)
    assert points.timestamp is not None
    assert points.timestamp.tolist() == times.tolist()
    assert notes == {}


def test_rays_without_a_return_stay_at_their_lidar() -> None:
    lidar = Pose.from_euler(0.1, 0.2, 0.3, (0.9, 0.1, 1.8))
    times = EPOCH + np.array([417, 530, 599, 580]) * MS
    seen = PointCloud(np.array([[0.0, 0, 0], [4, 5, 6], [0, 0, 0], [0, 0, 0.5]]), timestamp=times, frame="sensor")
    cloud = seen.moved(lidar, "ego")
    pose = path().at(EPOCH + 500 * MS)
    frame = Frame("7", 0, lambda: cloud, world_from_ego=pose, timestamp=EPOCH + 500 * MS)
    report = StepReport()
    points = ToWorld()(Deskew(path())(frame, report), report).points()
    assert report.dropped == {"region": 0, "height": 0, "not_finite": 0, "no_return": 2}
    assert report.kept is not None
    assert report.kept.tolist() == [1, 3]
    assert len(points) == 2


def test_the_same_points_in_the_world_as_from_the_pose_at_each_ones_time() -> None:
    way = path()
    times = EPOCH + np.array([417, 530, 599]) * MS
    positions = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    frame = frame_of(times, positions=positions)
    pose = way.at(EPOCH + 500 * MS)
    assert pose is not None
    report = StepReport()
    points = ToWorld()(Deskew(way)(Frame(**vars(frame) | {"world_from_ego": pose}), report), report).points()
    poses = [way.at(int(time)) for time in times]
    expected = [pose.apply(p) for pose, p in zip(poses, positions, strict=True) if pose is not None]
    np.testing.assert_allclose(points.positions, expected, atol=1e-9)


def test_offsets_count_from_the_frame_and_that_is_said() -> None:
    points, notes = deskewed(frame_of([-50 * MS, 0, 50 * MS]))
    np.testing.assert_allclose(points.positions[:, 0], [-0.5, 0, 0.5], atol=1e-12)
    assert notes == {"times of points": "the points' times are taken as counting from their frame's timestamp"}


def test_a_clock_that_begins_at_0_is_a_clock() -> None:
    """A simulator's: half a second after its start, points of 0.45 s to 0.55 s. It could be otherwise: that is said."""
    points, notes = deskewed(frame_of([450 * MS, 550 * MS], timestamp=500 * MS), path(0))
    np.testing.assert_allclose(points.positions[:, 0], [-0.5, 0.5], atol=1e-12)
    assert "taken as on its clock" in notes["times of points"]
    late = 60_000 * MS
    points, notes = deskewed(frame_of([late - 50 * MS, late], timestamp=late), path(late - 500 * MS))
    np.testing.assert_allclose(points.positions[:, 0], [-0.5, 0], atol=1e-12)
    assert notes == {}


def test_rays_that_met_nothing_need_no_time() -> None:
    positions = np.array([[np.nan, np.nan, np.nan], [0, 0, 5], [0, 0, 5]])
    points, _ = deskewed(frame_of([0, EPOCH + 450 * MS, EPOCH + 550 * MS], positions=positions))
    assert np.isnan(points.positions[0]).all()
    np.testing.assert_allclose(points.positions[1:, 0], [-0.5, 0.5], atol=1e-12)
    nothing, _ = deskewed(frame_of([0, 9_000 * MS], positions=np.full((2, 3), np.nan, np.float32)))
    assert np.isnan(nothing.positions).all()


@pytest.mark.parametrize("astray", [EPOCH + 86_400_000 * MS, 1, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("chunked", [False, True])
def test_one_time_that_is_a_day_off_does_not_change_the_others(astray: int, chunked: bool) -> None:
    times = EPOCH + 450 * MS + np.arange(100) * MS
    sound, _ = deskewed(frame_of(times))
    expected = sound.positions.copy()
    expected[40] = expected[39]
    times[40] = astray
    frame = frame_of(times)
    if chunked:
        cloud = frame.points()
        frame = replace(frame, read_chunks=lambda: iter((cloud,)))
    points, notes = deskewed(frame)
    assert points.timestamp is not None
    np.testing.assert_allclose(points.positions, expected, atol=1e-12)
    assert points.timestamp[40] == times[39]
    assert "the times of 1 points are more than 1 s from the others'" in notes["stray times"]


def test_points_beyond_the_poses_are_counted_with_the_figure() -> None:
    times = EPOCH + np.array([-50, -20, 0, 30]) * MS
    points, notes = deskewed(frame_of(times, timestamp=EPOCH))
    np.testing.assert_allclose(points.positions[:, 0], [-0.5, -0.2, 0, 0.3], atol=1e-9)
    assert "frame 7: 2 points were measured up to 50 ms beyond the device's poses" in notes["extrapolated motion"]


def test_radar_stays_where_it_was() -> None:
    frame = frame_of([EPOCH + 450 * MS])
    radar = RadarPoints(np.ones((1, 3)))
    moved = Deskew(path())(frame.with_data(frame.points(), radar), StepReport())
    assert moved.radar() is radar


def test_no_points_are_left_alone() -> None:
    for times in ([], None):
        cloud = PointCloud(np.zeros((0, 3)), timestamp=None if times is None else np.zeros(0, np.int64))
        points, notes = deskewed(Frame("7", 0, lambda cloud=cloud: cloud))  # type: ignore[misc]
        assert (len(points), notes) == (0, {})


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (frame_of(None), "frame 7: its points have no times of their own"),
        (frame_of([0], timestamp=None), "frame 7 has no timestamp"),
        (frame_of([0], frame="world"), "frame 7: its points are in the world"),
        (frame_of([EPOCH + 1_501 * MS]), r"frame 7: its points were measured up to 1\.001 s from its timestamp"),
        (frame_of([0, 1_001 * MS]), r"counting from its timestamp, reach to 1\.001 s"),
        (frame_of([np.iinfo(np.int64).min, np.iinfo(np.int64).max]), r"up to 1\.092e\+10 s"),
        (
            frame_of([EPOCH + 1_150 * MS, EPOCH + 1_151 * MS, EPOCH + 1_160 * MS], timestamp=EPOCH + 1_100 * MS),
            "2 of 3 points were measured where the device's motion is not known. Its 11 poses reach from "
            f"{EPOCH} to {EPOCH + 1000 * MS} ns",
        ),
        (
            frame_of([EPOCH + 1_000 * MS], timestamp=EPOCH + 1_151 * MS),
            "its timestamp lies where the device's motion is not known",
        ),
    ],
)
def test_what_cannot_be_deskewed_is_refused_with_the_figure(frame: Frame, match: str) -> None:
    with pytest.raises(SceneError, match=match) as caught:
        deskewed(frame)
    assert caught.value.fix


def test_chunks_are_deskewed_one_by_one_and_counted_together() -> None:
    times = EPOCH + np.arange(-100, 100) * MS
    whole = frame_of(times, timestamp=EPOCH, positions=np.random.default_rng(0).uniform(-9, 9, (200, 3)))
    expected, notes = deskewed(whole)

    def chunks() -> Iterator[PointCloud]:
        for begin in range(0, 200, 30):
            yield whole.points().take(np.arange(begin, min(begin + 30, 200)))

    report = StepReport()
    moved = Deskew(path())(Frame("7", 0, whole.read_points, timestamp=EPOCH, read_chunks=chunks), report)
    assert report.notes == {}  # nothing is read yet
    parts = list(moved.chunks())
    assert [len(part) for part in parts] == [30] * 6 + [20]
    np.testing.assert_array_equal(PointCloud.concatenate(parts).positions, expected.positions)
    assert report.notes == notes
    np.testing.assert_array_equal(moved.points().positions, expected.positions)
    assert report.notes == notes  # counted anew


def test_what_times_count_from_is_the_same_for_all_chunks_of_a_frame() -> None:
    """Near the start of a clock that begins at 0, the later chunks of a sweep could be read either way."""

    def in_chunks(times: list[int]) -> tuple[PointCloud, dict[str, str]]:
        frame = frame_of(times, timestamp=1200 * MS)
        whole = frame.points()

        def chunks() -> Iterator[PointCloud]:
            yield from (whole.take(np.arange(row, row + 2)) for row in range(0, len(whole), 2))

        return deskewed(replace(frame, read_chunks=chunks), path(0, poses=31))

    offsets = [0, 400 * MS, 500 * MS, 900 * MS]
    whole, notes = deskewed(frame_of(offsets, timestamp=1200 * MS), path(0, poses=31))
    np.testing.assert_allclose(whole.positions[:, 0], [0, 4, 5, 9], atol=1e-9)
    chunked, same_notes = in_chunks(offsets)
    np.testing.assert_array_equal(chunked.positions, whole.positions)
    assert same_notes == notes
    with pytest.raises(SceneError, match="some of its points' times look as if they counted from its timestamp"):
        in_chunks([*offsets[2:], *offsets[:2]])
