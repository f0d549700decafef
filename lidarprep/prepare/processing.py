"""The processing of a run's frames, side by side within a memory budget; and who is told how it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from lidarprep.prepare.disk_space import DiskSpace
from lidarprep.prepare.empty_result import require_points
from lidarprep.prepare.ordered_map import Admission, MemoryBudget, ordered_map
from lidarprep.prepare.plan import FrameTask
from lidarprep.prepare.prelabels import Prelabels
from lidarprep.prepare.process_frame import (
    BYTES_A_POINT,
    EmptyFrame,
    FrameProcessor,
    PreparedFrame,
    bytes_in_memory,
    prepare_in_worker,
    store_in_worker,
)
from lidarprep.prepare.scene_file import SceneFileWriter
from lidarprep.remote import ReadAhead, reading_threads
from lidarprep.scene import Frame, PointCloud, Scene
from lidarprep.storage import Store
from lidarprep.storage.manifest import AttachmentRecord, FrameRecord, FrameResult, ObjectRecord, SkippedRecord

# Frames that are being stored side by side: a put is mostly waiting, for a network or for a disk.
_STORING = 14


class Progress(Protocol):
    """Told how a run goes on, by the thread that runs it; of nothing where nothing is to be done."""

    def start(self, frames: int, done: int) -> None:
        """So many frames are to be stored, of which some were found done."""

    def advance(self, frame: FrameRecord, stored_bytes: int) -> None:
        """One more frame is stored, in so many bytes, or written to the scene that is to hold all of them."""

    def skip(self, frame: SkippedRecord) -> None:
        """One frame is left out, since it is bad. Only told where the recipe skips bad frames."""


class NoProgress:
    """Tells nobody."""

    def start(self, frames: int, done: int) -> None:
        """Do nothing."""

    def advance(self, frame: FrameRecord, stored_bytes: int) -> None:
        """Do nothing."""

    def skip(self, frame: SkippedRecord) -> None:
        """Do nothing."""


@dataclass
class Processing:
    """Processes frames side by side.

    Args:
        processor: Processes one.
        store: Where they are stored.
        workers: Frames prepared at once.
        executor: Runs them; a thread pool where it is None.
        progress: Told of each frame that is done.
        points: Points that are in memory already, by their frames' ids; each is dropped with its frame.
        watch: Called after each frame; it raises what is to end the run.
        finished: How many frames another run will find finished.
    """

    processor: FrameProcessor
    store: Store
    workers: int
    executor: Executor | None
    progress: Progress
    points: dict[str, PointCloud]
    watch: Callable[[], None]
    finished: int = 0
    _given_up: threading.Event = field(default_factory=threading.Event, init=False)

    def frames(self, tasks: Sequence[FrameTask], *, has_points: bool) -> Iterator[tuple[FrameTask, FrameResult]]:
        """Store frames as attachments of their own; yield what became of each, in time order.

        Frames that keep no point wait until one is met that does, and come last: a region in the wrong place stores
        nothing.

        Args:
            tasks: The frames.
            has_points: Whether a frame of the run that is finished already keeps a point.

        Raises:
            EmptyResultError: No frame keeps a point.
        """
        disk = DiskSpace(self.store, tasks, self.processor.recipe)
        empty: list[EmptyFrame] = []
        with self._threads(self.workers + _STORING) as threads, self._read_ahead(tasks) as ahead:

            def submit(task: FrameTask, admission: Admission) -> Future[FrameResult | EmptyFrame]:
                disk.begin(task)
                task = self._with_points(task)
                if self.executor is not None:
                    future = self.executor.submit(store_in_worker, self.processor, task, has_points)
                    future.add_done_callback(partial(_measure, task.frame, admission))
                else:
                    future = threads.submit(
                        self.processor.store, task, self.store, store_empty=has_points, admission=admission
                    )
                future.add_done_callback(self._count_finished)
                return future

            for pending in (tasks, empty):
                todo = [one.task if isinstance(one, EmptyFrame) else one for one in pending]
                if pending is empty and empty and not has_points:
                    require_points([one.record for one in empty])
                # An executor has one more, which waits for a worker; the threads here would prepare it at once.
                at_once = self.workers + (self.executor is not None)
                budget = MemoryBudget(at_once, self.workers + _STORING, expected=self._expected_bytes(todo))
                with closing(ordered_map(submit, todo, budget, on_error=self._give_up)) as done:
                    for task, result in zip(todo, done, strict=True):
                        ahead.finish(task.frame.id)
                        if isinstance(result, EmptyFrame):
                            empty.append(result)
                            continue
                        has_points = has_points or (result.frame is not None and result.frame.points_out > 0)
                        self._tell(result)
                        disk.stored()
                        yield task, result

    def scene(
        self,
        scene: Scene,
        tasks: Sequence[FrameTask],
        prelabels: Prelabels | None = None,
        offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> tuple[list[FrameResult], AttachmentRecord | None]:
        """Store all frames as one Sensor Fusion Scene.

        Args:
            scene: The recording.
            tasks: The frames.
            prelabels: What becomes its annotations.
            offset: (x, y, z) metres taken from the recording's world.

        Returns:
            What became of each frame, in time order; the attachment, None if every frame was left out. What its writer
            has rounded, assumed or dropped is noted at the first frame, for a run that finds the scene finished.

        Raises:
            EmptyResultError: No frame keeps a point.
        """
        self.store.check()
        done: list[FrameResult] = []
        held: list[tuple[FrameTask, bytes | None]] = []  # empty frames until one with points is met: they take no space
        kept: list[Future[ObjectRecord | None]] = []
        with (
            self._threads(self.workers) as threads,
            self._read_ahead(tasks) as ahead,
            SceneFileWriter.open(scene, self.processor, self.store, tasks, prelabels, offset) as scene_file,
        ):

            def submit(task: FrameTask, admission: Admission) -> Future[PreparedFrame | FrameResult]:
                task = self._with_points(task)
                if self.executor is not None:
                    return self.executor.submit(prepare_in_worker, self.processor, task)
                return threads.submit(self.processor.prepare, task)

            budget = MemoryBudget(self.workers + 1, 2 * self.workers + 1, expected=self._expected_bytes(tasks))
            with closing(ordered_map(submit, tasks, budget, hold=_points_held, on_error=self._give_up)) as frames:
                for task, prepared in zip(tasks, frames, strict=True):
                    ahead.finish(task.frame.id)
                    result = scene_file.add(task, prepared)
                    bits = prepared.kept if isinstance(prepared, PreparedFrame) and result.frame is not None else None
                    done.append(result)
                    held.append((task, bits))
                    if kept or (result.frame is not None and result.frame.points_out):
                        kept += [threads.submit(self.processor.store_kept, one, self.store, it) for one, it in held]
                        held.clear()
                    del prepared, bits
                    self._tell(result)
            records = [result.frame for result in done if result.frame is not None]
            if not records:
                return done, None
            require_points(records)
            # By a thread, so that a stop needs not wait for parts that are being sent.
            attachment = threads.submit(scene_file.store_scene, [record.id for record in records]).result()
            notes = {f"scene {number}": note for number, note in enumerate(scene_file.writer.notes)}
            results = []
            for result, stored in zip(done, kept, strict=True):
                if result.frame is not None:
                    more = {"kept": stored.result(), "notes": result.frame.notes | notes}
                    frame = result.frame.model_copy(update=more)
                    result, notes = FrameResult(frame=frame), {}
                results.append(result)
            return results, attachment

    def _read_ahead(self, tasks: Sequence[FrameTask]) -> closing[ReadAhead]:
        """Fetch what the next frames are read from, in threads of this process; an executor's workers do it there."""
        here = tasks if self.executor is None else ()
        paths = {task.frame.id: task.fetch for task in here}
        return closing(ReadAhead(paths, given_up=self._given_up))

    @contextmanager
    def _threads(self, count: int) -> Iterator[ThreadPoolExecutor]:
        """Open a thread pool; after a failure what is queued is cancelled, and a stop waits for nothing."""
        with reading_threads(count, "lidarprep", self._given_up) as pool:
            try:
                yield pool
            except BaseException:
                self._give_up()
                raise

    def _give_up(self) -> None:
        """Try no request of the run again, to read or to store."""
        self._given_up.set()
        self.store.close()

    def _with_points(self, task: FrameTask) -> FrameTask:
        return replace(task, points=self.points.pop(task.frame.id, None))

    def _tell(self, result: FrameResult) -> None:
        self.watch()
        if result.frame is not None:
            self.progress.advance(result.frame, result.bytes)
        elif result.skipped is not None:
            self.progress.skip(result.skipped)

    def _count_finished(self, future: Future[FrameResult | EmptyFrame]) -> None:
        if not future.cancelled() and future.exception() is None:
            result = future.result()
            self.finished += isinstance(result, FrameResult) and result.record.fingerprint is not None

    def _expected_bytes(self, tasks: Sequence[FrameTask]) -> int | None:
        """Return about what a frame takes in memory, by those that were read; None where none was."""
        if any(task.frame.read_chunks is not None for task in tasks):
            return None
        return max((BYTES_A_POINT * len(points) for points in self.points.values()), default=None)


def _measure(source: Frame, admission: Admission, future: Future[FrameResult | EmptyFrame]) -> None:
    """Tell the memory budget how large a frame was that an executor has processed; nothing of it is held any more."""
    if future.cancelled() or future.exception() is not None:
        return
    record = future.result().record
    if isinstance(record, FrameRecord):
        admission.encoded(bytes_in_memory(source, record), 0)


def _points_held(result: PreparedFrame | FrameResult) -> int:
    return result.in_memory if isinstance(result, PreparedFrame) else 0
