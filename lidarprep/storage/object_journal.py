"""A journal where there are no files: objects, each of the records that came since the one before it.

A process that was asleep may write when another has taken its place. So each process that writes has an id of its own,
which is in the names of its objects; and the header, which is put only in place of exactly the header that was found,
says whose objects count. Who takes a journal up puts what he has read under his own id first. From then on whatever
another writes is as if it was never written.
"""

from __future__ import annotations

import secrets
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from lidarprep.errors import StorageError
from lidarprep.storage.journal_records import Journaled, Record, as_line, sound_records
from lidarprep.storage.store import RUN_FOLDER, ConditionalStore

# Objects that are read side by side: each takes a round trip, and little else.
_SIDE_BY_SIDE = 8

# Seconds between two objects, in which records gather: that much work is done again if a run is killed.
_PACE_S = 0.5


class ObjectJournal:
    """A journal of objects. While one is put, and a moment longer, records gather, and go together as the next.

    Args:
        store: Where they are stored.
    """

    def __init__(self, store: ConditionalStore) -> None:
        self._store = store
        self.durable = 0
        self._id = ""  # of who writes; none before he does
        self._objects = 0
        self._found: tuple[str, Journaled] | None = None  # what is to be taken up, with the tag of its header
        self._turn = threading.Lock()
        self._gathered: list[bytes] = []
        self._next_at = 0.0
        self._hurry = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None  # also one that has failed

    def read(self) -> Journaled | None:
        """The records of all objects that count; one that is gone, and what is not whole of one, are left out."""
        found = self._store.get_tagged(_HEADER)
        headers = [] if found is None else sound_records(found.data)[0]
        if found is None or not headers:
            return None
        own, header = headers[0].get("id"), headers[0].get("header")
        if own is None or header is None:
            return Journaled({})  # of another version
        keys = sorted(self._store.list(_prefix(own)))
        with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="lidarprep-journal") as pool:
            records = [record for records in pool.map(self._read, keys) for record in records]
        journaled = Journaled(header, tuple(records))
        self._id, self._found = "", (found.tag, journaled)
        return journaled

    def begin(self, header: Record) -> None:
        """Another journal goes first."""
        self.remove()
        self._begin_as(_new_id(), header, None)

    def append(self, record: Record) -> None:
        """Leaves the record to a thread that puts what has gathered; reports one before it that has failed."""
        with self._turn:
            self._gathered.append(as_line(record))
            if self._writing is None:
                self._start()
            elif self._has_failed:
                self._writing.result()

    def flush(self) -> None:
        """Waits until nothing is left to be put; what has failed is tried once more."""
        with self._turn:
            if self._has_failed:
                self._start()
            writing = self._writing
        self._close()
        if writing is not None:
            writing.result()

    def remove(self) -> None:
        """Deletes the objects, the header last: as long as it stands, the journal is one."""
        with self._turn:
            self._gathered.clear()
        self._close()
        self._writing = self._found = None  # whatever became of it, it goes
        keys = list(self._store.list(_PREFIX))
        self._store.discard([key for key in keys if key != _HEADER])
        self._store.discard([key for key in keys if key == _HEADER])

    @property
    def _has_failed(self) -> bool:
        return self._writing is not None and self._writing.done() and self._writing.exception() is not None

    def _start(self) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="lidarprep-journal")
        self._writing = self._pool.submit(self._write_gathered)

    def _close(self) -> None:
        pool, self._pool = self._pool, None
        self._hurry.set()
        try:
            if pool is not None:
                pool.shutdown()
        finally:
            self._hurry.clear()

    def _write_gathered(self) -> None:
        while True:
            self._hurry.wait(max(0.0, self._next_at - time.monotonic()))
            with self._turn:
                if not self._gathered:
                    self._writing = None
                    return
                lines, self._gathered = self._gathered, []
            self._next_at = time.monotonic() + _PACE_S
            try:
                self._take_up()
                self._store.put(_key(self._id, self._objects), b"".join(lines), _CONTENT_TYPE)
            except BaseException:
                with self._turn:
                    self._gathered[:0] = lines
                raise
            self._objects += 1
            self.durable += len(lines)

    def _take_up(self) -> None:
        """Makes what was read one's own, before the first record that is added to it."""
        if self._found is None:
            return
        tag, journaled = self._found
        own = _new_id()
        if journaled.records:
            self._store.put(_key(own, 0), b"".join(map(as_line, journaled.records)), _CONTENT_TYPE)
        self._begin_as(own, journaled.header, tag)
        self._objects = 1

    def _begin_as(self, own: str, header: Record, tag: str | None) -> None:
        """Puts the header that says that the objects of an id count, in place of exactly what has the tag.

        Raises:
            StorageError: Something else stands there.
        """
        line = as_line({"id": own, "header": header})
        if self._store.put_if(_HEADER, line, tag) is None:
            found = self._store.get_tagged(_HEADER)
            if found is None or found.data != line:  # if it is this, the answer was lost
                raise StorageError(
                    f"another run has begun at {self._store.location('').rstrip('/')} meanwhile",
                    fix="Wait for its end, or choose another destination.",
                )
        self._id, self._objects, self._found = own, 0, None

    def _read(self, key: str) -> list[Record]:
        try:
            return sound_records(self._store.get(key))[0]
        except StorageError:
            if self._store.existing([key]):
                raise
            return []


_PREFIX = f"{RUN_FOLDER}/journal/"
_HEADER = f"{_PREFIX}header.jsonl"
_CONTENT_TYPE = "application/jsonl"


def _new_id() -> str:
    return secrets.token_hex(8)


def _prefix(own: str) -> str:
    return f"{_PREFIX}{own}-"


def _key(own: str, number: int) -> str:
    return f"{_prefix(own)}{number:08d}.jsonl"
