"""A whole recording in a bucket on a bad day: the same attachments as from the disk, or one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.errors import SourceChangedError, StorageError
from lidarprep.remote.options import AccessOptions
from lidarprep.sample import write_sample
from tests.emulators.proxy import Fault, Request
from tests.remote.objects import answered, asked, fill, gets, hurry, proxy

RECIPE = lp.Recipe(format="protobuf", skip_bad_frames=True)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded") / "drive"
    write_sample(folder, frames=4, columns=200, image_width=64)
    return folder


@pytest.fixture
def drive(bucket: Any, recorded: Path, monkeypatch: pytest.MonkeyPatch, without_checks: None) -> str:
    hurry(monkeypatch)
    files = [path for path in recorded.rglob("*") if path.is_file()]
    fill(bucket, {f"drive/{path.relative_to(recorded).as_posix()}": path.read_bytes() for path in files})
    return "s3://scenes/drive"


def opened(url: str, **options: Any) -> lp.Scene:
    return lp.open_scene(url, access=AccessOptions(endpoint_url=proxy().url, **options))


def keys(manifest: lp.Manifest) -> list[str]:
    """The names of all that was stored, by its content."""
    return [record.key for record in [*manifest.attachments, *manifest.images]]


def test_throttled_and_cut_all_is_as_from_the_disk(drive: str, recorded: Path, tmp_path: Path) -> None:
    count = iter(range(10**6))
    bad = Fault(cut_after=500, when=lambda request: request.method == "GET" and next(count) % 5 == 0)
    with asked(bad):
        manifest = lp.prepare(opened(drive), RECIPE, tmp_path / "remote")
    assert bad.failed > 5
    assert not manifest.skipped
    assert keys(manifest) == keys(lp.prepare(lp.open_scene(recorded), RECIPE, tmp_path / "local"))


def test_each_object_is_fetched_once_but_those_of_sampled_frames(drive: str, tmp_path: Path) -> None:
    with asked() as sent:
        scene = opened(drive)
        opening = len(sent)
        lp.prepare(scene, RECIPE, tmp_path / "out")
    images = [request.path for request in sent[opening:] if request.path.endswith(".jpg")]
    assert len(images) == len(set(images))
    assert len([request for request in sent if "list-type" in request.url]) == 1


def test_an_object_that_is_replaced_during_a_run_ends_it_and_is_no_bad_frame(
    bucket: Any, drive: str, tmp_path: Path
) -> None:
    scene = opened(drive)
    fill(bucket, {"drive/pointcloud/3.ply": b"ply of another drive"})
    with pytest.raises(SourceChangedError, match=r"s3://scenes/drive/pointcloud/3\.ply has changed"):
        lp.prepare(scene, RECIPE, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_token_that_expires_during_a_run_is_one_error_and_the_run_goes_on_after_it(
    drive: str, recorded: Path, tmp_path: Path
) -> None:
    def late(request: Request) -> bool:
        return gets("drive/pointcloud/3.ply")(request)

    scene = opened(drive)
    with asked(answered("ExpiredToken", 400, when=late)), pytest.raises(StorageError, match="Log in again"):
        lp.prepare(scene, RECIPE, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    manifest = lp.prepare(opened(drive), RECIPE, tmp_path / "out")
    assert keys(manifest) == keys(lp.prepare(lp.open_scene(recorded), RECIPE, tmp_path / "local"))
