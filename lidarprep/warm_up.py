"""Compile every kernel that a command could use, by running it on a point or two."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lidarprep.attachments import get_format
from lidarprep.labels.scale import point_labels
from lidarprep.pointfiles import read_points
from lidarprep.sample import write_sample
from lidarprep.scene import Camera, CameraImage, Frame, Intrinsics, PointCloud, Pose, Trajectory
from lidarprep.steps import StepReport


def warm_up(on_step: Callable[[int, int], None] | None = None) -> int:
    """Compile every kernel that is not compiled yet, and cache it for later runs.

    Args:
        on_step: Called with (steps done, steps in all).

    Returns:
        The number of steps.
    """
    with TemporaryDirectory() as folder:
        steps = list(_steps(Path(folder)))
        for done, step in enumerate(steps, 1):
            step()
            if on_step is not None:
                on_step(done, len(steps))
    return len(steps)


def _steps(folder: Path) -> Iterator[Callable[[], Any]]:
    from lidarprep.kernels.occupancy import shared_voxels
    from lidarprep.steps.deskew import Deskew
    from lidarprep.steps.voxel import VoxelDownsample
    from lidarprep.steps.world import ToWorld

    path = Trajectory.from_poses((0, 1), (Pose.identity(), Pose.identity()))
    for dtype in (np.float32, np.float64):
        frame = _frame(positions=np.zeros((1, 3), dtype=dtype))
        timed = _frame(timestamp=True, positions=np.zeros((1, 3), dtype=dtype)).with_points_in("ego")
        yield partial(Deskew(path), replace(timed, timestamp=0), StepReport())
        yield partial(ToWorld(), frame, StepReport())
        two_in_a_voxel = _frame(positions=np.zeros((2, 3), dtype=dtype))
        yield partial(VoxelDownsample(1.0), two_in_a_voxel, StepReport())
        yield partial(VoxelDownsample(1.0, "nearest"), two_in_a_voxel, StepReport())
        yield partial(_align, np.dtype(dtype))
    yield partial(shared_voxels, np.zeros((1, 3)), np.zeros((1, 3)), np.eye(3, 4)[None], 1.0, np.zeros(1))
    for name in ("json", "protobuf"):
        attachment_format = get_format(name)
        yield partial(attachment_format.decode, attachment_format.encode(_frame()))
        for present in product((False, True), repeat=4):
            yield partial(attachment_format.encode, _frame(*present))
    yield partial(point_labels, b'{"objects": [], "point_objects": [[0]]}', "warm-up")
    (folder / "points.csv").write_text("x,y,z\n1,2,3\n")
    yield partial(read_points, folder / "points.csv")
    yield partial(read_points, _las_file(folder / "points.las"))
    yield partial(write_sample, folder / "sample", frames=1, columns=8, image_width=16)
    for dtype in (np.float32, np.float64):
        yield partial(_draw, np.dtype(dtype))


def _align(dtype: np.dtype[Any]) -> None:
    """Search for the rotation of a camera that sees noise."""
    from PIL import Image

    from lidarprep.checks._edges import Window, edge_features, edge_maps
    from lidarprep.checks._rotation import View, search

    noise = np.random.default_rng(0)
    png = BytesIO()
    Image.fromarray(noise.integers(0, 256, (64, 64)).astype(np.uint8)).save(png, "PNG")
    intrinsics = Intrinsics(200.0, 200.0, 32.0, 32.0, width=64, height=64)
    image = CameraImage(Camera("warm-up", 0, intrinsics), content=png.getvalue)
    cloud = PointCloud(noise.uniform((-4, -4, 20), (4, 4, 40), (400, 3)).astype(dtype), intensity=noise.random(400))
    window = Window.of(intrinsics, intrinsics.fx)
    maps = None if window is None else edge_maps(image, window)
    if window is not None and maps is not None:
        search([View(maps, edge_features(cloud, Pose.identity(), window))])


def _draw(dtype: np.dtype[Any]) -> None:
    """Draw a point and a line."""
    from lidarprep.report.canvas import Plot

    plot = Plot.blank(8, 8)
    plot.points(np.ones((1, 3), dtype), np.eye(3, 4), np.zeros((1, 3), np.uint8), 1)
    plot.line(((1, 1), (4, 5)), (0, 0, 0))


def _frame(
    intensity: bool = False,
    device: bool = False,
    timestamp: bool = False,
    is_ground: bool = False,
    positions: Any = None,
) -> Frame:
    """Make a frame of one point with the chosen optional columns."""
    points = PointCloud(
        np.zeros((1, 3), dtype=np.float32) if positions is None else positions,
        frame="world",
        intensity=np.zeros(1, dtype=np.float32) if intensity else None,
        device=np.zeros(1, dtype=np.uint32) if device else None,
        timestamp=np.zeros(1, dtype=np.int64) if timestamp else None,
        is_ground=np.zeros(1, dtype=np.bool_) if is_ground else None,
    )
    return Frame("warm-up", 0, lambda: points, world_from_ego=Pose.identity())


def _las_file(path: Path) -> Path:
    """Write a LAS file of one point of format 3, which has GPS time and colour; laspy may not be installed.

    Its time is not 0, which would be taken as not recorded.
    """
    head = bytearray(227)
    struct.pack_into("<4s20xBB", head, 0, b"LASF", 1, 2)
    struct.pack_into("<HII", head, 94, len(head), len(head), 0)
    struct.pack_into("<BHI", head, 104, 3, 34, 1)
    struct.pack_into("<6d", head, 131, 1, 1, 1, 0, 0, 0)
    path.write_bytes(bytes(head) + bytes(20) + struct.pack("<d", 1) + bytes(6))
    return path
