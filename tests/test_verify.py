"""Whether what a manifest names is still there: at a folder and at S3, by Python and by the command."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.cli import main
from lidarprep.errors import FormatError, StorageError
from lidarprep.storage import load_manifest
from lidarprep.storage.folder import FolderStore
from lidarprep.verify import verify
from tests.scenes import write_toolkit_scene
from tests.storage.conftest import BUCKET, bucket, moto
from tests.version_0_1 import store_as_0_1

__all__ = ["bucket", "moto"]

RUN = f"s3://{BUCKET}/run"
REGION = lp.RegionOfInterest3D(position=(20.0, 5.0, 0.0), length=60.0, width=60.0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toolkit_scene(tmp_path_factory.mktemp("scene") / "recording", points=50, cameras=("front",))


@pytest.fixture(scope="module")
def prepared(recording: Path) -> Path:
    """Three attachments, each with an image and the points that are kept."""
    lp.prepare(lp.open_scene(recording), lp.Recipe(region_of_interest_3d=REGION), recording.with_name("out"))
    return recording.with_name("out")


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "out"))


def ended(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def test_what_is_as_the_manifest_says_is_found_sound(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    found = verify(load_manifest(folder), progress=lambda done, total: told.append((done, total)))
    assert found.findings == ()
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    assert (found.objects, found.bytes) == (9, sum(sizes))
    assert told == [(done, 9) for done in range(1, 10)]


def test_what_is_missing_different_or_unreadable_is_found(folder: Path) -> None:
    manifest = load_manifest(folder)
    a, b, c = (record.key for record in manifest.attachments)
    image, kept = manifest.images[2].key, manifest.frames[1].kept
    assert kept is not None
    (folder / a).unlink()
    (folder / b).write_bytes((folder / b).read_bytes().replace(b"9", b"8", 1))  # of the same size
    (folder / c).unlink()
    (folder / c).mkdir()
    (folder / image).write_bytes(b"short")
    (folder / kept.key).write_bytes(b"")
    found = verify(load_manifest(folder / "manifest.json")).findings
    assert [(finding.key, finding.problem, finding.frames) for finding in found] == [
        (a, "missing", ("9",)),
        (b, "different", ("10",)),
        (c, "unreadable", ("11",)),
        (image, "different", ("11",)),
        (kept.key, "different", ("10",)),
    ]
    assert found[3].detail == f"it has 5 bytes in place of {manifest.images[2].bytes:,}"


def test_one_that_is_stopped_reads_nothing_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, read = load_manifest(folder), []
    many = manifest.model_copy(update={"images": manifest.images * 300})
    get = FolderStore.get

    def slow(store: FolderStore, key: str, *range: Any) -> bytes | None:
        read.append(key)
        time.sleep(0.01)
        return get(store, key, *range)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FolderStore, "get", slow)
    with pytest.raises(KeyboardInterrupt):
        verify(many, progress=stop)
    time.sleep(0.1)
    stopped_at = len(read)
    time.sleep(0.1)
    assert len(read) == stopped_at < 100


def test_a_folder_that_was_moved_is_verified_where_it_is_now(folder: Path) -> None:
    moved = folder.with_name("moved elsewhere")
    folder.rename(moved)
    assert verify(load_manifest(moved)).findings == ()


def test_a_folder_whose_name_is_not_utf_8_is_verified(folder: Path) -> None:
    odd = folder.rename(folder.with_name("ö\udcff %41#"))
    assert verify(load_manifest(odd)).findings == ()


@pytest.mark.parametrize("key", ["../other/frame-a.json", "/etc/passwd", "a/../../x"])
def test_a_manifest_that_names_what_does_not_lie_beside_it_is_refused(folder: Path, key: str) -> None:
    told = json.loads((folder / "manifest.json").read_bytes())
    told["images"][0]["key"] = key
    (folder / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(FormatError, match="beside the manifest"):
        verify(load_manifest(folder))


def test_a_link_that_leads_out_is_not_taken_for_what_was_stored(folder: Path, tmp_path: Path) -> None:
    (folder / "images").rename(tmp_path / "outside")
    (folder / "images").symlink_to(tmp_path / "outside")
    assert [finding.problem for finding in verify(load_manifest(folder)).findings] == ["unreadable"] * 3


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gzip": True, "presign_hours": 1},
        {"gzip": True, "url_base": "https://data.example.com/a%20scene/"},
        {"checksums": "when_required"},
    ],
)
def test_objects_in_s3_are_read_and_compared_and_a_copy_of_them_is_too(
    recording: Path, bucket: Any, moto: str, tmp_path: Path, options: dict[str, Any]
) -> None:
    storage, reached = lp.StorageOptions(endpoint_url=moto, **options), lp.StorageOptions(endpoint_url=moto)
    lp.prepare(lp.open_scene(recording), lp.Recipe(), RUN, storage=storage)
    manifest = load_manifest(f"{RUN}/manifest.json", reached)
    assert verify(manifest, reached).findings == ()
    for item in bucket.objects.all():
        copy = tmp_path / item.key
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(item.get()["Body"].read())
    assert verify(load_manifest(tmp_path / "run")).findings == ()
    a, b, c = (f"run/{record.key}" for record in manifest.attachments)
    bucket.Object(a).delete()
    bucket.put_object(Key=b, Body=b"{}")
    bucket.put_object(Key=c, Body=bucket.Object(c).get()["Body"].read() + b"x")
    bucket.put_object(Key=f"run/{manifest.images[0].key}", Body=b"\xff\xd8\xff")
    different = "unreadable" if options.get("gzip") else "different"
    assert [(f"run/{finding.key}", finding.problem) for finding in verify(manifest, reached).findings] == [
        (a, "missing"),
        (b, different),
        (c, different),
        (f"run/{manifest.images[0].key}", "different"),
    ]
    gone = manifest.at("s3://no-such-bucket/run/manifest.json")
    with pytest.raises(StorageError, match="no such bucket"):  # an error, and no finding
        verify(gone, reached)


@pytest.mark.parametrize("format", ["json", "protobuf", "sfs"])
def test_a_run_of_lidarprep_0_1_is_verified(recording: Path, tmp_path: Path, format: str) -> None:
    out = tmp_path / "out"
    store_as_0_1(recording, tmp_path / "scratch", str(out), lp.StorageOptions(), format=format)
    found = verify(load_manifest(out))
    assert (found.objects, found.findings) == (1 if format == "sfs" else 6, ())
    key = {"json": "frame-10.json", "protobuf": "frame-10.pb", "sfs": "scene.sfs"}[format]
    (out / key).write_bytes(b"short")
    (finding,) = verify(load_manifest(out)).findings
    assert (finding.key, finding.problem, "10" in finding.frames) == (key, "different", True)


@pytest.mark.parametrize(
    "options", [{"gzip": True, "presign_hours": 1}, {"gzip": True, "url_base": "https://data.example.com/run"}]
)
def test_a_compressed_run_of_lidarprep_0_1_is_verified(
    recording: Path, bucket: Any, moto: str, tmp_path: Path, options: dict[str, Any]
) -> None:
    reached = lp.StorageOptions(endpoint_url=moto)
    store_as_0_1(recording, tmp_path, RUN, lp.StorageOptions(endpoint_url=moto, **options), expire_at=0)
    assert bucket.Object("run/frame-9.json").content_encoding == "gzip"
    assert verify(load_manifest(RUN, reached), reached).findings == ()
    bucket.Object("run/images/front/9.jpg").delete()
    (finding,) = verify(load_manifest(RUN, reached), reached).findings
    assert finding.key == "images/front/9.jpg"


@pytest.mark.parametrize(
    "url", ["../other/frame-a.json", "/etc/passwd", "https://elsewhere.example.com/x.json", "%2e%2e/x"]
)
def test_a_manifest_of_0_1_whose_urls_lead_elsewhere_is_refused(recording: Path, tmp_path: Path, url: str) -> None:
    out = tmp_path / "out"
    store_as_0_1(recording, tmp_path / "scratch", str(out), lp.StorageOptions())
    told = json.loads((out / "manifest.json").read_bytes())
    told["images"][0]["url"] = url
    (out / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(FormatError, match="beside the manifest"):
        verify(load_manifest(out))


def test_the_command_says_that_all_is_there_or_lists_what_is_wrong_and_ends_with_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended("verify", folder) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "9 objects" in err
    key = load_manifest(folder).attachments[0].key
    (folder / key).unlink()
    assert ended("verify", folder / "manifest.json", "--json") == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["sound"], told["objects"]) == (False, 9)
    assert told["findings"] == [{"key": key, "frames": ["9"], "problem": "missing", "detail": "nothing is there"}]
    assert key in " ".join(err.split())


def test_who_stops_it_waits_for_no_object_that_is_being_read(folder: Path) -> None:
    """A pipe that nobody writes to stands for a file of many gigabytes: to read it takes longer than anybody waits."""
    pipe = folder / load_manifest(folder).attachments[0].key
    pipe.unlink()
    os.mkfifo(pipe)
    with subprocess.Popen(
        [sys.executable, "-m", "lidarprep", "verify", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as command:
        writer = _opened_once_it_is_read(pipe)
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=60)  # it would wait for ever
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
