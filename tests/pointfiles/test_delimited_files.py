"""Delimited text as pandas, NumPy, CloudCompare and others write it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.errors import FormatError
from lidarprep.pointfiles import is_point_file, read_points, write_points
from lidarprep.scene import PointCloud
from tests.pointfiles.written_by_others import seeds, some_points

Save = Callable[[str, bytes], Path]

POINTS = [[1.5, -2.0, 3.0], [4.0, 5.0, -6.25]]


def with_pandas(table: Any, **options: Any) -> bytes:
    return bytes(pd.DataFrame(table).to_csv(index=False, **options), "utf-8")


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_what_pandas_writes_is_read_with_any_separator(save: Save, separator: str, end: str, quoting: Any) -> None:
    table = some_points()
    content = with_pandas(table, sep=separator, lineterminator=end, quoting=quoting)
    cloud = read_points(save("a.csv", content), "sensor")
    assert cloud.frame == "sensor"
    assert cloud.positions.dtype == np.float64
    oracle = pd.read_csv(io.BytesIO(content), sep=separator)
    np.testing.assert_array_equal(cloud.positions, oracle[["x", "y", "z"]])
    np.testing.assert_array_equal(cloud.positions.astype(np.float32), np.column_stack([table[a] for a in "xyz"]))
    np.testing.assert_array_equal(cloud.intensity, table["intensity"])
    np.testing.assert_array_equal(cloud.ring, table["ring"])
    assert cloud.ignored_fields == ()


def test_every_column_keeps_what_it_means(save: Save) -> None:
    table = pd.DataFrame(
        {
            "label": ["car", 'a "b", c', "line\nbreak"],
            "timestamp_ns": [1_700_000_000_123_456_789, 1_700_000_000_123_456_790, 1_699_999_999_000_000_000],
            "Z": [3.25, np.nan, 1e-300],
            "is_ground": [True, False, True],
            "X": [1, 2, 3],
            "Y": [0.1, 0.2, 0.3],
            "r": [255, 0, 1],
            "g": [0, 1, 2],
            "b": [9, 8, 7],
            "score": [0.5, 0.25, 1],
        }
    )
    cloud = read_points(save("a.csv", with_pandas(table)))
    np.testing.assert_array_equal(cloud.positions, table[["X", "Y", "Z"]])
    np.testing.assert_array_equal(cloud.timestamp, table["timestamp_ns"])
    np.testing.assert_array_equal(cloud.is_ground, table["is_ground"])
    np.testing.assert_array_equal(cloud.colour, table[["r", "g", "b"]])
    assert cloud.ignored_fields == ("label", "score")


@pytest.mark.parametrize(
    "header",
    [
        "x,y,z,Intensity",
        "X, Y, Z, I",
        '"x","y","z","intensity"',
        "//X,Y,Z,Intensity",
        "# x, y, z, intensity",
        "x[m],y [m],z (m),reflectance",
        "x_m,y_m,z_m,i",
        "Points:0,Points:1,Points:2,intensity",
        "# made by hand\n\n#x y z intensity",
        "//X Y Z Scalar_Intensity\n2",
        "\ufeffx;y;z;intensity",
        "x\ty\tz\ti",
        "Points_m_XYZ:0,Points_m_XYZ:1,Points_m_XYZ:2,intensity",
    ],
)
@pytest.mark.parametrize("separator", [",", " , ", ";", "\t", "   "])
def test_headers_are_read_however_they_are_written(save: Save, header: str, separator: str) -> None:
    rows = "\r\n".join(separator.join(map(str, [*point, k])) for k, point in enumerate(POINTS))
    cloud = read_points(save("a.asc", f"{header}\r\n{rows}\r\n".encode()))
    np.testing.assert_array_equal(cloud.positions, POINTS)
    np.testing.assert_array_equal(cloud.intensity, [0, 1])
    assert cloud.ignored_fields == ()


def test_an_index_column_is_passed_over(save: Save) -> None:
    content = bytes(pd.DataFrame(POINTS, columns=["x", "y", "z"]).to_csv(), "utf-8")
    cloud = read_points(save("a.csv", content))
    np.testing.assert_array_equal(cloud.positions, POINTS)


@pytest.mark.parametrize(("unit", "factor"), [("s", 10**9), ("ms", 10**6), ("us", 1000), ("µs", 1000), ("ns", 1)])
def test_a_unit_in_brackets_is_that_of_the_times(save: Save, unit: str, factor: int) -> None:
    cloud = read_points(save("a.csv", f"x,y,z,t [{unit}]\n1,2,3,7\n".encode()))
    np.testing.assert_array_equal(cloud.timestamp, [7 * factor])


def test_coordinates_in_another_unit_are_refused(save: Save) -> None:
    with pytest.raises(FormatError, match=r"'y\[mm\]'; expected coordinates in metres"):
        read_points(save("a.csv", b"x[mm],y[mm],z[mm]\n1,2,3\n".replace(b"x[mm]", b"x")))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.xyz", "a.asc", "a.txt"])
@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
def test_rows_without_a_header_go_by_their_count(save: Save, name: str, separator: str) -> None:
    def cloud_of(*rows: Sequence[float]) -> PointCloud:
        stream = io.BytesIO()
        np.savetxt(stream, np.array(rows), fmt="%g", delimiter=separator)
        return read_points(save(name, stream.getvalue()))

    np.testing.assert_array_equal(cloud_of(*POINTS).positions, POINTS)
    with_intensity = cloud_of([1, 2, 3, 0.5], [4, 5, 6, 7])
    np.testing.assert_array_equal(with_intensity.intensity, [0.5, 7])
    colours = cloud_of([1, 2, 3, 255, 0, 9], [4, 5, 6, 1, 2, 3])
    np.testing.assert_array_equal(colours.colour, [[255, 0, 9], [1, 2, 3]])
    both = cloud_of([1, 2, 3, -70, 255, 0, 9])
    np.testing.assert_array_equal(both.colour, [[255, 0, 9]])
    np.testing.assert_array_equal(both.intensity, [-70])
    for odd in ([1, 2], [1, 2, 3, 4, 5], [1.5] * 8):
        with pytest.raises(FormatError, match=f"line 1: {len(odd)} values in a file without a header"):
            cloud_of(odd)
    floats = cloud_of([1, 2, 3, 73.0, 8, 9], [4, 5, 6, 1, 2, 3])
    np.testing.assert_array_equal(floats.colour, [[73, 8, 9], [1, 2, 3]])
    with_alpha = cloud_of([1, 2, 3, 73, 8, 9, 255], [4, 5, 6, 1, 2, 3, 255])
    np.testing.assert_array_equal(with_alpha.colour, [[73, 8, 9], [1, 2, 3]])
    assert with_alpha.ignored_fields == ("alpha",)
    assert "alpha" in with_alpha.notes[0]
    normals = cloud_of([1, 2, 3, 0.6, -0.8, 0], [4, 5, 6, 0, 0, 1], [4, 5, 6, 0, 0, 0])
    assert normals.columns == {}
    assert normals.ignored_fields == ("nx", "ny", "nz")
    assert "normals" in normals.notes[0]
    for row in ([1, 2, 3, 4, 5, 256], [1, 2, 3, 0.5, 0, 0], [1, 2, 3, -1, 0, 0]):
        with pytest.raises(FormatError, match="not colours, in 6 columns without a header"):
            cloud_of([1, 2, 3, 4, 5, 6], row)


def test_whole_numbers_may_be_written_with_a_point(save: Save) -> None:
    cloud = read_points(save("a.xyz", b"1 2 3 73.0 8.0 9.0 255.0\n4 5 6 1.0 2.0 3.0 255.0\n"))
    np.testing.assert_array_equal(cloud.colour, [[73, 8, 9], [1, 2, 3]])
    assert cloud.intensity is None
    cloud = read_points(save("a.csv", b"x,y,z,r,g,b\n1,2,3,73.0,8.0,9.0\n"))
    np.testing.assert_array_equal(cloud.colour, [[73, 8, 9]])


def test_a_pts_file_begins_with_the_count_of_its_points(save: Save) -> None:
    rows = b"1 2 3 -1024 255 0 9\n4 5 6 7 1 2 3\n"
    cloud = read_points(save("a.pts", b"2\n" + rows))
    np.testing.assert_array_equal(cloud.positions, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(cloud.intensity, [-1024, 7])
    with pytest.raises(FormatError, match="line 3: 2 rows; expected 3, as the count before them says"):
        read_points(save("a.pts", b"3\r\n" + rows[:20] + b"4 5 6 7 1 2 3"))
    with pytest.raises(FormatError, match="expected 99999999999999999"):
        read_points(save("a.pts", b"99999999999999999999\n" + rows))


@pytest.mark.parametrize("content", [b"x,y,z\n", b"x,y,z", b"\xef\xbb\xbf\n# x y z\n\n", b"0\n"])
def test_a_header_alone_is_an_empty_cloud(save: Save, content: bytes) -> None:
    assert read_points(save("a.csv", content)).positions.shape == (0, 3)


def test_points_without_a_return_are_kept_as_not_a_number(save: Save) -> None:
    table = pd.DataFrame([[1, 2, 3], [np.nan] * 3], columns=["x", "y", "z"])
    for missing in ("", "nan", "NaN"):
        cloud = read_points(save("a.csv", with_pandas(table, na_rep=missing)))
        np.testing.assert_array_equal(cloud.positions, table)


def test_text_files_are_point_files_only_where_they_are_named(tmp_path: Path) -> None:
    assert is_point_file("a.csv")
    assert not is_point_file("a.txt")
    assert is_point_file("a.txt", named=True)
    (tmp_path / "a.txt").write_text("1 2 3\n")
    np.testing.assert_array_equal(read_points(tmp_path / "a.txt").positions, [[1, 2, 3]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.csv: an empty file"),
        (b" \n\r\n# nothing\n", "neither a row nor a header"),
        ("x,y,z\n1,2,3\n".encode("utf-16"), "text in UTF-16"),
        ("x,y,z\n1,2,3\n".encode("utf-16-le"), "text in UTF-16"),
        (b"x,y\n1,2\n", "columns x, y: no z"),
        (b"a,b,c\n1,2,3\n", "no x and no y and no z"),
        (b"x,y,z\n1,2,car\n", r"line 2, column 3 \(z\): 'car'; expected a number"),
        (b"x,y,z,i\n1,2,3,4\n1,2,3,high\n", r"line 3, column 4 \(i\): 'high'; expected a number"),
        (b"x,y,z\n1,2,3\n\n1,2\n", "line 4: 2 values; expected 3: x, y, z"),
        (b"x,y,z\n1,2,3,4\n", "line 2: 4 values; expected 3: x, y, z"),
        (b"x,y,z\n1,2,3\n1,2,\xb5\n", r"line 3, column 3 \(z\): byte 0xb5"),
        (b"x;y;z\n1,5;2;3\n", "line 2: the decimal comma of '1,5'"),
        (b"1,5 2,5 3,5\n", "line 1: the decimal comma of '1,5'"),
        (b"x;y;z\n1;2;3\n1,5;2;3\n", r"line 3, column 1 \(x\): '1,5'.*\n.*decimal comma"),
        (b'x,y,z\n1,2,3\n"1,5",2,3\n', r"line 3, column 1 \(x\)"),
        (b"0,1,2\n1.5,2.5,3.5\n", "'0,1,2' as the first line"),
        (b"x,y,z\n" + b"9" * 70_000 + b",2,3\n", "line 2: a line of 70004 bytes"),
        (b"1 2 3\n4 five 6\n", r"line 2, column 2 \(y\): 'five'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(save: Save, content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        read_points(save("a.csv", content))
    assert "a.csv" in str(caught.value)


def test_a_first_row_that_is_an_ordinary_count_is_no_header(save: Save) -> None:
    np.testing.assert_array_equal(read_points(save("a.xyz", b"0 1 2\n3 4 5\n")).positions, [[0, 1, 2], [3, 4, 5]])


@given(
    st.lists(st.tuples(*[st.floats(width=64)] * 3), max_size=8),
    st.sampled_from([".csv", ".tsv", ".xyz", ".asc", ".txt", ".pts"]),
)
def test_coordinates_that_are_written_are_read_back_bit_by_bit(
    tmp_path: Path, points: list[tuple[float, float, float]], suffix: str
) -> None:
    positions = np.array(points, np.float64).reshape(-1, 3)
    cloud = PointCloud(positions, intensity=np.arange(len(points), dtype=np.float32) / 3)
    assert write_points(tmp_path / f"a{suffix}", cloud) == ()
    back = read_points(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(back.positions, positions)
    assert (np.signbit(back.positions) == np.signbit(positions))[~np.isnan(positions)].all()
    if len(points):
        assert back.intensity is not None
        np.testing.assert_array_equal(back.intensity.astype(np.float32), cloud.intensity)


@pytest.mark.parametrize("name", ["named.csv", "rows.xyz"])
def test_a_file_cut_anywhere_is_refused_or_has_all_rows_before_the_cut(save: Save, name: str) -> None:
    # Text without a count says nothing of its end: a cut between rows leaves no trace, nor does one in a last number.
    content = seeds()[name]
    whole = read_points(save(name, content))
    for cut in range(len(content)):
        try:
            cloud = read_points(save(name, content[:cut]))
        except FormatError:
            continue
        rows = len(cloud)
        assert rows >= content[:cut].count(b"\n") - (name == "named.csv")
        np.testing.assert_array_equal(cloud.positions[: rows - 1], whole.positions[: max(rows - 1, 0)])


def test_pandas_reads_what_is_written(tmp_path: Path) -> None:
    cloud = PointCloud(
        np.array([[0.1, 2, 3], [np.nan, 1e-7, 6]], np.float32),
        timestamp=np.array([1_700_000_000_123_456_789, 1]),
        colour=np.array([[1, 2, 3], [4, 5, 255]], np.uint8),
        is_ground=np.array([True, False]),
        ring=np.array([3, 65_535], np.uint16),
    )
    assert write_points(tmp_path / "a.csv", cloud) == ()
    assert (tmp_path / "a.csv").read_text().splitlines()[1].startswith("0.1,2.0,3.0,")
    table = pd.read_csv(tmp_path / "a.csv")
    np.testing.assert_array_equal(table[["x", "y", "z"]].to_numpy(np.float32), cloud.positions)
    np.testing.assert_array_equal(table["timestamp_ns"], cloud.timestamp)
    back = read_points(tmp_path / "a.csv")
    for name, column in cloud.columns.items():
        np.testing.assert_array_equal(back.columns[name], column)
    assert back.ignored_fields == ()


def test_what_a_pts_file_cannot_hold_is_named(tmp_path: Path) -> None:
    cloud = PointCloud(np.zeros((2, 3)), ring=np.zeros(2, np.uint16), intensity=np.ones(2, np.float32))
    assert write_points(tmp_path / "a.pts", cloud) == ("ring",)
    assert (tmp_path / "a.pts").read_text() == "2\n0.0 0.0 0.0 1.0\n0.0 0.0 0.0 1.0\n"


@pytest.mark.parametrize("values", [("True", "", "False"), ("false", "0.5", "1"), ("TRUE", "maybe", "0")])
def test_flags_some_of_which_are_missing_are_named_as_ignored(tmp_path: Path, values: tuple[str, ...]) -> None:
    """As those of a table with nulls are; the first of them is no fault of the file's."""
    rows = [f"{k},2,3,{value}\n" for k, value in enumerate(values)]
    (tmp_path / "a.csv").write_text("".join(["x,y,z,is_ground\n", *rows]))
    if "maybe" in values:  # text among flags
        with pytest.raises(FormatError, match=r"line 3, column 4 \(is_ground\): 'maybe'; expected a number"):
            read_points(tmp_path / "a.csv")
        return
    cloud = read_points(tmp_path / "a.csv")
    np.testing.assert_array_equal(cloud.positions[:, 0], [0, 1, 2])
    assert (dict(cloud.columns), cloud.ignored_fields) == ({}, ("is_ground",))
