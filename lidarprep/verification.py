"""Whether what a manifest names is still there, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from lidarprep.errors import FormatError, StorageError
from lidarprep.recipe import StorageOptions
from lidarprep.storage import LocalFolder, Manifest, Store, open_store
from lidarprep.storage.manifest import AttachmentRecord, ImageRecord
from lidarprep.storage.store import MANIFEST_KEY, is_key

# Objects that are read at once: as many as a disk serves well, and as hide the way to S3.
_READ_AT_ONCE = 16


@dataclass(frozen=True)
class Finding:
    """One object that is not what the manifest says.

    Args:
        key: Its name at the destination.
        frames: Ids of the frames that it holds, or the one that it is a picture of.
        problem: What is wrong with it.
        detail: The same with figures, as a clause.
    """

    key: str
    frames: tuple[str, ...]
    problem: Literal["missing", "different", "unreadable"]
    detail: str


@dataclass(frozen=True)
class Verification:
    """What was found.

    Args:
        location: URL of the manifest.
        objects: How many objects it names.
        bytes: How many bytes these are to have.
        findings: Those that are not what it says, in its order.
    """

    location: str
    objects: int
    bytes: int
    findings: tuple[Finding, ...]


def verify(
    manifest: Manifest,
    storage: StorageOptions | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Reads every object that a manifest names and compares size and SHA-256.

    Args:
        manifest: As it was loaded from beside its objects.
        storage: How S3 is reached, if it lies there.
        progress: Told after each object how many of how many are done.

    Raises:
        FormatError: The manifest names what could not lie beside it.
        StorageError: S3 cannot be reached, or does not let its objects be read.
    """
    store = store_of(manifest, storage)
    keys, records = keys_of(manifest), records_of(manifest)
    findings = []
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        try:
            for done, found in enumerate(pool.map(partial(_compared, store), records, keys), start=1):
                findings += [found] if found is not None else []
                progress(done, len(records))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    total = sum(record.bytes for record in records)
    return Verification(manifest.location, len(records), total, tuple(findings))


def store_of(manifest: Manifest, storage: StorageOptions | None = None) -> Store:
    """The store that a manifest lies in."""
    prefix = manifest.location.removesuffix(MANIFEST_KEY).rstrip("/")
    if prefix.startswith("file://"):
        return LocalFolder(Path(unquote(urlsplit(manifest.location).path)).parent)
    options = (storage or StorageOptions()).model_copy(update={"url_base": None, "presign_hours": None, "gzip": False})
    return open_store(prefix, **options.model_dump())


def keys_of(manifest: Manifest) -> list[str]:
    """The key of each attachment, then of each picture, whatever their URLs begin with.

    Raises:
        FormatError: A URL is of nothing that a run would have stored beside the manifest.
    """
    # An attachment's key has no "/" in it, so what stands before the last one is what all URLs begin with.
    first = manifest.attachments[0].url if manifest.attachments else ""
    base = first[: first.rfind("/") + 1]
    keys = []
    for record in records_of(manifest):
        key = unquote(record.url.removeprefix(base))
        if not record.url.startswith(base) or not is_key(key):
            raise FormatError(
                manifest.location, found=f"the URL {record.url}", expected="one of an object beside the manifest"
            )
        keys.append(key)
    return keys


def records_of(manifest: Manifest) -> list[AttachmentRecord | ImageRecord]:
    """What a manifest says of each attachment, then of each picture."""
    return [*manifest.attachments, *manifest.images]


def _compared(store: Store, record: AttachmentRecord | ImageRecord, key: str) -> Finding | None:
    frames = (record.frame,) if isinstance(record, ImageRecord) else tuple(record.frames)
    try:
        found = store.measure(key)
    except StorageError as error:
        if not isinstance(store, LocalFolder):  # S3 says that of a bucket, a network or credentials, not of an object
            raise
        return Finding(key, frames, "unreadable", error.message)
    if found is None:
        return Finding(key, frames, "missing", "nothing is there")
    if found.bytes != record.bytes:
        return Finding(key, frames, "different", f"it has {found.bytes:,} bytes in place of {record.bytes:,}")
    if found.sha256 != record.sha256:
        return Finding(key, frames, "different", f"its SHA-256 is {found.sha256[:12]}…, not {record.sha256[:12]}…")
    return None


def frames_of(findings: Sequence[Finding]) -> list[str]:
    """Ids of the frames that something is wrong with, each once, in order."""
    return list(dict.fromkeys(frame for finding in findings for frame in finding.frames))
