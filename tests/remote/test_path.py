"""A path in a store is like a path of the disk: its names, what is there, what is read; for few requests."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from lidarprep.errors import LidarprepError, MissingExtraError, RecipeError, SourceChangedError, StorageError
from lidarprep.remote import RemotePath, as_path, is_url, stores
from lidarprep.remote.store import stat_of
from tests.remote.objects import answered, asked, fill, hurry, lines, path
from tests.remote.web import web_server

OBJECTS = {
    "rec/1.ply": b"points",
    "rec/poses/1.json": b"{}",
    "rec/poses/10.json": b"[]",
    "rec/poses/deep/er.txt": "größe\r\nzwei".encode(),
    "rec/odd names/a%41+b é.txt": b"odd",
    "rec/empty.bin": b"",
    "beside.txt": b"beside",
    "record/9.ply": b"of another folder",
}


@pytest.fixture(params=["s3", "web", "web without ranges"])
def roots(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, RemotePath]]:
    """The same files on the disk and in a store."""
    for key, data in OBJECTS.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    if request.param == "s3":
        fill(request.getfixturevalue("bucket"), OBJECTS)
        yield tmp_path, path("rec").parent
    else:
        with web_server(tmp_path, ranges=request.param == "web") as url:
            yield tmp_path, RemotePath(url)


def everything(folder: Any) -> dict[str, bytes | None]:
    """All paths below a folder, with the content of those that are files."""
    found: dict[str, bytes | None] = {}
    for one in folder.iterdir():
        assert one.exists()
        assert one.is_file() != one.is_dir()
        found[one.name] = one.read_bytes() if one.is_file() else None
        if one.is_dir():
            found |= {f"{one.name}/{name}": data for name, data in everything(one).items()}
    return found


def test_everything_below_a_folder_is_found_and_read_as_on_the_disk(roots: tuple[Path, RemotePath]) -> None:
    disk, remote = roots
    assert everything(remote / "rec") == everything(disk / "rec")


@pytest.mark.parametrize("name", [*OBJECTS, "rec", "rec/poses", "no", "rec/no", "rec/1.ply/no", "re", "rec/poses/1"])
def test_questions_are_answered_as_of_the_disk(roots: tuple[Path, RemotePath], name: str) -> None:
    disk, remote = roots[0] / name, roots[1] / name
    for ask in ("exists", "is_file", "is_dir"):
        assert getattr(remote, ask)() == getattr(disk, ask)(), ask
    if disk.is_file():
        assert remote.stat().st_size == disk.stat().st_size
        assert remote.open().read() == disk.read_bytes()
    else:
        for read in (remote.stat, remote.read_bytes, remote.open, remote.local_copy):
            with pytest.raises(FileNotFoundError, match=remote.name):
                read()
    named = remote.as_named()  # as if a user had named it
    assert [named.exists(), named.is_file(), named.is_dir()] == [disk.exists(), disk.is_file(), disk.is_dir()]


def test_text_is_read_as_of_the_disk(roots: tuple[Path, RemotePath]) -> None:
    disk, remote = roots[0] / "rec/poses/deep/er.txt", roots[1] / "rec/poses/deep/er.txt"
    assert remote.read_text() == disk.read_text(encoding="utf-8")
    assert remote.read_text("ascii", "replace") == disk.read_text("ascii", "replace")


def test_a_file_has_no_folder_to_list_and_nothing_has_none(roots: tuple[Path, RemotePath]) -> None:
    with pytest.raises(NotADirectoryError):
        list((roots[1] / "rec/1.ply").iterdir())
    with pytest.raises(FileNotFoundError):
        list((roots[1] / "no").iterdir())


def test_a_copy_on_the_disk_has_its_name_is_made_once_and_goes_with_its_paths(roots: tuple[Path, RemotePath]) -> None:
    remote = roots[1] / "rec/poses/10.json"
    copy = remote.local_copy()
    assert (copy.name, copy.read_bytes()) == ("10.json", b"[]")
    assert remote.local_copy() == copy
    again = remote.as_named()
    made = again.local_copy()
    del again
    assert not made.exists()


@pytest.mark.parametrize("key", ["a/b/c.tar.gz", "a", "a/.hidden", "a/b.", "", "1.ply"])
def test_names_are_those_of_pathlib(key: str) -> None:
    ours, theirs = RemotePath(f"s3://bucket/{key}"), PurePosixPath(f"/{key}")
    for name in ("name", "stem", "suffix"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.parts == ("s3://bucket/", *theirs.parts[1:])
    assert [str(parent).removeprefix("s3://bucket") for parent in ours.parents] == list(map(str, theirs.parents))
    assert str(ours.parent) == f"s3://bucket{theirs.parent}"
    assert str(ours / "x/../y") == f"s3://bucket{theirs / 'y'}"
    assert str(ours.joinpath("x", "y")) == f"s3://bucket{theirs.joinpath('x', 'y')}"
    if key:
        assert str(ours.with_name("z.bin")) == f"s3://bucket{theirs.with_name('z.bin')}"
        assert str(ours.with_suffix(".bin")) == f"s3://bucket{theirs.with_suffix('.bin')}"


def test_paths_are_compared_by_their_urls() -> None:
    one = RemotePath("s3://bucket/a/b")
    assert one == RemotePath("S3://bucket//a/./b/") == RemotePath("s3://bucket/a") / "b" == one.resolve()
    assert len({one, RemotePath("s3://bucket/a/b"), RemotePath("gs://bucket/a/b")}) == 2
    assert sorted([one / "2", one / "1"]) == [one / "1", one / "2"]
    assert os.fspath(one) == str(one.absolute()) == "s3://bucket/a/b"


# ---- requests --------------------------------------------------------------------------------------------------------


def test_a_folder_is_listed_once_whatever_is_asked_of_it(bucket: Any) -> None:
    fill(bucket, OBJECTS)
    with asked() as sent:
        recording = path("rec")
        assert recording.is_dir()
        assert len(list((recording / "poses").iterdir())) == 3
        assert (recording / "1.ply").stat().st_size == 6
        assert not (recording / "velodyne" / "1.bin").exists()
        assert not (recording / "calib.txt").is_file()
    assert len(sent) == 1
    assert "prefix=rec%2F" in lines(sent)[0]


def test_a_file_that_is_named_costs_one_request_and_its_neighbours_one_listing(bucket: Any) -> None:
    fill(bucket, OBJECTS)
    with asked() as sent:
        named = path("rec/1.ply")
        assert named.exists()
        assert named.stat().st_size == 6
        assert named.parent.is_dir()
    assert lines(sent) == ["HEAD rec/1.ply"]
    with asked() as sent:
        assert {one.name for one in named.parent.iterdir()} == {"1.ply", "poses", "odd names", "empty.bin"}
        assert (named.parent / "poses").is_dir()
        assert (named.parent / "empty.bin").stat().st_size == 0
    assert len(sent) == 1
    assert "delimiter" in lines(sent)[0]


def test_reading_a_listed_object_is_one_request_for_that_version(bucket: Any) -> None:
    fill(bucket, OBJECTS)
    one = next(one for one in path("rec").iterdir() if one.name == "1.ply")
    with asked() as sent:
        assert one.read_bytes() == b"points"
    assert lines(sent) == ["GET rec/1.ply"]
    headers = {name.lower(): value for name, value in sent[0].headers.items()}
    assert headers["if-match"] == bucket.Object("rec/1.ply").e_tag


def test_of_too_many_objects_each_folder_is_listed_when_it_is_asked_for(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lidarprep.remote.listing._MOST_OBJECTS", 3)
    fill(bucket, OBJECTS)
    with asked() as sent:
        recording = path("rec")
        assert (recording / "poses").is_dir()
        assert sorted(one.name for one in (recording / "poses").iterdir()) == ["1.json", "10.json", "deep"]
        assert (recording / "poses" / "1.json").stat().st_size == 2
        assert not (recording / "poses" / "2.json").exists()
    assert len([line for line in lines(sent) if "delimiter" not in line]) == 1
    assert len(sent) <= 4


@pytest.mark.parametrize("most", [100_000, 0])
def test_keys_that_are_no_paths_are_passed_over(bucket: Any, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr("lidarprep.remote.listing._MOST_OBJECTS", most)
    odd = ("rec/", "rec//1.ply", "rec/poses/../up.txt", "rec/poses/", "rec/./2.ply", "rec/poses//")
    fill(bucket, OBJECTS | dict.fromkeys(odd, b""))
    recording = path("rec")
    assert {one.name for one in recording.iterdir()} == {"1.ply", "poses", "odd names", "empty.bin"}
    assert {one.name for one in (recording / "poses").iterdir()} == {"1.json", "10.json", "deep"}


def test_a_listing_of_several_pages_goes_on_where_one_failed(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "4")
    hurry(monkeypatch)
    names = [f"{number}" for number in range(11)]
    fill(bucket, {f"many/{name}": b"" for name in names})
    fault = answered("SlowDown", 503, times=6, when=lambda request: "token" in request.url)
    with asked(fault) as sent:
        assert sorted(one.name for one in path("many").iterdir()) == sorted(names)
    assert fault.failed == 6
    assert len(sent) >= 3 + 6


# ---- other processes -------------------------------------------------------------------------------------------------


def test_a_pickled_path_reads_the_version_that_was_seen(bucket: Any) -> None:
    fill(bucket, OBJECTS)
    one = next(one for one in path("rec").iterdir() if one.name == "1.ply")
    sent = pickle.dumps([one, one.parent / "poses/1.json"])
    assert [path.read_bytes() for path in pickle.loads(sent)] == [b"points", b"{}"]
    fill(bucket, {"rec/1.ply": b"others"})
    with pytest.raises(SourceChangedError, match=r"rec/1\.ply has changed"):
        pickle.loads(sent)[0].read_bytes()


def test_a_process_that_was_forked_says_so_and_does_not_wait_for_ever(bucket: Any) -> None:
    fill(bucket, OBJECTS)
    assert path("beside.txt").read_bytes() == b"beside"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            path("beside.txt").read_bytes()
        except StorageError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        assert "spawn" in said.read()


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3:/bucket/key", "one slash is missing"),
        ("ftp://host/file", "ftp:// is not a place"),
        ("hdfs://host/file", "hdfs:// is not a place"),
        ("s3:///key", "names no bucket"),
        ("https:///key", "names no host"),
        ("http://host:port/", "names no host"),
    ],
)
def test_a_url_that_nothing_can_be_read_from_is_one_clear_error(url: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        as_path(url)


def test_what_is_a_url_and_what_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_url("s3://bucket/a")
    assert is_url(str(Path("s3://bucket/a")))
    assert not is_url("C:/a")
    assert as_path(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert as_path(tmp_path) == tmp_path
    monkeypatch.chdir(tmp_path)
    Path("s3:").mkdir()
    Path("s3:/a").touch()
    assert as_path("s3:/a") == Path("s3:/a")


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingExtraError, match=r"lidarprep\[remote\]"):
        as_path("s3://bucket/a").exists()


def test_what_is_secret_in_a_url_is_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a b.txt").write_bytes(b"data")
    with web_server(tmp_path, ranges=True) as url:
        secret = RemotePath(f"{url.replace('://', '://user:pass@')}/a%20b.txt?Signature=hidden")
        assert secret.read_bytes() == b"data"
        assert pickle.loads(pickle.dumps(secret)).read_bytes() == b"data"
        shown = [str(secret), repr(secret), os.fspath(secret), repr(secret._address), str(secret.parent / "x")]
        assert shown[0] == f"{url}/a%20b.txt"
        (tmp_path / "a b.txt").unlink()
        with pytest.raises(FileNotFoundError) as missing:
            RemotePath(f"{url}/a%20b.txt?Signature=hidden").read_bytes()
        shown.append(str(missing.value))
    with pytest.raises(LidarprepError) as refused:
        RemotePath(f"{url.replace('://', '://user:pass@')}/x?Signature=hidden").read_bytes()
    shown += [str(refused.value), repr(refused.value)]
    assert not [text for text in shown if "hidden" in text or "pass" in text]


# ---- what a store does not say, or does not allow -------------------------------------------------------------------


def test_a_file_that_is_named_needs_no_permission_to_list(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    fill(bucket, OBJECTS)
    one = path("rec/1.ply")
    with asked(answered("AccessDenied", 403, when=lambda request: "list-type" in request.url)):
        assert one.is_file()
        assert not one.is_dir()
        assert one.read_bytes() == b"points"


@pytest.mark.parametrize("most", [100_000, 0])
def test_the_marker_of_a_folder_is_no_file(bucket: Any, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr("lidarprep.remote.listing._MOST_OBJECTS", most)
    fill(bucket, OBJECTS | {"rec/": b"", "rec/poses/": b""})
    recording = path("rec")
    assert recording.is_dir()
    assert not recording.is_file()
    assert sorted(one.name for one in recording.iterdir()) == ["1.ply", "empty.bin", "odd names", "poses"]


def test_without_etag_and_time_the_version_is_unknown() -> None:
    epoch = datetime.fromtimestamp(0, UTC)
    one, other = (stat_of({"size": 3, "last_modified": epoch, "e_tag": tag}) for tag in (None, '"a"'))
    assert (one.version, other.version) == ("", "a")


def test_an_escaped_slash_is_sent_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_bytes(b"data")
    sent: list[str] = []
    with web_server(tmp_path, ranges=True, asked=sent) as url:
        one = RemotePath(f"{url}/a%2Fb.txt")
        assert one.is_file()
        assert not one.is_dir()
        assert one.read_bytes() == b"data"
        assert str(one) == f"{url}/a%2Fb.txt"
        assert (one.name, one.suffix) == ("b.txt", ".txt")
    assert set(sent) == {"/a%2Fb.txt"}


def test_of_many_signed_urls_few_stores_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr(stores, "_MOST_STORES", 2)
    (tmp_path / "a.txt").write_bytes(b"data")
    with web_server(tmp_path, ranges=True) as url:
        signed = [RemotePath(f"{url}/a.txt?Signature={number}") for number in range(4)]
        for one in [*signed, *signed]:
            assert one.read_bytes() == b"data"
    assert len(stores._stores) == 2
