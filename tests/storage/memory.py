"""Stores for tests: one in memory that behaves as S3 does, and one that fails at a chosen call."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Collection, Iterator
from threading import Lock
from typing import Any, BinaryIO

from lidarprep.errors import StorageError
from lidarprep.storage.store import PROBE_KEY, RUN_FOLDER, StoredObject, describe


class MemoryStore:
    """Objects in a dictionary, which stand at once, as S3's do."""

    stages = False

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._lock = Lock()

    def check(self, needed_bytes: int | None = None) -> None:
        pass

    def probe(self) -> None:
        self.objects[PROBE_KEY] = b""
        self.discard([PROBE_KEY])

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        self.objects[key] = bytes(data)
        return describe(key, self.url(key), data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with self._lock:
            return self.objects.setdefault(key, data) == data

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
        return describe(key, self.url(key), self.objects[key]) if key in self.objects else None

    def sizes(self, keys: Collection[str]) -> dict[str, int]:
        return {key: len(self.objects[key]) for key in keys if key in self.objects}

    def existing(self, keys: Collection[str]) -> set[str]:
        return set(keys) & set(self.objects)

    def list(self, prefix: str = "") -> Iterator[str]:
        for key in sorted(self.objects):
            if key.startswith(prefix) and (prefix.startswith(RUN_FOLDER) or not key.startswith(RUN_FOLDER)):
                yield key

    def discard(self, keys: Collection[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

    def sweep(self) -> None:
        self.discard([PROBE_KEY])

    def stop(self) -> None:
        pass

    def hurried(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def staged(self) -> MemoryStore:
        return self

    def commit(self, keys: Collection[str]) -> None:
        pass

    def roll_back(self, keys: Collection[str]) -> None:
        self.discard(keys)

    def url(self, key: str) -> str:
        return f"memory://store/{key}"

    location = fetch_url = url


class Faulty:
    """A store whose calls are counted, and may fail: what `fail` raises, given the number of the call from 1."""

    def __init__(self, store: Any, fail: Callable[[int], None], counted: list[str] | None = None) -> None:
        self._store = store
        self._fail = fail
        self.calls: list[str] = [] if counted is None else counted

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._store, name)
        if not callable(value) or name in ("url", "location", "fetch_url", "hurried", "stop"):
            return value

        def called(*arguments: Any) -> Any:
            self.calls.append(name)
            self._fail(len(self.calls))
            result = value(*arguments)
            return Faulty(result, self._fail, self.calls) if name == "staged" else result

        return called
