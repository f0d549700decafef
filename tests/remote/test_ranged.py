"""An object is read by ranges as a file is, by few requests, and never more than is asked for and some blocks."""

from __future__ import annotations

import functools
import io
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lidarprep.remote import RemotePath
from lidarprep.remote.ranged import BLOCK
from tests.emulators.proxy import Request
from tests.remote.objects import asked, fill, path
from tests.remote.web import web_server

DATA = random.Random(1).randbytes(40 * BLOCK + 77)


@pytest.fixture
def large(bucket: Any) -> RemotePath:
    fill(bucket, {"rec/large.bin": DATA})
    return path("rec/large.bin")


@pytest.fixture(params=["s3", "web", "web without ranges"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RemotePath]:
    if request.param == "s3":
        yield request.getfixturevalue("large")
        return
    (tmp_path / "large.bin").write_bytes(DATA)
    with web_server(tmp_path, ranges=request.param == "web") as url:
        yield RemotePath(f"{url}/large.bin")


def ranges(sent: list[Request]) -> list[tuple[int, int]]:
    """First and last byte of each part that was asked for."""
    found = [{name.lower(): value for name, value in one.headers.items()}.get("range") for one in sent]
    return [(int(first), int(last)) for first, last in (one.split("=")[1].split("-") for one in found if one)]


@pytest.mark.parametrize("buffering", [-1, 0])
def test_reading_here_and_there_is_as_of_a_file(anywhere: RemotePath, buffering: int) -> None:
    draw = random.Random(2)
    with anywhere.open(buffering=buffering) as ours, io.BytesIO(DATA) as theirs:
        assert ours.seekable()
        assert ours.readable()
        for _ in range(60):
            place = draw.choice([(draw.randrange(len(DATA) + 99), 0), (-draw.randrange(len(DATA)), 2), (0, 1)])
            assert ours.seek(*place) == theirs.seek(*place)
            size = draw.choice([0, 1, 77, 8192, BLOCK, 3 * BLOCK + 1])
            assert ours.read(size) == theirs.read(size)
            assert ours.tell() == theirs.tell()
        assert ours.read() == theirs.read()
        with pytest.raises((ValueError, OSError)):
            ours.seek(-1)


def test_threads_read_parts_of_one_file_at_once(anywhere: RemotePath) -> None:
    with anywhere.open_ranged() as file, ThreadPoolExecutor(8) as pool:
        starts = [random.Random(number).randrange(len(DATA)) for number in range(40)]
        parts = list(pool.map(lambda start: file.pread(50_000, start), starts))
    assert parts == [DATA[start : start + 50_000] for start in starts]


def test_a_small_part_is_one_request_for_one_block(large: RemotePath) -> None:
    with large.open() as file, asked() as sent:
        file.seek(10 * BLOCK + 5)
        assert file.read(100) == DATA[10 * BLOCK + 5 :][:100]
    assert ranges(sent) == [(10 * BLOCK, 11 * BLOCK - 1)]


def test_blocks_side_by_side_are_one_request_and_what_is_held_is_none(large: RemotePath) -> None:
    with large.open_ranged() as file, asked() as sent:
        assert file.pread(5 * BLOCK, 3 * BLOCK) == DATA[3 * BLOCK : 8 * BLOCK]
        assert file.pread(BLOCK, 4 * BLOCK + 1) == DATA[4 * BLOCK + 1 : 5 * BLOCK + 1]
        assert file.pread(3 * BLOCK, 6 * BLOCK) == DATA[6 * BLOCK : 9 * BLOCK]
    assert ranges(sent) == [(3 * BLOCK, 8 * BLOCK - 1), (8 * BLOCK, 9 * BLOCK - 1)]


def test_reading_from_one_end_to_the_other_asks_for_more_and_more_at_once(large: RemotePath) -> None:
    with large.open() as file, asked() as sent:
        assert b"".join(iter(functools.partial(file.read, 10_000), b"")) == DATA
    assert len(sent) <= 8
    assert sum(last - first + 1 for first, last in ranges(sent)) == len(DATA)


def test_what_is_kept_of_a_file_is_bounded(large: RemotePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lidarprep.remote.ranged._KEPT", 4 * BLOCK)
    with large.open_ranged() as file:
        for start in range(0, len(DATA), 3 * BLOCK):
            assert file.pread(3 * BLOCK, start) == DATA[start : start + 3 * BLOCK]
            assert len(file._blocks) <= 4
        assert file.pread(30 * BLOCK, 0) == DATA[: 30 * BLOCK]
        assert len(file._blocks) <= 4


def test_all_of_the_rest_is_one_request(large: RemotePath) -> None:
    with large.open(buffering=0) as file, asked() as sent:
        assert file.read() == DATA
    assert ranges(sent) == [(0, len(DATA) - 1)]


def test_an_object_is_opened_to_read_bytes_only(large: RemotePath) -> None:
    for mode in ("wb", "r", "ab", "r+b"):
        with pytest.raises(ValueError, match="'rb'"):
            large.open(mode)
