"""How frames flow through a run: by how many threads, or whose executor, and how many of them at once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from lidarprep.errors import StorageError
from lidarprep.pipeline.frame_work import FrameJob, FramePreparer, PreparedFrame, SkippedFrame
from lidarprep.pipeline.in_flight import InFlight
from lidarprep.pipeline.in_order import in_order
from lidarprep.pipeline.storing import PUTS, FrameStorer, StoredFrame, StoringInTurn

Done = TypeVar("Done")


@dataclass(frozen=True)
class Flow:
    """How frames are worked on.

    Args:
        workers: How many are, at once.
        executor: Where; in threads of our own where it is None.
        expected: What a frame is likely to hold in memory, in bytes; None where nobody knows.
        on_stop: Called where all that is under way is to come to an early end, since the process is to end or nothing
            can be stored.
    """

    workers: int
    executor: Executor | None = None
    expected: int | None = None
    on_stop: Callable[[], None] | None = None

    @contextmanager
    def stored(
        self,
        storer: FrameStorer,
        jobs: Iterable[FrameJob],
        on_done: Callable[[StoredFrame | SkippedFrame], None] | None = None,
    ) -> Iterator[Iterator[StoredFrame | SkippedFrame]]:
        """Each frame once it is stored, in the order of the jobs; nothing is under way any more at the end.

        Args:
            storer: What is done.
            jobs: Taken one by one as they are taken up.
            on_done: Told of each as soon as it is stored, whatever is before it.
        """
        if (executor := self.executor) is not None:
            results = in_order(
                lambda job, _: executor.submit(storer, job),
                jobs,
                self._in_flight,
                on_done=on_done,
                on_stop=self.on_stop,
            )
            with self._stopped_with(results):
                yield results
            return
        with _threads("lidarprep-put", PUTS) as putting, _threads("lidarprep", self.workers) as preparing:
            in_turn = StoringInTurn(storer, preparing, putting)
            results = in_order(in_turn.submit, jobs, self._in_flight, on_done=on_done, on_stop=self.on_stop)
            with self._stopped_with(results):
                yield results

    @contextmanager
    def prepared(
        self, preparer: FramePreparer, jobs: Iterable[FrameJob]
    ) -> Iterator[Iterator[PreparedFrame | SkippedFrame]]:
        """Each frame once it is prepared, in the order of the jobs; it is held until the next is asked for."""
        with _threads("lidarprep", self.workers) as threads:
            executor = self.executor or threads
            results = in_order(
                lambda job, _: executor.submit(preparer, job), jobs, self._in_flight, held=True, on_stop=self.on_stop
            )
            with self._stopped_with(results):
                yield results

    @property
    def _in_flight(self) -> InFlight:
        # One waits where each of them is worked on, so that whoever is done finds the next.
        return InFlight(self.workers + 1, expected=self.expected)

    @contextmanager
    def _stopped_with(self, results: Generator[Done]) -> Iterator[None]:
        """Ends what is under way when who takes the results ends; soon, if the whole process is to."""
        with closing(results):
            try:
                yield
            except (KeyboardInterrupt, SystemExit, StorageError):
                if self.on_stop is not None:
                    self.on_stop()
                raise


def _threads(name: str, most: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(most, thread_name_prefix=name)  # none is started before it is needed
