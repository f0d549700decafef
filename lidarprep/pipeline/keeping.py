"""Frames that are appended to one file, recorded as soon as what each has added is on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from types import TracebackType
from typing import BinaryIO, Generic, TypeVar

from lidarprep.errors import StorageError

Frame = TypeVar("Frame")


class Keeper(Generic[Frame]):
    """Syncs a file that grows, and records then what it has grown by, while the next frame is prepared.

    A sync takes as long for one frame as for several: all that have come while one is under way share the next, so that
    a slow disk makes for fewer, and what is written is on its way to the disk long before the end.

    Args:
        file: The file; None where it will not outlive the run, so that nothing is gained by a record of its frames.
        record: Records frames; called from another thread.
    """

    def __init__(self, file: BinaryIO | None, record: Callable[[list[Frame]], None]) -> None:
        self._file = file
        self._record = record
        self._lock = Lock()
        self._waiting: list[Frame] = []
        self._turns: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="lidarprep-keeper")

    def __enter__(self) -> Keeper[Frame]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Waits until all is recorded that can be; what cannot must not hide why this ends."""
        self._pool.shutdown()
        with suppress(*(() if error is None else (OSError, StorageError))):
            self._raise_failed()

    def add(self, frame: Frame) -> None:
        """One more is written to the file.

        Raises:
            OSError, StorageError: An earlier one could not be made durable, or not be recorded.
        """
        self._raise_failed()
        if self._file is not None:
            self._file.flush()
        with self._lock:
            self._waiting.append(frame)
        if self._file is not None:
            self._turns.append(self._pool.submit(self._keep, self._file.fileno()))

    def rest(self) -> list[Frame]:
        """Those that are not recorded, once no more can be: none, or all where the file will not outlive the run.

        Raises:
            OSError, StorageError: As `add`.
        """
        self._pool.shutdown()
        self._raise_failed()
        return self._waiting

    def _keep(self, handle: int) -> None:
        with self._lock:
            frames, self._waiting = self._waiting, []
        if frames:
            os.fsync(handle)
            self._record(frames)

    def _raise_failed(self) -> None:
        done = [turn for turn in self._turns if turn.done()]
        self._turns = [turn for turn in self._turns if not turn.done()]
        for turn in done:
            turn.result()
