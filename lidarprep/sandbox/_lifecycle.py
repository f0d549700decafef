"""The life of a task in the sandbox: created, completed or failed, audited, followed by its dependent tasks."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lidarprep.api import Strictness, TaskParameters, read_dependents, read_parameters
from lidarprep.errors import ParameterError
from lidarprep.sandbox._fake_results import fake_result
from lidarprep.sandbox._store import (
    REVIEW_STATUSES,
    Document,
    SandboxError,
    SandboxStore,
    UniqueIdTakenError,
    UnknownTaskError,
    WrongStatusError,
    time_text,
)

log = logging.getLogger(__name__)

# The sandbox runs where its caller does, and accepts what the reference's own examples leave out.
STRICTNESS = Strictness(local_files=True, unenforced_rules=False)

# Parameters that an answer has beside `params`, not in it.
TOP_LEVEL = (
    *("instruction", "callback_url", "metadata", "project", "batch", "priority", "urgency", "unique_id"),
    *("clear_unique_id_on_error", "tags", "dependents"),
)
ALWAYS_THERE: Mapping[str, Any] = {"instruction": None, "callback_url": None, "metadata": {}, "project": None}
LINKING_DEFAULTS: Mapping[str, Any] = {"labeling_sample_rate": 1, "geometries": [], "default_geometry": "box"}

# Of the older reference's task types, which have an urgency; the others are answered with "standard".
DEFAULT_URGENCY = "day"
TRANSCRIBE = "Please transcribe the attached audio file."

# Name of the created tasks' ids in a task's `dependents`.
CREATED = "task_ids"

# Fields that a dependent task inherits from the one before it, unless its definition has them.
INHERITED = ("project", "batch", "callback_url")

# The audit results that approve a task.
APPROVED = ("accepted", "fixed")


@dataclass(frozen=True)
class SandboxOptions:
    """Options of a sandbox.

    Args:
        complete_after_s: Pending tasks are completed by themselves after so many seconds; never if None.
        check_attachments: Read and decode each attachment of a lidar or multistage task. A task with a bad one ends in
            status "error", with the reason in its response.
        callback_auth_key: Value of the `scale-callback-auth` header; random if not given.
        callbacks_anywhere: Send callbacks to any host; else to loopback addresses only, so that a trial reaches
            nobody's server.
        callback_tries: Number of tries of a callback, until it is answered 200.
        callback_pace: Factor on the waits between tries. By default 20 tries take 24 hours, as with the service.

    Raises:
        ValueError: A number makes no sense.
    """

    complete_after_s: float | None = None
    check_attachments: bool = False
    callback_auth_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    callbacks_anywhere: bool = False
    callback_tries: int = 20
    callback_pace: float = 1.0

    def __post_init__(self) -> None:
        if self.complete_after_s is not None and not 0 <= self.complete_after_s < float("inf"):
            raise ValueError(f"complete_after_s is {self.complete_after_s}; it must be at least 0")
        if self.callback_tries < 1 or not 0 <= self.callback_pace < float("inf"):
            raise ValueError("callback_tries must be at least 1, callback_pace at least 0")
        if not self.callback_auth_key.isascii() or not self.callback_auth_key.isprintable():
            raise ValueError("callback_auth_key must be printable ASCII, as it goes into a header")


class Lifecycle:
    """Change the state of tasks, with all that follows from it.

    Methods raise the errors of SandboxStore, and SandboxError for dependents that are missing or exist already. They
    raise ParameterError for malformed dependents, a lidar task that is not completed, or an unknown audit result.

    Args:
        store: The store of the tasks.
        options: Options of the sandbox.
    """

    def __init__(self, store: SandboxStore, options: SandboxOptions) -> None:
        self.store = store
        self.options = options

    def create(self, parameters: TaskParameters, *, is_test: bool, origin: str | None = None) -> Document:
        """Create a task.

        Args:
            parameters: Parameters of the task.
            is_test: The request came with a test key.
            origin: Address of the sandbox, for links in responses: "http://127.0.0.1:8080".
        """
        with self.store.transaction():
            fields = task_fields(parameters, is_test=is_test)
            self._require_completed(fields["params"].get("lidar_task"))
            if "dependents" in fields:  # models check it only for the types that have it
                fields["dependents"] = checked_dependents(fields["dependents"])
            task = self.store.create(fields, origin=origin)
            if self.options.check_attachments:
                self.store.jobs.add("check", task["task_id"])
            if self.options.complete_after_s is not None:
                self.store.jobs.add("complete", task["task_id"], in_s=self.options.complete_after_s)
            return task

    def complete(self, task_id: str, response: Mapping[str, Any] | None = None) -> Document:
        """Complete a pending task, send its callback, and create its dependent tasks.

        The task is completed even if a dependent task can't be created, because its unique_id is taken, say. None of
        them is created then, the log says why, and `force_dependents` tries again.

        Args:
            task_id: Id of the task.
            response: Response of the task; an invented one by default.
        """
        with self.store.transaction():
            if response is None:
                response = fake_result(self.store.get(task_id), lambda content: self._publish(task_id, content))
            task = self.store.complete(task_id, response)
            self._send_callback(task)
            dependents = task.get("dependents") or {}
            return task if dependents.get("require_audit") else self._followed(task)

    def fail(self, task_id: str, message: str) -> Document:
        """End a pending task in an error, and send its callback."""
        with self.store.transaction():
            task = self.store.fail(task_id, message)
            self._send_callback(task)
            return task

    def audit(self, task_id: str, audit_result: str | None) -> Document:
        """Add the customer's audit of a completed task; approval creates its dependent tasks."""
        if audit_result not in REVIEW_STATUSES:
            raise ParameterError(f"audit_result is {audit_result!r}; it must be one of {', '.join(REVIEW_STATUSES)}")
        with self.store.transaction():
            task = self.store.require(task_id, "completed")
            audit = {
                "audited_by": "sandbox@example.com",
                "audited_at": time_text(self.store.now()),
                "audit_time_secs": 0,
                "audit_result": audit_result,
                "audit_source": "customer",
            }
            task = self.store.change(task_id, audits=[*task.get("audits", ()), audit])
            return self._followed(task) if audit_result in APPROVED else task

    def set_dependents(self, task_id: str, options: Mapping[str, Any]) -> Document:
        """Change the definitions of a task's dependents, or whether they wait for an audit; the rest stays."""
        options = checked_dependents(options)
        with self.store.transaction():
            task = self.store.get(task_id)
            if task["status"] == "completed":
                raise WrongStatusError(
                    f"The task {task_id} is completed, so the options of its dependent tasks can't be changed."
                )
            return self.store.change(task_id, dependents={**(task.get("dependents") or {}), **options})

    def force_dependents(self, task_id: str) -> Document:
        """Create a completed task's dependents, without waiting for an audit.

        Returns:
            The task itself; its `dependents` name the new ones, as `task_ids`.
        """
        with self.store.transaction():
            task = self.store.get(task_id)
            if task["status"] != "completed":
                raise WrongStatusError(f"The task {task_id} is {task['status']}; it must be completed.")
            dependents = task.get("dependents") or {}
            if CREATED in dependents:
                raise SandboxError(f"The dependent tasks of {task_id} have already been created.")
            if not dependents.get("defs"):
                raise SandboxError(f"The task {task_id} has no dependents: no dependent tasks are defined for it.")
            return self._create_dependents(task)

    def _followed(self, task: Document) -> Document:
        """Create the task's dependents, if it has some that do not exist and can be created; return the task."""
        dependents = task.get("dependents") or {}
        if not dependents.get("defs") or CREATED in dependents:
            return task
        try:
            with self.store.transaction():  # all of them or none
                return self._create_dependents(task)
        except (ParameterError, UniqueIdTakenError) as error:
            log.warning("task %s: its dependent tasks can't be created: %s", task["task_id"], error)
            return task

    def _create_dependents(self, task: Document) -> Document:
        made = []
        origin = self.store.origin(task["task_id"])
        inherited = {name: task[name] for name in INHERITED if task.get(name) is not None}
        for definition in task["dependents"]["defs"]:
            body = {**inherited, **definition, "lidar_task": task["task_id"]}
            parameters = read_parameters(body.pop("type"), body, STRICTNESS)
            made.append(self.create(parameters, is_test=task["is_test"], origin=origin)["task_id"])
        return self.store.change(task["task_id"], dependents={**task["dependents"], CREATED: made})

    def _require_completed(self, lidar_task: str | None) -> None:
        """Refuse a lidar task that is not completed; one that is unknown here, as in the reference, is accepted."""
        if lidar_task is None:
            return
        try:
            status = self.store.get(lidar_task)["status"]
        except UnknownTaskError:
            return
        if status != "completed":
            raise ParameterError(f"lidar_task is {lidar_task!r}, which is {status}; it must be completed")

    def _send_callback(self, task: Document) -> None:
        if task.get("callback_url"):
            self.store.jobs.add("callback", task["task_id"])

    def _publish(self, task_id: str, content: bytes) -> str:
        return f"{self.store.origin(task_id) or ''}/sandbox/files/{self.store.keep_file(content)}"


def checked_dependents(options: Any) -> dict[str, Any]:
    """Return the given options of dependent tasks, checked.

    Raises:
        ParameterError: They are malformed, or a definition would not make a task.
    """
    if not isinstance(options, Mapping):
        raise ParameterError("dependents must be an object with defs, or require_audit, or both")
    checked = read_dependents(options, STRICTNESS)
    return {name: value for name, value in checked.items() if name != CREATED}


def task_fields(parameters: TaskParameters, *, is_test: bool) -> dict[str, Any]:
    """Return a new task in the shape of the reference's examples, without what the store adds: id, times, status."""
    params = parameters.to_wire()
    beside = {name: params.pop(name) for name in TOP_LEVEL if name in params}
    if parameters.task_type == "lidarlinking":
        # As in the reference's answer: defaults filled in, and the lidar task called task_id.
        params = {**LINKING_DEFAULTS, "task_id": params.get("lidar_task"), **params}
    elif parameters.task_type == "phonecall":
        # The reference's prose keeps the script in params, its answer shows it outside: here it is in both places.
        beside["script"] = params["script"]
    elif parameters.task_type == "audiotranscription":
        beside.setdefault("instruction", TRANSCRIBE)
        params = {"verbatim": False, "attachment_type": "audio", **params}
    return {
        "type": parameters.task_type,
        "is_test": is_test,
        "urgency": DEFAULT_URGENCY if "urgency" in type(parameters).model_fields else "standard",
        "work_started": False,
        **ALWAYS_THERE,
        **beside,
        "params": params,
    }
