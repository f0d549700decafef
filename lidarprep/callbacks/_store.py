"""Callbacks, and the SQLite file that keeps them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Self

from lidarprep._json import MOST_LEVELS, is_too_deep
from lidarprep._sqlite import Database, SqliteStore
from lidarprep.errors import StorageError

# Ids are 24 hex digits. The pattern is wider, and still safe in an environment variable and a log line.
TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

APPLICATION_ID = 0x6C706362  # "lpcb"
SCHEMA_VERSION = 1
SCHEMA = (
    """
    CREATE TABLE callbacks (
        number INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of arrival
        task_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        digest TEXT NOT NULL,                      -- SHA-256 of the content
        received_at TEXT NOT NULL,
        handled_at TEXT,
        body BLOB NOT NULL,                        -- as received
        UNIQUE (task_id, version),
        UNIQUE (task_id, digest)
    )
    """,
    "CREATE INDEX unhandled ON callbacks (number) WHERE handled_at IS NULL",
)
COLUMNS = "task_id, version, received_at, body"


class NotACallbackError(ValueError):
    """A body is not a callback; the message says why."""


@dataclass(frozen=True)
class Callback:
    """A callback as received: Scale posts it when a task ends, and again when its result is corrected.

    The same body may be delivered several times, and is kept once. A body that differs, also in the task's times only,
    is a new version.

    Args:
        task_id: Id of the task.
        response: The task's result; None where the body has none, or one that is not an object.
        task: The whole task; empty where the body has none.
        received_at: Time of the first delivery, with time zone.
        version: Number of this result among the task's results, from 1, in order of arrival.
        body: The bytes as received.
    """

    task_id: str
    response: Mapping[str, Any] | None = field(repr=False)
    task: Mapping[str, Any] = field(repr=False)
    received_at: datetime
    version: int = 1
    body: bytes = field(default=b"", repr=False)

    @classmethod
    def from_body(cls, body: bytes, received_at: datetime, version: int = 1) -> Self:
        """Read the body of a request.

        Raises:
            NotACallbackError: It is not a JSON object, or names no task.
        """
        content = _json(body)
        if not isinstance(content, dict):
            raise NotACallbackError("The body is not a JSON object.")
        task_id = content.get("task_id")
        if not isinstance(task_id, str) or not TASK_ID.fullmatch(task_id):
            raise NotACallbackError("The body has no task_id, or one that can't be a task's.")
        response, task = content.get("response"), content.get("task")
        return cls(
            task_id,
            response if isinstance(response, dict) else None,
            task if isinstance(task, dict) else {},
            received_at,
            version,
            body,
        )

    @property
    def content(self) -> dict[str, Any]:
        """The whole body."""
        content: dict[str, Any] = _json(self.body)
        return content

    @property
    def json_content(self) -> dict[str, Any]:
        """The whole body with null for each number that JSON does not have: NaN, Infinity, 1e999."""
        content: dict[str, Any] = json.loads(self.body, parse_constant=lambda _: None, parse_float=_finite)
        return content

    @property
    def as_of(self) -> datetime | None:
        """The task's `updated_at`, else its `completed_at`; None if unknown.

        A failed delivery is repeated for a day, so an older result may arrive after its correction.
        """
        for name in ("updated_at", "completed_at"):
            if isinstance(text := self.task.get(name), str):
                try:
                    moment = datetime.fromisoformat(text)
                except ValueError:
                    continue
                return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return None

    @property
    def digest(self) -> str:
        """SHA-256 of the content, 64 hex digits; the order of keys and white space do not count."""
        content = json.dumps(self.content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()


def _json(body: bytes) -> Any:
    """Parse a body; NaN and Infinity are taken, which JSON does not have: a result must not get lost for them."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise NotACallbackError("The body is not JSON.") from None
    if is_too_deep(content):
        raise NotACallbackError(f"The body is nested more than {MOST_LEVELS} levels deep.")
    return content


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None


class Kept(NamedTuple):
    """The result of adding a callback.

    Args:
        callback: The callback as stored.
        is_new: It was not in the store before.
    """

    callback: Callback
    is_new: bool


class CallbackStore(SqliteStore):
    """Callbacks in an SQLite file, each with a mark once it is handled. Several threads and processes may share it.

    Iterating yields all callbacks in order of arrival; a task may have several versions.

    Args:
        path: SQLite file, created if missing.

    Raises:
        StorageError: The path is a folder, can't be opened, or holds something else. Methods raise it where the file
            can't be read or written.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        if Path(path).is_dir():
            raise StorageError(
                f"{path} is a folder; callbacks are kept in an SQLite file", fix=f"Name a file: {Path(path)}.db"
            )
        super().__init__(
            Database(
                path,
                "store of callbacks",
                SCHEMA,
                version=SCHEMA_VERSION,
                application_id=APPLICATION_ID,
                durable=True,
            )
        )

    def add(self, callback: Callback) -> Kept:
        """Store a callback, unless its content is there already. It is on disk when this returns, power cut or not.

        Args:
            callback: Its version is ignored: the store numbers them.
        """
        digest = callback.digest
        with self._database.transaction():
            if known := self._select("WHERE task_id = ? AND digest = ?", callback.task_id, digest):
                return Kept(known[0], is_new=False)
            (last,) = self._database.row(
                "SELECT coalesce(max(version), 0) FROM callbacks WHERE task_id = ?", (callback.task_id,)
            )
            row = (callback.task_id, last + 1, callback.received_at.astimezone(UTC).isoformat(), callback.body)
            self._database.run(
                f"INSERT INTO callbacks ({COLUMNS}, digest) VALUES (?, ?, ?, ?, ?)",  # noqa: S608 — a constant
                (*row, digest),
            )
            kept = Kept(_callback(row), is_new=True)
        return kept  # after the `with` statement: the commit is what makes it safe

    def get(self, task_id: str, version: int | None = None) -> Callback | None:
        """Return a version of a task's result, or the newest by the task's own times; None if missing.

        Where the task's times are unknown, the newest is the last that arrived.
        """
        found = [one for one in self.versions(task_id) if version in (None, one.version)]
        timed = [(one.as_of, one.version, one) for one in found if one.as_of is not None]
        if found and len(timed) == len(found):
            return max(timed, key=lambda one: one[:2])[2]
        return found[-1] if found else None

    def versions(self, task_id: str) -> list[Callback]:
        """Return all results of a task, in order of arrival."""
        return self._select("WHERE task_id = ? ORDER BY version", task_id)

    def unhandled(self) -> list[tuple[str, int]]:
        """Return task id and version of each callback without a mark, in order of arrival."""
        return self._database.rows("SELECT task_id, version FROM callbacks WHERE handled_at IS NULL ORDER BY number")

    def mark_handled(self, task_id: str, version: int) -> None:
        """Mark a callback as handled."""
        self._database.run(
            "UPDATE callbacks SET handled_at = ? WHERE task_id = ? AND version = ?",
            (datetime.now(UTC).isoformat(), task_id, version),
        )

    def __iter__(self) -> Iterator[Callback]:
        # One at a time: a slow reader holds neither the bodies in memory nor the database.
        number = 0
        query = f"SELECT number, {COLUMNS} FROM callbacks WHERE number > ? ORDER BY number LIMIT 1"  # noqa: S608
        while (row := self._database.row(query, (number,))) is not None:
            number = row[0]
            yield _callback(row[1:])

    def _select(self, which: str, *values: Any) -> list[Callback]:
        query = f"SELECT {COLUMNS} FROM callbacks {which}"  # noqa: S608 — constants of this file
        return [_callback(row) for row in self._database.rows(query, values)]


def _callback(row: Any) -> Callback:
    _, version, received_at, body = row
    return Callback.from_body(bytes(body), datetime.fromisoformat(received_at), version)


def open_callback_store(path: str | PathLike[str]) -> CallbackStore:
    """Open the store at a path; see CallbackStore."""
    return CallbackStore(path)
