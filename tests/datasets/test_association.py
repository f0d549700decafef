"""What is matched by time, against the plainest way to say it; and images posed at their own times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.datasets.association import ImageSeries, match_images, nearest, paired, poses_at
from lidarprep.datasets.options import OpenOptions
from lidarprep.scene import Camera, CameraImage, Intrinsics, Pose, Trajectory

TIMES = st.lists(st.integers(0, 60), max_size=8)
SECOND = 10**9


@given(times=TIMES, others=TIMES, tolerance=st.integers(0, 20))
def test_the_nearest_is_found_in_any_order_within_the_tolerance(
    times: list[int], others: list[int], tolerance: int
) -> None:
    rows = nearest(times, others, tolerance).tolist()
    assert len(rows) == len(times)
    for time, row in zip(times, rows, strict=True):
        if row < 0:
            assert all(abs(other - time) > tolerance for other in others)
        else:
            # The nearest; of two as near the earlier.
            assert (abs(others[row] - time), others[row]) == min((abs(other - time), other) for other in others)
            assert abs(others[row] - time) <= tolerance


@given(times=TIMES, others=TIMES, tolerance=st.integers(0, 20))
def test_each_is_paired_once_and_none_stays_alone_whose_nearest_is_free(
    times: list[int], others: list[int], tolerance: int
) -> None:
    rows = paired(times, others, tolerance).tolist()
    given_away = [row for row in rows if row >= 0]
    assert len(set(given_away)) == len(given_away)
    for time, row, closest in zip(times, rows, nearest(times, others, tolerance).tolist(), strict=True):
        if row >= 0:
            assert abs(others[row] - time) <= tolerance
        else:
            assert closest < 0 or others[closest] in {others[row] for row in given_away}


def test_of_two_that_want_one_the_nearer_gets_it() -> None:
    assert paired([0, 30], [20], 25).tolist() == [-1, 0]
    assert paired([0, 30], [20, -15], 25).tolist() == [1, 0]


@pytest.mark.parametrize("shift", [50, -50])
def test_series_that_alternate_are_paired_in_turn(shift: int) -> None:
    times = list(range(0, 1000, 100))
    assert paired(times, [time + shift for time in times], 50).tolist() == list(range(10))


def series(taken: list[int]) -> ImageSeries:
    """Images of a camera two metres above ego, in the order given; each file is named by its time."""
    camera = Camera("front", 0, Intrinsics(1, 1, 1, 1), Pose(np.eye(3), np.array([0.0, 0, 2])))
    return ImageSeries(camera, taken, lambda row: CameraImage(camera, Path(f"{taken[row]}.jpg")))


def driving(seconds: list[int]) -> Trajectory:
    """Ten metres a second along x."""
    return Trajectory.from_poses(
        [second * SECOND for second in seconds], [Pose(np.eye(3), np.array([10.0 * s, 0, 0])) for s in seconds]
    )


def test_an_image_is_posed_where_the_camera_was_when_it_was_taken() -> None:
    taken = [SECOND + 40_000_000, 20_000_000]  # not in time order, and each later than its frame
    ((first,), (second,)), notes = match_images([0, SECOND], [series(taken)], driving([0, 1, 2]), OpenOptions())
    assert notes == []
    assert [first.path, second.path] == [Path("20000000.jpg"), Path("1040000000.jpg")]
    assert [first.timestamp, second.timestamp] == [20_000_000, SECOND + 40_000_000]
    for image, x in ((first, 0.2), (second, 10.4)):
        assert image.world_from_camera is not None
        np.testing.assert_allclose(image.world_from_camera.translation, [x, 0, 2], atol=1e-12)


def test_what_has_no_image_or_no_pose_is_counted_and_left_out() -> None:
    frames = [0, SECOND // 2, 3 * SECOND, 4 * SECOND]
    taken = [0, SECOND // 2 + 60_000_000, 3 * SECOND, 4 * SECOND + 1]
    images, notes = match_images(frames, [series(taken)], driving([0, 1, 4]), OpenOptions())
    assert [len(of_frame) for of_frame in images] == [1, 0, 0, 0]
    assert notes == [
        "camera front: 1 of 4 frames have no image within 0.05 s (--image-tolerance)",
        "camera front: 2 images were taken where no pose is known; they are left out",
    ]


@pytest.mark.parametrize(("gap", "x"), [(1.0, [0, None, None, 40]), (3.0, [0, 30, None, 40])])
def test_poses_are_not_taken_from_beyond_the_path_or_across_a_gap(gap: float, x: list[float | None]) -> None:
    times = [0, 3 * SECOND, 4 * SECOND + 1, 4 * SECOND]
    poses, notes = poses_at(times, driving([0, 1, 4]), OpenOptions(max_pose_gap=gap))
    assert [None if pose is None else pytest.approx(pose.translation[0]) for pose in poses] == x
    assert notes[0].startswith(f"{x.count(None)} of 4 frames have no pose: the poses reach from 0 to {4 * SECOND} ns")
