"""A store that fails while a decoder reads is told as such, and is no bad frame; each object is fetched once."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lidarprep.datasets.argoverse2 import _read_table
from lidarprep.errors import StorageError
from lidarprep.pointfiles import las, read_points, write_points
from lidarprep.remote import prefetch
from lidarprep.scene import PointCloud
from tests.emulators.proxy import Fault, Request
from tests.pointfiles.test_las_files import as_bytes, pointwise, some_points
from tests.remote.objects import answered, asked, fill, hurry, path

NAMES = ["a.laz", "layered.laz", "stream.laz", "a.las", "a.feather", "a.parquet", "a.npz", "a.pcd", "a.ply"]

# Not compressible, so that no file is a single block.
CLOUD = PointCloud(np.random.default_rng(1).normal(size=(30_000, 3)).astype(np.float32), "ego")


def content(name: str, folder: Path) -> bytes:
    if name == "stream.laz":
        return pointwise(some_points(count=5_000))
    if name.endswith(".laz"):
        return as_bytes(some_points("1.4", 7 if name == "layered.laz" else 3, count=60_000), compressed=True)
    write_points(folder / name, CLOUD)
    return (folder / name).read_bytes()


def fails_at(number: int) -> Fault:
    """The store refuses one request for content, and no other."""
    seen = count()

    def is_it(request: Request) -> bool:
        return request.method == "GET" and next(seen) == number

    return answered("AccessDenied", 403, when=is_it)


@pytest.mark.parametrize("name", NAMES)
def test_a_store_that_fails_at_any_request_is_a_storage_error(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hurry(monkeypatch)
    (tmp_path / name).write_bytes(content(name, tmp_path))
    fill(bucket, {f"rec/{name}": (tmp_path / name).read_bytes()})
    with asked() as sent:
        whole = read_points(path(f"rec/{name}"))
    np.testing.assert_array_equal(whole.positions, read_points(tmp_path / name).positions)
    requests = sum(request.method == "GET" for request in sent)
    assert requests
    for number in range(requests):
        with asked(fails_at(number)), pytest.raises(StorageError, match=f"{name} cannot be fetched: AccessDenied"):
            read_points(path(f"rec/{name}"))


def test_a_store_that_fails_while_chunks_are_read_is_a_storage_error(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    fill(bucket, {"rec/a.laz": content("a.laz", tmp_path)})
    with asked() as sent:
        assert sum(len(chunk) for chunk in las.read_chunks(path("rec/a.laz"), points_per_chunk=7_000)) == 60_000
    for number in range(sum(request.method == "GET" for request in sent)):
        with asked(fails_at(number)), pytest.raises(StorageError):
            list(las.read_chunks(path("rec/a.laz"), points_per_chunk=7_000))


def test_a_store_that_fails_at_a_table_of_argoverse_2_is_a_storage_error(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    table, sink = pa.table({"qw": np.arange(4.0)}), pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    fill(bucket, {"rec/poses.feather": sink.getvalue().to_pybytes()})
    assert _read_table(path("rec/poses.feather"), "qw")["qw"].tolist() == [0, 1, 2, 3]
    with asked(fails_at(0)), pytest.raises(StorageError):
        _read_table(path("rec/poses.feather"), "qw")


@pytest.mark.parametrize("name", NAMES)
def test_what_was_fetched_ahead_is_not_fetched_again(bucket: Any, tmp_path: Path, name: str) -> None:
    fill(bucket, {f"rec/{name}": content(name, tmp_path)})
    one = path(f"rec/{name}")
    with asked() as sent, prefetch([one]):
        read_points(one)
    assert sum(request.method == "GET" for request in sent) == 1
