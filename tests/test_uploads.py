"""Attachments for people without a bucket: images, then frames that name them, by the Files API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep import uploads
from lidarprep.api import ScaleClient
from lidarprep.errors import RecipeError, StorageError
from lidarprep.sandbox import Sandbox, running_sandbox
from tests.scenes import write_toolkit_scene

PARAMS = {"project": "street", "labels": ["car"]}
FRAMES, IMAGES = 3, 6


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[ScaleClient]:
    with ScaleClient("test_key", sandbox.url) as client:
        yield client


def prepared(tmp_path: Path, **options: Any) -> lp.Manifest:
    scene = lp.open_scene(write_toolkit_scene(tmp_path / "recording"))
    return lp.prepare(scene, lp.Recipe(**options), tmp_path / "out")


def count(monkeypatch: pytest.MonkeyPatch, client: ScaleClient, stop_at: int = 10**6) -> list[str]:
    """The names of files as they are uploaded; one of them fails."""
    names: list[str] = []
    upload = client.upload_file

    def counted(content: Any, **keywords: Any) -> Any:
        if len(names) >= stop_at:
            raise StorageError("stopped")
        names.append(keywords["name"])
        return upload(content, **keywords)

    monkeypatch.setattr(client, "upload_file", counted)
    return names


@pytest.mark.parametrize("format", ["json", "protobuf"])
def test_frames_that_are_uploaded_name_uploaded_images(
    client: ScaleClient, sandbox: Sandbox, tmp_path: Path, format: str
) -> None:
    manifest = prepared(tmp_path, format=format)
    told: list[tuple[int, int]] = []
    task = lp.submit(
        manifest, "lidarannotation", PARAMS, client, upload="street", progress=lambda *one: told.append(one)
    )
    urls = task.params["attachments"]
    assert len(urls) == FRAMES
    assert told[-1] == (FRAMES + IMAGES, FRAMES + IMAGES)
    originals = {path.read_bytes() for path in (tmp_path / "out" / "images").rglob("*.jpg")}
    found = set()
    for url, own in zip(urls, manifest.urls, strict=True):
        data = sandbox.store.uploads.path(url).read_bytes()
        there = lp.get_format(format).decode(data)
        here = lp.get_format(format).decode(Path(own.removeprefix("file://")).read_bytes())
        assert (there.read_points().positions == here.read_points().positions).all()
        assert [image.url for image in there.images] == _scaledata(data)
        found |= set(_scaledata(data))
    assert len(found) == IMAGES
    assert {sandbox.store.uploads.path(url).read_bytes() for url in found} == originals
    assert lp.load_manifest(tmp_path / "out") == manifest  # what was prepared stays as it is


def _scaledata(data: bytes) -> list[str]:
    import re

    return [one.decode() for one in re.findall(rb"scaledata://sandbox/[0-9a-f-]{36}", data)]


def test_a_submission_that_was_stopped_uploads_the_rest_and_the_same_again_nothing(
    client: ScaleClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = prepared(tmp_path)
    with monkeypatch.context() as patch:
        first = count(patch, client, stop_at=4)
        with pytest.raises(StorageError, match="stopped"):
            lp.submit(manifest, "lidarannotation", PARAMS, client, upload="street")
    rest = count(monkeypatch, client)
    task = lp.submit(manifest, "lidarannotation", PARAMS, client, upload="street")
    assert len(first) + len(rest) == FRAMES + IMAGES
    assert lp.submit(manifest, "lidarannotation", PARAMS, client, upload="street").id == task.id
    assert len(first) + len(rest) == FRAMES + IMAGES
    (record,) = (tmp_path / "out" / "uploads").iterdir()
    assert "test_key" not in record.read_text()
    assert len(json.loads(record.read_text())["urls"]) == FRAMES + IMAGES


def test_a_scene_is_one_file(client: ScaleClient, sandbox: Sandbox, tmp_path: Path) -> None:
    manifest = prepared(tmp_path, format="sfs")
    task = lp.submit(manifest, "multistage", {"project": "street"}, client, upload="street")
    (url,) = task.params["attachments"]
    own = Path(manifest.urls[0].removeprefix("file://")).read_bytes()
    assert sandbox.store.uploads.path(url).read_bytes() == own


def test_what_is_too_large_is_named_before_anything_is_uploaded(
    client: ScaleClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = prepared(tmp_path)
    names = count(monkeypatch, client)
    monkeypatch.setattr("lidarprep.api.MAX_FILE_BYTES", manifest.attachments[-1].bytes - 1)
    with pytest.raises(StorageError, match=r"frames/.* Scale stores files of at most"):
        uploads.upload_attachments(manifest, client, "street")
    assert names == []


def test_a_dry_run_says_what_would_be_uploaded_where(tmp_path: Path) -> None:
    manifest = prepared(tmp_path)
    request = lp.task_request(manifest, "lidarannotation", PARAMS, upload="my street")
    body = request.as_sent("https://api.example.com/v1")["body"]
    assert body["attachments"][0].startswith("scaledata://my%20street/frames/")
    assert request.unique_id == lp.task_request(manifest, "lidarannotation", PARAMS).unique_id


def test_scale_is_no_destination_and_it_is_said_what_is(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--upload street"):
        lp.prepare(lp.open_scene(write_toolkit_scene(tmp_path / "recording")), lp.Recipe(), "scale://street")
