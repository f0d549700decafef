"""Whether what a manifest names is still there, byte for byte."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeVar

from lidarprep.attachments import FrameFormat, get_format
from lidarprep.errors import StorageError
from lidarprep.recipe import StorageOptions
from lidarprep.resigning import is_sound, picture_keys
from lidarprep.storage import LocalFolder, Manifest, Store
from lidarprep.storage.manifest import AttachmentRecord, ImageRecord, ObjectRecord
from lidarprep.stored import store_of

Item = TypeVar("Item")
Value = TypeVar("Value")

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
    store, objects = store_of(manifest, storage), manifest.objects()
    compare = _Comparison(store, manifest)
    findings = []
    try:
        for done, found in enumerate(_side_by_side(compare, objects), start=1):
            findings += [found] if found is not None else []
            progress(done, len(objects))
    except BaseException:
        store.stop()
        raise
    total = sum(record.bytes for _, record in objects)
    return Verification(manifest.location, len(objects), total, tuple(findings))


def _side_by_side(function: Callable[[Item], Value], items: Sequence[Item]) -> Iterator[Value]:
    """The function's value for each item, in order, by threads that nobody waits for when this ends early.

    To read one object may take minutes: who stops that is not to wait for it, nor is the process when it ends.
    """
    futures: list[Future[Value]] = [Future() for _ in items]
    left = deque(zip(items, futures, strict=True))

    def work() -> None:
        with suppress(IndexError):
            while True:
                item, future = left.popleft()
                try:
                    future.set_result(function(item))
                except BaseException as error:  # noqa: BLE001  # raised where it is waited for
                    future.set_exception(error)

    for _ in range(min(_READ_AT_ONCE, len(items))):
        threading.Thread(target=work, name="lidarprep-verify", daemon=True).start()
    try:
        for future in futures:
            yield future.result()
    finally:
        left.clear()


class _Comparison:
    """Compares objects with what a manifest says of them.

    Args:
        store: Where they lie.
        manifest: What says what they are to be.
    """

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._store = store
        self._manifest = manifest
        self._pictures: dict[str, set[str]] = picture_keys(manifest) if manifest.is_being_signed else {}

    def __call__(self, named: tuple[str, ObjectRecord]) -> Finding | None:
        """What is wrong with one, by its key and record; None if nothing is."""
        key, record = named
        frames = (record.frame,) if isinstance(record, ImageRecord) else tuple(record.frames)
        try:
            found = self._store.measure(key)
        except StorageError as error:
            # S3 says that of a bucket, a network or credentials, not of an object.
            if not isinstance(self._store, LocalFolder):
                raise
            return Finding(key, frames, "unreadable", error.message)
        if found is None:
            return Finding(key, frames, "missing", "nothing is there")
        if found.sha256 == record.sha256 or self._is_signed_anew(key, record):
            return None
        detail = f"its SHA-256 is {found.sha256[:12]}…, not {record.sha256[:12]}…"
        if found.bytes != record.bytes:
            detail = f"it has {found.bytes:,} bytes in place of {record.bytes:,}"
        return Finding(key, frames, "different", detail)

    def _is_signed_anew(self, key: str, record: ObjectRecord) -> bool:
        """Whether it differs in nothing but the signatures of its URLs, where these are being made anew."""
        if not self._manifest.is_being_signed or not isinstance(record, AttachmentRecord):
            return False
        attachment_format = get_format(self._manifest.format)
        pictures = self._pictures.get(record.frames[0], set())
        return isinstance(attachment_format, FrameFormat) and is_sound(
            self._store.get(key), record, attachment_format, pictures
        )


def frames_of(findings: Sequence[Finding]) -> list[str]:
    """Ids of the frames that something is wrong with, each once, in order."""
    return list(dict.fromkeys(frame for finding in findings for frame in finding.frames))
