"""What every store can do, and how its keys are made."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

MANIFEST_KEY = "manifest.json"


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
    """A place for attachments."""

    def check(self) -> None:
        """Sees that the place can be stored at, before any work is done.

        Raises:
            StorageError: It cannot.
        """

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        """Stores bytes under `key`, in place of what may be there.

        Raises:
            StorageError: That failed; nothing half-written is left.
        """

    def put_file(self, key: str, path: Path, content_type: str) -> StoredObject:
        """Stores a copy of a file under `key`; as `put`."""

    def get(self, key: str) -> bytes:
        """The bytes under `key`.

        Raises:
            StorageError: There are none.
        """

    def exists(self, key: str) -> bool:
        """Whether there is something under `key`."""

    def discard(self, keys: Iterable[str]) -> None:
        """Deletes what is under the keys; what is not there is passed over."""

    def url(self, key: str) -> str:
        """The URL of what is under `key`, as manifests record it; never a signed one."""

    def location(self, key: str) -> str:
        """The URL under which this machine finds what is under `key`: file:// or s3://."""

    def fetch_url(self, key: str) -> str:
        """The URL that Scale is given to fetch what is under `key`; signed where that was asked for."""


def describe(key: str, url: str, data: bytes) -> StoredObject:
    """What is to be recorded of bytes that are stored under `key`."""
    return StoredObject(key, url, len(data), hashlib.sha256(data).hexdigest())


def under_base(url_base: str, key: str) -> str:
    """The URL of `key` under a prefix."""
    return f"{url_base.rstrip('/')}/{quote(key)}"


class KeyMaker:
    """Makes safe, distinct keys of the names that a recording uses."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[str, ...]] = {}

    def key(self, *names: str, suffix: str) -> str:
        """`names` joined by "/", with what is not a letter, digit, `.`, `_` or `-` in them replaced, and `suffix`.

        Names that differ in case only, or become the same, get a number: some file systems could not tell them apart.
        """
        stem = "/".join(re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip(".") or "_" for name in names)
        number = 1
        candidate = f"{stem}{suffix}"
        while self._taken.setdefault(candidate.lower(), names) != names:
            number += 1
            candidate = f"{stem}-{number}{suffix}"
        return candidate


CONTENT_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}


def content_type_of(path: Path) -> str:
    """The media type of a picture's file, by its suffix."""
    return CONTENT_TYPES.get(path.suffix.lower(), "application/octet-stream")
