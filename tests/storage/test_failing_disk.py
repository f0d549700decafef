"""A disk that fails at any one thing that is asked of it: one clear error, nothing half-written, and it can go on."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lidarprep.errors import StorageError
from lidarprep.storage import LocalFolder

JSON = "application/json"
KEYS = ["images/front/1.jpg", "scene.sfs", "frame-1.json", "manifest.json"]
ASKED = ("open", "write", "fsync", "mkdir", "replace", "link", "unlink", "rmdir")
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


def run(out: Path, picture: Path) -> None:
    """Stores and commits one thing of each kind."""
    staged = LocalFolder(out, link_images=True).staged()
    with picture.open("rb", buffering=0) as file:
        staged.put_copy("images/front/1.jpg", file, "image/jpeg")
    with staged.spool("scene.sfs") as spool:
        spool.write(b"scene")
        staged.put_file("scene.sfs", spool, "application/octet-stream")
    staged.put("frame-1.json", b"new", JSON)
    staged.put("manifest.json", b"new", JSON)
    staged.commit(KEYS)


def whole(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("for_good", [False, True])
def test_whatever_the_disk_refuses_nothing_half_written_is_seen_and_the_run_can_go_on(
    tmp_path: Path, for_good: bool
) -> None:
    code = errno.ENOSPC
    picture = tmp_path / "1.jpg"
    picture.write_bytes(b"\xff\xd8\xff picture")
    (tmp_path / "whole").mkdir()
    with failing_at(-1, code, for_good=False) as asked:
        run(tmp_path / "whole", picture)
    expected = whole(tmp_path / "whole")
    assert set(expected) == set(KEYS)
    assert set(asked) >= {"open", "write", "fsync", "mkdir", "replace", "link"}
    errors = 0
    for number in range(len(asked)):
        out = tmp_path / str(number)
        out.mkdir()
        (out / "manifest.json").write_bytes(b"old")
        (out / "frame-1.json").write_bytes(b"old")
        error: StorageError | None = None
        try:
            with failing_at(number, code, for_good=for_good):
                run(out, picture)
        except StorageError as raised:
            error = raised
        seen = whole(out)
        if error is None:  # what was refused was only tidiness, or has another way
            assert {key: seen[key] for key in KEYS} == expected
        else:
            assert os.strerror(code) in error.message
            errors += 1
        for key in KEYS:
            assert seen.get(key) in (None, b"old", expected[key]), (number, key)
        if seen.get("manifest.json") == b"new":
            assert {key: seen[key] for key in KEYS} == expected
        if seen.get("manifest.json") == b"old":
            assert seen["frame-1.json"] == b"old"
        if not for_good:  # else it refuses to delete, too
            assert not [key for key in seen if ".writing-" in key], (number, asked[number])
        assert not [key for key in seen if ".writing-" in key and not key.startswith(".lidarprep-run/")]
        LocalFolder(out).sweep()
        run(out, picture)
        assert whole(out) == expected
        assert not (out / ".lidarprep-run").exists()
    assert errors > len(asked) / 2
    assert picture.read_bytes() == b"\xff\xd8\xff picture"


def test_a_folder_within_that_is_a_disk_of_its_own_is_copied_to(tmp_path: Path) -> None:
    out = tmp_path / "out"
    staged = LocalFolder(out).staged()
    for key in KEYS:
        staged.put(key, key.encode(), JSON)
    (out / "images/front").mkdir(parents=True)
    (out / "images/front/.writing-0123456789abcdef").write_bytes(b"half: a commit before this one was killed")
    replace = Path.replace

    def across(self: Path, target: Path) -> Path:
        if "images" in target.parts and ".lidarprep-run" in self.parts:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(self, target)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "replace", across)
        staged.commit(KEYS)
    assert whole(out) == {key: key.encode() for key in KEYS}
