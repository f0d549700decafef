"""Callbacks: what the sandbox posts to a task's callback_url once the task is completed, or ended in an error."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from lidarprep.api import is_loopback
from lidarprep.sandbox.options import SandboxOptions
from lidarprep.sandbox.records import Document, Job, UnknownTaskError
from lidarprep.sandbox.store import SandboxStore

log = logging.getLogger(__name__)

AUTH_HEADER = "scale-callback-auth"

LONGEST_ANSWER_S = 10.0
AT_ONCE = 8
PAUSE_S = 0.5

# The waits between tries grow by half each: 19.5 s, 29 s, … 8 hours. The 19 waits between 20 tries are 24 hours.
FIRST_WAIT_S = 19.5
GROWTH = 1.5


def wait_before_try_s(tries: int) -> float:
    """Seconds to wait after so many tries."""
    return float(FIRST_WAIT_S * GROWTH ** (tries - 1))


class CallbackSender:
    """Sends callbacks, several at a time, and notes in the tasks how it went.

    Args:
        store: Where the tasks are.
        options: How the sandbox behaves.
    """

    def __init__(self, store: SandboxStore, options: SandboxOptions) -> None:
        self._store = store
        self._options = options
        self._http = httpx.Client(
            headers={AUTH_HEADER: options.callback_auth_key, "User-Agent": "lidarprep-sandbox"},
            timeout=LONGEST_ANSWER_S,
            trust_env=options.callbacks_anywhere,  # a proxy would look for the loopback address on itself
        )
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="lidarprep-sandbox-callback")
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._under_way: set[int] = set()

    @property
    def under_way(self) -> frozenset[int]:
        """Numbers of the jobs that were begun and have not ended."""
        with self._lock:
            return frozenset(self._under_way)

    def send(self, jobs: Sequence[Job]) -> None:
        """Begins to try each callback once; what is not taken is put off. A slow receiver holds up no other."""
        for job in jobs:
            with self._lock:
                self._under_way.add(job.number)
            self._pool.submit(self._send_one, job)

    def end(self) -> None:
        """Begins no more: what is due stays in the store. One that is under way is waited for by `close`."""
        self._ending.set()

    def _send_one(self, job: Job) -> None:
        try:
            if not self._ending.is_set():
                self._try_once(job)
        except sqlite3.OperationalError:
            log.exception("task %s: its callback is tried again, as the sandbox's database fails", job.task_id)
            self._ending.wait(PAUSE_S)
        except Exception:  # nobody looks at what becomes of it in this thread
            log.exception("task %s: its callback failed, and is given up", job.task_id)
            self._store.jobs.done(job)
        finally:
            with self._lock:
                self._under_way.discard(job.number)
            self._store.jobs.wake()

    def _try_once(self, job: Job) -> None:
        try:
            task = self._store.get(job.task_id)
        except UnknownTaskError:
            self._store.jobs.done(job)
            return
        if not self._may_call(task):
            self._store.jobs.done(job)
            return
        taken = self._post(task)
        tries = job.tries + 1
        with self._store.transaction():
            if taken or tries >= self._options.callback_tries:
                # The older text calls it callback_succeeded, the newer one's example callback_completed.
                self._store.change(job.task_id, callback_succeeded=taken, callback_completed=taken)
                self._store.jobs.done(job)
            else:
                self._store.jobs.again(job, in_s=wait_before_try_s(tries) * self._options.callback_pace)

    def _may_call(self, task: Document) -> bool:
        url = task.get("callback_url") or ""
        if not url.startswith(("http://", "https://")):
            log.info("task %s: no callback is sent, as %r is no URL", task["task_id"], url)
            return False
        if not is_loopback(url) and not self._options.callbacks_anywhere:
            log.info("task %s: no callback is sent to another machine (%s)", task["task_id"], urlsplit(url).hostname)
            return False
        return True

    def _post(self, task: Document) -> bool:
        """Whether the callback was answered 200; nothing else counts."""
        body = {"task_id": task["task_id"], "response": task.get("response"), "task": task}
        try:
            # The answer's body is nobody's business, and may have no end.
            with self._http.stream("POST", task["callback_url"], json=body) as answer:
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as cause:  # ValueError: a host that is no name
            log.info("task %s: its callback got no answer: %s", task["task_id"], cause)
            return False
        if status != httpx.codes.OK:
            log.info("task %s: its callback was answered %d", task["task_id"], status)
        return status == httpx.codes.OK

    def close(self) -> None:
        """Ends what is under way, and the connections."""
        self._pool.shutdown()
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
