"""A local folder: what is durable, what stays inside, what is readable, and what a failing disk leaves."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lidarprep.storage.durable import FolderSyncs

from lidarprep.errors import StorageError
from lidarprep.storage import LocalFolder, durable
from lidarprep.storage.keys import KeyMaker, is_key

JSON = "application/json"


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@given(st.text(max_size=300), st.text(max_size=300))
@settings(max_examples=50)
def test_what_any_name_becomes_can_be_stored_and_lies_inside(tmp_path: Path, folder: str, name: str) -> None:
    out = tmp_path / "out"
    key = KeyMaker().key("images", folder, name, suffix=".jpg")
    assert is_key(key)
    store = LocalFolder(out)
    store.put(key, b"x", "image/jpeg")
    assert files(out) == {key}
    store.discard([key])
    assert files(tmp_path) == set()


@pytest.mark.parametrize("key", ["", "..", "../a", "a/../../b", "/etc/passwd", "a//b", "./a", "a/.", "a\0b"])
def test_a_key_that_leads_outside_is_refused_by_all_that_takes_one(tmp_path: Path, key: str) -> None:
    store = LocalFolder(tmp_path / "out")
    for store_ in (store, store.staged()):
        for use in (
            lambda s=store_: s.put(key, b"x", JSON),
            lambda s=store_: s.get(key),
            lambda s=store_: s.measure(key),
            lambda s=store_: s.discard([key]),
            lambda s=store_: s.sizes([key]),
        ):
            with pytest.raises(StorageError, match="is no name of something in"):
                use()
    assert files(tmp_path) == set()


def test_a_folder_inside_that_is_a_link_to_the_outside_is_not_followed(tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (outside / "a.jpg").write_bytes(b"theirs")
    (out / "images").symlink_to(outside)
    store = LocalFolder(out)
    with pytest.raises(StorageError, match="a link that leads out"):
        store.put("images/a.jpg", b"x", "image/jpeg")
    with pytest.raises(StorageError, match="a link that leads out"):
        store.discard(["images/a.jpg"])
    staged = store.staged()
    staged.put("images/a.jpg", b"x", "image/jpeg")
    with pytest.raises(StorageError, match="a link that leads out"):
        staged.commit(["images/a.jpg"])
    assert (outside / "a.jpg").read_bytes() == b"theirs"


def test_a_link_in_place_of_a_file_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "theirs").write_bytes(b"theirs")
    (out / "a.json").symlink_to(tmp_path / "theirs")
    LocalFolder(out).put("a.json", b"x", JSON)
    assert (tmp_path / "theirs").read_bytes() == b"theirs"
    assert (out / "a.json").read_bytes() == b"x"


def test_a_destination_that_is_a_link_itself_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    LocalFolder(tmp_path / "out").put("images/a.jpg", b"x", "image/jpeg")
    assert files(tmp_path / "real") == {"images/a.jpg"}


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_files_get_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = LocalFolder(tmp_path / "out")
        store.put("a.json", b"x", JSON)
        with store.spool("b.sfs") as file:
            file.write(b"x")
            store.put_file("b.sfs", file, "application/octet-stream")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o666 & ~umask}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is synced, and of what is renamed, in the order in which that happens."""
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_sync(handle: int) -> None:
        events.append(f"sync {Path(f'/proc/self/fd/{handle}').readlink().name}")
        fsync(handle)

    def noted_replace(self: Path, target: Path) -> Path:
        events.append(f"{self.name} to {Path(target).name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    return events


def test_a_file_is_synced_before_it_gets_its_name_and_its_folder_after(tmp_path: Path, synced: list[str]) -> None:
    LocalFolder(tmp_path).put("a.json", b"x", JSON)
    first, second, third = synced
    assert first.startswith("sync .writing-")
    assert second == f"{first.removeprefix('sync ')} to a.json"
    assert third == f"sync {tmp_path.name}"


def test_a_new_folder_is_synced_into_those_above_it(tmp_path: Path, synced: list[str]) -> None:
    LocalFolder(tmp_path / "out").put("images/front/1.jpg", b"x", "image/jpeg")
    assert {f"sync {name}" for name in (tmp_path.name, "out", "images", "front")} <= set(synced)


def test_folders_that_were_made_for_a_runs_lock_are_durable_before_its_work(tmp_path: Path, synced: list[str]) -> None:
    store = LocalFolder(tmp_path / "new/out")
    store.run_folder.mkdir(parents=True)
    store.probe()
    assert sorted(synced) == sorted(f"sync {name}" for name in (tmp_path.name, "new", "out"))


def test_a_manifest_gets_its_name_after_all_others_are_durable(tmp_path: Path, synced: list[str]) -> None:
    staged = LocalFolder(tmp_path).staged()
    keys = ["a.json", "images/b.jpg", "manifest.json"]
    for key in keys:
        staged.put(key, b"x", JSON)
    synced.clear()
    staged.commit(keys)
    last = synced.index("manifest.json to manifest.json")
    assert synced[:last].index("a.json to a.json") < synced.index(
        f"sync {tmp_path.name}", synced.index("a.json to a.json")
    )
    assert "sync images" in synced[:last]
    assert synced[last - 1].startswith("sync ")
    assert synced[last + 1 :] == [f"sync {tmp_path.name}"]
    assert files(tmp_path) == set(keys)


def test_a_commit_that_was_interrupted_can_be_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.json").write_bytes(b"old")
    keys = ["a.json", "b.json", "c.json", "manifest.json"]
    for key in keys:
        LocalFolder(tmp_path).staged().put(key, b"new", JSON)
    replace = Path.replace

    def killed_at_b(self: Path, target: Path) -> Path:
        if self.name == "b.json":
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed_at_b)
        with pytest.raises(KeyboardInterrupt):
            LocalFolder(tmp_path).staged().commit(keys)
    assert not (tmp_path / "manifest.json").exists()  # it would speak of what is replaced
    LocalFolder(tmp_path).staged().commit(keys)
    assert {key: (tmp_path / key).read_bytes() for key in keys} == dict.fromkeys(keys, b"new")
    assert files(tmp_path) == set(keys)
    LocalFolder(tmp_path).staged().commit(keys)


def test_a_commit_of_what_is_gone_is_refused_and_moves_nothing(tmp_path: Path) -> None:
    staged = LocalFolder(tmp_path).staged()
    staged.put("a.json", b"x", JSON)
    with pytest.raises(StorageError, match=r"b\.json is gone"):
        staged.commit(["a.json", "b.json"])
    assert files(tmp_path) == {".lidarprep-run/staged/a.json"}


def test_syncs_of_a_folder_are_shared_by_those_who_wait_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), list[Path]()

    def slow(folder: Path) -> None:
        begun.set()
        assert go_on.wait(10)
        done.append(folder)

    monkeypatch.setattr(durable, "_sync_folder", slow)
    syncs = FolderSyncs()
    first = threading.Thread(target=syncs.sync, args=(tmp_path,))
    first.start()
    assert begun.wait(10)
    turns = syncs._folders[tmp_path]
    late = [threading.Thread(target=syncs.sync, args=(tmp_path,)) for _ in range(8)]
    for thread in late:
        thread.start()
    go_on.set()
    for thread in (first, *late):
        thread.join(10)
    # The first; at least one more, which began after the others had come; each that came late is covered.
    assert 2 <= len(done) <= 9
    assert turns.done == turns.begun == len(done)


def test_a_sync_that_fails_counts_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    syncs = FolderSyncs()
    with monkeypatch.context() as patched:
        patched.setattr(durable, "_sync_folder", failing)
        with pytest.raises(OSError, match="Input/output"):
            syncs.sync(tmp_path)
    asked: list[Path] = []
    monkeypatch.setattr(durable, "_sync_folder", asked.append)
    syncs.sync(tmp_path)
    assert asked == [tmp_path]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space left on device[\\s\\S]*Make room"),
        (errno.EDQUOT, "Disk quota exceeded[\\s\\S]*used up"),
        (errno.EROFS, "Read-only file system[\\s\\S]*read-only"),
        (errno.EIO, "Input/output error[\\s\\S]*disk failed"),
    ],
)
@pytest.mark.parametrize("where", ["fsync", "open"])
def test_a_disk_that_fails_is_one_clear_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str, where: str
) -> None:
    store = LocalFolder(tmp_path)
    store.put("a.json", b"old", JSON)

    def failing(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, where, failing)
        with pytest.raises(StorageError, match=rf"a\.json cannot be written: {said}"):
            store.put("a.json", b"new", JSON)
    assert files(tmp_path) == {"a.json"}
    assert store.get("a.json") == b"old"


def test_a_disk_without_room_is_seen_before_any_work(tmp_path: Path) -> None:
    LocalFolder(tmp_path / "out").check(needed_bytes=1)
    with pytest.raises(StorageError, match=r"has \d+\.\d\d [GM]B left, and about 1000000000\.00 GB are to be stored"):
        LocalFolder(tmp_path / "out").check(needed_bytes=10**18)
    assert not (tmp_path / "out").exists()


def test_listing_gives_what_stands_and_a_runs_own_only_if_asked(tmp_path: Path) -> None:
    store = LocalFolder(tmp_path)
    for key in ("b/c.json", "a.json", "ab/x.json", ".lidarprep-run/journal/0"):
        store.put(key, b"x", JSON)
    store.staged().put("d.json", b"x", JSON)
    (tmp_path / ".writing-0").write_bytes(b"half")
    assert list(store.list()) == ["a.json", "ab/x.json", "b/c.json"]
    assert list(store.list("a")) == ["a.json", "ab/x.json"]
    assert list(store.list("b/")) == ["b/c.json"]
    assert list(store.list(".lidarprep-run/journal/")) == [".lidarprep-run/journal/0"]
    assert list(store.list("nothing/")) == []


def test_sweeping_deletes_what_a_killed_run_left_half_written_and_nothing_else(tmp_path: Path) -> None:
    staged = LocalFolder(tmp_path).staged()
    staged.put("images/a.jpg", b"x", "image/jpeg")
    (tmp_path / ".lidarprep-run/staged/images/.writing-0").write_bytes(b"half")
    (tmp_path / ".writing-theirs").write_bytes(b"another program's")
    staged.sweep()
    assert files(tmp_path) == {".lidarprep-run/staged/images/a.jpg", ".writing-theirs"}


def test_sizes_of_a_staged_store_are_of_what_is_staged(tmp_path: Path) -> None:
    store = LocalFolder(tmp_path)
    store.put("a.json", b"x", JSON)
    store.staged().put("b.json", b"xx", JSON)
    assert store.sizes(["a.json", "b.json", "a.json/c"]) == {"a.json": 1}
    assert store.staged().sizes(["a.json", "b.json"]) == {"b.json": 2}
    measured = store.staged().measure("b.json")
    assert measured is not None
    assert measured.bytes == 2
    assert store.measure("b.json") is None
