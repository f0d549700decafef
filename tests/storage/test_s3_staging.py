"""What a run on S3 keeps aside until its end: what stood there before is whole as long as it is to be."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

import lidarprep as lp
from lidarprep.errors import StorageError
from lidarprep.storage.s3 import copying
from tests.scenes import write_toolkit_scene
from tests.storage.conftest import BUCKET
from tests.storage.s3_faults import Raw, answered, cut, failing
from tests.storage.s3_stores import JSON, counted, head, opened

STAGED = "run/.lidarprep-run/staged/"


def contents(bucket: Any) -> dict[str, bytes]:
    return {item.key: item.get()["Body"].read() for item in bucket.objects.all()}


def test_what_is_kept_aside_stands_only_when_it_is_committed(bucket: Any, moto: str) -> None:
    old = opened(moto)
    for key in ("a.json", "manifest.json"):
        old.put(key, b"old", JSON)
    staged = opened(moto).staged(aside=True)
    for key in ("a.json", "images/b.json", "manifest.json"):
        staged.put(key, b"new " + key.encode(), JSON)
    assert staged.sizes(["a.json", "images/b.json", "c.json"]) == {"a.json": 10, "images/b.json": 17}
    assert staged.in_the_way(["a.json", "images/b.json", "manifest.json"]) == {"a.json", "manifest.json"}
    assert staged.get("a.json") == old.get("a.json") == b"old"
    measured = staged.measure("a.json")
    assert measured is not None
    assert measured.bytes == 10
    keys = ["a.json", "images/b.json", "manifest.json"]
    staged.commit(keys)
    staged.commit(keys)
    staged.roll_back([])
    assert contents(bucket) == {f"run/{key}": b"new " + key.encode() for key in keys}


def test_a_copy_is_stored_as_what_is_put_in_its_place_at_once(
    bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {
        "acl": "public-read", "sse": "aws:kms", "kms_key": "key-1", "storage_class": "STANDARD_IA",
        "tags": {"team": "maps", "a b": "c+d"}, "cache_control": "max-age=60", "gzip": True, "presign_hours": 1,
        "requester_pays": True,
    }  # fmt: skip
    data = os.urandom(6 * 2**20)
    for in_parts in (False, True):
        if in_parts:
            monkeypatch.setattr(copying, "_IN_PARTS_FROM", 5 * 2**20)
            monkeypatch.setattr(copying, "_PART", 5 * 2**20)
        for name, aside in (("once", False), ("aside", True)):
            store = opened(moto, prefix=name, **given)
            asked = counted(store)
            staged = store.staged(aside)
            staged.put("a.json", b"[1]" * 99, JSON)
            staged.put("b.pb", data, "application/octet-stream")
            if aside:
                kept = bucket.Object(f"{name}/.lidarprep-run/staged/b.pb")
                assert not any("URI" in grant["Grantee"] for grant in kept.Acl().grants)
                assert kept.storage_class is None
            staged.put("manifest.json", b"{}", JSON)
            staged.commit(["a.json", "b.pb", "manifest.json"])
            assert ("UploadPartCopy" in asked) == (in_parts and aside)
        for key in ("a.json", "b.pb", "manifest.json"):
            once, aside_ = head(bucket, f"once/{key}"), head(bucket, f"aside/{key}")
            for field in (
                "ContentLength", "ContentType", "CacheControl", "ContentEncoding", "Metadata", "StorageClass",
                "ServerSideEncryption", "SSEKMSKeyId",
            ):  # fmt: skip
                assert once.get(field) == aside_.get(field), (key, field)
            one, two = bucket.Object(f"once/{key}"), bucket.Object(f"aside/{key}")
            assert one.get()["Body"].read() == two.get()["Body"].read()
            assert one.Acl().grants == two.Acl().grants
            tags = [bucket.meta.client.get_object_tagging(Bucket=BUCKET, Key=item.key)["TagSet"] for item in (one, two)]
            assert tags[0] == tags[1] != []
        bucket.objects.all().delete()


def test_what_stands_already_is_copied_aside_and_not_sent(bucket: Any, moto: str) -> None:
    opened(moto).put("a.json", b"[1]", JSON)
    store = opened(moto)
    asked = counted(store)
    staged = store.staged(aside=True)
    staged.put("a.json", b"[1]", JSON)
    assert "PutObject" not in asked
    assert contents(bucket) == {"run/a.json": b"[1]", f"{STAGED}a.json": b"[1]"}


def test_a_copy_that_is_not_the_same_is_made_again(bucket: Any, moto: str) -> None:
    store = opened(moto, give_up_after=0.2)
    staged = store.staged(aside=True)
    staged.put("a.json", b"[1]", JSON)
    done: list[int] = []

    def damage(**_: Any) -> None:
        done.append(1)
        if len(done) < 3:
            bucket.put_object(Key="run/a.json", Body=b"[7]", Metadata=head(bucket, f"{STAGED}a.json")["Metadata"])

    store.bucket.client.meta.events.register("after-call.s3.CopyObject", damage)
    staged.commit(["a.json"])
    assert len(done) == 3
    assert contents(bucket)["run/a.json"] == b"[1]"


def test_nothing_is_committed_where_something_is_gone(bucket: Any, moto: str) -> None:
    opened(moto).put("manifest.json", b"old", JSON)
    opened(moto).put("a.json", b"old", JSON)
    staged = opened(moto).staged(aside=True)
    staged.put("manifest.json", b"new", JSON)
    with pytest.raises(StorageError, match=r"staged/a\.json is gone"):
        staged.commit(["a.json", "manifest.json"])
    assert opened(moto).get("manifest.json") == b"old"


# ---- uploads in parts ------------------------------------------------------------------------------------------------


def test_an_upload_whose_beginning_was_not_answered_is_aborted(bucket: Any, moto: str) -> None:
    store = opened(moto)
    session = store.bucket.client._endpoint.http_session
    send, lost = session.send, list[str]()

    def losing(request: Any) -> Any:
        answer = send(request)
        if request.method == "POST" and not lost:
            lost.append(request.url)
            return cut(request)
        return answer

    session.send = losing
    bucket.meta.client.create_multipart_upload(Bucket=BUCKET, Key="run/scene.sfs.backup")
    store.put("scene.sfs", bytes(17 * 2**20), "application/octet-stream")
    assert lost
    assert [upload.object_key for upload in bucket.multipart_uploads.all()] == ["run/scene.sfs.backup"]


def test_uploads_are_listed_only_where_something_was_sent_in_parts(bucket: Any, moto: str) -> None:
    store = opened(moto)
    asked = counted(store)
    staged = store.staged(aside=True)
    staged.put("a.json", b"[1]", JSON)
    staged.commit(["a.json"])
    staged.roll_back([])
    store.sweep()
    assert "ListMultipartUploads" not in asked


# ---- what is cut on its way here -------------------------------------------------------------------------------------


def cutting(store: Any, *, times: int) -> list[tuple[str | None, str | None]]:
    """Cuts answers to GET in their middle; ranges and conditions of all that are asked."""
    session = store.bucket.client._endpoint.http_session
    send, asked = session.send, list[tuple[str | None, str | None]]()

    def text(value: Any) -> str | None:
        return value.decode() if isinstance(value, bytes) else value

    def instead(request: Any) -> Any:
        answer = send(request)
        if request.method != "GET":
            return answer
        asked.append((text(request.headers.get("Range")), text(request.headers.get("If-Match"))))
        if len(asked) <= times:
            data = answer.raw.read()
            return AWSResponse(request.url, answer.status_code, answer.headers, Raw(data[: len(data) // 2]))
        return answer

    session.send = instead
    return asked


@pytest.mark.parametrize("gzip", [False, True])
def test_a_download_that_is_cut_goes_on_where_it_was(bucket: Any, moto: str, gzip: bool) -> None:
    store = opened(moto, gzip=gzip, presign_hours=1)
    data = os.urandom(3 * 2**20)
    stored = store.put("a.json", data, JSON)
    asked = cutting(store, times=2)
    assert store.get("a.json") == data
    tag = head(bucket, "run/a.json")["ETag"]
    assert asked[0] == (None, None)
    assert [condition for _, condition in asked[1:]] == [tag] * (len(asked) - 1)
    offsets = [int(str(given).removeprefix("bytes=").rstrip("-")) for given, _ in asked[1:]]
    assert offsets == sorted(offsets)
    assert offsets[-1] > 2 * 2**20
    asked.clear()
    measured = store.measure("a.json")
    assert measured is not None
    assert measured.sha256 == stored.sha256


def test_an_object_that_is_another_after_a_cut_is_fetched_anew(bucket: Any, moto: str) -> None:
    store = opened(moto)
    store.put("a.json", b"1" * 3_000_000, JSON)
    other = opened(moto)
    session = store.bucket.client._endpoint.http_session
    asked = cutting(store, times=1)
    send = session.send

    def replacing(request: Any) -> Any:
        answer = send(request)
        if len(asked) == 1:
            other.put("a.json", b"2" * 3_000_000, JSON)
        return answer

    session.send = replacing
    assert store.get("a.json") == b"2" * 3_000_000
    assert len(asked) >= 3


# ---- runs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def scene(tmp_path: Path) -> lp.Scene:
    return lp.open_scene(write_toolkit_scene(tmp_path / "recording", frames=4, points=40, cameras=("front",)))


class Told:
    def __init__(self, stop_at: int = 99) -> None:
        self.told, self.stop_at = 0, stop_at

    def start(self, frames: int, done: int) -> None:
        pass

    def advance(self, frame: Any, stored_bytes: int) -> None:
        self.told += 1
        if self.told == self.stop_at:
            raise KeyboardInterrupt

    def skip(self, frame: Any) -> None:
        pass


def results(bucket: Any) -> dict[str, bytes]:
    return {key: data for key, data in contents(bucket).items() if "/.lidarprep-run/" not in key}


@pytest.mark.parametrize("kind", ["json", "sfs"])
def test_a_run_that_is_to_replace_another_and_fails_leaves_it_whole(
    scene: lp.Scene, bucket: Any, moto: str, kind: Any
) -> None:
    storage, out = lp.StorageOptions(endpoint_url=moto), f"s3://{BUCKET}/run"
    lp.prepare(scene, lp.Recipe(format=kind), out, storage=storage)
    before = contents(bucket)
    nowhere = lp.RegionOfInterest3D(position=(9e4, 9e4, 0), length=1, width=1)
    with pytest.raises(lp.RecipeError, match="no point"):
        lp.prepare(scene, lp.Recipe(format=kind, region_of_interest_3d=nowhere), out, storage=storage, overwrite=True)
    assert contents(bucket) == before
    another = lp.Recipe(format=kind, drop_intensity=True)
    with pytest.raises(KeyboardInterrupt):
        lp.prepare(scene, another, out, storage=storage, overwrite=True, progress=Told(stop_at=2), workers=1)
    assert results(bucket) == before
    manifest = lp.prepare(scene, another, out, storage=storage, overwrite=True)
    assert manifest.recipe["drop_intensity"] is True
    after = contents(bucket)
    assert set(after) == set(before)
    lp.prepare(scene, another, f"s3://{BUCKET}/plain", storage=storage)
    for key, data in after.items():
        if not key.endswith("manifest.json"):  # which has the time in it
            plain = bucket.Object(key.replace("run/", "plain/", 1)).get()["Body"].read()
            assert data.replace(b"/run/", b"/plain/") == plain


def test_a_machine_that_sleeps_anywhere_changes_nothing_after_its_lock_is_lost(
    scene: lp.Scene, bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request that changes anything asks first whether the lock is still held."""
    store = opened(moto)
    lost = threading.Event()

    def check() -> None:
        if lost.is_set():
            raise StorageError("lost")

    store.guard(check)
    staged = store.staged(aside=True)
    staged.put("a.json", b"[1]", JSON)
    before = contents(bucket)
    lost.set()
    sent = failing(store, answered(500, "InternalError"), times=0)
    calls: Iterator[Any] = iter(
        [
            lambda: store.put("b.json", b"[1]", JSON),
            lambda: store.put("b.pb", bytes(17 * 2**20), "application/octet-stream"),
            lambda: staged.commit(["a.json"]),
            lambda: staged.roll_back([]),
            lambda: store.discard(["a.json"]),
            lambda: store.put_if(".lidarprep-run/journal/header.jsonl", b"{}", None),
        ]
    )
    for call in calls:
        with pytest.raises(StorageError, match="lost"):
            call()
    assert not set(sent) & {"PUT", "POST", "DELETE"}
    assert contents(bucket) == before
    with suppress(StorageError):
        store.put_if(".lidarprep-run/lock", b"{}", None)
    assert "PUT" in sent
