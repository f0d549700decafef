"""Prune: what earlier runs left at a destination, and neither its manifest nor an unfinished run needs, is deleted."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from os import PathLike, fspath

from lidarprep.errors import RecipeError, StorageError
from lidarprep.storage import Manifest, StorageOptions, open_store
from lidarprep.storage.cache import is_entry_key, read_entries
from lidarprep.storage.keys import is_content_key
from lidarprep.storage.store import CACHE_PREFIX, MANIFEST_KEY, OBJECT_FOLDERS, ObjectInfo

log = logging.getLogger(__name__)

# Objects of a run that is under way are not named by anything until its frame is finished.
_HOUR_S = 3600.0

# How long the results of runs that were stopped are kept for the same runs again, from the last of them on.
_DAY_S = 24 * _HOUR_S

_PREFIXES = (*(f"{folder}/" for folder in OBJECT_FOLDERS), "scene-")


@dataclass(frozen=True)
class Pruning:
    """What was deleted, or would be.

    Args:
        keys: The objects, in order.
        bytes: Their size.
        kept: How many objects stay.
        young: How many of those are named by nothing, and stay because they are not an hour old.
    """

    keys: tuple[str, ...]
    bytes: int
    kept: int
    young: int = 0


def prune(
    out: str | PathLike[str],
    storage: StorageOptions | None = None,
    *,
    dry_run: bool = False,
    everything: bool = False,
) -> Pruning:
    """Delete the objects at a destination that neither its manifest nor an unfinished run names.

    Only objects that lidarprep has named by their content are deleted, and only those older than an hour. Results of
    unfinished runs are kept for a day, with their objects. Tasks that were submitted before an `--overwrite` lose
    their attachments: prune when they are done.

    Args:
        out: A folder, or s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.
        storage: How the store is reached.
        dry_run: Whether to delete nothing, and only tell what would be.
        everything: Whether to delete what unfinished runs have left, too, whatever its age. Only for a destination
            where no run is under way.

    Raises:
        RecipeError: There is no manifest at the destination, and `everything` is not asked for.
        FormatError: What is there is not a manifest.
        StorageError: The store cannot be reached, or lets nothing be deleted.
    """
    store = open_store(fspath(out), storage)
    now = time.time()
    found = store.read_current(MANIFEST_KEY)
    if found is None and not everything:
        raise RecipeError(
            f"{fspath(out)} has no {MANIFEST_KEY}: a run there is unfinished, or it is not a destination",
            fix="Finish the run, or delete what it has left by --all; or check the destination's name.",
        )
    named = set()
    if found is not None:
        manifest = Manifest.from_json(found[0], location=store.location(MANIFEST_KEY))
        named = {key for key, _ in manifest.objects()}
    entries = {key: info for key, info in store.sizes(CACHE_PREFIX).items() if is_entry_key(key)}
    # A run that is under way goes on writing them.
    newest = max((info.modified for info in entries.values()), default=now)
    stale = entries if everything or now - newest > _DAY_S else {}
    for result in read_entries(store, [key for key in entries if key not in stale]):
        named |= {record.key for record in result.objects()} if result is not None else set()
    objects: dict[str, ObjectInfo] = {}
    for prefix in _PREFIXES:
        objects |= {key: info for key, info in store.sizes(prefix).items() if is_content_key(key)}
    unnamed = {key: info for key, info in objects.items() if key not in named}
    young = set() if everything else {key for key, info in unnamed.items() if now - info.modified <= _HOUR_S}
    unnamed = {key: info for key, info in unnamed.items() if key not in young}
    doomed = unnamed | stale
    if not dry_run:
        # Entries go first: one that is there has all of its objects.
        store.delete(sorted(stale))
        store.delete(sorted(unnamed))
        try:
            store.delete_unfinished(now if everything else now - _HOUR_S)
        except StorageError as failure:
            log.warning("what killed runs left half-written may be there still: %s", failure.message)
    return Pruning(
        tuple(sorted(doomed)),
        sum(info.bytes for info in doomed.values()),
        len(objects) + len(entries) - len(doomed) + (found is not None),
        len(young),
    )
