"""Every exception a user can meet, as one tree.

LidarprepError                 every error that lidarprep raises on purpose, in one clear message
├── FormatError                a file is not what it claims to be (path, place, found, expected, fix)
├── SceneError                 a recording does not hang together: a pose is missing, frames are out of order
│   └── FindingsError              its checks found what would ruin a task, and that was not accepted
├── SourceChangedError         a file of the recording changed while it was being prepared
├── RecipeError                a request makes no sense: an unknown key, a region that keeps no point
├── EncodingError              an attachment format cannot hold a value that the frame has
├── MissingExtraError          an optional library is needed and not installed
├── WorkerLostError            a worker process died while it prepared a scene
├── ClusterError               a cluster cannot be reached, or has workers that do not fit
├── StorageError               a place to store at cannot be read or written
├── ConflictError              somebody else was first
│   ├── ManifestConflictError      a manifest was replaced meanwhile (a StorageError, too)
│   └── UniqueIdConflictError      409  the unique_id or Idempotency-Key is taken by something else (an ApiError, too)
└── ApiError                   the Scale API refused, or could not be reached
    ├── ParameterError         a task parameter was refused before anything was sent
    ├── BadRequestError        400  the server refused the parameters
    ├── UnauthorizedError      401  no key, or a wrong one
    │   └── MissingKeyError         no key is set, or what is set can't be one
    ├── NotEnabledError        402  the task type is not enabled for the account
    ├── NotFoundError          404  no such task
    ├── RateLimitError         429  too many requests
    ├── ServerError            5xx  the server failed
    ├── TaskEndedError         the task that has the unique_id is canceled or in error
    ├── WaitTimeoutError       a task was waited for and is not done yet
    └── TransportError         no answer: connection refused, cut or not made
        └── RequestTimeoutError  no answer in time

`exit_code` is the exit code of the command line: 2 for wrong usage or input, 1 for failures outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit


def place_name(location: str | PathLike[str]) -> str:
    """Name a location in a message: a file:// URL by its path, any other URL or path as it is."""
    text = fspath(location)
    return unquote(urlsplit(text).path, errors="surrogateescape") if text.startswith("file://") else text


class LidarprepError(Exception):
    """Base of every error that lidarprep raises on purpose.

    Args:
        message: What is wrong, in a sentence that names the thing and the value found.
        fix: What to do about it, in a sentence; shown on its own line.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __reduce__(self) -> tuple[Any, ...]:
        # By its fields, not by the arguments that its class takes: an error comes back from another process.
        return Exception.__new__, (type(self), *self.args), vars(self)

    def __str__(self) -> str:
        return self.message if self.fix is None else f"{self.message}\n{self.fix}"


# How the small text begins that Git stores in place of a large file, whatever the file's name ends in.
GIT_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def is_git_lfs_pointer(path: str | PathLike[str]) -> bool:
    """Return whether a file is Git LFS's pointer to its content; False where it cannot be read."""
    try:
        with Path(place_name(path)).open("rb") as stream:
            return stream.read(len(GIT_LFS_POINTER)) == GIT_LFS_POINTER
    except (OSError, ValueError):
        return False  # a URL, or a file that the error itself is about


class FormatError(LidarprepError):
    """A file is not what it claims to be.

    Every reader refuses a file with this error, so here is where a Git LFS pointer is recognised: whatever the reader
    took it for, the error says that it is one.

    Args:
        path: The file, or its URL.
        place: Where in it: "byte 1024", "line 7", "field 'x'", "the header".
        found: What is there.
        expected: What should be there.
        fix: What to do.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        found: str,
        expected: str | None = None,
        place: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.path = place_name(path)
        if is_git_lfs_pointer(path):
            place, found, expected = None, "a Git LFS pointer: the file itself was not downloaded", None
            fix = "Run git lfs pull in its repository, then the same command again."
        self.place = place
        self.found = found
        self.expected = expected
        where = f"{self.path}, {place}" if place else self.path
        wanted = f"; expected {expected}" if expected else ""
        super().__init__(f"{where}: {found}{wanted}", fix=fix)


class SceneError(LidarprepError):
    """A recording does not hang together."""


class FindingsError(SceneError):
    """The checks of a recording found what would ruin a task, and nobody has accepted it.

    Args:
        message: How many findings there are.
        codes: The codes of the findings, each once.
        fix: The findings, with their cures, and how to accept them.
        findings: All `Finding`s of the recording, those that end no run among them.
    """

    def __init__(
        self, message: str, codes: tuple[str, ...] = (), *, fix: str | None = None, findings: Sequence[Any] = ()
    ) -> None:
        super().__init__(message, fix=fix)
        self.codes = codes
        self.findings = tuple(findings)


class SourceChangedError(LidarprepError):
    """A file of the recording changed while it was being prepared.

    Args:
        location: The file.
    """

    exit_code = 1

    def __init__(self, location: str | PathLike[str]) -> None:
        super().__init__(
            f"{place_name(location)} has changed since the recording was opened",
            fix="Run the same command again when nobody writes to the recording any more.",
        )


@contextmanager
def naming(path: str | PathLike[str], place: str | None = None) -> Iterator[None]:
    """Name the file, and the place in it, that a SceneError or OSError raised inside is about: as a FormatError."""
    try:
        yield
    except SceneError as error:
        raise FormatError(path, place=place, found=error.message, fix=error.fix) from error
    except OSError as error:
        raise FormatError(path, found=f"the file cannot be read ({error.strerror or error})") from error


class RecipeError(LidarprepError):
    """A request makes no sense."""


class EncodingError(LidarprepError):
    """An attachment format cannot hold a value that the frame has."""


class MissingExtraError(LidarprepError):
    """An optional library is needed and not installed.

    Args:
        what: What needs it: "a ROS 1 bag".
        extra: The extra of lidarprep that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what}: libraries that it takes are not installed", fix=f"pip install 'lidarprep[{extra}]'")


class StorageError(LidarprepError):
    """A place to store at cannot be read or written."""

    exit_code = 1


class WorkerLostError(LidarprepError):
    """A worker process died while it prepared a scene, each time that it was tried."""

    exit_code = 1


class ClusterError(LidarprepError):
    """A cluster cannot be reached, or one of its workers cannot prepare what the others can."""

    exit_code = 1


class ConflictError(LidarprepError):
    """Somebody else was first."""

    exit_code = 1


class ManifestConflictError(ConflictError, StorageError):
    """A manifest was replaced since it was read: another run has ended at the same destination.

    Args:
        location: The manifest.
    """

    def __init__(self, location: str | PathLike[str]) -> None:
        super().__init__(
            f"{place_name(location)} was replaced meanwhile: another run has ended at this destination",
            fix="Run the command again; with --overwrite, if the other run is to be replaced.",
        )


class ApiError(LidarprepError):
    """The Scale API refused, or could not be reached.

    Args:
        message: What is wrong; never holds the API key.
        method: HTTP method of the request, if one was made.
        path: Path of the request's URL, without host and query.
        status: HTTP status of the response, if there was one.
        fix: What to do.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        method: str | None = None,
        path: str | None = None,
        status: int | None = None,
        fix: str | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.status = status
        super().__init__(message, fix=fix)


class ParameterError(ApiError):
    """A task parameter was refused before anything was sent."""

    exit_code = 2


class BadRequestError(ApiError):
    """400: the server refused the parameters."""


class UnauthorizedError(ApiError):
    """401: no API key, or a wrong one."""


class MissingKeyError(UnauthorizedError):
    """There is no key, or what is given can't be one: nothing was sent."""

    exit_code = 2


class NotEnabledError(ApiError):
    """402: the task type is not enabled for the account."""


class NotFoundError(ApiError):
    """404: no such task."""


class UniqueIdConflictError(ConflictError, ApiError):
    """409: the unique_id or the Idempotency-Key is taken by something else.

    Args:
        message: What is wrong.
        task_id: The task that has the unique_id, where that is known.
        request: As of an ApiError: method, path, status, fix.
    """

    def __init__(self, message: str, *, task_id: str | None = None, **request: Any) -> None:
        self.task_id = task_id
        super().__init__(message, **request)


class RateLimitError(ApiError):
    """429: too many requests."""


class ServerError(ApiError):
    """5xx: the server failed."""


class TaskEndedError(ApiError):
    """The task that has the unique_id is canceled or in error: nothing comes of it, and no other was made.

    Args:
        message: What is wrong.
        task_id: The task that has the unique_id.
        task_status: Its status: "canceled" or "error".
        fix: How to make the task again.
    """

    def __init__(self, message: str, *, task_id: str, task_status: str, fix: str | None = None) -> None:
        self.task_id = task_id
        self.task_status = task_status
        super().__init__(message, fix=fix)


class WaitTimeoutError(ApiError):
    """A task was waited for and is not done yet; it goes on all the same."""


class TransportError(ApiError):
    """No answer: the connection was refused, cut or not made."""


class RequestTimeoutError(TransportError):
    """No answer in time."""
