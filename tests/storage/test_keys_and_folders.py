"""Keys that are made of a recording's names, and the local folder."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lidarprep as lp
from lidarprep.storage import LocalFolder
from lidarprep.storage.keys import KeyMaker


@given(st.lists(st.text(min_size=1), unique=True, max_size=20))
def test_keys_of_different_names_differ_even_where_case_does_not_count(names: list[str]) -> None:
    maker = KeyMaker()
    keys = [maker.key("images", name, suffix=".jpg") for name in names]
    assert len({key.lower() for key in keys}) == len(names)


@given(st.text(), st.text())
def test_keys_stay_inside_the_destination(folder: str, name: str) -> None:
    key = KeyMaker().key("images", folder, name, suffix=".jpg")
    parts = key.split("/")
    assert len(parts) == 3
    assert not any(part in ("", ".", "..") for part in parts)
    assert key.isascii()


def test_a_name_keeps_its_key() -> None:
    maker = KeyMaker()
    assert maker.key("frame-a b", suffix=".json") == maker.key("frame-a b", suffix=".json") == "frame-a_b.json"


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "out")
    folder.put("a/b.json", b"one", "application/json")
    folder.put("a/b.json", b"two", "application/json")
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["b.json"]
    assert folder.get("a/b.json") == b"two"


def test_discarding_removes_what_was_stored_and_the_folders_that_are_empty_then(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "out")
    folder.put("a/b.json", b"one", "application/json")
    folder.discard(["a/b.json", "never/there.json"])
    assert list((tmp_path / "out").iterdir()) == []


def test_a_spool_lies_beside_its_place_and_is_moved_there_not_copied(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "out")
    with folder.spool("a/b.sfs") as file:
        file.write(b"one two")
        inode = Path(file.name).stat().st_ino
        stored = folder.put_file("a/b.sfs", file, "application/octet-stream")
    assert (tmp_path / "out/a/b.sfs").stat().st_ino == inode
    assert (stored.bytes, stored.sha256) == (7, hashlib.sha256(b"one two").hexdigest())
    assert (tmp_path / "out/a/b.sfs").stat().st_mode == (tmp_path / "out").stat().st_mode & 0o666 | 0o100000
    assert [path.name for path in (tmp_path / "out/a").iterdir()] == ["b.sfs"]


def test_a_spool_that_is_not_stored_is_gone(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "out")
    with folder.spool("a/b.sfs") as file:
        file.write(b"one")
    assert list((tmp_path / "out/a").iterdir()) == []


def test_a_disk_that_is_full_is_told_from_other_errors(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "out")
    with pytest.raises(lp.StorageError, match=r"b\.sfs cannot be written: No space"), folder.spool("b.sfs"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ConnectionError), folder.spool("b.sfs"):
        raise ConnectionError
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_staged_is_out_of_sight_until_it_is_committed(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "out")
    staged = folder.staged()
    staged.put("a/b.json", b"new", "application/json")
    assert folder.existing(["a/b.json"]) == set()
    staged.commit(["a/b.json"])
    assert folder.get("a/b.json") == b"new"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_what_is_rolled_back_leaves_no_folder_that_was_not_there(tmp_path: Path) -> None:
    for place in ("new/er", "there"):
        (tmp_path / "there").mkdir(exist_ok=True)
        staged = LocalFolder(tmp_path / place).staged()
        staged.put("a/b.json", b"new", "application/json")
        staged.roll_back(["a/b.json"])
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_destination_that_is_a_file_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(lp.StorageError, match="is not a folder"):
        LocalFolder(tmp_path / "out").check()


def test_a_file_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/images").write_text("a file where a folder is needed")
    with pytest.raises(lp.StorageError, match=r"images/a\.jpg cannot be written"):
        LocalFolder(tmp_path / "out").put("images/a.jpg", b"x", "image/jpeg")
