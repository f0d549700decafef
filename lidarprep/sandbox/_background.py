"""Do the sandbox's jobs when they are due: check attachments, complete tasks, send callbacks."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from lidarprep.api import is_loopback, is_web_address
from lidarprep.errors import StorageError
from lidarprep.sandbox._attachment_check import find_problem, in_daemon_thread
from lidarprep.sandbox._attachments import attachments_of, reason_of
from lidarprep.sandbox._common import UnknownTaskError, WrongStatusError
from lidarprep.sandbox._jobs import Job
from lidarprep.sandbox._lifecycle import Lifecycle
from lidarprep.sandbox._store import Document

log = logging.getLogger(__name__)

AUTH_HEADER = "scale-callback-auth"

# Another process may add jobs to the same file without a signal to this one.
LONGEST_SLEEP_S = 0.5

CALLBACKS_AT_ONCE = 8
CHECKS_AT_ONCE = 8
LONGEST_ANSWER_S = 10.0

# Time that callbacks under way get when the sandbox ends.
GRACE_S = 1.0

# The waits between tries grow by half each: 13 s, 19.5 s, … 8 hours. The waits before 20 retries are 24 hours.
FIRST_WAIT_S = 13.0
GROWTH = 1.5


def wait_before_try_s(tries: int) -> float:
    """Return the seconds to wait after so many tries."""
    return float(FIRST_WAIT_S * GROWTH ** (tries - 1))


class Background:
    """Does the store's jobs on the server's event loop while the `async with` statement lasts.

    Each job is a task of its own, so that a slow receiver or attachment delays no other. A job that has not ended stays
    in the store, for the next sandbox on the same file.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._store = lifecycle.store
        self._jobs = lifecycle.store.jobs
        self._options = lifecycle.options
        self._running: dict[Job, asyncio.Task[None]] = {}
        self._callbacks = asyncio.Semaphore(CALLBACKS_AT_ONCE)
        self._checks = asyncio.Semaphore(CHECKS_AT_ONCE)
        self._ending = False

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient(
            headers={AUTH_HEADER: self._options.callback_auth_key, "User-Agent": "lidarprep-sandbox"},
            timeout=None,  # noqa: S113 — each request has a limit for all of it
            trust_env=self._options.callbacks_anywhere,  # a proxy would look for the loopback address on itself
        )
        self._loop = asyncio.create_task(self._start_what_is_due())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending = True
        self._jobs.wake()
        await self._loop
        if callbacks := [task for job, task in self._running.items() if job.kind == "callback"]:
            await asyncio.wait(callbacks, timeout=GRACE_S)
        left = list(self._running.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._http.aclose()

    async def _start_what_is_due(self) -> None:
        while not self._ending:
            try:
                changes, running = self._jobs.changes, [job.number for job in self._running]
                upcoming = await asyncio.to_thread(self._jobs.upcoming, besides=running)
                due = [job for in_s, job in upcoming if in_s <= 0]
                for job in due:
                    self._running[job] = asyncio.create_task(self._do(job))
                if not due:
                    next_in_s = min([LONGEST_SLEEP_S, *(in_s for in_s, _ in upcoming)])
                    await asyncio.to_thread(self._jobs.wait, changes, next_in_s)
            except StorageError:
                # The disk is full, or another process holds the file: it may pass, and the jobs are still there.
                log.exception("the sandbox's database fails; the jobs are tried again")
                await asyncio.sleep(LONGEST_SLEEP_S)

    async def _do(self, job: Job) -> None:
        try:
            if await self._work(job):
                await asyncio.to_thread(self._jobs.done, job)
        except StorageError:
            log.exception("task %s: the job %r is tried again, as the database fails", job.task_id, job.kind)
            await asyncio.sleep(LONGEST_SLEEP_S)
        finally:
            del self._running[job]
            self._jobs.wake()

    async def _work(self, job: Job) -> bool:
        """Do a job once; return whether it is to be removed now."""
        try:
            match job.kind:
                case "check":
                    await self._check(job)
                case "complete":
                    await in_daemon_thread(self._lifecycle.complete, job.task_id)
                case "callback":
                    async with self._callbacks:
                        return not self._ending and await self._call(job)
        except (UnknownTaskError, WrongStatusError):
            log.debug("task %s: the job %r is needless by now", job.task_id, job.kind)
        except StorageError:
            raise
        except Exception:  # whatever one task meets must not end the others
            log.exception("task %s: the job %r failed, and is given up", job.task_id, job.kind)
        return True

    async def _check(self, job: Job) -> None:
        task = await asyncio.to_thread(self._store.get, job.task_id)
        if task["status"] != "pending" or not attachments_of(task):  # it waits for no other
            return
        async with self._checks:
            problem = await find_problem(task, self._store.uploads)
        if problem:
            log.info("task %s ends in an error: %s", job.task_id, problem["error"])
            await asyncio.to_thread(self._lifecycle.fail, job.task_id, problem)

    async def _call(self, job: Job) -> bool:
        """Try a callback once; return whether the job is needless."""
        task = await asyncio.to_thread(self._store.get, job.task_id)
        if not self._may_call(task):
            return True
        accepted = await self._post(task)
        await asyncio.to_thread(self._note, job, accepted)
        return False

    def _note(self, job: Job, accepted: bool) -> None:
        tries = job.tries + 1
        with self._store.transaction():
            if accepted or tries > self._options.callback_retries:
                # The older text calls it callback_succeeded, the newer one's example callback_completed.
                self._store.change(job.task_id, callback_succeeded=accepted, callback_completed=accepted)
                self._jobs.done(job)
            else:
                self._jobs.again(job, in_s=wait_before_try_s(tries) * self._options.callback_pace)

    def _may_call(self, task: Document) -> bool:
        url = task.get("callback_url") or ""
        if not url.startswith(("http://", "https://")):
            log.info("task %s: no callback is sent, as %r is not a URL", task["task_id"], url)
            return False
        if not is_loopback(url) and not self._options.callbacks_anywhere:
            log.info("task %s: no callback is sent to another machine (%s)", task["task_id"], urlsplit(url).hostname)
            return False
        return True

    async def _post(self, task: Document) -> bool:
        """Post a callback; return whether it was answered with a status of success."""
        if not is_web_address(task["callback_url"]):
            log.info("task %s: no callback is sent, as %r is not a URL", task["task_id"], task["callback_url"])
            return False
        body = {"task_id": task["task_id"], "response": task.get("response"), "task": task}
        try:
            # The answer's body is ignored, and may be endless.
            async with (
                asyncio.timeout(LONGEST_ANSWER_S),
                self._http.stream("POST", task["callback_url"], json=body) as answer,
            ):
                status = answer.status_code
        except (httpx.HTTPError, ValueError, TimeoutError) as cause:  # ValueError: a bad host name
            log.info("task %s: its callback got no answer: %s", task["task_id"], reason_of(cause) or "it took too long")
            return False
        accepted = httpx.codes.is_success(status)
        if not accepted:
            log.info("task %s: its callback was answered %d", task["task_id"], status)
        return accepted
