"""The signed URLs of pictures stand in attachments, and run out: there they are signed anew.

Every attachment is fetched, seen to be what the manifest says but for its URLs, and stored with new ones; nothing is
prepared again. While that goes on the manifest says so, since its SHA-256 are then those of before: where it is
stopped, the next time does all of it. What an attachment is without signatures never changes, and is recorded.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from urllib.parse import unquote, urlsplit

from lidarprep.attachments import FrameFormat, get_format
from lidarprep.errors import FormatError, StorageError, place_name
from lidarprep.recipe import StorageOptions
from lidarprep.storage import Manifest, Store
from lidarprep.storage.lock import Lock, locked
from lidarprep.storage.manifest import AttachmentRecord, ImageRecord
from lidarprep.storage.store import MANIFEST_KEY
from lidarprep.stored import current, gaps, require_current, store_of

log = logging.getLogger(__name__)

# Attachments that are worked on at once: their bytes are in memory, and most of the time is spent on the way to S3.
_AT_ONCE = 6

# Who submits wants the URLs to hold at least so long; half of what they are signed for, where that is less.
_LONG_ENOUGH_S = 3600.0


def unsigned_sha256(data: bytes, attachment_format: FrameFormat, picture_keys: Collection[str]) -> str:
    """SHA-256 of an attachment with its pictures' keys in place of their URLs: what signing anew does not change.

    Args:
        data: The attachment.
        attachment_format: What it is encoded as.
        picture_keys: The keys of those of its pictures that are stored beside it; other URLs stay.

    Raises:
        FormatError: lidarprep has not written it so.
    """
    unsigned = attachment_format.relink(data, lambda url: _key_in(url, picture_keys) or url)
    return hashlib.sha256(unsigned).hexdigest()


def runs_out_soon(manifest: Manifest) -> bool:
    """Whether the signed URLs of the pictures run out before a task could be made of them, or have."""
    if manifest.images_expire_at is None or manifest.presign_hours is None:
        return False
    return manifest.images_expire_at - time.time() < min(_LONG_ENOUGH_S, manifest.presign_hours * 1800)


def resign(
    manifest: Manifest,
    storage: StorageOptions | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Signs the URLs of the pictures anew, in the attachments where they are stored, and gives the new manifest.

    Args:
        manifest: As it was loaded from beside its objects.
        storage: How S3 is reached.
        progress: Told after each attachment how many of how many are done.

    Raises:
        StorageError: Something is gone, or is not what the manifest says; or another run is at it.
    """
    store = store_of(manifest, storage, to_write=True)
    with locked(store) as lock:
        found = current(manifest, store)
        if not _same_but_for_signing(found, manifest):
            require_current(manifest, store)  # which says what is wrong
        require_current(found, store)
        if not runs_out_soon(found):
            return found  # somebody has done it meanwhile
        return Resigning(found, store, lock).run(progress)


@dataclass(frozen=True)
class Resigning:
    """Signs the URLs of the pictures anew. Only who holds the destination's lock may.

    Args:
        manifest: As it stands.
        store: Where it stands; it signs for as long as the run did.
        lock: What keeps others off.
    """

    manifest: Manifest
    store: Store
    lock: Lock

    @cached_property
    def _pictures(self) -> dict[str, set[str]]:
        return picture_keys(self.manifest)

    def run(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Manifest:
        """Does it; the manifest that stands then.

        Raises:
            StorageError: Something is gone, or is not what the manifest says; or it cannot be stored.
        """
        manifest, attachments = self.manifest, self.manifest.attachments
        expire_at = self.store.fetch_urls_expire_at()
        if expire_at is None or time.time() < expire_at <= (manifest.images_expire_at or 0):
            return manifest  # the credentials that sign don't let them hold any longer
        self._require_all()
        log.warning("the signed URLs of the pictures %s: they are signed anew", _when(manifest))
        self._put(manifest.model_copy(update={"images_expire_at": 0}))
        keys = [key for key, _ in manifest.objects()][: len(attachments)]
        renewed: list[AttachmentRecord] = []
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="lidarprep-signing") as pool:
            try:
                for done, record in enumerate(pool.map(self._renewed, keys, attachments), start=1):
                    renewed.append(record)
                    progress(done, len(attachments))
            except BaseException as failure:
                self.store.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                _advise(failure)
                raise
        return self._put(manifest.model_copy(update={"attachments": renewed, "images_expire_at": expire_at}))

    def _require_all(self) -> None:
        missing = gaps(self.manifest, self.store)
        if missing:
            raise StorageError(
                f"the URLs of pictures cannot be signed anew: {missing[0]} is gone, or of another size",
                fix="Prepare again with --overwrite.",
            )
        if not any(record.unsigned_sha256 for record in self.manifest.attachments):
            raise StorageError(
                f"{place_name(self.manifest.location)} is of a version of lidarprep that cannot sign URLs anew",
                fix="Prepare again with --overwrite.",
            )

    def _put(self, manifest: Manifest) -> Manifest:
        self.lock.check()
        self.store.put(MANIFEST_KEY, manifest.to_json(), "application/json")
        return manifest.at(self.manifest.location)

    def _renewed(self, key: str, record: AttachmentRecord) -> AttachmentRecord:
        """Stores one attachment with new URLs; what the manifest is to say of it."""
        if record.unsigned_sha256 is None:
            return record  # it has no pictures that are stored
        attachment_format = get_format(self.manifest.format)
        assert isinstance(attachment_format, FrameFormat)  # noqa: S101  # a scene holds its pictures itself
        pictures = self._pictures[record.frames[0]]
        data = self.store.get(key)
        if not is_sound(data, record, attachment_format, pictures):
            raise StorageError(
                f"{self.store.location(key)} is not what the manifest says", fix="Prepare again with --overwrite."
            )

        def signed(url: str) -> str:
            picture = _key_in(url, pictures)
            return url if picture is None else self.store.fetch_url(picture)

        self.lock.check()
        stored = self.store.put(key, attachment_format.relink(data, signed, source=key), attachment_format.content_type)
        return record.model_copy(update={"bytes": stored.bytes, "sha256": stored.sha256})


def is_sound(data: bytes, record: AttachmentRecord, attachment_format: FrameFormat, pictures: Collection[str]) -> bool:
    """Whether an attachment is what the manifest says, whatever signs its pictures' URLs."""
    try:
        return unsigned_sha256(data, attachment_format, pictures) == record.unsigned_sha256
    except FormatError:
        return False


def picture_keys(manifest: Manifest) -> dict[str, set[str]]:
    """The keys of the pictures that are stored, by the id of their frame."""
    found: dict[str, set[str]] = {}
    for key, record in manifest.objects():
        if isinstance(record, ImageRecord):
            found.setdefault(record.frame, set()).add(key)
    return found


def _key_in(url: str, keys: Collection[str]) -> str | None:
    """Which of the keys a URL ends in, or None. It may be one already."""
    path = unquote(urlsplit(url).path)
    return next((key for key in keys if path == key or path.endswith(f"/{key}")), None)


def _same_but_for_signing(found: Manifest, manifest: Manifest) -> bool:
    """Whether two manifests are of the same run, but for when its URLs were signed."""
    same = [one.model_copy(update={"attachments": [], "images_expire_at": None}) for one in (found, manifest)]
    unsigned = [[(a.url, a.unsigned_sha256 or a.sha256) for a in one.attachments] for one in (found, manifest)]
    return same[0] == same[1] and unsigned[0] == unsigned[1]


def _when(manifest: Manifest) -> str:
    """When its URLs run out, or have, as the end of a sentence."""
    if manifest.is_being_signed or manifest.images_expire_at is None:
        return "were being signed anew when that was stopped"
    moment = datetime.fromtimestamp(manifest.images_expire_at, UTC)
    return f"{'ran' if manifest.images_have_expired else 'run'} out at {moment:%Y-%m-%d %H:%M} UTC"


def _advise(failure: BaseException) -> None:
    """Says what becomes of attachments of which some have new URLs."""
    advice = "Nothing is lost: the same command again signs all of them."
    if isinstance(failure, StorageError):
        failure.fix = f"{failure.fix}\n{advice}" if failure.fix else advice
    else:
        failure.add_note(advice)
