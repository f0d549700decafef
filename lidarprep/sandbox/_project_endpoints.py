"""Endpoints of projects, batches and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lidarprep.api import checked_metadata
from lidarprep.errors import StorageError
from lidarprep.sandbox._attachments import read_attachment
from lidarprep.sandbox._http import RequestError, moment_in, number_in, page_limit, read_boolean, read_json
from lidarprep.sandbox._multipart import UploadedFile, read_multipart
from lidarprep.sandbox._projects import BATCH_STATUSES
from lidarprep.sandbox._request import flag_field, lifecycle_of, object_body, store_of, text_field
from lidarprep.sandbox._store import Document
from lidarprep.sandbox._uploads import MAX_FILE_BYTES

Endpoint = Callable[[Request], Document | Response]

# Fields of a file that are texts, by the name that an upload gives them.
FILE_TEXTS = ("display_name", "project_name", "reference_id")


def create_project(request: Request) -> Document:
    """POST /v1/projects, with {"type", "name", "params"}."""
    fields = object_body(request)
    params = fields.get("params") or {}
    if not isinstance(params, dict):
        raise RequestError("params must be an object.")
    task_type = lifecycle_of(request).task_type(text_field(fields, "type"))
    return store_of(request).projects.create_project(text_field(fields, "name"), task_type.name, params)


def list_projects(request: Request) -> JSONResponse:
    """GET /v1/projects: all of them, in a list without pages."""
    return JSONResponse(store_of(request).projects.projects())


def get_project(request: Request) -> Document:
    """GET /v1/projects/{name}."""
    return store_of(request).projects.project(_name(request))


def set_params(request: Request) -> Document:
    """POST /v1/projects/{name:path}/setParams: a new version of the parameters; `patch` keeps the others."""
    params = object_body(request)
    patch = flag_field(params, "patch")
    params.pop("patch", None)
    return store_of(request).projects.set_params(_name(request), params, patch=patch)


def create_batch(request: Request) -> Document:
    """POST /v1/batches, with {"project", "name", "callback", "calibration_batch", "self_label_batch", "metadata"}."""
    fields = object_body(request)
    project, metadata = text_field(fields, "project"), fields.get("metadata") or {}
    checked_metadata(metadata)
    callback = fields.get("callback")
    if callback is not None and not isinstance(callback, str):
        raise RequestError("callback must be a URL or an e-mail address.")
    options = {
        "callback": callback or None,
        "calibration_batch": flag_field(fields, "calibration_batch"),
        "self_label_batch": flag_field(fields, "self_label_batch"),
        "metadata": metadata,
    }
    lifecycle_of(request).require_project(project)
    return store_of(request).projects.create_batch(text_field(fields, "name"), project, options)


def list_batches(request: Request) -> Document:
    """GET /v1/batches: a page of them, newest first."""
    query = request.query_params
    first, last = moment_in(query, "start_time", up=True), moment_in(query, "end_time")
    limit, offset = page_limit(query), number_in(query, "offset") or 0
    wanted = {name: query[name] for name in ("project", "status") if query.get(name)}
    if wanted.get("status", BATCH_STATUSES[0]) not in BATCH_STATUSES:
        raise RequestError(f"status is {wanted['status']!r}; it must be one of {', '.join(BATCH_STATUSES)}.")
    read_boolean(query, "exclude_archived")  # no effect: the sandbox archives nothing
    found = [
        batch
        for batch in store_of(request).projects.batches()
        if wanted.items() <= batch.items()
        and (first or "") <= batch["created_at"]
        and (last is None or batch["created_at"] <= last)
    ]
    return {
        "docs": found[offset : offset + limit],
        "totalDocs": len(found),
        "limit": limit,
        "offset": offset,
        "has_more": offset + limit < len(found),
    }


def get_batch(request: Request) -> Document:
    """GET /v1/batches/{name}."""
    return store_of(request).projects.batch(_name(request))


def show_batch_status(request: Request) -> Document:
    """GET /v1/batches/{name:path}/status: its status, and the number of its tasks of each status that occurs."""
    projects, name = store_of(request).projects, _name(request)
    return {"status": projects.batch(name)["status"], **projects.task_counts(name)}


def finalize_batch(request: Request) -> Document:
    """POST /v1/batches/{name:path}/finalize."""
    return lifecycle_of(request).finalize(_name(request))


def set_batch_metadata(request: Request) -> Document:
    """POST /v1/batches/{name:path}/setMetadata."""
    metadata = object_body(request)
    checked_metadata(metadata)
    return store_of(request).projects.set_batch_metadata(_name(request), metadata)


def upload_file(request: Request) -> Document:
    """POST /v1/files/upload: a multipart body with `file`, and fields that describe it."""
    parts = read_multipart(request.state.body, request.headers.get("content-type", ""))
    file = parts.pop("file", None)
    if not isinstance(file, UploadedFile):
        raise RequestError("file is missing: it must be a part with a file name.")
    if len(file.content) > MAX_FILE_BYTES:
        raise RequestError(f"file has {len(file.content)} bytes; at most {MAX_FILE_BYTES} are allowed.")
    return store_of(request).uploads.add(file.content, file.name, _file_fields(request, parts, file.name))


def import_file(request: Request) -> Document:
    """POST /v1/files/import, with {"file_url"} and the fields of an upload."""
    fields = object_body(request)
    url = text_field(fields, "file_url")
    if not url.startswith(("http://", "https://", "s3://")):
        raise RequestError("file_url must begin with https://, http:// or s3://.")
    try:
        name = PurePosixPath(unquote(urlsplit(url).path)).name
        content = read_attachment(url, store_of(request).uploads, most_bytes=MAX_FILE_BYTES)
    except (StorageError, ValueError) as error:  # ValueError: what only looks like a URL
        problem = error.message if isinstance(error, StorageError) else str(error)
        raise RequestError(f"file_url: {problem}.") from None
    return store_of(request).uploads.add(content, name, _file_fields(request, fields, name))


def _file_fields(request: Request, given: Mapping[str, Any], name: str) -> Document:
    texts = {field: given.get(field) or None for field in FILE_TEXTS}
    for field, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise RequestError(f"{field} must be a string.")
    project = texts.pop("project_name")
    if project is not None:
        lifecycle_of(request).require_project(project)
    metadata = given.get("metadata") or {}
    if isinstance(metadata, str):  # a form has only texts
        metadata = read_json(metadata.encode())
    return {
        **texts,
        "display_name": texts["display_name"] or name,
        "project_names": [] if project is None else [project],
        "metadata": checked_metadata(metadata),
    }


def _name(request: Request) -> str:
    return str(request.path_params["name"])


ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("POST", "/v1/projects", create_project),
    ("GET", "/v1/projects", list_projects),
    ("POST", "/v1/projects/{name:path}/setParams", set_params),
    ("GET", "/v1/projects/{name:path}", get_project),
    ("POST", "/v1/batches", create_batch),
    ("GET", "/v1/batches", list_batches),
    # A name may have slashes: what comes behind it is looked for first.
    ("GET", "/v1/batches/{name:path}/status", show_batch_status),
    ("GET", "/v1/batches/{name:path}", get_batch),
    ("POST", "/v1/batches/{name:path}/finalize", finalize_batch),
    ("POST", "/v1/batches/{name:path}/setMetadata", set_batch_metadata),
    ("POST", "/v1/files/upload", upload_file),
    ("POST", "/v1/files/import", import_file),
)
