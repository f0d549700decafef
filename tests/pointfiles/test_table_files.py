"""Parquet and Feather as pyarrow and pandas write them, against what they read."""

from __future__ import annotations

import decimal
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather, parquet

from lidarprep.errors import FormatError, MissingExtraError
from lidarprep.pointfiles import read_points, write_points
from lidarprep.scene import PointCloud

NAMES = ["a.parquet", "a.feather", "a.arrow"]


def columns(count: int = 40, dtype: Any = np.float32) -> dict[str, Any]:
    random = np.random.default_rng(2)
    return {axis: random.normal(0, 20, count).astype(dtype) for axis in "xyz"}


def save(path: Path, table: Any, **options: Any) -> Path:
    table = table if isinstance(table, pa.Table) else pa.table(table)
    if path.suffix == ".parquet":
        parquet.write_table(table, path, **options)
    else:
        feather.write_feather(table, str(path), **options)
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, np.uint64])
def test_what_pandas_writes_is_read_as_pandas_reads_it(tmp_path: Path, name: str, dtype: Any) -> None:
    frame = pd.DataFrame(columns(dtype=np.float64)).abs().astype(dtype)
    frame["i"], frame["t_us"], frame["laser_number"] = np.arange(40.0), np.arange(40), np.arange(40) % 8
    frame["label"] = "car"
    path = tmp_path / name
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_feather(path)
    official = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_feather(path)
    cloud = read_points(path)
    np.testing.assert_array_equal(cloud.positions, official[["x", "y", "z"]].to_numpy(cloud.positions.dtype))
    assert cloud.positions.dtype == (np.float32 if dtype in (np.float16, np.float32) else np.float64)
    np.testing.assert_array_equal(cloud.columns["intensity"], official["i"])
    np.testing.assert_array_equal(cloud.columns["timestamp"], official["t_us"] * 1000)
    np.testing.assert_array_equal(cloud.columns["ring"], official["laser_number"])
    assert cloud.ignored_fields == ("label",)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compression", ["lz4", "zstd", "none"])
def test_every_compression_is_read(tmp_path: Path, name: str, compression: str) -> None:
    data = columns()
    named = "uncompressed" if compression == "none" and not name.endswith("parquet") else compression
    path = save(tmp_path / name, data, compression=named)
    np.testing.assert_array_equal(read_points(path).positions, np.column_stack(list(data.values())))


@pytest.mark.parametrize("name", NAMES)
def test_a_table_in_many_pieces_is_read_whole(tmp_path: Path, name: str) -> None:
    data = columns(1000)
    options = {"row_group_size": 90} if name.endswith("parquet") else {"chunksize": 90}
    path = save(tmp_path / name, data, **options)
    np.testing.assert_array_equal(read_points(path).positions, np.column_stack(list(data.values())))


@pytest.mark.parametrize("name", NAMES)
def test_a_null_coordinate_is_nan_and_another_column_with_nulls_is_named(tmp_path: Path, name: str) -> None:
    table = {
        "x": pa.array([1.5, None]),
        "y": pa.array([None, 7], pa.int32()),
        "z": pa.array([1, 2], pa.int32()),
        "intensity": pa.array([None, 0.5]),
        "ring": pa.array([1, None], pa.uint8()),
        "timestamp": pa.array([None, 5], pa.timestamp("ns")),
        "is_ground": pa.array([True, None]),
    }
    cloud = read_points(save(tmp_path / name, table))
    np.testing.assert_array_equal(cloud.positions, [[1.5, np.nan, 1], [np.nan, 7, 2]])
    np.testing.assert_array_equal(cloud.columns["intensity"], [np.nan, 0.5])
    assert set(cloud.columns) == {"intensity"}
    assert set(cloud.ignored_fields) == {"ring", "timestamp", "is_ground"}


@pytest.mark.parametrize("name", NAMES)
def test_dictionaries_decimals_and_arrow_times_are_decoded(tmp_path: Path, name: str) -> None:
    table = {
        "X": pa.array([0.5, 2.5, 0.5]).dictionary_encode(),
        "Y": pa.array([decimal.Decimal("1.25")] * 3),
        "Z": pa.array([1, 2, 3], pa.uint8()),
        "time": pa.array([1_700_000_000_000_001] * 3, pa.timestamp("us", tz="Europe/Berlin")),
        "is_ground": pa.array([True, False, True]),
    }
    cloud = read_points(save(tmp_path / name, table))
    np.testing.assert_array_equal(cloud.positions, [[0.5, 1.25, 1], [2.5, 1.25, 2], [0.5, 1.25, 3]])
    np.testing.assert_array_equal(cloud.columns["timestamp"], [1_700_000_000_000_001_000] * 3)
    np.testing.assert_array_equal(cloud.columns["is_ground"], [True, False, True])


@pytest.mark.parametrize("name", NAMES)
def test_positions_as_lists_of_three_are_read(tmp_path: Path, name: str) -> None:
    values = np.arange(12, dtype=np.float32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values), 3)
    table = pa.table({"xyz": lists, "normal": lists, "i": np.arange(4)})
    cloud = read_points(save(tmp_path / name, table))
    np.testing.assert_array_equal(cloud.positions, values.reshape(4, 3))
    assert cloud.positions.dtype == np.float32
    assert cloud.ignored_fields == ("normal",)
    holed = pa.table({"position": pa.array([[1.0, 2.0, 3.0], None], pa.list_(pa.float64(), 3))})
    back = read_points(save(tmp_path / name, holed.slice(0)))
    np.testing.assert_array_equal(back.positions, [[1, 2, 3], [np.nan] * 3])


@pytest.mark.parametrize("name", NAMES)
def test_a_table_without_rows_is_read(tmp_path: Path, name: str) -> None:
    assert len(read_points(save(tmp_path / name, columns(0)))) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_table_that_holds_no_points_says_what_it_holds(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match="columns speed, heading: no x"):
        read_points(save(tmp_path / name, {"speed": [1.0], "heading": [2.0]}))
    with pytest.raises(FormatError, match="no z"):
        read_points(save(tmp_path / name, {"x": [1.0], "y": [2.0]}))
    with pytest.raises(FormatError, match=r"column 'y': string; expected numbers"):
        read_points(save(tmp_path / name, {"x": [1.0], "y": ["far"], "z": [2.0]}))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_back_exactly_by_us_and_pandas(tmp_path: Path, name: str) -> None:
    random = np.random.default_rng(3)
    cloud = PointCloud(
        random.normal(0, 1e6, (30, 3)),
        intensity=random.normal(size=30).astype(np.float16),
        device=random.integers(0, 2**32, 30).astype(np.uint32),
        timestamp=1_700_000_000_123_456_789 + np.arange(30),
        is_ground=np.arange(30) % 3 == 0,
        colour=random.integers(0, 256, (30, 3)).astype(np.uint8),
        ring=random.integers(0, 2**16, 30).astype(np.uint16),
    )
    path = tmp_path / name
    assert write_points(path, cloud) == ()
    back = read_points(path)
    np.testing.assert_array_equal(back.positions, cloud.positions)
    assert back.columns.keys() == cloud.columns.keys()
    for column, values in cloud.columns.items():
        np.testing.assert_array_equal(back.columns[column], values)
        assert back.columns[column].dtype == values.dtype
    official = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_feather(path)
    np.testing.assert_array_equal(official[["x", "y", "z"]], cloud.positions)
    np.testing.assert_array_equal(official["timestamp_ns"], cloud.timestamp)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    content = save(tmp_path / name, columns()).read_bytes()
    (tmp_path / name).write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(FormatError):
        read_points(tmp_path / name)


@pytest.mark.parametrize("name", ["a.parquet", "a.feather"])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    content = bytearray(save(tmp_path / name, columns()).read_bytes())
    start = data.draw(st.integers(0, len(content) // 2))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(start // 2, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(content)
    with suppress(FormatError):
        read_points(tmp_path / name)


def test_feather_of_version_1_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.feather").write_bytes(b"FEA1" + bytes(100) + struct.pack("<I", 8) + b"FEA1")
    with pytest.raises(FormatError, match="Feather version 1"):
        read_points(tmp_path / "a.feather")


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.parquet", columns())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "lidarprep.pointfiles.tables", raising=False)
    with pytest.raises(MissingExtraError, match=r"lidarprep\[tables\]"):
        read_points(path)


@pytest.mark.parametrize("first", [True, False])
def test_of_coordinates_that_stand_twice_the_columns_are_read_and_the_lists_named(tmp_path: Path, first: bool) -> None:
    columns = {axis: np.array([1.0, 2.0]) for axis in "xyz"}
    lists = {"position": pa.array([[7, 8, 9], [7, 8, 9]], pa.list_(pa.float32(), 3))}
    parquet.write_table(pa.table(lists | columns if first else columns | lists), tmp_path / "a.parquet")
    cloud = read_points(tmp_path / "a.parquet")
    np.testing.assert_array_equal(cloud.positions, [[1, 1, 1], [2, 2, 2]])
    assert cloud.ignored_fields == ("position",)
