"""What every store can do."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

from lidarprep.errors import FormatError, StorageError

MANIFEST_KEY = "manifest.json"

# Below it lies what belongs to a run that is not finished: what it has staged, its journal and its lock.
RUN_FOLDER = ".lidarprep-run"

# How keys begin under which a run keeps aside what is to stand under their rest.
STAGED = f"{RUN_FOLDER}/staged/"

# The lock of who may store, where that is an object.
LOCK_KEY = f"{RUN_FOLDER}/lock"

# What a run stores, fetches and deletes before its work, to see whether it may.
PROBE_KEY = f"{RUN_FOLDER}/probe"


@dataclass(frozen=True)
class StoredObject:
    """One object of a store.

    Args:
        key: Its name in the store, parts separated by "/".
        url: Its URL, as manifests and attachments record it; never a signed one.
        bytes: Its size.
        sha256: SHA-256 of its bytes, as 64 hex digits.
    """

    key: str
    url: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Tagged:
    """What stands under a key.

    Args:
        data: Its bytes.
        tag: What tells it from all other bytes that have stood there, or will.
        age: Seconds since it was put, by the store's own clock; infinite where the store does not tell.
    """

    data: bytes
    tag: str
    age: float


class Store(Protocol):
    """A place for attachments.

    Args:
        keeps_spools: Whether a staged store's spools outlive the run.
    """

    keeps_spools: bool

    @property
    def stages(self) -> bool:
        """Whether what this store is given is kept aside, out of sight, until it is committed."""

    def check(self, needed_bytes: int | None = None) -> None:
        """Sees that the place can be stored at, before any work is done.

        Args:
            needed_bytes: About how much is to be stored, where that is known.

        Raises:
            StorageError: It cannot.
        """

    def probe(self) -> None:
        """Does on a small object what a run will do, where only that shows it. Only who holds the lock may.

        Raises:
            StorageError: One of that may not be done.
        """

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        """Stores bytes under `key`, in place of what may be there; they survive a power cut once this returns.

        Raises:
            StorageError: That failed; nothing half-written is left.
        """

    def spool(self, key: str) -> AbstractContextManager[BinaryIO]:
        """A file (mode "w+b") for what is to be stored under `key` and is too large for memory.

        It lies where `put_file` finds it handy, and is gone at the end of the `with` statement; but for a staged store
        that `keeps_spools`: there it stays, with what was written to it, and is given again for the same key.

        Raises:
            StorageError: It cannot be made; or its disk fails, or is full, within the `with` statement.
        """

    def put_file(self, key: str, file: BinaryIO, content_type: str) -> StoredObject:
        """Stores all of a file that `spool` has given for the same key; nothing more may be written to it after.

        Raises:
            StorageError: That failed; nothing half-written is left.
        """

    def get(self, key: str) -> bytes:
        """The bytes under `key`.

        Raises:
            StorageError: There are none.
        """

    def measure(self, key: str) -> StoredObject | None:
        """Size and SHA-256 of the bytes under `key` as they can be fetched now, all of them read; None if none are.

        Raises:
            StorageError: They cannot be read.
        """

    def sizes(self, keys: Collection[str]) -> dict[str, int]:
        """How many bytes are under those of the keys that have something under them; a staged store: staged."""

    def existing(self, keys: Collection[str]) -> set[str]:
        """Which of the keys have something under them, where it stands: not what is only staged."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """The keys that begin with `prefix`, in order, as they stand; those of RUN_FOLDER only if it asks for them."""

    def discard(self, keys: Collection[str]) -> None:
        """Deletes what is under the keys; what is not there is passed over."""

    def sweep(self, keys: Collection[str] = ()) -> None:
        """Removes what a run that was killed has left half-made. Only who holds the destination's lock may.

        Args:
            keys: What that run, and this one, store under; what is half-made elsewhere may be others'.
        """

    def staged(self, aside: bool = False) -> StagedStore:
        """A store for the same place, whose objects a run may yet take back.

        Args:
            aside: Whether all that it is given is to be kept out of sight until it is committed: something stands
                there that must last until then. Where that is not asked for, a store may let each object stand at once.
        """

    def stop(self) -> None:
        """Lets what other threads are storing come to its end soon: what fails is not tried again."""

    def hurried(self) -> AbstractContextManager[None]:
        """Within the `with` statement what fails is tried for a few seconds: what is asked for is only tidiness."""

    def url(self, key: str) -> str:
        """The URL of what is under `key`, as manifests record it; never a signed one."""

    def location(self, key: str) -> str:
        """The URL under which this machine finds what is under `key`: file:// or s3://."""

    def fetch_url(self, key: str) -> str:
        """The URL that Scale is given to fetch what is under `key`; signed where that was asked for."""

    def fetch_urls_expire_at(self) -> int | None:
        """When what `fetch_url` gives from now on runs out at the earliest, seconds since the Unix epoch; None: never.

        Raises:
            StorageError: There are no credentials to sign with.
        """


class StagedStore(Store, Protocol):
    """A store whose objects a run may yet take back.

    What is kept aside lies below RUN_FOLDER, where any process finds it, and a later run does, too.
    """

    def in_the_way(self, keys: Sequence[str]) -> set[str]:
        """Under which of the keys, the last of them put last of all, something stands that this store did not put."""

    def commit(self, keys: Sequence[str]) -> None:
        """Lets the objects stand, the last of the keys last of all.

        One that was interrupted may be done again: what stands already is passed over.

        Raises:
            StorageError: Something is gone, or in the way; or that failed, and may be done again.
        """

    def roll_back(self, keys: Collection[str]) -> None:
        """Takes the objects under the keys back, and all that is kept aside."""


class ConditionalStore(Store, Protocol):
    """A store of objects, which can be put on a condition: what a lock needs where there are no files to lock.

    Of those who ask at once on one condition, one succeeds. There are stores that know no conditions, and do what is
    asked whatever stands there.
    """

    def get_tagged(self, key: str) -> Tagged | None:
        """What stands under `key`; None if nothing does.

        Raises:
            StorageError: It cannot be fetched.
        """

    def put_if(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Stores bytes in place of exactly what has the tag.

        Args:
            key: As for `put`.
            data: The bytes.
            tag: The tag; None for: where nothing stands.

        Returns:
            Their tag; None if something else stands there, or nothing does. That may be these bytes, where the answer
            to an earlier attempt was lost.

        Raises:
            StorageError: That failed; the bytes may stand there all the same.
        """

    def discard_if(self, key: str, tag: str) -> None:
        """Deletes what stands under `key` if it has the tag.

        Raises:
            StorageError: That failed.
        """

    def guard(self, check: Callable[[], None] | None) -> None:
        """Calls `check` before each request that changes anything but the lock; what it raises is what comes of that.

        So who has lost the lock while his machine slept changes nothing more, wherever in his work he wakes.
        """


def describe(key: str, url: str, data: bytes) -> StoredObject:
    """What is to be recorded of bytes that are stored under `key`."""
    return StoredObject(key, url, len(data), hashlib.sha256(data).hexdigest())


def describe_file(key: str, url: str, file: BinaryIO) -> StoredObject:
    """What is to be recorded of a file that is stored under `key`; it is read in pieces."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]  # a BinaryIO with readinto, as files are
    return StoredObject(key, url, file.tell(), digest.hexdigest())


def is_of_the_disk(error: OSError) -> bool:
    """Whether it is a disk that failed or is full, and not whatever else a spool was filled from."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


def under_base(url_base: str, key: str) -> str:
    """The URL of `key` under a prefix."""
    return f"{url_base.rstrip('/')}/{quote(key)}"


def read_file(path: Path) -> bytes:
    """The bytes of a file that is to be stored.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error


# How pictures begin, and their media types.
_PICTURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


def picture_type(path: Path | str, data: bytes) -> str:
    """The media type of a picture, by how its bytes begin; `path` names it in errors.

    Raises:
        FormatError: It is no picture: whatever a name or a link in a recording says, nothing else is published.
    """
    for beginning, media_type in _PICTURES.items():
        if data.startswith(beginning):
            return media_type
    raise FormatError(path, place="byte 0", found="neither a JPEG nor a PNG", fix="Replace the picture, or remove it.")
