"""A task's life in the sandbox: made, checked, completed or failed, audited, followed by its dependent tasks."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from lidarprep.api import Strictness, TaskParameters, read_dependents, read_parameters
from lidarprep.errors import ParameterError
from lidarprep.sandbox.answers import task_fields
from lidarprep.sandbox.options import SandboxOptions
from lidarprep.sandbox.queries import REVIEW_STATUSES
from lidarprep.sandbox.records import (
    Document,
    UniqueIdTakenError,
    UnknownTaskError,
    WrongStatusError,
    time_text,
)
from lidarprep.sandbox.responses import default_response
from lidarprep.sandbox.store import SandboxStore

log = logging.getLogger(__name__)

# The sandbox runs where its caller does, and takes what the reference's own examples leave out.
STRICTNESS = Strictness(local_files=True, unenforced_rules=False)

# In a task's `dependents`, the ids of the tasks that were made.
MADE = "task_ids"

# What a dependent task takes from the one before it, where its definition doesn't say.
INHERITED = ("project", "batch", "callback_url")

# The audit results with which the customer is content.
APPROVED = ("accepted", "fixed")


class DependentsError(Exception):
    """Dependent tasks can't be made now; the message says why."""


class Lifecycle:
    """Moves tasks on, with all that follows from it.

    Args:
        store: Where the tasks are.
        options: How the sandbox behaves.
    """

    def __init__(self, store: SandboxStore, options: SandboxOptions) -> None:
        self.store = store
        self.options = options

    def create(self, parameters: TaskParameters, *, is_test: bool, origin: str | None = None) -> Document:
        """Makes a task.

        Args:
            parameters: What it is asked for with.
            is_test: It is asked for with a test key.
            origin: Address of the sandbox, for links in responses: "http://127.0.0.1:8080".

        Raises:
            ParameterError: It is made of a lidar task that isn't completed, or its dependents are malformed.
            UniqueIdTakenError: Another task has its unique_id.
        """
        with self.store.transaction():
            fields = task_fields(parameters, is_test=is_test)
            self._require_completed(fields["params"].get("lidar_task"))
            if "dependents" in fields:  # checked by the models of the types that have it, by nobody for others
                fields["dependents"] = checked_dependents(fields["dependents"])
            task = self.store.create(fields, origin=origin)
            if self.options.check_attachments:
                self.store.jobs.add("check", task["task_id"])
            if self.options.complete_after_s is not None:
                self.store.jobs.add("complete", task["task_id"], in_s=self.options.complete_after_s)
            return task

    def complete(self, task_id: str, response: Mapping[str, Any] | None = None) -> Document:
        """Completes a pending task, sends its callback, and makes the tasks that depend on it.

        A dependent task that can't be made (its unique_id is taken, say) doesn't keep the task from being completed:
        none of them is made then, the log says why, and `force_dependents` tries again.

        Args:
            task_id: The task.
            response: What it is completed with; something plausible by default.

        Raises:
            UnknownTaskError: There is none with that id.
            WrongStatusError: It is not pending.
        """
        with self.store.transaction():
            if response is None:
                response = default_response(self.store.get(task_id), lambda content: self._publish(task_id, content))
            task = self.store.complete(task_id, response)
            self._send_callback(task)
            dependents = task.get("dependents") or {}
            return task if dependents.get("require_audit") else self._followed(task)

    def fail(self, task_id: str, message: str) -> Document:
        """Ends a pending task in an error, and sends its callback.

        Raises:
            UnknownTaskError: There is none with that id.
            WrongStatusError: It is not pending.
        """
        with self.store.transaction():
            task = self.store.fail(task_id, message)
            self._send_callback(task)
            return task

    def audit(self, task_id: str, audit_result: str, *, audited_by: str = "sandbox@example.com") -> Document:
        """Notes what the customer thinks of a completed task; one that is approved is followed by its dependents.

        Raises:
            UnknownTaskError: There is none with that id.
            WrongStatusError: It is not completed.
            ParameterError: There is no such audit result.
        """
        if audit_result not in REVIEW_STATUSES:
            raise ParameterError(f"audit_result is {audit_result!r}; it must be one of {', '.join(REVIEW_STATUSES)}")
        with self.store.transaction():
            task = self.store.get(task_id)
            if task["status"] != "completed":
                raise WrongStatusError(task["status"])
            audit = {
                "audited_by": audited_by,
                "audited_at": time_text(self.store.now()),
                "audit_time_secs": 0,
                "audit_result": audit_result,
                "audit_source": "customer",
            }
            task = self.store.change(task_id, audits=[*task.get("audits", ()), audit])
            return self._followed(task) if audit_result in APPROVED else task

    def set_dependents(self, task_id: str, options: Mapping[str, Any]) -> Document:
        """Changes the definitions of a task's dependents, or whether they wait for an audit; what isn't given stays.

        Raises:
            UnknownTaskError: There is none with that id.
            WrongStatusError: It is completed.
            ParameterError: The options are malformed.
        """
        options = checked_dependents(options)
        with self.store.transaction():
            task = self.store.get(task_id)
            if task["status"] == "completed":
                raise WrongStatusError(task["status"])
            return self.store.change(task_id, dependents={**(task.get("dependents") or {}), **options})

    def force_dependents(self, task_id: str) -> Document:
        """Makes a completed task's dependents, without waiting for an audit.

        Returns:
            The task itself; its `dependents` name the new ones, as `task_ids`.

        Raises:
            UnknownTaskError: There is none with that id.
            WrongStatusError: It is not completed.
            DependentsError: It has none, or they are made already.
        """
        with self.store.transaction():
            task = self.store.get(task_id)
            if task["status"] != "completed":
                raise WrongStatusError(task["status"])
            dependents = task.get("dependents") or {}
            if MADE in dependents:
                raise DependentsError("its dependent tasks have already been created")
            if not dependents.get("defs"):
                raise DependentsError("no dependent tasks are defined for it")
            return self._make_dependents(task)

    def _followed(self, task: Document) -> Document:
        """The task with its dependents made, where it has some that aren't and that can be."""
        dependents = task.get("dependents") or {}
        if not dependents.get("defs") or MADE in dependents:
            return task
        try:
            with self.store.transaction():  # all of them or none
                return self._make_dependents(task)
        except (ParameterError, UniqueIdTakenError) as error:
            log.warning("task %s: its dependent tasks can't be made: %s", task["task_id"], error)
            return task

    def _make_dependents(self, task: Document) -> Document:
        made = []
        inherited = {name: task[name] for name in INHERITED if task.get(name) is not None}
        for definition in task["dependents"]["defs"]:
            body = {**inherited, **definition, "lidar_task": task["task_id"]}
            parameters = read_parameters(body.pop("type"), body, STRICTNESS)
            origin = self.store.origin(task["task_id"])
            made.append(self.create(parameters, is_test=task["is_test"], origin=origin)["task_id"])
        return self.store.change(task["task_id"], dependents={**task["dependents"], MADE: made})

    def _require_completed(self, lidar_task: str | None) -> None:
        """A lidar task that is known here has to be completed; of another, as in the reference's example, who knows."""
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
    """The options of dependent tasks, of what is given of them.

    Raises:
        ParameterError: They are malformed, or a definition would not make a task.
    """
    if not isinstance(options, Mapping):
        raise ParameterError("dependents must be an object with defs, or require_audit, or both")
    checked = read_dependents(options, STRICTNESS)
    return {name: value for name, value in checked.items() if name != MADE}
