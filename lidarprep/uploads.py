"""Uploads of prepared attachments to Scale's Files API, for people without a bucket.

What `prepare` stored stays where it is. Images are uploaded first, then the attachments with the images' new URLs in
them. Which content has which URL is recorded beside the manifest, so that a submission that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lidarprep.attachments import FrameFormat, get_format
from lidarprep.errors import StorageError, place_name
from lidarprep.signed_urls import image_keys, key_in
from lidarprep.storage import Manifest, Store, store_of
from lidarprep.storage.content import decompressed
from lidarprep.storage.manifest import AttachmentRecord, ObjectRecord
from lidarprep.storage.options import StorageOptions
from lidarprep.storage.store import in_threads

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient

_AT_ONCE = 4


def planned_urls(manifest: Manifest, project: str) -> list[str]:
    """Return what stands for the attachments' URLs until they are uploaded."""
    return [
        f"scaledata://{quote(project, safe='')}/{key}" for key, _ in manifest.objects()[: len(manifest.attachments)]
    ]


def upload_attachments(
    manifest: Manifest,
    client: ScaleClient,
    project: str,
    storage: StorageOptions | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Upload a manifest's images and attachments; what was uploaded to the project before is not uploaded again.

    Args:
        manifest: As it was loaded from beside its objects.
        client: Where to upload to.
        project: Project that the files belong to.
        storage: How the store is reached.
        progress: Told after each file how many of how many are done.

    Returns:
        The attachments' URLs (scaledata://…), in time order.

    Raises:
        StorageError: An object is too large for the API, is gone, or is not what the manifest says.
        ApiError: The API, or the way to it, said no.
    """
    objects = manifest.objects()[: len(manifest.attachments) + len(manifest.images)]
    _require_sizes(objects)
    store = store_of(manifest, storage)
    uploads = _Uploads(store, client, project)
    attachments, images = objects[: len(manifest.attachments)], objects[len(manifest.attachments) :]
    done = 0

    def all_of(
        upload: Callable[[tuple[str, ObjectRecord]], str], some: Sequence[tuple[str, ObjectRecord]]
    ) -> list[str]:
        nonlocal done
        urls = []
        with closing(in_threads(upload, some, _AT_ONCE)) as found:
            for url in found:
                urls.append(url)
                done += 1
                progress(done, len(objects))
        return urls

    def upload_image(item: tuple[str, ObjectRecord]) -> str:
        return uploads.url_of(item[0], lambda: _content(manifest, store, *item), item[1].sha256)

    image_urls = dict(zip([key for key, _ in images], all_of(upload_image, images), strict=True))
    keys_of = image_keys(manifest)

    def upload_attachment(item: tuple[str, ObjectRecord]) -> str:
        key, record = item
        assert isinstance(record, AttachmentRecord)  # noqa: S101  # the manifest's own order
        own = {name: image_urls[name] for name in sorted(keys_of.get(record.frames[0], ()))}
        attachment_format = get_format(manifest.format)

        def linked() -> bytes:
            data = _content(manifest, store, key, record)
            if not isinstance(attachment_format, FrameFormat):
                return data  # a scene holds its images itself
            return attachment_format.relink(data, lambda url: own.get(key_in(url, own) or "", url), source=key)

        what = hashlib.sha256(json.dumps([record.sha256, sorted(own.values())]).encode()).hexdigest()
        return uploads.url_of(key, linked, what)

    return all_of(upload_attachment, attachments)


class _Uploads:
    """What was uploaded to a project: URLs by content, recorded beside the manifest after each file."""

    def __init__(self, store: Store, client: ScaleClient, project: str) -> None:
        name = hashlib.sha256(f"{client.api_url} {client.key_mode} {project}".encode()).hexdigest()[:12]
        self._key = f"uploads/{name}.json"
        self._store, self._client, self._project = store, client, project
        self._lock = threading.Lock()
        recorded = store.get(self._key)
        self._urls: dict[str, str] = json.loads(recorded)["urls"] if recorded else {}

    def url_of(self, key: str, content: Callable[[], bytes], sha256: str) -> str:
        """Return the URL of an object, which is uploaded if that was not done before."""
        if sha256 in self._urls:
            return self._urls[sha256]
        stored = self._client.upload_file(content(), name=key.rpartition("/")[2], project=self._project)
        with self._lock:
            self._urls[sha256] = stored.attachment_url
            record: dict[str, Any] = {"api_url": self._client.api_url, "project": self._project, "urls": self._urls}
            data = json.dumps(record, indent=1).encode()
            self._store.put(self._key, data, "application/json", sha256=hashlib.sha256(data).hexdigest())
        return stored.attachment_url


def _require_sizes(objects: Sequence[tuple[str, ObjectRecord]]) -> None:
    from lidarprep.api import MAX_FILE_BYTES

    for key, record in objects:
        if record.bytes > MAX_FILE_BYTES:
            raise StorageError(
                f"{key} has {record.bytes:,} bytes; Scale stores files of at most {MAX_FILE_BYTES:,}",
                fix="Prepare smaller frames (--roi, --voxel, --format protobuf), or store in a bucket: --out s3://…",
            )


def _content(manifest: Manifest, store: Store, key: str, record: ObjectRecord) -> bytes:
    """Return an object's content.

    Raises:
        StorageError: It is gone, or is not what the manifest says.
    """
    stored = store.get(key)
    if stored is not None and manifest.is_compressed(record):
        stored = decompressed(stored, key)
    if stored is None or hashlib.sha256(stored).hexdigest() != record.sha256:
        found = "is gone" if stored is None else "is not what the manifest says"
        raise StorageError(f"{place_name(store.location(key))} {found}", fix="Verify it: lidarprep verify --repair.")
    return stored
