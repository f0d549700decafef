"""What nothing names any more is deleted, once it is old enough; and nothing else is."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.cli import main
from lidarprep.errors import FormatError, RecipeError, StorageError
from lidarprep.prune import Pruning, prune
from lidarprep.storage import load_manifest, open_store
from lidarprep.storage.cache import entry_key, put_entry
from lidarprep.storage.manifest import SettingsRecord
from lidarprep.verify import verify
from tests.scenes import write_toolkit_scene
from tests.storage.conftest import BUCKET, bucket, moto
from tests.storage.s3 import answered, network, put

__all__ = ["bucket", "moto"]

HOUR = 3600.0
NAME = "0123456789ab"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    scene = lp.open_scene(write_toolkit_scene(folder / "recording", points=50, cameras=("front",)))
    lp.prepare(scene, lp.Recipe(), folder / "out")
    lp.prepare(scene, lp.Recipe(precision=2), folder / "out", overwrite=True)
    return folder / "out"


@pytest.fixture
def out(prepared: Path, tmp_path: Path) -> Path:
    """A run that has replaced another: three attachments of that are left, which share the images of this."""
    copy = Path(shutil.copytree(prepared, tmp_path / "out"))
    age(copy, 2 * HOUR)
    return copy


def age(folder: Path, seconds: float) -> None:
    """Let everything be so old."""
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - seconds,) * 2)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def named(folder: Path) -> set[str]:
    return {"manifest.json", *(key for key, _ in load_manifest(folder).objects())}


def test_what_a_replaced_run_has_left_is_deleted_and_the_manifests_objects_stay(out: Path) -> None:
    left = files(out) - named(out)
    assert len(left) == 3
    size = sum((out / key).stat().st_size for key in left)
    planned = prune(out, dry_run=True)
    assert files(out) == named(out) | left
    done = prune(out)
    assert planned == done
    assert (set(done.keys), done.bytes, done.kept) == (left, size, len(named(out)))
    assert files(out) == named(out)
    assert verify(load_manifest(out)).findings == ()
    assert prune(out).keys == ()


def test_what_is_younger_than_an_hour_stays_unless_everything_is_asked_for(out: Path) -> None:
    left = files(out) - named(out)
    age(out, 0.9 * HOUR)
    assert prune(out) == Pruning((), 0, len(named(out) | left), young=len(left))
    assert set(prune(out, everything=True).keys) == left
    assert files(out) == named(out)


@pytest.mark.parametrize("everything", [False, True])
def test_foreign_files_are_never_touched(out: Path, everything: bool) -> None:
    foreign = {
        "notes.txt",
        "scene.sfs",
        "frame-9.json",  # of lidarprep 0.1
        "images/front/9.jpg",
        f"frames/9-{NAME}.txt",
        f"frames/more/9-{NAME}.json",
        f"more/frames/9-{NAME}.json",
        "kept/readme",
        f"images/9-{NAME}.jpg",
        "images/front/.writing-notours/x",
    }
    for key in foreign:
        (out / key).parent.mkdir(parents=True, exist_ok=True)
        (out / key).write_bytes(b"theirs")
    age(out, 99 * HOUR)
    prune(out, everything=everything)
    assert files(out) == named(out) | foreign


def test_an_image_is_as_old_as_its_hard_link_and_not_as_its_file(out: Path, tmp_path: Path) -> None:
    file = tmp_path / "9.jpg"
    file.write_bytes(b"an image")
    os.utime(file, (1e9, 1e9))
    key = "images/front/9-0123456789ab.jpg"
    os.link(file, out / key)
    assert key not in lp.prune(out).keys
    file.unlink()
    assert key in lp.prune(out).keys


def test_objects_of_an_unfinished_run_stay_for_a_day(out: Path) -> None:
    """The older manifest's frames, as entries of the cache."""
    store = open_store(str(out))
    left = sorted(files(out) - named(out))
    results = load_manifest(out).results()
    names = [f"{number:064x}" for number in range(5)]
    for name, key, result in zip(names, left, results, strict=False):
        assert result.attachment is not None
        attachment = result.attachment.model_copy(update={"key": key})
        put_entry(store, name, result.model_copy(update={"attachment": attachment}))
    put_entry(store, names[3], SettingsRecord())
    put(store, entry_key(names[4]), b"{")
    put(store, ".lidarprep/theirs.json", b"{}")
    age(out, 25 * HOUR)
    os.utime(out / entry_key(names[0]), (time.time() - 23 * HOUR,) * 2)  # by the last of them
    assert prune(out).keys == ()
    age(out, 25 * HOUR)
    done = prune(out)
    assert set(done.keys) == {*left, *map(entry_key, names)}
    assert files(out) == named(out) | {".lidarprep/theirs.json"}


def test_half_written_files_of_killed_runs_are_deleted(out: Path) -> None:
    for name in (".writing-old", "frames/.writing-old"):
        (out / name).write_bytes(b"half")
    age(out, 2 * HOUR)
    (out / "frames/.writing-new").write_bytes(b"half")
    prune(out)
    assert {name for name in files(out) if ".writing-" in name} == {"frames/.writing-new"}
    prune(out, everything=True)
    assert not {name for name in files(out) if ".writing-" in name}


def test_where_there_is_no_manifest_only_everything_can_be_deleted(out: Path, tmp_path: Path) -> None:
    (out / "manifest.json").unlink()
    left = files(out)
    with pytest.raises(RecipeError, match=r"has no manifest\.json[\s\S]*--all"):
        prune(out)
    with pytest.raises(RecipeError, match=r"has no manifest\.json"):
        prune(tmp_path / "nothing")
    assert set(prune(out, everything=True).keys) == left
    assert list(out.iterdir()) == []
    (out / "manifest.json").write_text("{}")
    with pytest.raises(FormatError, match="JSON without"):
        prune(out, everything=True)


def test_a_disk_that_does_not_let_delete_is_one_clear_error(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(StorageError, match=r"frames/.* cannot be deleted: Permission denied"):
        prune(out)


def test_in_a_bucket_ages_are_by_the_stores_clock(
    prepared: Path, bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage = lp.StorageOptions(endpoint_url=moto)
    foreign = {"frames/9.json", "images/backup.tar", "other.json"}
    for key in files(prepared):
        bucket.put_object(Key=f"run/{key}", Body=(prepared / key).read_bytes())
    for key in foreign:
        bucket.put_object(Key=f"run/{key}", Body=b"theirs")
    bucket.put_object(Key=f"frames/9-{NAME}.json", Body=b"outside the prefix")
    bucket.meta.client.create_multipart_upload(Bucket=BUCKET, Key=f"run/scene-{NAME}.sfs")
    left = files(prepared) - named(prepared)
    assert prune(f"s3://{BUCKET}/run", storage).keys == ()
    later = time.time() + 1.1 * HOUR
    monkeypatch.setattr(sys.modules["lidarprep.prune"], "time", SimpleNamespace(time=lambda: later))
    with network(answered(403, "AccessDenied"), method="DELETE"), pytest.raises(StorageError, match="s3:DeleteObject"):
        prune(f"s3://{BUCKET}/run", storage)
    assert set(prune(f"s3://{BUCKET}/run", storage, dry_run=True).keys) == left
    with network(answered(403, "AccessDenied"), when=lambda request: "uploads" in request.url):
        assert set(prune(f"s3://{BUCKET}/run", storage).keys) == left
    assert "half-written may be there still" in caplog.text
    assert prune(f"s3://{BUCKET}/run", storage).keys == ()
    kept = {f"run/{key}" for key in named(prepared) | foreign} | {f"frames/9-{NAME}.json"}
    assert {item.key for item in bucket.objects.all()} == kept
    assert list(bucket.multipart_uploads.all()) == []


def test_the_command_says_what_stays_only_for_an_hour(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    age(out, 0.5 * HOUR)
    with pytest.raises(SystemExit):
        main(["prune", str(out)])
    assert "0 objects" in (said := " ".join(capsys.readouterr().err.split()))
    assert said.endswith("3 of them unnamed but less than an hour old")


def test_the_command_says_what_it_deletes(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--dry-run"], []):
        with pytest.raises(SystemExit) as end:
            main(["prune", str(out), *words])
        assert not end.value.code
        assert "3 objects" in " ".join(capsys.readouterr().err.split())
    assert files(out) == named(out)
