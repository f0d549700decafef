"""What every store can do, and how its keys are made."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

from lidarprep.errors import FormatError, StorageError

MANIFEST_KEY = "manifest.json"

# Below it lies what belongs to a run that is not finished: what it has staged, its journal and its lock.
RUN_FOLDER = ".lidarprep-run"

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


class Store(Protocol):
    """A place for attachments.

    Args:
        stages: Whether what a staged store is given stays out of sight until it is committed.
    """

    stages: bool

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

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Stores bytes under `key` unless something is there; of those who try at once, one succeeds.

        Args:
            key: As for `put`.
            data: Bytes that nobody else would store there: they tell whose it is where an answer was lost.

        Returns:
            Whether it is these bytes that stand there.

        Raises:
            StorageError: That failed.
        """

    def spool(self, key: str) -> AbstractContextManager[BinaryIO]:
        """A file (mode "w+b") for what is to be stored under `key` and is too large for memory.

        It lies where `put_file` finds it handy, and is gone at the end of the `with` statement.

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

    def sweep(self) -> None:
        """Removes what a run that was killed has left half-made. Only who holds the destination's lock may."""

    def staged(self) -> Store:
        """A store for the same place, whose objects a run may yet take back.

        What is staged lies below RUN_FOLDER, where any process finds it, and a later run does, too.
        """

    def commit(self, keys: Collection[str]) -> None:
        """Lets the staged objects stand, the last of the keys last of all.

        One that was interrupted may be done again: what stands already is passed over.
        """

    def roll_back(self, keys: Collection[str]) -> None:
        """Takes the staged objects back."""

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


# Longest part of a key that is made of a name; suffix and number come on top.
_LONGEST_PART = 160
_LONGEST_SUFFIX = 32


def _part(name: str) -> str:
    """A name as part of a key; what is cut off is told apart by a checksum."""
    part = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip(".") or "_"
    if len(part) <= _LONGEST_PART:
        return part
    return f"{part[: _LONGEST_PART - 17]}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:16]}"


class KeyMaker:
    """Makes safe, distinct keys of the names that a recording uses."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[str, ...]] = {}

    def key(self, *names: str, suffix: str) -> str:
        """`names` joined by "/", with what is not a letter, digit, `.`, `_` or `-` in them replaced, and `suffix`.

        Names that differ in case only, or become the same, get a number: some file systems could not tell them apart.
        Very long ones are cut: no file system takes more than 255 bytes, S3 no more than 1,024 in all.
        """
        stem = "/".join(_part(name) for name in names)
        suffix = re.sub(r"[^A-Za-z0-9._-]+", "_", suffix)[:_LONGEST_SUFFIX]
        number = 1
        candidate = f"{stem}{suffix}"
        while self._taken.setdefault(candidate.lower(), names) != names:
            number += 1
            candidate = f"{stem}-{number}{suffix}"
        return candidate


def is_key(text: str) -> bool:
    """Whether it is such a key as KeyMaker makes: one that stays inside the destination."""
    return re.fullmatch(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", text) is not None and not {".", ".."} & set(
        text.split("/")
    )


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
