"""Runs as lidarprep 0.1 stored them: keys without a digest, a manifest without keys, settings and sources."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import lidarprep as lp
from lidarprep.attachments import FrameFormat, get_format
from lidarprep.signed_urls import unsigned_sha256
from lidarprep.storage import StorageOptions, open_store
from lidarprep.storage.content import compressed
from lidarprep.storage.store import MANIFEST_KEY

_OBJECT_OPTIONS = {"gzip", "cache_control", "sse", "kms_key", "acl", "storage_class", "tags"}


def store_as_0_1(
    recording: Path, scratch: Path, out: str, storage: StorageOptions, *, format: str = "json", expire_at: int = 0
) -> None:
    """Store a recording's attachments, images and manifest as lidarprep 0.1 did.

    Args:
        recording: The recording.
        scratch: A folder for what the run is made of.
        out: Where to store.
        storage: How.
        format: Of the attachments.
        expire_at: When the URLs expire, if the options ask for signed ones; 0 stands for "being signed".
    """
    run = lp.prepare(lp.open_scene(recording), lp.Recipe(format=format), scratch)
    store, attachment_format = open_store(out, storage), get_format(format)
    gzip, signs = storage.gzip and format == "json", storage.presign_hours is not None
    keys = {image.key: f"images/{image.camera}/{image.frame}{Path(image.key).suffix}" for image in run.images}
    for record in run.images:
        data = (scratch / record.key).read_bytes()
        store.put(keys[record.key], data, "image/jpeg", sha256=record.sha256)
    attachments = []
    for record in run.attachments:
        data, key, unsigned = (scratch / record.key).read_bytes(), "scene.sfs", None
        if isinstance(attachment_format, FrameFormat):
            key = f"frame-{record.frames[0]}{attachment_format.suffix}"
            data = attachment_format.relink(data, lambda url: store.fetch_url(keys[url]).url)
            unsigned = unsigned_sha256(data, attachment_format, keys.values()) if signs else None
        sent = compressed(data) if gzip else data
        store.put(
            key,
            sent,
            attachment_format.content_type,
            sha256=hashlib.sha256(sent).hexdigest(),
            encoding="gzip" if gzip else None,
        )
        attachments.append(_object(store.url(key), data) | {"frames": record.frames, "unsigned_sha256": unsigned})
    manifest = {
        "lidarprep": "0.1.0",
        "source": run.source,
        "format": format,
        "recipe": run.recipe,
        "world_offset": list(run.world_offset),
        "attachments": attachments,
        "frames": [
            frame.model_dump(include={"id", "index", "timestamp", "points_in", "points_out", "dropped", "labelled"})
            for frame in run.frames
        ],
        "images": [
            {"frame": image.frame, "camera": image.camera}
            | _object(store.url(keys[image.key]), (scratch / image.key).read_bytes())
            for image in run.images
        ],
        "skipped": [],
        "presign_hours": storage.presign_hours,
        "images_expire_at": expire_at if signs else None,
        "storage": storage.model_dump(mode="json", include=_OBJECT_OPTIONS, exclude_defaults=True),
        "fingerprint": hashlib.sha256(b"of 0.1").hexdigest(),
        "notes": run.notes,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    store.replace(MANIFEST_KEY, text.encode(), if_version=None)


def _object(url: str, data: bytes) -> dict[str, Any]:
    return {"url": url, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
