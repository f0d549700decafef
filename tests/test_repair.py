"""What is missing or damaged is made again from the recording, and nothing else is stored."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import lidarprep as lp
from lidarprep.cli import main
from lidarprep.errors import ManifestConflictError, RecipeError
from lidarprep.repair import repair
from lidarprep.storage import load_manifest
from lidarprep.verify import verify
from tests.scenes import write_toolkit_scene
from tests.storage.conftest import BUCKET, bucket, moto
from tests.storage.s3 import network, requests
from tests.version_0_1 import store_as_0_1

__all__ = ["bucket", "moto"]

RUN = f"s3://{BUCKET}/run"
REGION = lp.RegionOfInterest3D(position=(20.0, 5.0, 0.0), length=60.0, width=60.0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toolkit_scene(tmp_path_factory.mktemp("scene") / "recording", points=50, cameras=("front",))


@pytest.fixture(scope="module")
def prepared(recording: Path) -> Callable[[str], Path]:
    """Folders that runs of a format are in; each has objects of kept points."""

    def run(format: str) -> Path:
        out = recording.with_name(format)
        lp.prepare(lp.open_scene(recording), lp.Recipe(format=format, region_of_interest_3d=REGION), out)
        return out

    return run


@pytest.fixture
def out(prepared: Callable[[str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared("json"), tmp_path / "out"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def damage(folder: Path) -> set[str]:
    """Lose an attachment, an image of another frame, a byte of a third frame's attachment and its kept points."""
    manifest = load_manifest(folder)
    (first, _, third), image = (record.key for record in manifest.attachments), manifest.images[1].key
    assert manifest.frames[2].kept is not None
    kept = manifest.frames[2].kept.key
    for key in (first, image):
        (folder / key).unlink()
    for key in (third, kept):
        data = (folder / key).read_bytes()
        (folder / key).write_bytes(data[:-2] + b" " + data[-1:])
    return {first, third, image, kept}


def test_what_is_missing_or_different_is_restored_byte_for_byte(out: Path, recording: Path) -> None:
    before, damaged = contents(out), damage(out)
    manifest = load_manifest(out)
    done = repair(manifest, lp.open_scene(recording), findings=verify(manifest).findings)
    assert (set(done.restored), done.replaced) == (damaged, ())
    assert contents(out) == before
    assert done.manifest == manifest
    again = repair(manifest, lp.open_scene(recording))
    assert (again.manifest, again.restored, again.replaced) == (manifest, (), ())


@pytest.mark.parametrize("format", ["json", "protobuf", "sfs"])
def test_any_one_object_that_is_lost_or_damaged_is_made_again(
    prepared: Callable[[str], Path], recording: Path, tmp_path: Path, format: str
) -> None:
    out = Path(shutil.copytree(prepared(format), tmp_path / "out"))
    before, manifest = contents(out), load_manifest(out)
    kinds = {key.partition("/")[0]: key for key, _ in manifest.objects()}
    assert len(kinds) == (2 if format == "sfs" else 3)
    for key in kinds.values():
        for change in (out / key).unlink, lambda path=out / key: path.write_bytes(b"x" * path.stat().st_size):
            change()
            done = repair(load_manifest(out), lp.open_scene(recording))
            assert done.restored == (key,)
            assert contents(out) == before


def test_objects_in_a_bucket_are_stored_again_as_the_run_has_stored_them(
    recording: Path, bucket: Any, moto: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {"acl": "public-read", "cache_control": "max-age=60", "tags": ["team=a"], "gzip": True, "sse": "AES256"}
    storage = lp.StorageOptions(endpoint_url=moto, url_base="https://data.example.com/run", **kept)  # type: ignore[arg-type]
    manifest = lp.prepare(lp.open_scene(recording), lp.Recipe(), RUN, storage=storage)
    keys = [manifest.attachments[0].key, manifest.images[1].key]
    before = [bucket.Object(f"run/{key}").get()["Body"].read() for key in keys]
    bucket.Object(f"run/{keys[0]}").delete()
    bucket.put_object(Key=f"run/{keys[1]}", Body=b"\xff\xd8\xffother")
    with pytest.raises(SystemExit) as end:
        main(["verify", RUN, "--endpoint-url", moto, "--repair", str(recording)])
    assert not end.value.code
    assert "2 objects restored" in capsys.readouterr().err
    for key, data in zip(keys, before, strict=True):
        item = bucket.Object(f"run/{key}").get()
        assert item["Body"].read() == data
        assert (item["CacheControl"], item["TagCount"], item["ServerSideEncryption"]) == ("max-age=60", 1, "AES256")
        assert any(
            grant["Grantee"].get("URI", "").endswith("Users") for grant in bucket.Object(f"run/{key}").Acl().grants
        )
    assert bucket.Object(f"run/{keys[0]}").content_encoding == "gzip"
    reached = lp.StorageOptions(endpoint_url=moto)
    assert verify(load_manifest(RUN, reached), reached).findings == ()
    assert not [item.key for item in bucket.objects.all() if ".lidarprep" in item.key]
    bucket.Object(f"run/{keys[0]}").delete()
    other = lp.StorageOptions(endpoint_url=moto, acl="private")
    with pytest.raises(RecipeError, match="acl is 'private', and the run stored its objects with 'public-read'"):
        repair(load_manifest(RUN, other), lp.open_scene(recording), other)


def test_an_attachment_with_signed_urls_is_replaced_by_another_and_nothing_else_is_read_or_stored(
    recording: Path, bucket: Any, moto: str
) -> None:
    storage, reached = lp.StorageOptions(endpoint_url=moto, presign_hours=1), lp.StorageOptions(endpoint_url=moto)
    manifest = lp.prepare(lp.open_scene(recording), lp.Recipe(), RUN, storage=storage)
    lost, *others = (record.key for record in manifest.attachments)
    bucket.Object(f"run/{lost}").delete()
    # A signature is of a second; this one is of other credentials.
    with pytest.MonkeyPatch.context() as patched, network() as sent:
        patched.setenv("AWS_ACCESS_KEY_ID", "another")
        done = repair(load_manifest(RUN, reached), lp.open_scene(recording), reached)
    assert (done.restored, done.replaced) == ((), (lost,))
    new, *same = (record.key for record in done.manifest.attachments)
    assert same == others
    puts = [request for request in requests(sent) if request.startswith("PUT") and ".lidarprep" not in request]
    assert puts == [f"PUT run/{manifest.images[0].key}", f"PUT run/{new}", "PUT run/manifest.json"]
    assert verify(load_manifest(RUN, reached), reached).findings == ()
    frame = json.loads(bucket.Object(f"run/{new}").get()["Body"].read())
    for image, record in zip(frame["images"], done.manifest.images[:1], strict=True):
        assert len(httpx.get(image["image_url"]).raise_for_status().content) == record.bytes
    assert done.manifest.attachments[0].unsigned_sha256 == manifest.attachments[0].unsigned_sha256


def test_a_copy_of_the_recording_is_as_good_and_what_is_made_of_another_is_told_from_what_was_there(
    recording: Path, tmp_path: Path
) -> None:
    here = Path(shutil.copytree(recording, tmp_path / "here"))
    out = tmp_path / "out"
    lp.prepare(lp.open_scene(here), lp.Recipe(region_of_interest_3d=REGION, intensity_scale=255), out)
    damage(out)
    manifest = load_manifest(out)
    moved = Path(shutil.copytree(here, tmp_path / "moved", copy_function=shutil.copy))  # with other times
    assert len(repair(manifest, lp.open_scene(moved)).restored) == 4
    damaged = damage(out)
    (moved / "pointcloud/11.ply").write_bytes((moved / "pointcloud/10.ply").read_bytes())
    done = repair(manifest, lp.open_scene(moved))
    of_11 = {key for key in damaged if "/11-" in key}
    assert (set(done.unlike), set(done.restored), done.replaced) == (of_11, damaged - of_11, ())
    assert {finding.key for finding in verify(load_manifest(out)).findings} == of_11
    # Nothing of it is taken for a finished frame of the run.
    assert len(repair(manifest, lp.open_scene(here)).restored) == len(of_11)
    assert verify(load_manifest(out)).findings == ()
    damage(out)
    shorter = write_toolkit_scene(tmp_path / "shorter", points=50, cameras=("front",), frames=2)
    with pytest.raises(RecipeError, match="has not the frames of"):
        repair(manifest, lp.open_scene(shorter))


def test_a_run_of_lidarprep_0_1_cannot_be_repaired_and_is_told_what_to_do(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    store_as_0_1(recording, tmp_path / "scratch", str(out), lp.StorageOptions())
    (out / "frame-9.json").unlink()
    with pytest.raises(RecipeError, match=r"is of lidarprep 0\.1[\s\S]*--overwrite"):
        repair(load_manifest(out), lp.open_scene(recording))
    lp.prepare(lp.open_scene(recording), lp.Recipe(), out, overwrite=True)
    assert verify(load_manifest(out)).findings == ()


def test_a_run_that_has_ended_since_the_manifest_was_read_is_left_alone(out: Path, recording: Path) -> None:
    damage(out)
    manifest = load_manifest(out)
    lp.prepare(lp.open_scene(recording), lp.Recipe(precision=3), out, overwrite=True)
    newer = contents(out)
    with pytest.raises(ManifestConflictError):
        repair(manifest, lp.open_scene(recording))
    assert contents(out) == newer


def test_one_that_was_killed_leaves_what_is_sound_and_the_next_one_ends_it(out: Path, recording: Path) -> None:
    """Killed for good, as the second frame is stored."""
    before = contents(out)
    damaged = damage(out)
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(out), str(recording)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert set(finished(out)) <= set(before)
    done = repair(load_manifest(out), lp.open_scene(recording))
    assert set(done.restored) < damaged
    assert finished(out) == before


def finished(folder: Path) -> dict[str, bytes]:
    """All but what `prune` deletes in a day: cache entries, and what is half written."""
    passing = (".lidarprep/", ".writing-")
    return {key: data for key, data in contents(folder).items() if not any(part in key for part in passing)}


_KILLED = """
import os, signal, sys
import lidarprep as lp
from lidarprep.prepare import NoProgress
from lidarprep.repair import repair

class Killed(NoProgress):
    def advance(self, frame, size):
        if frame.id == "10":
            os.kill(os.getpid(), signal.SIGKILL)

repair(lp.load_manifest(sys.argv[1]), lp.open_scene(sys.argv[2]), workers=1, progress=Killed())
"""


def test_the_command_repairs_and_ends_well(out: Path, recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(out)
    for restored in (4, None):
        with pytest.raises(SystemExit) as end:
            main(["verify", str(out), "--repair", str(recording), "--json"])
        told = json.loads(capsys.readouterr().out)
        assert not end.value.code
        assert len(told.get("restored", ())) == (restored or 0)
