"""What the sandbox's endpoints share: bodies, errors, and who calls."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse

from lidarprep.errors import ParameterError
from lidarprep.sandbox.bodies import FORM, BodyError, read_form, read_json, typed_as
from lidarprep.sandbox.records import (
    Document,
    SavedAnswer,
    TooManyTagsError,
    UniqueIdTakenError,
    UnknownTaskError,
)

# Files that responses link to are fetched without a key, as from a signed URL: their names can't be guessed.
FILES = "/sandbox/files/"

P = ParamSpec("P")
T = TypeVar("T")


class Keys(AuthenticationBackend):
    """HTTP basic auth: the API key is the user name, the password is not looked at.

    Args:
        api_keys: The keys that are taken; any key if None.
    """

    def __init__(self, api_keys: Collection[str] | None) -> None:
        self._api_keys = None if api_keys is None else [key.encode() for key in api_keys]

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        """Who calls."""
        # The path as it was asked for, and not that of conn.url, which the Host header is a part of.
        if conn.scope["path"].startswith(FILES):
            return None
        scheme, _, encoded = conn.headers.get("authorization", "").partition(" ")
        try:
            key = base64.b64decode(encoded, validate=True).partition(b":")[0]
            name = key.decode()
        except (binascii.Error, UnicodeDecodeError):
            name = ""
        if scheme.lower() != "basic" or not name:
            raise AuthenticationError("No API key was given: it is the user name of HTTP basic auth.")
        if self._api_keys is not None and not any(hmac.compare_digest(key, known) for known in self._api_keys):
            raise AuthenticationError("The API key is not valid.")
        return AuthCredentials(), SimpleUser(name)


async def read_body(request: Request) -> bytes:
    """The whole body.

    Raises:
        HTTPException: It is too large.
    """
    limit = request.app.state.max_body_bytes
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit:
            raise HTTPException(413, f"The body has more than {limit} bytes.")
    return bytes(received)


async def read_value(request: Request, *, if_empty: Any = ...) -> Any:
    """The JSON value of a body.

    Args:
        request: The request.
        if_empty: What an empty body stands for, where it may be empty.

    Raises:
        HTTPException: It is not JSON.
    """
    text = await read_body(request)
    if not text.strip() and if_empty is not ...:
        return if_empty
    try:
        return read_json(text)
    except BodyError as error:
        raise HTTPException(400, str(error)) from None


async def read_fields(request: Request, model: type[BaseModel] | None = None) -> dict[str, Any]:
    """The fields of a body that is a JSON object or a form.

    Args:
        request: The request.
        model: Says which types a form's fields have, which are all text.

    Raises:
        HTTPException: It is neither.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
        try:
            fields = read_form(await read_body(request))
        except BodyError as error:
            raise HTTPException(400, str(error)) from None
        return fields if model is None else typed_as(model, fields)
    fields = await read_value(request)
    if not isinstance(fields, dict):
        raise HTTPException(400, "The body is not a JSON object.")
    return fields


async def answer_with(request: Request, work: Callable[P, Document], *args: P.args, **kwargs: P.kwargs) -> JSONResponse:
    """Does the work for the request's task in a thread, and answers with the task that comes of it.

    Raises:
        HTTPException: The task isn't there, or a rule is broken that every endpoint has.
    """
    try:
        return JSONResponse(await run_in_threadpool(work, *args, **kwargs))
    except UnknownTaskError:
        raise HTTPException(404, f"There is no task {request.path_params['task_id']!r}.") from None
    except UniqueIdTakenError as error:
        raise HTTPException(409, str(error)) from None
    except TooManyTagsError as error:
        raise HTTPException(400, f"The task would have {error.count} tags; at most 5 are allowed.") from None
    except ParameterError as error:
        raise HTTPException(400, error.message) from None


def error_answer(status: int, message: str) -> SavedAnswer:
    """An error in the service's shape."""
    body: Document = {"status_code": status, "error": message}
    return SavedAnswer(status, body)


def refused(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that is refused."""
    assert isinstance(error, HTTPException)  # noqa: S101 — registered for no other
    return JSONResponse(error_answer(error.status_code, error.detail).body, error.status_code, headers=error.headers)


def failed(request: Request, error: Exception) -> JSONResponse:
    """The answer when the sandbox itself fails."""
    # Starlette raises the error again once this is sent, and the server logs it.
    return JSONResponse(error_answer(500, "The sandbox failed; its log says why.").body, 500)


def unauthorized(connection: HTTPConnection, error: AuthenticationError) -> JSONResponse:
    """The answer to a request without a right key."""
    headers = {"WWW-Authenticate": 'Basic realm="Scale API sandbox"'}
    return JSONResponse(error_answer(401, str(error)).body, 401, headers=headers)
