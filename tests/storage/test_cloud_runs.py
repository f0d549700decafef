"""Whole runs to Google Cloud Storage and Azure: prepared, verified, repaired, pruned, submitted."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import lidarprep as lp
from lidarprep.api import ScaleClient
from lidarprep.cli import main
from lidarprep.sandbox import running_sandbox
from lidarprep.storage.open import destination_of
from lidarprep.submit import submit
from tests.emulators import azurite
from tests.scenes import write_toolkit_scene
from tests.storage.clouds import Cloud, az_cloud, gcs, gs_cloud
from tests.storage.conftest import BUCKET

PARAMS = {"project": "street", "callback_url": "https://example.com/c", "labels": ["car"], "instruction": "Label."}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toolkit_scene(tmp_path_factory.mktemp("scene") / "recording", points=50, cameras=("front",))


@pytest.fixture(params=["gs", "az"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cloud:
    if request.param == "az":
        return az_cloud(monkeypatch)
    (tmp_path / "key.json").write_text(gcs().credentials())
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    return gs_cloud(monkeypatch)


@pytest.fixture
def client() -> Iterator[ScaleClient]:
    with running_sandbox() as sandbox, ScaleClient("test_key", sandbox.url) as made:
        yield made


def ended(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def url_in_attachments(cloud: Cloud, key: str) -> str:
    """Return the URL that Scale is told, as formats of the clouds have it."""
    if cloud.scheme == "gs":
        return f"gs://{BUCKET}/run/{key}"
    return f"{cloud.proxy.url}/{azurite.ACCOUNT}/{BUCKET}/run/{key}"  # the emulator's https://ACCOUNT.blob…


@pytest.mark.parametrize("format", ["json", "sfs"])
def test_a_run_stores_what_a_folder_gets_and_a_second_one_stores_nothing(
    recording: Path, tmp_path: Path, cloud: Cloud, format: Any
) -> None:
    recipe, run = lp.Recipe(format=format), cloud.url("run")
    manifest = lp.prepare(lp.open_scene(recording), recipe, run)
    local = lp.prepare(lp.open_scene(recording), recipe, tmp_path / "local")
    named = {record.key: record for _, record in manifest.objects()}
    assert cloud.keys() == {f"run/{key}" for key in ("manifest.json", *named)}
    for key, record in named.items():
        data = cloud.stored(f"run/{key}").data
        assert (len(data), hashlib.sha256(data).hexdigest()) == (record.bytes, record.sha256)
        if not key.startswith("frames/"):  # which hold URLs
            assert (tmp_path / "local" / key).read_bytes() == data
        assert record.url == url_in_attachments(cloud, key)
    assert manifest.world_offset == local.world_offset
    with cloud.proxy.recording() as sent:
        assert lp.prepare(lp.open_scene(recording), recipe, run) == manifest
    assert {request.method for request in sent} == {"GET"}


def test_what_is_lost_is_found_and_made_again_and_what_is_left_over_pruned(recording: Path, cloud: Cloud) -> None:
    run = cloud.url("run")
    assert ended("prepare", recording, "--out", run) == 0
    manifest = lp.load_manifest(run)
    assert (manifest.location, destination_of(manifest)) == (f"{run}/manifest.json", run)
    assert ended("verify", f"{run}/manifest.json") == 0
    lost = manifest.attachments[0].key
    assert lost is not None
    cloud.open().delete([lost])
    assert ended("verify", run) == 1
    assert ended("verify", run, "--repair", recording) == 0
    assert ended("verify", run) == 0
    assert ended("prepare", recording, "--out", run, "--frames", "0:1") == 2  # another recipe
    assert ended("prepare", recording, "--out", run, "--frames", "0:1", "--overwrite") == 0
    assert ended("prune", run, "--all") == 0
    left = {f"run/{record.key}" for _, record in lp.load_manifest(run).objects()}
    assert cloud.keys() == {"run/manifest.json", *left}


def test_a_task_is_made_of_a_run_and_of_what_is_gone_none_is(
    recording: Path, cloud: Cloud, client: ScaleClient
) -> None:
    run = cloud.url("run")
    manifest = lp.prepare(lp.open_scene(recording), lp.Recipe(), run)
    task = client.get_task(submit(manifest, "lidarannotation", PARAMS, client).id)
    assert task.params["attachments"] == [url_in_attachments(cloud, str(one.key)) for one in manifest.attachments]
    cloud.open().delete([str(manifest.attachments[0].key)])
    with pytest.raises(lp.StorageError, match="1 of the"):
        submit(manifest, "lidarannotation", PARAMS, client, unique_id="again")


def test_signed_urls_are_fetched_by_anybody_and_renewed_when_they_expire(
    recording: Path, cloud: Cloud, client: ScaleClient
) -> None:
    run, storage = cloud.url("run"), cloud.storage(presign_hours=4)
    manifest = lp.prepare(lp.open_scene(recording), lp.Recipe(), run, storage=storage)
    assert b"ignature" not in manifest.to_json()
    assert b"sig=" not in manifest.to_json()
    expired = manifest.model_copy(update={"images_expire_at": int(time.time()) - 60})
    store = cloud.open()
    found = store.read_current("manifest.json")
    assert found is not None
    store.replace("manifest.json", expired.to_json(), if_version=found[1])
    task = client.get_task(submit(lp.load_manifest(run), "lidarannotation", PARAMS, client).id)
    frame = httpx.get(task.params["attachments"][0]).json()
    assert len(frame["points"]) == 50
    image = httpx.get(frame["images"][0]["image_url"])
    assert image.content == (recording / "cameras/front/9.jpg").read_bytes()
    renewed = lp.load_manifest(run)
    assert renewed.images_expire_at == pytest.approx(time.time() + 4 * 3600, abs=120)
