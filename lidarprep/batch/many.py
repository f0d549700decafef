"""Many scenes: prepared in turn or side by side, told of as they come, and recorded in the batch's ledger."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import closing
from functools import partial
from os import PathLike, fspath
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lidarprep.batch.batch_file import BatchFile, SceneEntry
from lidarprep.batch.cluster import Cluster, ClusterRun
from lidarprep.batch.ledger import Ledger
from lidarprep.batch.one import lost, prepare_one
from lidarprep.batch.opening import forget
from lidarprep.batch.processes import WorkerProcesses
from lidarprep.batch.record import SceneRecord, State
from lidarprep.batch.scenes import Batch, BatchScene
from lidarprep.batch.shards import Shard
from lidarprep.batch.task_groups import TaskGroups
from lidarprep.batch.tasks import require_tasks
from lidarprep.errors import LidarprepError, RecipeError
from lidarprep.recipe import Recipe, TaskRecipe
from lidarprep.storage.options import StorageOptions

if TYPE_CHECKING:
    from distributed import Client


def prepare_many(
    scenes: Batch | BatchFile | Iterable[str | PathLike[str]],
    recipe: Recipe | None = None,
    out: str | None = None,
    *,
    storage: StorageOptions | None = None,
    task: TaskRecipe | None = None,
    submit: bool = False,
    batch_size: int | None = None,
    report: bool = False,
    executor: Executor | Client | Cluster | None = None,
    workers: int | None = None,
    frame_workers: int | None = None,
    shard: Shard | str | None = None,
    only: Collection[State] | None = None,
    max_failures: int | None = None,
) -> Generator[SceneRecord, None, None]:
    """Prepare many scenes, each at its own destination, and yield what became of each as it comes.

    A scene that cannot be prepared is told of by its record, and stops no other. The same call again finishes what is
    left: a scene that is done is opened and compared, as `prepare` does it. Machines that share a batch need nothing of
    one another. The ledger, `batch.jsonl` in the folder above the first brace of `out`, says what is done.

    Args:
        scenes: Recordings, patterns of them, or a batch as a file describes it.
        recipe: How they are prepared; None for a batch's own.
        out: Template of the destinations, like "s3://bucket/fleet/{name}"; None for a batch's own.
        storage: How recordings and destinations are reached; None for a batch's own.
        task: The task of each; None for a batch's own.
        submit: Whether to submit each scene's task once it is prepared. A scene that has a task of what is stored
            keeps that.
        batch_size: Tasks in a batch at Scale, which is finalized once it is full; 0 for no batches, None for a batch's
            own, which is 200 where nothing else is said.
        report: Whether to write each scene's page beside its manifest; all frames are read again for it.
        executor: Runs the scenes: a `concurrent.futures.Executor`, a client of a Dask cluster, or the cluster; where it
            is None, `workers` processes of our own do, or this thread.
        workers: Scenes prepared at once. With an executor: how many it runs at once; as many as cores where it is None.
            A cluster has its own workers.
        frame_workers: Frames prepared at once of each scene; where it is None, the cores are shared among the scenes.
        shard: The part of the scenes that this machine prepares: "3/8", or "auto" in a job array.
        only: Only scenes whose state in the ledger is one of these.
        max_failures: Begin no more scenes once so many have failed.

    Yields:
        The record of each scene; in order where one is prepared at a time.

    Raises:
        RecipeError: The batch makes no sense, before anything is prepared.
        ParameterError: So does a task.
        MissingKeyError: Tasks are to be submitted, and there is no API key.
        StorageError: The ledger cannot be read; or not be written at the end.
        BrokenExecutor: The executor that was given cannot go on. Processes of our own that die are replaced.
        ClusterError: Nor can the cluster.
    """
    batch = _batch(scenes, recipe, out, storage, task, batch_size)
    part = Shard.parse(shard) if isinstance(shard, str) else shard or Shard()
    if workers is not None and workers < 1:
        raise RecipeError(f"workers is {workers}; it must be 1 or more")
    if max_failures is not None and max_failures < 1:
        raise RecipeError(f"max_failures is {max_failures}; it must be 1 or more")
    if submit:
        require_tasks(batch)
    ledger = Ledger(batch.root, batch.storage)
    ledger.begin(batch)
    todo = [one for one in part.of(batch.scenes) if only is None or ledger.records[one.name].is_among(only)]
    names = [scene.name for scene in batch]
    groups = TaskGroups(ledger, batch.batch_size, names) if submit and batch.batch_size else None
    if executor is not None and not isinstance(executor, Executor | Cluster):
        executor = Cluster.of(executor)
    own = None if executor is not None or (workers or 1) == 1 or len(todo) < 2 else min(workers or 1, len(todo))
    at_once = own or (1 if executor is None else workers or os.cpu_count() or 1)
    if frame_workers is None and not isinstance(executor, Cluster):
        frame_workers = max(1, (os.cpu_count() or 1) // at_once)
    prepare = partial(prepare_one, workers=frame_workers, submit=submit, report=report, call=uuid4().hex)
    run = _Run(ledger, prepare, groups, max_failures)
    return run.records(todo, executor, own, at_once)


class _Run:
    """The scenes of one call of `prepare_many`.

    Args:
        ledger: Where they are recorded.
        prepare: `prepare_one` with its options; other processes may run it.
        groups: The batches at Scale that these go to; None for none.
        max_failures: How many may fail before no more are begun; None: all.
    """

    def __init__(
        self,
        ledger: Ledger,
        prepare: partial[SceneRecord],
        groups: TaskGroups | None,
        max_failures: int | None,
    ) -> None:
        self._ledger = ledger
        self._groups = groups
        self._prepare = prepare
        self._max_failures = max_failures
        self._failures = 0

    def records(
        self, scenes: list[BatchScene], executor: Executor | Cluster | None, processes: int | None, at_once: int
    ) -> Generator[SceneRecord, None, None]:
        """Prepare the scenes; yield their records, and record them."""
        own = WorkerProcesses(processes) if processes is not None else None
        chosen = own or executor
        begun = self._begun(scenes)
        try:
            if chosen is None:
                results = self._in_turn(begun)
            elif isinstance(chosen, Cluster):
                results = self._on_cluster(begun, chosen)
            else:
                results = self._side_by_side(begun, chosen, at_once)
            with closing(results):
                for record in results:
                    self._failures += record.error != ""
                    if self._ledger.add(record) and self._groups is not None:
                        self._groups.finalize_full()
                    yield record
            self._ledger.finish()
            if self._groups is not None:
                self._groups.finalize_full()
        except (KeyboardInterrupt, SystemExit) as stop:
            self._ledger.close()
            stop.__notes__ = ["scenes and frames that are done are kept: run the same command again to go on"]
            raise
        finally:
            if own is not None:
                own.shutdown(wait=False, cancel_futures=True)
            forget()
            self._ledger.flush()  # where it did not come to its end

    def _begun(self, scenes: list[BatchScene]) -> Iterator[BatchScene]:
        for scene in scenes:
            if self._max_failures is not None and self._failures >= self._max_failures:
                return
            yield scene if self._groups is None else self._groups.with_batch(scene)

    def _in_turn(self, scenes: Iterator[BatchScene]) -> Generator[SceneRecord, None, None]:
        for scene in scenes:
            yield self._prepare(scene, self._ledger.records[scene.name])

    def _on_cluster(self, scenes: Iterator[BatchScene], cluster: Cluster) -> Generator[SceneRecord, None, None]:
        run = ClusterRun(cluster, self._prepare)
        return run.records((scene, self._ledger.records[scene.name]) for scene in scenes)

    def _side_by_side(
        self, scenes: Iterator[BatchScene], executor: Executor, at_once: int
    ) -> Generator[SceneRecord, None, None]:
        """Keep as many scenes begun as are prepared at once, and one more, which waits for a worker."""
        ended: SimpleQueue[Future[SceneRecord]] = SimpleQueue()
        begun: dict[Future[SceneRecord], BatchScene] = {}
        try:
            while True:
                while len(begun) <= at_once and (scene := next(scenes, None)) is not None:
                    future = executor.submit(self._prepare, scene, self._ledger.records[scene.name])
                    begun[future] = scene
                    future.add_done_callback(ended.put)
                if not begun:
                    return
                future = ended.get()
                scene = begun.pop(future)
                try:
                    record = future.result()
                except BrokenExecutor:
                    raise
                except Exception as error:  # noqa: BLE001  # of the executor: its worker died, or could not be reached
                    what = str(error) if isinstance(error, LidarprepError) else f"{type(error).__name__}: {error}"
                    record = lost(self._ledger.records[scene.name], what)
                yield record
        finally:
            for future in begun:
                future.cancel()


def _batch(
    scenes: Batch | BatchFile | Iterable[str | PathLike[str]],
    recipe: Recipe | None,
    out: str | None,
    storage: StorageOptions | None,
    task: TaskRecipe | None,
    batch_size: int | None,
) -> Batch:
    options: dict[str, Any] = {"recipe": recipe, "out": out, "storage": storage, "task": task, "batch_size": batch_size}
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(scenes, Batch):
        if given:
            raise RecipeError(f"{', '.join(given)}: the scenes of a Batch have that already", fix="Leave that out.")
        return scenes
    if isinstance(scenes, BatchFile):
        return scenes.model_copy(update=given).batch()
    if isinstance(scenes, str | PathLike):
        return BatchFile.read(fspath(scenes), storage).model_copy(update=given).batch()
    return BatchFile(scenes=tuple(SceneEntry(recording=fspath(one)) for one in scenes), **given).batch()
