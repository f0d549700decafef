"""What holds for every point format: names, round trips, and damage of any kind."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from plyfile import PlyData
from pypcd4.pypcd4 import PointCloud as Pcd

from lidarprep.errors import FormatError, StorageError
from lidarprep.pointfiles import POINT_FORMATS, is_point_file, point_suffixes, read_points, write_points
from lidarprep.scene import PointCloud
from tests.pointfiles.written_by_others import seeds

SEEDS = seeds()

# A file that is written anew for each example may share its folder with the others.


def test_the_longest_ending_wins() -> None:
    assert point_suffixes().index(".pcd.bin") < point_suffixes().index(".bin")
    assert is_point_file("A.PCD.BIN")
    assert is_point_file(Path("x/1.Ply"))
    assert not is_point_file("poses.txt")
    assert not is_point_file(".ply")


def test_a_file_of_no_known_format_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"a\.stl: not the name of a point file; expected .*\.bin .*\.ply"):
        read_points(tmp_path / "a.stl")


@pytest.mark.parametrize("suffix", sorted(POINT_FORMATS))
def test_a_file_that_cannot_be_opened_is_one_clear_error(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        read_points(tmp_path / f"missing{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(FormatError, match="cannot be read"):
        read_points(tmp_path / f"folder{suffix}")
    with pytest.raises(StorageError, match="cannot be written"):
        write_points(tmp_path / f"nowhere/a{suffix}", PointCloud(np.zeros((1, 3))))


def test_importing_the_readers_loads_no_heavy_library() -> None:
    heavy = ["numba", "plyfile", "pypcd4", "lzf", "pydantic", "boto3", "httpx", "PIL"]
    heavy += ["laspy", "lazrs", "pyarrow", "rosbags", "pandas"]
    code = f"import sys, lidarprep.pointfiles; print([m for m in {heavy} if m in sys.modules])"
    root = Path(__file__).parents[2]
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def column(dtype: Any, **elements: Any) -> st.SearchStrategy[Any]:
    return st.none() | st.integers(0, 2**32 - 1).map(
        lambda seed: np.random.default_rng(seed).integers(elements["low"], elements["high"], 6).astype(dtype)
    )


@st.composite
def clouds(draw: st.DrawFn) -> PointCloud:
    """Six points with any of the columns."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    positions = draw(hnp.arrays(dtype, (6, 3), elements=st.floats(width=32, allow_nan=True)))
    colour = draw(st.none() | hnp.arrays(np.uint8, (6, 3)))
    ground = draw(st.none() | hnp.arrays(np.bool_, 6))
    return PointCloud(
        positions.astype(dtype),
        intensity=draw(column(np.uint16, low=0, high=2**16) | column(np.float32, low=0, high=255)),
        device=draw(column(np.uint32, low=0, high=2**32)),
        timestamp=draw(column(np.int64, low=-(2**40), high=2**40)),
        is_ground=ground,
        colour=colour,
        ring=draw(column(np.uint16, low=0, high=2**16)),
    )


@pytest.mark.parametrize("name", ["a.ply", "a.pcd", "a.npy", "a.npz"])
@given(cloud=clouds())
def test_what_is_written_is_read_back_exactly(tmp_path: Path, name: str, cloud: PointCloud) -> None:
    assert write_points(tmp_path / name, cloud) == ()
    back = read_points(tmp_path / name)
    assert back.positions.dtype == cloud.positions.dtype
    np.testing.assert_array_equal(back.positions, cloud.positions)
    assert back.columns.keys() == cloud.columns.keys()
    for column_name, values in cloud.columns.items():
        np.testing.assert_array_equal(back.columns[column_name], values)
        assert back.columns[column_name].dtype == values.dtype
    assert back.ignored_fields == ()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@given(cloud=clouds())
def test_plyfile_and_pypcd4_read_what_we_write(tmp_path: Path, cloud: PointCloud) -> None:
    write_points(tmp_path / "a.ply", cloud)
    vertices = PlyData.read(tmp_path / "a.ply")["vertex"].data
    write_points(tmp_path / "a.pcd", cloud)
    pcd = Pcd.from_path(tmp_path / "a.pcd")
    for table in (vertices, pcd.pc_data):
        for k, axis in enumerate("xyz"):
            np.testing.assert_array_equal(table[axis], cloud.positions[:, k])
        if cloud.intensity is not None:
            np.testing.assert_array_equal(table["intensity"], cloud.intensity)
    if cloud.colour is not None:
        np.testing.assert_array_equal(np.column_stack([vertices[c] for c in ("red", "green", "blue")]), cloud.colour)
        np.testing.assert_array_equal(Pcd.decode_rgb(np.ascontiguousarray(pcd.pc_data["rgb"])), cloud.colour)
    if cloud.timestamp is not None:
        np.testing.assert_array_equal(pcd.pc_data["timestamp_ns"], cloud.timestamp)


@pytest.mark.parametrize("name", ["a.ply", "a.pcd", "a.npy", "a.npz"])
def test_a_cloud_without_points_is_written_and_read_back(tmp_path: Path, name: str) -> None:
    empty = PointCloud(np.zeros((0, 3), np.float32), intensity=np.zeros(0, np.float32))
    write_points(tmp_path / name, empty)
    assert len(read_points(tmp_path / name)) == 0


def test_what_a_format_cannot_hold_is_named(tmp_path: Path) -> None:
    cloud = PointCloud(
        np.array([[0.1, 0, 0]]),
        intensity=np.array([2**53 + 1]),
        timestamp=np.array([1_700_000_000_123_456_789]),
        ring=np.array([3], np.uint16),
    )
    assert write_points(tmp_path / "a.bin", cloud) == ("positions", "intensity", "timestamp", "ring")
    assert write_points(tmp_path / "a.pcd.bin", cloud) == ("positions", "intensity", "timestamp")
    assert write_points(tmp_path / "a.ply", cloud) == ("intensity", "timestamp")
    assert write_points(tmp_path / "a.pcd", cloud) == ()
    np.testing.assert_array_equal(np.fromfile(tmp_path / "a.bin", "<f4"), np.array([0.1, 0, 0, 2.0**53], "<f4"))
    timestamp = read_points(tmp_path / "a.ply").timestamp
    assert timestamp is not None
    assert abs(int(timestamp[0]) - 1_700_000_000_123_456_789) < 256


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = PointCloud(np.zeros((1, 3)))
    write_points(tmp_path / "a.npy", cloud)
    before = (tmp_path / "a.npy").read_bytes()

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", no_space)
    with pytest.raises(StorageError, match="No space left"):
        write_points(tmp_path / "a.npy", cloud)
    assert (tmp_path / "a.npy").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def cut_is_seen(name: str, content: bytes, cut: int) -> bool:
    """Whether a cut leaves a trace: not between rows of a file without a header, nor in a text's last number."""
    if name.endswith(".bin"):
        return cut == 0 or cut % (20 if name.endswith(".pcd.bin") else 16) != 0
    if name.endswith(".pts"):
        return cut < content.rindex(b"\n", 0, -1) and content[:cut].strip().isdigit() is False
    if name.startswith("ascii"):
        return cut <= content.rstrip().rindex(b" ")
    return True


@pytest.mark.parametrize("name", sorted(name for name in SEEDS if not name.endswith((".csv", ".xyz"))))
@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    content = SEEDS[name]
    cut = data.draw(st.integers(0, len(content) - 1))
    assume(cut_is_seen(name, content, cut))
    (tmp_path / name).write_bytes(content[:cut])
    with pytest.raises(FormatError):
        read_points(tmp_path / name)


# NumPy's warnings about .npy headers that no NumPy of today writes, which damage may bring about.
@pytest.mark.filterwarnings("ignore:Reading .* required additional header parsing:UserWarning")
@pytest.mark.filterwarnings("ignore:Data type alias:DeprecationWarning")
@pytest.mark.parametrize("name", sorted(SEEDS))
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_but_never_fails_otherwise(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    content = bytearray(SEEDS[name])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(bytes(content))
    with suppress(FormatError):
        read_points(tmp_path / name)


@pytest.mark.parametrize("suffix", sorted(POINT_FORMATS))
@given(content=st.binary(max_size=200))
@example(content=b"")
def test_noise_is_refused_in_one_way(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(content)
    with suppress(FormatError):
        read_points(path)
