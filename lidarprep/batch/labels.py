"""From tasks to labels: how the tasks of a batch are, waiting for them, and writing what they brought.

The API is asked for pages of a batch at Scale, a hundred tasks a request, and not for each task.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from lidarprep.batch.record import SceneRecord
from lidarprep.batch.scenes import Batch
from lidarprep.batch.status import opened
from lidarprep.errors import ApiError, LidarprepError, NotFoundError, WaitTimeoutError
from lidarprep.results import WrittenResults, write_results
from lidarprep.scene import LabelsFrame
from lidarprep.storage.options import StorageOptions
from lidarprep.storage.store import in_threads
from lidarprep.task_batches import is_finalized

if TYPE_CHECKING:
    from lidarprep.api import ScaleClient, Task

log = logging.getLogger(__name__)

# Seconds between two looks at the tasks: growing, by chance a little more or less.
_FIRST_POLL_S, _LONGEST_POLL_S, _GROWTH, _JITTER = 2.0, 60.0, 1.5, 0.2

# Tasks that are in no batch are asked for one by one, so many at once; and so many results are read at once.
_AT_ONCE = 4


def look_at_tasks(client: ScaleClient, records: Iterable[SceneRecord]) -> list[SceneRecord]:
    """Return records with their tasks as the API has them; those without a task as they are.

    Raises:
        ApiError: The API cannot be asked.
    """
    records = list(records)
    tasks = _tasks_of(client, records)
    return [_told(record, tasks) for record in records]


def _tasks_of(client: ScaleClient, records: Iterable[SceneRecord]) -> dict[str, Task | NotFoundError]:
    """Return the tasks that records name, by their ids; scenes of equal content share one.

    Raises:
        ApiError: The API cannot be asked.
    """
    batches = {record.task: record.batch for record in records if record.task}
    found: dict[str, Task | NotFoundError] = {}
    for batch in sorted(set(filter(None, batches.values()))):
        for task in client.iter_tasks(batch=batch, limited_response=True):
            if task.id in batches and task.status != "error":  # why one is in error, a list does not say
                found[task.id] = task
    others = [task for task in batches if task not in found]
    found.update(zip(others, in_threads(partial(_look_at, client), others, _AT_ONCE), strict=True))
    return found


def _look_at(client: ScaleClient, task: str) -> Task | NotFoundError:
    try:
        return client.get_task(task)
    except NotFoundError as error:
        return error


def _told(record: SceneRecord, tasks: Mapping[str, Task | NotFoundError]) -> SceneRecord:
    """Return a record with its task; one that failed since the task was made, as it is: `retry` looks for it."""
    task = tasks.get(record.task)
    if task is None or record.state == "failed":
        return record
    return record.with_error(task) if isinstance(task, NotFoundError) else record.with_task(task)


def wait_many(
    target: Batch | str,
    client: ScaleClient,
    *,
    storage: StorageOptions | None = None,
    timeout: float | None = None,
    on_poll: Callable[[list[SceneRecord]], None] = lambda records: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[SceneRecord]:
    """Wait until the tasks of all scenes that have one are completed, canceled or in error.

    Args:
        target: The batch; or its destination: the template, or the folder that the scenes' destinations lie in.
        client: Where the tasks are.
        storage: How a destination is reached.
        timeout: Seconds to wait at most; None for as long as it takes.
        on_poll: Told the records of the scenes that have a task, after each look at them.
        sleep: Waits, given seconds.
        clock: Seconds of a monotonic clock.

    Returns:
        The records of the scenes that have a task.

    Raises:
        RecipeError: There is no such batch.
        StorageError: The ledger cannot be read.
        WaitTimeoutError: The timeout has passed.
        ApiError: All tasks that are left are in batches that are not finalized, so nobody works on them; or the API
            cannot be asked the first time. Later that is waited out.
    """
    ledger, records, _ = opened(target, storage)
    waited = {record.name: record for record in records if record.task}
    deadline = None if timeout is None else clock() + timeout
    interval, has_looked = _FIRST_POLL_S, False
    still_open: list[str] = []
    while True:
        try:
            for record in look_at_tasks(
                client, [one for one in waited.values() if not _is_final(one) or not has_looked]
            ):
                if record != waited[record.name]:
                    waited[record.name] = record
                    ledger.add(record)
            still_open = _open_batches(client, waited.values())
            if not has_looked:
                for batch in still_open:
                    log.warning("the batch %s is not finalized, so its tasks are not worked on yet", batch)
            has_looked = True
        except ApiError as error:
            if not has_looked:
                raise
            log.warning("waiting goes on: %s", error.message)
        on_poll(list(waited.values()))
        left = [record for record in waited.values() if not _is_final(record)]
        is_late = deadline is not None and clock() >= deadline
        is_in_vain = all(record.batch in still_open for record in left)
        if is_in_vain or is_late:
            ledger.flush()
        if not left:
            return list(waited.values())
        if is_in_vain:
            raise ApiError(
                f"{len(left)} of {len(waited)} tasks are not worked on: batches that are not finalized: "
                f"{len(still_open)}, {still_open[0]} among them",
                fix="Mend the scenes that failed, and run the batch again; or finalize without them: "
                "`lidarprep batch submit … --finalize`. Then wait again.",
            )
        if is_late:
            raise WaitTimeoutError(
                f"{len(left)} of {len(waited)} tasks are not done after {timeout:g} s",
                fix="Wait longer, or ask for them later; they go on without being waited for.",
            )
        pause = interval * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 — no secret
        sleep(pause if deadline is None else max(0.0, min(pause, deadline - clock())))
        interval = min(interval * _GROWTH, _LONGEST_POLL_S)


def _is_final(record: SceneRecord) -> bool:
    return record.state == "labelled" or record.error != ""


def _open_batches(client: ScaleClient, records: Iterable[SceneRecord]) -> list[str]:
    """Return the batches of tasks that are not done that are not finalized: no task of theirs is worked on."""
    batches = sorted({record.batch for record in records if record.batch and not _is_final(record)})
    return [batch for batch in batches if not is_finalized(client, batch)]


@dataclass(frozen=True)
class SceneResults:
    """What became of one scene's labels.

    Args:
        record: The scene.
        written: What was written; None if its task is not completed, or its labels cannot be read.
        error: Why not, in the second case.
    """

    record: SceneRecord
    written: WrittenResults | None = None
    error: LidarprepError | None = None


def write_many_results(
    target: Batch | str,
    out: str | PathLike[str],
    client: ScaleClient,
    *,
    storage: StorageOptions | None = None,
    format: str = "json",
    frame: LabelsFrame = "world",
    overwrite: bool = False,
) -> Generator[SceneResults, None, None]:
    """Write the labels of each scene whose task is completed to a folder of its own, and yield what became of each.

    Labels that cannot be read are told of, and stop no others.

    Args:
        target, storage: As of `wait_many`.
        out: The folder; a scene's labels go to the folder of its name in it.
        client: Where the tasks are.
        format, frame, overwrite: As of `write_results`.

    Raises:
        RecipeError: There is no such batch.
        StorageError: The ledger cannot be read.
        ApiError: The API cannot be asked.
    """
    ledger, records, storages = opened(target, storage)
    records = [record for record in records if record.task]
    tasks = _tasks_of(client, records)
    current = [_told(record, tasks) for record in records]
    for before, record in zip(records, current, strict=True):
        if record != before:
            ledger.add(record)
    ledger.flush()

    def write(record: SceneRecord) -> SceneResults:
        task = tasks[record.task]
        if isinstance(task, NotFoundError) or task.status != "completed":
            return SceneResults(record)
        try:
            written = write_results(
                record.task,
                Path(fspath(out)) / record.name,
                client=client,
                format=format,
                frame=frame,
                storage=storages[record.name],
                overwrite=overwrite,
            )
        except LidarprepError as error:
            return SceneResults(record, error=error)
        return SceneResults(record, written)

    yield from in_threads(write, current, _AT_ONCE)
