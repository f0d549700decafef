"""What stores in buckets have in common, on S3, Google Cloud Storage and Azure."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest

from lidarprep.errors import ManifestConflictError, StorageError
from lidarprep.storage.content import read_content
from lidarprep.storage.store import MANIFEST_KEY
from tests.emulators.proxy import Fault, Request
from tests.storage import s3
from tests.storage.clouds import Cloud, az_cloud, gs_cloud, no_waiting, s3_cloud
from tests.storage.s3 import put

LARGE = 17 * 2**20
ATTACHMENT = "frames/1-0123456789ab.json"


@pytest.fixture(params=["s3", "gs", "az"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """An empty bucket of each cloud."""
    no_waiting(monkeypatch)
    s3.no_waiting(monkeypatch)
    if request.param == "s3":
        return s3_cloud(request.getfixturevalue("bucket"))
    return gs_cloud(monkeypatch) if request.param == "gs" else az_cloud(monkeypatch)


def test_an_object_has_its_bytes_type_and_cache_control(cloud: Cloud) -> None:
    store = cloud.open(cache_control="max-age=5")
    put(store, ATTACHMENT, b"[1]")
    found = cloud.stored(f"run/{ATTACHMENT}")
    assert found.data == b"[1]"
    assert (found.headers["content-type"], found.headers["cache-control"]) == ("application/json", "max-age=5")
    put(store, ATTACHMENT, b"[2]")
    assert cloud.stored(f"run/{ATTACHMENT}").data == b"[2]"
    put(store, ".lidarprep/0.json", b"{}")
    store.replace(MANIFEST_KEY, b"{}", if_version=None)
    for key in (".lidarprep/0.json", MANIFEST_KEY):
        assert "max-age" not in cloud.stored(f"run/{key}").headers.get("cache-control", "")


def test_objects_are_fetched_whole_and_in_part(cloud: Cloud) -> None:
    store = cloud.open()
    put(store, "a.json", b"0123456789")
    put(store, "empty.json", b"")
    assert [store.get("a.json"), store.get("a.json", 3, 5), store.get("a.json", 8, 99)] == [b"0123456789", b"34", b"89"]
    assert [store.get("a.json", 10, 20), store.get("empty.json", 0, 9), store.get("empty.json")] == [b"", b"", b""]
    assert store.get("a.json", 7) == b"789"
    assert store.get("no.json") is store.get("no.json", 3, 5) is None


def test_a_file_is_sent_from_the_disk_and_is_gone_afterwards(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store, data = cloud.open(cache_control="max-age=5"), os.urandom(2**20) * (LARGE // 2**20)
    for content in (b"xyz", data):
        with store.temporary_file() as file:
            file.write(content)
            assert len(list(tmp_path.iterdir())) == 1
            store.put_file("scene.sfs", file, "application/octet-stream", sha256="")
        found = cloud.stored("run/scene.sfs")
        assert found.data == content
        assert (found.headers["content-type"], found.headers["cache-control"]) == (
            "application/octet-stream",
            "max-age=5",
        )
        assert list(tmp_path.iterdir()) == []
    assert store.get("scene.sfs", LARGE - 3, LARGE + 9) == data[-3:]


def test_listings_are_of_the_prefix_only(cloud: Cloud) -> None:
    store = cloud.open()
    keys = [f"frames/{number}-0123456789ab.json" for number in range(7)]
    for key in (*keys, "scene-0123456789ab.sfs", "images/a/1.jpg"):
        put(store, key, b"12")
    put(cloud.open(""), "running/frames/8.json")  # another prefix that begins alike
    found = store.sizes("frames/")
    assert sorted(found) == keys
    assert {info.bytes for info in found.values()} == {2}
    assert list(store.sizes("scene-")) == ["scene-0123456789ab.sfs"]
    assert list(cloud.open("").sizes("running/")) == ["running/frames/8.json"]
    assert store.sizes("kept/") == cloud.open("none/at/all").sizes("scene-") == {}
    store.delete([*keys, "no.json"])
    store.delete([])
    assert cloud.keys() == {"run/scene-0123456789ab.sfs", "run/images/a/1.jpg", "running/frames/8.json"}


def test_the_check_stores_something_and_leaves_nothing(cloud: Cloud) -> None:
    with cloud.proxy.recording() as sent:
        cloud.open().check()
    assert [request.method for request in sent] in (["GET", "PUT", "DELETE"], ["GET", "PUT", "POST"])
    assert cloud.keys() == set()


def test_a_manifest_is_replaced_only_if_it_is_the_one_that_was_read(cloud: Cloud) -> None:
    one, two = cloud.open(), cloud.open(give_up_after=1)
    assert one.read_current(MANIFEST_KEY) is None
    one.replace(MANIFEST_KEY, b"1", if_version=None)
    with pytest.raises(ManifestConflictError, match=rf"{cloud.url('run/manifest.json')} was replaced meanwhile"):
        two.replace(MANIFEST_KEY, b"2", if_version=None)
    found = two.read_current(MANIFEST_KEY)
    assert found is not None
    one.replace(MANIFEST_KEY, b"3", if_version=found[1])
    with pytest.raises(ManifestConflictError):
        two.replace(MANIFEST_KEY, b"4", if_version=found[1])
    assert two.read_current(MANIFEST_KEY)[0] == b"3"  # type: ignore[index]
    one.replace("batch.jsonl", b"{}", if_version=None)  # a mutable object of its own
    one.delete([MANIFEST_KEY])
    with pytest.raises(ManifestConflictError):
        one.replace(MANIFEST_KEY, b"5", if_version=found[1])
    assert cloud.keys() == {"run/batch.jsonl"}


def is_put(request: Request) -> bool:
    return request.method == "PUT"


@pytest.mark.parametrize("status", [0, 500], ids=["cut", "500"])
def test_a_manifest_whose_answer_was_lost_is_written_all_the_same(cloud: Cloud, status: int) -> None:
    store, version = cloud.open(), None
    for data in (b"first", b"second"):
        with cloud.proxy.recording(Fault(status, times=1, when=is_put, after=True)) as sent:
            store.replace(MANIFEST_KEY, data, if_version=version)
        assert [request.method for request in sent] == ["PUT", "PUT", "GET"]
        found = store.read_current(MANIFEST_KEY)
        assert found is not None
        assert found[0] == data
        version = found[1]


@pytest.mark.parametrize("status", [0, 500, 503, 429], ids=["cut", "500", "503", "429"])
def test_a_request_that_fails_in_passing_succeeds_in_the_end(cloud: Cloud, status: int) -> None:
    store = cloud.open(give_up_after=60)
    with cloud.proxy.recording(Fault(status, times=9)) as sent:
        put(store, "a.json")
    assert len(sent) == 10
    assert cloud.stored("run/a.json").data == b"[1]"
    with cloud.proxy.recording(Fault(status, times=5)):
        assert store.get("a.json") == b"[1]"
    with cloud.proxy.recording(Fault(status, times=5)):
        assert list(store.sizes("a")) == ["a.json"]
    with cloud.proxy.recording(Fault(status, times=5)):
        store.delete(["a.json"])
    assert cloud.keys() == set()


def test_a_store_that_only_fails_is_given_up_in_the_time_that_was_said(cloud: Cloud) -> None:
    store, expected = cloud.open(give_up_after=0.001), rf"{cloud.url('run/a.json')} cannot be stored: .*tried for"
    with cloud.proxy.recording(Fault(503)) as sent, pytest.raises(StorageError, match=expected):
        put(store, "a.json")
    assert sent


def test_a_store_that_is_closed_tries_nothing_again(cloud: Cloud) -> None:
    store = cloud.open()
    store.close()
    with cloud.proxy.recording(Fault(0)) as sent, pytest.raises(StorageError, match="cannot be fetched"):
        store.get("a.json")
    assert len(sent) <= 3


def test_what_is_denied_names_the_whole_key_and_what_is_needed(cloud: Cloud) -> None:
    store, needs = (
        cloud.open(),
        {
            "s3": ("s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:ListBucket"),
            "gs": ("storage.objects.create", "storage.objects.get", "storage.objects.delete", "storage.objects.list"),
            "az": (*["Storage Blob Data Contributor", "Storage Blob Data Reader"] * 2,),
        }[cloud.scheme],
    )
    refusal = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access denied.</Message></Error>"
    uses: tuple[tuple[str, str, Any], ...] = (
        (needs[0], "run/a.json cannot be stored", lambda: put(store, "a.json")),
        (needs[0], "run/manifest.json cannot be stored", lambda: store.replace(MANIFEST_KEY, b"", if_version=None)),
        (needs[1], "run/a.json cannot be fetched", lambda: store.get("a.json")),
        (needs[1], "run/manifest.json cannot be fetched", lambda: store.read_current(MANIFEST_KEY)),
        (needs[2], "run/a.json cannot be deleted", lambda: store.delete(["a.json"])),
        (needs[3], "cannot be listed", store.check),
    )
    for permission, said, use in uses:
        with cloud.proxy.recording(Fault(403, refusal)) as sent, pytest.raises(StorageError, match=said) as refused:
            use()
        assert "AccessDenied" in refused.value.message
        assert permission in str(refused.value.fix)
        assert len(sent) == 1


def test_a_bucket_that_is_not_there_is_one_clear_error(cloud: Cloud) -> None:
    from lidarprep.storage import open_store

    store = open_store(f"{cloud.scheme}://nobodys-bucket/run", cloud.storage())
    for use in (
        store.check,
        lambda: store.get("a.json"),
        lambda: store.read_current(MANIFEST_KEY),
        lambda: put(store, "a.json"),
        lambda: store.replace(MANIFEST_KEY, b"", if_version=None),
        lambda: store.sizes("frames/"),
    ):
        with pytest.raises(StorageError, match=rf"{cloud.scheme}://nobodys-bucket[\s\S]* cannot be ") as refused:
            use()
        assert any(code in refused.value.message for code in ("NoSuchBucket", "ContainerNotFound"))


def test_compressed_objects_are_read_back_as_they_are_stored(cloud: Cloud) -> None:
    store, data = cloud.open(gzip=True, url_base="https://data.example.com"), b'{"points": []}' * 1000
    put(store, "a.json.gz", gzip.compress(data), encoding="gzip")
    assert cloud.stored("run/a.json.gz").headers["content-encoding"] == "gzip"
    assert store.get("a.json.gz", 0, 2) == b"\x1f\x8b"
    assert b"".join(read_content(store, "a.json.gz", is_compressed=True)) == data
    put(store, "a.json.gz", gzip.compress(data)[:30], encoding="gzip")
    with pytest.raises(StorageError, match="says that it is compressed, and"):
        list(read_content(store, "a.json.gz", is_compressed=True))


def test_keys_with_spaces_and_other_letters_are_kept(cloud: Cloud) -> None:
    store = cloud.open("a run/Zürich + 1")
    put(store, "a.json", b"1")
    assert store.get("a.json") == b"1"
    assert list(store.sizes("a")) == ["a.json"]
    assert cloud.keys() == {"a run/Zürich + 1/a.json"}


def test_a_location_is_the_url_that_a_user_would_name(cloud: Cloud) -> None:
    for store in (cloud.open("a/b"), cloud.open("/a/b/")):
        assert store.location("c.json") == cloud.url("a/b/c.json")
    assert cloud.open("").location("c.json") == cloud.url("c.json")
    assert cloud.open(url_base="https://data.example.com/x/").url("c d.json") == "https://data.example.com/x/c%20d.json"
    assert cloud.url("a") in repr(cloud.open("a"))
