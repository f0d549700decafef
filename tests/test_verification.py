"""Whether what a manifest names is still there: at a folder and at S3, by Python and by the command."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from lidarprep.submission import load_manifest
from lidarprep.verification import frames_of, verify

import lidarprep as lp
from lidarprep.cli import main
from lidarprep.errors import FormatError, StorageError
from lidarprep.recipe import Recipe, StorageOptions
from lidarprep.storage import Manifest, Store, open_store
from lidarprep.storage.manifest import AttachmentRecord, DroppedPoints, FrameRecord, ImageRecord
from tests.storage.conftest import BUCKET, bucket, moto

__all__ = ["bucket", "moto"]

JSON = "application/json"


def filled(store: Store) -> None:
    """Stores three attachments with a picture each, and their manifest."""
    attachments, images, frames = [], [], []
    for frame in ("a", "b", "c"):
        picture = store.put(f"images/front/{frame}.jpg", b"\xff\xd8\xff" + frame.encode() * 100, "image/jpeg")
        made = store.put(f"frame-{frame}.json", b"[%s]" % frame.encode() * 50, JSON)
        attachments.append(AttachmentRecord(url=made.url, bytes=made.bytes, sha256=made.sha256, frames=[frame]))
        images.append(
            ImageRecord(frame=frame, camera="front", url=picture.url, bytes=picture.bytes, sha256=picture.sha256)
        )
        frames.append(
            FrameRecord(
                id=frame,
                index=len(frames),
                timestamp=None,
                points_in=1,
                points_out=1,
                dropped=DroppedPoints(),
                labelled=True,
            )
        )
    recipe = Recipe().model_dump(mode="json")
    manifest = Manifest(
        source="drive", format="json", recipe=recipe, attachments=attachments, images=images, frames=frames
    )
    store.put("manifest.json", manifest.to_json(), JSON)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    filled(open_store(str(tmp_path / "out")))
    return tmp_path / "out"


def test_what_is_as_the_manifest_says_is_found_sound(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    found = verify(load_manifest(folder), progress=lambda done, total: told.append((done, total)))
    assert found.findings == ()
    assert (found.objects, found.bytes) == (
        6,
        sum(path.stat().st_size for path in folder.rglob("*.j*") if path.name != "manifest.json"),
    )
    assert told == [(done, 6) for done in range(1, 7)]


def test_what_is_missing_different_or_unreadable_is_found(folder: Path) -> None:
    (folder / "frame-a.json").unlink()
    (folder / "frame-b.json").write_bytes((folder / "frame-b.json").read_bytes().replace(b"b", b"x", 1))  # same size
    (folder / "frame-c.json").unlink()
    (folder / "frame-c.json").mkdir()
    (folder / "images/front/c.jpg").write_bytes(b"short")
    found = verify(load_manifest(folder / "manifest.json")).findings
    assert [(finding.key, finding.problem) for finding in found] == [
        ("frame-a.json", "missing"),
        ("frame-b.json", "different"),
        ("frame-c.json", "unreadable"),
        ("images/front/c.jpg", "different"),
    ]
    assert found[3].detail == "it has 5 bytes in place of 103"
    assert frames_of(found) == ["a", "b", "c"]


def test_a_folder_that_was_moved_is_verified_where_it_is_now(folder: Path) -> None:
    moved = folder.with_name("moved elsewhere")
    folder.rename(moved)
    assert verify(load_manifest(moved)).findings == ()


def test_urls_with_a_prefix_of_their_own_are_looked_for_beside_the_manifest(tmp_path: Path) -> None:
    filled(open_store(str(tmp_path / "out"), url_base="https://data.example.com/a%20scene/"))
    assert verify(load_manifest(tmp_path / "out")).findings == ()
    (tmp_path / "out/images/front/b.jpg").unlink()
    (finding,) = verify(load_manifest(tmp_path / "out")).findings
    assert (finding.key, finding.frames) == ("images/front/b.jpg", ("b",))


@pytest.mark.parametrize(
    "url", ["../other/frame-a.json", "/etc/passwd", "https://elsewhere.example.com/x.json", "%2e%2e/x"]
)
def test_a_manifest_that_names_what_does_not_lie_beside_it_is_refused(folder: Path, url: str) -> None:
    told = json.loads((folder / "manifest.json").read_bytes())
    told["images"][0]["url"] = url
    (folder / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(FormatError, match="beside the manifest"):
        verify(load_manifest(folder))


def test_a_link_that_leads_out_is_not_taken_for_what_was_stored(folder: Path, tmp_path: Path) -> None:
    (folder / "images").rename(tmp_path / "outside")
    (folder / "images").symlink_to(tmp_path / "outside")
    assert {finding.problem for finding in verify(load_manifest(folder)).findings} == {"unreadable"}


@pytest.mark.parametrize("options", [{}, {"gzip": True, "presign_hours": 1}, {"checksums": "when_required"}])
def test_objects_in_s3_are_read_and_compared(bucket: Any, moto: str, options: dict[str, Any]) -> None:
    storage = StorageOptions(endpoint_url=moto, **options)
    filled(open_store(f"s3://{BUCKET}/run", **storage.model_dump()))
    manifest = load_manifest(f"s3://{BUCKET}/run/manifest.json", storage)
    assert verify(manifest, storage).findings == ()
    bucket.Object("run/frame-b.json").delete()
    bucket.put_object(Key="run/images/front/a.jpg", Body=b"\xff\xd8\xff" + b"z" * 100)
    assert [(finding.key, finding.problem) for finding in verify(manifest, storage).findings] == [
        ("frame-b.json", "missing"),
        ("images/front/a.jpg", "different"),
    ]


def test_a_bucket_that_is_gone_is_an_error_and_no_finding(bucket: Any, moto: str) -> None:
    storage = StorageOptions(endpoint_url=moto)
    filled(open_store(f"s3://{BUCKET}/run", **storage.model_dump()))
    manifest = load_manifest(f"s3://{BUCKET}/run", storage).at("s3://no-such-bucket/run/manifest.json")
    with pytest.raises(StorageError, match="no such bucket"):
        verify(manifest, storage)


def ended(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def test_the_command_says_that_all_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("verify", folder) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "6 objects" in err


def test_the_command_lists_what_is_wrong_and_ends_with_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "frame-a.json").unlink()
    assert ended("verify", folder / "manifest.json", "--json") == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["sound"] is False
    assert told["objects"] == 6
    assert told["findings"] == [
        {"key": "frame-a.json", "frames": ["a"], "problem": "missing", "detail": "nothing is there"}
    ]
    assert "frame-a.json" in err


def test_the_command_reaches_s3_by_its_options(
    bucket: Any,
    moto: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    storage = lp.StorageOptions(endpoint_url=moto)
    filled(open_store(f"s3://{BUCKET}/run", **storage.model_dump()))
    assert ended("verify", f"s3://{BUCKET}/run/manifest.json", "--endpoint-url", moto, "--path-style") == 0
    bucket.Object("run/frame-b.json").delete()
    assert ended("verify", f"s3://{BUCKET}/run/manifest.json", "--endpoint-url", moto) == 1


def test_who_stops_it_waits_for_no_object_that_is_being_read(folder: Path) -> None:
    """A pipe that nobody writes to stands for a file of many gigabytes: to read it takes longer than anybody waits."""
    (folder / "frame-a.json").unlink()
    os.mkfifo(folder / "frame-a.json")
    with subprocess.Popen(
        [sys.executable, "-m", "lidarprep", "verify", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as command:
        writer = _opened_once_it_is_read(folder / "frame-a.json")
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=30)  # it would wait for ever
        os.close(writer)
    assert command.returncode not in (0, -signal.SIGKILL)
    assert b"Traceback" not in said


def _opened_once_it_is_read(pipe: Path) -> int:
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads it yet
                raise
        time.sleep(0.01)
