"""Projects, batches and files: as the API describes them, and the operations on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

from lidarprep.api._access import ClientBase
from lidarprep.api._listing import checked_text
from lidarprep.api._requests import ApiRequest, checked_metadata, json_body
from lidarprep.api._responses import Failure
from lidarprep.api._transport import Transport
from lidarprep.errors import BadRequestError, ConflictError, ParameterError, ServerError

# Most bytes of a file that can be uploaded.
MAX_FILE_BYTES = 80 * 1000 * 1000

Parsed = TypeVar("Parsed")
Named = TypeVar("Named")


@dataclass(frozen=True)
class Batch:
    """A batch of tasks: they are worked on once it is finalized.

    Args:
        name: Its name.
        project: Project that it belongs to.
        status: "staging", "in_progress" or "completed".
        created_at: Time of its creation, with time zone.
        metadata: Your own key/value pairs.
        raw: The whole response.
    """

    name: str
    project: str | None = None
    status: str | None = None
    created_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, answer: Any) -> Self | None:
        """Parse a response; None if it has no name."""
        if not isinstance(answer, Mapping) or not isinstance(answer.get("name"), str):
            return None
        metadata = answer.get("metadata")
        return cls(
            name=answer["name"],
            project=_text(answer.get("project")),
            status=_text(answer.get("status")),
            created_at=_moment(answer.get("created_at")),
            metadata=metadata if isinstance(metadata, Mapping) else {},
            raw=answer,
        )


@dataclass(frozen=True)
class BatchStatus:
    """How far a batch is.

    Args:
        status: "staging", "in_progress" or "completed".
        tasks: Number of its tasks by their status.
        raw: The whole response.
    """

    status: str | None
    tasks: Mapping[str, int]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, answer: Any) -> Self | None:
        """Parse a response; None if it is not an object."""
        if not isinstance(answer, Mapping):
            return None
        counts = {name: count for name, count in answer.items() if isinstance(count, int) and name != "total"}
        return cls(_text(answer.get("status")), counts, answer)


@dataclass(frozen=True)
class BatchPage:
    """A page of a list of batches.

    Args:
        batches: The batches of this page.
        total: Number of batches on all pages, if the API said.
        next_offset: Offset of the next page; None on the last.
    """

    batches: tuple[Batch, ...]
    total: int | None = None
    next_offset: int | None = None

    @classmethod
    def from_api(cls, answer: Any) -> Self | None:
        """Parse a response; None if it is not a list of batches."""
        docs = answer.get("docs") if isinstance(answer, Mapping) else None
        batches = tuple(map(Batch.from_api, docs)) if isinstance(docs, list) else (None,)
        if None in batches:
            return None
        offset, total = answer.get("offset"), answer.get("totalDocs", answer.get("total"))
        after = (offset if isinstance(offset, int) else 0) + len(batches)
        return cls(
            tuple(batch for batch in batches if batch is not None),
            total if isinstance(total, int) else None,
            # An empty page ends the list, lest it never end.
            after if answer.get("has_more") is True and batches else None,
        )


@dataclass(frozen=True)
class Project:
    """A project: its parameters are those of its tasks, where they are left out there.

    Args:
        name: Its name.
        type: Type of its tasks.
        params: Its current parameters, without their version and time.
        version: Version of its parameters, if the API said.
        raw: The whole response.
    """

    name: str
    type: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    version: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, answer: Any) -> Self | None:
        """Parse a response; None if it has no name."""
        if not isinstance(answer, Mapping) or not isinstance(answer.get("name"), str):
            return None
        history = answer.get("param_history")
        last = history[-1] if isinstance(history, list) and history and isinstance(history[-1], Mapping) else {}
        version = last.get("version")
        return cls(
            name=answer["name"],
            type=_text(answer.get("type")),
            params={name: value for name, value in last.items() if name not in ("version", "created_at")},
            version=version if isinstance(version, int) else None,
            raw=answer,
        )


@dataclass(frozen=True)
class StoredFile:
    """A file that the API stores.

    Args:
        id: Its id.
        attachment_url: Its URL (scaledata://…), good wherever a task takes an attachment.
        raw: The whole response.
    """

    id: str | None
    attachment_url: str
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, answer: Any) -> Self | None:
        """Parse a response; None if it has no attachment_url."""
        url = answer.get("attachment_url") if isinstance(answer, Mapping) else None
        return cls(_text(answer.get("id")), url, answer) if isinstance(url, str) and url else None


class ProjectOperations(ClientBase):
    """Operations on projects, batches and files. They raise the errors that ScaleClient names."""

    _transport: Transport

    async def create_batch(
        self,
        project: str,
        name: str,
        *,
        callback: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        calibration_batch: bool = False,
        self_label_batch: bool = False,
    ) -> Batch:
        """Create a batch; its tasks are worked on once it is finalized.

        Args:
            project: Project that it belongs to.
            name: Its name, which no other batch has.
            callback: E-mail address or URL to tell once the batch is complete.
            metadata: Your own key/value pairs, at most 10 KB as JSON.
            calibration_batch: Of a self-serve project: it calibrates.
            self_label_batch: Of a self-serve project: your own people label it.

        Raises:
            ApiError: There is a batch of that name already, or the project is not known.
        """
        body: dict[str, Any] = {"project": checked_text("project", project), "name": checked_text("name", name)}
        body |= {"calibration_batch": calibration_batch, "self_label_batch": self_label_batch}
        body |= {"callback": checked_text("callback", callback)} if callback is not None else {}
        body |= {"metadata": checked_metadata(metadata)} if metadata is not None else {}
        return await self._create_named("/batches", body, Batch.from_api)

    async def finalize_batch(self, name: str) -> Batch:
        """Have a batch's tasks worked on; with a live key that costs money."""
        return await self._ask("POST", f"{_path('batches', name)}/finalize", Batch.from_api)

    async def get_batch(self, name: str) -> Batch:
        """Retrieve a batch."""
        return await self._ask("GET", _path("batches", name), Batch.from_api)

    async def batch_status(self, name: str) -> BatchStatus:
        """Retrieve how many of a batch's tasks have which status."""
        return await self._ask("GET", f"{_path('batches', name)}/status", BatchStatus.from_api)

    async def list_batches(
        self, *, project: str | None = None, status: str | None = None, limit: int = 100, offset: int = 0
    ) -> BatchPage:
        """Retrieve a page of the batches, newest first.

        Args:
            project: Only those of it.
            status: Only those with it: staging, in_progress or completed.
            limit: Batches on the page, 1 to 100.
            offset: Number of batches to skip; the page before says it as `next_offset`.
        """
        query = {"project": project, "status": status, "limit": limit, "offset": offset}
        sent = urlencode({key: value for key, value in query.items() if value is not None})
        return await self._ask("GET", f"/batches?{sent}", BatchPage.from_api)

    async def create_project(self, name: str, task_type: str, params: Mapping[str, Any] | None = None) -> Project:
        """Create a project.

        Args:
            name: Its name, which no other project has.
            task_type: Type of its tasks.
            params: Parameters of its tasks, where they are left out there.

        Raises:
            ApiError: There is a project of that name already.
        """
        body = {"name": checked_text("name", name), "type": checked_text("task_type", task_type)}
        return await self._create_named("/projects", body | {"params": dict(params or {})}, Project.from_api)

    async def get_project(self, name: str) -> Project:
        """Retrieve a project."""
        return await self._ask("GET", _path("projects", name), Project.from_api)

    async def list_projects(self) -> tuple[Project, ...]:
        """Retrieve all projects."""
        return await self._ask("GET", "/projects", _projects)

    async def set_project_params(self, name: str, params: Mapping[str, Any], *, patch: bool = False) -> Project:
        """Give a project parameters: a new version, for tasks that are created from now on.

        Args:
            name: The project.
            params: The parameters.
            patch: Keep those of the version before that are not given.
        """
        body = {**params, **({"patch": True} if patch else {})}
        return await self._ask("POST", f"{_path('projects', name)}/setParams", Project.from_api, json_body(body))

    async def upload_file(
        self,
        file: str | PathLike[str] | bytes,
        *,
        name: str | None = None,
        project: str | None = None,
        reference_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> StoredFile:
        """Upload a file, at most 80 MB, to be an attachment.

        Args:
            file: Its path, or its bytes.
            name: File name; required with bytes.
            project: Project that it belongs to.
            reference_id: Id of your own that no other file may have.
            metadata: Your own key/value pairs.

        Raises:
            ParameterError: The file cannot be read, is too large, or bytes have no name; nothing was sent.
            ConflictError: Another file has the reference_id.
        """
        if isinstance(file, bytes):
            content, name = file, checked_text("name", name)
        else:
            path = Path(file)
            try:
                size = path.stat().st_size
                content = path.read_bytes() if size <= MAX_FILE_BYTES else b""
            except OSError as cause:
                raise ParameterError(f"{path} cannot be read ({cause.strerror or cause})") from None
            name = name or path.name
            _require_size(size, str(path))
        _require_size(len(content), name)
        fields = {"display_name": name, "project_name": project, "reference_id": reference_id}
        fields["metadata"] = None if metadata is None else json.dumps(checked_metadata(metadata))
        body, kind = _multipart(name, content, {key: text for key, text in fields.items() if text is not None})
        return await self._ask("POST", "/files/upload", StoredFile.from_api, body, kind)

    async def import_file(
        self, file_url: str, *, project: str | None = None, reference_id: str | None = None
    ) -> StoredFile:
        """Have the API fetch a file from a URL and store it, to be an attachment."""
        body = {"file_url": checked_text("file_url", file_url), "project_name": project, "reference_id": reference_id}
        sent = json_body({key: value for key, value in body.items() if value is not None})
        return await self._ask("POST", "/files/import", StoredFile.from_api, sent)

    async def _create_named(self, path: str, body: Mapping[str, Any], parse: Callable[[Any], Named | None]) -> Named:
        """Create what has a name; where the response to an earlier try was lost, a refusal means that it is there."""
        request = ApiRequest("POST", self.api_url + path, json_body(body))
        outcome = await self._transport.send(request, self._transport.read.json)
        if isinstance(outcome, Failure):
            if outcome.maybe_done and isinstance(outcome.error, BadRequestError | ConflictError):
                return await self._ask("GET", _path(path.strip("/"), body["name"]), parse)
            raise outcome.error
        return _parsed(request, parse(outcome))

    async def _ask(
        self,
        method: str,
        path: str,
        parse: Callable[[Any], Parsed | None],
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> Parsed:
        request = ApiRequest(method, self.api_url + path, body, content_type=content_type)
        outcome = await self._transport.send(request, self._transport.read.json)
        if isinstance(outcome, Failure):
            raise outcome.error
        return _parsed(request, parse(outcome))


def _parsed(request: ApiRequest, found: Parsed | None) -> Parsed:
    if found is None:
        raise ServerError(
            f"{request.method} {request.path} was answered with JSON of another shape", fix="Is the API address right?"
        )
    return found


def _projects(answer: Any) -> tuple[Project, ...] | None:
    listed = answer.get("docs") if isinstance(answer, Mapping) else answer
    found = tuple(map(Project.from_api, listed)) if isinstance(listed, list) else (None,)
    return None if None in found else tuple(project for project in found if project is not None)


def _path(kind: str, name: Any) -> str:
    text = checked_text("name", name)
    if text in (".", ".."):
        raise ParameterError(f"{text!r} is not a name that a URL can hold")
    return f"/{kind}/{quote(text, safe='', errors='surrogatepass')}"


def _multipart(name: str, content: bytes, fields: Mapping[str, str]) -> tuple[bytes, str]:
    """Build a multipart body, and its content type. Its boundary is of its content, so that a retry is the same."""
    digest = hashlib.sha256(content)
    digest.update(repr(sorted(fields.items())).encode("utf-8", "backslashreplace"))
    boundary = digest.hexdigest()
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{text}\r\n'.encode()
        for key, text in fields.items()
    ]
    plain = "".join("_" if letter in '"\\' or ord(letter) < 32 else letter for letter in name)
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{plain}"\r\n'
    head += "Content-Type: application/octet-stream\r\n\r\n"
    body = b"".join([*parts, head.encode(), content, f"\r\n--{boundary}--\r\n".encode()])
    return body, f"multipart/form-data; boundary={boundary}"


def _require_size(size: int, name: str) -> None:
    if size > MAX_FILE_BYTES:
        raise ParameterError(
            f"{name} has {size:,} bytes; a file of the API has at most {MAX_FILE_BYTES:,}",
            fix="Store it in a bucket or on a server, and give its URL.",
        )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
