"""Projects and batches of the sandbox, in the same database as its tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from lidarprep._sqlite import Database
from lidarprep.sandbox._common import SandboxError, UnknownNameError, time_text

Document = dict[str, Any]
Kind = Literal["project", "batch"]

BATCH_STATUSES = ("staging", "in_progress", "completed")
STAGING = "staging"

SCHEMA = (
    """
    CREATE TABLE named (                            -- projects and batches
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        status TEXT,                                -- of a batch: staging, or in_progress once it is finalized
        document TEXT NOT NULL,
        UNIQUE (kind, name)
    )
    """,
)


class ProjectList:
    """Projects with their parameters, and batches of tasks; `now` returns the time, with time zone.

    A name that is taken, and one that does not exist, raise a SandboxError.
    """

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def create_project(self, name: str, task_type: str, params: Mapping[str, Any]) -> Document:
        """Create a project; its parameters are version 0."""
        document = {"type": task_type, "name": name, "param_history": [self._version(0, params)]}
        return self._create("project", name, document)

    def project(self, name: str) -> Document:
        """Return a project."""
        return self._get("project", name)

    def projects(self) -> list[Document]:
        """Return all projects, newest first."""
        return self._all("project")

    def set_params(self, name: str, params: Mapping[str, Any], *, patch: bool) -> Document:
        """Give a project a new version of its parameters, beside the older ones.

        Args:
            name: The project.
            params: The parameters.
            patch: Keep the last version's parameters that are not given here.
        """
        with self._database.transaction():
            project = self._get("project", name)
            history = project["param_history"]
            before = params_of(project) if patch else {}
            history.append(self._version(len(history), {**before, **params}))
            return self._replace("project", project)

    def create_batch(self, name: str, project: str, options: Mapping[str, Any]) -> Document:
        """Create a batch, whose tasks wait until it is finalized."""
        document = {"project": project, "name": name, "created_at": time_text(self._now()), **options}
        return self._shown(self._create("batch", name, document, STAGING))

    def batch(self, name: str) -> Document:
        """Return a batch with its status."""
        return self._shown(self._get("batch", name))

    def batches(self) -> list[Document]:
        """Return all batches with their status, newest first."""
        return [self._shown(batch) for batch in self._all("batch")]

    def finalize(self, name: str) -> Document:
        """Have a batch's tasks worked on; a finalized batch stays as it is."""
        with self._database.transaction():
            batch = self._get("batch", name)
            self._database.run("UPDATE named SET status = 'in_progress' WHERE kind = 'batch' AND name = ?", (name,))
            return self._shown(batch)

    def set_batch_metadata(self, name: str, metadata: Mapping[str, Any]) -> Document:
        """Replace a batch's metadata."""
        with self._database.transaction():
            return self._shown(self._replace("batch", {**self._get("batch", name), "metadata": dict(metadata)}))

    def task_counts(self, batch: str) -> dict[str, int]:
        """Return the number of a batch's tasks of each status that occurs."""
        rows = self._database.rows("SELECT status, count(*) FROM tasks WHERE batch = ? GROUP BY status", (batch,))
        return dict(rows)

    def has(self, kind: Kind, name: str) -> bool:
        """Whether there is a project, or a batch, of that name."""
        return self._database.row("SELECT 1 FROM named WHERE kind = ? AND name = ?", (kind, name)) is not None

    def _shown(self, batch: Document) -> Document:
        """Return a batch with its status, which follows from its tasks once it is finalized."""
        (status,) = self._database.row("SELECT status FROM named WHERE kind = 'batch' AND name = ?", (batch["name"],))
        if status != STAGING:
            counts = self.task_counts(batch["name"])
            status = "completed" if counts and "pending" not in counts else "in_progress"
        return {**batch, "status": status}

    def _version(self, number: int, params: Mapping[str, Any]) -> Document:
        return {"version": number, "created_at": time_text(self._now()), **params}

    def _create(self, kind: Kind, name: str, document: Document, status: str | None = None) -> Document:
        with self._database.transaction():
            if self.has(kind, name):
                raise SandboxError(f"There is a {kind} {name!r} already.", 409)
            self._database.run(
                "INSERT INTO named (kind, name, status, document) VALUES (?, ?, ?, ?)",
                (kind, name, status, json.dumps(document)),
            )
            return document

    def _get(self, kind: Kind, name: str) -> Document:
        row = self._database.row("SELECT document FROM named WHERE kind = ? AND name = ?", (kind, name))
        if row is None:
            raise UnknownNameError(kind, name)
        document: Document = json.loads(row[0])
        return document

    def _all(self, kind: Kind) -> list[Document]:
        rows = self._database.rows("SELECT document FROM named WHERE kind = ? ORDER BY number DESC", (kind,))
        return [json.loads(document) for (document,) in rows]

    def _replace(self, kind: Kind, document: Document) -> Document:
        self._database.run(
            "UPDATE named SET document = ? WHERE kind = ? AND name = ?", (json.dumps(document), kind, document["name"])
        )
        return document


def params_of(project: Mapping[str, Any]) -> Document:
    """Return a project's current parameters, without their version and time."""
    last = project["param_history"][-1]
    return {name: value for name, value in last.items() if name not in ("version", "created_at")}
