"""The rows of the benchmark's table: what lidarprep does, what it is compared with, and the goal.

What is timed is what a user calls, frame in and bytes out or bytes in and frame out, where the alternative too gives
back a new string, bytes or table. Against a C++ loop, which writes into a buffer that is ready, it is the kernel alone,
writing into a buffer that is ready.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import alternatives
import numpy as np
import orjson
import pandas as pd
import scale_json_binary
from measuring import peak_memory
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import lidarprep as lp
from lidarprep.attachments import frame_json, get_format
from lidarprep.attachments import lidar_frame_pb2 as pb
from lidarprep.attachments.sensor_fusion_scene import SceneWriter
from lidarprep.attachments.sensor_fusion_scene import decode as decode_scene
from lidarprep.kernels import frame_json_writer, wire
from lidarprep.scene import Frame, PointCloud, Pose, RegionOfInterest3D, Trajectory
from lidarprep.steps import StepReport
from lidarprep.steps.deskew import Deskew
from lidarprep.steps.voxel import VoxelDownsample
from lidarprep.steps.world import HeightBand, ToWorld

SCENE_FRAMES = 200
VOXEL_M = 0.05
DEVICE_HEIGHT_M, BAND_M = 1.8, (-0.5, 6.0)
REGION = (2.0, -1.0, 80.0, 60.0, 0.3)  # centre, length, width, rotation
SENSOR_POSE = Pose.from_euler(0.01, -0.02, 0.3, (2.0, 1.0, 0.1))
MOST_FRAMES_OF_MEMORY = 1.5


@dataclass(frozen=True)
class Row:
    """One row.

    Args:
        what: What lidarprep does.
        ours: It, as a call.
        against: The alternative's name.
        theirs: The alternative, as a call that takes and gives the same; None where it can't be had here.
        goal: The figure to reach.
        figure: How it is given: "times": times as fast as the alternative, at least the goal. "share": the share of
            the alternative's time, at most the goal.
        points, size: Points and bytes (of the attachment, or of the columns that are read) that one call goes through.
        check: Raises AssertionError where the two do not give the same.
        memory: Where memory has a goal, too: a call that gives peak memory beside the header, in frames.
    """

    what: str
    ours: Callable[[], Any]
    against: str
    theirs: Callable[[], Any] | None
    goal: float
    figure: Literal["times", "share"]
    points: int
    size: int
    check: Callable[[], None]
    memory: Callable[[], float] | None = None


class Rows:
    """All rows for one frame.

    Args:
        frame: Points with float32 positions and intensity, in the world.
        library: The C++ program, or None.
        folder: Where scenes may be written.
    """

    def __init__(self, frame: Frame, library: ctypes.CDLL | None, folder: Path) -> None:
        points = frame.points()
        assert points.intensity is not None
        self.frame, self.library, self.folder = frame, library, folder
        self.points, self.xyz, self.intensity = points, points.positions, points.intensity
        self.columns = np.column_stack((self.xyz, self.intensity))
        self.table = pd.DataFrame(dict(zip("xyzi", self.columns.T.copy(), strict=True)))

    # ---- Frame JSON ------------------------------------------------------------------------------------------------

    def json_one_thread(self) -> Row:
        expected = orjson.loads(self.by_pandas())

        def check() -> None:
            found = alternatives.json_columns(
                orjson.loads(frame_json.encode(self.frame, precision=4, threads=1))["points"]
            )
            # pandas does not round correctly
            assert np.allclose(found, alternatives.json_columns(expected), rtol=1e-7, atol=1.01e-4)

        return self.json_encoding("Frame JSON, 4 decimals, one thread", 20, check, threads=1)

    def json_all_cores(self) -> Row:
        def check() -> None:
            one = frame_json.encode(self.frame, precision=4, threads=1)
            assert all(frame_json.encode(self.frame, precision=4, threads=threads) == one for threads in (None, 2, 3))

        return self.json_encoding("the same, all cores", 30, check, threads=None)

    def json_encoding(self, what: str, goal: float, check: Callable[[], None], *, threads: int | None) -> Row:
        def ours() -> bytes:
            return frame_json.encode(self.frame, precision=4, threads=threads)

        against = "pandas to_json(orient='records', double_precision=4)"
        return Row(what, ours, against, self.by_pandas, goal, "times", len(self.points), len(ours()), check)

    def by_pandas(self) -> str:
        return self.table.to_json(orient="records", double_precision=4)

    def json_kernel_fixed(self) -> Row:
        return self.json_kernel("the same, one thread, kernel", 4, "json_fixed4", "std::to_chars(fixed, 4)", 0.22)

    def json_kernel_exact(self) -> Row:
        return self.json_kernel("Frame JSON exact, one thread, kernel", -1, "json_shortest", "std::to_chars", 0.8)

    def json_kernel(self, what: str, decimals: int, function: str, against: str, goal: float) -> Row:
        room = frame_json_writer.points_capacity(len(self.points), decimals=decimals, optional_columns=1)
        out = np.zeros(room, dtype=np.uint8)

        def ours() -> Any:
            return frame_json_writer.write_points(self.xyz, self.intensity, None, None, None, decimals, out)

        theirs, written = self.cpp(function, room)

        def check() -> None:
            if theirs is not None:
                size, other_size = ours(), theirs()
                found, expected = out[:size].tobytes(), written[:other_size].tobytes()
                if decimals >= 0:
                    assert found == expected
                else:  # the same numbers, but 1e+05 and 100000 are both shortest
                    read = [orjson.loads(b"[" + text[1:] + b"]") for text in (found, expected)]
                    assert np.array_equal(*map(alternatives.json_columns, read))

        return Row(what, ours, f"a C++ loop of {against}", theirs, goal, "share", len(self.points), int(ours()), check)

    def json_decoding(self) -> Row:
        text = frame_json.encode(self.frame)

        def ours() -> Frame:
            return frame_json.decode(text)

        def theirs() -> Any:
            return alternatives.json_columns(orjson.loads(text)["points"])

        return Row(
            "Frame JSON decode to columns",
            ours,
            "orjson.loads and a NumPy array",
            theirs,
            12,
            "times",
            len(self.points),
            len(text),
            lambda: self.check_columns(ours(), theirs()),
        )

    # ---- LidarFrame ------------------------------------------------------------------------------------------------

    def lidar_frame_encoding(self) -> Row:
        protobuf = get_format("protobuf")

        def ours() -> bytes:
            return protobuf.encode(self.frame)

        def theirs() -> bytes:
            return alternatives.build_message(self.xyz, self.intensity).SerializeToString()

        def check() -> None:
            assert ours() == theirs()

        against = "protobuf's Python classes (upb): build and serialise"
        return Row("LidarFrame encode", ours, against, theirs, 400, "times", len(self.points), len(ours()), check)

    def lidar_frame_kernel(self) -> Row:
        out = np.zeros(wire.points_capacity(len(self.points)), dtype=np.uint8)

        def ours() -> Any:
            return wire.write_points(self.xyz, self.intensity, None, None, None, out)

        theirs, written = self.cpp("lidar_frame_points", len(out))

        def check() -> None:
            if theirs is not None:
                assert out[: ours()].tobytes() == written[: theirs()].tobytes()

        what, against = "LidarFrame encode, one thread, kernel", "a C++ loop that writes the same bytes"
        return Row(what, ours, against, theirs, 3, "share", len(self.points), int(ours()), check)

    def lidar_frame_decoding(self) -> Row:
        protobuf = get_format("protobuf")
        encoded = protobuf.encode(self.frame)

        def ours() -> Frame:
            return protobuf.decode(encoded)

        def theirs() -> Any:
            return alternatives.message_columns(pb.LidarFrame.FromString(encoded))

        return Row(
            "LidarFrame decode to columns",
            ours,
            "FromString and a NumPy array from its points",
            theirs,
            60,
            "times",
            len(self.points),
            len(encoded),
            lambda: self.check_columns(ours(), theirs()),
        )

    def check_columns(self, found: Frame, expected: NDArray[np.float32]) -> None:
        points = found.points()
        assert points.intensity is not None
        assert np.array_equal(np.column_stack((points.positions, points.intensity)), expected)
        assert np.array_equal(expected, self.columns)

    # ---- steps -----------------------------------------------------------------------------------------------------

    def selection(self) -> Row:
        seen = replace(self.points, frame="ego")
        frame = replace(self.frame, read_points=lambda: seen, world_from_ego=SENSOR_POSE)
        x, y, length, width, rotation = REGION
        step = ToWorld(RegionOfInterest3D((x, y, 0.0), length, width, rotation), HeightBand(DEVICE_HEIGHT_M, *BAND_M))

        def ours() -> PointCloud:
            return step(frame, StepReport()).points()

        def theirs() -> Any:
            return alternatives.transform_and_select(
                self.xyz, self.intensity, SENSOR_POSE, region=REGION, device_height=DEVICE_HEIGHT_M, band=BAND_M
            )

        def check() -> None:
            found, (positions, intensity) = ours(), theirs()
            assert found.intensity is not None
            assert np.allclose(found.positions, positions, atol=1e-5)
            assert np.array_equal(found.intensity, intensity)

        return Row(
            "transform + crop + height",
            ours,
            "the same in NumPy",
            theirs,
            12,
            "times",
            len(self.points),
            self.columns.nbytes,
            check,
        )

    def voxels(self) -> Row:
        step = VoxelDownsample(VOXEL_M)

        def ours() -> PointCloud:
            return step(self.frame, StepReport()).points()

        def theirs() -> pd.DataFrame:
            return alternatives.first_of_each_voxel(self.xyz, self.intensity, VOXEL_M)

        def check() -> None:
            found, table = ours(), theirs()
            assert found.intensity is not None
            # A quotient and a product with 1 / size round to different sides of a face, once in millions of points.
            assert abs(len(found) - len(table)) <= 1e-4 * len(table) + 1
            if len(found) == len(table):
                assert np.array_equal(np.column_stack((found.positions, found.intensity)), table.to_numpy())

        return Row(
            "voxel downsampling, 5 cm",
            ours,
            "pandas groupby on the voxel index, first point",
            theirs,
            15,
            "times",
            len(self.points),
            self.columns.nbytes,
            check,
        )

    def deskewing(self) -> Row:
        """A sweep of 0.1 s, each point measured at a time of its own, and the device's pose every 10 ms."""
        reference = 1_700_000_001_000_000_000
        seconds = np.arange(200) / 100
        turns = Rotation.from_euler("xyz", np.column_stack((0.01 * np.sin(seconds), 0.02 * seconds, 0.3 * seconds)))
        path = Trajectory(
            reference - 10**9 + np.arange(200) * 10**7,
            turns.as_quat(scalar_first=True),
            np.column_stack((8 * seconds, 0.2 * seconds, 0 * seconds)),
        )
        times = reference + np.linspace(-5e7, 5e7, len(self.points)).astype(np.int64)
        seen = replace(self.points, frame="ego", timestamp=times)
        frame = replace(self.frame, read_points=lambda: seen, timestamp=reference)
        step = Deskew(path)

        def ours() -> PointCloud:
            return step(frame, StepReport()).points()

        def theirs() -> Any:
            return alternatives.deskew(self.xyz, times, path, reference)

        def check() -> None:
            assert np.allclose(ours().positions, theirs(), atol=3e-5)

        return Row(
            "motion compensation, a time a point",
            ours,
            "SciPy's Slerp and NumPy",
            theirs,
            20,
            "times",
            len(self.points),
            self.xyz.nbytes,
            check,
        )

    # ---- Sensor Fusion Scenes --------------------------------------------------------------------------------------

    def scene(self) -> Row:
        """200 frames to a file; both sides have their columns ready, theirs in the file's own types."""
        levels = (self.intensity * np.float32(255) + np.float32(0.5)).astype(np.uint8)
        times_us = [100_000 * n for n in range(SCENE_FRAMES)]
        document = alternatives.scene_document([self.xyz] * SCENE_FRAMES, [levels] * SCENE_FRAMES, times_us)
        mine, others = self.folder / "ours.sfs", self.folder / "theirs.sfs"

        def frames(read_points: Callable[[], PointCloud]) -> Iterator[Frame]:
            for time in times_us:
                yield replace(self.frame, id=str(time), read_points=read_points, timestamp=1000 * time)

        ready = list(frames(lambda: self.points))

        def write(made: Iterable[Frame]) -> int:
            with mine.open("w+b") as out:
                writer = SceneWriter(out, frames=SCENE_FRAMES)
                for frame in made:
                    writer.add(frame)
                return writer.finish()

        def ours() -> int:
            return write(ready)

        def theirs() -> None:
            scale_json_binary.write_file(str(others), document)

        def check() -> None:
            ours()
            theirs()
            scene = decode_scene(mine.read_bytes())
            official = scale_json_binary.loads(others.read_bytes())["sensors"][0]["frames"]
            for found, expected in zip(scene.frames, official, strict=True):
                assert np.array_equal(found.points().positions, expected["points"]["positions"])

        def memory() -> float:
            header = len(mine.read_bytes().partition(b"\0")[0].replace(b" ", b""))  # without the room left in it
            written = partial(write, frames(lambda: _copy(self.points)))
            return (peak_memory(written) - header) / self.columns.nbytes

        return Row(
            f".sfs, {SCENE_FRAMES} frames",
            ours,
            "scale-json-binary's writer",
            theirs,
            8,
            "times",
            SCENE_FRAMES * len(self.points),
            SCENE_FRAMES * (self.xyz.nbytes + levels.nbytes),
            check,
            memory,
        )

    # ---- C++ -------------------------------------------------------------------------------------------------------

    def cpp(self, function: str, room: int) -> tuple[Callable[[], int] | None, NDArray[np.uint8]]:
        """A call of the C++ program's function, and the buffer that it writes to."""
        out = np.zeros(room, dtype=np.uint8)
        if self.library is None:
            return None, out
        call = getattr(self.library, function)
        addresses = [ctypes.c_void_p(a.ctypes.data) for a in (self.xyz, self.intensity)]
        count, target = ctypes.c_int64(len(self.points)), ctypes.c_void_p(out.ctypes.data)
        return lambda: int(call(*addresses, count, target)), out


def _copy(points: PointCloud) -> PointCloud:
    """The points as a reader gives them: made when they are asked for."""
    assert points.intensity is not None
    return lp.PointCloud(points.positions.copy(), frame="world", intensity=points.intensity.copy())


# In the order of the table; each makes its row only when it is asked for.
ROWS: dict[str, Callable[[Rows], Row]] = {
    "Frame JSON, 4 decimals, one thread": Rows.json_one_thread,
    "Frame JSON, 4 decimals, all cores": Rows.json_all_cores,
    "Frame JSON, 4 decimals, kernel": Rows.json_kernel_fixed,
    "Frame JSON, exact, kernel": Rows.json_kernel_exact,
    "LidarFrame encode": Rows.lidar_frame_encoding,
    "LidarFrame encode, kernel": Rows.lidar_frame_kernel,
    "LidarFrame decode": Rows.lidar_frame_decoding,
    "Frame JSON decode": Rows.json_decoding,
    "transform + crop + height": Rows.selection,
    ".sfs": Rows.scene,
    "voxel": Rows.voxels,
    "deskew": Rows.deskewing,
}
