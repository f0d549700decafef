"""What is missing or damaged is made again from the recording, and nothing else is stored."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lidarprep.stored import recorded
from lidarprep.submission import load_manifest
from lidarprep.verification import verify

import lidarprep as lp
from lidarprep.cli import main
from lidarprep.errors import RecipeError, SceneError, StorageError
from lidarprep.repair import repair
from tests.prepare.stopped_runs import stop_at
from tests.scenes import write_toolkit_scene
from tests.storage.conftest import BUCKET, bucket, moto

__all__ = ["bucket", "moto"]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def damaged(folder: Path) -> None:
    """Loses an attachment, a picture of another frame, and a byte of a third frame's attachment."""
    (folder / "frame-9.json").unlink()
    (folder / "images/front/10.jpg").unlink()
    data = (folder / "frame-11.json").read_bytes()
    (folder / "frame-11.json").write_bytes(data[:-2] + b" " + data[-1:])


@pytest.mark.parametrize("url_base", [None, "https://data.example.com/a%20scene/"])
def test_what_is_missing_or_different_is_restored_byte_for_byte(
    tmp_path: Path, recording: Path, url_base: str | None
) -> None:
    out = tmp_path / "out"
    storage = lp.StorageOptions(url_base=url_base)
    lp.prepare(lp.open_scene(recording), lp.Recipe(), out, storage=storage)
    before = contents(out)
    damaged(out)
    manifest = load_manifest(out)
    findings = verify(manifest).findings
    assert len(findings) == 3
    told: list[tuple[int, int]] = []
    done = repair(manifest, findings, lp.open_scene(recording), progress=lambda done, total: told.append((done, total)))
    assert set(done.restored) == {"frame-9.json", "images/front/10.jpg", "frame-11.json"}
    assert done.unlike == ()
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert contents(out) == before


def test_a_scene_in_one_file_is_made_again(tmp_path: Path, recording: Path) -> None:
    out = tmp_path / "out"
    lp.prepare(lp.open_scene(recording), lp.Recipe(format="sfs"), out)
    before = contents(out)
    (out / "scene.sfs").write_bytes(b"cut")
    manifest = load_manifest(out)
    done = repair(manifest, verify(manifest).findings, lp.open_scene(recording))
    assert done.restored == ("scene.sfs",)
    assert contents(out) == before


def test_what_cannot_be_made_as_it_was_is_not_stored(tmp_path: Path, recording: Path) -> None:
    out = tmp_path / "out"
    lp.prepare(lp.open_scene(recording), lp.Recipe(intensity_scale=255), out)
    damaged(out)
    left = contents(out)
    other = write_toolkit_scene(tmp_path / "other", points=7)
    manifest = load_manifest(out)
    done = repair(manifest, verify(manifest).findings, lp.open_scene(other))
    assert {finding.key for finding in done.unlike} == {"frame-9.json", "images/front/10.jpg", "frame-11.json"}
    assert done.restored == ()
    assert contents(out) == left


def test_another_recording_is_refused(tmp_path: Path, recording: Path) -> None:
    out = tmp_path / "out"
    lp.prepare(lp.open_scene(recording), lp.Recipe(intensity_scale=255), out)
    damaged(out)
    manifest = load_manifest(out)
    shorter = lp.open_scene(write_toolkit_scene(tmp_path / "shorter", frames=2))
    with pytest.raises(SceneError, match="has no frame 11"):
        repair(manifest, verify(manifest).findings, shorter)


def test_objects_in_s3_are_restored_with_the_options_of_the_repair(
    recording: Path,
    bucket: Any,
    moto: str,
) -> None:
    storage = lp.StorageOptions(endpoint_url=moto, sse="AES256")
    lp.prepare(lp.open_scene(recording), lp.Recipe(format="protobuf"), f"s3://{BUCKET}/run", storage=storage)
    bucket.Object("run/frame-9.pb").delete()
    bucket.put_object(Key="run/images/front/10.jpg", Body=b"\xff\xd8\xffother")
    manifest = load_manifest(f"s3://{BUCKET}/run", storage)
    done = repair(manifest, verify(manifest, storage).findings, lp.open_scene(recording), storage)
    assert set(done.restored) == {"frame-9.pb", "images/front/10.jpg"}
    assert verify(manifest, storage).findings == ()
    answer = bucket.Object("run/frame-9.pb").get()
    assert (answer["ServerSideEncryption"], answer["ContentType"]) == ("AES256", "application/x-protobuf")
    assert not [item.key for item in bucket.objects.all() if ".lidarprep-run" in item.key]


def test_objects_are_stored_again_as_the_run_has_stored_them(
    recording: Path, bucket: Any, moto: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = ["--acl", "public-read", "--cache-control", "max-age=60", "--tag", "team=a", "--gzip"]
    where = [f"s3://{BUCKET}/run", "--endpoint-url", moto]
    with pytest.raises(SystemExit):
        main(["prepare", str(recording), "--out", *where, "--presign", "1", *kept])
    before = bucket.Object("run/images/front/10.jpg").get()
    bucket.Object("run/images/front/10.jpg").delete()
    with pytest.raises(SystemExit) as end:
        main(["verify", *where, "--repair", str(recording)])
    assert not end.value.code
    after = bucket.Object("run/images/front/10.jpg").get()
    assert after["CacheControl"] == "max-age=60"
    assert after["Metadata"] == before["Metadata"]  # of which one is a digest of all that it was put with
    assert after["TagCount"] == 1
    grants = bucket.Object("run/images/front/10.jpg").Acl().grants
    assert any(grant["Grantee"].get("URI", "").endswith("AllUsers") for grant in grants)
    capsys.readouterr()


def test_what_was_compressed_is_compressed_again(recording: Path, bucket: Any, moto: str) -> None:
    storage = lp.StorageOptions(endpoint_url=moto, gzip=True, url_base="https://data.example.com/run")
    lp.prepare(lp.open_scene(recording), lp.Recipe(), f"s3://{BUCKET}/run", storage=storage)
    before = bucket.Object("run/frame-10.json").get()["Body"].read()
    bucket.put_object(Key="run/frame-10.json", Body=b"{}")
    plain = lp.StorageOptions(endpoint_url=moto)
    manifest = load_manifest(f"s3://{BUCKET}/run", plain)
    assert repair(manifest, verify(manifest, plain).findings, lp.open_scene(recording), plain).unlike == ()
    after = bucket.Object("run/frame-10.json").get()
    assert (after["Body"].read(), after["ContentEncoding"]) == (before, "gzip")


@pytest.mark.parametrize(
    ("kept", "given", "named"),
    [
        ({"acl": "public-read"}, {"acl": "private"}, "acl is 'private', and the run stored its objects with 'public"),
        ({}, {"cache_control": "no-store"}, "cache_control is 'no-store', and the run stored its objects without it"),
    ],
)
def test_options_that_the_run_did_not_store_with_are_refused(
    recording: Path, bucket: Any, moto: str, kept: dict[str, Any], given: dict[str, Any], named: str
) -> None:
    lp.prepare(
        lp.open_scene(recording),
        lp.Recipe(),
        f"s3://{BUCKET}/run",
        storage=lp.StorageOptions(endpoint_url=moto, **kept),
    )
    bucket.Object("run/frame-9.json").delete()
    other = lp.StorageOptions(endpoint_url=moto, **given)
    manifest = load_manifest(f"s3://{BUCKET}/run", other)
    assert manifest.storage == kept
    with pytest.raises(RecipeError, match=named):
        repair(manifest, verify(manifest, other).findings, lp.open_scene(recording), other)


def test_an_older_manifest_does_not_say_how_so_the_options_do(recording: Path, bucket: Any, moto: str) -> None:
    storage = lp.StorageOptions(endpoint_url=moto, cache_control="max-age=60")
    lp.prepare(lp.open_scene(recording), lp.Recipe(), f"s3://{BUCKET}/run", storage=storage)
    told = json.loads(bucket.Object("run/manifest.json").get()["Body"].read())
    del told["storage"]
    bucket.put_object(Key="run/manifest.json", Body=json.dumps(told).encode())
    bucket.Object("run/frame-9.json").delete()
    other = lp.StorageOptions(endpoint_url=moto, cache_control="no-store")
    manifest = load_manifest(f"s3://{BUCKET}/run", other)
    assert manifest.storage is None
    assert repair(manifest, verify(manifest, other).findings, lp.open_scene(recording), other).unlike == ()
    assert bucket.Object("run/frame-9.json").get()["CacheControl"] == "no-store"


def test_how_a_store_is_reached_is_not_recorded() -> None:
    options = lp.StorageOptions(
        endpoint_url="https://s.example.com",
        profile="mine",
        region="eu-west-1",
        role_arn="arn:aws:iam::1:role/r",
        path_style=True,
        requester_pays=True,
        presign_hours=2,
        sse="aws:kms",
        kms_key="k",
        gzip=True,
    )
    assert recorded(options) == {"sse": "aws:kms", "kms_key": "k", "gzip": True}
    assert recorded(lp.StorageOptions()) == {}


def test_signed_urls_in_attachments_are_not_made_a_second_time(recording: Path, bucket: Any, moto: str) -> None:
    storage = lp.StorageOptions(endpoint_url=moto, presign_hours=1)
    lp.prepare(lp.open_scene(recording), lp.Recipe(), f"s3://{BUCKET}/run", storage=storage)
    bucket.Object("run/frame-9.json").delete()
    manifest = load_manifest(f"s3://{BUCKET}/run", storage)
    with pytest.raises(StorageError, match="signed URLs"):
        repair(manifest, verify(manifest, storage).findings, lp.open_scene(recording), storage)


def test_a_run_that_has_ended_since_the_manifest_was_read_is_left_alone(tmp_path: Path, recording: Path) -> None:
    out = tmp_path / "out"
    lp.prepare(lp.open_scene(recording), lp.Recipe(), out)
    damaged(out)
    manifest = load_manifest(out)
    findings = verify(manifest).findings
    lp.prepare(lp.open_scene(recording), lp.Recipe(precision=3), out, overwrite=True)
    newer = contents(out)
    with pytest.raises(StorageError, match=r"no longer the manifest that was read[\s\S]*again"):
        repair(manifest, findings, lp.open_scene(recording))
    (out / "manifest.json").unlink()
    with pytest.raises(StorageError, match="is gone since it was read"):
        repair(manifest, findings, lp.open_scene(recording))
    (out / "manifest.json").write_bytes(newer["manifest.json"])
    assert contents(out) == newer


def test_while_an_unfinished_run_stands_nothing_is_repaired(tmp_path: Path, recording: Path) -> None:
    out = tmp_path / "out"
    lp.prepare(lp.open_scene(recording), lp.Recipe(), out)
    damaged(out)
    manifest = load_manifest(out)
    findings = verify(manifest).findings
    with pytest.raises(KeyboardInterrupt):
        lp.prepare(
            lp.open_scene(recording),
            lp.Recipe(precision=3),
            out,
            overwrite=True,
            progress=stop_at("10", KeyboardInterrupt()),
        )
    left = contents(out)
    with pytest.raises(StorageError, match=r"an unfinished run stands at .*/out[\s\S]*prepare"):
        repair(manifest, findings, lp.open_scene(recording))
    assert contents(out) == left


def test_one_that_was_killed_leaves_nothing_behind_once_it_is_done_again(tmp_path: Path, recording: Path) -> None:
    """Killed for good, as it makes the second of two frames."""
    out = tmp_path / "out"
    lp.prepare(lp.open_scene(recording), lp.Recipe(), out)
    before = contents(out)
    damaged(out)
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(out), str(recording)], check=False)
    assert ended.returncode == -signal.SIGKILL
    left = {name for name in contents(out) if name not in before}
    assert left
    assert all(name.startswith(".lidarprep-run/") for name in left)
    manifest = load_manifest(out)
    repair(manifest, verify(manifest).findings, lp.open_scene(recording))
    assert contents(out) == before


_KILLED = """
import os, signal, sys
import lidarprep as lp
from lidarprep.repair import repair
from lidarprep.verification import verify

def killed(done, total):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

manifest = lp.load_manifest(sys.argv[1])
repair(manifest, verify(manifest).findings, lp.open_scene(sys.argv[2]), workers=1, progress=killed)
"""


def test_the_command_repairs_and_ends_well(tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    lp.prepare(lp.open_scene(recording), lp.Recipe(), out)
    damaged(out)
    for code, restored in ((0, 3), (0, None)):
        with pytest.raises(SystemExit) as end:
            main(["verify", str(out), "--repair", str(recording), "--json"])
        told = json.loads(capsys.readouterr().out)
        assert (end.value.code or 0) == code
        assert len(told.get("restored", ())) == (restored or 0)
