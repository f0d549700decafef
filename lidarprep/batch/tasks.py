"""Tasks of prepared scenes: each scene that is done becomes one, once.

Two things keep a scene from being paid for twice. The ledger names its task, as long as what is stored is the same; and
the task's unique id is made of its content, by which the API knows it. Neither the list's order, nor the batch at
Scale, nor who submits it is part of that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lidarprep.batch.labels import look_at_tasks
from lidarprep.batch.record import SceneRecord
from lidarprep.batch.scenes import BATCH_SIZE, Batch
from lidarprep.batch.status import opened
from lidarprep.batch.task_groups import OpenBatch, TaskGroups, finalize_all
from lidarprep.errors import LidarprepError, ParameterError, RecipeError
from lidarprep.recipe import TaskRecipe
from lidarprep.storage import Manifest, load_manifest
from lidarprep.storage.options import StorageOptions
from lidarprep.storage.store import in_threads
from lidarprep.submit import AUTO, NONE, TaskRequest, check_task, submit, task_request
from lidarprep.task_batches import require_project

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient

# Tasks that are submitted at once. The API's limits of requests are not published; the client waits as it is told.
AT_ONCE = 4


def require_tasks(batch: Batch) -> None:
    """Check the tasks of a batch, and that there is a key, before anything is prepared.

    Raises:
        RecipeError, ParameterError: One could not be submitted; or a scene has none.
        MissingKeyError: There is no API key.
    """
    from lidarprep.api import ScaleClient

    own_ids = Counter[str]()
    seen: set[tuple[int, int]] = set()
    for scene in batch:
        task = scene.task
        if task is None:
            raise RecipeError(f"{scene.name} has no task to submit", fix="Say which: task: in the file, or --type.")
        own_ids.update(_own_id(task))
        if batch.batch_size and task.batch is None and task.params.get("batch") is None:
            require_project(task.params)
        if (key := (id(task), id(scene.recipe))) not in seen:
            seen.add(key)
            check_task(scene.recipe, task)
    _refuse_shared_ids(own_ids)
    for api_url in {scene.task.api_url for scene in batch if scene.task is not None}:
        ScaleClient(api_url=api_url).close()


def submit_one(
    record: SceneRecord,
    manifest: Manifest,
    task: TaskRecipe,
    storage: StorageOptions,
    *,
    client: ScaleClient | None = None,
    resubmit: bool = False,
    accept: Collection[str] = (),
) -> SceneRecord:
    """Submit the task of one scene; what goes wrong becomes part of the record, whose state stays.

    Args:
        record: The scene's record.
        manifest: What is stored of it.
        task: Its task.
        storage: How its store is reached.
        client: Where to submit; made from the task's address where it is None.
        resubmit, accept: As of `submit`.
    """
    from lidarprep.api import ScaleClient

    try:
        with ExitStack() as stack:
            made = submit(
                manifest,
                task.type,
                task.params,
                client or stack.enter_context(ScaleClient(api_url=task.api_url)),
                unique_id=task.unique_id,
                resubmit=resubmit,
                upload=task.upload,
                accept=accept,
                batch=task.batch,
                storage=storage,
            )
    except LidarprepError as error:
        return record.with_error(error)
    return record.with_task(made)


@dataclass(frozen=True)
class _Pending:
    """A scene whose task is to be submitted."""

    record: SceneRecord
    task: TaskRecipe
    storage: StorageOptions


class Submission:
    """The tasks of scenes that were prepared.

    Args:
        target: The batch, whose scenes have their own tasks; or its destination: the template, or the folder that the
            scenes' destinations lie in.
        task: The task of each; None for a batch's own.
        storage: How a destination is reached.
        batch_size: Tasks in a batch at Scale, 0 for no batches; None for a batch's own, or 200.
        resubmit: Whether scenes whose task is canceled or in error get another.
        accept: Codes of findings that would ruin a task, and are accepted.
        api_url: Address of the API, where no task says it.

    Attributes:
        records: The scenes' records.
        pending: Scenes that are done and have no task.
        without_task: Scenes that are done, of which it is not said which task they are to have.

    Raises:
        RecipeError, ParameterError: There is no such batch, or a task could not be submitted.
        StorageError: The ledger cannot be read.
    """

    def __init__(
        self,
        target: Batch | str,
        task: TaskRecipe | None = None,
        *,
        storage: StorageOptions | None = None,
        batch_size: int | None = None,
        resubmit: bool = False,
        accept: Collection[str] = (),
        api_url: str | None = None,
    ) -> None:
        from lidarprep.api import ScaleClient

        self._resubmit, self._accept = resubmit, accept
        self._ledger, self.records, storages = opened(target, storage)
        own = {} if isinstance(target, str) else {scene.name: scene.task for scene in target}
        tasks = [task] if task is not None else [one for one in own.values() if one is not None]
        self.api_url = next((one.api_url for one in tasks if one.api_url), api_url)
        if resubmit:
            with ScaleClient(api_url=self.api_url) as client:
                self.records = look_at_tasks(client, self.records)
        size = (BATCH_SIZE if isinstance(target, str) else target.batch_size) if batch_size is None else batch_size
        self._groups = TaskGroups(self._ledger, size, [record.name for record in self.records]) if size else None
        ids = Counter[str]()
        self.pending: list[_Pending] = []
        self.without_task: list[SceneRecord] = []
        for record in self.records:
            chosen = task or own.get(record.name)
            if record.state in ("waiting", "failed") or (record.task and not (resubmit and record.error)):
                continue  # one with a task has an error where nothing comes of that
            if chosen is None:
                self.without_task.append(record)
                continue
            ids.update(_own_id(chosen))
            if self._groups is not None:
                chosen = self._groups.placed(record.name, chosen)
            self.pending.append(_Pending(record, chosen, storages[record.name]))
        _refuse_shared_ids(ids)

    def open_batches(self) -> list[OpenBatch]:
        """Return the batches at Scale that were made for these scenes, and are not finalized.

        Raises:
            ApiError: The API cannot be asked.
        """
        return [] if self._groups is None else self._groups.still_open(self.api_url)

    def finalize(self, names: Iterable[str]) -> list[str]:
        """Finalize batches at Scale, full or not; return the names of those that were not finalized before.

        Raises:
            ApiError: One cannot be.
        """
        return finalize_all(names, self.api_url)

    def requests(self) -> Iterator[tuple[SceneRecord, TaskRequest | LidarprepError]]:
        """Yield what would be submitted, and what would keep a scene from it; nothing is sent."""
        yield from in_threads(self._request, self.pending, AT_ONCE)

    def run(self) -> Generator[SceneRecord, None, None]:
        """Submit the tasks, some at once; yield each scene's record. Batches at Scale that are full are finalized."""
        from lidarprep.api import ScaleClient

        with ExitStack() as stack:
            urls = {one.task.api_url for one in self.pending}
            clients = {url: stack.enter_context(ScaleClient(api_url=url)) for url in urls}
            try:
                for record in in_threads(partial(self._submit, clients), self.pending, AT_ONCE):
                    if self._ledger.add(record) and self._groups is not None:
                        self._groups.finalize_full()
                    yield record
                self._ledger.finish()
            finally:
                self._ledger.flush()  # where it did not come to its end
        if self._groups is not None:
            self._groups.finalize_full()

    def _submit(self, clients: Mapping[str | None, ScaleClient], one: _Pending) -> SceneRecord:
        try:
            manifest = load_manifest(one.record.manifest, one.storage)
        except LidarprepError as error:
            return one.record.with_error(error)
        return submit_one(
            one.record,
            manifest,
            one.task,
            one.storage,
            client=clients[one.task.api_url],
            resubmit=self._resubmit,
            accept=self._accept,
        )

    def _request(self, one: _Pending) -> tuple[SceneRecord, TaskRequest | LidarprepError]:
        task = one.task
        try:
            manifest = load_manifest(one.record.manifest, one.storage)
            made = task_request(
                manifest,
                task.type,
                task.params,
                unique_id=task.unique_id,
                upload=task.upload,
                accept=self._accept,
                batch=task.batch,
            )
        except LidarprepError as error:
            return one.record, error
        return one.record, made


def _own_id(task: TaskRecipe) -> list[str]:
    """Return the unique id that a user has given a task, if any.

    Raises:
        ParameterError: It is to have none.
    """
    found = task.params.get("unique_id") or task.unique_id
    if found == NONE:
        raise ParameterError(
            "a batch's task is to have no unique id: one that is submitted again would be paid for twice",
            fix="Leave unique_id out. A worker that dies, and two machines with the same scene, make one task by it.",
        )
    return [] if found == AUTO else [str(found)]


def _refuse_shared_ids(ids: Counter[str]) -> None:
    if shared := [name for name, count in ids.items() if count > 1]:
        raise ParameterError(
            f"{ids[shared[0]]} scenes would have the unique_id {shared[0]!r}, which only one task may have",
            fix="Leave it out: each task gets one of its content; or give each scene its own, by the batch file.",
        )
