"""The ledger of a batch: `batch.jsonl` at its destination, a line a scene.

It is derived: the manifests say what is done, and it can always be made again from them. Any number of machines write
it. Each reads it, joins its own records with what is there, and replaces it if it still is what was read; joining is
commutative, so nobody needs to be first. It is written every few seconds and at the end, not for each scene.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Iterator

from lidarprep.batch.record import SceneRecord, joined, of_line, to_line
from lidarprep.batch.scenes import NAME, Batch, BatchScene, require_template, root_of
from lidarprep.errors import FormatError, ManifestConflictError, StorageError, place_name
from lidarprep.remote import as_path
from lidarprep.storage import Manifest, open_store
from lidarprep.storage.options import StorageOptions
from lidarprep.storage.store import MANIFEST_KEY, in_threads

log = logging.getLogger(__name__)

LEDGER_KEY = "batch.jsonl"

# Writing may take up to one part in so many of the time: a scene is what a machine is paid for.
_SHARE_OF_TIME = 50
_SHORTEST_PAUSE_S = 5.0

# Seconds that writers who met wait before they try again, at most: growing, and by chance.
_LONGEST_WAIT_S = 10.0

# Manifests that are read at once.
_READS = 16


class Ledger:
    """The ledger of one batch, and what this process adds to it.

    Args:
        root: The folder, or s3://bucket/prefix, that it lies in.
        storage: How that is reached.

    Raises:
        StorageError, RecipeError: There can be no store.
    """

    def __init__(self, root: str, storage: StorageOptions | None = None) -> None:
        self._store = open_store(root, storage)
        self.location = place_name(self._store.location(LEDGER_KEY))
        self.records: dict[str, SceneRecord] = {}
        self._pending: dict[str, SceneRecord] = {}
        self._written, self._pause = time.monotonic(), _SHORTEST_PAUSE_S

    def read(self) -> dict[str, SceneRecord] | None:
        """Return its records by the scenes' names, in its order; None if there is no ledger.

        Raises:
            FormatError: It is damaged.
            StorageError: It cannot be read.
        """
        found = self._store.read_current(LEDGER_KEY)
        return None if found is None else self._parsed(found[0])

    def begin(self, scenes: Iterable[BatchScene]) -> None:
        """Read it, and let it name all scenes of the batch, those that nobody has begun among them.

        Raises:
            StorageError: It cannot be read or written.
        """
        self._merge(SceneRecord(scene.name, scene.recording) for scene in scenes)

    def add(self, record: SceneRecord) -> None:
        """Add a record, and write all that were added if the last time is long enough ago."""
        self._pending[record.name] = record
        if time.monotonic() - self._written >= self._pause:
            self.flush()

    def flush(self) -> None:
        """Write what was added. If that fails, it is said, and tried again with the next: scenes are what counts."""
        if not self._pending:
            return
        begun = time.monotonic()
        try:
            self._merge(self._pending.values())
            self._pending = {}
        except StorageError as error:
            log.warning("%s is not up to date: %s", self.location, error.message)
        self._written = time.monotonic()
        self._pause = max(_SHORTEST_PAUSE_S, _SHARE_OF_TIME * (self._written - begun))

    def replace(self, records: Iterable[SceneRecord]) -> dict[str, SceneRecord]:
        """Write a ledger that was made again; records that others add meanwhile stay.

        Raises:
            StorageError: It cannot be written.
        """
        self._merge(records)
        return self.records

    def _merge(self, records: Iterable[SceneRecord]) -> None:
        """Join records with what is there, and replace it; again where another was faster.

        Raises:
            StorageError: It cannot be read or written.
        """
        records, wait_s = list(records), 0.1
        while True:
            found = self._store.read_current(LEDGER_KEY)
            version, there = None, dict[str, SceneRecord]()
            if found is not None:
                version = found[1]
                try:
                    there = self._parsed(found[0])
                except FormatError as error:
                    log.warning("the ledger is damaged, and is made again of what is known: %s", error.message)
            self.records = joined(there.values(), self.records.values(), records)
            if found is not None and self.records == there:
                return
            try:
                data = b"".join(to_line(record) for record in self.records.values())
                self._store.replace(LEDGER_KEY, data, if_version=version)
                return
            except ManifestConflictError:
                time.sleep(random.uniform(0, wait_s))  # noqa: S311  # not for secrets
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _parsed(self, data: bytes) -> dict[str, SceneRecord]:
        return joined(_records(data, self.location))


def _records(data: bytes, location: str) -> Iterator[SceneRecord]:
    for row, line in enumerate(data.splitlines(), 1):
        try:
            yield of_line(line)
        except (ValueError, TypeError) as error:
            raise FormatError(location, place=f"line {row}", found=f"no record of a scene ({error})") from None


def records_of_manifests(scenes: Iterable[tuple[str, str, StorageOptions]]) -> Iterator[SceneRecord]:
    """Yield the record of each scene that has a manifest, as that tells it.

    Args:
        scenes: Name, destination and storage options of each.

    Raises:
        StorageError: A store cannot be read.
    """
    for record in in_threads(_record_of_manifest, list(scenes), _READS):
        if record is not None:
            yield record


def _record_of_manifest(scene: tuple[str, str, StorageOptions]) -> SceneRecord | None:
    name, out, storage = scene
    store = open_store(out, storage)
    found = store.read_current(MANIFEST_KEY)
    if found is None:
        return None
    try:
        return SceneRecord.of_manifest(name, Manifest.from_json(found[0], location=store.location(MANIFEST_KEY)))
    except FormatError as error:
        return SceneRecord(name, out, "failed", error=str(error), exit_code=2)


def destinations_of(batch: Batch) -> list[tuple[str, str, StorageOptions]]:
    """Return name, destination and storage options of each scene."""
    return [(scene.name, scene.out, scene.storage) for scene in batch]


def destinations_below(template: str, storage: StorageOptions) -> list[tuple[str, str, StorageOptions]]:
    """Return name, destination and storage options of each folder that a template of destinations may have made.

    Raises:
        RecipeError: It is no such template.
        StorageError: The store cannot be listed.
    """
    require_template(template, 1)
    before, _, after = template.partition(NAME)
    folder = as_path(root_of(template), storage)
    begins, ends = before.rpartition("/")[2], after.partition("/")[0]
    inside = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    found = [name for name in sorted(inside) if name.startswith(begins) and name.endswith(ends)]
    names = [name[len(begins) : len(name) - len(ends)] for name in found]
    return [(name, template.replace(NAME, name), storage) for name in names if name]
