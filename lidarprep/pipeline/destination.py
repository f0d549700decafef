"""Where a run stores."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from lidarprep.recipe import StorageOptions
from lidarprep.storage import Store, open_store


@dataclass(frozen=True)
class Destination:
    """Where a run stores, as data that another process could open too.

    Args:
        out: A folder, or s3://bucket/prefix.
        options: How it is reached.
        run: Name of the run, which what it stores is staged under until all is there.
    """

    out: str
    options: StorageOptions
    run: str

    def open(self) -> Store:
        """The store, for what stands there."""
        return open_store(self.out, **self.options.model_dump())

    def open_staged(self) -> Store:
        """The store, for what this run adds; one connection a process."""
        return _staged_store(self)

    def forget(self) -> None:
        """Lets go of the connection of a run that has ended."""
        with _lock:
            _staged_stores.pop(self, None)


_staged_stores: dict[Destination, Store] = {}
_lock = Lock()


def _staged_store(destination: Destination) -> Store:
    with _lock:
        if destination not in _staged_stores:
            _staged_stores[destination] = destination.open().staged(destination.run)
        return _staged_stores[destination]
