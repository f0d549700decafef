"""Stores for tests: one in memory that behaves as S3 does, and one that fails at a chosen call."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from threading import Lock
from typing import Any, BinaryIO

from lidarprep.errors import StorageError
from lidarprep.storage.store import PROBE_KEY, RUN_FOLDER, STAGED, StoredObject, Tagged, describe


class MemoryStore:
    """Objects in a dictionary, which stand at once, as S3's do.

    Args:
        heeds_conditions: Whether it is one of those that put only on the condition that they are given.
    """

    keeps_spools = False

    def __init__(self, heeds_conditions: bool = True) -> None:
        self.objects: dict[str, bytes] = {}
        self.put_at: dict[str, float] = {}  # by the clock of a machine of its own
        self.presign_hours: float | None = None
        self._aside = ""
        self._heeds_conditions = heeds_conditions
        self._lock = Lock()

    def check(self, needed_bytes: int | None = None) -> None:
        pass

    def probe(self) -> None:
        self.objects[PROBE_KEY] = b""
        self.discard([PROBE_KEY])

    @property
    def stages(self) -> bool:
        return bool(self._aside)

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        self.objects[self._aside + key] = bytes(data)
        return describe(key, self.url(key), data)

    def get_tagged(self, key: str) -> Tagged | None:
        with self._lock:
            if key not in self.objects:
                return None
            now = time.monotonic()
            return Tagged(self.objects[key], self._tag(key) or "", now - self.put_at.get(key, now))

    def put_if(self, key: str, data: bytes, tag: str | None) -> str | None:
        with self._lock:
            if self._heeds_conditions and self._tag(key) != tag:
                return None
            self.objects[key] = data
            self.put_at[key] = time.monotonic()
            return self._tag(key)

    def discard_if(self, key: str, tag: str) -> None:
        with self._lock:
            if not self._heeds_conditions or self._tag(key) == tag:
                self.objects.pop(key, None)

    def _tag(self, key: str) -> str | None:
        return hashlib.md5(self.objects[key]).hexdigest() if key in self.objects else None

    @contextlib.contextmanager
    def spool(self, key: str) -> Iterator[BinaryIO]:
        with tempfile.TemporaryFile() as file:
            yield io.BufferedRandom(file.raw)  # type: ignore[attr-defined]

    def put_file(self, key: str, file: BinaryIO, content_type: str) -> StoredObject:
        file.seek(0)
        return self.put(key, file.read(), content_type)

    def get(self, key: str) -> bytes:
        try:
            return self.objects[key]
        except KeyError:
            raise StorageError(f"there is no {key}") from None

    def measure(self, key: str) -> StoredObject | None:
        data = self.objects.get(self._aside + key)
        return None if data is None else describe(key, self.url(key), data)

    def sizes(self, keys: Collection[str]) -> dict[str, int]:
        return {key: len(self.objects[self._aside + key]) for key in keys if self._aside + key in self.objects}

    def existing(self, keys: Collection[str]) -> set[str]:
        return set(keys) & set(self.objects)

    def list(self, prefix: str = "") -> Iterator[str]:
        for key in sorted(self.objects):
            if key.startswith(prefix) and (prefix.startswith(RUN_FOLDER) or not key.startswith(RUN_FOLDER)):
                yield key

    def discard(self, keys: Collection[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

    def guard(self, check: Callable[[], None] | None) -> None:
        pass

    def sweep(self, keys: Collection[str] = ()) -> None:
        self.discard([PROBE_KEY])

    def stop(self) -> None:
        pass

    def hurried(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def staged(self, aside: bool = False) -> MemoryStore:
        staged = copy.copy(self)
        staged._aside = STAGED if aside else ""
        return staged

    def in_the_way(self, keys: Sequence[str]) -> set[str]:
        return self.existing(keys if self.stages else keys[-1:])

    def commit(self, keys: Sequence[str]) -> None:
        if not self.stages:
            return
        if STAGED + keys[-1] in self.objects:
            self.objects.pop(keys[-1], None)
        for key in keys:
            if STAGED + key in self.objects:
                self.objects[key] = self.objects[STAGED + key]

    def roll_back(self, keys: Collection[str]) -> None:
        self.discard([key for key in self.objects if key.startswith(STAGED)] if self.stages else keys)

    def url(self, key: str) -> str:
        return f"memory://store/{key}"

    location = fetch_url = url

    def fetch_urls_expire_at(self) -> int | None:
        return None if self.presign_hours is None else int(time.time() + self.presign_hours * 3600)


class Faulty:
    """A store whose calls are counted, and may fail: what `fail` raises, given the number of the call from 1."""

    def __init__(self, store: Any, fail: Callable[[int], None], counted: list[str] | None = None) -> None:
        self._store = store
        self._fail = fail
        self.calls: list[str] = [] if counted is None else counted

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._store, name)
        if not callable(value) or name in (
            "url",
            "location",
            "fetch_url",
            "fetch_urls_expire_at",
            "hurried",
            "stop",
            "guard",
        ):
            return value

        def called(*arguments: Any) -> Any:
            self.calls.append(name)
            self._fail(len(self.calls))
            result = value(*arguments)
            return Faulty(result, self._fail, self.calls) if name == "staged" else result

        return called
