"""ToWorld: small frames whose outcome can be worked out by hand, and random ones against SciPy and NumPy."""

from __future__ import annotations

import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lidarprep.errors import SceneError
from lidarprep.scene import Camera, CameraImage, Frame, Intrinsics, PointCloud, Pose, RadarPoints, RegionOfInterest3D
from lidarprep.steps import StepReport
from lidarprep.steps.world import HeightBand, ToWorld

# 90° counterclockwise about z, then 10 m along x and 1 m up.
QUARTER = Pose.from_euler(0, 0, np.pi / 2, (10, 0, 1))


def frame_of(positions: Any, *, pose: Pose | None = QUARTER, radar: RadarPoints | None = None, **more: Any) -> Frame:
    """A frame; `more` are columns of its points, or its images."""
    images = more.pop("images", ())
    cloud = PointCloud(np.asarray(positions, dtype=more.pop("dtype", np.float64)).reshape(-1, 3), **more)
    frame = Frame("7", 0, lambda: cloud, world_from_ego=pose, images=images)
    return frame.with_data(cloud, radar)


def prepared(frame: Frame, step: ToWorld) -> tuple[Frame, StepReport]:
    report = StepReport()
    return step(frame, report), report


def test_points_go_to_the_world_by_the_frames_pose() -> None:
    frame, report = prepared(frame_of([[1, 0, 0], [0, 2, 0.5]]), ToWorld())
    assert frame.points().frame == "world"
    np.testing.assert_allclose(frame.points().positions, [[10, 1, 1], [8, 0, 1.5]], atol=1e-12)
    assert report.points_in == 2
    assert report.dropped == {"region": 0, "height": 0, "not_finite": 0, "no_return": 0}


def test_points_that_are_in_the_world_stay_where_they_are() -> None:
    frame, _ = prepared(frame_of([[1, 2, 3]], frame="world"), ToWorld())
    assert frame.points().positions.tolist() == [[1, 2, 3]]
    frame, _ = prepared(frame_of([[1, 2, 3]], frame="world", pose=None), ToWorld())
    assert frame.points().positions.tolist() == [[1, 2, 3]]
    assert frame.world_from_ego == Pose.identity()


def test_columns_stay_with_their_points() -> None:
    positions = [[1, 0, 0], [np.nan, 0, 0], [2, 0, 0], [0, 0, np.inf]]
    columns = {
        "intensity": np.array([10, 20, 30, 40], np.uint8),
        "device": np.array([1, 2, 3, 4], np.uint32),
        "timestamp": np.array([5, 6, 7, 8]),
        "is_ground": np.array([True, False, False, True]),
        "colour": np.arange(12, dtype=np.uint8).reshape(4, 3),
        "ring": np.array([9, 8, 7, 6], np.uint16),
    }
    frame, report = prepared(frame_of(positions, **columns), ToWorld())
    cloud = frame.points()
    assert report.dropped["not_finite"] == 2
    for name, column in columns.items():
        assert np.array_equal(cloud.columns[name], column[[0, 2]]), name
        assert cloud.columns[name].dtype == column.dtype


def test_a_point_is_counted_once_by_the_first_reason() -> None:
    step = ToWorld(RegionOfInterest3D((10, 0, 0), 4, 4), HeightBand(1.5, -1, 2))
    positions = [[np.nan, 99, 99], [99, 0, 99], [0, 0, 9], [0, 0, 1e-4], [0, 0, 0.1]]
    frame, report = prepared(frame_of(positions), step)
    assert report.dropped == {"not_finite": 1, "no_return": 1, "region": 1, "height": 1}
    assert report.points_in == 5
    assert len(frame.points()) == 1


class TestNoReturn:
    """A point at its lidar's own place is a ray that nothing came back of."""

    def no_returns(self, frame: Frame) -> tuple[list[int], int]:
        """The rows that are kept, and how many are dropped as no return."""
        moved, report = prepared(frame, ToWorld())
        cloud = frame.points()
        rows = np.setdiff1d(np.arange(len(cloud)), cloud.no_return_rows(frame.world_from_ego))
        kept = np.arange(len(cloud)) if report.kept is None else report.kept
        np.testing.assert_array_equal(rows, kept)  # what inspect and the checks go by says the same
        assert len(moved.points()) == len(kept) == report.points_in - report.dropped["no_return"]
        return kept.tolist(), report.dropped["no_return"]

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_goes_wherever_its_lidar_goes(self, dtype: type) -> None:
        seen = PointCloud(np.array([[0, 0, 0], [5, 0, 0], [0, 0, 0.0005], [0, 0, 0.01]], dtype), frame="sensor")
        for pose in (Pose.identity(), Pose.from_euler(0.3, -0.2, 1.0, (1.2, -0.3, 1.9))):
            cloud = seen.moved(pose, "ego")
            frame = Frame("7", 0, lambda cloud=cloud: cloud, world_from_ego=QUARTER)
            assert self.no_returns(frame) == ([1, 3], 2)

    def test_of_one_of_several_lidars_is_none_of_the_others(self) -> None:
        seen = PointCloud(np.array([[0.0, 0, 0], [3, 0, 0]]), frame="sensor")
        left = seen.moved(Pose.from_euler(0, 0, 0.5, (0.2, 0.6, 1.5)), "ego")
        right = seen.moved(Pose.from_euler(0, 0, -0.5, (0.2, -0.6, 1.5)), "ego")
        own = PointCloud(np.array([[0.2, 0.0, 1.5], [0.0, 0, 0]]))
        cloud = PointCloud.concatenate([left, right, own])
        frame = Frame("7", 0, lambda: cloud, world_from_ego=QUARTER)
        assert self.no_returns(frame) == ([1, 3, 4], 3)

    def test_in_the_world_is_at_the_device_or_was_never_filled(self) -> None:
        positions = [[0, 0, 0], [0, 0, 0.0005], [10, 0, 1], [10, 0, 1.0005], [1, 2, 3]]
        assert self.no_returns(frame_of(positions, frame="world")) == ([1, 4], 3)
        assert self.no_returns(frame_of(positions, frame="world", pose=None)) == ([1, 2, 3, 4], 1)


def test_points_on_the_region_edge_are_kept() -> None:
    step = ToWorld(RegionOfInterest3D((0, 0, 0), length=8, width=6))
    edge = [[4, 0, 0], [-4, 0, 0], [0, 3, 0], [0, -3, 0], [4, 3, 0]]
    frame, _ = prepared(frame_of(edge, pose=Pose.identity()), step)
    assert len(frame.points()) == 5
    turned = RegionOfInterest3D((5, 6, 0), length=8, width=6, rotation=0.7)
    corners = Rotation.from_euler("z", 0.7).apply(edge) + np.array([5, 6, 0])
    frame, _ = prepared(frame_of(corners, pose=Pose.identity()), ToWorld(turned))
    assert len(frame.points()) == 5


def test_the_region_is_that_of_the_recordings_own_world() -> None:
    step = ToWorld(RegionOfInterest3D((1e6, 0, 0), 4, 4), offset=(1e6, 0.0, 0.0))
    frame, report = prepared(frame_of([[1e6 + 1, 0, 0], [1, 0, 0]], frame="world", pose=None), step)
    assert frame.points().positions.tolist() == [[1, 0, 0]]
    assert report.dropped["region"] == 1


def test_both_ends_of_the_height_band_are_kept() -> None:
    step = ToWorld(height=HeightBand(device_height=1.5, lowest=-1.0, highest=8.0))
    z = [-2.5, 6.5, -2.5001, 6.5001]
    frame, report = prepared(frame_of([[0, 0, v] for v in z]), step)
    assert (frame.points().positions[:, 2] - 1).tolist() == [-2.5, 6.5]
    assert report.dropped["height"] == 2


def test_height_is_measured_in_the_devices_own_frame() -> None:
    """A device on a slope: what is level with it is not level in the world."""
    slope = Pose.from_euler(0, -0.3, 0.4, (100, 200, 300))
    step = ToWorld(height=HeightBand(device_height=1.8, lowest=-0.1, highest=0.1))
    ground = [[10, 0, -1.8], [-10, 5, -1.8], [0, 0, -1.8]]
    above = [[10, 0, -1.0], [0, 0, 1]]
    frame, report = prepared(frame_of([*ground, *above], pose=slope), step)
    assert len(frame.points()) == 3
    in_world = slope.apply([*ground, *above])
    frame, same = prepared(frame_of(in_world, pose=slope, frame="world"), step)
    assert len(frame.points()) == 3
    assert report.dropped == same.dropped == {"region": 0, "height": 2, "not_finite": 0, "no_return": 0}
    np.testing.assert_allclose(frame.points().positions, in_world[:3])


def test_the_offset_is_taken_from_everything() -> None:
    camera = Camera("front", 0, Intrinsics(1, 1, 0, 0))
    images = (CameraImage(camera, world_from_camera=Pose.from_euler(0.1, 0, 0, (3, 4, 5))), CameraImage(camera))
    radar = RadarPoints(np.array([[1.0, 0, 0]]), np.array([[1.0, 0, 0]]), np.array([2.0]))
    frame, _ = prepared(frame_of([[1, 0, 0]], images=images, radar=radar), ToWorld(offset=(10.0, -20.0, 0.5)))
    np.testing.assert_allclose(frame.points().positions, [[0, 21, 0.5]], atol=1e-12)
    assert frame.world_from_ego is not None
    np.testing.assert_allclose(frame.world_from_ego.translation, (0, 20, 0.5))
    np.testing.assert_allclose(frame.world_from_ego.rotation, QUARTER.rotation)
    moved = frame.images[0].world_from_camera
    assert moved is not None
    np.testing.assert_allclose(moved.translation, (-7, 24, 4.5))
    assert frame.images[1].world_from_camera is None
    found = frame.radar()
    assert found is not None
    assert found.frame == "world"
    np.testing.assert_allclose(found.positions, [[0, 21, 0.5]], atol=1e-12)
    assert found.directions is not None
    np.testing.assert_allclose(found.directions, [[0, 1, 0]], atol=1e-12)  # turned, not moved
    assert found.sizes is not None
    assert found.sizes.tolist() == [2.0]


def test_radar_in_the_world_is_not_turned_again() -> None:
    radar = RadarPoints(np.array([[1.0, 2, 3]]), np.array([[1.0, 0, 0]]), frame="world")
    frame, _ = prepared(frame_of([[0, 0, 0]], radar=radar), ToWorld())
    found = frame.radar()
    assert found is not None
    assert found.positions.tolist() == [[1, 2, 3]]
    assert found.directions is not None
    assert found.directions.tolist() == [[1, 0, 0]]


def test_radar_outside_the_region_is_carried_along() -> None:
    radar = RadarPoints(np.array([[1000.0, 0, 0]]))
    frame, _ = prepared(frame_of([[0, 0, 0]], radar=radar), ToWorld(RegionOfInterest3D((10, 0, 0), 1, 1)))
    found = frame.radar()
    assert found is not None
    assert len(found) == 1


def test_the_projection_does_not_change_with_the_world() -> None:
    """A point's pixel is the same before and after, whatever the offset: cameras move with the points."""
    ego_from_camera = Pose(np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0.0]]), np.array([1, 0, 1.5]))
    camera = Camera("front", 0, Intrinsics(900, 900, 640, 360), ego_from_camera)
    image = CameraImage(camera, world_from_camera=QUARTER @ ego_from_camera)
    positions = [[20, 1, 0], [30, -4, 2]]
    before, _ = camera.intrinsics.project(ego_from_camera.inverse().apply(positions))
    frame, _ = prepared(frame_of(positions, images=(image,)), ToWorld(offset=(5e5, -1e5, 100.0)))
    after, seen = frame.images[0].project(frame.points().positions)
    assert seen.all()
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_a_frame_without_a_pose_is_refused_where_one_is_needed() -> None:
    with pytest.raises(SceneError, match="frame 7 has no pose, and its points are in the ego frame"):
        prepared(frame_of([[0, 0, 0]], pose=None), ToWorld())
    with pytest.raises(SceneError, match="frame 7 has no pose, so the height"):
        prepared(frame_of([[0, 0, 0]], pose=None, frame="world"), ToWorld(height=HeightBand(1, 0, 1)))


def test_a_frame_may_lose_all_its_points() -> None:
    frame, report = prepared(frame_of([[1, 0, 0]], intensity=np.ones(1)), ToWorld(RegionOfInterest3D((99, 0, 0), 1, 1)))
    assert len(frame.points()) == 0
    assert report.dropped["region"] == 1
    frame, report = prepared(frame_of([]), ToWorld())
    assert (len(frame.points()), report.points_in) == (0, 0)


def test_positions_keep_their_type() -> None:
    for dtype in (np.float32, np.float64):
        frame, _ = prepared(frame_of([[1, 2, 3]], dtype=dtype), ToWorld())
        assert frame.points().positions.dtype == dtype


def test_columns_that_are_views_of_wider_rows_are_read() -> None:
    rows = np.arange(40, dtype=np.float32).reshape(10, 4)
    frame = frame_of(rows[:, :3], pose=Pose.identity(), dtype=np.float32)
    cloud = PointCloud(rows[::2, :3], intensity=rows[::2, 3])
    found, _ = prepared(frame.with_data(cloud), ToWorld())
    assert np.array_equal(found.points().positions, rows[::2, :3])


numbers = st.floats(-200, 200)


@given(st.integers(0, 2**32 - 1), st.tuples(numbers, numbers, numbers), st.floats(-3, 3), st.floats(1, 100))
def test_random_frames_are_as_numpy_has_them(
    seed: int, place: tuple[float, float, float], angle: float, length: float
) -> None:
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(rng=rng)
    positions = rng.uniform(-100, 100, (200, 3))
    positions[rng.uniform(size=200) < 0.05] = np.nan
    region = RegionOfInterest3D(place, length, 60.0, angle)
    band = HeightBand(1.8, -30, 40)
    pose = Pose(rotation.as_matrix(), np.array(place))
    frame, report = prepared(frame_of(positions, pose=pose), ToWorld(region, band, offset=(1.0, 2.0, 3.0)))

    finite = np.isfinite(positions).all(axis=1)
    world = rotation.apply(positions) + place
    own = Rotation.from_euler("z", -angle).apply(world - place)
    in_region = (np.abs(own[:, 0]) <= length / 2) & (np.abs(own[:, 1]) <= 30)
    in_band = (positions[:, 2] + 1.8 >= -30) & (positions[:, 2] + 1.8 <= 40)
    keep = finite & in_region & in_band
    np.testing.assert_allclose(frame.points().positions, world[keep] - (1, 2, 3), atol=1e-9)
    assert report.dropped == {
        "not_finite": int((~finite).sum()),
        "region": int((finite & ~in_region).sum()),
        "height": int((finite & in_region & ~in_band).sum()),
        "no_return": 0,
    }


class TestChunks:
    """of a file larger than memory are cropped while it is read."""

    COUNT, CHUNK = 40_000, 3_000

    def whole(self) -> PointCloud:
        rng = np.random.default_rng(0)
        positions = rng.uniform(-100, 100, (self.COUNT, 3))
        positions[::97] = np.nan
        return PointCloud(
            positions, intensity=rng.integers(0, 256, self.COUNT, dtype=np.uint8), timestamp=np.arange(self.COUNT)
        )

    def chunked(self, cloud: PointCloud) -> Frame:
        def chunks() -> Iterator[PointCloud]:
            for begin in range(0, len(cloud), self.CHUNK):
                yield cloud.take(np.arange(begin, min(begin + self.CHUNK, len(cloud))))

        def read_points() -> PointCloud:
            raise AssertionError("all points at once")

        return Frame("7", 0, read_points, world_from_ego=QUARTER, read_chunks=chunks)

    def test_give_what_all_points_at_once_give(self) -> None:
        step = ToWorld(RegionOfInterest3D((20, 5, 0), 60, 40, 0.3), HeightBand(1.8, -20, 30), (1.0, 2.0, 3.0))
        cloud = self.whole()
        expected, expected_report = prepared(Frame("7", 0, lambda: cloud, world_from_ego=QUARTER), step)
        found, report = prepared(self.chunked(cloud), step)
        assert (report.dropped, report.notes) == (expected_report.dropped, expected_report.notes)
        assert report.points_in == expected_report.points_in == self.COUNT
        np.testing.assert_array_equal(report.kept, expected_report.kept)
        assert found.read_chunks is None
        assert 100 < len(found.points()) < self.COUNT / 4
        np.testing.assert_array_equal(found.points().positions, expected.points().positions)
        for name, column in expected.points().columns.items():
            np.testing.assert_array_equal(found.points().columns[name], column)

    def test_one_after_the_other_is_held_and_what_is_kept_of_them(self) -> None:
        """2 million points of 24 bytes, of which a thousandth is kept."""
        alive: list[weakref.ref[PointCloud]] = []
        most = 0

        def chunks() -> Iterator[PointCloud]:
            nonlocal most
            for _ in range(40):
                most = max(most, sum(ref() is not None for ref in alive))
                positions = np.full((50_000, 3), 1e3)
                positions[::1000] = 0.5
                chunk = PointCloud(positions)
                alive.append(weakref.ref(chunk))
                yield chunk
                del chunk, positions

        frame = Frame("7", 0, lambda: PointCloud(np.zeros((0, 3))), world_from_ego=QUARTER, read_chunks=chunks)
        step = ToWorld(RegionOfInterest3D((10, 0, 0), 4, 4))
        prepared(frame_of([[0, 0, 0]]), step)  # compiles
        tracemalloc.start()
        try:
            found, report = prepared(frame, step)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert len(found.points()) == 2000
        assert report.points_in == 2_000_000
        assert most == 0  # none while the next one is read
        assert peak < 4 * 50_000 * 24

    def test_that_are_in_the_world_need_no_pose(self) -> None:
        frame = self.chunked(self.whole()).with_points_in("world")
        found, _ = prepared(Frame(**vars(frame) | {"world_from_ego": None}), ToWorld())
        assert found.world_from_ego == Pose.identity()
        assert len(found.points()) == self.COUNT - len(range(0, self.COUNT, 97))
