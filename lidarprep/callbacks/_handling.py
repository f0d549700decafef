"""Handle stored callbacks by a Python function or a command, each at least once."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import signal
import subprocess
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from lidarprep.callbacks._store import Callback, CallbackStore
from lidarprep.errors import LidarprepError

log = logging.getLogger(__name__)

AUTH_VARIABLE = "SCALE_CALLBACK_AUTH"

STDERR = 2

# Waits before a failed call is repeated double, up to the longest.
FIRST_WAIT_S = 10.0
LONGEST_WAIT_S = 3600.0

# Time that running commands get when the server ends.
GRACE_S = 10.0


class CommandFailedError(LidarprepError):
    """A command that ran for a callback failed."""

    exit_code = 1


class Command:
    """A command to run for each callback: the JSON on its stdin, TASK_ID in its environment.

    It runs without a shell. CALLBACK_VERSION tells the first result of a task from its corrections. The auth key is
    removed from the command's environment. Its output goes to stderr.

    Args:
        words: The command and its arguments.
        timeout_s: Seconds after which it is killed with all that it started, and counts as failed.
    """

    def __init__(self, words: Sequence[str], *, timeout_s: float) -> None:
        self.words = tuple(words)
        self.timeout_s = timeout_s
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def __call__(self, callback: Callback) -> None:
        """Run it to its end.

        Raises:
            CommandFailedError: It can't be run, did not end with 0, or took too long.
        """
        environment = {name: value for name, value in os.environ.items() if name != AUTH_VARIABLE}
        environment |= {"TASK_ID": callback.task_id, "CALLBACK_VERSION": str(callback.version)}
        name = self.words[0]
        with self._lock:
            if self._stopped:
                raise CommandFailedError(f"{name} is not run any more: the server ends")
            try:
                # A process group of its own, so that all of it can be stopped.
                process = subprocess.Popen(
                    self.words, stdin=subprocess.PIPE, stdout=STDERR, env=environment, process_group=0
                )
            except (OSError, ValueError) as cause:
                raise CommandFailedError(f"{name} can't be run: {cause}") from None
            self._running.add(process)
        with process:  # waits for its end
            try:
                process.communicate(callback.body, timeout=self.timeout_s)
            except subprocess.TimeoutExpired:
                raise CommandFailedError(f"{name} was stopped after {self.timeout_s:g} s") from None
            finally:
                with self._lock:
                    self._running.discard(process)
                _kill(process)
        if process.returncode != 0:
            raise CommandFailedError(f"{name} ended with {process.returncode}")

    def stop(self) -> None:
        """Kill the running commands, and run no more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class CallbackHandler:
    """Call a function for each callback of a store, at least once, in threads.

    A callback is marked in the store once the function has returned. It stays unmarked if the function raises or the
    process dies. It is then handled again after a while, with waits that grow, and by `catch_up` at the next start. So
    the function may be called twice for a callback, and must tolerate that. Results of one task are handled one after
    the other, in order of arrival. A repeated one may follow a newer one: `as_of` and `version` tell.

    Args:
        store: The store of callbacks.
        function: Function that is called; may be a coroutine function.
        at_once: Number of calls that run at once.
        first_wait_s: Seconds before a failed call is repeated; each further wait is twice as long, up to an hour.
    """

    def __init__(
        self,
        store: CallbackStore,
        function: Callable[[Callback], object],
        *,
        at_once: int = 4,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        self._store = store
        self._function = function
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="lidarprep-callback")
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._caught_up = False
        # Versions by task; the first one is being handled.
        self._waiting: dict[str, deque[int]] = {}
        self._first_wait_s = first_wait_s
        self._failures: Counter[tuple[str, int]] = Counter()
        self._timers: set[threading.Timer] = set()
        self._closed = False

    def catch_up(self) -> None:
        """Handle the callbacks that have no mark. Does nothing when called again.

        Raises:
            StorageError: The store can't be read.
        """
        with self._lock:
            if self._caught_up:
                return
            left = self._store.unhandled()
            self._caught_up = True
        if left:
            log.info("%d callbacks are left to be handled", len(left))
        for task_id, version in left:
            self.handle(task_id, version)

    def handle(self, task_id: str, version: int) -> None:
        """Queue a stored callback."""
        with self._lock:
            if self._closed:
                return  # it has no mark, so the next start handles it
            if task_id in self._waiting:
                if version not in self._waiting[task_id]:
                    self._waiting[task_id].append(version)
                return
            self._waiting[task_id] = deque([version])
            self._pool.submit(self._handle_all_of, task_id)

    def close(self) -> None:
        """Wait for running calls, and begin no more. Commands are killed after a while; functions are not."""
        with self._idle:
            self._closed = True
            for timer in self._timers:
                timer.cancel()
            idle = self._idle.wait_for(lambda: not self._waiting, GRACE_S)
        if not idle and isinstance(self._function, Command):
            self._function.stop()
        self._pool.shutdown()

    def _handle_all_of(self, task_id: str) -> None:
        while True:
            with self._idle:
                versions = self._waiting[task_id]
                if not versions or self._closed:
                    del self._waiting[task_id]
                    self._idle.notify_all()
                    return
                version = versions[0]
            self._handle_one(task_id, version)
            with self._lock:
                versions.popleft()

    def _handle_one(self, task_id: str, version: int) -> None:
        try:
            if _handle(self._store, self._function, task_id, version):
                log.info("task %s, result %d: handled", task_id, version)
        except LidarprepError as error:
            wait = self._again(task_id, version)
            log.error("task %s, result %d: %s; it is tried again %s", task_id, version, error.message, wait)
        except Exception:  # the function is the user's: whatever it raises must not end the others
            wait = self._again(task_id, version)
            log.exception("task %s, result %d: handling failed; it is tried again %s", task_id, version, wait)
        else:
            self._failures.pop((task_id, version), None)

    def _again(self, task_id: str, version: int) -> str:
        """Handle a callback again after a while; return when, for a message."""
        with self._lock:
            if self._closed:
                return "at the next start"
            wait_s = min(self._first_wait_s * 2.0 ** self._failures[task_id, version], LONGEST_WAIT_S)
            self._failures[task_id, version] += 1

            def handle() -> None:
                with self._lock:
                    self._timers.discard(timer)
                self.handle(task_id, version)

            timer = threading.Timer(wait_s, handle)
            timer.daemon = True
            self._timers.add(timer)
            timer.start()
        return f"in {wait_s:g} s"


def _handle(store: CallbackStore, function: Callable[[Callback], object], task_id: str, version: int) -> bool:
    """Call the function for a callback, and mark it; return False if it was removed from the store since."""
    callback = store.get(task_id, version)
    if callback is None:
        return False
    result = function(callback)
    if inspect.iscoroutine(result):
        asyncio.run(result)
    store.mark_handled(task_id, version)
    return True


def handle_unhandled(
    store: CallbackStore, function: Callable[[Callback], object], task_ids: Collection[str] | None = None
) -> tuple[int, list[tuple[str, int, str]]]:
    """Call a function once for each callback without a mark, in order of arrival.

    Args:
        store: The store of callbacks.
        function: Function that is called, in this thread.
        task_ids: The tasks whose callbacks are handled; all if None or empty.

    Returns:
        The number of those handled, and task id, version and problem of those whose call failed.

    Raises:
        StorageError: The store can't be read.
    """
    handled, failed = 0, []
    for task_id, version in store.unhandled():
        if task_ids and task_id not in task_ids:
            continue
        try:
            handled += _handle(store, function, task_id, version)
        except LidarprepError as error:
            failed.append((task_id, version, error.message))
    return handled, failed
