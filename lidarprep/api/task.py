"""A task, as the API answers it, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from lidarprep.errors import ParameterError

if TYPE_CHECKING:
    from lidarprep.api.annotations import FrameAnnotations
    from lidarprep.api.methods import ScaleMethods

# A task in one of these stays as it is. Any other status, one that is not known here too, may still change.
FINAL_STATUSES = ("completed", "canceled", "error")

# What a method of a task gives: the thing itself, or a coroutine of it.
TaskResult = TypeVar("TaskResult")
FramesResult = TypeVar("FramesResult")


@dataclass(frozen=True)
class TaskState(Generic[TaskResult, FramesResult]):
    """A task as it was when the API answered; its methods ask the API, and leave this object as it is.

    Fields that the answer lacked are None or empty; what is not a field here is in `raw`.

    Args:
        id: The API's `task_id`.
        type: Name of its task type.
        status: "pending", "completed", "canceled", "error", … New statuses may come: don't take the list as closed.
        created_at: When it was made, with time zone.
        updated_at: When it last changed.
        completed_at: When it was completed.
        is_test: Made with a test key, so never labelled by people.
        unique_id: Your own id for it.
        project: Project that it belongs to.
        batch: Batch that it belongs to.
        instruction: What it asks for.
        callback_url: Where its result is posted.
        tags: Labels to find it by.
        metadata: Your own key/value pairs.
        params: The parameters of its type.
        response: The result once it is completed, or the reason once it is in error.
        raw: The whole answer.
        priority: 10, 20 or 30; the higher, the sooner.
        urgency: How soon, of tasks of the general types.
        callback_done: Whether its result reached callback_url: `callback_completed`, or the older `callback_succeeded`.
        audits: What audits of its result found, the answer's objects.
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
        """The task in an answer; None if it holds none, that is, no `task_id`."""
        task_id = answer.get("task_id")
        if not isinstance(task_id, str) or not task_id:
            return None
        is_test, priority = answer.get("is_test"), answer.get("priority")
        called_back = answer.get("callback_completed", answer.get("callback_succeeded"))
        return cls(
            id=task_id,
            type=_text(answer.get("type")),
            status=_text(answer.get("status")),
            created_at=_moment(answer.get("created_at")),
            updated_at=_moment(answer.get("updated_at")),
            completed_at=_moment(answer.get("completed_at")),
            is_test=is_test if isinstance(is_test, bool) else None,
            unique_id=_text(answer.get("unique_id")),
            project=_text(answer.get("project")),
            batch=_text(answer.get("batch")),
            instruction=_text(answer.get("instruction")),
            callback_url=_text(answer.get("callback_url")),
            tags=tuple(tag for tag in _items(answer.get("tags")) if isinstance(tag, str)),
            metadata=_object(answer.get("metadata")) or {},
            params=_object(answer.get("params")) or {},
            response=_object(answer.get("response")),
            raw=answer,
            priority=priority if isinstance(priority, int) and not isinstance(priority, bool) else None,
            urgency=_text(answer.get("urgency")),
            callback_done=called_back if isinstance(called_back, bool) else None,
            audits=tuple(audit for audit in _items(answer.get("audits")) if isinstance(audit, Mapping)),
        )

    def bound_to(self, client: ScaleMethods[TaskResult, Any, FramesResult, Any, Any]) -> Self:
        """The same task, whose methods ask that client. A pickle or a copy of it is bound to none."""
        # Not a field: a client has connections and a key, which neither asdict nor a pickle may come to hold.
        object.__setattr__(self, "_client", client)
        return self

    @property
    def is_final(self) -> bool:
        """Whether it stays as it is: completed, canceled, or in error."""
        return self.status in FINAL_STATUSES

    @property
    def problem(self) -> str | None:
        """Why it is in error, as far as the answer says."""
        if self.status != "error":
            return None
        for place in (self.response or {}, self.raw):
            for name in ("error", "message", "detail"):
                if isinstance(text := place.get(name), str) and text:
                    return text
        return None

    @property
    def next_step(self) -> str:
        """What to do with it next, in a sentence."""
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
        return f"Wait for it: wait(). Its status, {self.status!r}, is none that is known to be the last."

    def refresh(self) -> TaskResult:
        """The task as it is now."""
        return self._bound.get_task(self.id)

    def wait(
        self, timeout: float | None = None, *, on_poll: Callable[[TaskState[Any, Any]], None] | None = None
    ) -> TaskResult:
        """The task once it is completed, canceled or in error. See the client's `wait`."""
        return self._bound.wait(self.id, timeout, on_poll=on_poll)

    def cancel(self, clear_unique_id: bool = False) -> TaskResult:
        """Cancels it. See the client's `cancel_task`."""
        return self._bound.cancel_task(self.id, clear_unique_id)

    def set_metadata(self, metadata: Mapping[str, Any]) -> TaskResult:
        """Gives it these key/value pairs in place of what it has."""
        return self._bound.set_metadata(self.id, metadata)

    def set_unique_id(self, unique_id: str) -> TaskResult:
        """Gives it this unique_id."""
        return self._bound.set_unique_id(self.id, unique_id)

    def clear_unique_id(self) -> TaskResult:
        """Frees its unique_id for another task."""
        return self._bound.clear_unique_id(self.id)

    def add_tags(self, tags: str | Iterable[str]) -> TaskResult:
        """Adds tags."""
        return self._bound.add_tags(self.id, tags)

    def set_tags(self, tags: str | Iterable[str]) -> TaskResult:
        """Gives it these tags in place of what it has."""
        return self._bound.set_tags(self.id, tags)

    def delete_tags(self, tags: str | Iterable[str]) -> TaskResult:
        """Takes tags away."""
        return self._bound.delete_tags(self.id, tags)

    def annotations(self) -> FramesResult:
        """The cuboids of each frame, of a completed lidar task. See the client's `annotations`."""
        return self._bound.annotations(self.id)

    @property
    def _bound(self) -> ScaleMethods[TaskResult, Any, FramesResult, Any, Any]:
        client: ScaleMethods[TaskResult, Any, FramesResult, Any, Any] | None = self.__dict__.get("_client")
        if client is None:
            raise ParameterError(
                f"task {self.id} is not bound to a client", fix="Get it from one: client.get_task(id)."
            )
        return client

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_client"}


class Task(TaskState["Task", tuple["FrameAnnotations", ...]]):
    """A task of a ScaleClient. Its fields, and its methods: see TaskState."""


class AsyncTask(TaskState[Coroutine[Any, Any, "AsyncTask"], Coroutine[Any, Any, tuple["FrameAnnotations", ...]]]):
    """A task of an AsyncScaleClient. Its fields: see TaskState; its methods are the same, and are awaited."""


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
