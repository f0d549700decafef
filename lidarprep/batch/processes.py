"""Worker processes on this machine, one call at a time each; one that dies is replaced, and its call made again.

`ProcessPoolExecutor` gives up all calls when one process dies, and does not say which of them it was.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from lidarprep._malloc import configure_malloc
from lidarprep.errors import WorkerLostError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# Not forked: threads of boto3, Numba and obstore would not come along, and their locks would.
_CONTEXT = get_context("spawn")

# How often a call is made whose process dies, as by the system where memory runs out.
_TRIES = 3


class WorkerProcesses(Executor):
    """An executor of processes that outlives the death of any of them.

    Args:
        workers: How many processes.
    """

    def __init__(self, workers: int) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="lidarprep-worker")
        self._of_thread = threading.local()
        self._alive: set[_Worker] = set()
        self._lock = threading.Lock()
        self._is_closed = False

    def submit(
        self, fn: Callable[Parameters, Result], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Future[Result]:
        """Call a function in a process; function, arguments and result are pickled."""
        return self._threads.submit(self._call, partial(fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; calls under way end with them where nobody waits for them."""
        if not wait:
            self._end_all()
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        self._end_all()

    def _call(self, call: Callable[[], Result]) -> Result:
        for _ in range(_TRIES):
            worker = self._worker()
            try:
                return worker.call(call)
            except (EOFError, ConnectionError):
                worker.end()
                with self._lock:
                    self._alive.discard(worker)
                    if self._is_closed:
                        break
        raise WorkerLostError(
            f"its worker process died, {_TRIES} times", fix="Was memory short? Use fewer --workers, or try it alone."
        )

    def _worker(self) -> _Worker:
        """Return this thread's process, a new one where it has died."""
        worker: _Worker | None = getattr(self._of_thread, "worker", None)
        with self._lock:
            if worker is None or worker not in self._alive:
                if self._is_closed:
                    raise WorkerLostError("the workers are closed")
                worker = self._of_thread.worker = _Worker()
                self._alive.add(worker)
        return worker

    def _end_all(self) -> None:
        with self._lock:
            self._is_closed = True
            for worker in self._alive:
                worker.end()


class _Worker:
    """One process, and this end of the pipe to it."""

    def __init__(self) -> None:
        self._pipe, other = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(other,), name="lidarprep-worker", daemon=True)
        self._process.start()
        other.close()  # so that this end sees when the process has died

    def call(self, call: Callable[[], Result]) -> Result:
        """Make a call.

        Raises:
            EOFError, ConnectionError: The process has died.
        """
        self._pipe.send(call)
        result, error = self._pipe.recv()
        if error is not None:
            raise error
        done: Result = result
        return done

    def end(self) -> None:
        """Kill the process: what it stores is whole at any moment."""
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection) -> None:
    """Make calls until the other end is closed, or its process has ended."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches all processes of a terminal: the first one ends the others
    configure_malloc()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            call: Callable[[], Any] = pipe.recv()
            answer: tuple[Any, Exception | None]
            try:
                answer = (call(), None)
            except Exception as error:  # noqa: BLE001  # it is raised at the other end
                answer = (None, error)
            pipe.send(answer)
