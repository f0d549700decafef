"""Rows of bare numbers at every width and type, of a generated sweep: in order, shuffled and sampled."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.pointfiles import bin_files, read_points
from lidarprep.sample import write_sample
from tests.conftest import real_recording
from tests.pointfiles.written_by_others import npy_bytes, npz_bytes

Save = Callable[[str, bytes], Path]
Rows = NDArray[np.float64]

# What other tools write behind x, y, z and intensity, or in its place: each widens rows of four.
WIDENED: dict[str, Callable[[Rows, np.random.Generator], Rows]] = {
    "x y z": lambda rows, _: rows[:, :3],
    "ring": lambda rows, _: np.column_stack([rows, np.arange(len(rows)) % 64]),
    "time": lambda rows, _: np.column_stack([rows, np.linspace(0, 0.1, len(rows))]),
    "Waymo": lambda rows, random: np.column_stack([rows, random.uniform(0, 0.3, len(rows)), np.full(len(rows), -1)]),
    "colours": lambda rows, random: np.column_stack([rows[:, :3], random.integers(0, 256, (len(rows), 3))]),
    "normals": lambda rows, random: np.column_stack([rows[:, :3], random.normal(0, 0.5, (len(rows), 3))]),
    "velocities": lambda rows, random: np.column_stack([rows, random.normal(0, 3, (len(rows), 3))]),
    "PCL in memory": lambda rows, _: np.column_stack(
        [rows[:, :3], np.ones(len(rows)), rows[:, 3], np.zeros((len(rows), 3))]
    ),
    "time and ring of 8": lambda rows, _: np.column_stack(
        [rows, np.linspace(0, 0.1, len(rows)), np.arange(len(rows)) % 64, np.zeros((len(rows), 2))]
    ),
}  # fmt: skip


@pytest.fixture(scope="session", params=["generated", "real"])
def sweep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """(N, 4) x, y, z, intensity from 0 to 1, of the first frame of a recording."""
    if request.param == "generated":
        path = tmp_path_factory.mktemp("generated") / "sample"
        write_sample(path, frames=1, columns=600, image_width=64)
        file = path / "pointcloud/0.ply"
    else:
        file = real_recording() / "pointcloud/1.ply"
    vertices = plyfile.PlyData.read(file)["vertex"].data
    intensity = vertices["i"].astype(np.float64)
    return np.column_stack([vertices["x"], vertices["y"], vertices["z"], intensity / intensity.max()])


def vlp16(random: np.random.Generator) -> Rows:
    """(28800, 4) points between two walls, in the order in which a VLP-16 fires: a lower and an upper beam in turn."""
    order = np.arange(16).reshape(2, 8).T.ravel()
    azimuth, elevation = np.meshgrid(
        np.linspace(-np.pi, np.pi, 1800, endpoint=False), np.radians(np.arange(-15, 16, 2))[order], indexing="ij"
    )
    rays = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], -1)
    rays = rays.reshape(-1, 3)
    with np.errstate(divide="ignore"):
        ground = np.where(rays[:, 2] < 0, -1.8 / rays[:, 2], np.inf)
        walls = np.minimum(8 / np.abs(rays[:, 1]), 60 / np.abs(rays[:, 0]))
    points = rays * np.minimum(ground, walls)[:, None] + random.normal(0, 0.02, rays.shape)
    return np.column_stack([points, np.where(ground < walls, 0.1, 0.4) * random.uniform(0.5, 1.5, len(points))])


def chosen(rows: Rows, seed: int, order: str) -> Rows:
    """The rows as they are, or shuffled, or some of them."""
    random = np.random.default_rng(seed)
    if order == "in order":
        return rows
    taken = random.permutation(len(rows))[: len(rows) if order == "shuffled" else int(order)]
    return rows[taken]


def read(content: bytes, name: str = "a.bin", columns: str | None = None) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        return read_points(path, columns=columns)


orders = st.sampled_from(["in order", "shuffled", "50", "200", "3000"])
tries = settings(max_examples=30)


@tries
@given(seed=st.integers(0, 10_000), order=orders, is_vlp=st.booleans())
def test_rows_of_the_width_that_the_name_says_are_read(sweep: Rows, seed: int, order: str, is_vlp: bool) -> None:
    rows = chosen(vlp16(np.random.default_rng(seed)) if is_vlp else sweep, seed, order).astype("<f4")
    cloud = read(rows.tobytes())
    np.testing.assert_array_equal(cloud.positions, rows[:, :3])
    np.testing.assert_array_equal(cloud.intensity, rows[:, 3])
    ringed = np.column_stack([rows, np.arange(len(rows)) % 32]).astype("<f4")
    np.testing.assert_array_equal(read(ringed.tobytes(), "a.pcd.bin").positions, ringed[:, :3])


@tries
@given(
    seed=st.integers(0, 10_000),
    order=st.sampled_from(["in order", "shuffled", "3000"]),
    kind=st.sampled_from([*WIDENED]),
)
def test_rows_of_another_width_are_refused_with_theirs(sweep: Rows, seed: int, order: str, kind: str) -> None:
    random = np.random.default_rng(seed)
    table = WIDENED[kind](chosen(sweep, seed, order), random)
    table = table[: len(table) // 20 * 20].astype("<f4")  # a whole number of rows of 4 and of 5, too
    width = table.shape[1]
    for name in ("a.bin", "a.pcd.bin"):
        if (name, width) == ("a.pcd.bin", 5):
            continue
        with pytest.raises(FormatError, match=rf"fit rows of {width} float32(.|\n)*--columns x,y,z"):
            read(table.tobytes(), name)


@pytest.mark.parametrize("width", [3, 4, 5, 6])
@pytest.mark.parametrize("order", ["in order", "shuffled", "200"])
def test_rows_of_float64_are_refused_as_such(save: Save, sweep: Rows, width: int, order: str) -> None:
    table = np.column_stack([sweep, np.arange(len(sweep)) % 64, np.zeros(len(sweep))])[:, :width]
    path = save("a.bin", chosen(table, 1, order)[: len(table) // 20 * 20].tobytes())
    with pytest.raises(FormatError, match=rf"fit rows of {width} float64(.|\n)*--columns x:f8,y:f8,z:f8") as refused:
        read_points(path)
    # What the refusal says to do, does it.
    columns = str(refused.value.fix).split("--columns ")[1].split()[0]
    cloud = read_points(path, columns=columns)
    np.testing.assert_array_equal(cloud.positions[:, 1], np.fromfile(path, "<f8").reshape(-1, width)[:, 1])
    assert cloud.positions.dtype == np.float64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.random.default_rng(1).integers(0, 40, 4000).astype("<i8").tobytes(), "numbers that are no coordinates"),
        (np.random.default_rng(1).integers(1, 40, 4000).astype("<u4").tobytes(), "numbers that are no coordinates"),
        (np.random.default_rng(1).bytes(16_000), "numbers that are no coordinates"),
        (np.full((50, 4), 1.5e15, "<f4").tobytes(), "numbers that are no coordinates"),
        (b"# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7" + bytes(9), r"the beginning of a \.pcd file"),
        (b"1.5 2.5 3.5 0.25\n" * 16, "the beginning of text"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.bin", "a.pcd.bin"])
def test_what_is_no_rows_of_points_is_refused(save: Save, name: str, content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_points(save(name, content))


@settings(max_examples=100)
@given(seed=st.integers(0, 10_000), size=st.integers(64, 20_000))
def test_any_bytes_are_refused_without_a_warning(seed: int, size: int) -> None:
    content = np.random.default_rng(seed).bytes(size * 4)
    for name in ("a.bin", "a.pcd.bin"):
        with pytest.raises(FormatError):
            read(content, name)


@pytest.mark.parametrize("seen", [0.0, 0.1])
def test_every_other_beam_without_a_return_makes_no_wider_row(save: Save, seen: float) -> None:
    """A VLP-16 in the open measures a lower beam and then an upper one, which sees the sky: a point of zeros."""
    rows = vlp16(np.random.default_rng(3))
    rows[1::2][np.random.default_rng(4).random(len(rows[1::2])) >= seen] = 0
    cloud = read_points(save("a.bin", rows.astype("<f4").tobytes()))
    np.testing.assert_array_equal(cloud.positions, rows[:, :3].astype("<f4"))


def test_some_absurd_points_among_good_ones_stay(save: Save, sweep: Rows) -> None:
    rows = sweep.astype("<f4")
    rows[:: len(rows) // 10, 0] = 1.5e15
    rows[5::100, :3] = np.nan  # no return
    assert len(read_points(save("a.bin", rows.tobytes()))) == len(rows)


def test_a_reflectance_below_zero_is_none(save: Save, sweep: Rows) -> None:
    rows = sweep.astype("<f4")
    rows[:, 3] -= 0.5
    path = save("a.bin", rows.tobytes())
    with pytest.raises(
        FormatError, match=r"column 4: reflectances below 0 \(down to -0\.\d+\)(.|\n)*--columns x,y,z,_ "
    ):
        read_points(path)
    assert read_points(path, columns="x,y,z,_").intensity is None
    np.testing.assert_array_equal(read_points(path, columns="x,y,z,intensity").intensity, rows[:, 3])


def test_the_check_looks_at_a_bounded_part_of_the_file(monkeypatch: pytest.MonkeyPatch, sweep: Rows) -> None:
    counted: list[int] = []
    bincount = np.bincount
    monkeypatch.setattr(np, "bincount", lambda values, **more: counted.append(len(values)) or bincount(values, **more))
    rows = np.concatenate([sweep] * 20).astype("<f4")
    bin_files._check_layout(Path("a.bin"), rows.tobytes(), bin_files.KITTI_COLUMNS)
    assert counted
    assert max(counted) < 30_000 < rows.size


# ---- arrays --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [3, 4])
def test_an_array_on_its_side_is_refused_with_its_columns(save: Save, sweep: Rows, width: int) -> None:
    array = np.ascontiguousarray(sweep[:, :width].T)
    for name, content in (("a.npy", npy_bytes(array)), ("a.npz", npz_bytes(points=array))):
        path = save(name, content)
        with pytest.raises(FormatError, match=rf"shape \({width}, \d+\), which lies on its side(.|\n)*--columns x,y,z"):
            read_points(path)
        cloud = read_points(path, columns="x,y,z,intensity" if width == 4 else "x,y,z")
        np.testing.assert_array_equal(cloud.positions, sweep[:, :3])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((715, 794), np.float16), "an image or a mask"),
        (np.zeros((64, 100), np.int64), "an image or a mask"),
        (np.eye(4), "a 4 × 4 matrix, as of a pose"),
        (np.zeros((5, 2)), r"shape \(5, 2\); expected \(N, 3\)"),
    ],
)
def test_arrays_that_are_no_points_are_refused(save: Save, array: NDArray[Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_points(save("a.npy", npy_bytes(array)))
    with pytest.raises(FormatError, match=f"array 'points'.*{message}"):
        read_points(save("a.npz", npz_bytes(points=array)))


def test_an_array_of_the_wrong_width_is_refused(save: Save, sweep: Rows) -> None:
    ringed = np.column_stack([sweep, np.arange(len(sweep)) % 64])[: len(sweep) // 20 * 20]
    for dtype in (np.float32, np.float64):
        wrong = npy_bytes(ringed.astype(dtype).reshape(-1, 4))
        with pytest.raises(FormatError, match=r"whose numbers fit rows of 5; .*\n.*reshape\(-1, 5\)"):
            read_points(save("a.npy", wrong))
    assert len(read_points(save("a.npy", wrong), columns="x,y,z,intensity")) == len(ringed) * 5 // 4
    assert len(read_points(save("a.npy", npy_bytes(ringed)))) == len(ringed)
