"""What both clients can do: each method once, whatever carries it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, Unpack

from lidarprep.api.base import ClientBase, FramesResult, JsonResult, PageResult, TaskResult, WhoAmIResult
from lidarprep.api.creating import CreateMethods
from lidarprep.api.flows import OnPoll
from lidarprep.api.listing import TaskFilters, task_query
from lidarprep.api.parameters import DependentDefinition
from lidarprep.api.task import TaskState


class ScaleMethods(
    ClientBase[TaskResult, PageResult, FramesResult, JsonResult, WhoAmIResult],
    CreateMethods[TaskResult],
    Generic[TaskResult, PageResult, FramesResult, JsonResult, WhoAmIResult],
):
    """What a client of the Scale API can do. Use ScaleClient or AsyncScaleClient."""

    def whoami(self) -> WhoAmIResult:
        """Which key this is, and whether the API takes it. Raises nothing: what went wrong is in `problem`."""
        return self._whoami(self._flows.whoami())

    def create_task(
        self, task_type: str, parameters: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> TaskResult:
        """Creates a task of any type: once, however often the request has to be tried.

        Where a `unique_id` is given and a task has it already, that task is returned if its content is the same.

        Args:
            task_type: A name of TASK_TYPES.
            parameters: Values by name.
            idempotency_key: Name of this request, kept by the API for 24 hours: the same name and parameters give the
                same task. A new one for each call by default, kept over its retries.

        Raises:
            ParameterError: There is no such type, or a parameter is wrong; nothing was sent.
            ConflictError: Another task has the unique_id, or another request had the idempotency_key.
            ApiError: The API, or the way to it, said no; see lidarprep.errors for the kinds.
        """
        request = self._protocol.create_task(task_type, parameters, idempotency_key)
        return self._task(self._flows.create(task_type, request))

    def get_task(self, task_id: str) -> TaskResult:
        """Retrieves a task.

        Raises:
            NotFoundError: There is no task with that id.
            ApiError: The API, or the way to it, said no.
        """
        return self._task(self._flows.task(self._protocol.get_task(task_id)))

    def list_tasks(
        self, *, next_token: str | None = None, offset: int | None = None, **filters: Unpack[TaskFilters]
    ) -> PageResult:
        """A page of the tasks, newest first.

        Args:
            next_token: Of the page before, for the page after it. Give the same filters.
            offset: How many tasks to skip, for an API of the older reference, which has no tokens.
            filters: What to list by; see TaskFilters.

        Raises:
            ParameterError: A filter makes no sense; nothing was sent.
            ApiError: The API, or the way to it, said no.
        """
        return self._page(self._flows.page(task_query(filters, next_token=next_token, offset=offset)))

    def cancel_task(self, task_id: str, clear_unique_id: bool = False) -> TaskResult:
        """Cancels a task that is not completed; cancelling it twice is the same as once.

        Args:
            task_id: The task.
            clear_unique_id: Free its unique_id for another task.

        Raises:
            BadRequestError: The task is completed.
            NotFoundError: There is no task with that id.
            ApiError: The API, or the way to it, said no.
        """
        return self._task(self._flows.task(self._protocol.cancel_task(task_id, clear_unique_id=clear_unique_id)))

    def set_metadata(self, task_id: str, metadata: Mapping[str, Any]) -> TaskResult:
        """Gives a task these key/value pairs, at most 10 KB as JSON, in place of what it has.

        Raises:
            ParameterError: They are no JSON object, or too large; nothing was sent.
            ApiError: The API, or the way to it, said no.
        """
        return self._task(self._flows.task_by_id(task_id, self._protocol.set_metadata(task_id, metadata)))

    def set_unique_id(self, task_id: str, unique_id: str) -> TaskResult:
        """Gives a task this unique_id.

        Raises:
            ConflictError: Another task has it.
            ApiError: The API, or the way to it, said no.
        """
        return self._task(self._flows.task_by_id(task_id, self._protocol.set_unique_id(task_id, unique_id)))

    def clear_unique_id(self, task_id: str) -> TaskResult:
        """Takes a task's unique_id away, so that another task may have it.

        Raises:
            ApiError: The API, or the way to it, said no.
        """
        return self._task(self._flows.task_by_id(task_id, self._protocol.clear_unique_id(task_id)))

    def add_tags(self, task_id: str, tags: str | Iterable[str]) -> TaskResult:
        """Adds tags to a task; those that it has already are let be.

        Raises:
            ParameterError: There is none, one is empty, or they are more than 5; nothing was sent.
            ApiError: The API, or the way to it, said no.
        """
        return self._task(self._flows.task_by_id(task_id, self._protocol.add_tags(task_id, tags)))

    def set_tags(self, task_id: str, tags: str | Iterable[str]) -> TaskResult:
        """Gives a task these tags in place of what it has.

        Raises:
            ParameterError: One is empty, or they are more than 5; nothing was sent.
            ApiError: The API, or the way to it, said no.
        """
        return self._task(self._flows.task_by_id(task_id, self._protocol.set_tags(task_id, tags)))

    def delete_tags(self, task_id: str, tags: str | Iterable[str]) -> TaskResult:
        """Takes tags from a task.

        Raises:
            ParameterError: There is none, or one is empty; nothing was sent.
            ApiError: The API, or the way to it, said no.
        """
        return self._task(self._flows.task_by_id(task_id, self._protocol.delete_tags(task_id, tags)))

    def set_dependent_options(
        self,
        task_id: str,
        defs: Sequence[Mapping[str, Any] | DependentDefinition] | None = None,
        require_audit: bool | None = None,
    ) -> TaskResult:
        """Changes what is created once a task is completed. It must not be completed yet.

        Args:
            task_id: The task.
            defs: Definitions of the tasks to create; see DependentDefinition.
            require_audit: Wait for a customer's audit to fix or accept the task before.

        Raises:
            ParameterError: Nothing is given, or a definition is wrong; nothing was sent.
            ApiError: The API, or the way to it, said no.
        """
        request = self._protocol.set_dependent_options(task_id, defs, require_audit)
        return self._task(self._flows.task_by_id(task_id, request))

    def force_dependents(self, task_id: str) -> TaskResult:
        """Creates a completed task's dependents without waiting for its audit.

        Returns:
            The task itself.

        Raises:
            BadRequestError: It is not completed, or its dependents are there already.
            ApiError: The API, or the way to it, said no.
        """
        return self._task(self._flows.force_dependents(task_id))

    def wait(
        self, task: TaskState[Any, Any] | str, timeout: float | None = None, *, on_poll: OnPoll | None = None
    ) -> TaskResult:
        """Waits until a task is completed, canceled or in error; a status that is not known is waited on.

        It asks at once, after 2 s, and then ever less often, down to once a minute.

        Args:
            task: The task, or its id.
            timeout: Seconds to wait at most; None for as long as it takes. As long as the API has not answered once,
                its request is retried like any other, which may take longer.
            on_poll: Called with the task each time that it was asked for.

        Returns:
            The task at its last status, whichever that is.

        Raises:
            WaitTimeoutError: The time is over.
            ApiError: The API, or the way to it, said no. Failures that pass are waited out once it has answered.
        """
        return self._task(self._flows.wait(_id(task), timeout, on_poll))

    def annotations(self, task: TaskState[Any, Any] | str) -> FramesResult:
        """The cuboids of a completed lidar task, frame by frame, in the order of its attachments.

        Args:
            task: The task, or its id. It is got anew, as the link to its annotations expires.

        Raises:
            ParameterError: It is not completed, or has no annotations.
            FormatError: The annotations are not cuboids by frame.
            ApiError: The API, or the place where they lie, said no.
        """
        return self._frames(self._flows.annotations(_id(task)))

    def annotations_json(self, task: TaskState[Any, Any] | str) -> JsonResult:
        """The annotations of a completed task of any type, as the JSON that they are.

        Raises:
            ParameterError: It is not completed, or has no annotations.
            FormatError: They are no JSON.
            ApiError: The API, or the place where they lie, said no.
        """
        return self._json(self._flows.annotations_json(_id(task)))


def _id(task: TaskState[Any, Any] | str) -> str:
    return task if isinstance(task, str) else task.id
