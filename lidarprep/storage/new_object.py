"""An object on its way to a store: named by its content, compressed if wanted, recorded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lidarprep.storage.compression import compressed
from lidarprep.storage.keys import content_key
from lidarprep.storage.store import Store


@dataclass(frozen=True)
class NewObject:
    """An object that is to be stored.

    Args:
        key: Its content-named key.
        data: The bytes as stored.
        content_type: Media type of the content.
        size: Size of the content.
        sha256: SHA-256 of the content, 64 hex digits.
        is_compressed: Whether the bytes are the content compressed (gzip).
        source: A file with the same bytes, or None.
    """

    key: str
    data: bytes
    content_type: str
    size: int
    sha256: str
    is_compressed: bool = False
    source: Path | None = None

    @classmethod
    def of(
        cls,
        stem: str,
        content: bytes,
        suffix: str,
        content_type: str,
        *,
        compress: bool = False,
        source: Path | None = None,
    ) -> NewObject:
        """Name an object by its stem and its content."""
        sha256 = hashlib.sha256(content).hexdigest()
        key = content_key(stem, sha256, f"{suffix}.gz" if compress else suffix)
        data = compressed(content) if compress else content
        return cls(key, data, content_type, len(content), sha256, compress, source)

    def put(self, store: Store) -> None:
        """Store the object."""
        sha256 = hashlib.sha256(self.data).hexdigest() if self.is_compressed else self.sha256
        encoding = "gzip" if self.is_compressed else None
        store.put(self.key, self.data, self.content_type, sha256=sha256, encoding=encoding, source=self.source)

    def fields(self, store: Store) -> dict[str, Any]:
        """Return the fields of an ObjectRecord."""
        return {
            "key": self.key,
            "url": store.url(self.key),
            "bytes": self.size,
            "sha256": self.sha256,
            "stored_bytes": len(self.data) if self.is_compressed else None,
        }
