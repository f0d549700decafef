"""Signed URLs of images that expire are renewed in new attachments, under a new manifest; the old ones stay."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

import lidarprep as lp
from lidarprep.api import ScaleClient
from lidarprep.attachments import FrameFormat, get_format
from lidarprep.cli import main
from lidarprep.errors import ManifestConflictError, StorageError
from lidarprep.prepare.process_frame import FrameProcessor
from lidarprep.sandbox import running_sandbox
from lidarprep.signed_urls import expires_soon, renew
from lidarprep.storage import Manifest, load_manifest, store_of
from lidarprep.storage.content import decompressed
from lidarprep.storage.keys import is_content_key
from lidarprep.submit import submit, unique_id_of
from lidarprep.verify import verify
from tests.scenes import write_toolkit_scene
from tests.storage.conftest import BUCKET, bucket, moto
from tests.storage.s3 import network, requests
from tests.version_0_1 import store_as_0_1

__all__ = ["bucket", "moto"]

OUT = f"s3://{BUCKET}/a run/1"
PARAMS = {"project": "street", "callback_url": "https://example.com/c", "labels": ["car"], "instruction": "Label."}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toolkit_scene(tmp_path_factory.mktemp("scene") / "recording", points=50)


class Run:
    """A run whose images' URLs are signed, and can be made to have expired."""

    def __init__(self, recording: Path, bucket: Any, moto: str) -> None:
        self.recording, self.bucket, self.moto = recording, bucket, moto
        self.recipe = lp.Recipe()
        self.storage = lp.StorageOptions(endpoint_url=moto, presign_hours=4)
        self.reaching = lp.StorageOptions(endpoint_url=moto)

    def prepare(self, **options: Any) -> Manifest:
        return lp.prepare(lp.open_scene(self.recording), self.recipe, OUT, storage=self.storage, **options)

    def prepare_as_0_1(self, scratch: Path, *, expire_at: int) -> Manifest:
        store_as_0_1(self.recording, scratch, OUT, self.storage, format=self.recipe.format, expire_at=expire_at)
        return self.manifest()

    def manifest(self) -> Manifest:
        return load_manifest(OUT, self.reaching)

    def change_manifest(self, **values: Any) -> Manifest:
        told = json.loads(self.bucket.Object("a run/1/manifest.json").get()["Body"].read()) | values
        self.bucket.put_object(Key="a run/1/manifest.json", Body=json.dumps(told).encode())
        return self.manifest()

    def expire(self) -> Manifest:
        return self.change_manifest(images_expire_at=int(time.time()) - 60)

    def objects(self) -> dict[str, bytes]:
        """Everything that is stored, but for the manifest."""
        return {item.key: item.get()["Body"].read() for item in self.bucket.objects.all() if "manifest" not in item.key}

    def attachments(self) -> list[bytes]:
        manifest, found = self.manifest(), []
        store = store_of(manifest, self.reaching)
        for key, record in manifest.objects()[: len(manifest.attachments)]:
            data = store.get(key) or b""
            found.append(decompressed(data, key) if manifest.is_compressed(record) else data)
        return found

    def urls(self) -> list[str]:
        attachment_format = get_format(self.recipe.format)
        assert isinstance(attachment_format, FrameFormat)
        return [image.url or "" for data in self.attachments() for image in attachment_format.decode(data).images]

    def is_sound(self) -> bool:
        return verify(self.manifest(), self.reaching).findings == ()


@pytest.fixture
def signed(recording: Path, bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run; each signature is another, though all are of the same second."""
    monkeypatch.setattr("lidarprep.storage.s3.S3Store.fetch_url", _salted())
    return Run(recording, bucket, moto)


def _salted() -> Any:
    """S3Store.fetch_url, whose URLs differ each time: as if seconds had passed."""
    from lidarprep.storage.s3 import S3Store

    fetch_url, numbers = S3Store.fetch_url, iter(range(10**6))

    def salted(self: S3Store, key: str) -> Any:
        found = fetch_url(self, key)
        return found if found.expires_at is None else replace(found, url=f"{found.url}&n={next(numbers)}")

    return salted


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ({}, {}),
        ({"precision": 3}, {"gzip": True, "cache_control": "max-age=60"}),
        ({"format": "protobuf"}, {}),
    ],
    ids=["json", "json-3-compressed", "protobuf"],
)
@pytest.mark.parametrize("of_0_1", [False, True], ids=["", "0.1"])
def test_new_urls_are_in_new_attachments_and_the_old_ones_stay_as_they_were(
    signed: Run, tmp_path: Path, recipe: dict[str, Any], options: dict[str, Any], of_0_1: bool
) -> None:
    if of_0_1:
        recipe = {name: value for name, value in recipe.items() if name == "format"}
    signed.recipe = lp.Recipe(**recipe)
    signed.storage = signed.storage.model_copy(update=options)
    if of_0_1:
        signed.prepare_as_0_1(tmp_path, expire_at=0)
    else:
        signed.prepare()
    assert signed.is_sound()
    before, old_urls, old = signed.objects(), signed.urls(), signed.expire()
    told: list[tuple[int, int]] = []
    manifest = renew(old, signed.reaching, progress=lambda *done: told.append(done))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert manifest == signed.manifest().at(manifest.location)
    assert manifest.images_expire_at == pytest.approx(time.time() + 4 * 3600, abs=60)
    assert signed.is_sound()
    after = signed.objects()
    assert {key: after[key] for key in before} == before
    new = {f"a run/1/{record.key}" for record in manifest.attachments}
    assert after.keys() - before.keys() == new
    assert len(new) == 3
    assert all(is_content_key(record.key) for record in manifest.attachments)
    urls = signed.urls()
    assert [url.partition("?")[0] for url in urls] == [url.partition("?")[0] for url in old_urls]
    assert not set(urls) & set(old_urls)
    for url, image in zip(urls[:2], manifest.images[:2], strict=True):
        assert len(httpx.get(url).raise_for_status().content) == image.bytes
    assert [a.unsigned_sha256 for a in manifest.attachments] == [a.unsigned_sha256 for a in old.attachments]
    if options:
        answer = signed.bucket.Object(next(iter(new))).get()
        assert (answer["ContentEncoding"], answer["CacheControl"]) == ("gzip", "max-age=60")
    again = renew(signed.expire(), signed.reaching)
    assert signed.is_sound()
    assert {a.key for a in again.attachments}.isdisjoint(a.key for a in manifest.attachments)


def test_the_id_of_a_task_of_the_same_content_stays_the_same(signed: Run) -> None:
    before = unique_id_of(signed.prepare(), "lidarannotation", PARAMS)
    assert unique_id_of(renew(signed.expire(), signed.reaching), "lidarannotation", PARAMS) == before
    signed.bucket.objects.all().delete()
    assert unique_id_of(signed.prepare(), "lidarannotation", PARAMS) == before  # so it does when all is made again


class Killed(BaseException):
    """The process is gone."""


def _is_after(last: int, puts: Iterator[int], request: Any) -> bool:
    return next(puts) >= last


def test_wherever_it_is_killed_the_manifest_is_whole_and_the_next_time_ends_well(signed: Run) -> None:
    signed.prepare()
    expired = signed.expire()

    def kill(request: Any) -> Any:
        raise Killed

    with network() as sent:
        renew(expired, signed.reaching)
    changing = [request for request in requests(sent) if request.startswith("PUT")]
    assert len(changing) == 4
    for last in range(len(changing)):
        expired, puts = signed.expire(), iter(range(99))
        late = partial(_is_after, last, puts)
        with network(kill, method="PUT", when=late), pytest.raises(Killed):
            renew(expired, signed.reaching)
        assert signed.manifest() == expired
        assert signed.is_sound()
    renew(expired, signed.reaching)
    assert signed.is_sound()
    assert not signed.manifest().images_have_expired


def test_what_is_damaged_gets_no_new_urls(signed: Run) -> None:
    signed.prepare()
    expired = signed.expire()
    key = f"a run/1/{expired.attachments[1].key}"
    body = signed.bucket.Object(key).get()["Body"].read()
    damaged = body.replace(b'"fx":500', b'"fx":600')
    assert damaged != body
    signed.bucket.put_object(Key=key, Body=damaged)
    with pytest.raises(StorageError, match=r"frames/10-\w+\.json is not what the manifest says[\s\S]*--overwrite"):
        renew(expired, signed.reaching)
    assert signed.manifest() == expired


def test_what_is_gone_is_said_before_anything_is_stored(signed: Run) -> None:
    signed.prepare()
    expired = signed.expire()
    signed.bucket.Object(f"a run/1/{expired.images[1].key}").delete()
    before = signed.objects()
    with pytest.raises(StorageError, match=rf"{expired.images[1].key} is gone, or of another size"):
        renew(expired, signed.reaching)
    assert (signed.manifest(), signed.objects()) == (expired, before)


def test_a_manifest_that_does_not_say_what_attachments_are_unsigned_is_refused(signed: Run) -> None:
    signed.prepare()
    records = [json.loads(one.model_dump_json(exclude={"unsigned_sha256"})) for one in signed.manifest().attachments]
    old = signed.change_manifest(attachments=records, images_expire_at=1)
    with pytest.raises(StorageError, match=r"cannot renew URLs[\s\S]*--overwrite"):
        renew(old, signed.reaching)
    assert signed.manifest() == old


def test_a_manifest_that_was_replaced_meanwhile_is_a_conflict(signed: Run) -> None:
    signed.prepare()
    expired = signed.expire()
    fresh = renew(expired, signed.reaching)
    with pytest.raises(ManifestConflictError):
        renew(expired, signed.reaching)
    assert signed.manifest() == fresh.at(signed.manifest().location)
    expired, other = signed.expire(), list[int]()

    def overtaken(request: Any) -> Any:
        if request.method == "PUT" and not other:
            other.append(1)
            signed.change_manifest(images_expire_at=int(time.time()) + 1)
        return False

    with network(when=overtaken), pytest.raises(ManifestConflictError):
        renew(expired, signed.reaching)


def test_prepare_renews_its_own_finished_run_and_reads_no_point(signed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    signed.prepare()
    signed.expire()
    monkeypatch.setattr(FrameProcessor, "prepare", None)
    manifest = signed.prepare()
    assert not manifest.images_have_expired
    assert manifest == signed.manifest().at(manifest.location)
    assert signed.is_sound()


@pytest.fixture(scope="module")
def client() -> Iterator[ScaleClient]:
    with running_sandbox() as sandbox, ScaleClient("test_key", sandbox.url) as made:
        yield made


@pytest.mark.parametrize("of_0_1", [False, True], ids=["", "0.1"])
def test_submit_renews_what_expires_within_the_hour(
    signed: Run, client: ScaleClient, tmp_path: Path, caplog: pytest.LogCaptureFixture, of_0_1: bool
) -> None:
    ids: set[str] = set()

    def submitted(manifest: Manifest) -> list[int]:
        told: list[int] = []
        task = submit(
            manifest,
            "lidarannotation",
            PARAMS,
            client,
            unique_id="auto",
            storage=signed.reaching,
            progress=lambda done, total: told.append(done),
        )
        ids.add(task.id)
        attachments = client.get_task(task.id).params["attachments"]
        if not told:
            for url, data in zip(attachments, signed.attachments(), strict=True):
                assert httpx.get(url).raise_for_status().content == data
        return told

    if of_0_1:
        signed.prepare_as_0_1(tmp_path, expire_at=int(time.time()) + 4 * 3600)
    else:
        signed.prepare()
    assert submitted(signed.manifest()) == []
    signed.change_manifest(images_expire_at=int(time.time()) + 3500)
    assert submitted(signed.manifest()) == [1, 2, 3]
    assert "expire at" in caplog.text
    assert not expires_soon(signed.manifest())
    assert len(ids) == 1  # it is the same task
    assert signed.is_sound()


@pytest.mark.parametrize(("format", "parameters"), [("json", {}), ("protobuf", {}), ("sfs", {"labels": None})])
def test_a_run_of_lidarprep_0_1_is_submitted(
    recording: Path, tmp_path: Path, bucket: Any, moto: str, client: ScaleClient, format: str, parameters: Any
) -> None:
    storage = lp.StorageOptions(endpoint_url=moto)
    store_as_0_1(recording, tmp_path, OUT, storage, format=format)
    kind = "multistage" if format == "sfs" else "lidarannotation"
    params = {name: value for name, value in (PARAMS | parameters).items() if value is not None}
    task = client.get_task(submit(load_manifest(OUT, storage), kind, params, client, storage=storage).id)
    suffix = {"json": "json", "protobuf": "pb"}.get(format)
    names = [f"frame-{n}.{suffix}" for n in (9, 10, 11)] if suffix else ["scene.sfs"]
    assert task.params["attachments"] == [f"{OUT}/{name}" for name in names]
    bucket.Object(f"a run/1/{names[0]}").delete()
    with pytest.raises(StorageError, match=r"are gone, or of another size[\s\S]*Prepare again with --overwrite"):
        submit(load_manifest(OUT, storage), kind, params, client, storage=storage)


def test_credentials_that_expire_soon_are_not_signed_with_again_and_again(
    signed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = int(time.time()) + 1200
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", datetime.fromtimestamp(end, UTC).isoformat())
    signed.prepare()
    manifest = signed.manifest()
    assert manifest.images_expire_at == pytest.approx(end, abs=5)
    assert expires_soon(manifest)
    before = signed.objects()
    signed.change_manifest(images_expire_at=end + 60)
    assert renew(signed.manifest(), signed.reaching) == signed.manifest()
    assert signed.objects() == before
    monkeypatch.delenv("AWS_CREDENTIAL_EXPIRATION")
    assert not expires_soon(renew(signed.manifest(), signed.reaching))


def test_parameters_are_refused_before_anything_is_renewed(signed: Run) -> None:
    signed.prepare()
    expired = signed.expire()
    with ScaleClient("test_key", "http://127.0.0.1:9") as client, pytest.raises(lp.LidarprepError, match="labels"):
        submit(expired, "lidarannotation", PARAMS | {"labels": []}, client, storage=signed.reaching)
    assert signed.manifest() == expired


def test_a_copy_of_the_manifest_elsewhere_cannot_be_renewed_by(signed: Run, tmp_path: Path) -> None:
    signed.prepare()
    (tmp_path / "manifest.json").write_bytes(signed.expire().to_json())
    with (
        ScaleClient("test_key", "http://127.0.0.1:9") as client,
        pytest.raises(StorageError, match="does not lie beside them"),
    ):
        submit(load_manifest(tmp_path), "lidarannotation", PARAMS, client, storage=signed.reaching)


def test_the_commands_say_until_when_they_are_valid_and_when_little_is_left(
    signed: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    signed.prepare()
    words = [OUT, "--endpoint-url", signed.moto]
    again = ["prepare", str(signed.recording), "--presign", "4", "--out", *words]

    def said(*words: str) -> str:
        with pytest.raises(SystemExit) as end:
            main([*words])
        assert not end.value.code
        return " ".join(capsys.readouterr().err.split())

    assert "are valid until 20" in said("verify", *words)
    assert "are left" not in said(*again)
    signed.change_manifest(images_expire_at=int(time.time()) + 6500)
    assert "of the 4 h that they were signed for, 1.8 h are left" in said(*again)
    signed.expire()
    assert "expired at" in said("verify", *words)
