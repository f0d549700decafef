"""LAS and LAZ as laspy writes them, against what laspy reads."""

from __future__ import annotations

import datetime
import io
import re
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import laspy
import lazrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.errors import EncodingError, FormatError, MissingExtraError
from lidarprep.pointfiles import CHUNKED_ABOVE, _laz, las, point_chunks, read_points, write_points
from lidarprep.pointfiles.timestamps import (
    ADJUSTED_BY_S,
    FILLED_TIMES,
    GPS_EPOCH_UNIX_S,
    LEAPS_GPS_S,
    adjusted_gps_seconds,
)
from lidarprep.scene import PointCloud

# A file that is written anew for each example may share its folder with the others.
VERSIONS = {"1.1": range(2), "1.2": range(4), "1.3": range(6), "1.4": range(11)}
KINDS = [(version, number) for version, numbers in VERSIONS.items() for number in numbers]


def unix_nanoseconds(gps_s: np.ndarray) -> np.ndarray:
    """Adjusted standard GPS seconds as NumPy converts them."""
    whole = np.floor(gps_s)
    since_gps_began = whole.astype(np.int64) + ADJUSTED_BY_S
    leap_seconds = np.searchsorted(LEAPS_GPS_S, since_gps_began, side="right")
    fraction_ns = np.rint((gps_s - whole) * 1e9).astype(np.int64)
    nanoseconds: np.ndarray = (since_gps_began + GPS_EPOCH_UNIX_S - leap_seconds) * 10**9 + fraction_ns
    return nanoseconds


def some_points(version: str = "1.2", number: int = 3, count: int = 50, **columns: Any) -> laspy.LasData:
    random = np.random.default_rng(5)
    header = laspy.LasHeader(version=version, point_format=number)
    header.scales, header.offsets = np.array([0.001, 0.01, 0.0001]), np.array([500_000.0, 4_000_000.0, -3.5])
    if version != "1.1":
        header.global_encoding.gps_time_type = laspy.header.GpsTimeType.STANDARD
    points = laspy.LasData(header, laspy.ScaleAwarePointRecord.zeros(count, header=header))
    for axis in "XYZ":
        points[axis] = random.integers(-(2**31), 2**31, count)
    columns = {"intensity": random.integers(0, 2**16, count), "classification": np.arange(count) % 7} | columns
    if "gps_time" in points.point_format.dimension_names:
        columns = {"gps_time": random.uniform(-1e8, 4e8, count)} | columns
    if "red" in points.point_format.dimension_names:
        columns = {channel: random.integers(0, 2**16, count) for channel in ("red", "green", "blue")} | columns
    for name, column in columns.items():
        points[name] = column
    return points


def as_bytes(points: laspy.LasData, *, compressed: bool = False) -> bytes:
    stream = io.BytesIO()
    points.write(stream, do_compress=compressed)
    return stream.getvalue()


def assert_same(found: PointCloud, expected: PointCloud) -> None:
    np.testing.assert_array_equal(found.positions, expected.positions)
    assert found.columns.keys() == expected.columns.keys()
    for name, column in expected.columns.items():
        np.testing.assert_array_equal(found.columns[name], column)
        assert found.columns[name].dtype == column.dtype
    assert found.ignored_fields == expected.ignored_fields
    assert set(found.notes) >= set(expected.notes)


@pytest.mark.parametrize("suffix", [".las", ".laz"])
@pytest.mark.parametrize(("version", "number"), KINDS)
def test_every_version_and_point_format_is_read_as_laspy_reads_it(
    tmp_path: Path, version: str, number: int, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(as_bytes(some_points(version, number), compressed=suffix == ".laz"))
    official, cloud = laspy.read(path), read_points(path)
    np.testing.assert_array_equal(cloud.positions, np.column_stack([official.x, official.y, official.z]))
    assert cloud.positions.dtype == np.float64
    assert cloud.intensity is not None
    np.testing.assert_array_equal(cloud.intensity, official.intensity)
    assert cloud.intensity.dtype == np.uint16
    assert cloud.is_ground is not None
    np.testing.assert_array_equal(cloud.is_ground, np.asarray(official.classification) == 2)
    read = {"X", "Y", "Z", "intensity", "classification"}
    names = set(official.point_format.dimension_names)
    assert (cloud.timestamp is not None) == ("gps_time" in names)
    assert (cloud.colour is not None) == ("red" in names)
    if cloud.colour is not None:
        channels = [official[channel] for channel in ("red", "green", "blue")]
        np.testing.assert_array_equal(cloud.colour, np.column_stack(channels) >> 8)
    assert set(cloud.ignored_fields) == names - read - {"gps_time", "red", "green", "blue"}


def test_version_1_0_is_read_as_1_1_is(tmp_path: Path) -> None:
    content = bytearray(as_bytes(some_points("1.1", 1)))
    (tmp_path / "new.las").write_bytes(content)
    content[25] = 0
    (tmp_path / "old.las").write_bytes(content)
    assert_same(read_points(tmp_path / "old.las"), read_points(tmp_path / "new.las"))


@given(
    scale=st.floats(1e-9, 1e3),
    offset=st.floats(-1e9, 1e9),
    integers=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=9),
)
def test_coordinates_are_scaled_as_laspy_scales_them(
    tmp_path: Path, scale: float, offset: float, integers: list[int]
) -> None:
    points = some_points(count=len(integers))
    points.header.scales, points.header.offsets = np.full(3, scale), np.full(3, offset)
    points = laspy.LasData(points.header, laspy.ScaleAwarePointRecord.zeros(len(integers), header=points.header))
    points["X"] = points["Y"] = points["Z"] = np.array(integers)
    points.write(tmp_path / "a.las")
    official = laspy.read(tmp_path / "a.las")
    found = read_points(tmp_path / "a.las").positions
    np.testing.assert_array_equal(found, np.column_stack([official.x, official.y, official.z]))


@pytest.mark.parametrize(
    ("moment", "leap_seconds"),
    [
        ((1980, 1, 6), 0),
        ((1981, 6, 30, 23, 59, 59), 0),
        ((1981, 7, 1), 1),
        ((2016, 12, 31, 23, 59, 59), 17),
        ((2017, 1, 1), 18),
        ((2024, 2, 29, 12), 18),
    ],
)
def test_standard_gps_time_is_unix_time_with_its_leap_seconds(moment: tuple[int, ...], leap_seconds: int) -> None:
    def utc(*when: int) -> datetime.datetime:
        return datetime.datetime(*when, tzinfo=datetime.UTC)  # type: ignore[arg-type]

    since_gps_began = (utc(*moment) - utc(1980, 1, 6)).total_seconds() + leap_seconds
    found = unix_nanoseconds(np.array([since_gps_began - 1e9]))
    assert found[0] == int(utc(*moment).timestamp()) * 10**9
    np.testing.assert_array_equal(adjusted_gps_seconds(found), [since_gps_began - 1e9])


@given(seconds=st.lists(st.floats(-1.3e9, 3e9).filter(bool), min_size=1, max_size=20))
def test_times_in_any_order_are_converted_alike_by_kernel_and_numpy(tmp_path: Path, seconds: list[float]) -> None:
    usual = [3e8] * len(seconds)  # the median, which says what they count from
    points = some_points(count=2 * len(seconds), gps_time=np.array(seconds + usual))
    (tmp_path / "a.las").write_bytes(as_bytes(points))
    np.testing.assert_array_equal(
        read_points(tmp_path / "a.las").timestamp, unix_nanoseconds(np.array(points["gps_time"]))
    )


def test_seconds_of_a_week_keep_their_own_count(tmp_path: Path) -> None:
    points = some_points(count=3, gps_time=np.array([0.25, 604_799.999999999, 3.0]))
    points.header.global_encoding.gps_time_type = laspy.header.GpsTimeType.WEEK_TIME
    (tmp_path / "a.las").write_bytes(as_bytes(points))
    np.testing.assert_array_equal(
        read_points(tmp_path / "a.las").timestamp, [250_000_000, 604_799_999_999_999, 3 * 10**9]
    )


@pytest.mark.parametrize("suffix", [".las", ".laz"])
@pytest.mark.parametrize("time", [0.0, np.nan, np.inf, 1e300, np.uint64(0x7FF0000000000001).view(np.float64)])
def test_a_point_without_a_time_takes_that_of_the_point_before_it(tmp_path: Path, time: float, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    count = 50_000  # of which the first block of a LAS file has no time
    seconds = 3e8 + np.arange(count) / 64
    seconds[:20_000] = time
    seconds[[30_000, 49_999]] = time
    path.write_bytes(as_bytes(some_points(count=count, gps_time=seconds), compressed=suffix == ".laz"))
    rows = np.arange(count)
    rows[:20_000] = 20_000
    rows[[30_000, 49_999]] -= 1
    cloud = read_points(path)
    np.testing.assert_array_equal(cloud.timestamp, unix_nanoseconds(seconds[rows]))
    assert cloud.notes == (FILLED_TIMES,)
    chunks = list(las.read_chunks(path, points_per_chunk=15_000))
    assert_same(PointCloud.concatenate(chunks), cloud)


@pytest.mark.parametrize("time", [np.nan, np.inf, 1e300])
def test_times_none_of_which_is_one_are_named_as_ignored(tmp_path: Path, time: float) -> None:
    (tmp_path / "a.las").write_bytes(as_bytes(some_points(count=3, gps_time=np.array([0.0, time, time]))))
    cloud = read_points(tmp_path / "a.las")
    assert cloud.timestamp is None
    assert "gps_time" in cloud.ignored_fields
    assert_same(PointCloud.concatenate(list(las.read_chunks(tmp_path / "a.las", points_per_chunk=2))), cloud)


NOVEMBER = 1_699_964_782.5  # Unix seconds: 2023-11-14; since then GPS time is 18 s ahead


@pytest.mark.parametrize(
    ("standard", "seconds", "unix", "said"),
    [
        (False, 384_000_000.5, NOVEMBER, "beyond its 604,800 seconds: they are taken as adjusted .* of 2023-11-14"),
        (False, 1_384_000_000.5, NOVEMBER, "taken as GPS seconds since 1980, of 2023-11-14"),
        (False, NOVEMBER, NOVEMBER, "taken as seconds since the Unix epoch, of 2023-11-14"),
        (True, 1_384_000_000.5, NOVEMBER, "after 2043: they are taken as GPS seconds since 1980, of 2023-11-14"),
        (True, NOVEMBER, NOVEMBER, "taken as seconds since the Unix epoch"),
        (True, 400_000.5, 1_316_364_785.5, "14 to 21 September 2011"),
        (True, 384_000_000.5, NOVEMBER, None),
        (True, -100_000_000.0, 1_215_964_786.0, None),
        (False, 604_900.5, 604_900.5, None),  # a count that runs on behind the week's end
    ],
)
def test_gps_times_that_contradict_the_header_are_taken_as_what_they_are(
    tmp_path: Path, standard: bool, seconds: float, unix: float, said: str | None
) -> None:
    """The Unix seconds of GPS time are 315,964,800 more, less 14 leap seconds in 2008, 15 in 2011 and 18 in 2023."""
    points = some_points(count=5, gps_time=np.full(5, seconds))
    points.header.global_encoding.gps_time_type = laspy.header.GpsTimeType(int(standard))
    (tmp_path / "a.las").write_bytes(as_bytes(points))
    cloud = read_points(tmp_path / "a.las")
    assert cloud.timestamp is not None
    assert cloud.timestamp.tolist() == [round(unix * 1e9)] * 5
    assert bool(cloud.notes) == (said is not None)
    assert said is None or re.search(said, cloud.notes[0])


def test_seconds_that_as_gps_time_would_be_later_than_the_file_are_unix_seconds(tmp_path: Path) -> None:
    """As in a file of PDAL's, of 2008-03-19: at 05:00 of that day it was 1,205,902,800."""
    points = some_points(count=3, gps_time=np.full(3, 1_205_902_800.0))
    points.header.global_encoding.gps_time_type = laspy.header.GpsTimeType.WEEK_TIME
    for day, unix in ((datetime.date(2008, 3, 18), 1_205_902_800), (datetime.date(2019, 1, 1), 1_521_867_582)):
        points.header.creation_date = day
        (tmp_path / "a.las").write_bytes(as_bytes(points))
        times = read_points(tmp_path / "a.las").timestamp
        assert times is not None
        assert times.tolist() == [unix * 10**9] * 3


def test_version_1_1_with_the_bit_of_adjusted_times_has_them(tmp_path: Path) -> None:
    content = bytearray(as_bytes(some_points("1.1", 1, 3, gps_time=np.full(3, 28_967_300.0))))
    content[6] = 1
    (tmp_path / "a.las").write_bytes(content)
    times = read_points(tmp_path / "a.las").timestamp
    assert times is not None
    assert np.datetime64(int(times[0]), "ns").astype("datetime64[D]") == np.datetime64("2012-08-14")


@pytest.mark.parametrize("offset", [None, 1400])
def test_version_1_5_is_read_with_its_offset_of_times(tmp_path: Path, offset: int | None) -> None:
    """A header of 393 bytes: 1.4's, then the latest and the earliest GPS time, and their offset in 1e6 seconds."""
    seconds = 384_000_000.5 if offset is None else 1_384_000_000.5 - 1e6 * offset
    points = some_points("1.4", 6, 3, gps_time=np.full(3, seconds))
    old = as_bytes(points)
    content = bytearray(old[:375] + struct.pack("<ddH", seconds, seconds, offset or 0) + old[375:])
    content[25] = 5
    content[6] |= 64 if offset else 0
    struct.pack_into("<HI", content, 94, 393, struct.unpack_from("<I", content, 96)[0] + 18)
    struct.pack_into("<I", content, 107, 0)
    (tmp_path / "new.las").write_bytes(content)
    cloud = read_points(tmp_path / "new.las")
    assert cloud.timestamp is not None
    assert cloud.timestamp.tolist() == [round(NOVEMBER * 1e9)] * 3
    np.testing.assert_array_equal(cloud.positions, np.column_stack([points.x, points.y, points.z]))
    assert cloud.notes == ()


def test_more_records_than_there_are_do_not_hide_the_points(tmp_path: Path) -> None:
    """Other readers (laspy, PDAL) read as many as there are before the points."""
    points = some_points("1.4", 7)
    points.add_extra_dim(laspy.ExtraBytesParams("ring", "u1"))
    points["ring"] = np.arange(50)
    content = bytearray(as_bytes(points))
    (tmp_path / "a.las").write_bytes(content)
    expected = read_points(tmp_path / "a.las")
    struct.pack_into("<I", content, 100, 2**31)
    (tmp_path / "b.las").write_bytes(content)
    found = read_points(tmp_path / "b.las")
    assert_same(found, expected)
    assert found.notes == ("the header counts 2147483648 records; the file has room for 1",)


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_colours_of_8_bits_are_told_by_the_whole_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    dark = {channel: np.arange(50) for channel in ("red", "green", "blue")}
    path.write_bytes(as_bytes(some_points(**dark), compressed=suffix == ".laz"))
    colour = read_points(path).colour
    assert colour is not None
    np.testing.assert_array_equal(colour[:, 0], np.arange(50))
    # One bright point at the end makes all of them 16 bits wide, in chunks too.
    dark["blue"][-1] = 65535
    path.write_bytes(as_bytes(some_points(**dark), compressed=suffix == ".laz"))
    for cloud in (read_points(path), *las.read_chunks(path, points_per_chunk=49)):
        assert cloud.colour is not None
        assert (cloud.colour[:, 0] == 0).all()
    assert cloud.colour[-1, 2] == 255


def test_fields_that_are_zero_throughout_are_taken_as_not_recorded(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("gps_time", "red", "green", "blue"), np.zeros(5))
    (tmp_path / "a.las").write_bytes(as_bytes(some_points(count=5, classification=np.ones(5, np.uint8), **nothing)))
    assert set(read_points(tmp_path / "a.las").columns) == {"intensity"}


def test_flags_in_the_upper_bits_of_an_old_class_do_not_hide_the_ground(tmp_path: Path) -> None:
    points = some_points(count=3, classification=np.array([2, 2, 1]), withheld=np.array([0, 1, 1]))
    (tmp_path / "a.las").write_bytes(as_bytes(points))
    np.testing.assert_array_equal(read_points(tmp_path / "a.las").is_ground, [True, True, False])


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_extra_bytes_fill_ring_and_device_and_others_are_named(tmp_path: Path, suffix: str) -> None:
    points = some_points("1.4", 7)
    for name, kind in {"Reflectance": "f4", "Ring": "u1", "normal": "3f4", "DEVICE": "u4", "ring": "u1"}.items():
        points.add_extra_dim(laspy.ExtraBytesParams(name, kind))
    points["Ring"], points["DEVICE"] = np.arange(50), np.arange(50) * 10**7
    (tmp_path / f"a{suffix}").write_bytes(as_bytes(points, compressed=suffix == ".laz"))
    cloud = read_points(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(cloud.columns["ring"], np.arange(50))
    np.testing.assert_array_equal(cloud.columns["device"], np.arange(50) * 10**7)
    assert {"Reflectance", "normal", "ring"} <= set(cloud.ignored_fields)
    assert not {"Ring", "DEVICE"} & set(cloud.ignored_fields)


def test_a_coordinate_reference_system_is_named(tmp_path: Path) -> None:
    points = some_points()
    points.header.vlrs.append(laspy.VLR("LASF_Projection", 34735, "", struct.pack("<4H", 1, 1, 0, 0)))
    (tmp_path / "a.las").write_bytes(as_bytes(points))
    assert read_points(tmp_path / "a.las").ignored_fields[-1] == "coordinate reference system"


@pytest.mark.parametrize("suffix", [".las", ".laz"])
@pytest.mark.parametrize("size", [7, 50, 1000])
def test_chunks_together_are_the_whole(tmp_path: Path, suffix: str, size: int) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(as_bytes(some_points("1.4", 7), compressed=suffix == ".laz"))
    whole, chunks = read_points(path, "world"), list(las.read_chunks(path, "world", size))
    assert [len(chunk) for chunk in chunks] == [min(size, 50 - begin) for begin in range(0, 50, size)]
    columns = {name: np.concatenate([chunk.columns[name] for chunk in chunks]) for name in chunks[0].columns}
    together = PointCloud(np.concatenate([chunk.positions for chunk in chunks]), "world", **columns)
    np.testing.assert_array_equal(together.positions, whole.positions)
    assert together.columns.keys() == whole.columns.keys()
    for name, column in whole.columns.items():
        np.testing.assert_array_equal(together.columns[name], column)
    assert {chunk.ignored_fields for chunk in chunks} == {whole.ignored_fields}


def test_long_records_are_decoded_fewer_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header may give each point 64 KB of extra bytes."""
    path = tmp_path / "a.laz"
    path.write_bytes(as_bytes(some_points("1.4", 7), compressed=True))
    whole = read_points(path)
    monkeypatch.setattr(_laz, "_BYTES_AT_ONCE", 7 * 36)
    assert_same(read_points(path), whole)


def test_chunks_are_offered_for_large_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.las"
    path.write_bytes(as_bytes(some_points()))
    assert point_chunks(path) is None
    assert point_chunks(tmp_path / "a.ply") is None
    assert point_chunks(tmp_path / "missing.las") is None
    monkeypatch.setitem(CHUNKED_ABOVE, ".las", 100)
    chunks = point_chunks(path, "world")
    assert chunks is not None
    for _ in range(2):  # anew at each call
        assert_same(next(chunks()), read_points(path))
    path.unlink()
    with pytest.raises(FormatError, match="cannot be read"):
        next(chunks())


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_a_file_without_points_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(as_bytes(some_points(count=0), compressed=suffix == ".laz"))
    assert len(read_points(path)) == 0
    assert [len(chunk) for chunk in las.read_chunks(path)] == [0]


@pytest.mark.parametrize("compressed", [False, True])
@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, compressed: bool, data: st.DataObject) -> None:
    content = as_bytes(some_points("1.4", 7), compressed=compressed)
    path = tmp_path / "a.laz"
    # LAZ ends in the table of its chunks, of which the last bytes may be padding of its coder.
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - (9 if compressed else 1)))])
    with pytest.raises(FormatError):
        read_points(path)


@pytest.mark.parametrize("compressed", [False, True])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, compressed: bool, data: st.DataObject) -> None:
    content = bytearray(as_bytes(some_points("1.4", 7, count=20), compressed=compressed))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "a.las").write_bytes(content)
    with suppress(FormatError):
        read_points(tmp_path / "a.las")


@pytest.mark.parametrize(
    ("at", "code", "value", "expected"),
    [
        (0, "4s", b"LAZF", "byte 0"),
        (25, "B", 6, "version 1.6"),
        (94, "H", 100, "byte 94"),
        (96, "I", 2**32 - 1, "the file ends here"),
        (104, "B", 11, "point format 11"),
        (105, "H", 33, "33 bytes a point; expected at least 34"),
        (107, "I", 2**32 - 1, "the file ends here"),
        (107, "I", 49, "34 bytes more than the header promises"),
        (131, "d", np.nan, "scales"),
    ],
)
def test_a_header_that_lies_is_refused_by_name(tmp_path: Path, at: int, code: str, value: Any, expected: str) -> None:
    content = bytearray(as_bytes(some_points()))
    struct.pack_into(f"<{code}", content, at, value)
    (tmp_path / "a.las").write_bytes(content)
    with pytest.raises(FormatError, match=expected):
        read_points(tmp_path / "a.las")


def laz_parts(number: int) -> tuple[bytearray, int, int]:
    """A LAZ file, and where its points and the table of its chunks begin."""
    content = bytearray(as_bytes(some_points("1.4", number), compressed=True))
    begins = struct.unpack_from("<I", content, 96)[0]
    return content, begins, struct.unpack_from("<q", content, begins)[0]


def pointwise(points: laspy.LasData) -> bytes:
    """A LAZ file as LASzip 1 wrote it: one stream in place of chunks, and no table of them."""
    plain, number, count = as_bytes(points), points.point_format.id, len(points.points)
    record = bytearray(lazrs.LazVlr.new_for_compression(number, 0).record_data())
    struct.pack_into("<I", record, 12, count)
    chunk = io.BytesIO()
    compressor = lazrs.LasZipCompressor(chunk, lazrs.LazVlr(bytes(record)))
    compressor.compress_many(np.frombuffer(points.points.array.tobytes(), np.uint8))
    compressor.done()
    stream = chunk.getvalue()[8 : struct.unpack_from("<q", chunk.getvalue())[0]]
    struct.pack_into("<HI", record, 0, 1, 0)
    struct.pack_into("<I", record, 12, 50_000)
    vlr = struct.pack("<H16sHH32s", 0, b"laszip encoded", 22204, len(record), b"") + bytes(record)
    begins = struct.unpack_from("<I", plain, 96)[0]
    head = bytearray(plain[:begins])
    struct.pack_into("<II", head, 96, begins + len(vlr), struct.unpack_from("<I", head, 100)[0] + 1)
    head[104] |= 128
    return bytes(head) + vlr + stream


@pytest.mark.parametrize("number", range(4))
def test_points_in_one_stream_are_read_as_they_were_written(tmp_path: Path, number: int) -> None:
    points = some_points("1.2", number, count=60_000)
    (tmp_path / "a.las").write_bytes(as_bytes(points))
    (tmp_path / "a.laz").write_bytes(pointwise(points))
    expected, found = read_points(tmp_path / "a.las"), read_points(tmp_path / "a.laz")
    assert_same(found, expected)
    chunks = list(las.read_chunks(tmp_path / "a.laz", points_per_chunk=25_000))
    assert_same(PointCloud.concatenate(chunks), expected)


def test_points_in_one_stream_that_is_cut_or_promises_too_many_are_refused(tmp_path: Path) -> None:
    content = pointwise(some_points())
    (tmp_path / "a.laz").write_bytes(content[:-40])
    with pytest.raises(FormatError, match="not readable LAZ"):
        read_points(tmp_path / "a.laz")
    (tmp_path / "a.laz").write_bytes(content[:107] + struct.pack("<I", 2**32 - 1) + content[111:])
    with pytest.raises(FormatError, match="4294967295 points in a file of"):
        read_points(tmp_path / "a.laz")


@pytest.mark.parametrize("chunks", [2**32 - 1, 100, 0])
def test_an_absurd_number_of_chunks_is_refused_before_lazrs_believes_it(tmp_path: Path, chunks: int) -> None:
    content, _, table = laz_parts(3)
    struct.pack_into("<I", content, table + 4, chunks)
    (tmp_path / "a.laz").write_bytes(content)
    with pytest.raises(FormatError):
        read_points(tmp_path / "a.laz")


def test_absurd_layers_are_refused_before_lazrs_believes_them(tmp_path: Path) -> None:
    content, begins, _ = laz_parts(7)
    struct.pack_into("<I", content, begins + 8 + 36 + 4, 2**32 - 1)
    (tmp_path / "a.laz").write_bytes(content)
    with pytest.raises(FormatError, match="layers that reach beyond their chunk"):
        read_points(tmp_path / "a.laz")


def test_more_points_than_a_laz_file_can_hold_are_refused(tmp_path: Path) -> None:
    content, _, _ = laz_parts(7)
    struct.pack_into("<I", content, 107, 0)
    struct.pack_into("<Q", content, 247, 2**63)
    (tmp_path / "a.laz").write_bytes(content)
    with pytest.raises(FormatError):
        read_points(tmp_path / "a.laz")


def test_panics_of_lazrs_become_one_error_and_ctrl_c_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lidarprep.pointfiles import _laz

    class PanicException(BaseException):
        """As pyo3 raises it: no Exception."""

    raised: list[type[BaseException]] = [PanicException, KeyboardInterrupt]

    def decoder(*_: object) -> None:
        raise raised.pop(0)("within lazrs")

    monkeypatch.setattr(_laz.lazrs, "decompress_points_with_chunk_table", decoder)
    content, _, _ = laz_parts(7)
    (tmp_path / "a.laz").write_bytes(content)
    with pytest.raises(FormatError, match="within lazrs"):
        read_points(tmp_path / "a.laz")
    with pytest.raises(KeyboardInterrupt):
        read_points(tmp_path / "a.laz")


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_what_is_written_is_read_back_exactly_by_us_and_laspy(tmp_path: Path, suffix: str) -> None:
    random = np.random.default_rng(3)
    cloud = PointCloud(
        (random.integers(-(2**20), 2**20, (30, 3)) / 2**13).astype(np.float32),
        intensity=random.integers(0, 2**16, 30).astype(np.uint16),
        device=random.integers(0, 2**32, 30).astype(np.uint32),
        timestamp=1_700_000_000_123_456_789 + np.arange(30),
        is_ground=np.arange(30) % 3 == 0,
        colour=random.integers(0, 256, (30, 3)).astype(np.uint8),
        ring=random.integers(0, 2**16, 30).astype(np.uint16),
    )
    path = tmp_path / f"a{suffix}"
    assert write_points(path, cloud) == ()
    back = read_points(path)
    np.testing.assert_array_equal(back.positions, cloud.positions)
    assert back.columns.keys() == cloud.columns.keys()
    for name, column in cloud.columns.items():
        np.testing.assert_array_equal(back.columns[name], column)
    official = laspy.read(path)
    np.testing.assert_array_equal(np.column_stack([official.x, official.y, official.z]), cloud.positions)
    np.testing.assert_array_equal(official.classification == 2, cloud.is_ground)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_what_las_cannot_hold_is_named(tmp_path: Path) -> None:
    cloud = PointCloud(
        np.array([[1e-9, 0, 0], [1e6, 0, 0]]),
        intensity=np.array([0.25, 1.0], np.float32),
        is_ground=np.zeros(2, np.bool_),
        colour=np.zeros((2, 3), np.uint8),
    )
    assert write_points(tmp_path / "a.las", cloud) == ("positions", "intensity", "is_ground", "colour")
    back = read_points(tmp_path / "a.las")
    np.testing.assert_allclose(back.positions, cloud.positions, atol=1e-3)
    np.testing.assert_array_equal(back.columns["intensity"], [16384, 65535])
    with pytest.raises(EncodingError, match="not finite"):
        write_points(tmp_path / "a.las", PointCloud(np.array([[np.nan, 0, 0]])))


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, _, _ = laz_parts(7)
    (tmp_path / "a.laz").write_bytes(content)
    for module in ("lazrs", "laspy"):
        monkeypatch.setitem(sys.modules, module, None)
    package = sys.modules["lidarprep.pointfiles"]
    monkeypatch.delitem(sys.modules, "lidarprep.pointfiles._laz", raising=False)
    monkeypatch.delattr(package, "_laz", raising=False)
    with pytest.raises(MissingExtraError, match=r"lidarprep\[las\]"):
        read_points(tmp_path / "a.laz")
    with pytest.raises(MissingExtraError, match=r"lidarprep\[las\]"):
        write_points(tmp_path / "b.las", PointCloud(np.zeros((1, 3))))


def test_an_absurd_size_of_chunks_is_refused_before_lazrs_believes_it(tmp_path: Path) -> None:
    content, _, _ = laz_parts(7)
    record = content.index(b"laszip encoded") + 52
    assert struct.unpack_from("<I", content, record + 12)[0] == 50_000
    struct.pack_into("<I", content, record + 12, 2**31)
    (tmp_path / "a.laz").write_bytes(content)
    with pytest.raises(FormatError, match="a chunk of 2147483648 points"):
        read_points(tmp_path / "a.laz")
