"""What both clients are made of: the key, the rules, and what goes between these and the HTTP library."""

from __future__ import annotations

import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import httpx

from lidarprep.api.address import DEFAULT_API_URL, checked_api_url, is_loopback
from lidarprep.api.annotations import FrameAnnotations
from lidarprep.api.connection import ConnectionOptions, WhoAmI, requires_confirmation
from lidarprep.api.exchange import Answer, ApiRequest, Attempts, Failure, Flow
from lidarprep.api.flows import Flows
from lidarprep.api.key import ApiKey, KeyMode
from lidarprep.api.listing import TaskPage
from lidarprep.api.protocol import ScaleProtocol
from lidarprep.api.retry import REFUSED_HERE_RETRIES
from lidarprep.api.secrecy import KeyAuth, keep_out_of_logs
from lidarprep.api.task import Task
from lidarprep.errors import MissingKeyError, ParameterError

TaskResult = TypeVar("TaskResult")
PageResult = TypeVar("PageResult")
FramesResult = TypeVar("FramesResult")
JsonResult = TypeVar("JsonResult")
WhoAmIResult = TypeVar("WhoAmIResult")

# What the HTTP library raises where there is no answer that can be used. OSError: it lets errors of TLS through, those
# that come once the connection stands. The last two: of an answer that redirects it reads where to, though it is not to
# follow, and what it finds may be no address.
NO_ANSWER = (httpx.RequestError, OSError, httpx.InvalidURL, UnicodeError)

log = logging.getLogger(__name__)


def given_key(api_key: str | None) -> ApiKey | MissingKeyError:
    """The key that was given, or that of the environment; or what is wrong with it, to be raised by the caller."""
    return ApiKey.read(os.environ.get("SCALE_API_KEY") if api_key is None else api_key)


def given_url(api_url: str | None) -> str | ParameterError:
    """The address that was given, or that of the environment, or Scale's; or what is wrong with it, as with the key."""
    try:
        return checked_api_url(api_url or os.environ.get("SCALE_API_URL") or DEFAULT_API_URL)
    except ParameterError as error:
        return error.with_traceback(None)  # people put the key into the address, which then is in the frames


class ClientBase(ABC, Generic[TaskResult, PageResult, FramesResult, JsonResult, WhoAmIResult]):
    """What both clients are made of.

    A synchronous client's methods give tasks, an asynchronous one's give coroutines of tasks; the type variables stand
    for that difference, so that type checkers and editors know what each client's methods give.
    """

    def __init__(
        self,
        key: ApiKey | MissingKeyError,
        api_url: str | ParameterError,
        options: ConnectionOptions,
        retries: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(key, MissingKeyError):
            raise key
        if isinstance(api_url, ParameterError):
            raise api_url
        if retries < 0:
            raise ParameterError(f"retries is {retries}; it must be at least 0")
        self._key = key
        self._protocol = ScaleProtocol(api_url, key)
        self._flows = Flows(self._protocol, key, clock)
        self._auth = KeyAuth(key)
        keep_out_of_logs(key)
        if self.api_url.startswith("http://") and not is_loopback(self.api_url):
            log.warning("%s is not encrypted: the API key can be read on the way to it", self.api_url)

    @property
    def api_url(self) -> str:
        """The API's address."""
        return self._protocol.api_url

    @property
    def key_mode(self) -> KeyMode | None:
        """ "test" or "live", where the key's prefix tells; else None."""
        return self._key.mode

    @property
    def requires_confirmation(self) -> bool:
        """Whether to ask a person before creating tasks: with a live key they cost money."""
        return requires_confirmation(self.key_mode, self.api_url)

    def __repr__(self) -> str:
        # A traceback shows clients that are only half made, too.
        protocol = self.__dict__.get("_protocol")
        return f"{type(self).__name__}({protocol.api_url!r})" if protocol else f"{type(self).__name__}()"

    @abstractmethod
    def _task(self, flow: Flow[Task]) -> TaskResult: ...

    @abstractmethod
    def _page(self, flow: Flow[TaskPage[Task]]) -> PageResult: ...

    @abstractmethod
    def _frames(self, flow: Flow[tuple[FrameAnnotations, ...]]) -> FramesResult: ...

    @abstractmethod
    def _json(self, flow: Flow[tuple[Any, str]]) -> JsonResult: ...

    @abstractmethod
    def _whoami(self, flow: Flow[WhoAmI]) -> WhoAmIResult: ...

    def _http_arguments(self, request: ApiRequest) -> Mapping[str, Any]:
        """Arguments of httpx's `request`."""
        log.debug("%s %s", request.method, request.path)
        return {
            "method": request.method,
            "url": request.url,
            "content": request.body,
            "headers": request.headers,
            "auth": self._auth if request.with_key else None,
        }

    def _answered(self, attempts: Attempts, response: httpx.Response) -> Any:
        log.debug("%s %s was answered %d", attempts.request.method, attempts.request.path, response.status_code)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return attempts.read(Answer(response.status_code, headers, response.content))

    def _unanswered(self, attempts: Attempts, cause: Exception) -> Failure:
        words = str(cause) or type(cause).__name__
        # A certificate that is not trusted, or is missed, won't be in a second, and an address that is none never.
        may_pass = isinstance(cause, httpx.RequestError | OSError) and "CERTIFICATE" not in words
        timed_out = isinstance(cause, httpx.TimeoutException)
        refused_here = is_loopback(attempts.request.url) and _was_refused(cause)
        failure = self._protocol.read.no_answer(
            attempts.request,
            words,
            timed_out=timed_out,
            retry=may_pass,
            most_retries=REFUSED_HERE_RETRIES if refused_here else None,
        )
        ended: Failure = attempts.ended(failure)
        return ended


def _was_refused(error: BaseException | None) -> bool:
    """Whether it goes back to connections that were refused, one for each of the host's addresses."""
    if error is None or isinstance(error, ConnectionRefusedError):
        return error is not None
    if isinstance(error, BaseExceptionGroup):
        return all(map(_was_refused, error.exceptions))
    return _was_refused(error.__cause__ or error.__context__)
