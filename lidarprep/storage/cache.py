"""The frame cache: finished frames of this and earlier runs, found by the fingerprint of what they depend on.

Results are looked up in the manifest that is there and in the entries below CACHE_PREFIX, which a run writes as it
finishes frames and deletes once its manifest names them. A result counts only if all of its objects are there.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property

from pydantic import ValidationError

from lidarprep.storage.keys import is_content_key
from lidarprep.storage.manifest import FrameResult, Manifest, ObjectRecord
from lidarprep.storage.store import CACHE_PREFIX, ObjectInfo, Store, in_threads

log = logging.getLogger(__name__)

# Entries that are fetched at once.
_FETCHES = 16


def entry_key(fingerprint: str) -> str:
    """Return the key of a finished frame's result."""
    return f"{CACHE_PREFIX}{fingerprint}.json"


def is_entry_key(key: str) -> bool:
    """Tell whether a key is one of a cache entry, or of the check before a run."""
    return re.fullmatch(rf"{re.escape(CACHE_PREFIX)}([0-9a-f]{{64}}\.json|check)", key) is not None


def put_entry(store: Store, fingerprint: str, result: FrameResult) -> None:
    """Store the result of a finished frame, once all of its objects are stored."""
    data = result.model_dump_json().encode()
    store.put(entry_key(fingerprint), data, "application/json", sha256=hashlib.sha256(data).hexdigest())


def read_entries(store: Store, keys: Collection[str]) -> Iterator[FrameResult | None]:
    """Read cache entries; yields None for one that is gone, or was damaged by a power cut."""
    for key, data in zip(keys, in_threads(store.get, keys, _FETCHES), strict=True):
        try:
            yield None if data is None else FrameResult.model_validate_json(data)
        except ValidationError:
            log.info("a damaged cache entry is passed over: %s", key)
            yield None


class FrameCache:
    """What is finished already at a destination.

    Args:
        store: The destination.
        manifest: The manifest that is there, or None.
        distrusted: Keys of objects that are known to be damaged: a result that needs one does not count.
    """

    def __init__(self, store: Store, manifest: Manifest | None, *, distrusted: Collection[str] = ()) -> None:
        self._store = store
        self._distrusted = distrusted
        self._in_manifest = {
            result.record.fingerprint: result
            for result in (manifest.results() if manifest is not None else [])
            if result.record.fingerprint is not None
        }

    @cached_property
    def _entries(self) -> set[str]:
        return set(self._store.sizes(CACHE_PREFIX))

    def lookup(self, fingerprints: Iterable[str | None]) -> dict[str, FrameResult]:
        """Return the results that are there, with all of their objects, by their fingerprints."""
        wanted = [name for name in fingerprints if name is not None]
        found = {name: self._in_manifest[name] for name in wanted if name in self._in_manifest}
        missing = [name for name in wanted if name not in found and entry_key(name) in self._entries]
        if missing:
            fetched = zip(missing, read_entries(self._store, [entry_key(name) for name in missing]), strict=True)
            found |= {name: result for name, result in fetched if result is not None}
        gone = missing_keys(self._store, [record for result in found.values() for record in result.objects()])
        gone |= set(self._distrusted)
        return {name: result for name, result in found.items() if gone.isdisjoint(one.key for one in result.objects())}

    def drop(self, fingerprints: Iterable[str | None], *, added: Iterable[str | None] = ()) -> None:
        """Delete the entries of frames that a manifest names by now: those found, and those added since."""
        found = {entry_key(name) for name in fingerprints if name is not None} & self._entries
        if stale := found | {entry_key(name) for name in added if name is not None}:
            self._store.delete(sorted(stale))


def missing_keys(store: Store, records: Collection[ObjectRecord]) -> set[str]:
    """Return the keys of the objects that are missing or have another size, as listings say; none is read."""
    return set(_missing(store, {record.key: record.stored_bytes or record.bytes for record in records}))


def missing_objects(manifest: Manifest, store: Store) -> list[str]:
    """Return the keys of what a manifest names that is missing or has another size; nothing is read.

    Raises:
        FormatError: The manifest names what could not lie beside it.
        StorageError: The store cannot be listed.
    """
    expected: dict[str, int | None] = {}
    for key, record in manifest.objects():
        is_unknown = manifest.is_compressed(record) and record.stored_bytes is None
        expected[key] = None if is_unknown else record.stored_bytes or record.bytes
    return _missing(store, expected)


def _missing(store: Store, expected: Mapping[str, int | None]) -> list[str]:
    """Return the keys that are not listed in their size; None stands for any size."""
    sizes = listed(store, expected.keys())
    return [key for key, size in expected.items() if key not in sizes or size not in (None, sizes[key].bytes)]


def listed(store: Store, keys: Collection[str]) -> dict[str, ObjectInfo]:
    """List the objects under the prefixes that some keys have: `frames/`, `images/`, `scene-`, …"""
    # Not all that is at the destination: that may be a whole bucket, with millions of objects of others.
    # An attachment of 0.1 had a name without "/", such as frame-7.json.
    prefixes = {
        key.partition("/")[0] + "/" if "/" in key else key if is_content_key(key) else key.partition("-")[0]
        for key in keys
    }
    found: dict[str, ObjectInfo] = {}
    for prefix in sorted(prefixes):
        found |= store.sizes(prefix)
    return found
