"""What the sandbox does by itself: it checks attachments, completes tasks, and sends callbacks."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from lidarprep.sandbox.attachment_check import CheckStoppedError, what_is_wrong
from lidarprep.sandbox.callbacks import CallbackSender
from lidarprep.sandbox.lifecycle import Lifecycle
from lidarprep.sandbox.records import Job, JobKind, UnknownTaskError, WrongStatusError

log = logging.getLogger(__name__)

# Another process may add jobs to the same file, which tells nobody here.
LONGEST_SLEEP_S = 0.5


class Background:
    """Two threads that do the store's jobs when they are due, for as long as the `with` statement lasts.

    What is not done when it ends stays in the store, for the next one.

    Args:
        lifecycle: Moves the tasks on.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._jobs = lifecycle.store.jobs
        self._ending = threading.Event()
        self._callbacks = CallbackSender(lifecycle.store, lifecycle.options)
        # Callbacks have a thread of their own, so that a slow receiver holds up no task.
        self._threads = [
            self._thread("tasks", ("check", "complete"), self._move_on),
            self._thread("callbacks", ("callback",), self._callbacks.send),
        ]

    def _thread(self, name: str, kinds: Sequence[JobKind], do: Callable[[Sequence[Job]], None]) -> threading.Thread:
        return threading.Thread(target=self._work, args=(kinds, do), name=f"lidarprep-sandbox-{name}", daemon=True)

    def _work(self, kinds: Sequence[JobKind], do: Callable[[Sequence[Job]], None]) -> None:
        while not self._ending.is_set():
            try:
                self._work_once(kinds, do)
            except sqlite3.OperationalError:
                # The disk is full, or another process holds the file: it may pass, and the jobs are still there.
                log.exception("the sandbox's database fails; what is due is tried again")
                self._ending.wait(LONGEST_SLEEP_S)

    def _work_once(self, kinds: Sequence[JobKind], do: Callable[[Sequence[Job]], None]) -> None:
        changes, under_way = self._jobs.changes, self._callbacks.under_way
        if due := self._jobs.due(kinds, besides=under_way):
            do(due)
        else:
            next_in_s = self._jobs.next_in_s(kinds, besides=under_way)
            self._jobs.wait(changes, LONGEST_SLEEP_S if next_in_s is None else min(next_in_s, LONGEST_SLEEP_S))

    def _move_on(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if self._ending.is_set():
                return
            try:
                if job.kind == "check":
                    self._check(job.task_id)
                else:
                    self._lifecycle.complete(job.task_id)
            except (UnknownTaskError, WrongStatusError):
                log.debug("task %s: %s has become needless", job.task_id, job.kind)
            except CheckStoppedError:
                return  # the next start checks anew
            except sqlite3.OperationalError:
                raise
            except Exception:  # whatever one task meets must not end the thread, and with it all others
                log.exception("task %s: %s failed, and is given up", job.task_id, job.kind)
            self._jobs.done(job)

    def _check(self, task_id: str) -> None:
        task = self._lifecycle.store.get(task_id)
        if task["status"] == "pending" and (problem := what_is_wrong(task, stop=self._ending.is_set)):
            log.info("task %s ends in an error: %s", task_id, problem)
            self._lifecycle.fail(task_id, problem)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._callbacks.end()
        self._jobs.wake()
        for thread in self._threads:
            thread.join()
        self._callbacks.close()
