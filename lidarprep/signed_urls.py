"""Renewal of signed URLs: those of images are part of the attachments, and expire.

Renewed attachments are new objects under a new manifest. The old ones stay, and their URLs are valid until they expire.
No point is read: only URLs are replaced. What an attachment is without signatures never changes, and is recorded.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Collection
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from urllib.parse import unquote, urlsplit

from lidarprep.attachments import FrameFormat, get_format
from lidarprep.errors import FormatError, StorageError, place_name
from lidarprep.storage import Manifest, Store, store_of
from lidarprep.storage.cache import missing_objects
from lidarprep.storage.content import NewObject, decompressed
from lidarprep.storage.keys import stem_of
from lidarprep.storage.manifest import AttachmentRecord, ImageRecord, first_expiry
from lidarprep.storage.open import current_version, replace_manifest
from lidarprep.storage.options import StorageOptions
from lidarprep.storage.store import in_threads

log = logging.getLogger(__name__)

# Attachments that are worked on at once: their bytes are in memory, and most of the time goes into requests.
_AT_ONCE = 6

# Who submits wants the URLs to hold at least so long; half of what they are signed for, where that is less.
_LONG_ENOUGH_S = 3600.0

_AGAIN = "Prepare again with --overwrite."


def unsigned_sha256(data: bytes, attachment_format: FrameFormat, image_keys: Collection[str]) -> str:
    """Return the SHA-256 of an attachment with its images' keys in place of their URLs.

    Args:
        data: The attachment.
        attachment_format: What it is encoded as.
        image_keys: The keys of those of its images that are stored beside it; other URLs stay.

    Raises:
        FormatError: lidarprep has not written it so.
    """
    unsigned = attachment_format.relink(data, lambda url: key_in(url, image_keys) or url)
    return hashlib.sha256(unsigned).hexdigest()


def expires_soon(manifest: Manifest) -> bool:
    """Tell whether the signed URLs of the images expire before a task could be made of them, or have."""
    if manifest.images_expire_at is None or manifest.presign_hours is None:
        return False
    return manifest.images_expire_at - time.time() < min(_LONG_ENOUGH_S, manifest.presign_hours * 1800)


def renew(
    manifest: Manifest,
    storage: StorageOptions | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Sign the URLs of the images again, in new attachments, and write a new manifest.

    Args:
        manifest: As it was loaded from beside its objects.
        storage: How the store is reached.
        progress: Told after each attachment how many of how many are done.

    Returns:
        The new manifest; the one that is given if the credentials don't let URLs hold any longer.

    Raises:
        StorageError: Something is gone, or is not what the manifest says; or it cannot be stored.
        ManifestConflictError: Another run has ended there since the manifest was read.
    """
    store = store_of(manifest, storage, to_write=True)
    version = current_version(manifest, store)
    expires_at = store.fetch_url("images").expires_at
    if expires_at is None or time.time() < expires_at <= (manifest.images_expire_at or 0):
        return manifest
    _require_renewable(manifest, store)
    log.warning("the signed URLs of the images %s: they are renewed", _when(manifest))
    manifest = _with_keys(manifest)
    images = image_keys(manifest)
    renewed: list[AttachmentRecord] = []
    renew_one = partial(_renewed, manifest, store, images)
    try:
        with closing(in_threads(renew_one, manifest.attachments, _AT_ONCE)) as records:
            for record in records:
                renewed.append(record)
                progress(len(renewed), len(manifest.attachments))
    except BaseException:
        store.close()
        raise
    new = manifest.model_copy(update={"attachments": renewed, "images_expire_at": first_expiry(renewed)})
    return replace_manifest(store, new, version)


def image_keys(manifest: Manifest) -> dict[str, set[str]]:
    """Return the keys of the images that are stored, by the id of their frame."""
    found: dict[str, set[str]] = {}
    for key, record in manifest.objects():
        if isinstance(record, ImageRecord):
            found.setdefault(record.frame, set()).add(key)
    return found


def _with_keys(manifest: Manifest) -> Manifest:
    """Return the manifest with the keys of all objects, which lidarprep 0.1 left to their URLs."""
    keyed = [record.model_copy(update={"key": key}) for key, record in manifest.objects()]
    count = len(manifest.attachments)
    images = keyed[count : count + len(manifest.images)]
    return manifest.model_copy(update={"attachments": keyed[:count], "images": images})


def _require_renewable(manifest: Manifest, store: Store) -> None:
    if gone := missing_objects(manifest, store):
        raise StorageError(
            f"the URLs of images cannot be renewed: {gone[0]} is gone, or of another size",
            fix="Prepare again by the same command.",
        )
    if not any(record.unsigned_sha256 for record in manifest.attachments):
        raise StorageError(
            f"{place_name(manifest.location)} is of a version of lidarprep that cannot renew URLs", fix=_AGAIN
        )


def _renewed(
    manifest: Manifest, store: Store, images: dict[str, set[str]], record: AttachmentRecord
) -> AttachmentRecord:
    """Store one attachment with new URLs; return its new record."""
    if record.unsigned_sha256 is None:
        return record  # it has no images that are stored
    attachment_format = get_format(manifest.format)
    assert isinstance(attachment_format, FrameFormat)  # noqa: S101  # a scene holds its images itself
    key, own = record.key, images[record.frames[0]]
    stored = store.get(key)
    is_compressed = manifest.is_compressed(record)
    data = b"" if stored is None else decompressed(stored, key) if is_compressed else stored
    if not _is_sound(data, record, attachment_format, own):
        raise StorageError(f"{place_name(store.location(key))} is not what the manifest says", fix=_AGAIN)
    expiries: list[int] = []

    def signed(url: str) -> str:
        image = key_in(url, own)
        if image is None:
            return url
        fetch_url = store.fetch_url(image)
        expiries.extend([] if fetch_url.expires_at is None else [fetch_url.expires_at])
        return fetch_url.url

    stem = stem_of(key) if key.startswith("frames/") else f"frames/{key.removesuffix(attachment_format.suffix)}"
    new = NewObject.of(
        stem,
        attachment_format.relink(data, signed, source=key),
        attachment_format.suffix,
        attachment_format.content_type,
        compress=is_compressed,
    )
    new.put(store)
    return record.model_copy(update={**new.fields(store), "images_expire_at": min(expiries, default=None)})


def _is_sound(data: bytes, record: AttachmentRecord, attachment_format: FrameFormat, images: Collection[str]) -> bool:
    """Tell whether an attachment is what the manifest says, whatever signs its images' URLs."""
    try:
        return unsigned_sha256(data, attachment_format, images) == record.unsigned_sha256
    except FormatError:
        return False


def key_in(url: str, keys: Collection[str]) -> str | None:
    """Return which of the keys a URL ends in, or None. It may be one already."""
    path = unquote(urlsplit(url).path)
    return next((key for key in keys if path == key or path.endswith(f"/{key}")), None)


def _when(manifest: Manifest) -> str:
    """Return when the URLs expire, or have expired, as the end of a sentence."""
    moment = datetime.fromtimestamp(manifest.images_expire_at or 0, UTC)
    return f"{'expired' if manifest.images_have_expired else 'expire'} at {moment:%Y-%m-%d %H:%M} UTC"
