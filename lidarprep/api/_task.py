"""A task as the API describes it, with methods that ask its client."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import Any, Generic, Protocol, Self, TypeVar

from lidarprep.api._access import is_web_address
from lidarprep.api._annotations import FrameAnnotations
from lidarprep.errors import ParameterError

# A task with one of these is final. Any other status, unknown ones too, may still change.
FINAL_STATUSES = ("completed", "canceled", "error")

_TEXTS = ("type", "status", "unique_id", "project", "batch", "instruction", "callback_url", "urgency")

# Result of a task's method: a value, or a coroutine of one.
TaskResult = TypeVar("TaskResult")
FramesResult = TypeVar("FramesResult")
TaskResult_co = TypeVar("TaskResult_co", covariant=True)
FramesResult_co = TypeVar("FramesResult_co", covariant=True)


class TaskClient(Protocol[TaskResult_co, FramesResult_co]):
    """The part of a client that its tasks use: blocking in one client, awaited in the other."""

    def get_task(self, task_id: str, /) -> TaskResult_co: ...
    def wait(self, task: str, /, timeout: float | None, *, on_poll: OnPoll | None) -> TaskResult_co: ...
    def cancel_task(self, task_id: str, /, clear_unique_id: bool) -> TaskResult_co: ...
    def set_metadata(self, task_id: str, /, metadata: Mapping[str, Any]) -> TaskResult_co: ...
    def set_unique_id(self, task_id: str, /, unique_id: str) -> TaskResult_co: ...
    def clear_unique_id(self, task_id: str, /) -> TaskResult_co: ...
    def add_tags(self, task_id: str, /, tags: str | Iterable[str]) -> TaskResult_co: ...
    def set_tags(self, task_id: str, /, tags: str | Iterable[str]) -> TaskResult_co: ...
    def delete_tags(self, task_id: str, /, tags: str | Iterable[str]) -> TaskResult_co: ...
    def annotations(self, task: str, /) -> FramesResult_co: ...


@dataclass(frozen=True)
class TaskState(Generic[TaskResult, FramesResult]):
    """A task as it was when the API answered. Its methods ask the API, and return a new object.

    Fields that the response lacked are None or empty; `raw` has all of the response.

    Args:
        id: The API's `task_id`.
        type: Name of its task type.
        status: "pending", "completed", "canceled", "error", … New statuses may come: don't take the list as closed.
        created_at: Time of its creation, with time zone.
        updated_at: Time of its last change.
        completed_at: Time of its completion.
        is_test: Created with a test key, so never labelled by people.
        unique_id: Your own id for it.
        project: Project that it belongs to.
        batch: Batch that it belongs to.
        instruction: Its instruction.
        callback_url: URL that its result is posted to.
        tags: Labels to find it by.
        metadata: Your own key/value pairs.
        params: The parameters of its type.
        response: The result once it is completed, or the reason once it is in error.
        raw: The whole response.
        priority: 10, 20 or 30; the higher, the sooner.
        urgency: How soon it is done, of the general task types.
        callback_done: Whether its result reached callback_url: `callback_completed`, or the older `callback_succeeded`.
        audits: Audits of its result, the response's objects.
    """

    id: str
    type: str | None = None
    status: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    completed_at: datetime | None = None
    is_test: bool | None = None
    unique_id: str | None = None
    project: str | None = None
    batch: str | None = None
    instruction: str | None = field(default=None, repr=False)
    callback_url: str | None = field(default=None, repr=False)
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    response: Mapping[str, Any] | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    priority: int | None = field(default=None, repr=False)
    urgency: str | None = field(default=None, repr=False)
    callback_done: bool | None = field(default=None, repr=False)
    audits: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    @classmethod
    def from_api(cls, answer: Mapping[str, Any]) -> Self | None:
        """Parse a response; None if it holds no `task_id`."""
        task_id = answer.get("task_id")
        if not isinstance(task_id, str) or not task_id:
            return None
        called_back = answer.get("callback_completed", answer.get("callback_succeeded"))
        is_test, priority = answer.get("is_test"), answer.get("priority")
        fields: dict[str, Any] = {name: _text(answer.get(name)) for name in _TEXTS}
        fields |= {name: _moment(answer.get(name)) for name in ("created_at", "updated_at", "completed_at")}
        return cls(
            id=task_id,
            is_test=is_test if isinstance(is_test, bool) else None,
            tags=tuple(tag for tag in _items(answer.get("tags")) if isinstance(tag, str)),
            metadata=_object(answer.get("metadata")) or {},
            params=_object(answer.get("params")) or {},
            response=_object(answer.get("response")),
            raw=answer,
            priority=priority if isinstance(priority, int) and not isinstance(priority, bool) else None,
            callback_done=called_back if isinstance(called_back, bool) else None,
            audits=tuple(audit for audit in _items(answer.get("audits")) if isinstance(audit, Mapping)),
            **fields,
        )

    def bound_to(self, client: TaskClient[TaskResult, FramesResult]) -> Self:
        """Set the client of this task's methods, and return the task. Pickles and copies have no client."""
        # Not a field: a client has connections and a key, which asdict and pickles must not hold.
        object.__setattr__(self, "_client", client)
        return self

    @property
    def is_final(self) -> bool:
        """Whether it won't change: it is completed, canceled, or in error."""
        return self.status in FINAL_STATUSES

    @property
    def problem(self) -> str | None:
        """Reason of its error, if the response gives one."""
        if self.status != "error":
            return None
        for place in (self.response or {}, self.raw):
            for name in ("error", "message", "detail"):
                if isinstance(text := place.get(name), str) and text:
                    return text
        return None

    @property
    def next_step(self) -> str:
        """What to do next, in a sentence."""
        if self.status == "completed":
            annotations = (self.response or {}).get("annotations")
            linked = isinstance(annotations, Mapping) and "url" in annotations
            return "Read its annotations: annotations()." if linked else "Read its response."
        if self.status == "error":
            why = f"It failed: {self.problem}" if self.problem else "It failed; its response says why"
            advice = f"{why.rstrip('.')}. Put that right and submit again"
            return f"{advice}, after clear_unique_id() or with another unique_id." if self.unique_id else f"{advice}."
        if self.status == "canceled":
            if self.unique_id:
                return "Nothing comes of it. Its unique_id is still taken: clear_unique_id() frees it."
            return "Nothing comes of it. Submit it again if it is wanted after all."
        if self.status == "pending":
            return "Wait for it: wait(), or a callback_url."
        return f"Wait for it: wait(). Its status, {self.status!r}, is not known to be final."

    def refresh(self) -> TaskResult:
        """Retrieve the task as it is now."""
        return self._bound.get_task(self.id)

    def wait(self, timeout: float | None = None, *, on_poll: OnPoll | None = None) -> TaskResult:
        """Wait until it is completed, canceled or in error. See the client's `wait`."""
        return self._bound.wait(self.id, timeout, on_poll=on_poll)

    def cancel(self, clear_unique_id: bool = False) -> TaskResult:
        """Cancel it. See the client's `cancel_task`."""
        return self._bound.cancel_task(self.id, clear_unique_id)

    def set_metadata(self, metadata: Mapping[str, Any]) -> TaskResult:
        """Replace its metadata."""
        return self._bound.set_metadata(self.id, metadata)

    def set_unique_id(self, unique_id: str) -> TaskResult:
        """Set its unique_id."""
        return self._bound.set_unique_id(self.id, unique_id)

    def clear_unique_id(self) -> TaskResult:
        """Free its unique_id for another task."""
        return self._bound.clear_unique_id(self.id)

    def add_tags(self, tags: str | Iterable[str]) -> TaskResult:
        """Add tags."""
        return self._bound.add_tags(self.id, tags)

    def set_tags(self, tags: str | Iterable[str]) -> TaskResult:
        """Replace its tags."""
        return self._bound.set_tags(self.id, tags)

    def delete_tags(self, tags: str | Iterable[str]) -> TaskResult:
        """Remove tags."""
        return self._bound.delete_tags(self.id, tags)

    def annotations(self) -> FramesResult:
        """Retrieve the cuboids of a completed lidar task, frame by frame. See the client's `annotations`."""
        return self._bound.annotations(self.id)

    @property
    def _bound(self) -> TaskClient[TaskResult, FramesResult]:
        client: TaskClient[TaskResult, FramesResult] | None = self.__dict__.get("_client")
        if client is None:
            raise ParameterError(
                f"task {self.id} is not bound to a client", fix="Get it from one: client.get_task(id)."
            )
        return client

    def __repr__(self) -> str:
        own = f", {self.unique_id!r}" if self.unique_id else ""
        return f"{type(self).__name__}({self.id!r}: {self.type}, {self.status}{own}{', test' if self.is_test else ''})"

    def _repr_html_(self) -> str:
        # Looked up by name, so that this file does not depend on what stands above it.
        html: str = import_module("lidarprep.report.notebook").task_html(self)
        return html

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_client"}


OnPoll = Callable[[TaskState[Any, Any]], None]


class Task(TaskState["Task", tuple[FrameAnnotations, ...]]):
    """A task of a ScaleClient. Its fields, and its methods: see TaskState."""


class AsyncTask(TaskState[Coroutine[Any, Any, "AsyncTask"], Coroutine[Any, Any, tuple[FrameAnnotations, ...]]]):
    """A task of an AsyncScaleClient. Its fields: see TaskState; its methods are the same, and are awaited."""


def annotations_source(task: Task) -> str | list[Any]:
    """Return the URL of a completed task's annotations, or the annotations themselves if its response holds them.

    Raises:
        ParameterError: The task is not completed, or has no annotations.
    """
    if task.status != "completed":
        raise ParameterError(f"task {task.id} is {task.status}: it has no annotations", fix=task.next_step)
    annotations = (task.response or {}).get("annotations")
    url = annotations.get("url") if isinstance(annotations, Mapping) else annotations
    if isinstance(url, list) or (isinstance(url, str) and is_web_address(url)):
        return url
    found = "holds no annotations" if url is None else "holds annotations that are not at a web address"
    raise ParameterError(
        f"the response of task {task.id} ({task.type}) {found}", fix="Read the task's `response` for what it does hold."
    )


def linked_files(task: Task) -> dict[str, str]:
    """Return the URLs of the files that a completed task's response links to, by the response's keys.

    Raises:
        ParameterError: The task is not completed.
    """
    if task.status != "completed":
        raise ParameterError(f"task {task.id} is {task.status}: it has no result", fix=task.next_step)
    links = {name: value.get("url") for name, value in (task.response or {}).items() if isinstance(value, Mapping)}
    return {name: url for name, url in links.items() if isinstance(url, str) and is_web_address(url)}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _object(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
