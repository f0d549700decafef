"""Objects are fetched before they are read, within a budget; each is used once, and nothing else changes."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from lidarprep.errors import StorageError
from lidarprep.remote import ReadAhead, RemotePath, prefetch, read_ahead
from lidarprep.remote.listing import Listing
from tests.emulators.proxy import Request
from tests.remote.objects import answered, asked, fill, gets, hurry, path

NAMES = [f"{number}.bin" for number in range(6)]


@pytest.fixture
def frames(bucket: Any) -> dict[str, list[RemotePath]]:
    """Frames of two objects each."""
    fill(bucket, {f"rec/{part}/{name}": f"{part} of {name}".encode() for name in NAMES for part in ("lidar", "image")})
    recording = path("rec")
    assert recording.is_dir()
    return {name: [recording / "lidar" / name, recording / "image" / name] for name in NAMES}


def fetched(sent: list[Request]) -> list[str]:
    return sorted(request.path.removeprefix("/scenes/rec/") for request in sent if request.method == "GET")


def wait_for(ahead: ReadAhead) -> None:
    """Wait until what was begun is fetched."""
    assert ahead._pool is not None
    ahead._pool.shutdown()


def test_what_is_read_in_turn_was_fetched_once(frames: dict[str, list[RemotePath]]) -> None:
    with asked() as sent:
        ahead = ReadAhead(frames)
        wait_for(ahead)
        before = fetched(sent)
        for name, (lidar, image) in frames.items():
            assert lidar.read_bytes() == f"lidar of {name}".encode()
            with image.open() as file:
                assert file.read() == f"image of {name}".encode()
            ahead.finish(name)
        ahead.close()
    assert before == fetched(sent) == sorted(f"{part}/{name}" for name in NAMES for part in ("lidar", "image"))


def test_no_more_is_fetched_than_the_budget_and_it_goes_on_as_objects_are_read(
    frames: dict[str, list[RemotePath]],
) -> None:
    size = frames["0.bin"][0].stat().st_size
    with asked() as sent:
        ahead = ReadAhead(frames, most_bytes=3 * size)
        held = [ahead._held]
        for name, (lidar, image) in frames.items():
            for one in (lidar, image):
                assert one.read_bytes()
                held.append(ahead._held)
            ahead.finish(name)
        ahead.close()
    assert max(held) <= 3 * size
    assert held[-1] == 0
    assert len(fetched(sent)) == len(set(fetched(sent))) == 2 * len(NAMES)


def test_a_frame_that_reads_nothing_keeps_no_other_from_being_fetched(frames: dict[str, list[RemotePath]]) -> None:
    size = frames["0.bin"][0].stat().st_size
    ahead = ReadAhead(frames, most_bytes=2 * size)
    for name in NAMES[:-1]:
        ahead.finish(name)
    wait_for(ahead)
    with asked() as sent:
        assert frames["5.bin"][0].read_bytes() == b"lidar of 5.bin"
    ahead.close()
    assert fetched(sent) == []


def test_large_objects_are_left_to_ranges(frames: dict[str, list[RemotePath]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "_LARGEST", 3)
    with asked() as sent:
        ReadAhead(frames).close()
    assert sent == []


def test_an_error_is_raised_where_the_object_is_read(
    frames: dict[str, list[RemotePath]], monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    wanted = [one for paths in frames.values() for one in paths]
    with asked(answered("AccessDenied", 403, when=gets("rec/lidar/3.bin"))), prefetch(wanted):
        assert frames["2.bin"][0].read_bytes() == b"lidar of 2.bin"
        with pytest.raises(StorageError, match=r"lidar/3\.bin cannot be fetched: AccessDenied"):
            frames["3.bin"][0].read_bytes()
        assert frames["4.bin"][0].read_bytes() == b"lidar of 4.bin"


def test_many_small_files_are_fetched_side_by_side(
    frames: dict[str, list[RemotePath]], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(4)  # passed only by requests that are made at once
    fetch = Listing._fetch

    def waits(listing: Listing, key: str) -> bytes | None:
        together.wait(60)
        return fetch(listing, key)

    monkeypatch.setattr(Listing, "_fetch", waits)
    wanted = [frames[name][part] for name in NAMES for part in (0, 1)]
    with prefetch(wanted):
        found = [one.read_bytes() for one in wanted]
    assert found == [f"{part} of {name}".encode() for name in NAMES for part in ("lidar", "image")]


def test_files_of_the_disk_are_left_alone(tmp_path: Any) -> None:
    (tmp_path / "a").write_bytes(b"a")
    with prefetch([tmp_path / "a"]):
        assert (tmp_path / "a").read_bytes() == b"a"
