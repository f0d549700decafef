"""What is wrong with a folder is seen before any work, and said in one sentence."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from lidarprep.storage.durable import FolderSyncs

from lidarprep.errors import StorageError
from lidarprep.storage import LocalFolder, durable
from lidarprep.storage.store import RUN_FOLDER

KEY = "images/front/1.jpg"


def a_file(out: Path) -> None:
    out.write_text("a file")


def a_link_to_nothing(out: Path) -> None:
    out.symlink_to("nothing")


def a_link_to_itself(out: Path) -> None:
    out.symlink_to(out.name)


def links_run_folder(out: Path) -> None:
    (out.parent / "elsewhere/staged").mkdir(parents=True)
    out.mkdir()
    (out / RUN_FOLDER).symlink_to(out.parent / "elsewhere")


def links_staging(out: Path) -> None:
    (out.parent / "elsewhere").mkdir()
    (out / RUN_FOLDER).mkdir(parents=True)
    (out / RUN_FOLDER / "staged").symlink_to(out.parent / "elsewhere")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (a_file, "is not a folder"),
        (a_link_to_nothing, "is a link that leads to no folder"),
        (a_link_to_itself, "is a link that leads to no folder"),
        (links_run_folder, "is a link, where a folder of a run is to be"),
        (links_staging, "is a link, where a folder of a run is to be"),
    ],
)
def test_what_cannot_be_stored_in_is_refused_before_any_work(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    make(tmp_path / "out")
    with pytest.raises(StorageError, match=said) as refused:
        LocalFolder(tmp_path / "out").check()
    assert refused.value.fix is not None


def test_a_name_that_no_file_system_takes_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="File name too long") as refused:
        LocalFolder(tmp_path / ("x" * 300) / "out").check()
    assert refused.value.fix == "Choose a destination with a shorter path."


@pytest.mark.skipif(os.getuid() == 0, reason="root may do everything")
@pytest.mark.parametrize(("mode", "said"), [(0o500, "not writable"), (0o300, "not readable"), (0o000, "not writable")])
def test_a_folder_that_may_not_be_used_is_one_clear_error(tmp_path: Path, mode: int, said: str) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=mode)
    for out in (kept, kept / "not/there"):
        with pytest.raises(StorageError, match=said):
            LocalFolder(out).check()


@pytest.mark.parametrize(("allowed", "said"), [(os.R_OK, "not writable"), (os.W_OK | os.X_OK, "not readable")])
def test_a_folder_must_be_one_that_can_be_read_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int, said: str
) -> None:
    """To make a name in a folder durable it has to be opened for reading."""
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & ~allowed)
    with pytest.raises(StorageError, match=said):
        LocalFolder(tmp_path).check()


def test_what_is_in_the_way_of_a_folder_is_seen_before_any_work_and_not_at_the_end_of_it(tmp_path: Path) -> None:
    store = LocalFolder(tmp_path / "out")
    assert store.existing([KEY, "a.json"]) == set()
    store.path.mkdir()
    (store.path / "images").write_text("a file")
    with pytest.raises(StorageError, match=r"out/images is not a folder") as refused:
        store.existing([KEY, "a.json"])
    assert refused.value.fix == "Remove it, or choose another destination."
    (store.path / "images").unlink()
    (store.path / "images").symlink_to(tmp_path)
    with pytest.raises(StorageError, match="is a link that leads out of"):
        store.existing([KEY])
    (store.path / "images").unlink()
    (store.path / "images").symlink_to("nothing")
    with pytest.raises(StorageError, match="is not a folder"):
        store.existing([KEY])
    (store.path / "images").unlink()
    (store.path / "pictures").mkdir()
    (store.path / "images").symlink_to("pictures")
    assert store.existing([KEY]) == set()


def test_what_cannot_be_looked_at_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: Path) -> os.stat_result:
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "lstat", failing)
        with pytest.raises(StorageError, match=r"a\.json cannot be read: Stale file handle"):
            LocalFolder(tmp_path).sizes(["a.json"])
        with pytest.raises(StorageError, match="Stale file handle") as refused:
            LocalFolder(tmp_path).check()
        assert refused.value.fix == "The network disk is gone: run the same command again when it is back."


def test_a_commit_that_cannot_be_made_makes_no_folder(tmp_path: Path) -> None:
    staged = LocalFolder(tmp_path).staged()
    for key in (KEY, "manifest.json"):
        staged.put(key, b"x", "application/json")
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(StorageError, match="is a folder, where a file is to go"):
        staged.commit([KEY, "manifest.json"])
    assert {path.name for path in tmp_path.iterdir()} == {RUN_FOLDER, "manifest.json"}


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_that_cannot_sync_folders_is_stored_at_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fsync = os.fsync

    def only_files(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").is_dir():
            raise OSError(code, os.strerror(code))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", only_files)
    LocalFolder(tmp_path).put(KEY, b"x", "image/jpeg")
    assert (tmp_path / KEY).read_bytes() == b"x"


def test_who_finds_a_folder_that_another_is_making_waits_until_its_name_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    making, go_on, ends = threading.Event(), threading.Event(), list[str]()

    def slow(_: Path) -> None:
        making.set()
        assert go_on.wait(10)
        ends.append("synced")

    monkeypatch.setattr(durable, "_sync_folder", slow)
    syncs = FolderSyncs()

    def find() -> None:
        syncs.make_folder(tmp_path / "new")
        ends.append("found")

    threads = [threading.Thread(target=find)]
    threads[0].start()
    assert making.wait(10)
    assert (tmp_path / "new").is_dir()
    threads.append(threading.Thread(target=find))
    threads[1].start()
    threads[1].join(0.05)
    assert ends == []
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert ends == ["synced", "found", "found"]
