"""The manifest as a file: what it holds survives, what is none is refused, and what it names lies beside it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.errors import FormatError
from lidarprep.storage import Manifest
from lidarprep.storage.manifest import (
    AttachmentRecord,
    DroppedPoints,
    FrameRecord,
    ImageRecord,
    ObjectRecord,
    PoseRecord,
    SettingsRecord,
    SkippedRecord,
    SourceRecord,
)

HERE = "file:///out/manifest.json"


def frame(name: str, index: int, kept: ObjectRecord | None = None) -> FrameRecord:
    return FrameRecord(
        id=name,
        index=index,
        timestamp=1_700_000_000 * 10**9,
        world_from_ego=PoseRecord(quaternion=(1, 0, 0, 0), translation=(1, 2, 3)),
        points_in=9,
        points_out=7,
        dropped=DroppedPoints(region=2),
        kept=kept,
        sources=[SourceRecord(location="1.ply", bytes=5, version="6")],
        fingerprint=f"print-{name}",
    )


def manifest(**values: Any) -> Manifest:
    kept = ObjectRecord(key="kept/b-0.bits.gz", url="kept/b-0.bits.gz", bytes=1, sha256="c")
    attachments = [
        AttachmentRecord(key=f"frames/{name}-0.json", url=f"frames/{name}-0.json", bytes=3, sha256="a", frames=[name])
        for name in "ab"
    ]
    image = ImageRecord(key="images/x/b-0.jpg", url="images/x/b-0.jpg", bytes=2, sha256="b", frame="b", camera="front")
    fields: dict[str, Any] = {
        "source": "drive",
        "format": "json",
        "recipe": lp.Recipe().model_dump(mode="json"),
        "settings": SettingsRecord(offset=(1, 2, 3)),
        "attachments": attachments,
        "frames": [frame("a", 0), frame("b", 2, kept)],
        "images": [image],
        "skipped": [SkippedRecord(id="s", index=1, error="bad", fingerprint="print-s")],
        "storage": {},
    }
    return Manifest(**fields | values).at(HERE)


def test_what_is_written_is_read_again_and_is_the_same_bytes() -> None:
    data = manifest().to_json()
    assert Manifest.from_json(data, location=HERE) == manifest()
    assert Manifest.from_json(data, location=HERE).to_json() == data


def test_objects_and_results_are_those_of_all_frames_in_time_order() -> None:
    assert [key for key, _ in manifest().objects()] == [
        "frames/a-0.json",
        "frames/b-0.json",
        "images/x/b-0.jpg",
        "kept/b-0.bits.gz",
    ]
    a, s, b = manifest().results()
    assert [result.record.id for result in (a, s, b)] == ["a", "s", "b"]
    assert [record.key for record in b.objects()] == ["images/x/b-0.jpg", "kept/b-0.bits.gz", "frames/b-0.json"]
    assert [record.key for record in a.objects()] == ["frames/a-0.json"]
    assert s.objects() == []
    assert (a.bytes, b.bytes, s.bytes) == (3, 6, 0)
    assert manifest().urls == ["file:///out/frames/a-0.json", "file:///out/frames/b-0.json"]


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../../b", "a//b"])
def test_a_key_that_leads_elsewhere_is_refused(key: str) -> None:
    (image,) = manifest().images
    with pytest.raises(FormatError, match="beside the manifest"):
        manifest(images=[image.model_copy(update={"key": key})]).objects()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"points", r"/out/manifest\.json: not JSON; expected a manifest"),
        (b"[1]", "JSON that is not an object"),
        (b"{}", "JSON without source, format, recipe, attachments, frames"),
        (
            b'{"source": 7, "format": "json", "recipe": {}, "attachments": [], "frames": []}',
            "source: 7; expected a val",
        ),
    ],
)
def test_what_is_not_a_manifest_is_one_clear_error(data: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said) as refused:
        Manifest.from_json(data, location=HERE)
    assert refused.value.fix == "Name the manifest.json that `prepare` wrote."


def test_what_a_later_version_adds_is_passed_over_but_not_a_reason_for_dropping_points() -> None:
    told = json.loads(manifest().to_json())
    assert Manifest.from_json(json.dumps(told | {"new": 1}).encode(), location=HERE) == manifest()
    told["frames"][0]["dropped"]["fog"] = 3
    with pytest.raises(FormatError, match="fog"):
        Manifest.from_json(json.dumps(told).encode(), location=HERE)


def test_signed_urls_expire_when_the_first_does() -> None:
    assert not manifest().images_have_expired
    assert manifest(images_expire_at=int(time.time())).images_have_expired
    assert not manifest(images_expire_at=int(time.time()) + 60).images_have_expired
