"""Whether what a manifest names is there, byte for byte: the bytes hash to what it says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Literal

from lidarprep.errors import StorageError
from lidarprep.storage import Manifest, StorageOptions, Store, store_of
from lidarprep.storage.content import DamagedContentError, read_content
from lidarprep.storage.manifest import AttachmentRecord, ImageRecord, ObjectRecord
from lidarprep.storage.store import in_threads

# Objects that are read at once: as many as a disk serves well, and as hide the way to a bucket.
_READ_AT_ONCE = 16


@dataclass(frozen=True)
class DamagedObject:
    """One object that is not what the manifest says.

    Args:
        key: Its name at the destination.
        frames: Ids of the frames that it holds, or the one that it belongs to.
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
    findings: tuple[DamagedObject, ...]


def verify(
    manifest: Manifest,
    storage: StorageOptions | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Read every object that a manifest names, and compare size and SHA-256.

    Args:
        manifest: As it was loaded from beside its objects.
        storage: How S3 is reached, if it lies there.
        progress: Told after each object how many of how many are done.

    Raises:
        FormatError: The manifest names what could not lie beside it.
        StorageError: The store cannot be reached, or does not let its objects be read.
    """
    store, objects = store_of(manifest, storage), manifest.objects()
    frames = {frame.kept.key: frame.id for frame in manifest.frames if frame.kept is not None}
    findings = []
    compare = partial(_compare, store, manifest, frames)
    with closing(store), closing(in_threads(compare, objects, _READ_AT_ONCE)) as compared:
        for done, found in enumerate(compared, start=1):
            findings += [found] if found is not None else []
            progress(done, len(objects))
    return Verification(manifest.location, len(objects), sum(one.bytes for _, one in objects), tuple(findings))


def _compare(
    store: Store, manifest: Manifest, kept: dict[str, str], named: tuple[str, ObjectRecord]
) -> DamagedObject | None:
    """Return what is wrong with one object, by its key and record; None if nothing is."""
    key, record = named
    frames: tuple[str, ...]
    match record:
        case ImageRecord():
            frames = (record.frame,)
        case AttachmentRecord():
            frames = tuple(record.frames)
        case _:
            frames = (kept[key],)
    digest, size = hashlib.sha256(), 0
    is_there = False
    try:
        for piece in read_content(store, key, is_compressed=manifest.is_compressed(record)):
            is_there = True
            digest.update(piece)
            size += len(piece)
        is_there = is_there or store.get(key) is not None
    except StorageError as error:
        # Object stores say that of a bucket, a network or credentials, not of an object.
        if not store.location(key).startswith("file://") and not isinstance(error, DamagedContentError):
            raise
        return DamagedObject(key, frames, "unreadable", error.message)
    if not is_there:
        return DamagedObject(key, frames, "missing", "nothing is there")
    if digest.hexdigest() == record.sha256:
        return None
    detail = f"its SHA-256 is {digest.hexdigest()[:12]}…, not {record.sha256[:12]}…"
    if size != record.bytes:
        detail = f"it has {size:,} bytes in place of {record.bytes:,}"
    return DamagedObject(key, frames, "different", detail)
