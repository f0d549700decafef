"""Files that a local folder takes from where they lie: as links, with shared blocks, or as plain copies."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from lidarprep.storage.copies import TakesFiles

from lidarprep.storage import LocalFolder, StoredObject, copies

KEY = "images/front/1.jpg"
PICTURE = b"\xff\xd8\xff picture"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "recording/1.jpg"
    path.parent.mkdir()
    path.write_bytes(PICTURE)
    return path


def take(store: LocalFolder, path: Path) -> StoredObject:
    with path.open("rb", buffering=0) as file:
        return store.put_copy(KEY, file, "image/jpeg")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def sharing(handle: int, request: int, source: int) -> int:
    """FICLONE, as a file system does it that can share blocks."""
    assert request == 0x40049409
    os.pwrite(handle, os.pread(source, 1 << 20, 0), 0)
    return 0


def test_a_copy_is_recorded_as_the_same_bytes_that_are_put(tmp_path: Path, picture: Path) -> None:
    assert isinstance(LocalFolder(tmp_path), TakesFiles)
    for number, options in enumerate(({}, {"link_images": True})):
        store = LocalFolder(tmp_path / str(number), **options)
        assert take(store, picture) == LocalFolder(tmp_path / "put").put(KEY, PICTURE, "image/jpeg")
        assert files(store.path) == {KEY}
        assert store.get(KEY) == PICTURE


def test_a_copy_is_a_file_of_its_own_unless_a_link_is_asked_for(tmp_path: Path, picture: Path) -> None:
    take(LocalFolder(tmp_path / "copied"), picture)
    take(LocalFolder(tmp_path / "linked", link_images=True), picture)
    assert not (tmp_path / "copied" / KEY).samefile(picture)
    assert (tmp_path / "linked" / KEY).samefile(picture)


def test_blocks_are_shared_where_this_file_system_can(tmp_path: Path, picture: Path) -> None:
    with picture.open("rb") as source, (tmp_path / "try").open("wb") as target:
        try:
            fcntl.ioctl(target.fileno(), 0x40049409, source.fileno())
        except OSError as error:
            pytest.skip(f"it cannot: {error.strerror}")
    store = LocalFolder(tmp_path / "out")
    take(store, picture)
    assert store.get(KEY) == PICTURE
    store.run_folder.mkdir()
    assert not store.needs_room_for(picture)


def test_what_is_recorded_of_a_copy_is_what_was_copied_whatever_becomes_of_the_original(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(handle: int, request: int, source: int) -> int:
        sharing(handle, request, source)
        picture.write_bytes(b"\xff\xd8\xff another")
        return 0

    monkeypatch.setattr(fcntl, "ioctl", overtaken)
    store = LocalFolder(tmp_path / "out")
    stored = take(store, picture)
    assert store.get(KEY) == PICTURE
    assert stored.sha256 == hashlib.sha256(PICTURE).hexdigest()


def test_a_copy_is_synced_before_it_gets_its_name_and_its_folder_after(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_sync(handle: int) -> None:
        events.append(f"sync {Path(f'/proc/self/fd/{handle}').readlink().name[:9]}")
        fsync(handle)

    def noted_replace(self: Path, target: Path) -> Path:
        events.append(f"{self.name[:9]} to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(fcntl, "ioctl", sharing)
    (tmp_path / "out/images/front").mkdir(parents=True)
    for store, synced in (
        (LocalFolder(tmp_path / "out"), ".writing-"),
        (LocalFolder(tmp_path / "out", link_images=True), "1.jpg"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", noted_sync)
            patched.setattr(Path, "replace", noted_replace)
            take(store, picture)
        assert events == [f"sync {synced}", ".writing- to 1.jpg", "sync front"]
        events.clear()


def test_a_picture_that_is_a_symbolic_link_is_linked_to_what_it_leads_to(tmp_path: Path, picture: Path) -> None:
    shown = tmp_path / "shown.jpg"
    shown.symlink_to(picture)
    take(LocalFolder(tmp_path / "out", link_images=True), shown)
    linked = tmp_path / "out" / KEY
    assert not linked.is_symlink()
    assert linked.samefile(picture)


def test_a_picture_that_is_replaced_once_it_is_open_is_stored_as_it_was_opened(tmp_path: Path, picture: Path) -> None:
    store = LocalFolder(tmp_path / "out", link_images=True)
    with picture.open("rb", buffering=0) as file:
        picture.unlink()
        picture.write_bytes(b"another file")
        stored = store.put_copy(KEY, file, "image/jpeg")
    assert store.get(KEY) == PICTURE
    assert stored.sha256 == hashlib.sha256(PICTURE).hexdigest()
    assert files(store.path) == {KEY}


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP])
def test_where_no_link_can_be_made_there_is_a_copy_and_that_is_said_once(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refused)
    store = LocalFolder(tmp_path / "out", link_images=True)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            take(store, picture)
    assert store.get(KEY) == PICTURE
    assert not (store.path / KEY).samefile(picture)
    assert [record.getMessage() for record in caplog.records] == [
        f"pictures are copied, since no hard links can be made: {os.strerror(number)}"
    ]


def test_a_link_that_is_stored_again_leaves_no_other_name_behind(tmp_path: Path, picture: Path) -> None:
    store = LocalFolder(tmp_path / "out", link_images=True)
    for _ in range(2):  # where both names are of one file, rename(2) does nothing
        take(store, picture)
        staged = store.staged()
        take(staged, picture)
        staged.commit([KEY])
    assert files(store.path) == {KEY}
    assert picture.stat().st_nlink == 2


def test_what_replaces_a_link_does_not_reach_the_original(tmp_path: Path, picture: Path) -> None:
    store = LocalFolder(tmp_path / "out", link_images=True)
    take(store, picture)
    store.put(KEY, b"another", "image/jpeg")
    assert picture.read_bytes() == PICTURE
    take(store, picture)
    store.discard([KEY])
    assert picture.read_bytes() == PICTURE


@pytest.mark.parametrize("link", [False, True])
def test_an_original_that_cannot_be_read_is_told_from_a_disk_that_fails(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, link: bool
) -> None:
    store = LocalFolder(tmp_path / "out", link_images=link)

    def unreadable(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    class Unreadable:
        name = str(picture)

        def __init__(self) -> None:
            self.file = picture.open("rb", buffering=0)
            self.fileno, self.seek, self.read = self.file.fileno, self.file.seek, unreadable

    monkeypatch.setattr(copies, "new_link", unreadable)
    monkeypatch.setattr(fcntl, "ioctl", unreadable)
    source: Any = Unreadable()
    with source.file, pytest.raises(OSError, match="Input/output"):
        store.put_copy(KEY, source, "image/jpeg")
    assert files(store.path) == set()


def test_copies_that_share_need_no_room_and_one_file_of_a_disk_tells_for_all(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def ioctl(handle: int, request: int, source: int) -> int:
        tried.append(source)
        return sharing(handle, request, source)

    def never(*_: Any) -> int:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    other = picture.with_name("2.jpg")
    other.write_bytes(PICTURE)
    for answer, needs in ((ioctl, False), (never, True)):
        store = LocalFolder(tmp_path / "out")
        store.run_folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.setattr(fcntl, "ioctl", answer)
        assert [store.needs_room_for(path) for path in (picture, other)] == [needs, needs]
    assert len(tried) == 1
    linking = LocalFolder(tmp_path / "out", link_images=True)
    assert not linking.needs_room_for(picture)
    assert files(tmp_path / "out") == set()
