"""Frames of the world, drawn by hypothesis: every combination of optional columns, images, radar, GPS."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lidarprep.attachments.sensor_fusion_scene import SceneWriter
from lidarprep.scene import (
    Camera,
    CameraImage,
    Distortion,
    Frame,
    GpsPose,
    Intrinsics,
    PointCloud,
    Pose,
    RadarPoints,
)

LARGEST_INT64 = 2**63 - 1

float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
pixels = st.floats(1.0, 4000.0, width=32)
coefficients = st.floats(-1.0, 1.0, width=32)
int32s = st.integers(-(2**31), 2**31 - 1)

# Coefficients that both Frame JSON and the protobuf schema hold for each model.
SHARED_COEFFICIENTS = {
    "brown_conrady": ("k1", "k2", "p1", "p2", "k3"),
    "fisheye": ("k1", "k2", "k3", "k4"),
    "omnidirectional": ("k1", "k2", "p1", "p2", "k3", "xi"),
}


def column(dtype: type, count: int, elements: st.SearchStrategy[Any]) -> st.SearchStrategy[NDArray[Any] | None]:
    """A column of that length, or none."""
    return st.none() | hnp.arrays(dtype, count, elements=elements)


@st.composite
def clouds(draw: st.DrawFn, largest_count: int = 12) -> PointCloud:
    """Points in the world with any of the columns that attachments hold."""
    count = draw(st.integers(0, largest_count))
    timestamps = st.integers(-(2**63), LARGEST_INT64) | st.integers(1_600_000_000 * 10**9, 1_800_000_000 * 10**9)
    devices = st.integers(0, 2**32 - 1) | st.sampled_from([0, 127, 128, 2**14 - 1, 2**14, 2**21, 2**28 - 1, 2**28])
    return PointCloud(
        draw(hnp.arrays(np.float32, (count, 3), elements=float32s)),
        frame="world",
        intensity=draw(column(np.float32, count, st.floats(0, 1, width=32))),
        device=draw(column(np.uint32, count, devices)),
        timestamp=draw(column(np.int64, count, timestamps)),
        is_ground=draw(column(np.bool_, count, st.booleans())),
    )


@st.composite
def poses(draw: st.DrawFn) -> Pose:
    angle = st.floats(-3.0, 3.0)
    place = st.floats(-1e5, 1e5)
    return Pose.from_euler(draw(angle), draw(angle), draw(angle), (draw(place), draw(place), draw(place)))


@st.composite
def images(draw: st.DrawFn, models: dict[str, tuple[str, ...]] = SHARED_COEFFICIENTS) -> CameraImage:
    model = draw(st.sampled_from(sorted(models)))
    names = draw(st.lists(st.sampled_from(models[model]), unique=True)) if models[model] else []
    intrinsics = Intrinsics(
        draw(pixels),
        draw(pixels),
        draw(pixels),
        draw(pixels),
        skew=draw(st.sampled_from([0.0, 0.5])),
        model=model,  # type: ignore[arg-type]
        distortion=Distortion(**{name: draw(coefficients) for name in names}),
    )
    index = draw(st.integers(0, 300))
    return CameraImage(
        Camera(str(index), index, intrinsics),
        world_from_camera=draw(poses()),
        timestamp=draw(st.none() | st.integers(0, 2**53)),
        url=draw(st.sampled_from(["s3://bucket/ä b/1.jpg", 'https://x/"points":[{.png', ""]) | st.text(max_size=5)),
        scale_factor=draw(st.sampled_from([1.0, 2.0, 0.5])),
        priority=draw(st.none() | int32s),
    )


@st.composite
def radars(draw: st.DrawFn) -> RadarPoints:
    count = draw(st.integers(0, 4))
    numbers = st.floats(-1e6, 1e6, width=32)
    return RadarPoints(
        draw(hnp.arrays(np.float64, (count, 3), elements=numbers)),
        draw(st.none() | hnp.arrays(np.float64, (count, 3), elements=numbers)),
        draw(column(np.float64, count, numbers)),
        frame="world",
    )


@st.composite
def frames(draw: st.DrawFn, models: dict[str, tuple[str, ...]] = SHARED_COEFFICIENTS) -> Frame:
    degrees = st.floats(-180, 180, width=32)
    frame = Frame(
        "7",
        0,
        lambda: PointCloud(np.empty((0, 3), np.float32)),
        world_from_ego=draw(poses()),
        timestamp=draw(st.none() | st.integers(0, 2**53)),
        images=tuple(draw(st.lists(images(models), max_size=2))),
        gps=draw(st.none() | st.builds(GpsPose, degrees, degrees, degrees)),
    )
    return frame.with_data(draw(clouds()), draw(st.none() | radars()))


def world_frame(
    positions: Any = ((1.0, 2.0, 3.0),), *, radar: RadarPoints | None = None, taken: int | None = None, **more: Any
) -> Frame:
    """A frame at the world's origin, taken at a time; `more` are columns of the points, or fields of the frame."""
    columns = {name: more.pop(name) for name in list(more) if name in PointCloud.__dataclass_fields__}
    cloud = PointCloud(np.asarray(positions, np.float32).reshape(-1, 3), **({"frame": "world"} | columns))
    frame = Frame("7", 0, lambda: cloud, timestamp=taken, **({"world_from_ego": Pose.identity()} | more))
    return frame.with_data(cloud, radar)


def camera_image(intrinsics: Intrinsics | None = None, **more: Any) -> CameraImage:
    """An image with all that an attachment asks for."""
    camera = Camera("front", 0, intrinsics or Intrinsics(900.0, 900.0, 640.0, 360.0))
    return CameraImage(camera, **({"url": "https://x/1.jpg", "world_from_camera": Pose.identity()} | more))


def bits(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    assert values.dtype == np.float32
    return np.ascontiguousarray(values).view(np.uint32)


def assert_same_points(found: PointCloud, expected: PointCloud) -> None:
    """Bit for bit; a frame without points has no columns."""
    assert found.frame == expected.frame == "world"
    assert np.array_equal(bits(found.positions), bits(np.asarray(expected.positions)))
    if not len(expected):
        assert found.columns == {}
        return
    assert list(found.columns) == list(expected.columns)
    for name, values in expected.columns.items():
        assert found.columns[name].dtype == values.dtype, name
        assert np.array_equal(found.columns[name], values), name


def assert_same_surroundings(found: Frame, expected: Frame, tolerance: float) -> None:
    """All but the points; numbers within a relative tolerance, for what a format rounds."""

    def same_pose(a: Pose | None, b: Pose | None) -> None:
        assert a is not None
        assert b is not None
        np.testing.assert_allclose(a.translation, b.translation, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(a.rotation, b.rotation, atol=10 * tolerance)

    same_pose(found.world_from_ego, expected.world_from_ego)
    assert found.timestamp == expected.timestamp
    assert found.gps == expected.gps
    assert len(found.images) == len(expected.images)
    for a, b in zip(found.images, expected.images, strict=True):
        same_pose(a.world_from_camera, b.world_from_camera)
        assert (a.url, a.timestamp, a.priority) == (b.url, b.timestamp, b.priority)
        assert (a.scale_factor, a.metadata) == (b.scale_factor, b.metadata)
        assert a.camera == b.camera
    radar, wanted = found.radar(), expected.radar()
    if wanted is None or (radar is None and not len(wanted)):
        assert radar is None
        return
    assert radar is not None
    assert radar.frame == "world"
    assert np.array_equal(radar.positions, wanted.positions)
    for name in ("directions", "sizes"):
        a, b = getattr(radar, name), getattr(wanted, name)
        if len(wanted):
            assert (a is None) == (b is None)
            assert a is None or np.array_equal(a, b)


def encode_scene(frames: Iterable[Frame], *, odometry: bool = False) -> bytes:
    """Encode frames as one Sensor Fusion Scene in memory."""
    file = BytesIO()
    writer = SceneWriter(file, odometry=odometry)
    for frame in frames:
        writer.add(frame)
    writer.finish()
    return file.getvalue()
