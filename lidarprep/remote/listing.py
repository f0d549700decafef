"""What is known of the objects below a path that a user named: listed once, and kept.

The folder that was named is listed as a whole, by one stream of requests, unless too much is in it: then each folder
is listed when it is asked for. What lies beside it is asked for one by one. Of each object the version that was seen
first is kept, and whatever is read must be of that version.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from weakref import finalize

from lidarprep.errors import SourceChangedError
from lidarprep.remote.address import RemoteStat, StoreAddress
from lidarprep.remote.threads import reading_threads

if TYPE_CHECKING:
    from lidarprep.remote.ranged import RangedFile
    from lidarprep.remote.store import RemoteStore

# Objects below a folder up to which it is listed as a whole.
_MOST_OBJECTS = 100_000

# Index pages tell no sizes. After so many objects of a folder were asked for, one by one, all are, so many at once.
_ASKED_ONE_BY_ONE = 4
_AT_ONCE = 16


@dataclass
class _Folder:
    """What is in a folder.

    Args:
        folders: Names of folders.
        objects: What is known of the objects, by name; None where the listing says nothing but the name.
    """

    folders: set[str] = field(default_factory=set)
    objects: dict[str, RemoteStat | None] = field(default_factory=dict)


class Listing:
    """What is known of the objects below a path, and beside it. All methods may be called from several threads.

    Args:
        address: The store.
        root: The key that a user named, of an object or a folder.
    """

    def __init__(self, address: StoreAddress, root: str) -> None:
        self.address = address
        self._root = root
        self._lock = threading.RLock()
        self._folders: dict[str, _Folder | None] = {}
        self._stats: dict[str, RemoteStat | None] = {}
        self._fetched: dict[str, tuple[Future[bytes | None], Callable[[], None]]] = {}
        self._asked: Counter[str] = Counter()
        self._is_whole: bool | None = None  # None: not listed yet
        self._copies: str | None = None  # folder of temporary files

    def __reduce__(self) -> tuple[Any, ...]:
        return Listing, (self.address, self._root)

    @property
    def _store(self) -> RemoteStore:
        from lidarprep.remote.stores import shared_store

        return shared_store(self.address)

    def covers(self, key: str) -> bool:
        """Tell whether a key is the one that a user named, or below it."""
        return self._is_within(key)

    def is_object(self, key: str) -> bool:
        """Tell whether there is such an object; by its name alone where that is known."""
        if not key:
            return False
        if self._stats.get(key) is not None:
            return True
        parent, _, name = key.rpartition("/")
        with self._lock:
            folder = self._listed(parent) if key != self._root else self._folders.get(parent)
            if folder is not None:
                return name in folder.objects
        return self.stat(key) is not None

    def is_folder(self, key: str) -> bool:
        """Tell whether there are objects below a key."""
        if key == self._root and not self.address.is_web and self._stats.get(key) is not None:
            return False  # who may read one object need not be allowed to list
        parent, _, name = key.rpartition("/")
        with self._lock:
            if key not in self._folders:
                around = self._folders.get(parent) if key else None
                if around is not None:
                    return name in around.folders
                is_above = f"{self._root}/".startswith(f"{key}/" if key else "") and key != self._root
                if is_above and self._stats.get(self._root) is not None:
                    return True
        return self._listed(key, ask=True) is not None

    def names(self, key: str) -> Collection[str] | None:
        """Return the names in a folder; None where there is no such folder."""
        folder = self._listed(key, ask=True)
        return None if folder is None else [*folder.folders, *folder.objects]

    def stat(self, key: str) -> RemoteStat | None:
        """Return what is known of an object, or else what the store says; None if there is no such object."""
        if not key:
            return None
        known = self.known(key)
        if known is not None or (key in self._stats and self._stats[key] is None) or self._is_known_folder(key):
            return known
        if key == self._root and not PurePosixPath(key).suffix and self._listed(key, ask=True) is not None:
            return None  # a folder
        parent, _, name = key.rpartition("/")
        folder = self._listed(parent) if key != self._root else self._folders.get(parent)
        if folder is not None:
            if name not in folder.objects:
                return None
            if (found := folder.objects[name]) is not None:
                return found
            self._asked[parent] += 1
            if self._asked[parent] > _ASKED_ONE_BY_ONE:
                self._stat_all(parent, folder)
                return self._stats.get(key)
        elif key != self._root and self._is_within(key) and self._is_whole:
            return None
        found = self._store.head(key)
        self._stats[key] = found
        return found

    def _stat_all(self, key: str, folder: _Folder) -> None:
        """Ask for what an index page does not say of the objects of a folder, side by side."""
        prefix = f"{key}/" if key else ""
        keys = [prefix + name for name in folder.objects if prefix + name not in self._stats]
        with reading_threads(_AT_ONCE, "lidarprep-fetch") as pool:
            self._stats.update(zip(keys, pool.map(self._store.head, keys), strict=True))

    def note(self, key: str, seen: RemoteStat) -> None:
        """Take over what another process has seen of an object."""
        self._stats.setdefault(key, seen)

    def known(self, key: str) -> RemoteStat | None:
        """Return what is known of an object without a request."""
        parent, _, name = key.rpartition("/")
        folder = self._folders.get(parent)
        return self._stats.get(key) or (folder.objects.get(name) if folder is not None else None)

    def read(self, key: str) -> bytes | None:
        """Return all of an object, fetched already or now; None if there is none.

        Raises:
            SourceChangedError: It is not the version that was seen first, or gone since.
        """
        if self._is_known_folder(key):
            return None  # a web server would give its index page
        data = self._take(key)
        return self._fetch(key) if data is None else data

    def open(self, key: str) -> RangedFile | None:
        """Open an object that is read by ranges, or was fetched already; None if there is none."""
        from lidarprep.remote.ranged import CopiedFile, FetchedFile, RangedFile

        stat = self.stat(key)
        if stat is None:
            return None
        data = self._take(key)
        if data is not None:
            return FetchedFile(self._store, key, stat, data)
        return (RangedFile if self._store.gives_ranges else CopiedFile)(self._store, key, stat)

    def fetch(self, key: str, pool: Executor, released: Callable[[], None]) -> bool:
        """Begin to fetch an object for the next that reads it; return False if that was begun already."""
        with self._lock:
            if key in self._fetched:
                return False
            self._fetched[key] = (pool.submit(self._fetch, key), released)
            return True

    def forget(self, key: str) -> None:
        """Drop what was fetched and not read."""
        self._fetched_before(key)

    def _fetched_before(self, key: str) -> Future[bytes | None] | None:
        with self._lock:
            future, released = self._fetched.pop(key, (None, None))
        if released is not None:
            released()
        return future

    def _take(self, key: str) -> bytes | None:
        """Return an object that was fetched; None where it was not."""
        future = self._fetched_before(key)
        return None if future is None or future.cancel() else future.result()

    def _fetch(self, key: str) -> bytes | None:
        known = self.known(key)
        got = self._store.get(key, known)
        if got is None:
            if known is not None:
                raise SourceChangedError(self.address.url(key))
            return None
        data, stat = got
        if known is None:
            self._stats[key] = stat
        return data

    def local_copy(self, key: str) -> Path | None:
        """Fetch an object into a temporary file, once; None if there is none."""
        stat = self.stat(key)
        if stat is None:
            return None
        from lidarprep.remote.ranged import copying

        with self._lock, copying():
            if self._copies is None:
                self._copies = tempfile.mkdtemp(prefix="lidarprep-")
                finalize(self, shutil.rmtree, self._copies, ignore_errors=True)
            target = Path(self._copies, *key.split("/"))
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(f"{target.name}.part")
                with part.open("wb") as file:
                    self._store.get_file(key, stat, file)
                part.rename(target)
            return target

    def _is_known_folder(self, key: str) -> bool:
        parent, _, name = key.rpartition("/")
        around = self._folders.get(parent)
        return self._folders.get(key) is not None or (around is not None and name in around.folders)

    def _is_within(self, key: str) -> bool:
        return key == self._root or not self._root or key.startswith(f"{self._root}/")

    def _listed(self, key: str, *, ask: bool = False) -> _Folder | None:
        """Return what is in a folder; None if there is none, or if it lies outside and is not to be asked for."""
        with self._lock:
            if key in self._folders:
                return self._folders[key]
            if self._is_within(key):
                if self._is_whole is None:
                    self._list_all()
                if self._is_whole:
                    return self._folders.get(key)
                if key != self._root:
                    parent, _, name = key.rpartition("/")
                    around = self._listed(parent)
                    if around is None or name not in around.folders:
                        return None
            elif not ask:
                return None
            folders, objects = self._store.list_folder(key)
            of_folders = {"", *folders}  # markers of the folder itself, and of those in it
            found = _Folder(set(folders), {name: stat for name, stat in objects.items() if name not in of_folders})
            self._folders[key] = found if folders or objects else None
            return self._folders[key]

    def _list_all(self) -> None:
        """List all objects below the root, unless these are too many."""
        stream = self._store.list_all(self._root)
        if stream is None:
            self._is_whole = False
            return
        found: dict[str, _Folder] = {}
        for count, (key, stat) in enumerate(stream):
            if count == _MOST_OBJECTS:
                self._is_whole = False
                return
            if key == self._root:  # the marker of the folder itself
                continue
            parent, _, name = key.rpartition("/")
            if parent not in found:
                self._add_folder(found, parent)
            found[parent].objects[name] = stat
        for folder in found.values():
            for name in folder.folders & folder.objects.keys():  # an object that stands for a folder
                del folder.objects[name]
        self._folders |= found
        self._is_whole = True

    def _add_folder(self, found: dict[str, _Folder], key: str) -> None:
        found[key] = _Folder()
        while key != self._root:
            key, _, name = key.rpartition("/")
            is_new = key not in found
            found.setdefault(key, _Folder()).folders.add(name)
            if not is_new:
                return
