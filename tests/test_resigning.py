"""Signed URLs of pictures that have run out are made anew in the attachments; nothing else of them changes."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from lidarprep.resigning import resign, runs_out_soon
from lidarprep.storage.lock import locked
from lidarprep.storage.object_lock import LOCK_KEY
from lidarprep.storage.s3.prefix import S3Prefix
from lidarprep.stored import store_of
from lidarprep.submission import load_manifest, submit, unique_id_of
from lidarprep.verification import verify

import lidarprep as lp
from lidarprep.api import ScaleClient
from lidarprep.attachments import FrameFormat, get_format
from lidarprep.cli import main
from lidarprep.errors import StorageError
from lidarprep.sandbox import running_sandbox
from tests.prepare.stopped_runs import Killed, Place, fails_from
from tests.scenes import write_toolkit_scene
from tests.storage.conftest import BUCKET, bucket, moto
from tests.storage.memory import MemoryStore

__all__ = ["bucket", "moto"]

OUT = f"s3://{BUCKET}/a run/1"
PARAMS = {"project": "street", "callback_url": "https://example.com/c", "labels": ["car"], "instruction": "Label."}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toolkit_scene(tmp_path_factory.mktemp("scene") / "recording", points=50)


class Run:
    """A run whose pictures' URLs are signed, and can be made to have run out."""

    def __init__(self, recording: Path, bucket: Any, moto: str) -> None:
        self.recording, self.bucket, self.moto = recording, bucket, moto
        self.recipe = lp.Recipe()
        self.storage = lp.StorageOptions(endpoint_url=moto, presign_hours=4)
        self.reaching = lp.StorageOptions(endpoint_url=moto)

    def prepare(self) -> lp.Manifest:
        return lp.prepare(lp.open_scene(self.recording), self.recipe, OUT, storage=self.storage)

    def manifest(self) -> lp.Manifest:
        return load_manifest(OUT, self.reaching)

    def change_manifest(self, **values: Any) -> lp.Manifest:
        told = json.loads(self.bucket.Object("a run/1/manifest.json").get()["Body"].read()) | values
        self.bucket.put_object(Key="a run/1/manifest.json", Body=json.dumps(told).encode())
        return self.manifest()

    def run_out(self) -> lp.Manifest:
        return self.change_manifest(images_expire_at=int(time.time()) - 60)

    def attachments(self) -> list[bytes]:
        store = store_of(self.manifest(), self.reaching)
        return [store.get(key) for key, _ in self.manifest().objects() if "/" not in key]

    def frames(self) -> list[lp.Frame]:
        attachment_format = get_format(self.recipe.format)
        assert isinstance(attachment_format, FrameFormat)
        return [attachment_format.decode(data) for data in self.attachments()]

    def urls(self) -> list[str]:
        return [image.url or "" for frame in self.frames() for image in frame.images]

    def unsigned(self, attachments: list[bytes]) -> list[bytes]:
        attachment_format = get_format(self.recipe.format)
        assert isinstance(attachment_format, FrameFormat)
        return [attachment_format.relink(data, lambda url: url.partition("?")[0]) for data in attachments]

    def is_sound(self) -> bool:
        return verify(self.manifest(), self.reaching).findings == ()


@pytest.fixture
def signed(recording: Path, bucket: Any, moto: str) -> Run:
    return Run(recording, bucket, moto)


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ({}, {}),
        ({"precision": 3}, {"gzip": True, "cache_control": "max-age=60"}),
        ({"format": "protobuf"}, {}),
    ],
    ids=["json", "json-3-compressed", "protobuf"],
)
def test_new_urls_stand_in_the_attachments_and_nothing_else_changes(
    signed: Run, recipe: dict[str, Any], options: dict[str, Any]
) -> None:
    signed.recipe = lp.Recipe(**recipe)
    signed.storage = signed.storage.model_copy(update=options)
    signed.prepare()
    before, old_urls = signed.attachments(), signed.urls()
    time.sleep(1.1)  # a signature is of a second
    told: list[tuple[int, int]] = []
    manifest = resign(signed.run_out(), signed.reaching, progress=lambda *done: told.append(done))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert manifest == signed.manifest()
    assert manifest.images_expire_at is not None
    assert manifest.images_expire_at > time.time() + 3.9 * 3600
    assert signed.is_sound()
    urls = signed.urls()
    assert [url.partition("?")[0] for url in urls] == [url.partition("?")[0] for url in old_urls]
    assert not set(urls) & set(old_urls)
    for url, image in zip(urls, manifest.images, strict=True):
        assert len(httpx.get(url).raise_for_status().content) == image.bytes
    assert signed.unsigned(signed.attachments()) == signed.unsigned(before)
    if options:
        answer = signed.bucket.Object("a run/1/frame-9.json").get()
        assert (answer["ContentEncoding"], answer["CacheControl"]) == ("gzip", "max-age=60")


def test_the_id_of_a_task_of_the_same_content_stays_the_same(signed: Run) -> None:
    before = unique_id_of(signed.prepare(), "lidarannotation", PARAMS)
    time.sleep(1.1)
    manifest = resign(signed.run_out(), signed.reaching)
    assert unique_id_of(manifest, "lidarannotation", PARAMS) == before
    signed.bucket.objects.all().delete()
    assert unique_id_of(signed.prepare(), "lidarannotation", PARAMS) == before  # so it does when all is made anew


def test_where_it_is_killed_the_next_time_does_all_of_it(
    signed: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signed.prepare()
    expired = signed.run_out()
    time.sleep(1.1)
    put = S3Prefix.put

    def killed(self: S3Prefix, key: str, *rest: Any) -> Any:
        if key == "frame-11.json":
            raise Killed
        return put(self, key, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(S3Prefix, "put", killed)
        with pytest.raises(Killed):
            resign(expired, signed.reaching)
    between = signed.manifest()
    assert between.is_being_signed
    assert between.images_have_expired
    with pytest.raises(SystemExit) as end:
        main(["verify", OUT, "--endpoint-url", signed.moto])
    assert not end.value.code
    assert "being signed anew when that was stopped" in capsys.readouterr().err
    store_of(between, signed.reaching).discard([".lidarprep-run/lock"])
    manifest = resign(between, signed.reaching)
    assert not manifest.images_have_expired
    assert signed.is_sound()
    assert [attachment.unsigned_sha256 for attachment in manifest.attachments] == [
        attachment.unsigned_sha256 for attachment in expired.attachments
    ]


@pytest.mark.parametrize("stopped", [False, True], ids=["before", "between"])
def test_what_is_damaged_gets_no_new_urls_and_is_not_taken_for_sound(signed: Run, stopped: bool) -> None:
    signed.prepare()
    expired = signed.change_manifest(images_expire_at=0) if stopped else signed.run_out()
    body = signed.bucket.Object("a run/1/frame-10.json").get()["Body"].read()
    damaged = body.replace(b'"fx":500', b'"fx":600')
    assert damaged != body
    signed.bucket.put_object(Key="a run/1/frame-10.json", Body=damaged)
    with pytest.raises(StorageError, match=r"frame-10\.json is not what the manifest says[\s\S]*--overwrite"):
        resign(expired, signed.reaching)
    (finding,) = verify(signed.manifest(), signed.reaching).findings
    assert (finding.key, finding.problem) == ("frame-10.json", "different")
    assert signed.bucket.Object("a run/1/frame-10.json").get()["Body"].read() == damaged


def test_what_is_gone_is_said_before_anything_changes(signed: Run) -> None:
    signed.prepare()
    expired = signed.run_out()
    signed.bucket.Object("a run/1/images/left/9.jpg").delete()
    with pytest.raises(StorageError, match=r"images/left/9\.jpg is gone"):
        resign(expired, signed.reaching)
    assert signed.manifest() == expired


def test_a_manifest_that_does_not_say_what_attachments_are_unsigned_is_refused(signed: Run) -> None:
    signed.prepare()
    records = [json.loads(one.model_dump_json(exclude={"unsigned_sha256"})) for one in signed.manifest().attachments]
    old = signed.change_manifest(attachments=records, images_expire_at=1)
    with pytest.raises(StorageError, match=r"cannot sign URLs anew[\s\S]*--overwrite"):
        resign(old, signed.reaching)
    assert signed.manifest() == old


def test_while_another_holds_the_place_nothing_is_signed(signed: Run) -> None:
    signed.prepare()
    expired = signed.run_out()
    with (
        locked(store_of(expired, signed.reaching)),
        pytest.raises(StorageError, match="another run"),
    ):
        resign(expired, signed.reaching)
    assert signed.manifest() == expired


def test_what_somebody_else_has_signed_meanwhile_is_taken_and_another_run_is_not(signed: Run) -> None:
    signed.prepare()
    expired = signed.run_out()
    fresh = resign(expired, signed.reaching)
    assert resign(expired, signed.reaching) == fresh
    signed.recipe = lp.Recipe(precision=2)
    lp.prepare(lp.open_scene(signed.recording), signed.recipe, OUT, storage=signed.storage, overwrite=True)
    with pytest.raises(StorageError, match="no longer the manifest that was read"):
        resign(expired, signed.reaching)


def test_prepare_signs_its_own_finished_run_anew_and_reads_nothing(signed: Run, recording: Path) -> None:
    signed.prepare()
    signed.run_out()
    manifest = signed.prepare()
    assert not manifest.images_have_expired
    assert manifest == signed.manifest()
    assert signed.is_sound()


def test_submit_signs_anew_what_runs_out_within_the_hour(signed: Run, caplog: pytest.LogCaptureFixture) -> None:
    with running_sandbox() as sandbox, ScaleClient("test_key", sandbox.url) as client:

        def submitted(manifest: lp.Manifest) -> list[int]:
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
            return told

        ids: set[str] = set()
        signed.prepare()
        assert submitted(signed.manifest()) == []
        signed.change_manifest(images_expire_at=int(time.time()) + 3500)
        assert submitted(signed.manifest()) == [1, 2, 3]
        assert "run out at" in caplog.text
        assert not runs_out_soon(signed.manifest())
        assert submitted(signed.manifest()) == []
        assert len(ids) == 1  # it is the same task
    assert signed.is_sound()


def test_credentials_that_end_soon_are_not_signed_with_again_and_again(
    signed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = int(time.time()) + 1200
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", datetime.fromtimestamp(end, UTC).isoformat())
    signed.prepare()
    manifest = signed.manifest()
    assert manifest.images_expire_at == end
    assert runs_out_soon(manifest)
    assert resign(manifest, signed.reaching) == manifest
    assert signed.manifest() == manifest
    monkeypatch.delenv("AWS_CREDENTIAL_EXPIRATION")
    assert not runs_out_soon(resign(manifest, signed.reaching))


def test_parameters_are_refused_before_anything_is_signed(signed: Run) -> None:
    signed.prepare()
    expired = signed.run_out()
    with ScaleClient("test_key", "http://127.0.0.1:9") as client, pytest.raises(lp.LidarprepError, match="labels"):
        submit(expired, "lidarannotation", PARAMS | {"labels": []}, client, storage=signed.reaching)
    assert signed.manifest() == expired


def test_a_copy_of_the_manifest_elsewhere_cannot_be_signed_by(signed: Run, tmp_path: Path) -> None:
    signed.prepare()
    (tmp_path / "manifest.json").write_bytes(signed.run_out().to_json())
    with (
        ScaleClient("test_key", "http://127.0.0.1:9") as client,
        pytest.raises(StorageError, match="does not lie beside them"),
    ):
        submit(load_manifest(tmp_path), "lidarannotation", PARAMS, client, storage=signed.reaching)


def test_the_commands_say_until_when_they_hold_and_when_little_is_left(
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

    assert "hold until 20" in said("verify", *words)
    assert "are left" not in said(*again)
    signed.change_manifest(images_expire_at=int(time.time()) + 6500)
    assert "of the 4 h that they were signed for, 1.8 h are left" in said(*again)
    signed.run_out()
    assert "ran out" in said("verify", *words)


def test_wherever_it_is_killed_the_manifest_does_not_lie_and_the_next_time_ends_well(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The k-th call to the store is the last, for every k there is."""
    place = Place("memory", tmp_path / "out", monkeypatch)
    monkeypatch.setattr(MemoryStore, "fetch_url", lambda self, key: f"{self.url(key)}?signed={time.time()}")
    scene, storage, memory = lp.open_scene(recording), lp.StorageOptions(presign_hours=2), place.memory

    def prepared() -> lp.Manifest:
        return lp.prepare(scene, lp.Recipe(), place.path, storage=storage, workers=1)

    def lies(manifest: lp.Manifest) -> list[str]:
        return [key for key, record in manifest.objects() if (memory.measure(key) or record).sha256 != record.sha256]

    def standing() -> lp.Manifest:
        return lp.Manifest.from_json(memory.get("manifest.json"), location="memory://store/manifest.json")

    clock = time.time()
    monkeypatch.setattr(time, "time", lambda: clock)
    prepared()
    stopped = 0
    for last in range(1, 100):
        clock += 2 * 3600 + 5
        place.calls.clear()
        place.fail = fails_from(last, "killed")
        with contextlib.suppress(Killed):
            prepared()
        place.fail = lambda call: None
        memory.objects.pop(LOCK_KEY, None)  # of a process that is taken for dead
        left = standing()
        assert left.is_being_signed or not lies(left)
        stopped += left.is_being_signed
        ended = prepared()
        assert ended == standing()
        assert not ended.images_have_expired
        assert lies(ended) == []
        if len(place.calls) < last:
            break
    assert stopped >= len(ended.attachments)
