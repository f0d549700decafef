"""What takes more than one request, as rules without a network: creating exactly once, waiting, following links."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from lidarprep.api.annotations import FrameAnnotations, annotations_source, read_frames, read_json
from lidarprep.api.conflicts import first_difference
from lidarprep.api.connection import WhoAmI, requires_confirmation
from lidarprep.api.exchange import ApiRequest, Call, Failure, Flow, Pause, Redirect
from lidarprep.api.key import ApiKey
from lidarprep.api.listing import Query, TaskPage, task_query
from lidarprep.api.protocol import ScaleProtocol
from lidarprep.api.retry import LONGEST_RETRY_AFTER_S
from lidarprep.api.task import Task, TaskState
from lidarprep.errors import (
    BadRequestError,
    NotFoundError,
    ParameterError,
    ServerError,
    TransportError,
    UniqueIdConflictError,
    WaitTimeoutError,
)

FIRST_POLL_S = 2.0
LONGEST_POLL_S = 60.0
POLL_GROWTH = 1.5
# Jitter, as a part of the interval: tasks that were submitted together are not asked for together.
POLL_JITTER = 0.2

MOST_REDIRECTS = 5

Result = TypeVar("Result")
OnPoll = Callable[[TaskState[Any, Any]], None]

log = logging.getLogger(__name__)


class Flows:
    """The rules of each thing that a client does.

    Args:
        protocol: Builds the requests and reads the answers.
        key: Only to say which mode it has.
        clock: Seconds of a clock that doesn't jump.
    """

    def __init__(self, protocol: ScaleProtocol, key: ApiKey, clock: Callable[[], float]) -> None:
        self._protocol = protocol
        self._key = key
        self._clock = clock

    def task(self, request: ApiRequest) -> Flow[Task]:
        """Sends a request that is answered with a task."""
        return (yield from _done(Call(request, self._protocol.read.task)))

    def task_by_id(self, task_id: str, request: ApiRequest) -> Flow[Task]:
        """Sends a request that may be answered with a task or just with its being done; then the task is got."""
        task = yield from _done(Call(request, self._protocol.read.maybe_task))
        if task is not None:
            return task
        return (yield from self.task(self._protocol.get_task(task_id)))

    def create(self, task_type: str, request: ApiRequest) -> Flow[Task]:
        """Creates a task, or finds the one that this very request, or an earlier one like it, has made.

        A 409 for a unique_id says that some task has it. If that task's content is what was to be sent, it is the task
        that was asked for: made by an earlier run, or by a try whose answer got lost.
        """
        outcome = yield from _tried(Call(request, self._protocol.read.task))
        if not isinstance(outcome, Failure):
            return outcome
        sent = json.loads(request.body or b"{}")
        unique_id = sent.get("unique_id")
        if not isinstance(outcome.error, UniqueIdConflictError) or unique_id is None:
            raise outcome.error
        found = yield from self._task_with(unique_id, outcome.error.task_id)
        if found is None:
            raise outcome.error
        difference = first_difference(task_type, sent, found)
        if difference is not None:
            raise UniqueIdConflictError(
                f"the unique_id {unique_id!r} is taken by task {found.id}, which is another task: {difference}",
                method=outcome.error.method,
                path=outcome.error.path,
                status=outcome.error.status,
                fix=f"Choose another unique_id, or free this one: cancel task {found.id} with clear_unique_id.",
                task_id=found.id,
            )
        level = logging.INFO if found.status not in ("canceled", "error") else logging.WARNING
        log.log(level, "the unique_id %r has its task already: %s, %s", unique_id, found.id, found.status)
        return found

    def _task_with(self, unique_id: str, named: str | None) -> Flow[Task | None]:
        """The task that has a unique_id: the one that the API named, or else what it lists."""
        if named is not None:
            outcome = yield from _tried(Call(self._protocol.get_task(named), self._protocol.read.task))
            if not isinstance(outcome, Failure):
                if outcome.unique_id == unique_id:
                    return outcome
            elif not isinstance(outcome.error, NotFoundError | BadRequestError):
                raise outcome.error
        page = yield from self.page(task_query({"unique_id": unique_id}))
        # The API splits at commas, so it may list more than was asked for.
        return next((task for task in page.tasks if task.unique_id == unique_id), None)

    def page(self, query: Query) -> Flow[TaskPage[Task]]:
        """A page of a list."""
        return (yield from _done(Call(self._protocol.list_tasks(query), self._protocol.read.page)))

    def force_dependents(self, task_id: str) -> Flow[Task]:
        """Creates a task's dependents.

        The API refuses to do so twice. Where the answer to the first try got lost, a refusal of the next says that they
        are there, provided that the task is completed: that is the only other condition.
        """
        request = self._protocol.force_dependents(task_id)
        outcome = yield from _tried(Call(request, self._protocol.read.maybe_task))
        if isinstance(outcome, Failure):
            refused = outcome.error
            if not (outcome.maybe_done and isinstance(refused, BadRequestError | UniqueIdConflictError)):
                raise refused
            task = yield from self.task(self._protocol.get_task(task_id))
            if task.status != "completed":
                raise refused
            log.warning("task %s: a try whose answer was lost seems to have created its dependents", task_id)
            return task
        return outcome or (yield from self.task(self._protocol.get_task(task_id)))

    def wait(self, task_id: str, timeout: float | None, on_poll: OnPoll | None) -> Flow[Task]:
        """Asks for a task, ever less often, until it is completed, canceled or in error."""
        if timeout is not None and not timeout >= 0:
            raise ParameterError(f"timeout is {timeout}; it must be at least 0 seconds, or None to wait for ever")
        deadline = None if timeout is None else self._clock() + timeout
        interval = FIRST_POLL_S
        task: Task | None = None
        while True:
            # Once it has answered, each poll is one try: the wait itself tries again, and keeps to its own time.
            poll = Call(self._protocol.get_task(task_id), self._protocol.read.task, once=task is not None)
            outcome = yield from _tried(poll)
            asked_s = 0.0
            if not isinstance(outcome, Failure):
                task = outcome
                if on_poll:
                    on_poll(task)
                if task.is_final:
                    return task
            elif task is None or not outcome.retry:
                raise outcome.error
            else:
                # A wait of hours outlives an outage of minutes.
                log.warning("waiting for task %s goes on: %s", task_id, outcome.error.message)
                asked_s = min(outcome.after_s or 0.0, LONGEST_RETRY_AFTER_S)
            left = None if deadline is None else deadline - self._clock()
            if left is not None and left <= 0:
                raise WaitTimeoutError(
                    f"task {task_id} is still {task.status} after {timeout:g} s",
                    fix="Wait longer, or ask for it later; it goes on without being waited for.",
                )
            pause = max(asked_s, interval * random.uniform(1 - POLL_JITTER, 1 + POLL_JITTER))  # noqa: S311 — no secret
            yield Pause(pause if left is None else min(pause, left))
            interval = min(interval * POLL_GROWTH, LONGEST_POLL_S)

    def annotations(self, task_id: str) -> Flow[tuple[FrameAnnotations, ...]]:
        """The cuboids of a completed task."""
        content, source = yield from self.annotations_json(task_id)
        return read_frames(content, source)

    def annotations_json(self, task_id: str) -> Flow[tuple[Any, str]]:
        """What a completed task's annotations are, whatever its type, and where they are from, for messages."""
        # The task is got anew: links to results are signed for a while only.
        task = yield from self.task(self._protocol.get_task(task_id))
        found = annotations_source(task)
        if isinstance(found, list):
            return found, f"task {task_id}"
        content, source = yield from self._fetched(found)
        return read_json(content, source), source

    def _fetched(self, url: str) -> Flow[tuple[bytes, str]]:
        for _ in range(MOST_REDIRECTS + 1):
            request = self._protocol.fetch(url)
            call: Call[bytes | Redirect] = Call(request, self._protocol.read.document)
            outcome = yield from _done(call)
            if not isinstance(outcome, Redirect):
                return outcome, f"{urlsplit(url).scheme}://{request.server}{request.path}"
            if urlsplit(outcome.url).scheme not in ("https", urlsplit(url).scheme):
                raise TransportError(
                    f"GET {request.path}: {request.server} redirects to an address that is not encrypted",
                    method="GET",
                    path=request.path,
                )
            url = outcome.url
        raise TransportError(
            f"GET {request.path}: more than {MOST_REDIRECTS} redirects", method="GET", path=request.path
        )

    def whoami(self) -> Flow[WhoAmI]:
        """Asks for a page with one task, which costs nothing and shows whether the key is taken."""
        request = self._protocol.list_tasks(task_query({"limit": 1}))
        outcome = yield from _tried(Call(request, self._protocol.read.page))
        mode, api_url = self._key.mode, self._protocol.api_url
        return WhoAmI(
            api_url=api_url,
            key_mode=mode,
            masked_key=self._key.masked,
            costs_money=requires_confirmation(mode, api_url),
            total_tasks=None if isinstance(outcome, Failure) else outcome.total,
            problem=outcome.error if isinstance(outcome, Failure) else None,
        )


def next_query(first: Query, page: TaskPage[Any], asked: Query) -> Query | None:
    """The query of the page after this one; None after the last.

    Args:
        first: The query of the first page.
        page: The page that there is.
        asked: The query that it was asked for with.

    Raises:
        ServerError: The API says that the page is followed by itself.
    """
    if page.next_token is not None:
        query = (*first, ("next_token", page.next_token))
    elif page.next_offset is not None:
        query = (*first, ("offset", str(page.next_offset)))
    else:
        return None
    if query == asked:
        raise ServerError("GET /tasks: the API gave a page that is followed by itself")
    return query


def _tried(call: Call[Result]) -> Flow[Result | Failure]:
    outcome: Result | Failure = yield call
    return outcome


def _done(call: Call[Result]) -> Flow[Result]:
    outcome = yield from _tried(call)
    if isinstance(outcome, Failure):
        raise outcome.error
    return outcome
