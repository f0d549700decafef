"""KITTI .bin, nuScenes .pcd.bin, .npy and .npz, as NumPy writes them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lidarprep.errors import FormatError
from lidarprep.pointfiles import read_points
from tests.pointfiles.written_by_others import npy_bytes, npz_bytes, some_points

Save = Callable[[str, bytes], Path]

XYZ = np.arange(12, dtype=np.float64).reshape(4, 3)


def test_kitti_rows_are_position_and_reflectance(save: Save) -> None:
    cloud = read_points(save("000001.bin", np.array([[1, 2, 3, 0.5], [4, 5, 6, 1]], "<f4").tobytes()))
    np.testing.assert_array_equal(cloud.positions, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(cloud.intensity, np.array([0.5, 1], np.float32))
    assert cloud.ignored_fields == ()


def test_nuscenes_rows_end_in_a_ring_and_win_over_bin(save: Save) -> None:
    cloud = read_points(save("LIDAR_TOP__1.pcd.bin", np.array([[1, 2, 3, 255, 31]], "<f4").tobytes()))
    np.testing.assert_array_equal(cloud.ring, [31])
    np.testing.assert_array_equal(cloud.intensity, [255])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (7, r"12 bytes left over after 8 points; .*\n.* Rows of 5 or 7 float32 fit its size: --columns"),
        (16, r"numbers that fit rows of 5 float32; .*\n.*--columns x,y,z,_,ring"),
    ],
)
def test_nuscenes_rows_under_a_kitti_name_are_found_out(save: Save, rows: int, message: str) -> None:
    table = np.random.default_rng(1).normal(0, 20, (rows, 5)).astype("<f4")
    table[:, 4] = np.arange(rows)
    with pytest.raises(FormatError, match=message):
        read_points(save("a.bin", table.tobytes()))


def test_kitti_rows_whose_count_is_a_multiple_of_five_are_not_taken_for_nuscenes(save: Save) -> None:
    table = np.random.default_rng(1).normal(0, 20, (20, 4)).astype("<f4")
    table[:, 3] = 0.25
    assert len(read_points(save("a.bin", table.tobytes()))) == 20
    assert len(read_points(save("zeros.bin", bytes(320)))) == 20


@pytest.mark.parametrize("name", ["a.bin", "a.pcd.bin"])
def test_rows_that_are_cut_are_refused(save: Save, name: str) -> None:
    with pytest.raises(FormatError, match="byte 0: an empty file"):
        read_points(save(name, b""))
    with pytest.raises(FormatError, match=r"(byte 32: 6|byte 20: 18) bytes left over after [12] points"):
        read_points(save(name, bytes(38)))


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_plain_array_is_positions_then_intensity(save: Save, order: Any) -> None:
    np.testing.assert_array_equal(read_points(save("a.npy", npy_bytes(np.asarray(XYZ, order=order)))).positions, XYZ)
    wide = np.asarray(np.column_stack([XYZ, [1, 2, 3, 4], [9, 9, 9, 9]]), order=order)
    cloud = read_points(save("b.npy", npy_bytes(wide)))
    np.testing.assert_array_equal(cloud.intensity, [1, 2, 3, 4])
    assert cloud.ignored_fields == ("column 4",)
    assert cloud.positions.flags.c_contiguous


def test_a_structured_array_is_fields(save: Save) -> None:
    for table in (some_points(), some_points().astype(some_points().dtype.newbyteorder(">"))):
        cloud = read_points(save("a.npy", npy_bytes(table)))
        np.testing.assert_array_equal(cloud.positions[:, 2], table["z"])
        assert cloud.positions.dtype == np.dtype("=f4")
        np.testing.assert_array_equal(cloud.ring, table["ring"])


def test_an_archive_is_columns_by_name(save: Save) -> None:
    x, y, z = XYZ.T
    cloud = read_points(save("a.npz", npz_bytes(x=x, y=y, z=z, remission=x, calibration=np.eye(4), name=np.array("a"))))
    np.testing.assert_array_equal(cloud.positions, XYZ)
    np.testing.assert_array_equal(cloud.intensity, x)
    assert cloud.ignored_fields == ("calibration", "name")
    colour = np.full((4, 3), 7, np.uint8)
    cloud = read_points(save("b.npz", npz_bytes(points=XYZ.astype(np.float32), colors=colour, device=np.arange(4))))
    assert cloud.positions.dtype == np.float32
    np.testing.assert_array_equal(cloud.colour, colour)
    np.testing.assert_array_equal(cloud.device, np.arange(4))
    assert len(read_points(save("c.npz", npz_bytes(arr_0=XYZ)))) == 4


def test_a_structured_array_beside_others_is_the_points(save: Save) -> None:
    """As pyntcloud writes them: DataFrame.to_records of the points, and of the faces."""
    mesh = np.zeros(2, [("v1", "i4"), ("v2", "i4"), ("v3", "i4")])
    cloud = read_points(save("a.npz", npz_bytes(points=some_points(), mesh=mesh)))
    np.testing.assert_array_equal(cloud.positions[:, 2], some_points()["z"])
    np.testing.assert_array_equal(cloud.ring, some_points()["ring"])
    assert "mesh" in cloud.ignored_fields


def test_no_point_is_an_empty_cloud(save: Save) -> None:
    assert len(read_points(save("a.npy", npy_bytes(XYZ[:0])))) == 0
    assert len(read_points(save("a.npz", npz_bytes(positions=XYZ[:0])))) == 0


def test_a_pickle_is_refused_and_never_run(save: Save) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    for name, content in (("a.npy", npy_bytes(objects)), ("a.npz", npz_bytes(x=objects))):
        with pytest.raises(FormatError, match="can run any code"):
            read_points(save(name, content))


def test_an_absurd_shape_is_refused_before_memory_is_set_aside(save: Save) -> None:
    content = npy_bytes(XYZ).replace(b"(4, 3), }" + b" " * 15, b"(4000000000000000, 3), }")
    assert len(content) == len(npy_bytes(XYZ))
    with pytest.raises(FormatError, match="96 bytes after the header; expected 96000000000000000"):
        read_points(save("a.npy", content))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(FormatError, match="array 'x': 96 bytes after the header"):
        read_points(save("a.npz", stream.getvalue()))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", b"", "an empty file"),
        ("a.npz", b"", "not a readable .npz archive"),
        ("a.npy", b"\x93NUMPY\x01\x00v\x00{'descr': [", "not a .npy header"),
        ("a.npy", npy_bytes(XYZ[:, :2]), r"shape \(4, 2\); expected \(N, 3\)"),
        ("a.npy", npy_bytes(XYZ[0]), "no x and no y and no z"),
        ("a.npy", npy_bytes(np.array(3.0)), "no x and no y and no z"),
        ("a.npy", npy_bytes(np.array(["a"])), "no x and no y and no z"),
        ("a.npz", npz_bytes(x=XYZ[:, 0], y=XYZ[:2, 0], z=XYZ[:, 0]), "arrays of different lengths"),
        ("a.npz", npz_bytes(x=XYZ[0, 0], y=XYZ[0, 0], z=XYZ[0, 0]), "field 'x'"),
        ("a.npz", npz_bytes(x=np.array(["a"]), y=XYZ[:1, 0], z=XYZ[:1, 0]), "field 'x': <U1"),
        ("a.npz", npz_bytes(intensity=XYZ[:, 0]), "no x and no y and no z"),
    ],
)
def test_what_is_wrong_is_named(save: Save, name: str, content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_points(save(name, content))
