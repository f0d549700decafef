"""PCD files as pypcd4 and others write them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lzf
import numpy as np
import pytest
from pypcd4.pypcd4 import Encoding
from pypcd4.pypcd4 import PointCloud as Pcd

from lidarprep.errors import FormatError
from lidarprep.pointfiles import read_points
from lidarprep.scene import Frame, Pose
from lidarprep.steps import StepReport
from lidarprep.steps.world import ToWorld
from tests.pointfiles.written_by_others import pcd_bytes, some_points

Save = Callable[[str, bytes], Path]


def header(data: str = "ascii", **lines: str) -> bytes:
    """A header of two points x, y, z; `lines` replaces a keyword's line, or leaves it out where it is empty."""
    words = {
        **{"VERSION": "0.7", "FIELDS": "x y z", "SIZE": "4 4 4", "TYPE": "F F F", "COUNT": "1 1 1", "WIDTH": "2"},
        **{"HEIGHT": "1", "VIEWPOINT": "0 0 0 1 0 0 0", "POINTS": "2", **lines, "DATA": data},
    }
    return "".join(f"{key} {value}\n" for key, value in words.items() if value).encode()


@pytest.mark.parametrize("encoding", [Encoding.ASCII, Encoding.BINARY, Encoding.BINARY_COMPRESSED])
@pytest.mark.parametrize("count", [1, 50])
def test_every_encoding_gives_the_same_points(save: Save, encoding: Encoding, count: int) -> None:
    table = some_points(count)
    cloud = read_points(save("a.pcd", pcd_bytes(table, encoding)))
    tolerance = 1e-9 if encoding is Encoding.ASCII else 0  # pypcd4 writes ten decimals
    np.testing.assert_allclose(
        cloud.positions, np.column_stack([table[axis] for axis in "xyz"]), rtol=1e-6 if tolerance else 0, atol=tolerance
    )
    assert cloud.positions.dtype == np.float32
    assert cloud.positions.flags.c_contiguous
    np.testing.assert_array_equal(cloud.intensity, table["intensity"])
    np.testing.assert_array_equal(cloud.ring, table["ring"])


@pytest.mark.parametrize("encoding", [Encoding.ASCII, Encoding.BINARY, Encoding.BINARY_COMPRESSED])
def test_fields_may_come_in_any_order_and_type(save: Save, encoding: Encoding) -> None:
    table = np.zeros(
        40, [("t", "u4"), ("z", "f8"), ("normal_x", "f4"), ("y", "f8"), ("x", "f4"), ("reflectivity", "u2")]
    )
    table["x"], table["t"], table["reflectivity"] = 1.5, np.arange(40), 40_000
    cloud = read_points(save("a.pcd", pcd_bytes(table, encoding)))
    assert cloud.positions.dtype == np.float64
    np.testing.assert_array_equal(cloud.positions, [[1.5, 0, 0]] * 40)
    np.testing.assert_array_equal(cloud.timestamp, np.arange(40))
    assert cloud.intensity is not None
    assert cloud.intensity.dtype == np.uint16
    assert cloud.ignored_fields == ("normal_x",)


def test_packed_colour_is_unpacked(save: Save) -> None:
    colour = np.array([[255, 128, 0], [1, 2, 3]], np.uint8)
    points = np.zeros((2, 4), np.float32)
    points[:, 3] = Pcd.encode_rgb(colour).reshape(-1)
    path = save("a.pcd", b"")
    Pcd.from_xyzrgb_points(points).save(path)
    cloud = read_points(path)
    np.testing.assert_array_equal(cloud.colour, colour)
    assert cloud.ignored_fields == ()


def test_padding_and_fields_of_several_numbers_are_passed_over(save: Save) -> None:
    lines = {"FIELDS": "_ x y z _ normal", "SIZE": "1 4 4 4 2 4", "TYPE": "U F F F U F", "COUNT": "3 1 1 1 1 3"}
    body = b"".join(struct.pack("<3s3fH3f", b"...", k, k + 1, k + 2, 9, 0, 0, 1) for k in range(2))
    cloud = read_points(save("a.pcd", header("binary", **lines) + body))
    np.testing.assert_array_equal(cloud.positions, [[0, 1, 2], [1, 2, 3]])
    assert cloud.ignored_fields == ("normal",)


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_a_field_of_no_numbers_is_dropped_as_pcl_does(save: Save, data: str) -> None:
    lines = {"FIELDS": "x y normal z intensity", "SIZE": "4 4 4 4 4", "TYPE": "F F F F F", "COUNT": "1 1 0 1 1"}
    table = np.arange(8, dtype="<f4").reshape(2, 4)
    packed = lzf.compress(table.T.tobytes() + b"", 4096) or b""
    body = {
        "ascii": "\n".join(" ".join(map(str, row)) for row in table).encode(),
        "binary": table.tobytes(),
        "binary_compressed": struct.pack("<II", len(packed), table.nbytes) + packed,
    }[data]
    cloud = read_points(save("a.pcd", header(data, **lines) + body))
    np.testing.assert_array_equal(cloud.positions, table[:, :3])
    np.testing.assert_array_equal(cloud.intensity, table[:, 3])
    assert cloud.ignored_fields == ("normal (COUNT 0)",)


def test_fields_behind_padding_of_no_bytes_are_left_out_and_named(save: Save) -> None:
    """The samples of SUSTechPOINTS: PCL's struct with the times at byte 24, under a header that says 20."""
    lines = {
        "FIELDS": "x y z _ intensity _ timestamp _ ring _",
        **{"SIZE": "4 4 4 1 4 1 8 1 2 1", "TYPE": "F F F U F U F U U U", "COUNT": "1 1 1 4 1 0 1 6 1 12"},
    }
    body = b"".join(struct.pack("<3f4xf4xdH14x", k, k + 1, k + 2, 10 * k, 1.7e9, 7) for k in range(2))
    assert len(body) == 2 * 48
    cloud = read_points(save("a.pcd", header("binary", **lines) + body + b"\0" * 3848))
    np.testing.assert_array_equal(cloud.positions, [[0, 1, 2], [1, 2, 3]])
    np.testing.assert_array_equal(cloud.intensity, [0, 10])
    assert cloud.timestamp is None
    assert cloud.ring is None
    assert [name.split()[0] for name in cloud.ignored_fields] == ["timestamp", "ring"]


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("456789.12 5412345.67 101.25", np.float64),  # UTM: float32 has steps of 0.03 m and of 0.5 m
        ("12.34 -56.78 101.25", np.float32),
        ("nan nan nan", np.float32),
        ("1e39 0 0", np.float64),
    ],
)
def test_coordinates_in_text_keep_its_precision_where_float32_loses_it(save: Save, text: str, dtype: Any) -> None:
    cloud = read_points(save("a.pcd", header() + f"1 2 3\n{text}\n".encode()))
    assert cloud.positions.dtype == dtype
    np.testing.assert_array_equal(cloud.positions, np.array([[1, 2, 3], text.split()], dtype=dtype))


def test_times_in_text_keep_its_precision_where_float32_loses_it(save: Save) -> None:
    lines = {"FIELDS": "x y z timestamp", "SIZE": "4 4 4 4", "TYPE": "F F F F", "COUNT": "1 1 1 1"}
    cloud = read_points(save("a.pcd", header(**lines) + b"1 2 3 1700000000.25\n4 5 6 1700000000.5\n"))
    assert cloud.timestamp is not None
    assert cloud.timestamp.tolist() == [1_700_000_000_250_000_000, 1_700_000_000_500_000_000]
    assert cloud.positions.dtype == np.float32


def test_a_header_may_end_the_file_if_there_is_no_point(save: Save) -> None:
    assert len(read_points(save("a.pcd", header(WIDTH="0", POINTS="0").rstrip()))) == 0


def test_headers_that_pcl_reads_and_pypcd4_does_not_are_read(save: Save) -> None:
    old = b"# .PCD v.5\r\n# made by hand\r\nVERSION .5\r\nCOLUMNS x y z\r\nSIZE 4 4 4\r\nTYPE F F F\r\n"
    old += b"WIDTH 2\r\nHEIGHT 1\r\nDATA ascii\r\n1 2  3\r\n4\t5 nan \r\n"
    np.testing.assert_array_equal(read_points(save("a.pcd", old)).positions, [[1, 2, 3], [4, 5, np.nan]])


def test_an_organised_cloud_keeps_its_points_without_a_return(save: Save) -> None:
    lines = {"WIDTH": "2", "HEIGHT": "2", "POINTS": "4"}
    cloud = read_points(save("a.pcd", header(**lines) + b"1 2 3\nnan nan nan\n4 5 6\nnan nan nan\n"))
    assert np.isnan(cloud.positions[[1, 3]]).all()


def test_fields_of_several_numbers_are_passed_over_in_every_encoding(save: Save) -> None:
    lines = {"FIELDS": "fpfh x y z normal", "SIZE": "4 4 4 4 4", "TYPE": "F F F F F", "COUNT": "33 1 1 1 3"}
    table = np.arange(2 * 39, dtype="<f4").reshape(2, 39)
    text = "\n".join(" ".join(map(str, row)) for row in table).encode()
    columns = b"".join(part.tobytes() for part in np.split(table, [33, 34, 35, 36], axis=1))
    packed = lzf.compress(columns, 4096) or b""
    sizes = struct.pack("<II", len(packed), len(columns))
    for data, body in (("ascii", text), ("binary", table.tobytes()), ("binary_compressed", sizes + packed)):
        cloud = read_points(save("a.pcd", header(data, **lines) + body))
        np.testing.assert_array_equal(cloud.positions, table[:, 33:36])
        assert cloud.ignored_fields == ("fpfh", "normal")


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize("kind", ["F", "U", "I"])
@pytest.mark.parametrize("name", ["rgb", "rgba"])
def test_packed_colour_is_unpacked_whatever_its_type(save: Save, data: str, kind: str, name: str) -> None:
    colour = np.array([[255, 128, 0], [1, 2, 3], [0, 0, 0], [255, 255, 255]], np.uint8)
    bits = colour.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    table = np.zeros(4, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), (name, {"F": "<f4", "U": "<u4", "I": "<i4"}[kind])])
    table[name] = bits.view(table.dtype[name])
    lines = {"FIELDS": f"x y z {name}", "SIZE": "4 4 4 4", "TYPE": f"F F F {kind}", "COUNT": "", "WIDTH": "4"}
    body = table.tobytes()
    if data == "ascii":
        body = "\n".join(f"0 0 0 {value!s}" for value in table[name]).encode()
    elif data == "binary_compressed":
        columns = b"".join(table[field].tobytes() for field in table.dtype.names or ())
        packed = lzf.compress(columns, 4096) or b""
        body = struct.pack("<II", len(packed), len(columns)) + packed
    cloud = read_points(save("a.pcd", header(data, **lines, POINTS="4") + body))
    np.testing.assert_array_equal(cloud.colour, colour)


def test_packed_colour_may_be_text_of_the_integer_in_a_field_of_floats(save: Save) -> None:
    # As the first versions of PCL have written it, and its documentation shows it: 4210752 is 0x404040.
    lines = {"FIELDS": "x y z rgb", "SIZE": "4 4 4 4", "TYPE": "F F F F", "COUNT": "1 1 1 1"}
    for first, expected in ((b"4.210752e+06", 64), (b"0", 0)):
        cloud = read_points(save("a.pcd", header(**lines) + b"1 2 3 " + first + b"\n4 5 6 16711680\n"))
        np.testing.assert_array_equal(cloud.colour, [[expected] * 3, [255, 0, 0]])


def test_a_colour_that_text_has_lost_is_named_as_ignored(save: Save) -> None:
    # With alpha, the bits of a colour may be those of a NaN, and text does not tell one from another.
    lines = {"FIELDS": "x y z rgb", "SIZE": "4 4 4 4", "TYPE": "F F F F", "COUNT": "1 1 1 1"}
    lost = read_points(save("a.pcd", header(**lines) + b"1 2 3 nan\n4 5 6 1e-39\n"))
    assert lost.colour is None
    assert lost.ignored_fields == ("rgb",)
    no_return = read_points(save("a.pcd", header(**lines) + b"nan nan nan nan\n4 5 6 16711680\n"))
    np.testing.assert_array_equal(no_return.colour, [[0, 0, 0], [255, 0, 0]])


@pytest.mark.parametrize("code", ["u1", "u2", "f4", "f8", "i4"])
@pytest.mark.parametrize("encoding", [Encoding.ASCII, Encoding.BINARY, Encoding.BINARY_COMPRESSED])
def test_intensity_keeps_the_type_that_the_file_gives_it(save: Save, code: str, encoding: Encoding) -> None:
    table = np.zeros(30, [("x", "f8"), ("y", "f8"), ("z", "f8"), ("intensity", code)])
    table["intensity"] = np.arange(30)
    cloud = read_points(save("a.pcd", pcd_bytes(table, encoding)))
    assert cloud.intensity is not None
    assert cloud.intensity.dtype == code
    np.testing.assert_array_equal(cloud.intensity, np.arange(30))


def test_prepare_drops_points_without_a_return_and_counts_them(save: Save) -> None:
    lines = {"WIDTH": "2", "HEIGHT": "2", "POINTS": "4"}
    path = save("a.pcd", header(**lines) + b"1 2 3\nnan nan nan\n4 5 6\nnan nan nan\n")
    report = StepReport()
    frame = Frame("a", 0, lambda: read_points(path), world_from_ego=Pose.identity())
    np.testing.assert_array_equal(ToWorld()(frame, report).points().positions, [[1, 2, 3], [4, 5, 6]])
    assert report.dropped["not_finite"] == 2


def test_a_viewpoint_is_named_as_ignored(save: Save) -> None:
    path = save("a.pcd", header(VIEWPOINT="0 0 2 1 0 0 0") + b"1 2 3\n4 5 6\n")
    assert read_points(path).ignored_fields == ("VIEWPOINT",)


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_no_point_is_an_empty_cloud(save: Save, data: str) -> None:
    assert len(read_points(save("a.pcd", header(data, WIDTH="0", POINTS="0")))) == 0


def test_padding_after_the_points_is_fine_but_more_points_are_not(save: Save) -> None:
    points = struct.pack("<6f", 1, 2, 3, 4, 5, 6)
    assert len(read_points(save("padded.pcd", header("binary") + points + b"\0" * 4096))) == 2
    with pytest.raises(FormatError, match="24 bytes more than the header promises"):
        read_points(save("more.pcd", header("binary") + points * 2))


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_an_absurd_count_is_refused_before_memory_is_set_aside(save: Save, data: str) -> None:
    lines = {"WIDTH": "999999999999", "POINTS": "999999999999"}
    packed = struct.pack("<II", 8, 24) if data == "binary_compressed" else b""
    with pytest.raises(FormatError, match=r"expected .*999999999999"):
        read_points(save("a.pcd", header(data, **lines) + packed + b"12345678"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: an empty file"),
        (b"\0\1\2\3", "line 1: "),
        (b"VERSION 0.7\n", "line 2: the file ends within the header"),
        (header().split(b"\n")[0] + b"\n", "within the header"),
        (header(FIELDS=""), "no line FIELDS"),
        (header(TYPE="F F"), "line 4: 2 values after TYPE; expected 3"),
        (header(TYPE="F F Q"), "type Q of 4 bytes"),
        (header(SIZE="4 4 3"), "type F of 3 bytes"),
        (header(COUNT="1 1 0") + b"1 2\n3 4\n", "fields x, y: no z"),
        (header(COUNT="0 0 0"), "line 5: no value a point"),
        (header("binary").rstrip(), "the file ends 0 bytes after its header"),
        (header(COUNT="1 1 999999999"), "line 5: 999999999 values in one field"),
        (header(WIDTH="-2"), "line 6: '-2' after WIDTH"),
        (header(POINTS="3"), "line 9: 3 points; expected 2, which is WIDTH × HEIGHT"),
        (header(VIEWPOINT="a b c d e f g"), "line 8: a b c"),
        (header("zip"), "line 10: 'zip'"),
        (header(FIELDS="a b c") + b"1 2 3\n4 5 6\n", "no x and no y and no z"),
        (header(COUNT="2 1 1") + b"1 2 3 4\n4 5 6 7\n", "fields y, z: no x"),
        (header() + b"1 2 3\n", "line 11: 1 rows after the header; expected 2"),
        (header() + b"1 2 3\n4 5 6 7\n", "line 12: 4 values; expected 3: x, y, z"),
        (header() + b"1 2 3\n4 5 x\n", "line 12, column 3 \\(z\\): 'x'; expected a number"),
        (header("binary") + b"12345", "the file ends 5 bytes after its header; expected at least 24 bytes"),
        (header("binary_compressed") + struct.pack("<II", 9, 24) + b"12345678", "the file ends 16 bytes after"),
        (header("binary_compressed") + struct.pack("<II", 8, 25) + b"12345678", "8 compressed bytes that unpack to 25"),
        (header("binary_compressed") + struct.pack("<II", 8, 24) + b"\xff" * 8, "does not decode"),
        (
            header("binary_compressed", WIDTH="100", POINTS="100") + struct.pack("<II", 8, 1200) + b"\xff" * 8,
            "unpack to 1200; expected no more than 88 times as many",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(save: Save, content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        read_points(save("a.pcd", content))
    assert "a.pcd" in str(caught.value)
