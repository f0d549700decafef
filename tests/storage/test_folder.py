"""A local folder as store: what stays inside, what is durable when, one manifest at a time, and a disk that fails."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lidarprep.errors import ManifestConflictError, RecipeError, StorageError
from lidarprep.storage import StorageOptions, open_store
from lidarprep.storage.folder import FolderStore
from lidarprep.storage.keys import KeyMaker, content_key
from lidarprep.storage.store import MANIFEST_KEY
from tests.storage.s3 import put

KEY = "images/front/1-0123456789ab.jpg"
SFS = "scene-0123456789ab.sfs"


def opened(path: Path, **options: Any) -> FolderStore:
    return FolderStore(path, StorageOptions(**options))


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_put_replaced_read_in_part_listed_and_deleted(tmp_path: Path) -> None:
    store = opened(tmp_path / "out")
    assert store.get(KEY) is None
    put(store, KEY, b"one")
    put(store, KEY, b"0123456789")
    assert files(tmp_path / "out") == {KEY: b"0123456789"}
    assert [store.get(KEY, 3, 5), store.get(KEY, 8, 99), store.get(KEY, 10, 11)] == [b"34", b"89", b""]
    (info,) = store.sizes("images/").values()
    assert (info.bytes, info.modified) == (10, (tmp_path / "out" / KEY).stat().st_mtime)
    store.delete([KEY, "never/there.json"])
    assert list((tmp_path / "out").iterdir()) == []
    put(store, KEY, b"again")  # into folders that are gone by now
    assert store.get(KEY) == b"again"


def test_listings_are_of_the_prefix_and_leave_out_temporary_names(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for key in ("frames/a.json", "frames/b/c.json", SFS, "scene.txt", ".lidarprep/0.json"):
        put(store, key, b"x")
    (tmp_path / "frames/.writing-0").write_bytes(b"half")
    assert sorted(store.sizes("frames/")) == ["frames/a.json", "frames/b/c.json"]
    assert sorted(store.sizes("frames/a")) == ["frames/a.json"]
    assert sorted(store.sizes("scene-")) == [SFS]
    assert sorted(store.sizes(".lidarprep/")) == [".lidarprep/0.json"]
    assert store.sizes("nothing/") == opened(tmp_path / "no").sizes("frames/") == {}


def test_what_killed_runs_left_half_written_is_deleted_once_it_is_old_and_nothing_else(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, KEY)
    half = [tmp_path / "images/front/.writing-0", tmp_path / ".writing-1", tmp_path / "theirs/.writing-2"]
    for number, path in enumerate(half):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
        os.utime(path, (0, 100 * number))
    store.delete_unfinished(50.0)
    assert [path.exists() for path in half] == [False, True, True]
    store.delete_unfinished(1e12)
    assert sorted(files(tmp_path)) == [KEY, "theirs/.writing-2"]


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=60))
@settings(max_examples=40)
def test_what_any_name_becomes_can_be_stored_and_lies_inside(
    tmp_path: Path, camera: str, name: str, suffix: str
) -> None:
    key = content_key(KeyMaker().stem("images", camera, name), "0123456789abcdef", f".{suffix}")
    store = opened(tmp_path / "out")
    put(store, key)
    assert list(files(tmp_path)) == [f"out/{key}"]
    store.delete([key])
    assert files(tmp_path) == {}


@pytest.mark.parametrize("key", ["", "..", "../a", "a/../../b", "/etc/passwd", "a//b", "./a", "a/.", "a\0b"])
def test_a_key_that_leads_outside_is_refused_by_all_that_takes_one(tmp_path: Path, key: str) -> None:
    store = opened(tmp_path / "out")
    for use in (lambda: put(store, key), lambda: store.get(key), lambda: store.delete([key])):
        with pytest.raises(StorageError, match="is not a name of something in"):
            use()
    assert files(tmp_path) == {}


def test_a_folder_inside_that_is_a_link_to_the_outside_is_not_followed(tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    (outside / "front").mkdir(parents=True)
    (outside / "front/1-0123456789ab.jpg").write_bytes(b"theirs")
    out.mkdir()
    (out / "images").symlink_to(outside)
    for use in (
        lambda store: put(store, KEY),
        lambda store: store.get(KEY),
        lambda store: store.delete([KEY]),
        lambda store: store.check(),
        lambda store: store.sizes("images/"),
        lambda store: store.delete_unfinished(1e12),
    ):
        with pytest.raises(StorageError, match="a link that leads out"):
            use(opened(out))
    assert files(outside) == {"front/1-0123456789ab.jpg": b"theirs"}


def test_links_that_stay_inside_or_are_the_destination_itself_are_fine(tmp_path: Path) -> None:
    (tmp_path / "real/pictures").mkdir(parents=True)
    (tmp_path / "real/images").symlink_to("pictures")
    (tmp_path / "out").symlink_to(tmp_path / "real")
    store = opened(tmp_path / "out")
    store.check()
    put(store, KEY)
    assert store.get(KEY) == b"[1]"
    assert (tmp_path / "real/pictures/front").is_dir()


def test_a_link_in_place_of_a_file_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"theirs")
    for key in ("a.json", "manifest.json"):
        (tmp_path / key).symlink_to(tmp_path / "theirs")
    store = opened(tmp_path)
    put(store, "a.json", b"x")
    found = store.read_current(MANIFEST_KEY)
    assert found is not None
    store.replace(MANIFEST_KEY, b"x", if_version=found[1])
    assert files(tmp_path) == {"theirs": b"theirs", "a.json": b"x", "manifest.json": b"x"}


def test_a_temporary_file_lies_beside_its_place_and_is_moved_there_not_copied(tmp_path: Path) -> None:
    store = opened(tmp_path / "out")
    with store.temporary_file() as file:
        file.write(b"one two")
        inode = Path(file.name).stat().st_ino
        store.put_file(SFS, file, "application/octet-stream", sha256="")
    assert (tmp_path / "out" / SFS).stat().st_ino == inode
    with store.temporary_file() as file:
        file.write(b"not stored")
    assert files(tmp_path / "out") == {SFS: b"one two"}


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_files_get_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = opened(tmp_path / "out")
        put(store, "a.json")
        with store.temporary_file() as file:
            store.put_file(SFS, file, "application/octet-stream", sha256="")
        store.replace(MANIFEST_KEY, b"{}", if_version=None)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o666 & ~umask}


def test_urls_are_relative_or_under_the_prefix_that_is_given(tmp_path: Path) -> None:
    assert opened(tmp_path).url("a b.json") == opened(tmp_path).fetch_url("a b.json").url == "a%20b.json"
    assert opened(tmp_path, url_base="https://x.example.com/a/").url("b.json") == "https://x.example.com/a/b.json"
    assert opened(tmp_path / "a b").location("c.json") == f"file://{tmp_path}/a%20b/c.json"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"presign_hours": 1}, "cannot be signed"),
        ({"sse": "AES256", "tags": {"a": "b"}}, "sse, tags: that is for buckets"),
    ],
)
def test_what_a_folder_cannot_heed_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        open_store(str(tmp_path), StorageOptions(**options))


# ---- the manifest: one at a time


def version_of(store: FolderStore) -> str | None:
    found = store.read_current(MANIFEST_KEY)
    return None if found is None else found[1]


def test_a_manifest_is_replaced_only_if_it_is_the_one_that_was_read(tmp_path: Path) -> None:
    one, two = opened(tmp_path / "out"), opened(tmp_path / "out")
    assert one.read_current(MANIFEST_KEY) is None
    one.replace(MANIFEST_KEY, b"1", if_version=None)
    with pytest.raises(ManifestConflictError, match=r"out/manifest\.json was replaced meanwhile"):
        two.replace(MANIFEST_KEY, b"2", if_version=None)
    version = version_of(two)
    one.replace(MANIFEST_KEY, b"3", if_version=version)
    with pytest.raises(ManifestConflictError):
        two.replace(MANIFEST_KEY, b"4", if_version=version)
    version = version_of(two)
    (tmp_path / "out/manifest.json").unlink()
    with pytest.raises(ManifestConflictError):
        two.replace(MANIFEST_KEY, b"5", if_version=version)
    assert files(tmp_path) == {}


@pytest.mark.parametrize("exists", [False, True])
def test_of_many_threads_at_once_one_writes_the_manifest(tmp_path: Path, exists: bool) -> None:
    if exists:
        opened(tmp_path).replace(MANIFEST_KEY, b"old", if_version=None)
    version, begin, lost = version_of(opened(tmp_path)), Barrier(8), list[bytes]()

    def write(data: bytes) -> None:
        store = opened(tmp_path)
        begin.wait()
        try:
            store.replace(MANIFEST_KEY, data, if_version=version)
        except ManifestConflictError:
            lost.append(data)

    threads = [Thread(target=write, args=[b"%d" % number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 7
    (left,) = {b"%d" % number for number in range(8)} - set(lost)
    assert files(tmp_path) == {"manifest.json": left}


_COUNTER = """
import sys
from pathlib import Path
from lidarprep.errors import ManifestConflictError
from lidarprep.storage import StorageOptions
from lidarprep.storage.folder import FolderStore
from lidarprep.storage.store import MANIFEST_KEY

store, done = FolderStore(sys.argv[1], StorageOptions()), 0
while done < 20:
    data, version = store.read_current(MANIFEST_KEY)
    try:
        store.replace(MANIFEST_KEY, b"%d" % (int(data) + 1), if_version=version)
        done += 1
    except ManifestConflictError:
        pass
"""


def test_processes_that_replace_the_manifest_at_once_lose_no_change(tmp_path: Path) -> None:
    """Each counts one up from what it has read; where two read the same, one must be told."""
    store = opened(tmp_path)
    store.replace(MANIFEST_KEY, b"0", if_version=None)
    counters = [subprocess.Popen([sys.executable, "-c", _COUNTER, str(tmp_path)]) for _ in range(3)]
    assert [counter.wait(timeout=120) for counter in counters] == [0, 0, 0]
    assert files(tmp_path) == {"manifest.json": b"60"}


def test_a_manifest_that_is_replaced_while_another_waits_for_its_lock_is_a_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even by the same bytes: who waited holds the lock of a file that is no longer the manifest."""
    store = opened(tmp_path)
    store.replace(MANIFEST_KEY, b"1", if_version=None)
    version = version_of(store)

    def overtaken(handle: int, how: int) -> None:
        (tmp_path / "other").write_bytes(b"1")
        (tmp_path / "other").rename(tmp_path / "manifest.json")

    monkeypatch.setattr("fcntl.flock", overtaken)
    with pytest.raises(ManifestConflictError):
        store.replace(MANIFEST_KEY, b"2", if_version=version)


def test_where_links_and_locks_are_unknown_the_manifest_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", unknown)
    monkeypatch.setattr("fcntl.flock", unknown)
    store = opened(tmp_path)
    store.replace(MANIFEST_KEY, b"1", if_version=None)
    with pytest.raises(ManifestConflictError):
        store.replace(MANIFEST_KEY, b"2", if_version=None)
    store.replace(MANIFEST_KEY, b"3", if_version=version_of(store))
    assert files(tmp_path) == {"manifest.json": b"3"}


# ---- what is durable when


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is synced, renamed and linked, in the order in which that happens."""
    noted: list[str] = []
    fsync, rename, link = os.fsync, Path.rename, os.link

    def noted_sync(handle: int) -> None:
        noted.append(f"sync {Path(f'/proc/self/fd/{handle}').readlink().name[:9]}")
        fsync(handle)

    def noted_rename(self: Path, target: Path) -> Path:
        noted.append(f"{self.name[:9]} to {target.name}")
        return rename(self, target)

    def noted_link(source: Path, target: Path) -> None:
        noted.append(f"{Path(source).name[:9]} to {Path(target).name}")
        link(source, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    monkeypatch.setattr(os, "link", noted_link)
    return noted


def test_objects_are_synced_before_they_get_their_names_and_cache_entries_are_not(
    tmp_path: Path, events: list[str]
) -> None:
    store = opened(tmp_path)
    put(store, "a.json")
    put(store, ".lidarprep/0.json")
    with store.temporary_file() as file:
        store.put_file(SFS, file, "application/octet-stream", sha256="")
    assert events == [
        "sync .writing-",
        ".writing- to a.json",
        ".writing- to 0.json",
        "sync .writing-",
        f".writing- to {SFS}",
    ]


def test_a_manifest_gets_its_name_after_all_others_are_durable_and_is_durable_itself(
    tmp_path: Path, events: list[str]
) -> None:
    out = tmp_path / "new" / "out"
    put(opened(out), KEY)  # by an earlier run
    put(opened(out), ".lidarprep/0.json")
    store = opened(out)
    for version in (False, True):
        events.clear()
        store.replace(MANIFEST_KEY, b"{}", if_version=version_of(store) if version else None)
        last = events.index(".writing- to manifest.json")
        assert set(events[:last]) >= {
            f"sync {name}" for name in ("out", "images", "front", "new", tmp_path.name[:9], ".writing-")
        }
        assert "sync .lidarprep"[:14] not in events
        assert events[last + 1 :] == ["sync out"]


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
    opened(tmp_path).replace(MANIFEST_KEY, b"x", if_version=None)
    assert files(tmp_path) == {"manifest.json": b"x"}


# ---- what is wrong is seen before any work


@pytest.mark.parametrize(
    ("name", "link", "said"),
    [
        ("out", None, "out is not a folder"),
        ("out", "nothing", "is a link that leads to no folder"),
        ("out", "out", "is a link that leads to no folder"),
        ("out/images", None, "images is not a folder, and files are to be stored in it"),
        ("out/frames", "nothing", "frames is not a folder"),
        ("out/.lidarprep", "..", r"\.lidarprep is a link that leads out"),
    ],
)
def test_what_cannot_be_stored_in_is_refused(tmp_path: Path, name: str, link: str | None, said: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("a file") if link is None else path.symlink_to(link)
    with pytest.raises(StorageError, match=said) as refused:
        opened(tmp_path / "out").check()
    assert refused.value.fix is not None


def test_a_name_that_no_file_system_takes_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="File name too long") as refused:
        opened(tmp_path / ("x" * 300) / "out").check()
    assert refused.value.fix == "Choose a destination with a shorter path."


@pytest.mark.skipif(os.getuid() == 0, reason="root may do everything")
@pytest.mark.parametrize(("mode", "said"), [(0o500, "not writable"), (0o300, "not readable"), (0o000, "not writable")])
def test_a_folder_that_may_not_be_used_is_one_clear_error(tmp_path: Path, mode: int, said: str) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=mode)
    for out in (kept, kept / "not/there"):
        with pytest.raises(StorageError, match=said):
            opened(out).check()


@pytest.mark.parametrize(("allowed", "said"), [(os.R_OK, "not writable"), (os.W_OK | os.X_OK, "not readable")])
def test_a_folder_must_be_one_that_can_be_read_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int, said: str
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & ~allowed)
    with pytest.raises(StorageError, match=said):
        opened(tmp_path).check()


def test_a_network_disk_that_is_gone_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ESTALE, "Stale file handle")

    put(opened(tmp_path), KEY)
    with monkeypatch.context() as patched:
        for name in ("lstat", "open"):
            patched.setattr(Path, name, failing)
        patched.setattr(os, "scandir", failing)
        for use in (
            lambda store: store.get(KEY),
            lambda store: store.sizes("images/"),
            lambda store: store.check(),
            lambda store: store.read_current(MANIFEST_KEY),
        ):
            with pytest.raises(StorageError, match="Stale file handle") as refused:
                use(opened(tmp_path))
    assert refused.value.message.endswith("manifest.json cannot be read: Stale file handle")


def test_the_free_space_is_told_where_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (opened(tmp_path / "not/there").check() or 0) > 0
    monkeypatch.setattr("shutil.disk_usage", lambda path: (_ for _ in ()).throw(OSError(errno.ENOSYS, "no")))
    assert opened(tmp_path).check() is None
    assert files(tmp_path) == {}


# ---- a disk that fails at any one thing that is asked of it

ASKED = ("open", "write", "fsync", "mkdir", "rename", "link", "unlink", "rmdir")
REAL = {name: getattr(os, name) for name in ASKED} | {"fsync": lambda _: None}  # no power is cut here


@contextmanager
def failing_at(number: int, code: int, *, for_good: bool) -> Iterator[list[str]]:
    """The disk refuses the request of a number, from 0, or all from that on; gives what was asked of it."""
    asked: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        for name in ASKED:

            def request(*arguments: Any, _name: str = name, **named: Any) -> Any:
                reads = _name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR)
                if not reads:
                    asked.append(_name)
                    if len(asked) - 1 == number or (for_good and len(asked) > number >= 0):
                        raise OSError(code, os.strerror(code))
                return REAL[_name](*arguments, **named)

            patched.setattr(os, name, request)
        yield asked


EXPECTED = {KEY: b"image", SFS: b"scene", ".lidarprep/0.json": b"{}", "manifest.json": b"new"}


def run(out: Path, image: Path) -> None:
    """Store one thing of each kind, and the manifest."""
    store = opened(out, link_images=True)
    version = version_of(store)
    put(store, KEY, b"image", source=image)
    with store.temporary_file() as file:
        file.write(b"scene")
        store.put_file(SFS, file, "application/octet-stream", sha256="")
    put(store, ".lidarprep/0.json", b"{}")
    store.replace(MANIFEST_KEY, b"new", if_version=version)


@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_whatever_the_disk_refuses_nothing_half_written_is_seen_and_the_run_can_go_on(
    tmp_path: Path, for_good: bool, exists: bool
) -> None:
    image = tmp_path / "1.jpg"
    image.write_bytes(b"image")

    def begun(name: str) -> Path:
        out = tmp_path / name
        out.mkdir()
        if exists:
            (out / "manifest.json").write_bytes(b"old")
        return out

    out = begun("whole")
    with failing_at(-1, errno.ENOSPC, for_good=False) as asked:
        run(out, image)
    assert files(out) == EXPECTED
    assert set(asked) >= {"open", "write", "fsync", "mkdir", "rename", "link"}
    errors = 0
    for number in range(len(asked)):
        out = begun(str(number))
        error: StorageError | None = None
        try:
            with failing_at(number, errno.ENOSPC, for_good=for_good):
                run(out, image)
        except StorageError as raised:
            error = raised
        seen = files(out)
        if not for_good and asked[number] != "unlink":  # else it refuses to delete, too
            assert not [name for name in seen if ".writing-" in name], (number, asked[number])
        for key in EXPECTED:
            assert seen.get(key) in (None, b"old", EXPECTED[key]), (number, key)
        if error is None or seen.get("manifest.json") == b"new":
            assert {key: seen.get(key) for key in EXPECTED} == EXPECTED
        if error is not None:
            assert "No space left on device" in error.message
            assert error.fix == "Make room there, or choose another destination."
            errors += 1
        run(out, image)
        opened(out).delete_unfinished(1e12)
        assert files(out) == EXPECTED
    assert errors > len(asked) / 2
    assert image.read_bytes() == b"image"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space left on device[\\s\\S]*Make room"),
        (errno.EDQUOT, "Disk quota exceeded[\\s\\S]*used up"),
        (errno.EROFS, "Read-only file system[\\s\\S]*read-only"),
        (errno.EIO, "Input/output error[\\s\\S]*disk failed"),
    ],
)
def test_a_disk_that_fails_is_one_clear_error_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    store = opened(tmp_path)
    put(store, "a.json", b"old")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(number, os.strerror(number))))
        with pytest.raises(StorageError, match=rf"a\.json cannot be written: {said}"):
            put(store, "a.json", b"new")
    with pytest.raises(StorageError, match=rf"scene cannot be written: {said}"), store.temporary_file():
        raise OSError(number, os.strerror(number))
    with pytest.raises(ConnectionError), store.temporary_file():
        raise ConnectionError
    assert files(tmp_path) == {"a.json": b"old"}


# ---- images: space-free copies


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "recording/1.jpg"
    path.parent.mkdir()
    path.write_bytes(b"\xff\xd8\xff image")
    return path


def take(store: FolderStore, image: Path, data: bytes | None = None) -> Path:
    put(store, KEY, image.read_bytes() if data is None else data, source=image)
    return store.path / KEY


def clone(handle: int, request: int, source: int) -> int:
    """FICLONE, as a file system does it that can share blocks."""
    assert request == 0x40049409
    os.pwrite(handle, os.pread(source, 1 << 20, 0), 0)
    return 0


def test_an_image_is_a_file_of_its_own_unless_a_link_is_asked_for(tmp_path: Path, image: Path) -> None:
    copied, linked = take(opened(tmp_path / "a"), image), take(opened(tmp_path / "b", link_images=True), image)
    assert copied.read_bytes() == linked.read_bytes() == image.read_bytes()
    assert not copied.samefile(image)
    assert linked.samefile(image)
    take(opened(tmp_path / "b", link_images=True), image)  # where both are one file, rename(2) does nothing
    assert list(files(tmp_path / "b")) == [KEY]
    put(opened(tmp_path / "b"), KEY, b"another")
    assert image.read_bytes() == b"\xff\xd8\xff image"


def test_a_shared_copy_is_synced_before_it_gets_its_name(
    tmp_path: Path, image: Path, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.ioctl", clone)
    assert take(opened(tmp_path / "out"), image).read_bytes() == image.read_bytes()
    assert events == ["sync .writing-", f".writing- to {Path(KEY).name}"]


def test_a_linked_image_is_that_which_a_symbolic_link_leads_to(tmp_path: Path, image: Path) -> None:
    (tmp_path / "shown.jpg").symlink_to(image)
    linked = take(opened(tmp_path / "out", link_images=True), tmp_path / "shown.jpg")
    assert not linked.is_symlink()
    assert linked.samefile(image)


@pytest.mark.parametrize("link", [False, True])
def test_an_image_that_was_replaced_since_it_was_read_is_stored_as_it_was_read(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch, link: bool, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fcntl.ioctl", clone)
    store = opened(tmp_path / "out", link_images=link)
    for change in (lambda: image.write_bytes(b"\xff\xd8\xff other"), image.unlink):
        change()
        assert take(store, image, b"\xff\xd8\xff read").read_bytes() == b"\xff\xd8\xff read"
    assert list(files(tmp_path / "out")) == [KEY]
    assert caplog.records == []


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP])
def test_where_no_link_can_be_made_there_is_a_copy_and_that_is_said_once(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    cloned: list[int] = []

    def refused(*arguments: Any, **__: Any) -> None:
        cloned.extend(arguments[:1] if isinstance(arguments[0], int) else ())
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr("fcntl.ioctl", refused)
    store = opened(tmp_path / "out", link_images=True)
    for _ in range(3):
        assert not take(store, image).samefile(image)
    assert [record.getMessage() for record in caplog.records] == [
        f"images are copied, since no hard links can be made: {os.strerror(number)}"
    ]
    assert len(cloned) == (1 if number in (errno.EXDEV, errno.EOPNOTSUPP) else 3)  # a disk that never can is known
