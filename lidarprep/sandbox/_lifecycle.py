"""The life of a task in the sandbox: created, completed or failed, audited, followed by its dependent tasks."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lidarprep.api import TaskParameters, TaskType, read_dependents
from lidarprep.errors import ParameterError
from lidarprep.sandbox._common import (
    SandboxError,
    UniqueIdTakenError,
    UnknownTaskError,
    WrongStatusError,
    time_text,
)
from lidarprep.sandbox._fake_results import fake_result, label_names
from lidarprep.sandbox._projects import STAGING, params_of
from lidarprep.sandbox._serializers import task_fields
from lidarprep.sandbox._store import AUDIT_RESULTS, Document, SandboxStore
from lidarprep.sandbox._types import STRICTNESS, read_task, task_type_of

log = logging.getLogger(__name__)

# Name of the created tasks' ids in a task's `dependents`.
CREATED = "task_ids"

# Fields that a dependent task inherits from the one before it, unless its definition has them.
INHERITED = ("project", "batch", "callback_url")

# The audit results that approve a task.
APPROVED = ("accepted", "fixed")

# Types of completed tasks that a parameter `lidar_task` may name, by the type of the new task.
LIDAR_TASKS: Mapping[str, tuple[str, ...]] = {
    "lidarlinking": ("lidarannotation", "lidarsegmentation"),
    "lidarsegmentation": ("lidarannotation", "lidarsegmentation"),
    "lidartopdown": ("lidarannotation",),
}
# Types of tasks that others may depend on.
HAVE_DEPENDENTS = ("lidarannotation", "lidarsegmentation")


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
        callback_retries: Number of further tries of a callback, until it is answered with a status from 200 to 299.
        callback_pace: Factor on the waits between tries. By default 20 retries take 24 hours, as with the service.
        strict_projects: Refuse tasks of projects and batches that do not exist, and of another type than their project.

    Raises:
        ValueError: A number makes no sense.
    """

    complete_after_s: float | None = None
    check_attachments: bool = False
    callback_auth_key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    callbacks_anywhere: bool = False
    callback_retries: int = 20
    callback_pace: float = 1.0
    strict_projects: bool = False

    def __post_init__(self) -> None:
        if self.complete_after_s is not None and not 0 <= self.complete_after_s < float("inf"):
            raise ValueError(f"complete_after_s is {self.complete_after_s}; it must be at least 0")
        if self.callback_retries < 0 or not 0 <= self.callback_pace < float("inf"):
            raise ValueError("callback_retries and callback_pace must be at least 0")
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

    def task_type(self, path: str) -> TaskType:
        """Return the task type that is created at /task/PATH."""
        return task_type_of(path)

    def read(self, task_type: TaskType, body: Mapping[str, Any]) -> TaskParameters:
        """Read the parameters of a request; those that it lacks are its project's, where that has them."""
        projects, batch, project = self.store.projects, body.get("batch"), body.get("project")
        if isinstance(batch, str) and batch and projects.has("batch", batch):
            found = projects.batch(batch)
            if found["status"] != STAGING:
                raise SandboxError(f"The batch {batch!r} is finalized, so it takes no more tasks.")
            if project not in (None, found["project"]):
                raise SandboxError(f"The batch {batch!r} is of the project {found['project']!r}, not {project!r}.")
            project = found["project"]
            body = {**body, "project": project}
        elif batch is not None and self.options.strict_projects:
            raise SandboxError(f"There is no batch {batch!r}.")
        if isinstance(project, str) and project and projects.has("project", project):
            known = projects.project(project)
            if known["type"] == task_type.name:
                body = {**params_of(known), **body}
            elif self.options.strict_projects:
                raise SandboxError(f"The project {project!r} has tasks of the type {known['type']}.")
        elif project is not None:
            self.require_project(project)
        return read_task(task_type, body)

    def require_project(self, name: str) -> None:
        """Refuse a project that does not exist, where projects are strict."""
        if self.options.strict_projects and not self.store.projects.has("project", name):
            raise SandboxError(f"There is no project {name!r}.")

    def create(self, parameters: TaskParameters, *, is_test: bool, origin: str | None = None) -> Document:
        """Create a task.

        Args:
            parameters: Parameters of the task.
            is_test: The request came with a test key.
            origin: Address of the sandbox, for links in responses: "http://127.0.0.1:8080".
        """
        with self.store.transaction():
            fields = task_fields(parameters, is_test=is_test)
            self._require_lidar_task(parameters.task_type, fields["params"])
            if "dependents" in fields:  # models check it only for the types that have it
                _require_dependents_of(parameters.task_type)
                fields["dependents"] = checked_dependents(fields["dependents"])
            task = self.store.create(fields, origin=origin)
            if self.options.check_attachments:
                self.store.jobs.add("check", task["task_id"])
            if self.options.complete_after_s is not None:
                self.store.jobs.add("complete", task["task_id"], in_s=self.options.complete_after_s)
            return task

    def finalize(self, batch: str) -> Document:
        """Have a batch's tasks worked on."""
        found = self.store.projects.finalize(batch)
        self.store.jobs.wake()
        return found

    def complete(self, task_id: str, response: Mapping[str, Any] | None = None) -> Document:
        """Complete a pending task, send its callback, and create its dependent tasks.

        The task is completed even if a dependent task can't be created, because its unique_id is taken, say. None of
        them is created then, the log says why, and `force_dependents` tries again.

        Args:
            task_id: Id of the task.
            response: Response of the task; by default one that is made of its attachments.
        """
        task = self.store.require(task_id, "pending")
        batch, projects = task.get("batch"), self.store.projects
        if batch and projects.has("batch", batch) and projects.batch(batch)["status"] == STAGING:
            raise WrongStatusError(f"The batch {batch!r} is not finalized, so its tasks are not worked on yet.")
        if response is None:
            # Outside the transaction: reading attachments may take minutes.
            response = fake_result(
                task,
                lambda content: self._publish(task_id, content),
                self.store,
                anywhere=self.options.check_attachments,
            )
        with self.store.transaction():
            task = self.store.complete(task_id, response)
            self._send_callback(task)
            dependents = task.get("dependents") or {}
            return task if dependents.get("require_audit") else self._followed(task)

    def fail(self, task_id: str, problem: str | Mapping[str, Any]) -> Document:
        """End a pending task in an error, and send its callback.

        Args:
            task_id: Id of the task.
            problem: The error's message, or the whole response.
        """
        with self.store.transaction():
            task = self.store.fail(task_id, {"error": problem} if isinstance(problem, str) else problem)
            self._send_callback(task)
            return task

    def audit(self, task_id: str, audit_result: str | None, comments: str | None = None) -> Document:
        """Add the customer's audit of a completed task, and send its callback; approval creates its dependent tasks."""
        if audit_result not in AUDIT_RESULTS:
            raise ParameterError(f"audit_result is {audit_result!r}; it must be one of {', '.join(AUDIT_RESULTS)}")
        with self.store.transaction():
            task = self.store.require(task_id, "completed")
            audit = {
                "audited_by": "sandbox@example.com",
                "audited_at": time_text(self.store.now()),
                "audit_time_secs": 0,
                "audit_result": audit_result,
                "audit_source": "customer",
                **({"comments": comments} if comments else {}),
            }
            task = self.store.change(task_id, audits=[*task.get("audits", ()), audit])
            self._send_callback(task)
            return self._followed(task) if audit_result in APPROVED else task

    def set_dependents(self, task_id: str, options: Mapping[str, Any]) -> Document:
        """Change the definitions of a task's dependents, or whether they wait for an audit; the rest stays."""
        options = checked_dependents(options)
        with self.store.transaction():
            task = self.store.get(task_id)
            _require_dependents_of(task["type"])
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
            parameters = read_task(task_type_of(body.pop("type")), body)
            made.append(self.create(parameters, is_test=task["is_test"], origin=origin)["task_id"])
        return self.store.change(task["task_id"], dependents={**task["dependents"], CREATED: made})

    def _require_lidar_task(self, task_type: str, params: Mapping[str, Any]) -> None:
        """Refuse a lidar task that is not completed, or of a type that none can be made from.

        One that is unknown here, as in the reference, is accepted.
        """
        lidar_task = params.get("lidar_task")
        if not isinstance(lidar_task, str):
            return
        try:
            found = self.store.get(lidar_task)
        except UnknownTaskError:
            return
        if found["type"] not in LIDAR_TASKS.get(task_type, (found["type"],)):
            fitting = " or ".join(LIDAR_TASKS[task_type])
            raise ParameterError(f"lidar_task is {lidar_task!r}, a {found['type']} task; it must be a {fitting} task")
        if found["status"] != "completed":
            raise ParameterError(f"lidar_task is {lidar_task!r}, which is {found['status']}; it must be completed")
        labels = label_names(found["params"].get("labels"))
        for label in params.get("skip_labels") or ():
            if label not in labels:
                raise ParameterError(f"skip_labels names {label!r}, which is not a label of the lidar task")

    def _send_callback(self, task: Document) -> None:
        if task.get("callback_url"):
            self.store.jobs.add("callback", task["task_id"])

    def _publish(self, task_id: str, content: bytes) -> str:
        return f"{self.store.origin(task_id) or ''}/sandbox/files/{self.store.keep_file(content)}"


def _require_dependents_of(task_type: str) -> None:
    if task_type not in HAVE_DEPENDENTS:
        raise ParameterError(f"dependents are given; {task_type} tasks have none, {' and '.join(HAVE_DEPENDENTS)} do")


def checked_dependents(options: Any) -> dict[str, Any]:
    """Return the given options of dependent tasks, checked.

    Raises:
        ParameterError: They are malformed, or a definition would not make a task.
    """
    if not isinstance(options, Mapping):
        raise ParameterError("dependents must be an object with defs, or require_audit, or both")
    checked = read_dependents(options, STRICTNESS)
    return {name: value for name, value in checked.items() if name != CREATED}
