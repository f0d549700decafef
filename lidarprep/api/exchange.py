"""What goes to the API and what comes back, as values: the words that the rules and the clients share.

A rule of several steps is a `Flow`: a generator that yields what it wants done, a `Call` or a `Pause`, and is sent what
came of it. It knows no network, so the synchronous and the asynchronous client run the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from lidarprep.errors import ApiError, ServerError

Result = TypeVar("Result")


@dataclass(frozen=True)
class ApiRequest:
    """A request to the API, but for the key.

    Args:
        method: "GET", "POST", "PUT" or "DELETE".
        url: The whole URL, with its query. Not in the repr: the query of an attachment's address may sign it.
        body: JSON to send; None for no body.
        idempotency_key: Names this request over its retries, so that the API makes one task of them all.
        with_key: Whether the API key goes with it: to the API itself only.
        has_unique_id: The body names a unique_id that stays with its task, so that the API refuses a second one.
    """

    method: str
    url: str = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    idempotency_key: str | None = None
    with_key: bool = True
    has_unique_id: bool = False

    @property
    def path(self) -> str:
        """Path of the URL, for messages."""
        return urlsplit(self.url).path

    @property
    def server(self) -> str:
        """Host, and port if it is named, for messages; a user name in the URL is left out."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def headers(self) -> dict[str, str]:
        """Headers that this request needs beyond the client's own."""
        headers = {"Accept": "application/json"}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if self.idempotency_key is not None:
            headers["Idempotency-Key"] = self.idempotency_key
        return headers


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers by lower-case name, and body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Failure:
    """A request that failed, and whether to try it again.

    A value and not an exception: an exception would carry the frames it was raised through, and with them what the HTTP
    library knows, the key among it, into a traceback that shows local variables.

    Args:
        error: What to raise if it is not tried again.
        retry: Whether trying again may help, and is safe.
        after_s: Seconds that the server asked to wait, if it did.
        most_retries: How often to try again at most, where that is less often than usual.
        maybe_done: The API may have done what an earlier try asked for, and the answer got lost.
    """

    error: ApiError
    retry: bool = False
    after_s: float | None = None
    most_retries: int | None = None
    maybe_done: bool = False


@dataclass(frozen=True)
class Redirect:
    """An answer that says to ask elsewhere."""

    url: str = field(repr=False)


@dataclass(frozen=True)
class Call(Generic[Result]):
    """A request and how its answer is read.

    Args:
        request: The request.
        read: Says what its answer means.
        once: It is tried once, whatever comes of it.
    """

    request: ApiRequest
    read: Callable[[ApiRequest, Answer], Result | Failure]
    once: bool = False


@dataclass(frozen=True)
class Pause:
    """Time to let pass."""

    seconds: float


Flow: TypeAlias = Generator["Call[Any] | Pause", Any, Result]


class Attempts:
    """The tries of one call: which request the next one sends, and what the earlier ones may have left behind.

    All tries of a create carry one Idempotency-Key: should the API have done the work and the answer have got lost, it
    answers the next try with the task that it made. But it also saves answers that are errors, and repeats them for 24
    hours. So a create that was answered 5xx is tried again under a new key IF its unique_id rules out a second task.
    Without a unique_id the key is kept, though the same 5xx may come back each time: a failure is better than two
    tasks, and the error says what to do.
    """

    def __init__(self, call: Call[Any]) -> None:
        self.request = call.request
        self._read = call.read
        self._maybe_done = False

    def read(self, answer: Answer) -> Any:
        """What the answer says, or the Failure that it is."""
        return self.ended(self._read(self.request, answer))

    def ended(self, outcome: Any) -> Any:
        """Notes how a try ended, and makes the next one's request. Returns the outcome."""
        if not isinstance(outcome, Failure):
            return outcome
        outcome = replace(outcome, maybe_done=self._maybe_done)
        refused_unseen = outcome.error.status in (408, 429)
        self._maybe_done = self._maybe_done or not refused_unseen
        if isinstance(outcome.error, ServerError) and self.request.idempotency_key and self.request.has_unique_id:
            self.request = replace(self.request, idempotency_key=str(uuid4()))
        return outcome
