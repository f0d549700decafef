"""A folder for temporary files that is full or not there is a StorageError, which no reader takes for a bad file."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lidarprep.errors import StorageError
from lidarprep.remote import RemotePath
from tests.remote.web import web_server


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A small object, all of which waits in a buffer until the copy is flushed."""
    (tmp_path / "a.bin").write_bytes(bytes(1000))
    with web_server(tmp_path, ranges=False) as address:
        yield f"{address}/a.bin"


@pytest.fixture(params=["full", "missing"])
def no_room(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if request.param == "missing":
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("read", [RemotePath.open, RemotePath.local_copy])
def test_no_room_for_a_copy_is_a_storage_error(url: str, no_room: None, read: Callable[[RemotePath], object]) -> None:
    with pytest.raises(StorageError, match="a temporary file cannot be written") as error:
        read(RemotePath(url))
    assert "TMPDIR" in str(error.value.fix)
