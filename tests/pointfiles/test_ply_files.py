"""PLY files as plyfile and others write them."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from lidarprep.errors import FormatError
from lidarprep.pointfiles import read_points
from tests.pointfiles.written_by_others import ply_bytes, some_points

Save = Callable[[str, bytes], Path]

HEADER = "ply\nformat {format} 1.0\nelement vertex {count}\n{properties}end_header\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"


def header(format: str = "binary_little_endian", count: object = 2, properties: str = XYZ) -> bytes:
    return HEADER.format(format=format, count=count, properties=properties).encode()


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_every_encoding_gives_the_same_points(save: Save, text: bool, byte_order: str) -> None:
    table = some_points()
    cloud = read_points(save("a.ply", ply_bytes(table, text=text, byte_order=byte_order)), "sensor")
    assert cloud.frame == "sensor"
    assert cloud.positions.dtype == np.float32
    assert cloud.positions.flags.c_contiguous
    np.testing.assert_array_equal(cloud.positions, np.column_stack([table[axis] for axis in "xyz"]))
    np.testing.assert_array_equal(cloud.intensity, table["intensity"])
    np.testing.assert_array_equal(cloud.ring, table["ring"])
    assert cloud.ignored_fields == ()


@pytest.mark.parametrize("text", [True, False])
def test_fields_may_come_in_any_order_and_type(save: Save, text: bool) -> None:
    table = np.zeros(
        3, [("Z", "f8"), ("nx", "f4"), ("red", "u1"), ("y", "f4"), ("green", "u1"), ("blue", "u1"), ("x", "i4")]
    )
    table["x"], table["y"], table["Z"] = [1, 2, 3], [4, 5, 6], [7.1, 8.2, 9.3]
    table["red"] = 200
    cloud = read_points(save("a.ply", ply_bytes(table, text=text)))
    assert cloud.positions.dtype == np.float64
    np.testing.assert_array_equal(cloud.positions, [[1, 4, 7.1], [2, 5, 8.2], [3, 6, 9.3]])
    assert cloud.colour is not None
    np.testing.assert_array_equal(cloud.colour, [[200, 0, 0]] * 3)
    assert cloud.ignored_fields == ("nx",)


def test_coordinates_of_a_texture_are_no_times(save: Save) -> None:
    properties = XYZ + "property float s\nproperty float t\n"
    cloud = read_points(save("a.ply", header("ascii", 1, properties) + b"1 2 3 0.25 0.5\n"))
    assert cloud.timestamp is None
    assert cloud.ignored_fields == ("s", "t")


def test_coordinates_in_text_keep_its_precision_where_float32_loses_it(save: Save) -> None:
    cloud = read_points(save("a.ply", header("ascii") + b"1 2 3\n456789.12 5412345.67 101.25\n"))
    np.testing.assert_array_equal(cloud.positions, [[1, 2, 3], [456789.12, 5412345.67, 101.25]])
    assert read_points(save("b.ply", header("ascii") + b"1 2 3\n4.1 5 6\n")).positions.dtype == np.float32


def test_faces_are_passed_over(save: Save) -> None:
    assert len(read_points(save("binary.ply", ply_bytes(some_points(), faces=3)))) == 5
    assert len(read_points(save("text.ply", ply_bytes(some_points(), text=True, faces=3)))) == 5


def test_elements_before_the_points_are_passed_over(save: Save) -> None:
    text = "ply\r\nformat ascii 1.0\r\nelement camera 1\r\nproperty int id\r\nelement vertex 2\r\n"
    text += XYZ.replace("\n", "\r\n") + "end_header\r\n7\r\n\r\n1 2\t3 \r\n4 5 6\r\n"
    np.testing.assert_array_equal(read_points(save("a.ply", text.encode())).positions, [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_headers_in_the_wild_are_read(save: Save, end: str) -> None:
    lines = ["ply", "comment made by hand", "format ascii 1.0", "obj_info num_cols 512", "", "element vertex 1"]
    types = ["float32 x", "float64 y", "double z", "uchar red", "uint8 green", "uint8 blue", "uint16 intensity"]
    lines += [*(f"property {words}" for words in types), "comment the end", "end_header "]
    cloud = read_points(save("a.ply", (end.join(lines) + end + "1.5  2.5\t1e-3 255 0 7 40000" + end).encode()))
    np.testing.assert_array_equal(cloud.positions, [[1.5, 2.5, 1e-3]])
    np.testing.assert_array_equal(cloud.colour, [[255, 0, 7]])
    assert cloud.intensity is not None
    assert cloud.intensity.dtype == np.uint16


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("faces_first", [True, False])
@pytest.mark.parametrize("text", [True, False])
def test_other_elements_may_stand_anywhere(save: Save, byte_order: str, faces_first: bool, text: bool) -> None:
    vertex = PlyElement.describe(some_points(), "vertex")
    camera = PlyElement.describe(np.array([(7, 0.5)], [("id", "i4"), ("f", "f8")]), "camera")
    face = np.empty(2, dtype=[("vertex_indices", "O")])
    face["vertex_indices"] = [np.array([0, 1, 2], "i4"), np.array([0, 1, 2, 3], "i4")]
    faces = PlyElement.describe(face, "face")
    for elements in ([camera, vertex], [vertex, camera], [faces, camera, vertex] if faces_first else [vertex, faces]):
        stream = io.BytesIO()
        PlyData(elements, text=text, byte_order=byte_order).write(stream)
        cloud = read_points(save("a.ply", stream.getvalue()))
        np.testing.assert_array_equal(cloud.positions, np.column_stack([some_points()[axis] for axis in "xyz"]))


def test_a_header_longer_than_usual_is_read(save: Save) -> None:
    for length in (8_000, 8_120, 8_150, 8_180, 8_192, 9_000, 100_000):
        comment = f"ply\ncomment {'c' * length}\n".encode()
        body = struct.pack("<6f", 1, 2, 3, 4, 5, 6)
        cloud = read_points(save("a.ply", comment + header().removeprefix(b"ply\n") + body))
        np.testing.assert_array_equal(cloud.positions, [[1, 2, 3], [4, 5, 6]])


def test_a_list_among_the_vertices_is_named_as_ignored(save: Save) -> None:
    properties = XYZ + "property list uchar int views\n"
    body = struct.pack("<3fB2i", 1, 2, 3, 2, 8, 9) + struct.pack("<3fB", 4, 5, 6, 0)
    cloud = read_points(save("binary.ply", header(properties=properties) + body))
    np.testing.assert_array_equal(cloud.positions, [[1, 2, 3], [4, 5, 6]])
    assert cloud.ignored_fields == ("views",)
    text = header("ascii", properties=properties) + b"1 2 3 2 8 9\n4 5 6 1 8\n"
    np.testing.assert_array_equal(read_points(save("text.ply", text)).positions, cloud.positions)


@pytest.mark.parametrize("format", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_no_point_is_an_empty_cloud(save: Save, format: str) -> None:
    cloud = read_points(save("a.ply", header(format, count=0)))
    assert cloud.positions.shape == (0, 3)


def test_padding_after_the_points_is_fine_but_more_points_are_not(save: Save) -> None:
    points = struct.pack("<6f", 1, 2, 3, 4, 5, 6)
    assert len(read_points(save("padded.ply", header() + points + b"\0" * 100 + b"\n"))) == 2
    with pytest.raises(FormatError, match=r"byte \d+: 12 bytes more than the header promises"):
        read_points(save("more.ply", header() + points + struct.pack("<3f", 7, 8, 9)))
    with pytest.raises(FormatError, match="3 rows after the header; expected 2"):
        read_points(save("text.ply", header("ascii") + b"1 2 3\n" * 3))


@pytest.mark.parametrize("format", ["ascii", "binary_little_endian"])
@pytest.mark.parametrize("properties", [XYZ, XYZ + "property list uchar int views\n"])
def test_an_absurd_count_is_refused_before_memory_is_set_aside(save: Save, format: str, properties: str) -> None:
    with pytest.raises(FormatError, match="999999999999 × vertex"):
        read_points(save("a.ply", header(format, count=999_999_999_999, properties=properties) + b"1 2 3\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: an empty file"),
        (b"solid cube\n", "line 1: b'solid cube"),
        (b"ply\nformat ascii 1.0\n", "no line 'end_header'"),
        (b"ply\nend_header\n", "no line 'format'"),
        (b"ply\nformat ascii 2.0\nend_header\n", "line 2: 'format ascii 2.0'"),
        (b"ply\nformat ascii 1.0\nend_header\n", "elements \\(none\\)"),
        (header(count=-1), "line 3: 'element vertex -1'"),
        (header(count="many"), "line 3: 'element vertex many'"),
        (header(properties=""), "element 'vertex' without a property"),
        (header(properties=XYZ + "property half w\n"), "line 7: property 'half w'"),
        (header(properties=XYZ + "property float x\n"), "line 7: a second property 'x'"),
        (header(count=0, properties="property float x\nproperty float y\n"), "fields x, y: no z"),
        (header("ascii", properties="property float a\n") + b"1\n2\n", "fields a: no x and no y and no z"),
        (header("ascii") + b"1 2 3\n4 5\n", "line 9: 2 values; expected 3: x, y, z"),
        (header("ascii") + b"1 2 3\n4 five 6\n", "line 9, column 2 \\(y\\): 'five'; expected a number"),
        (header("ascii") + b"1 2 3\n\n4 5 \xff\n", "line 10, column 3 \\(z\\): byte 0xff"),
        (
            header("ascii", properties=XYZ + "property uchar i\n") + b"1 2 3 4\n1 2 3 300\n",
            "line 10, column 4 \\(i\\): '300'; expected a uint8 number",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(save: Save, content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        read_points(save("a.ply", content))
    assert "a.ply" in str(caught.value)
