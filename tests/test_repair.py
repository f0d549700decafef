"""What is missing or damaged is made again from the recording, and nothing else is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.cli import main
from lidarprep.errors import RecipeError, SceneError
from lidarprep.repair import repair
from lidarprep.submission import load_manifest
from lidarprep.verification import verify
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


def test_signed_urls_in_attachments_are_not_made_a_second_time(recording: Path, bucket: Any, moto: str) -> None:
    storage = lp.StorageOptions(endpoint_url=moto, presign_hours=1)
    lp.prepare(lp.open_scene(recording), lp.Recipe(), f"s3://{BUCKET}/run", storage=storage)
    bucket.Object("run/frame-9.json").delete()
    manifest = load_manifest(f"s3://{BUCKET}/run", storage)
    with pytest.raises(RecipeError, match="signed URLs"):
        repair(manifest, verify(manifest, storage).findings, lp.open_scene(recording), storage)


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
