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
from dataclasses import dataclass, replace

from lidarprep.batch.names import safe_name
from lidarprep.batch.record import SceneRecord, joined, of_line, to_line
from lidarprep.batch.scenes import LEDGER_KEY, NAME, Batch, BatchScene, require_template, root_of
from lidarprep.errors import FormatError, ManifestConflictError, StorageError, place_name
from lidarprep.remote import as_path
from lidarprep.storage import Manifest, open_store
from lidarprep.storage.options import StorageOptions
from lidarprep.storage.store import MANIFEST_KEY, in_threads

log = logging.getLogger(__name__)

# Writing may take up to one part in so many of the time: a scene is what a machine is paid for.
_SHARE_OF_TIME = 50
_SHORTEST_PAUSE_S = 5.0

# Seconds that writers who met wait before they try again, at most: growing, and by chance.
_LONGEST_WAIT_S = 10.0

# Seconds that writing is tried for while others are faster: between scenes, at the end, when somebody stops it.
_PATIENCE_S = 20.0
_PATIENCE_AT_THE_END_S = 300.0
_PATIENCE_WHEN_STOPPED_S = 5.0

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
        self._storage = storage or StorageOptions()
        self._store = open_store(root, self._storage)
        self.location = place_name(self._store.location(LEDGER_KEY))
        self.records: dict[str, SceneRecord] = {}
        self._pending: dict[str, SceneRecord] = {}
        self._written, self._pause = time.monotonic(), _SHORTEST_PAUSE_S
        self._is_closed = False

    def read(self) -> dict[str, SceneRecord] | None:
        """Return its records by the scenes' names, in its order; None if there is no ledger.

        Lines that are no records are passed over, with a warning.

        Raises:
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

    def add(self, record: SceneRecord) -> bool:
        """Add a record, and write all that were added if the last time is long enough ago; tell whether it was."""
        self._pending[record.name] = record
        is_time = time.monotonic() - self._written >= self._pause
        if is_time:
            self.flush()
        return is_time

    def finish(self) -> None:
        """Write what was added for the last time. Many machines may end at once: it is tried for longer.

        Raises:
            StorageError: It cannot be written. Tasks are in no manifest: `wait` and `results` would leave them out.
        """
        pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            self._merge(pending.values(), _PATIENCE_AT_THE_END_S)
        except StorageError as error:
            raise StorageError(
                f"{self.location} lacks {len(pending)} of the scenes of this command: {error.message}",
                fix="Run the same command again: what is prepared and submitted is found, and written there.",
            ) from error

    def flush(self, patience_s: float = _PATIENCE_S) -> None:
        """Write what was added. If that fails, it is said, and tried again with the next: scenes are what counts."""
        if not self._pending:
            return
        patience_s = min(patience_s, _PATIENCE_WHEN_STOPPED_S) if self._is_closed else patience_s
        begun = time.monotonic()
        try:
            self._merge(self._pending.values(), patience_s)
            self._pending = {}
        except StorageError as error:
            log.warning("%s is not up to date: %s", self.location, error.message)
        self._written = time.monotonic()
        self._pause = max(_SHORTEST_PAUSE_S, _SHARE_OF_TIME * (self._written - begun))

    def close(self) -> None:
        """Try no request again from now on: somebody has stopped the batch, and waits."""
        self._is_closed = True
        self._store.close()

    def rebuild(self, scenes: Iterable[Destination]) -> dict[str, SceneRecord]:
        """Make it again from the manifests; what these don't tell stays: failures, tasks, times. Return its records.

        It is not written where there is no scene.

        Args:
            scenes: Those of the batch. Scenes that the ledger alone names are looked up where it says that they are.

        Raises:
            StorageError: A store cannot be read, or the ledger not be written.
        """
        there = self.read() or {}
        looked_up = {one.name: one for one in scenes}
        for known in there.values():
            given = looked_up.get(known.name)
            if known.manifest and (given is None or not given.recording):
                out = known.manifest.removesuffix(MANIFEST_KEY).rstrip("/")
                looked_up[known.name] = Destination(known.name, known.recording, out, self._storage)
        ordered = list(looked_up.values())
        found = zip(ordered, in_threads(_record_of_manifest, ordered, _READS), strict=True)
        self._merge(
            _agreed(one, there.get(one.name), made)
            for one, made in found
            if made is not None or one.recording  # else it is any folder
        )
        return self.records

    def _merge(self, records: Iterable[SceneRecord], patience_s: float = _PATIENCE_AT_THE_END_S) -> None:
        """Join records with what is there, and replace it; again where another was faster.

        Raises:
            StorageError: It cannot be read or written; or others were faster for so long.
        """
        records, wait_s, last = list(records), 0.1, time.monotonic() + patience_s
        while True:
            found = self._store.read_current(LEDGER_KEY)
            version, there = None, dict[str, SceneRecord]()
            if found is not None:
                version, there = found[1], self._parsed(found[0])
            self.records = joined(there.values(), self.records.values(), records)
            if self.records == there:  # both are empty where there is nothing, and nothing to say
                return
            try:
                data = b"".join(to_line(record) for record in self.records.values())
                self._store.replace(LEDGER_KEY, data, if_version=version)
                return
            except ManifestConflictError:
                if time.monotonic() > last:
                    raise StorageError(f"other machines write {self.location} all the time") from None
                time.sleep(random.uniform(0, wait_s))  # noqa: S311  # not for secrets
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _parsed(self, data: bytes) -> dict[str, SceneRecord]:
        return joined(_records(data, self.location))


def _records(data: bytes, location: str) -> Iterator[SceneRecord]:
    bad: list[str] = []
    for row, line in enumerate(data.splitlines(), 1):
        try:
            yield of_line(line)
        except ValueError as error:
            bad.append(f"line {row}: {error}")
    if bad:
        log.warning(
            "%s: %d of its lines are passed over, since they are no records of scenes (%s); "
            "`lidarprep batch status --rebuild` makes them again from the manifests",
            location,
            len(bad),
            bad[0],
        )


@dataclass(frozen=True)
class Destination:
    """Where a scene's manifest is looked up.

    Args:
        name: The scene's name.
        recording: Its recording; "" where only a folder is known, which may be anything.
        out: Its destination.
        storage: How that is reached.
    """

    name: str
    recording: str
    out: str
    storage: StorageOptions


def _record_of_manifest(scene: Destination) -> SceneRecord | None:
    """Return the record that a scene's manifest gives, or None where there is no manifest."""
    store = open_store(scene.out, scene.storage)
    found = store.read_current(MANIFEST_KEY)
    if found is None:
        return None
    try:
        manifest = Manifest.from_json(found[0], location=store.location(MANIFEST_KEY))
    except FormatError as error:
        return SceneRecord(scene.name, scene.recording, "failed", 1, error=str(error), exit_code=error.exit_code)
    record = SceneRecord.of_manifest(scene.name, manifest)
    return replace(record, recording=scene.recording or record.recording)


def _agreed(scene: Destination, known: SceneRecord | None, made: SceneRecord | None) -> SceneRecord:
    """Return the record of a scene that the ledger knows, and whose manifest says another thing, or is gone."""
    known = known or SceneRecord(scene.name, made.recording if made is not None else scene.recording)
    if known.state == "failed":  # since its manifest was written, if there is one
        return known
    if made is None or not made.manifest:  # it may be there, and be looked for at the wrong place
        kept = {name: getattr(known, name) for name in ("manifest", "fingerprint", "task", "batch")}
        fresh = replace(made or SceneRecord(known.name, known.recording), **kept)
    else:
        fresh = replace(made.with_task_of(known), recording=known.recording)
    told = {name: getattr(known, name) for name in ("attempts", "seconds", "when")}
    return known if replace(fresh, **told) == known else replace(fresh, attempts=known.attempts + 1)


def destinations_of(batch: Batch) -> list[Destination]:
    """Return the destination of each scene of a batch."""
    return [Destination(scene.name, scene.recording, scene.out, scene.storage) for scene in batch]


def destinations_below(template: str, storage: StorageOptions) -> list[Destination]:
    """Return each folder that may be a destination made of a template, as far as a listing tells.

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
    return [Destination(name, "", template.replace(NAME, name), storage) for name in names if name == safe_name(name)]
