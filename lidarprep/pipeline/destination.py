"""Where a run stores."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import Lock

from lidarprep.pipeline.life_sign import LifeSign
from lidarprep.recipe import StorageOptions
from lidarprep.storage import Store, open_store
from lidarprep.storage.store import StagedStore


class RunStoppedError(Exception):
    """The run that a frame belongs to is being stopped, or has ended; never seen by a caller of `prepare`."""


@dataclass(frozen=True)
class Destination:
    """Where one run stores, as data that another process could open too.

    Args:
        out: A folder, or s3://bucket/prefix.
        options: How it is reached.
        aside: Whether what the run stores is to be kept aside until all of it is stored.
        run: Says whether the run goes on; it begins with the first one that is made.
    """

    out: str
    options: StorageOptions
    aside: bool = False
    run: LifeSign = field(default_factory=LifeSign.begin, compare=False, kw_only=True)

    def shown(self) -> Destination:
        """The same, for other processes: they see when the run is stopped."""
        return replace(self, run=self.run.shown())

    def keeping_aside(self, aside: bool) -> Destination:
        """The same, of a run that is to keep aside what it stores, or need not."""
        return replace(self, aside=aside)

    def open(self) -> Store:
        """The store, for what stands there; one connection a run and process."""
        with _lock:
            return self._connection().store

    def open_staged(self) -> StagedStore:
        """The store, for what this run adds, by the same connection."""
        with _lock:
            connection = self._connection()
            if self.aside not in connection.staged:
                connection.staged[self.aside] = connection.store.staged(self.aside)
            return connection.staged[self.aside]

    def forget(self) -> None:
        """Lets go of the connection of a run that has ended; a frame of it that is still worked on is not stored."""
        self.run.end()
        with _lock:
            _connections.pop(self.run.id, None)

    def stop(self) -> None:
        """Lets the frames that are worked on come to an early end, wherever that is; no request is tried again."""
        self.run.end()
        with _lock:
            connection = _connections.get(self.run.id)
        if connection is not None:
            for store in (connection.store, *connection.staged.values()):
                store.stop()

    def go_on(self) -> None:
        """Raises a RunStoppedError once the run is being stopped, or has ended."""
        if self.run.is_over:
            raise RunStoppedError

    def _connection(self) -> _Connection:
        if self.run.id not in _connections:
            for run in [connection.run for connection in _connections.values()]:
                if not run.is_mine and run.is_over:
                    del _connections[run.id]
            store = open_store(self.out, **self.options.model_dump())
            _connections[self.run.id] = _Connection(self.run, store)
        return _connections[self.run.id]


@dataclass
class _Connection:
    """What a process has opened for a run.

    Args:
        run: The run.
        store: The store, for what stands there.
        staged: For what the run adds, by whether that is kept aside.
    """

    run: LifeSign
    store: Store
    staged: dict[bool, StagedStore] = field(default_factory=dict)


_connections: dict[str, _Connection] = {}
_lock = Lock()
