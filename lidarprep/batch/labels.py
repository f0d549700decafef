"""From tasks to labels: how the tasks of a batch are, waiting for them, and writing what they brought.

The API is asked for pages of a batch at Scale, a hundred tasks a request, and not for each task.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Iterable
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
    from lidarprep.api import ScaleClient

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
    by_task = {record.task: record for record in records if record.task}
    found: dict[str, SceneRecord] = {}
    for batch in sorted({record.batch for record in by_task.values() if record.batch}):
        for task in client.iter_tasks(batch=batch, limited_response=True):
            record = by_task.get(task.id)
            if record is not None and task.status != "error":  # why one is in error, a list does not say
                found[task.id] = record.with_task(task)
    others = [record for task, record in by_task.items() if task not in found]
    found |= {record.task: record for record in in_threads(partial(_look_at, client), others, _AT_ONCE)}
    return [found.get(record.task, record) for record in records]


def _look_at(client: ScaleClient, record: SceneRecord) -> SceneRecord:
    try:
        return record.with_task(client.get_task(record.task))
    except NotFoundError as error:
        return record.with_error(error)


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
        ApiError: The API cannot be asked the first time. Later that is waited out.
    """
    ledger, records, _ = opened(target, storage)
    waited = {record.name: record for record in records if record.task}
    deadline = None if timeout is None else clock() + timeout
    interval, has_looked = _FIRST_POLL_S, False
    while True:
        try:
            for record in look_at_tasks(
                client, [one for one in waited.values() if not _is_final(one) or not has_looked]
            ):
                if record != waited[record.name]:
                    waited[record.name] = record
                    ledger.add(record)
            if not has_looked:
                _warn_of_open_batches(client, waited.values())
            has_looked = True
        except ApiError as error:
            if not has_looked:
                raise
            log.warning("waiting goes on: %s", error.message)
        on_poll(list(waited.values()))
        left = sum(not _is_final(record) for record in waited.values())
        is_late = deadline is not None and clock() >= deadline
        if not left or is_late:
            ledger.flush()
        if not left:
            return list(waited.values())
        if is_late:
            raise WaitTimeoutError(
                f"{left} of {len(waited)} tasks are not done after {timeout:g} s",
                fix="Wait longer, or ask for them later; they go on without being waited for.",
            )
        pause = interval * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 — no secret
        sleep(pause if deadline is None else max(0.0, min(pause, deadline - clock())))
        interval = min(interval * _GROWTH, _LONGEST_POLL_S)


def _is_final(record: SceneRecord) -> bool:
    return record.state == "labelled" or record.error != ""


def _warn_of_open_batches(client: ScaleClient, records: Iterable[SceneRecord]) -> None:
    """Say which batches are not finalized: their tasks are waited for in vain."""
    for batch in sorted({record.batch for record in records if record.batch and not _is_final(record)}):
        if not is_finalized(client, batch):
            log.warning("the batch %s is not finalized, so its tasks are not worked on yet", batch)


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
    current = look_at_tasks(client, [record for record in records if record.task])
    for before, record in zip([record for record in records if record.task], current, strict=True):
        if record != before:
            ledger.add(record)
    ledger.flush()

    def write(record: SceneRecord) -> SceneResults:
        if record.state != "labelled":
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
