"""Frames and scenes that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from lidarprep.attachments.sensor_fusion_scene import SceneWriter, decode
from lidarprep.scene import Camera, CameraImage, Distortion, Frame, Intrinsics, PointCloud, Pose, RadarPoints, Scene

T0 = 1_700_000_000 * 10**9  # nanoseconds; a whole number of microseconds
STEP = 10**8  # 100 ms


def png(width: int = 8, height: int = 6) -> bytes:
    file = BytesIO()
    Image.new("L", (width, height), 100).save(file, "PNG")
    return file.getvalue()


PNG = png()
INTRINSICS = Intrinsics(900.0, 901.0, 4.0, 3.0)


def cloud(count: int = 4, seed: int = 0, **columns: Any) -> PointCloud:
    """Points in the world; a column is given, or True for one at random."""
    rng = np.random.default_rng(seed)
    made = {
        "intensity": lambda: (rng.integers(0, 256, count) / 255).astype(np.float32),
        "device": lambda: rng.integers(0, 3, count).astype(np.uint32),
        "colour": lambda: rng.integers(0, 256, (count, 3)).astype(np.uint8),
    }
    values = {name: made[name]() if value is True else value for name, value in columns.items()}
    return PointCloud(rng.normal(size=(count, 3)).astype(np.float32), **({"frame": "world"} | values))


def frame(points: PointCloud | None = None, *, index: int = 0, radar: RadarPoints | None = None, **more: Any) -> Frame:
    """A frame of the world; unless said otherwise 100 ms after the one before."""
    fields = {"timestamp": T0 + index * STEP, "world_from_ego": Pose.from_euler(0.1, 0.0, 0.2 * index, (index, 2, 3))}
    empty = Frame(str(index), index, lambda: cloud(0), **(fields | more))
    return empty.with_data(cloud(seed=index) if points is None else points, radar)


def camera_image(name: str = "front", index: int = 0, intrinsics: Intrinsics = INTRINSICS, **more: Any) -> CameraImage:
    """An image with all that a scene asks for."""
    given = {"world_from_camera": Pose.from_euler(0.3, -0.2, 0.1, (4, 5, 6)), "content": lambda: PNG} | more
    return CameraImage(Camera(name, index, intrinsics), **given)


def radar(count: int = 3, **columns: Any) -> RadarPoints:
    rng = np.random.default_rng(count)
    return RadarPoints(rng.normal(size=(count, 3)).astype(np.float32).astype(np.float64), frame="world", **columns)


def sensor(document: dict[str, Any], sensor_id: str | int) -> dict[str, Any]:
    (found,) = [sensor for sensor in document["sensors"] if sensor["id"] == sensor_id]
    return found


def written_to(file: BinaryIO, frames: Iterable[Frame], expected_frames: int = 0) -> SceneWriter:
    """The writer of these frames, once the file is complete."""
    writer = SceneWriter(file, frames=expected_frames)
    for one in frames:
        writer.add(one)
    writer.finish()
    return writer


def decoded(data: bytes) -> Scene:
    return decode(data, "test.sfs")


# ---- hypothesis ----------------------------------------------------------------------------------------------------

float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def clouds(draw: st.DrawFn, starts_at: int, largest_count: int = 8) -> PointCloud:
    """Points with any of the columns that a scene holds, taken within 50 ms of `starts_at`, in whole microseconds."""
    count = draw(st.integers(0, largest_count))

    def column(dtype: type, elements: st.SearchStrategy[Any], shape: Any = count) -> Any:
        return draw(st.none() | hnp.arrays(dtype, shape, elements=elements))

    levels = column(np.uint8, st.integers(0, 255))
    times = column(np.int64, st.integers(0, 50_000))
    return PointCloud(
        draw(hnp.arrays(np.float32, (count, 3), elements=float32s)),
        frame="world",
        intensity=None if levels is None else levels.astype(np.float32) / np.float32(255),
        device=column(np.uint32, st.sampled_from([0, 1, 7, 2**32 - 1])),
        timestamp=None if times is None else starts_at + times * 1000,
        colour=column(np.uint8, st.integers(0, 255), (count, 3)),
    )


@st.composite
def poses(draw: st.DrawFn) -> Pose:
    angle, place = st.floats(-3.0, 3.0), st.floats(-1e5, 1e5)
    return Pose.from_euler(draw(angle), draw(angle), draw(angle), (draw(place), draw(place), draw(place)))


@st.composite
def intrinsics(draw: st.DrawFn) -> Intrinsics:
    models = {
        "brown_conrady": ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6", "lx", "ly"),
        "fisheye": ("k1", "k2", "k3", "k4"),
        "omnidirectional": ("k1", "k2", "k3", "k4", "p1", "p2", "xi", "lx", "ly"),
        "cylindrical": (),
        "equirectangular": (),
    }
    model = draw(st.sampled_from(sorted(models)))
    distortion = Distortion(**{name: draw(st.floats(-1, 1)) for name in models[model]})
    pixels = st.floats(1.0, 4000.0)
    fx, fy, cx, cy = (draw(pixels) for _ in range(4))
    return Intrinsics(fx, fy, cx, cy, model=model, distortion=distortion, width=8, height=6)  # type: ignore[arg-type]


@st.composite
def radars(draw: st.DrawFn) -> RadarPoints:
    count = draw(st.integers(0, 4))

    def column(shape: Any) -> Any:
        return draw(hnp.arrays(np.float32, shape, elements=float32s)).astype(np.float64)

    return RadarPoints(
        column((count, 3)),
        column((count, 3)) if draw(st.booleans()) else None,
        column(count) if draw(st.booleans()) else None,
        frame="world",
    )


@st.composite
def scenes(draw: st.DrawFn) -> list[Frame]:
    """A few frames in time order, with images of cameras that keep their calibration."""
    cameras = draw(st.lists(st.tuples(st.text(max_size=4), intrinsics()), max_size=2, unique_by=lambda one: one[0]))
    frames = []
    for index in range(draw(st.integers(1, 3))):
        time = T0 + index * STEP
        images = tuple(
            camera_image(name, number, calibration, world_from_camera=draw(poses()), timestamp=time + 1000 * number)
            for number, (name, calibration) in enumerate(cameras)
            if draw(st.booleans())
        )
        points = draw(clouds(time))
        made = frame(points, index=index, timestamp=time, world_from_ego=draw(poses()), images=images)
        frames.append(made.with_data(points, draw(st.none() | radars())))
    return frames
