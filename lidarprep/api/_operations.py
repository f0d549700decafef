"""Operations of the API, some over several requests: creating exactly once, waiting, following links.

Each operation is a coroutine. The asynchronous client's methods are the operations themselves; the blocking client
runs each to its end.

Verbs and paths are the reference's. Its prose and its examples disagree on tags: the table says POST for all three, the
examples' comments say PUT and DELETE. Here they are as in Scale's own Python client: PUT adds, POST sets, DELETE
deletes.
"""

from __future__ import annotations

import inspect
import logging
import random
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, Unpack, cast
from urllib.parse import urlsplit
from uuid import uuid4

from lidarprep.api import parameters as models
from lidarprep.api._access import Access, WhoAmI
from lidarprep.api._annotations import FrameAnnotations, read_frames, read_json
from lidarprep.api._conflicts import existing_task
from lidarprep.api._listing import Query, TaskFilters, TaskPage, checked_text, task_query
from lidarprep.api._projects import ProjectOperations
from lidarprep.api._requests import (
    ApiRequest,
    checked_metadata,
    checked_tags,
    create_request,
    fetch_request,
    list_request,
    strictness_of,
    task_request,
)
from lidarprep.api._responses import Failure, Redirect
from lidarprep.api._task import AsyncTask, OnPoll, Task, TaskState, annotations_source, linked_files
from lidarprep.api._task_types import check_dependents
from lidarprep.api._transport import LONGEST_RETRY_AFTER_S, HttpRequest, Sleep, Transport
from lidarprep.errors import (
    ApiError,
    BadRequestError,
    ParameterError,
    TaskEndedError,
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

# What stores answer to links that have expired.
REFUSED_LINKS = (400, 401, 403, 404, 410)

Keywords = ParamSpec("Keywords")
Result = TypeVar("Result")
AnyTask = TypeVar("AnyTask", bound=Task | AsyncTask)

log = logging.getLogger(__name__)


def _creates(
    model: Callable[Keywords, models.TaskParameters],
) -> Callable[Concatenate[Operations[AnyTask], Keywords], Coroutine[Any, Any, AnyTask]]:
    """Make the create method of a task type, whose keyword arguments are those of its parameter model.

    The models hold the reference's tables once; type checkers, editors and `help` show them as the method's own.
    """
    kind = cast(type[models.TaskParameters], model)  # it is a class; its type here is that of its keywords

    async def create(self: Operations[AnyTask], /, *args: Keywords.args, **parameters: Keywords.kwargs) -> AnyTask:
        if args:
            raise TypeError(f"{create.__name__} takes task parameters by name")
        return await self.create_task(kind.task_type, parameters)

    # Required parameters first, with types as the models spell them.
    keywords = sorted(inspect.signature(kind).parameters.values(), key=lambda word: word.default is not word.empty)
    types = {name: spelt for base in kind.__mro__[::-1] for name, spelt in inspect.get_annotations(base).items()}
    own = inspect.signature(create)
    shown = [keyword.replace(annotation=types[keyword.name]) for keyword in keywords]
    create.__signature__ = own.replace(parameters=[own.parameters["self"], *shown])  # type: ignore[attr-defined]
    create.__name__ = "create" + re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", kind.__name__)
    create.__qualname__ = f"Operations.{create.__name__}"
    about = (kind.__doc__ or "").partition("\n")[0]
    create.__doc__ = f"Create {about[0].lower()}{about[1:]} Parameters: see {kind.__name__}; errors: `create_task`."
    return create


class Operations(ProjectOperations, Generic[AnyTask]):
    """Operations of a client. They raise the errors that ScaleClient names.

    `bind` makes the client's own task object of a task; see ScaleClient for the rest.
    """

    def __init__(
        self,
        access: Access,
        request: HttpRequest,
        sleep: Sleep,
        retries: int,
        clock: Callable[[], float],
        bind: Callable[[Task], AnyTask],
    ) -> None:
        super().__init__(access)
        self._transport = Transport(access, request, sleep, retries)
        self._read = self._transport.read
        self._clock = clock
        self._bind = bind

    async def whoami(self) -> WhoAmI:
        """Report the key, and whether the API accepts it. It raises nothing: `problem` holds the error."""
        # A page with one task costs nothing.
        outcome = await self._transport.send(list_request(self.api_url, task_query({"limit": 1})), self._read.page)
        return WhoAmI(
            api_url=self.api_url,
            key_mode=self.key_mode,
            masked_key=self._access.key.masked,
            costs_money=self.requires_confirmation,
            total_tasks=None if isinstance(outcome, Failure) else outcome.total,
            problem=outcome.error if isinstance(outcome, Failure) else None,
        )

    async def create_task(
        self,
        task_type: str,
        parameters: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        resubmit: bool = False,
        id_is_content: bool = False,
        any_batch: bool = False,
    ) -> AnyTask:
        """Create a task of any type: once, however often the request has to be tried.

        Where a task has the given `unique_id` already, that task is returned if its content is the same.

        Args:
            task_type: A name of TASK_TYPES, or of another type: then parameters of its own are sent as they are.
            parameters: Values by name.
            idempotency_key: Name of this request, kept by the API for 24 hours: the same name and parameters give the
                same task. A new one for each call by default, kept over its retries.
            resubmit: Where the task that has the unique_id is canceled or in error, free the id and create it again.
            id_is_content: The unique_id is made of the content, as by `lidarprep.submit`: a task that has it is the
                same, wherever its attachments lie.
            any_batch: A task that has the unique_id is the same, too, if it is in another batch.

        Raises:
            TaskEndedError: The task that has the unique_id is canceled or in error, and `resubmit` is not given.
            UniqueIdConflictError: Another task has the unique_id, or another request had the idempotency_key.
        """
        request = create_request(self.api_url, task_type, parameters, idempotency_key)
        same = {"id_is_content": id_is_content, "any_batch": any_batch}
        try:
            return self._bind(await self._create(task_type, request, **same))
        except TaskEndedError as ended:
            if not resubmit:
                raise
            await self.clear_unique_id(ended.task_id)
        # The API keeps its refusal for the first request's key.
        request = replace(request, idempotency_key=str(uuid4()))
        return self._bind(await self._create(task_type, request, **same))

    create_lidar_annotation = _creates(models.LidarAnnotation)
    create_lidar_segmentation = _creates(models.LidarSegmentation)
    create_lidar_topdown = _creates(models.LidarTopdown)
    create_lidar_linking = _creates(models.LidarLinking)
    create_multistage = _creates(models.Multistage)
    create_sensor_fusion = _creates(models.SensorFusion)
    create_categorization = _creates(models.Categorization)
    create_transcription = _creates(models.Transcription)
    create_phonecall = _creates(models.Phonecall)
    create_comparison = _creates(models.Comparison)
    create_annotation = _creates(models.Annotation)
    create_data_collection = _creates(models.DataCollection)
    create_audio_transcription = _creates(models.AudioTranscription)

    async def get_task(self, task_id: str) -> AnyTask:
        """Retrieve a task.

        Raises:
            NotFoundError: No task has that id.
        """
        return self._bind(await self._get(task_id))

    async def list_tasks(
        self, *, next_token: str | None = None, offset: int | None = None, **filters: Unpack[TaskFilters]
    ) -> TaskPage[AnyTask]:
        """Retrieve a page of the tasks, newest first.

        Args:
            next_token: Token of the previous page, for the page after it. Give the same filters.
            offset: Number of tasks to skip, for an API of the older reference, which has no tokens.
            filters: See TaskFilters.
        """
        return await self._page(task_query(filters, next_token=next_token, offset=offset))

    async def cancel_task(self, task_id: str, clear_unique_id: bool = False) -> AnyTask:
        """Cancel a task that is not completed; cancelling it twice is the same as once.

        Args:
            task_id: The task.
            clear_unique_id: Free its unique_id for another task.

        Raises:
            BadRequestError: The task is completed.
            NotFoundError: No task has that id.
        """
        query = "?clear_unique_id=true" if clear_unique_id else ""
        request = task_request(self.api_url, "POST", task_id, f"/cancel{query}")
        return self._bind(_successful(await self._transport.send(request, self._read.task)))

    async def set_metadata(self, task_id: str, metadata: Mapping[str, Any]) -> AnyTask:
        """Replace a task's metadata: key/value pairs, at most 10 KB as JSON.

        Raises:
            ParameterError: It is not a JSON object, or too large; nothing was sent.
        """
        return await self._change("POST", task_id, "/setMetadata", checked_metadata(metadata))

    async def set_unique_id(self, task_id: str, unique_id: str) -> AnyTask:
        """Set a task's unique_id.

        Raises:
            UniqueIdConflictError: Another task has it.
        """
        return await self._change("POST", task_id, "/unique_id", {"unique_id": checked_text("unique_id", unique_id)})

    async def clear_unique_id(self, task_id: str) -> AnyTask:
        """Remove a task's unique_id, so that another task may have it."""
        return await self._change("DELETE", task_id, "/unique_id")

    async def add_tags(self, task_id: str, tags: str | Iterable[str]) -> AnyTask:
        """Add tags to a task; tags that it has already stay.

        Raises:
            ParameterError: No tag is given, one is empty, or there are more than 5; nothing was sent.
        """
        return await self._change("PUT", task_id, "/tags", checked_tags(tags))

    async def set_tags(self, task_id: str, tags: str | Iterable[str]) -> AnyTask:
        """Replace a task's tags.

        Raises:
            ParameterError: A tag is empty, or there are more than 5; nothing was sent.
        """
        return await self._change("POST", task_id, "/tags", checked_tags(tags, may_be_empty=True))

    async def delete_tags(self, task_id: str, tags: str | Iterable[str]) -> AnyTask:
        """Remove tags from a task.

        Raises:
            ParameterError: No tag is given, or one is empty; nothing was sent.
        """
        return await self._change("DELETE", task_id, "/tags", checked_tags(tags))

    async def audit_task(self, task_id: str, accepted: bool, comments: str | None = None) -> AnyTask:
        """Accept or reject the result of a completed task. Accepting creates dependents that wait for it.

        Args:
            task_id: The task.
            accepted: Whether its result is good.
            comments: Why.

        Raises:
            ParameterError: `accepted` is not a boolean; nothing was sent.
        """
        if not isinstance(accepted, bool):
            raise ParameterError(f"accepted is {accepted!r}; it must be True or False")
        body = {"accepted": accepted} | ({} if comments is None else {"comments": checked_text("comments", comments)})
        return await self._change("POST", task_id, "/audit", body)

    async def set_dependent_options(
        self,
        task_id: str,
        defs: Sequence[Mapping[str, Any] | models.DependentDefinition] | None = None,
        require_audit: bool | None = None,
    ) -> AnyTask:
        """Change the tasks that are created once a task is completed. It must not be completed yet.

        Args:
            task_id: The task.
            defs: Definitions of the tasks to create; see DependentDefinition.
            require_audit: Wait for a customer's audit to fix or accept the task before.

        Raises:
            ParameterError: Nothing is given, or a definition is wrong; nothing was sent.
        """
        body = check_dependents(defs, require_audit, strictness_of(self.api_url))
        return await self._change("POST", task_id, "/dependents/options", body)

    async def force_dependents(self, task_id: str) -> AnyTask:
        """Create a completed task's dependents without waiting for its audit.

        Returns:
            The task itself.

        Raises:
            BadRequestError: It is not completed, or it has its dependents already.
        """
        request = task_request(self.api_url, "POST", task_id, "/dependents/force_creation")
        outcome = await self._transport.send(request, self._read.maybe_task)
        if not isinstance(outcome, Failure):
            return self._bind(outcome or await self._get(task_id))
        # The API refuses to create dependents twice, or of a task that is not completed. Where the response to an
        # earlier try was lost, the refusal of a completed task means that they were created.
        refused = outcome.error
        if not (outcome.maybe_done and isinstance(refused, BadRequestError | UniqueIdConflictError)):
            raise refused
        task = await self._get(task_id)
        if task.status != "completed":
            raise refused
        log.warning("task %s: a try whose answer was lost seems to have created its dependents", task_id)
        return self._bind(task)

    async def wait(
        self, task: TaskState[Any, Any] | str, timeout: float | None = None, *, on_poll: OnPoll | None = None
    ) -> AnyTask:
        """Wait until a task is completed, canceled or in error; unknown statuses are waited on.

        It asks at once, after 2 s, and then ever less often, down to once a minute.

        Args:
            task: The task, or its id.
            timeout: Seconds to wait at most; None for as long as it takes. Until the API has answered once, its request
                is retried like any other, which may take longer.
            on_poll: Called with the task after each request.

        Returns:
            The task at its final status, whichever that is.

        Raises:
            WaitTimeoutError: The timeout has passed.
            ApiError: The request failed. Once the API has answered, passing failures are waited out.
        """
        if timeout is not None and not timeout >= 0:
            raise ParameterError(f"timeout is {timeout}; it must be at least 0 seconds, or None to wait for ever")
        deadline = None if timeout is None else self._clock() + timeout
        interval = FIRST_POLL_S
        task_id = _id(task)
        found: AnyTask | None = None
        while True:
            # After the first response each poll is one try: the wait itself retries, and keeps to its own time.
            request = task_request(self.api_url, "GET", task_id)
            outcome = await self._transport.send(request, self._read.task, once=found is not None)
            asked_s = 0.0
            if not isinstance(outcome, Failure):
                found = self._bind(outcome)
                if on_poll:
                    on_poll(found)
                if found.is_final:
                    return found
            elif found is None or not outcome.retry:
                raise outcome.error
            else:
                # A wait of hours outlives an outage of minutes.
                log.warning("waiting for task %s goes on: %s", task_id, outcome.error.message)
                asked_s = min(outcome.after_s or 0.0, LONGEST_RETRY_AFTER_S)
            left = None if deadline is None else deadline - self._clock()
            if left is not None and left <= 0:
                raise WaitTimeoutError(
                    f"task {task_id} is still {found.status} after {timeout:g} s",
                    fix="Wait longer, or ask for it later; it goes on without being waited for.",
                )
            pause = max(asked_s, interval * random.uniform(1 - POLL_JITTER, 1 + POLL_JITTER))  # noqa: S311 — no secret
            await self._transport.sleep(pause if left is None else min(pause, left))
            interval = min(interval * POLL_GROWTH, LONGEST_POLL_S)

    async def annotations(self, task: TaskState[Any, Any] | str) -> tuple[FrameAnnotations, ...]:
        """Retrieve the cuboids of a completed lidar task, frame by frame, in the order of its attachments.

        Args:
            task: The task, or its id. It is retrieved again, as the link to its annotations expires.

        Raises:
            ParameterError: It is not completed, or has no annotations.
            FormatError: The annotations are not cuboids by frame.
        """
        return read_frames(*await self._annotations(_id(task)))

    async def annotations_json(self, task: TaskState[Any, Any] | str) -> Any:
        """Retrieve the annotations of a completed task of any type, as parsed JSON.

        Raises:
            ParameterError: It is not completed, or has no annotations.
            FormatError: They are not JSON.
        """
        return (await self._annotations(_id(task)))[0]

    async def response_files(self, task: TaskState[Any, Any] | str) -> tuple[AnyTask, dict[str, bytes]]:
        """Retrieve the files that a completed task's response links to, by the response's keys.

        Links expire: the task is retrieved first, and once more if a link is refused.

        Returns:
            The task as it is now; the content of each {"url": …} of its response.

        Raises:
            ParameterError: It is not completed.
        """
        found: dict[str, bytes] = {}
        for is_last in (False, True):
            current = await self._get(_id(task))
            try:
                for name, url in linked_files(current).items():
                    if name not in found:
                        found[name] = (await self._fetch(url))[0]
            except ApiError as refused:
                if is_last or refused.status not in REFUSED_LINKS:
                    raise
                continue
            break
        return self._bind(current), found

    async def _annotations(self, task_id: str) -> tuple[Any, str]:
        """Retrieve annotations, and their source for messages."""
        found = annotations_source(await self._get(task_id))
        if isinstance(found, list):
            return found, f"task {task_id}"
        content, source = await self._fetch(found)
        return read_json(content, source), source

    async def _fetch(self, url: str) -> tuple[bytes, str]:
        for _ in range(MOST_REDIRECTS + 1):
            request = fetch_request(self.api_url, url)
            outcome: bytes | Redirect | Failure = await self._transport.send(request, self._read.document)
            if isinstance(outcome, Failure):
                raise outcome.error
            if isinstance(outcome, bytes):
                return outcome, f"{urlsplit(url).scheme}://{request.server}{request.path}"
            if urlsplit(outcome.url).scheme not in ("https", urlsplit(url).scheme):
                problem = f"{request.server} redirects to an address that is not encrypted"
                break
            url = outcome.url
        else:
            problem = f"more than {MOST_REDIRECTS} redirects"
        raise TransportError(f"GET {request.path}: {problem}", method="GET", path=request.path)

    async def _create(self, task_type: str, request: ApiRequest, *, id_is_content: bool, any_batch: bool) -> Task:
        outcome = await self._transport.send(request, self._read.task)
        if not isinstance(outcome, Failure):
            return outcome
        return await existing_task(
            self._transport, task_type, request, outcome.error, id_is_content=id_is_content, any_batch=any_batch
        )

    async def _get(self, task_id: str) -> Task:
        return _successful(await self._transport.send(task_request(self.api_url, "GET", task_id), self._read.task))

    async def _page(self, query: Query) -> TaskPage[AnyTask]:
        page = _successful(await self._transport.send(list_request(self.api_url, query), self._read.page))
        return page.of(tuple(self._bind(task) for task in page.tasks))

    async def _change(self, method: str, task_id: str, beyond: str, body: Any = None) -> AnyTask:
        """Send a change, and retrieve the task if the response does not show it."""
        request = task_request(self.api_url, method, task_id, beyond, body)
        changed = _successful(await self._transport.send(request, self._read.maybe_task))
        return self._bind(changed or await self._get(task_id))


def _successful(outcome: Result | Failure) -> Result:
    if isinstance(outcome, Failure):
        raise outcome.error
    return outcome


def _id(task: TaskState[Any, Any] | str) -> str:
    return task if isinstance(task, str) else task.id
